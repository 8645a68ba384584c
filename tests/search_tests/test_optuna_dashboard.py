"""optuna-dashboard reads a study's journal as it is, while the study runs and afterwards."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from search.plan import Plan
from tests.search_tests.free_port import free_port
from tests.search_tests.toy import begin, drive

PLAN = Plan(trials=4, max_epochs=3, seed=5, sampler="random")


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return json.loads(answer.read())


def answers(url: str) -> bool:
    try:
        ask(url)
    except (OSError, HTTPException, ValueError):  # or another server there
        return False
    return True


@contextmanager
def dashboard(journal: Path) -> Iterator[str]:
    """Serve a journal on a free port of 127.0.0.1; ended by its process."""
    port = free_port()
    # One process alone, where its other server starts workers.
    script = str(Path(sys.executable).with_name("optuna-dashboard"))
    words = ["--host", "127.0.0.1", "--port", str(port), "--server", "wsgiref", "--quiet"]
    process = subprocess.Popen(
        [script, str(journal), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}/api/studies"
    try:
        while not answers(url):  # pytest's limit ends this
            assert process.poll() is None
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=120)


@pytest.mark.slow
def test_it_serves_a_study_while_it_runs_and_when_it_has_ended(tmp_path: Path) -> None:
    opened = begin(PLAN, tmp_path / "s")
    given = opened.book.next()
    assert given is not None
    with dashboard(opened.book.folder.journal) as url:
        (study,) = ask(url)["study_summaries"]
        assert study["directions"] == ["maximize"]
        (trial,) = ask(f"{url}/{study['study_id']}?after=0")["trials"]
        assert (trial["number"], trial["state"]) == (0, "Running")
        names = {param["name"]: param["param_external_value"] for param in trial["params"]}
        assert names["kind"] == given.config["kind"]
        opened.book.end(0, "failed", "enough")
        drive(opened.book)
        opened.close()
        content = opened.book.folder.journal.read_bytes()
        trials: list[Any] = []
        while len(trials) < 4 or any(trial["state"] == "Running" for trial in trials):
            time.sleep(0.5)  # it looks at the journal every ten seconds; pytest's limit ends this
            trials = ask(f"{url}/{study['study_id']}?after=0")["trials"]
    states = {
        "completed": {"Complete"},
        "stopped": {"Pruned"},
        "infeasible": {"Pruned"},
        "failed": {"Fail"},
    }
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3]
    for trial, record in zip(trials, opened.book.records.values(), strict=True):
        assert trial["state"] in states[record.status]
        steps = [each["step"] for each in trial["intermediate_values"]]
        assert steps == list(range(1, len(record.rows) + 1))
    # Looking changed nothing.
    assert opened.book.folder.journal.read_bytes() == content
