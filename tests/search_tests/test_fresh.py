from pathlib import Path

import pytest

from search import fresh
from search.folder import StudyFolder
from search.fresh import FreshTable
from search.records import Record


class Clock:
    """A clock that a write of the table moves on by `write_s`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.write_s = 100.0, 0.0
        self.writes: list[float] = []
        write = StudyFolder.write_trials

        def slow(folder: StudyFolder, records: object) -> None:
            write(folder, records)  # type: ignore[arg-type]
            self.writes.append(self.now)
            self.now += self.write_s

        monkeypatch.setattr(StudyFolder, "write_trials", slow)
        monkeypatch.setattr(fresh.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def records(count: int) -> dict[int, Record]:
    return {number: Record(number, "running", {}, 0) for number in range(count)}


def rows(root: Path) -> int:
    return len((root / "trials.csv").read_text().splitlines()) - 1


def test_a_short_table_is_written_at_every_change(tmp_path: Path, clock: Clock) -> None:
    table = FreshTable(StudyFolder(tmp_path), records(32))
    for clock.now in (100.0, 100.01, 100.02):
        table.changed()
    assert clock.writes == [100.0, 100.01, 100.02]


def test_a_long_one_is_written_at_most_twice_a_second(tmp_path: Path, clock: Clock) -> None:
    table = FreshTable(StudyFolder(tmp_path), records(33))
    for clock.now in (100.0, 100.1, 100.4, 100.6, 100.7, 101.2):
        table.changed()
    assert clock.writes == [100.0, 100.6, 101.2]


def test_a_slow_write_takes_a_twentieth_of_the_time(tmp_path: Path, clock: Clock) -> None:
    table = FreshTable(StudyFolder(tmp_path), records(33))
    clock.write_s = 0.1
    table.changed()  # from 100.0 to 100.1; 0.1 s is a twentieth of 2 s
    for clock.now in (100.2, 101.0, 102.0, 102.2):
        table.changed()
    assert clock.writes == [100.0, 102.2]


def test_a_change_that_had_to_wait_is_written_later(tmp_path: Path, clock: Clock) -> None:
    kept = records(33)
    table = FreshTable(StudyFolder(tmp_path), kept)
    table.changed()
    kept[33] = Record(33, "running", {}, 0)
    table.changed()
    assert rows(tmp_path) == 33
    table.write_due()
    assert rows(tmp_path) == 33
    clock.now += 0.6
    table.write_due()
    assert rows(tmp_path) == 34
    clock.now += 0.6
    table.write_due()
    assert len(clock.writes) == 2  # nothing new: nothing written
