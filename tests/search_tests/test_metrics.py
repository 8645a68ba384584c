import contextlib
import json
import re
import time
import urllib.request
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from search.metrics import Rate, by_status
from search.records import Record
from tests.search_tests.bench import PATIENCE_S, Bench, make_bench


def test_every_status_is_counted_also_where_there_is_none() -> None:
    states = ["running", "stopped", "stopped", "failed"]
    records = [Record(number, status, {}, 0) for number, status in enumerate(states)]
    assert by_status(records) == {
        "running": 1,
        "completed": 0,
        "stopped": 2,
        "infeasible": 0,
        "failed": 1,
    }


def test_the_rate_is_that_of_the_last_minute() -> None:
    rate = Rate(100.0, 7)  # seven epochs of an earlier driver
    assert rate.update(100.0, 7) == 0
    assert rate.update(110.0, 12) == 0.5  # 5 in 10 s
    assert rate.update(140.0, 27) == 0.5  # 20 in 40 s
    assert rate.update(170.0, 27) == 0.25  # 15 in the 60 s since 110
    assert rate.update(231.0, 27) == 0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = make_bench(tmp_path_factory.mktemp("bench"))
    path = made.root / "search" / "metrics.py"
    text = path.read_text()
    assert text.count("_OVER_S = 60.0") == 1
    path.write_text(text.replace("_OVER_S = 60.0", "_OVER_S = 6000.0"))  # a look may come late
    return made


def endpoint(folder: Path) -> str | None:
    """The address that Ray tells Prometheus: see the service discovery file in its folder.

    None while it is not there: Ray writes it again and again, and all nodes not at once.
    """
    try:
        found = json.loads((folder / "ray" / "prom_metrics_service_discovery.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    jobs = {each["labels"]["job"]: each["targets"] for each in found}
    return str(jobs["ray"][0]) if jobs.get("ray") else None


def gauges(address: str) -> dict[tuple[str, str], float]:
    """Our metrics at an endpoint, by name and status ("" where that does not apply)."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
            text = answer.read().decode()
    except OSError:  # not yet, or too slow
        return {}
    found = {}
    for name, tags, value in re.findall(r"^ray_trellis_(\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', tags))
        assert labels["study"] == "live"
        found[name, labels.get("status", "")] = float(value)
    return found


@pytest.mark.slow
def test_a_study_shows_its_metrics_while_it_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_metrics_report_interval_ms", "500")  # Ray's own is 10 s
    held = ("--fix", "behaviour=learn", "--fix", "pause_s=2", "--stopper", "none")
    bench.allow("live", 10)  # of the second trial, two
    size = ("--trials", "3", "--max-epochs", "8", "--concurrent", "1")
    process = bench.start("--study", "live", *size, *held)
    assert process.stdout is not None
    folder = None
    while folder is None:
        line = process.stdout.readline()
        assert line, "the study ended and told no folder"
        told = re.search(r"cat (\S+)/token", line)
        folder = Path(told[1]) if told else None
    bench.wait_for("live", 10, process)
    began, found = time.monotonic(), dict[tuple[str, str], float]()
    while found.get(("trials", "completed")) != 1 or found.get(("trials", "running")) != 1:
        assert time.monotonic() - began < 240, found
        time.sleep(1)
        address = endpoint(folder)
        found = gauges(address) if address else {}
    words = []
    for each in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            words.append(each.cmdline())
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert words
    assert not any(each.endswith("dashboard.py") for line in words for each in line)
    assert found["trials", "running"] == 1
    assert found["trials", "failed"] == found["trials", "infeasible"] == 0
    assert found["best_val_accuracy", ""] == pytest.approx(0.7 * 8 / 9)  # the published trial's
    assert 0 < found["epochs_per_second", ""] <= 0.5  # an epoch takes two seconds
