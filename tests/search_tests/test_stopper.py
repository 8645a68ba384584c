import pytest

from search.stopper import cause_of_death

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


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (DIED, "the worker process died"),
        (BROKEN, "ModuleNotFoundError: No module named 'torch'"),
        (BROKEN + DIED, "the worker process died"),  # the last one counts
        (DIED + BROKEN, "ModuleNotFoundError: No module named 'torch'"),
        ("", "the worker was lost"),
    ],
)
def test_the_last_failure_is_told_in_one_line(text: str, cause: str) -> None:
    assert cause_of_death(text) == cause
