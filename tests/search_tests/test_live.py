import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from search import live, pulse
from search.book import Book
from search.doing import what_it_does
from search.live import Progress, line
from search.plan import Plan
from search.progress import clock, say, settings
from search.records import Record
from tests.search_tests.toy import begin, row

CONFIG = {"kind": "b", "depth": 2, "rate": 0.0012345, "drop": 0.2}
ROWS = (row(1, 0.5), row(2, 0.75))
PLAN = Plan(trials=5, max_epochs=4, sampler="random")


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return begin(PLAN, tmp_path / "s").book


def ended(book: Book, status: str, error: str = "", accuracy: float = 0.5) -> None:
    given = book.next()
    assert given is not None
    if status != "infeasible":
        book.report(given.number, row(1, accuracy))
        folder = book.folder.trial(given.number)  # as a worker would
        folder.mkdir(parents=True)
        (folder / "best.pt").touch()
    book.end(given.number, status, error)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (9.4, "0:09"),
        (59.6, "1:00"),
        (89.6, "1:30"),
        (3599.4, "59:59"),
        (3599.7, "1:00:00"),
        (3723, "1:02:03"),
        (100 * 3600, "100:00:00"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_settings() -> None:
    assert settings(CONFIG) == "kind=b depth=2 rate=0.00123 drop=0.2"
    assert settings({}) == ""
    # A whole number beside trials that lack it is a float; 0.9996 is not 1.
    found = settings({"width": 2048.0, "momentum": 0.9996, "share": 1234.5, "most": math.inf})
    assert found == "width=2048 momentum=0.9996 share=1234.5 most=inf"
    assert settings({"a": "x\x1b[2J\n"}) == r"a=x\x1b[2J\n"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            Record(3, "completed", CONFIG, 0, ROWS, 75.2),
            "trial 3 of 24 completed after 2 epochs, validation accuracy 0.7500, 1:15: "
            "kind=b depth=2 rate=0.00123 drop=0.2",
        ),
        (
            Record(4, "infeasible", {"kind": "a"}, 0, ROWS, 5.0, "diverged: epoch 3"),
            "trial 4 of 24 infeasible after 2 epochs, validation accuracy 0.7500, 0:05: kind=a "
            "(diverged: epoch 3)",
        ),
        (
            Record(5, "failed", CONFIG, 0, (), 5.0, "ValueError: no"),
            "trial 5 of 24 failed: ValueError: no",
        ),
    ],
)
def test_the_line_of_a_trial_by_hand(record: Record, text: str) -> None:
    assert line(record, 24) == text


def drawn(book: Book, elapsed_s: float = 61.0) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(Progress(book).table(elapsed_s))
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_table_of_an_empty_study(book: Book) -> None:
    text = drawn(book)
    assert "0 of 5 ended ()" in text
    assert "epoch 1: 0, epoch 3: 0" in text
    assert "1:01 elapsed" in text
    assert "left" not in text
    assert "best" not in text


def test_table_with_every_status(book: Book) -> None:
    ended(book, "completed", accuracy=0.625)
    ended(book, "infeasible", "out of memory")
    ended(book, "failed", "x", accuracy=0.7)
    for _ in range(2):
        book.next()
    book.report(3, row(1, 0.65))
    lines = [" ".join(each.split()) for each in drawn(book, 60.0).splitlines()]
    assert lines[0] == "trials 3 of 5 ended (1 completed, 1 failed, 1 infeasible, 2 running)"
    assert lines[1] == "best 0.6250 trial 0"
    assert lines[2] == "kind=a rate=0.001 drop=0"
    assert lines[3] == "rungs epoch 1: 3, epoch 3: 0"
    assert lines[4].startswith("trial 3 epoch 1 of 4 0.6500 kind=")
    assert lines[5].startswith("trial 4 epoch 0 of 4 kind=")
    # 2.25 trials' work in a minute, that of what did not fit being none; 1.75 are to come.
    assert lines[6] == "time 1:00 elapsed, about 0:47 left"


def test_table_without_rungs(tmp_path: Path) -> None:
    book = begin(Plan(2, 4, stopper="none", sampler="random"), tmp_path / "n").book
    assert "none" in drawn(book)


def on_terminal(
    book: Book, monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> tuple[list[str], set[int]]:
    """Return the lines of a terminal of this size, and the trials that were looked at for it."""
    looked: set[int] = set()

    def doing(folder: Path) -> str:
        looked.add(int(folder.name))
        return what_it_does(folder)

    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height)
    monkeypatch.setattr(live, "Console", lambda **_: console)
    monkeypatch.setattr(live, "what_it_does", doing)
    shown = console.render_lines(Progress(book).table(61.0), pad=False)
    lines = ["".join(part.text for part in line) for line in shown]
    return [" ".join(line.split()) for line in lines], looked


@pytest.fixture
def hundred(tmp_path: Path) -> Book:
    book = begin(replace(PLAN, trials=105), tmp_path / "hundred").book
    for _ in range(100):
        book.next()
    return book


def test_of_many_running_trials_as_many_are_shown_as_fit(
    hundred: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, looked = on_terminal(hundred, monkeypatch, 120, 40)
    # Trials, rungs, 35 of them, how many more, time, bar.
    assert len(lines) == 40
    assert lines[0] == "trials 0 of 105 ended (100 running)"
    assert lines[2].startswith("trial 0 epoch 0 of 4 kind=")
    assert lines[36].startswith("trial 34 epoch 0 of 4 kind=")
    assert lines[37:39] == ["and 65 more", "time 1:01 elapsed"]
    assert looked == {*range(35), 99}  # 99 was measured: its name is the longest


@pytest.mark.parametrize("height", [1, 5])
def test_where_no_trial_fits_none_is_shown(
    height: int, hundred: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, _ = on_terminal(hundred, monkeypatch, 120, height)
    assert lines[2:4] == ["and 100 more", "time 1:01 elapsed"]
    assert len(lines) == 5


def test_trials_that_fit_in_a_line_each_are_cut(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        book.next()
    lines, _ = on_terminal(book, monkeypatch, 40, 9)
    assert [line.split(" epoch")[0] for line in lines[2:7]] == [f"trial {n}" for n in range(5)]
    assert lines[2].endswith("\u2026")
    whole, _ = on_terminal(book, monkeypatch, 40, 30)  # in two lines and more
    assert len(whole) >= 14
    assert "\u2026" not in "".join(whole)


def test_a_terminal_has_what_a_table_without_one_has(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(book, "completed", accuracy=0.625)
    for _ in range(3):
        book.next()
    lines, _ = on_terminal(book, monkeypatch, 120, 40)
    assert lines[:-1] == [" ".join(each.split()) for each in drawn(book).splitlines()][:-1]
    book.end(1, "failed")
    book.end(2, "failed")
    book.end(3, "failed")
    lines, _ = on_terminal(book, monkeypatch, 120, 2)  # nothing is left out where none runs
    assert lines[:-1] == [" ".join(each.split()) for each in drawn(book).splitlines()][:-1]


def fail_on_terminal(book: Book, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "Console", lambda **_: Console(force_terminal=True, width=200))
    with Progress(book) as shown:
        ended(book, "failed", error, accuracy=0.25)
        shown.update()


def test_markup_in_an_error_is_shown_as_it_is(
    book: Book, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail_on_terminal(book, "ValueError: [red]no[/red] [/]", monkeypatch)
    text = capfd.readouterr().out
    assert "ValueError: [red]no[/red] [/]" in text
    assert "1 of 5 ended" in text


def test_an_error_moves_no_cursor(
    book: Book, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail_on_terminal(book, "ValueError: \x1b[2Jno", monkeypatch)
    assert r"ValueError: \x1b[2Jno" in capfd.readouterr().out


def test_without_a_terminal_there_is_one_line_per_ended_trial(
    book: Book, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "QUIET_S", 1e9)
    ended(book, "completed")  # before: an earlier driver told of it
    with Progress(book) as shown:
        ended(book, "infeasible", "out of memory")
        shown.update()
        shown.update()
        ended(book, "completed", accuracy=0.9)
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 2
    assert lines[0] == "trial 1 of 5 infeasible: out of memory"
    assert lines[1].startswith("trial 2 of 5 completed after 1 epochs, validation accuracy 0.9000")


def on_a_terminal(book: Book, monkeypatch: pytest.MonkeyPatch) -> tuple[Progress, list[float]]:
    """Return a table that is drawn there, and its clock, at 100 s: the list's one number."""
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(live, "Console", lambda **_: console)
    return Progress(book), now


def test_a_terminal_is_drawn_at_most_twice_a_second(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, now = on_a_terminal(book, monkeypatch)
    draws = []
    monkeypatch.setattr(Progress, "table", lambda *_: draws.append(now[0]) or "x")
    for now[0] in (100.0, 100.1, 100.4, 100.6, 100.7, 101.2):
        shown.update()
    assert draws == [100.0, 100.6, 101.2]
    shown.update(last=True)
    assert len(draws) == 4


def test_what_takes_long_to_draw_is_drawn_less_often(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, now = on_a_terminal(book, monkeypatch)
    draws = []

    def slow(*_: object) -> str:
        draws.append(now[0])
        now[0] += 0.25
        return "x"

    monkeypatch.setattr(Progress, "table", slow)
    for at in (100.0, 101.0, 105.0, 105.5):  # 0.25 s are a twentieth of 5 s, from 100.25 on
        now[0] = at
        shown.update()
    assert draws == [100.0, 105.5]


def test_messages_go_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    say("hello")
    assert capfd.readouterr() == ("", "hello\n")


def test_a_message_moves_no_cursor(capfd: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2J\tb\nBl\u00e4tter \udce4")
    assert capfd.readouterr().err == "a\\x1b[2J\\tb\nBl\u00e4tter \\udce4\n"
