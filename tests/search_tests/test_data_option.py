from pathlib import Path

import pytest

from search.data_option import absolute, data_spec
from search.errors import UsageError
from trainables.data.source import DataSpec


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    return tmp_path


def test_a_folder_of_images(here: Path) -> None:
    (here / "a" / "b").mkdir(parents=True)
    expected = DataSpec("beans", "folder", str(here / "a" / "b"))
    assert data_spec("folder:a/b", None, "beans") == expected
    assert data_spec(f"folder:{here}/a/b", "ignored", "beans") == expected


def test_embedded_data_lies_nowhere() -> None:
    assert data_spec("embedded", None, "beans") == DataSpec("beans", "embedded")
    assert data_spec("embedded", "ignored", "beans") == DataSpec("beans", "embedded")


@pytest.mark.parametrize("data", ["tfds", None])
def test_where_tfds_data_lies(
    data: str | None, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(data_dir: str | None) -> str:
        spec = data_spec(data, data_dir, "mnist")
        assert (spec.dataset, spec.kind) == ("mnist", "tfds")
        return spec.location

    assert place(None) == "/home/ann/tensorflow_datasets"
    assert place("d") == str(here / "d")
    assert place("~/d") == "/home/ann/d"
    monkeypatch.setenv("TFDS_DATA_DIR", "/somewhere")
    assert place(None) == "/somewhere"
    assert place("d") == str(here / "d")
    monkeypatch.setenv("TFDS_DATA_DIR", "")
    assert place(None) == "/home/ann/tensorflow_datasets"


def test_a_user_that_does_not_exist_is_no_crash(here: Path) -> None:
    assert absolute("~no-such-user/x") == str(here / "~no-such-user" / "x")
    assert absolute("") == ""
    assert data_spec("tfds", "~no-such-user/x", "beans").location.endswith("~no-such-user/x")
    with pytest.raises(UsageError, match=r"^--data folder:~no-such-user/x: there is no such fol"):
        data_spec("folder:~no-such-user/x", None, "beans")


@pytest.mark.parametrize("data", ["folder:/nowhere", "folder:file", "folder:a\0b"])
def test_a_folder_that_is_none(data: str, here: Path) -> None:
    (here / "file").write_text("x")
    with pytest.raises(UsageError, match=f"^--data {data}: there is no such folder$"):
        data_spec(data, None, "beans")


@pytest.mark.parametrize("data", ["web", "folder:", "folder", "embedded:x", "tfds:x", ""])
def test_other_data_is_refused(data: str) -> None:
    with pytest.raises(UsageError, match=f"^--data {data}: must be tfds, embedded or folder:PATH"):
        data_spec(data, None, "beans")
