"""What is told of work on data where there is no terminal."""

from collections.abc import Callable

import pytest

from search import progress
from search.progress import DataProgress


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    time = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return lambda seconds: time.__setitem__(0, 1000.0 + seconds)


def told(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().err.splitlines()


def test_short_work_is_told_at_its_end(
    now: Callable[[float], None], capfd: pytest.CaptureFixture[str]
) -> None:
    shown = DataProgress()
    for done in (1, 500, 1000):
        now(done / 200)
        shown("reading", done, 1000)
    assert told(capfd) == ["reading: 1,000 of 1,000"]


def test_long_work_is_told_every_ten_seconds(
    now: Callable[[float], None], capfd: pytest.CaptureFixture[str]
) -> None:
    shown = DataProgress()
    for second in range(1, 36):
        now(second)
        shown("reading", second, 35)
    assert told(capfd) == [f"reading: {n} of 35" for n in (10, 20, 30, 35)]


def test_works_that_take_turns_are_told_of_too(
    now: Callable[[float], None], capfd: pytest.CaptureFixture[str]
) -> None:
    shown = DataProgress()
    for second in range(1, 26):
        now(second)
        shown("drawing", second, 25)
        shown("storing", second, 25)
    lines = [f"drawing: {n} of 25" for n in (10, 20)]
    assert told(capfd) == [*lines, "drawing: 25 of 25", "storing: 25 of 25"]


def test_work_without_an_end_is_told_when_it_begins(
    now: Callable[[float], None], capfd: pytest.CaptureFixture[str]
) -> None:
    shown = DataProgress()
    for second in (1, 5, 12):
        now(second)
        shown("waiting for another process", 0, None)
    assert told(capfd) == ["waiting for another process"] * 2
