"""What a signal does to a search outside the study itself: before it, and after it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import session
from search.errors import EXIT_DONE, EXIT_INTERRUPTED, ResumeRefused
from search.interrupts import EndEarly, Interrupts
from search.plan import Plan
from search.resources import Resources
from search.session import Session
from tests.search_tests.test_worker_room import full, no_cache
from tests.search_tests.toy import DATA, EXPERIMENT, manifest
from trainables.budget import Weights

PLAN = Plan(trials=3, max_epochs=2, seed=5, sampler="random")
INTERRUPTED = EndEarly("terminated", asked_for=False)
USED_UP = EndEarly("time budget reached", asked_for=True)


@pytest.mark.parametrize(
    ("began", "end", "code", "told"),
    [
        (False, INTERRUPTED, EXIT_INTERRUPTED, "terminated before the study began; nothing was"),
        (False, USED_UP, EXIT_DONE, "time budget reached before the study began; nothing was"),
        (False, KeyboardInterrupt(), EXIT_INTERRUPTED, "interrupted before the study began; "),
        (True, INTERRUPTED, EXIT_INTERRUPTED, "terminated: everything is kept\n"),
        (True, KeyboardInterrupt(), EXIT_INTERRUPTED, "interrupted: everything is kept\n"),
    ],
)
def test_a_signal_while_data_is_made_or_the_table_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    began: bool,
    end: BaseException,
    code: int,
    told: str,
) -> None:
    def ended(self: Session) -> int:
        raise end

    made = Session.__new__(Session)
    monkeypatch.setattr(made, "_opened", object() if began else None, raising=False)
    monkeypatch.setattr(Session, "_run", ended)
    assert made.run() == code
    assert capsys.readouterr().err.startswith(told)


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
    made = Session.__new__(Session)
    request = SimpleNamespace(folder=Path("/results/mine"))
    made.__dict__.update(_request=request, _opened=None)
    assert str(made._broken(error)).startswith(told)


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
