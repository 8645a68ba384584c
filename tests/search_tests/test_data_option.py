from pathlib import Path

import pytest

from search.data_option import absolute, check_there, data_at_hand, data_spec, spec_of
from search.errors import UsageError
from tests.search_tests.winners import make_images
from trainables.data import folder_scan, open_data, tfds_directory
from trainables.data.source import DataSpec
from trainables.errors import TrellisError


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
    assert data_spec(f"folder:{here}/a/b", None, "beans") == expected


def test_embedded_data_lies_nowhere() -> None:
    assert data_spec("embedded", None, "beans") == DataSpec("beans", "embedded")


@pytest.mark.parametrize("data", ["embedded", "folder:photos"])
def test_a_tfds_directory_is_of_no_use_to_other_data(data: str, here: Path) -> None:
    (here / "photos").mkdir()
    message = f"^--data-dir /d goes with --data tfds, not with --data {data}$"
    with pytest.raises(UsageError, match=message):
        data_spec(data, "/d", "beans")


@pytest.mark.parametrize("place", [None, "~/data"])
def test_no_folder_is_named_by_a_home_that_is_not_there(
    place: str | None, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    told = place or "~/tensorflow_datasets"
    with pytest.raises(UsageError, match=rf"^{told}: there is no such home; say --data-dir with"):
        data_spec("tfds", place, "beans")


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


def test_the_data_of_a_study_lies_where_it_was_or_where_one_says(here: Path) -> None:
    told = {"dataset": "mnist", "kind": "tfds", "location": "/old", "fingerprint": "f"}
    assert spec_of(told) == DataSpec("mnist", "tfds", "/old")
    assert spec_of(told, Path("~/d")) == DataSpec("mnist", "tfds", "/home/ann/d")
    assert spec_of(told, Path("d")).location == str(here / "d")
    images = told | {"kind": "folder"}
    assert spec_of(images, Path("/new")) == DataSpec("mnist", "folder", "/new")
    drawn = told | {"kind": "embedded", "location": ""}
    assert spec_of(drawn, Path("/new")) == DataSpec("mnist", "embedded", "")
    with pytest.raises(TrellisError, match=r"^study\.json does not say which data it was$"):
        spec_of({"dataset": "mnist", "kind": "tfds"})


@pytest.mark.parametrize(("kind", "what"), [("tfds", "has no beans"), ("folder", "is no folder")])
def test_data_that_is_not_there_is_not_downloaded(kind: str, what: str, here: Path) -> None:
    place = here / "old"
    spec = DataSpec("beans", kind, str(place))
    with pytest.raises(TrellisError, match=rf"/old {what}: --data-dir says where it is$"):
        check_there(spec)
    assert not place.exists()
    place.mkdir()
    told = {"dataset": "beans", "kind": "tfds", "location": str(place), "fingerprint": "f"}
    with pytest.raises(TrellisError, match=r"/old has no beans: --data-dir says where it is$"):
        data_at_hand(told)
    assert list(place.iterdir()) == []  # no lock of a preparation


def test_data_that_may_not_be_read_is_no_fault_of_what_is_written(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folder_scan, "_scan", closed)
    told = {"dataset": "beans", "kind": "folder", "location": str(here), "fingerprint": "f"}
    with pytest.raises(TrellisError, match=r"cannot read .*: Permission denied$"):
        data_at_hand(told)
    monkeypatch.setattr(tfds_directory, "prepared_directory", closed)
    with pytest.raises(
        TrellisError, match=r"cannot be read: Permission denied; --data-dir takes another place"
    ):
        data_at_hand(told | {"kind": "tfds"})


def test_other_data_than_the_study_had_is_refused() -> None:
    found = open_data(DataSpec("beans", "embedded"))
    told = {"dataset": "beans", "kind": "embedded", "fingerprint": found.fingerprint}
    assert data_at_hand(told, Path("/ignored")) == found
    line = "the data in embedded is not what the study had: its fingerprint is another$"
    with pytest.raises(TrellisError, match=line):
        data_at_hand(told | {"fingerprint": "other"})


def test_another_folder_may_be_the_same_images_divided_otherwise(tmp_path: Path) -> None:
    """Versions of before divided folders with conditions in another way."""
    folder = make_images(tmp_path / "photos", classes=2)
    told = {"dataset": "beans", "kind": "folder", "location": str(folder), "fingerprint": "f"}
    line = (
        "photos is not what the study had: its fingerprint is another; images changed, or this "
        r"version divides folders in another way than that which began the study \(git_commit in"
    )
    with pytest.raises(TrellisError, match=line):
        data_at_hand(told)
