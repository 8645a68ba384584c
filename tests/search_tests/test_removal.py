"""Studies are removed where a file that is open cannot go, as on NFS."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from search.errors import StudyFailed
from search.overview import is_driven
from search.plan import Plan
from search.removal import find_removable, remove
from tests.search_tests.toy import begin


@pytest.fixture
def studies(tmp_path: Path) -> list[Path]:
    for name in ("a", "b"):
        begin(Plan(trials=3, max_epochs=2, sampler="random"), tmp_path / name).close()
    return [tmp_path / "a", tmp_path / "b"]


def refuse(folder: Path, code: int) -> None:
    raise OSError(code, os.strerror(code), str(folder))


def test_the_journal_is_closed_where_it_stands_in_the_way(
    studies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[list[bool]] = []
    rmtree = shutil.rmtree

    def as_on_nfs(folder: Path) -> None:
        held.append([is_driven(each) for each in studies])
        if is_driven(folder):
            refuse(folder, errno.ENOTEMPTY)
        rmtree(folder)

    monkeypatch.setattr(shutil, "rmtree", as_on_nfs)
    remove(studies)
    assert not any(each.exists() for each in studies)
    # Of each its own journal alone, and only once that is needed.
    assert held == [[True, True], [False, True], [False, True], [False, False]]


@pytest.mark.parametrize("words", [["a", "a/confirm"], ["a/confirm", "a", "./a"]])
def test_a_study_in_another_goes_with_it(words: list[str], studies: list[Path]) -> None:
    begin(Plan(trials=1, max_epochs=1), studies[0] / "confirm").close()
    found = find_removable([*words, "b"], studies[0].parent)
    assert found == studies
    remove(found)
    assert not any(each.exists() for each in studies)


def test_the_study_that_one_is_in(studies: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(studies[0])
    for results in (Path("results"), Path()):
        assert find_removable(["."], results) == [studies[0].resolve()]
    remove(find_removable(["."], Path("results")))
    assert [each.exists() for each in studies] == [False, True]


@pytest.mark.parametrize(("code", "tries"), [(errno.EACCES, 1), (errno.ENOTEMPTY, 2)])
def test_what_cannot_be_removed_is_told(
    code: int, tries: int, studies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    def fails(folder: Path) -> None:
        tried.append(folder)
        refuse(folder, code)

    monkeypatch.setattr(shutil, "rmtree", fails)
    with pytest.raises(StudyFailed, match=rf"^cannot remove {studies[0]}: {os.strerror(code)}$"):
        remove(studies)
    assert tried == [studies[0]] * tries
    assert not any(is_driven(each) for each in studies)
