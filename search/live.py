"""What the user sees while a study runs: a live table, or lines where there is no terminal."""

import contextlib
import math
import time
from collections import Counter

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.book import Book
from search.doing import what_it_does
from search.epochs import judged_after
from search.plan import rungs_in_reach
from search.progress import clock, say, settings
from search.pulse import Pulse, pulse, remaining_s
from search.records import Record
from trainables.errors import one_line

_REFRESH_S = 0.5
# Of the driver's time, what drawing takes at most: with many trials it is drawn less often.
_SHARE = 0.05


def line(record: Record, total: int) -> str:
    """Return the line of a trial that has ended."""
    head = f"trial {record.number} of {total} {record.status}"
    if math.isnan(record.val_accuracy):
        return f"{head}: {record.error}"
    note = f" ({record.error})" if record.error else ""
    return (
        f"{head} after {len(record.rows)} epochs, validation accuracy {record.val_accuracy:.4f}, "
        f"{clock(record.wall_s)}: {settings(record.config)}{note}"
    )


class Progress:
    """Follows a book. Call `update` often; it draws twice a second at most, long tables less."""

    def __init__(self, book: Book) -> None:
        """Begin to follow."""
        self._book = book
        self._began = time.monotonic()
        self._next = 0.0
        self._pulse = Pulse()
        self._in_reach = rungs_in_reach(book.experiment, book.plan)
        self._doing: dict[int, str] = {}
        self._told = {n for n, r in book.records.items() if r.status != "running"}
        console = Console(stderr=True)
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        """Open the live table."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Draw the last state and close."""
        self.update(last=True)
        if self._live:
            with contextlib.suppress(OSError):
                self._live.stop()

    def update(self, last: bool = False) -> None:
        """Tell of trials that have ended, and draw, if it is time: it looks at every trial."""
        now = time.monotonic()
        if not last and now < self._next:
            return
        self._book.table.write_due()
        began = time.monotonic()
        self._draw(now, last)
        ended = time.monotonic()
        self._next = max(now + _REFRESH_S, ended + (ended - began) / _SHARE)

    def _draw(self, now: float, last: bool) -> None:
        self._tell_ended()
        if self._live:
            with contextlib.suppress(OSError):  # the terminal was closed
                self._live.update(self.table(now - self._began), refresh=True)
        else:
            self._tell_doing()
            if self._pulse.due or (last and self._cut_short):
                self._print(pulse(self._book, now - self._began))

    @property
    def _cut_short(self) -> bool:
        """Whether trials are running still: at the end, what became of them is worth a line."""
        return any(record.status == "running" for record in self._book.records.values())

    def _tell_ended(self) -> None:
        for number, record in self._book.records.items():
            if record.status != "running" and number not in self._told:
                self._told.add(number)
                if self._live is None or record.status in ("failed", "infeasible"):
                    self._print(line(record, self._book.total))

    def _tell_doing(self) -> None:
        """Say once what a trial does before its first epoch: it may take minutes."""
        for number, record in self._book.records.items():
            if record.status == "running" and not record.rows:
                what = what_it_does(self._book.folder.trial(number)).split(":")[0]
                if what and self._doing.get(number) != what:
                    self._doing[number] = what
                    self._print(f"trial {number}: {what}")

    def _print(self, text: str) -> None:
        if self._live:
            with contextlib.suppress(OSError):
                self._live.console.print(one_line(text), markup=False, highlight=False)
        else:
            say(text)
            self._pulse.said()

    def table(self, elapsed_s: float) -> Group:
        """Return the live table, with as many running trials as the terminal has lines for."""
        running = [each for each in self._book.records.values() if each.status == "running"]
        if self._live is None or not running:
            return self._table(elapsed_s, running)
        console = self._live.console
        if len(running) < console.height:
            whole = self._table(elapsed_s, running)
            if _lines(whole, console) <= console.height:
                return whole
        # A line each; the last has the longest name, so that no other moves the lines above.
        least = self._table(elapsed_s, running[-1:], len(running) - 1)
        room = console.height - _lines(least, console) + 1
        room += room == len(running) - 1  # one more has the line that would say so
        shown = running[: max(0, room)]
        return self._table(elapsed_s, shown, len(running) - len(shown))

    def _table(self, elapsed_s: float, shown: list[Record], more: int | None = None) -> Group:
        """Return a table of some running trials; with `more` beside them they have a line each."""
        records = list(self._book.records.values())
        counts = Counter(record.status for record in records)
        ended, total = len(records) - counts["running"], self._book.total
        grid = Table.grid(padding=(0, 2))
        states = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
        grid.add_row("trials", Text(f"{ended} of {total} ended ({states})"))
        best = self._book.best
        if best is not None:
            grid.add_row("best", Text(f"{best.val_accuracy:.4f}  trial {best.number}"))
            grid.add_row("", Text(settings(best.config)))
        grid.add_row("rungs", Text(self._rungs(records) or "none"))
        self._add_running(grid, shown, more)
        left = remaining_s(self._book, elapsed_s)
        about = "" if left is None else f", about {clock(left)} left"
        grid.add_row("time", Text(f"{clock(elapsed_s)} elapsed{about}"))
        return Group(grid, ProgressBar(total=total, completed=ended, width=60))

    def _add_running(self, grid: Table, shown: list[Record], more: int | None) -> None:
        cut = more is not None
        for record in shown:
            text = Text(_running(record, self._book), no_wrap=cut or None)
            text.overflow = "ellipsis" if cut else None
            grid.add_row(f"trial {record.number}", text)
        if more:
            grid.add_row("", f"and {more} more")

    def _rungs(self, records: list[Record]) -> str:
        judged = [judged_after(self._book.experiment, record.config) for record in records]
        counted = [
            len(record.rows) - after
            for record, after in zip(records, judged, strict=True)
            if after is not None
        ]
        reached = {rung: sum(n >= rung for n in counted) for rung in self._in_reach}
        return ", ".join(f"epoch {rung}: {count}" for rung, count in reached.items())


def _lines(table: Group, console: Console) -> int:
    return len(console.render_lines(table, pad=False))


def _running(record: Record, book: Book) -> str:
    epochs = f"epoch {len(record.rows)} of {book.epochs_of(record.number)}"
    if not record.rows:
        doing = what_it_does(book.folder.trial(record.number))
        return f"{epochs}  {doing or settings(record.config)}"
    return f"{epochs}  {record.rows[-1]['val_accuracy']:.4f}  {settings(record.config)}"
