"""How a full disk shows in errors, and what the user is told. Real full disks: tests/chaos."""

import errno
import os
from pathlib import Path

import pytest

from search.disk import is_full, what_to_free
from search.errors import StudyFailed
from trainables.errors import DataError


def from_cause(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/cache/x.npy")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (FULL, True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (from_cause(StudyFailed("cannot write"), FULL), True),
        (from_cause(KeyError("x"), from_cause(ValueError("y"), FULL)), True),
        (from_cause(DataError("cannot write the cache in /c"), FULL), False),  # which says it all
        (RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0"), True),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("No space left on device"), False),  # a text proves nothing
    ],
)
def test_a_full_disk_is_told_by_its_error(error: Exception, full: bool) -> None:
    assert is_full(error) is full


def test_an_error_that_is_its_own_cause_comes_to_an_end() -> None:
    one, other = ValueError("a"), ValueError("b")
    one.__cause__, other.__cause__ = other, one
    assert not is_full(one)


def test_studies_go_first_where_the_studies_disk_is_full(tmp_path: Path) -> None:
    study = tmp_path / "results" / "mine"
    study.mkdir(parents=True)
    error = OSError(errno.ENOSPC, "No space left on device", str(study / "trials.csv"))
    text = what_to_free(error, study)
    assert text.startswith(f"the disk of {study} is full (")
    assert text.endswith(
        f"MB free); free some of it, such as studies no longer needed in {study.parent}"
    )


def test_another_disk_is_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    error = OSError(errno.ENOSPC, "No space left on device", str(cache / "x.npy"))
    text = what_to_free(StudyFailed("x"), tmp_path / "results" / "mine")
    assert str(cache) not in text
    text = what_to_free(error, tmp_path / "results" / "mine")
    assert text.startswith(f"the disk of {cache} is full (")
    assert text.endswith("MB free); free some of it")
