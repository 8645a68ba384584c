"""Tune's loop as this project has it: workers start whole, know no Tune and are used again."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.tune import registry
from ray.tune import tune as running
from ray.tune.execution.tune_controller import TuneController

from search.controller import Controller, Stands, lean
from search.errors import StudyFailed
from search.worker import Worker
from tests.search_tests.bench import ROOT, Bench, make_bench


def controller(started: bool, resetting: bool, others: set[str]) -> Controller:
    """Return a controller in whose hands the trial "mine" has an actor, and others have none."""
    made = Controller.__new__(Controller)
    made._trial_to_actor = {"mine": "own"}
    made._pending_trials = {"mine", *others}
    made._actor_manager = SimpleNamespace(is_actor_started=lambda actor: started)
    made._resetting_trials = {"mine"} if resetting else set()
    return made


@pytest.mark.parametrize(
    ("trial", "started", "resetting", "others", "reused"),
    [
        ("mine", True, False, {"new"}, False),  # its worker comes: the free one is for another
        ("mine", True, False, set(), True),  # for whom there is no other: its own may never come
        ("mine", False, False, {"new"}, True),  # no place for its own: the free one may have it
        ("new", False, False, {"new"}, True),  # it has none
        ("mine", True, True, {"new"}, True),  # it has got the free one already
    ],
)
def test_a_trial_keeps_the_worker_that_is_being_started_for_it(
    trial: str,
    started: bool,
    resetting: bool,
    others: set[str],
    reused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TuneController, "_maybe_reuse_cached_actor", lambda self, trial: True)
    made = controller(started, resetting, others)
    assert made._maybe_reuse_cached_actor(trial) is reused


def test_what_the_study_raises_at_a_trial_s_end_ends_the_study() -> None:
    """Tune takes it for the death of the trial's worker: trials would be tried again, and fail."""

    class Scheduler:
        def on_trial_complete(self, *_: object) -> None:
            raise StudyFailed("the disk is full")

    made = Controller.__new__(Controller)
    made._fail_fast = False
    made._scheduler_alg = Scheduler()
    trial = SimpleNamespace(status=tune.experiment.Trial.RUNNING, last_result={})
    with pytest.raises(StudyFailed, match="the disk is full"):
        made.stop_trial(trial)
    assert made._fail_fast is False  # the death of a worker does not end a study


def test_tune_is_its_own_again_after_a_study() -> None:
    def parts() -> list[Any]:
        known = registry._global_registry
        return [running.TuneController, tune.experiment.Trial.set_ray_actor, known.get]

    def fail() -> None:
        with lean(Worker):
            assert all(now != then for now, then in zip(parts(), before, strict=True))
            raise KeyError("a study")

    before = parts()
    with pytest.raises(KeyError, match="a study"):
        fail()
    assert parts() == before


def test_a_class_is_asked_for_once_in_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def get(category: str, name: str) -> type:
        asked.append(name)
        return Stands

    monkeypatch.setattr(registry._global_registry, "get", get)
    monkeypatch.setattr(registry._global_registry, "contains", lambda category, name: True)
    for _ in range(2):  # what one study was told is nothing to the next
        with lean(Worker):
            found = [registry.get_trainable_cls("x") for _ in range(3)]
        assert found == [Stands] * 3
    assert asked == ["x", "x"]


def test_a_worker_needs_no_tune() -> None:
    heavy = "{'ray.tune', 'ray.train', 'pandas', 'pyarrow', 'optuna'}"
    code = f"import sys, search.worker; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# Appended to the bench's resources: four places whatever this machine has.
MACHINE = """

def this_machine() -> Machine:
    return Machine(4, 0)
"""
# A worker that the machine lets start late is waited for: with its first trial, and its second.
NOTE = """    import sys
    told = {"process": os.getpid(), "modules": sorted({"ray.tune", "pandas"} & set(sys.modules))}
    log = budget.folder.parents[1] / "workers.log"
    with log.open("a") as file:
        file.write(json.dumps(told) + "\\n")

    def trials():
        lines = log.read_text().splitlines(keepends=True)
        known = [json.loads(line)["process"] for line in lines if line.endswith("\\n")]
        return [known.count(process) for process in set(known)], known.count(os.getpid())

    while True:
        every, mine = trials()
        if len(every) == 4 and min(every) >= min(mine, 2):
            break
        time.sleep(0.02)
"""
BEGIN = "    budget.folder.mkdir(parents=True, exist_ok=True)\n"


def with_four_places(folder: Path) -> Bench:
    bench = make_bench(folder)
    for name, old, new in (
        ("search/resources.py", "", MACHINE),
        ("search/connection.py", '"num_cpus": usable_cpus(),', '"num_cpus": 4,'),
        ("trainables/formula.py", BEGIN, BEGIN + NOTE),
    ):
        path = bench.root / name
        text = path.read_text()
        assert not old or text.count(old) == 1
        path.write_text(text.replace(old, new) if old else text + new)
    return bench


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_workers_work_however_short_the_trials_are(tmp_path: Path) -> None:
    bench = with_four_places(tmp_path)
    words = ["--study", "short", "--trials", "60", "--max-epochs", "1", "--sampler", "random"]
    done = bench.run(*words, "--fix", "behaviour=learn", "--fix", "pause_s=0.2")
    assert done.returncode == 0, done.stderr
    lines = (bench.results / "short" / "workers.log").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert len(told) == 60
    assert {tuple(each["modules"]) for each in told} == {()}
    trials = [sum(each["process"] == one for each in told) for one in {t["process"] for t in told}]
    assert len(trials) == 4  # none was ended for another, none took its place
    assert min(trials) >= 2
