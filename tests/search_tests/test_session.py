"""What a signal does to a search outside the study itself: before it, and after it."""

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import broken, session, study
from search.broken import broken_off
from search.errors import EXIT_DONE, EXIT_INTERRUPTED, ResumeRefused, StudyFailed, UsageError
from search.interrupts import EndEarly, Interrupts
from search.plan import Plan
from search.request import Request
from search.resources import Resources
from search.session import Session
from tests.search_tests.test_worker_room import full, no_cache
from tests.search_tests.toy import DATA, EXPERIMENT, manifest
from trainables.budget import Weights
from trainables.errors import TrellisError

PLAN = Plan(trials=3, max_epochs=2, seed=5, sampler="random")
INTERRUPTED = EndEarly("terminated", asked_for=False)
USED_UP = EndEarly("time budget reached", asked_for=True)
UNBEGUN = "no study was begun; what was downloaded or prepared is kept\n"
AS_IT_WAS = "the study is as it was. Go on with\n  go on\n"


@pytest.mark.parametrize(
    ("began", "resume", "end", "code", "told"),
    [
        (False, False, INTERRUPTED, EXIT_INTERRUPTED, f"terminated: {UNBEGUN}"),
        (False, False, USED_UP, EXIT_DONE, f"time budget reached: {UNBEGUN}"),
        (False, False, KeyboardInterrupt(), EXIT_INTERRUPTED, f"interrupted: {UNBEGUN}"),
        (False, True, USED_UP, EXIT_DONE, f"time budget reached: {AS_IT_WAS}"),
        (False, True, INTERRUPTED, EXIT_INTERRUPTED, f"terminated: {AS_IT_WAS}"),
        (True, False, INTERRUPTED, EXIT_INTERRUPTED, "terminated: everything is kept\n"),
        (True, True, KeyboardInterrupt(), EXIT_INTERRUPTED, "interrupted: everything is kept\n"),
    ],
)
def test_a_signal_while_data_is_made_or_the_table_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    began: bool,
    resume: bool,
    end: BaseException,
    code: int,
    told: str,
) -> None:
    def ended(self: Session) -> int:
        raise end

    made = Session.__new__(Session)
    request = SimpleNamespace(resume=resume, again=("go", "on"))
    made.__dict__.update(_opened=object() if began else None, _request=request)
    monkeypatch.setattr(Session, "_run", ended)
    assert made.run() == code
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("data", "weights", "told"),
    [
        ("other", "w", r"the data in embedded is not what mine was trained on"),
        (None, "other", r"the weights /w\.pt are not what mine was trained from"),
    ],
)
def test_a_confirmation_on_other_data_or_weights_is_refused_before_it_trains(
    data: str | None, weights: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replace(DATA, fingerprint=data) if data else DATA
    monkeypatch.setattr(session, "open_data", lambda *_: found)
    monkeypatch.setattr(session, "find_weights_of", lambda *_: Weights("file", "/w.pt", weights))
    made = Session.__new__(Session)
    request = SimpleNamespace(
        experiment=EXPERIMENT, weights=None, data=None, resume=False, folder=Path("mine/confirm")
    )
    old = manifest(PLAN) | {"weights": {"fingerprint": "w"}}
    made.__dict__.update(_request=request, _old=old, _interrupts=Interrupts())
    with pytest.raises(ResumeRefused, match=told):
        made._run()


def dry(plan: Plan, resume: bool) -> int:
    """A dry run of the toy with `plan`, of a study that has PLAN."""
    made = Session.__new__(Session)
    request = SimpleNamespace(
        experiment=EXPERIMENT, plan=plan, folder=Path("s"), resume=resume, resources=None, again=()
    )
    made.__dict__.update(_request=request, _old=manifest(PLAN), _weights=None)
    return made._dry_run(DATA)


def test_a_dry_run_refuses_what_the_run_would(capsys: pytest.CaptureFixture[str]) -> None:
    assert dry(PLAN, resume=True) == EXIT_DONE
    assert capsys.readouterr().err == "dry run: no study was changed\n"
    with pytest.raises(
        ResumeRefused, match=r"^study s was made .*\nbudget.trials: the study has 3"
    ):
        dry(replace(PLAN, trials=9), resume=True)
    assert dry(replace(PLAN, trials=9), resume=False) == EXIT_DONE
    assert capsys.readouterr().err == "dry run: no study was begun\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (no_cache(Path("/fast/cache")), "the study broke off: cannot write the cache in /fast/ca"),
        (full("/results/mine/trials.csv"), "the disk of /results/mine is full"),
    ],
)
def test_the_disk_that_is_full_is_named(error: Exception, told: str) -> None:
    request: Any = SimpleNamespace(folder=Path("/results/mine"))
    assert str(broken_off(request, False, error)).startswith(told)


def going_on(root: Path, error: Exception, resume: bool, training: bool) -> Session:
    """A session whose study is open in `root`, and whose search ends with `error`."""
    made = Session.__new__(Session)
    request = SimpleNamespace(folder=root, resume=resume, again=("go", "on"))
    made.__dict__.update(_request=request, _opened=object(), _under_way=training)

    def search(_: object) -> None:
        raise error

    def close() -> None:  # what a store gets last has the traceback
        assert (root / "error.txt").exists() is (training or not resume)

    made.__dict__.update(_search=search, _close=close)
    return made


@pytest.mark.parametrize(("resume", "training"), [(True, True), (False, True), (False, False)])
def test_what_breaks_a_study_off_is_in_its_folder_before_that_is_closed(
    resume: bool, training: bool, tmp_path: Path
) -> None:
    made = going_on(tmp_path, UsageError(["no node has 9 CPUs", "nor 9 GPUs"]), resume, training)
    none: Any = None
    with pytest.raises(StudyFailed) as told:
        made._guarded(none)
    path = tmp_path / "error.txt"
    assert str(told.value) == (
        f"the study broke off: no node has 9 CPUs (all of it in {path})\n"
        "what is finished is kept; go on with go on"
    )
    assert path.read_text().splitlines()[-1] == "nor 9 GPUs"
    assert "in search" in path.read_text()  # where it came from


@pytest.mark.parametrize("error", [UsageError(["one", "two"]), StudyFailed("no Ray there")])
def test_what_a_resume_is_refused_for_is_told_as_of_a_new_study(
    error: TrellisError, tmp_path: Path
) -> None:
    none: Any = None
    with pytest.raises(type(error)) as told:
        going_on(tmp_path, error, resume=True, training=False)._guarded(none)
    assert told.value is error
    assert not (tmp_path / "error.txt").exists()


@pytest.mark.parametrize("confirming", [False, True])
def test_after_the_way_on_is_told_a_signal_counts_only_where_there_is_more_to_do(
    confirming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Session.__new__(Session)
    interrupts, said = Interrupts(), list[str]()

    def search(_: object) -> None:
        raise INTERRUPTED

    request = SimpleNamespace(again=("confirm",) if confirming else ())
    made.__dict__.update(_request=request, _opened=object(), _interrupts=interrupts)
    made.__dict__.update(_search=search, _close=lambda: None)
    monkeypatch.setattr(broken, "resume_command", lambda _: "go on")
    for each in (session, broken):
        monkeypatch.setattr(each, "say", said.append)
    none: Any = None
    with interrupts.caught():
        assert made._guarded(none) == EXIT_INTERRUPTED
        assert said == ["", "terminated: everything is kept. Go on with", "  go on"]
        with pytest.raises(EndEarly) if confirming else contextlib.nullcontext():
            os.kill(os.getpid(), signal.SIGINT)


def test_a_study_that_goes_on_forgets_what_broke_it_off(tmp_path: Path) -> None:
    content = manifest(PLAN)
    begun = study.begin(EXPERIMENT, PLAN, tmp_path / "s", content)
    begun.close()
    (tmp_path / "s" / "error.txt").write_text("the disk was full")
    made = Session.__new__(Session)
    none: Any = None
    request = Request(
        EXPERIMENT, PLAN, DATA.spec, tmp_path / "s", True, none, None, "local", None, False
    )
    made.__dict__.update(_request=request, _interrupts=Interrupts(), _mirror=None, _beside=[])
    made._open(study.go_on, content)
    assert made._opened is not None
    made._opened.close()
    assert not (tmp_path / "s" / "error.txt").exists()


@pytest.mark.parametrize(
    ("unfinished", "again", "written"),
    [
        (False, (), ["evaluation", "conclusion"]),
        (True, (), []),  # there may be a better trial yet
        (False, ("python", "-m", "search.confirm"), []),  # whose own table comes
    ],
)
def test_a_finished_study_writes_the_files_about_its_best_before_it_is_closed(
    unfinished: bool, again: tuple[str, ...], written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = replace(EXPERIMENT, class_metrics=True, conclusion="closing")
    request = SimpleNamespace(experiment=experiment, again=again, device="cpu")
    book, done = SimpleNamespace(unfinished=unfinished), list[str]()

    def evaluate_best(*given: object) -> None:
        assert given == (experiment, book, DATA, "float32", "cpu")
        done.append("evaluation")

    def conclude(*given: object) -> None:
        assert given[:-1] == (request, book, DATA, "float32")
        done.append("conclusion")

    monkeypatch.setattr("search.evaluation.evaluate_best", evaluate_best)
    monkeypatch.setattr("search.conclusion.conclude", conclude)
    made = Session.__new__(Session)
    made.__dict__.update(_request=request, _opened=SimpleNamespace(book=book))
    made.__dict__.update(_interrupts=Interrupts(), _precision="float32")
    made.__dict__.update(_search=lambda _: None, _close=lambda: done.append("closed"))
    assert made._guarded(DATA) == EXIT_DONE
    assert done == [*written, "closed"]


@pytest.mark.parametrize(
    ("gpus", "asked", "old", "kept"),
    [
        (1.0, "auto", None, "bfloat16"),
        (1.0, "float32", None, "float32"),
        (1.0, "auto", {"resources": {"precision": "float32"}}, "float32"),
        (None, "auto", None, "auto"),  # on a cluster, whose GPUs are not here
        (0.0, "auto", {"resources": {"precision": "auto"}}, "auto"),  # goes on without the GPU
    ],
)
def test_what_auto_stands_for_on_a_gpu_is_kept(
    gpus: float | None,
    asked: str,
    old: dict[str, Any] | None,
    kept: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "precision_of_this_gpu", lambda: "bfloat16")
    resources = None if gpus is None else Resources(1, gpus, 1)
    plan = replace(PLAN, precision=asked)
    request: Any = SimpleNamespace(resources=resources, plan=plan)
    none: Any = None
    assert Session(request, none, old)._precision == kept
