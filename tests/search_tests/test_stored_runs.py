"""Whole runs of search.run whose results lie in a store: killed, resumed elsewhere, read."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.places import mirror_of
from search.remote import Remote
from tests.search_tests.bench import PATIENCE_S, Bench, make_bench
from tests.search_tests.stores import s3

pytestmark = pytest.mark.slow
PLACE = "s3://bucket/results"
PLAN = ("--trials", "5", "--max-epochs", "4", "--seed", "3", "--concurrent", "1")
HELD = ("--fix", "behaviour=learn", "--fix", "pause_s=0.4")


@dataclasses.dataclass(frozen=True)
class Stored(Bench):
    """A bench whose studies lie in a store; `keys` lead to it."""

    keys: dict[str, str] = dataclasses.field(default_factory=dict)

    def command(self, *words: str, experiment: str = "formula") -> list[str]:
        data = [] if "--resume" in words else ["--data", f"folder:{self.images}"]
        place = ["--results-dir", PLACE]
        return [sys.executable, "-m", "search.run", experiment, *data, *place, *words]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.keys}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    folder = tmp_path_factory.mktemp("stored")
    plain = make_bench(folder)
    with s3() as keys, pytest.MonkeyPatch.context() as patch:
        keys = {**keys, "TRELLIS_CACHE": str(folder / "cache")}
        for name, value in keys.items():  # for the tests' own looks into the store
            patch.setenv(name, value)
        yield Stored(plain.root, plain.images, mirror_of(PLACE), keys)


def table(text: bytes | None) -> list[list[str]]:
    """Return the rows of trials.csv, times and memory aside."""
    if text is None:
        return []
    header, *rows = [line.split(",") for line in text.decode().splitlines()]
    timed = {header.index(name) for name in ("wall_s", "peak_memory_mb")}
    return [[cell for n, cell in enumerate(row) if n not in timed] for row in (header, *rows)]


def read(bench: Stored, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "analysis.table", *words],
        cwd=bench.root,
        env=bench.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_killed_here_and_resumed_without_its_folder_equals_the_undisturbed_one(
    bench: Stored,
) -> None:
    done = bench.run("--study", "calm", *PLAN, *HELD)
    assert done.returncode == 0, done.stderr
    assert f"study: {PLACE}/calm" in done.stdout
    calm = Remote(f"{PLACE}/calm")
    assert {"study.json", "journal.log", "trials.csv", "curves.csv", "best.json", "best.pt"} <= (
        calm.entries().keys()
    )
    assert not [name for name in calm.entries() if name.startswith(("driver-", "trials/"))]

    bench.allow("torn", 6)  # in the second trial
    process = bench.start("--study", "torn", *PLAN, *HELD)
    torn = Remote(f"{PLACE}/torn")
    while len(table(torn.read("trials.csv"))) < 3:  # the second trial has come as far as the store
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert [name for name in torn.entries() if name.startswith("driver-")]
    while (bench.results / "torn").exists():  # the worker may write until it sees the driver gone
        shutil.rmtree(bench.results / "torn", ignore_errors=True)
    bench.let_go("torn")
    resumed = bench.run("--study", "torn", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert table(torn.read("trials.csv")) == table(calm.read("trials.csv"))
    assert len(table(torn.read("trials.csv"))) == 6
    assert torn.read("best.pt") == calm.read("best.pt")
    best = [json.loads(each.read("best.json") or b"") for each in (torn, calm)]
    assert best[0] == best[1]

    shown = read(bench, "torn", "--results-dir", PLACE)
    assert shown.returncode == 0, shown.stderr
    assert "study torn of formula" in shown.stdout
    assert read(bench, f"{PLACE}/torn").stdout == shown.stdout
    unknown = read(bench, "tron", "--results-dir", PLACE)
    assert unknown.returncode == 2
    assert unknown.stderr.endswith("nearest: torn\n") or "nearest: torn" in unknown.stderr


def test_the_second_driver_is_refused_and_a_killed_one_is_no_hindrance(bench: Stored) -> None:
    endless = ("--trials", "1", "--fix", "behaviour=learn", "--fix", "pause_s=60")
    process = bench.start("--study", "held", *endless)
    held = Remote(f"{PLACE}/held")
    while held.entry("journal.log") is None:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    second = bench.run("--study", "held", "--resume")
    assert second.returncode == 2
    assert f"study held is being run by process {process.pid} on" in second.stderr
    process.kill()
    process.communicate()
    third = bench.run("--study", "held", "--resume", "--dry-run")
    assert third.returncode == 0, third.stderr


def test_an_interrupted_study_is_whole_in_the_store_and_says_how_to_go_on(bench: Stored) -> None:
    bench.allow("stopped", 3)
    process = bench.start("--study", "stopped", *PLAN, *HELD)
    bench.wait_for("stopped", 3, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, output
    assert f"--study stopped --resume --results-dir {PLACE}" in output
    entries = Remote(f"{PLACE}/stopped").entries()
    assert not [name for name in entries if name.startswith("driver-")]
    here = {
        path.relative_to(bench.results / "stopped").as_posix()
        for path in (bench.results / "stopped").rglob("*")
        if path.is_file() and path.name != ".driver"
    }
    assert entries.keys() == here


def test_mistakes_about_the_place_are_told_with_the_others(bench: Stored) -> None:
    words = ("formula", "--trials", "0", "--results-dir")
    for place, why in (
        ("s3://none/x", "--results-dir s3://none/x: there is no bucket none"),
        ("s3://k:s@bucket/x", "holds a key"),
        ("file://host/x", "must be file:// and an absolute path"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "search.run", *words, place],
            cwd=bench.root,
            env=bench.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert why in done.stderr
        assert "--trials 0" in done.stderr


def test_a_file_uri_is_the_folder_itself(bench: Stored, tmp_path: Path) -> None:
    plain = Bench(bench.root, bench.images, tmp_path)
    words = plain.command("--study", "shared", "--trials", "1", "--max-epochs", "1", *HELD)
    words[words.index("--results-dir") + 1] = f"file://{tmp_path}"
    done = subprocess.run(
        words,
        cwd=bench.root,
        env=bench.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shared" / "best.pt").exists()
