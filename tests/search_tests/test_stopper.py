from types import SimpleNamespace
from typing import Any

import pytest

from search.passed import NOTES, NUMBER, OUTCOME, OUTSIDE, RUNNING
from search.retries import Death
from search.stopper import StudyStopper, death_of

DIED = """Failure # 1 (occurred at 2026-11-22_07-00-00)
The actor died unexpectedly before finishing this task.
\tclass_name: Worker
\tpid: 4711
"""
BROKEN = """Failure # 2 (occurred at 2026-11-22_07-00-01)
ray::Worker.__init__ (pid=4712)
  File "worker.py", line 1, in <module>
ModuleNotFoundError: No module named 'torch'
"""


FULL = """Failure # 1 (occurred at 2026-11-22_07-00-00)
OutOfMemoryError: Memory on the node (IP: 10.0.0.1, ID: ab) was 9.60GB used / 10GB limit (0.96)
Ray killed 1 worker(s) based on the killing policy
"""
FULL_LATER = """Failure # 1 (occurred at 2026-11-22_07-00-00)
The actor died unexpectedly before finishing this task.
1 worker(s) were killed due to the node running low on memory.
"""
NODE = """Failure # 1 (occurred at 2026-11-22_07-00-00)
The actor died unexpectedly before finishing this task.
\tip: 10.0.0.2
The actor died because its node has died. Node Id: 54f1, the actor's node was terminated
"""
UNTOLD = """Failure # 1 (occurred at 2026-11-22_07-00-00)
The actor 9ad2f4 is unavailable: The actor is temporarily unavailable: RpcError. The task may
"""
MEMORY = Death("killed by Ray, since its node ran low on memory", memory=True)


@pytest.mark.parametrize(
    ("text", "death"),
    [
        (DIED, Death("the worker process died")),
        (BROKEN, Death("ModuleNotFoundError: No module named 'torch'")),
        (BROKEN + DIED, Death("the worker process died")),  # the last one counts
        (DIED + BROKEN, Death("ModuleNotFoundError: No module named 'torch'")),
        (UNTOLD, Death("the worker process died")),
        ("", Death("the worker was lost")),
        (NODE, Death("the node of its worker was lost", node=True)),
        (FULL, MEMORY),
        (FULL_LATER, MEMORY),
        (FULL + DIED, Death("the worker process died")),
    ],
)
def test_the_last_failure_is_told_in_one_line(text: str, death: Death) -> None:
    assert death_of(text) == death


def test_a_trial_whose_gpu_others_fill_is_not_ended(capsys: pytest.CaptureFixture[str]) -> None:
    book: Any = SimpleNamespace(end=lambda *_: pytest.fail("was ended"))
    deaths: dict[str, Death] = {}
    stopper = StudyStopper(book, deaths, None)  # type: ignore[arg-type]
    trial: Any = SimpleNamespace(config={NUMBER: 3}, trial_id="x")
    result = {OUTCOME: OUTSIDE, "error": "other programs hold it", NOTES: ["a note"]}
    stopper.on_trial_complete(None, trial, result)
    assert deaths == {"x": Death("other programs hold it", outside=True)}
    assert capsys.readouterr().err == "trial 3: a note\n"


def test_what_a_worker_tells_of_the_epoch_that_stops_its_trial_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After the answer STOP, Tune ends the trial with the same result."""
    book: Any = SimpleNamespace(report=lambda *_: True, end=None)
    stopper = StudyStopper(book, {}, None)  # type: ignore[arg-type]
    trial: Any = SimpleNamespace(config={NUMBER: 3})
    result = {OUTCOME: RUNNING, NOTES: ["a note"]}
    assert stopper.on_trial_result(None, trial, result) == "STOP"
    stopper.on_trial_complete(None, trial, result)
    assert capsys.readouterr().err == "trial 3: a note\n"
