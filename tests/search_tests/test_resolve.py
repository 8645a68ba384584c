"""Which study a name, a path or a URI means, and what is told of one that is none."""

from pathlib import Path

import pytest

from search.errors import UsageError
from search.removal import find_removable
from search.resolve import resolve_study
from trainables.errors import TrellisError


def study(results: Path, name: str) -> Path:
    (results / name).mkdir(parents=True)
    (results / name / "study.json").write_text("{}")
    return results / name


def test_a_study_by_name_or_by_path(tmp_path: Path) -> None:
    here = study(tmp_path / "results", "first")
    elsewhere = study(tmp_path / "other", "second")
    assert resolve_study("first", tmp_path / "results") == here
    assert resolve_study(str(elsewhere), tmp_path / "results") == elsewhere
    assert resolve_study(f"{elsewhere}/", tmp_path / "results") == elsewhere


def test_an_unknown_study_lists_the_nearest(tmp_path: Path) -> None:
    for name in ("lenet_beans-1", "lenet_beans-2", "mnist"):
        study(tmp_path, name)
    (tmp_path / "lenet_beans-3").mkdir()  # no study
    message = r"^no study 'lenet-beans-1' in .*; nearest: lenet_beans-1, lenet_beans-2$"
    with pytest.raises(TrellisError, match=message):
        resolve_study("lenet-beans-1", tmp_path)
    with pytest.raises(TrellisError, match=r"; nearest: lenet_beans-1, lenet_beans-2, mnist$"):
        resolve_study("zzz", tmp_path)
    with pytest.raises(TrellisError, match=r"^no study ''"):
        resolve_study("", tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000])
def test_a_name_that_is_too_long_is_no_study(name: str, tmp_path: Path) -> None:
    study(tmp_path, "mine")
    with pytest.raises(TrellisError, match=r"^no study 'x.*; nearest: mine$"):
        resolve_study(name, tmp_path)
    with pytest.raises(UsageError, match=r"^no study 'x.*, and no such folder$"):
        find_removable([name], tmp_path)


def test_a_place_with_a_key_is_told_without_it() -> None:
    with pytest.raises(TrellisError, match=r"^the place of the study holds a key, which") as told:
        resolve_study("s1", "s3://AKIA:hidden@bucket/results")
    assert "hidden" not in str(told.value)


def test_no_studies_at_all(tmp_path: Path) -> None:
    with pytest.raises(TrellisError, match=r"; .*nowhere holds no studies$"):
        resolve_study("zzz", tmp_path / "nowhere")


def test_a_folder_that_is_no_study(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrellisError, match=r"empty is not a study: it has no study\.json$"):
        resolve_study("empty", tmp_path)
