"""A file system that gives no locks, and a study that another driver holds: told apart."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from search import journal, study
from search.errors import StudyTaken, UsageError
from search.journal import own
from search.overview import is_driven
from search.plan import Plan
from tests.search_tests.toy import EXPERIMENT, manifest

PLAN = Plan(trials=3, max_epochs=2, sampler="random")
NO_LOCK = r"^the file system of .* gives no lock \(No locks available\): .*another --results-dir"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As NFS without its lock daemon; a list of the locks that were asked for."""
    found: list[int] = []

    def refuse(_descriptor: int, operation: int) -> None:
        found.append(operation)
        assert len(found) < 5, "it is asked for again and again"
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return found


@pytest.mark.usefixtures("asked")
def test_a_file_system_without_locks_holds_no_study(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=NO_LOCK) as told:
        own(tmp_path)
    assert not isinstance(told.value, StudyTaken)


def test_a_study_that_is_held_is_taken(tmp_path: Path) -> None:
    held = own(tmp_path)
    with pytest.raises(StudyTaken, match="is being run by another process"):
        own(tmp_path)
    assert is_driven(tmp_path)
    os.close(held)
    assert not is_driven(tmp_path)


@pytest.mark.parametrize(("looks", "taken"), [(3, False), (4, True)])
def test_who_only_looks_at_a_study_does_not_keep_it_from_going_on(
    looks: int, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []

    def held(_descriptor: int, operation: int) -> None:
        assert operation == fcntl.LOCK_EX | fcntl.LOCK_NB
        told.append("asked")
        if told.count("asked") <= looks:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))

    monkeypatch.setattr(fcntl, "flock", held)
    monkeypatch.setattr(journal.time, "sleep", told.append)
    if taken:
        with pytest.raises(StudyTaken, match="is being run by another process"):
            own(tmp_path)
    else:
        os.close(own(tmp_path))
    assert told == ["asked", 0.1, "asked", 0.1, "asked", 0.1, "asked"]


def test_no_other_name_is_tried_where_there_are_no_locks(tmp_path: Path, asked: list[int]) -> None:
    root = tmp_path / "s"
    with pytest.raises(UsageError, match=NO_LOCK):
        study.begin(EXPERIMENT, PLAN, root, manifest(PLAN), named=False)
    assert len(asked) == 1
    assert list(tmp_path.iterdir()) == [root]


def test_nobody_drives_a_study_where_there_are_no_locks(tmp_path: Path, asked: list[int]) -> None:
    (tmp_path / "journal.log").touch()
    assert is_driven(tmp_path) is False
    assert len(asked) == 1
