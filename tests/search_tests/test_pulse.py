"""A line about a study now and then where there is no terminal."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from search import live, pulse
from search.book import Book
from search.live import Progress
from search.plan import Plan
from search.pulse import Pulse, remaining_s
from tests.search_tests.toy import begin, row

PLAN = Plan(trials=5, max_epochs=4, sampler="random")


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return begin(PLAN, tmp_path / "s").book


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    time = [1000.0]
    monkeypatch.setattr(pulse.time, "monotonic", lambda: time[0])
    return lambda seconds: time.__setitem__(0, 1000.0 + seconds)


def ended(book: Book, accuracy: float) -> None:
    given = book.next()
    assert given is not None
    book.report(given.number, row(1, accuracy))
    book.end(given.number, "failed", "x")


def test_remaining_time_by_hand(book: Book) -> None:
    assert remaining_s(book, 10.0) is None
    book.next()
    assert remaining_s(book, 10.0) is None  # a running trial tells nothing yet
    book.report(0, row(1, 0.5))
    book.end(0, "completed")
    assert remaining_s(book, 10.0) == 40.0  # 4 more at 10 s each
    ended(book, 0.5)
    assert remaining_s(book, 30.0) == 45.0  # 3 more at 15 s each
    book.done_before = (1, 0)  # which an earlier driver had done
    assert remaining_s(book, 30.0) == 90.0
    for _ in range(2):
        book.next()
    book.report(2, row(1, 0.5))  # one of four epochs
    assert remaining_s(book, 30.0) == 30.0 / 1.25 * 2.75
    book.done_before = (1, 0.25)  # and that one, too
    assert remaining_s(book, 30.0) == 30.0 * 2.75


def test_what_took_no_work_tells_nothing_of_the_time(book: Book) -> None:
    book.next()
    book.end(0, "infeasible", "would need 9 GB")
    assert remaining_s(book, 1.0) is None
    ended(book, 0.5)
    assert remaining_s(book, 11.0) == 33.0  # one trial's work in 11 s, three to come


def test_trials_that_run_count_as_far_as_they_are(tmp_path: Path) -> None:
    book = begin(Plan(24, 4, sampler="random", stopper="none"), tmp_path / "many").book
    for _ in range(16):
        book.next()
    for epoch in range(1, 5):
        for number in range(16):
            book.report(number, row(epoch, 0.5))
    book.end(0, "completed")
    # All 16 at once took ten minutes: half of that for the eight that are left.
    assert remaining_s(book, 600.0) == 300.0


def test_due_after_half_a_minute_and_in_long_studies_after_a_twentieth_of_them(
    now: Callable[[float], None],
) -> None:
    beat = Pulse()
    found = []
    for second in range(0, 10_000):
        now(second)
        if beat.due:
            found.append(second)
            beat.said()
    assert found[:3] == [30, 60, 90]
    assert all(gap == 30 for gap, at in _gaps(found) if at <= 600)
    # At t, the line before it at s: t - s >= t / 20, so t = s / 0.95, and at 2000 s 100 of them.
    assert [gap for gap, at in _gaps(found) if 1900 < at < 2100] == [pytest.approx(100, abs=6)] * 2
    # A twentieth of 6,000 s is five minutes, the longest.
    assert {gap for gap, at in _gaps(found) if at > 6700} == {300}


def _gaps(found: list[int]) -> list[tuple[int, int]]:
    return [(b - a, b) for a, b in itertools.pairwise(found)]


def test_the_line_by_hand(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pulse.pulse(book, 30.0) == "0:30: 0 of 5 trials ended"
    book.next()
    assert pulse.pulse(book, 60.0) == "1:00: 0 of 5 trials ended; trial 0 epoch 0 of 4"
    folder = book.folder.trial(0)
    folder.mkdir(parents=True)
    (folder / "best.pt").touch()
    book.report(0, row(1, 0.625))
    book.end(0, "completed")
    book.next()
    book.report(1, row(1, 0.75))
    book.next()
    # Of five trials' work 1.25 is done in 90 s.
    assert pulse.pulse(book, 90.0) == (
        "1:30: 1 of 5 trials ended, best 0.6250 (trial 0), about 4:30 left; "
        "trial 1 epoch 1 of 4 0.7500, trial 2 epoch 0 of 4"
    )
    monkeypatch.setattr(pulse, "_TRIALS", 1)
    assert pulse.pulse(book, 90.0).endswith("; trial 1 epoch 1 of 4 0.7500, 1 more")


def test_a_study_without_a_terminal_is_not_silent_for_long(
    book: Book,
    now: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert live.time is pulse.time
    with Progress(book) as shown:
        book.next()
        for second in (1, 29, 31, 59):
            now(second)
            shown.update()
        ended(book, 0.5)  # its line is a sign of life, too
        for second in (60, 80, 91):
            now(second)
            shown.update()
        now(93)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "0:31: 0 of 5 trials ended; trial 0 epoch 0 of 4"
    assert lines[1].startswith("trial 1 of 5 failed")
    assert lines[2] == "1:31: 1 of 5 trials ended, about 6:04 left; trial 0 epoch 0 of 4"
    # Cut short: the last line is of what was still running.
    assert lines[3] == "1:33: 1 of 5 trials ended, about 6:12 left; trial 0 epoch 0 of 4"
    assert len(lines) == 4


def test_a_space_of_few_configurations_is_no_endless_study(tmp_path: Path) -> None:
    few = Plan(24, 4, sampler="random", fixed={"rate": 1e-2, "drop": 0.2})  # a, and b three deep
    book = begin(few, tmp_path / "few").book
    ended(book, 0.5)
    assert book.total == 4
    assert pulse.pulse(book, 10.0) == "0:10: 1 of 4 trials ended, about 0:30 left"
