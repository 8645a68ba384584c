"""A study or cache made by somebody else: reading it runs no code and writes nothing outside."""

import contextlib
import hashlib
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.frames import read_manifest as read_for_analysis
from analysis.report import write_report
from analysis.robustness import measure
from search.confirm import build_parser
from search.confirmation import confirm
from search.errors import StudyFailed, UsageError
from search.journal import mend, open_journal, own
from search.manifest import read_manifest
from search.options import study_name
from search.plain import check_plain
from search.plan import Plan
from tests.search_tests.toy import begin
from trainables import store, transfer_source
from trainables.budget import Budget
from trainables.checkpoint import load_weights, read_checkpoint
from trainables.data import cache_entry
from trainables.errors import TrellisError
from trainables.frozen import Cut, stored
from trainables.weights_file import load_state


class Bomb:
    """Makes a file where it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """What a bomb makes; the test fails if it is there at the end."""
    path = tmp_path / "was_here"
    yield path
    assert not path.exists(), "a pickle ran"


def as_pickle(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


def as_torch(path: Path, bomb: Bomb) -> None:
    torch.save({"model": bomb, "weight": torch.zeros(2)}, path)


def as_npy(path: Path, bomb: Bomb) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([bomb, bomb, bomb], dtype=object), allow_pickle=True)


KINDS = {"pickle": as_pickle, "torch": as_torch, "npy": as_npy}
Plant = Callable[[Path, Bomb], None]


@pytest.fixture(params=KINDS)
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Plant:
    made: Plant = KINDS[request.param]
    live, path = tmp_path / "live", tmp_path / "try"
    made(path, Bomb(live))
    if request.param == "npy":
        np.load(path, allow_pickle=True)
    elif request.param == "torch":
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert live.exists()  # the bomb works: where it does not go off, it was not let
    return made


def test_no_checkpoint_is_unpickled(mark: Path, plant: Plant, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    plant(path, Bomb(mark))
    assert read_checkpoint(Budget(epochs=1, folder=tmp_path), "identity") is None
    assert not path.exists()  # removed: the trial starts anew


def test_no_best_weights_are_unpickled(mark: Path, plant: Plant, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    plant(path, Bomb(mark))
    with pytest.raises(Exception, match=r"(?i)weights_only|unpickl"):
        load_weights(path)


def test_no_weights_file_is_unpickled(mark: Path, plant: Plant, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    plant(path, Bomb(mark))
    with pytest.raises(TrellisError, match="damaged, or holds more than tensors") as told:
        load_state(path)
    assert "\n" not in str(told.value)


def test_no_journal_is_unpickled(mark: Path, plant: Plant, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    plant(path, Bomb(mark))
    with path.open("ab") as file:
        file.write(b"\n")
    os.close(own(tmp_path))
    with pytest.raises(StudyFailed, match=r"line 1 of .* is damaged"):
        mend(path)


def test_no_line_of_a_journal_is_unpickled(mark: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study, storage = open_journal(path)
    text = pickle.dumps(Bomb(mark), protocol=0).decode("latin-1")
    study.set_user_attr("snapshot", text)
    study.ask().set_user_attr("py/object", text)
    del study, storage
    assert mend(path) is None
    again, _ = open_journal(path)
    assert again.user_attrs["snapshot"] == text  # read as text, and left as text
    assert again.trials[0].user_attrs["py/object"] == text


@pytest.mark.parametrize("read", [read_manifest, lambda path: read_for_analysis(path.parent)])
def test_no_manifest_is_unpickled(
    mark: Path, plant: Plant, tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    plant(tmp_path / "study.json", Bomb(mark))
    with pytest.raises(TrellisError, match=r"study\.json is damaged"):
        read(tmp_path / "study.json")


def retell(folder: Path, name: str) -> None:
    """Make the entry's own description agree with a file that was replaced."""
    content = (folder / name).read_bytes()
    meta = json.loads((folder / store.META).read_text())
    meta["files"][name] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / store.META).write_text(json.dumps(meta))


@pytest.mark.parametrize("name", [cache_entry.IMAGES, cache_entry.LABELS])
def test_no_array_of_the_cache_is_unpickled(
    mark: Path, plant: Plant, tmp_path: Path, name: str
) -> None:
    key = cache_entry.Key("f" * 64, "train", 2)
    writer = cache_entry.Writer(tmp_path / "entry", key, 1)
    writer.add(np.zeros((2, 2, 3), np.uint8))
    writer.close([0], 0.0)
    assert cache_entry.read(writer.folder, key, verify=True) is not None
    plant(writer.folder / name, Bomb(mark))
    retell(writer.folder, name)
    with pytest.raises(cache_entry.DamagedError):
        cache_entry.read(writer.folder, key, verify=True)


def test_no_stored_activations_are_unpickled(
    mark: Path, plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    cut = Cut("pixels", "weights", "pool", 32, "float32")

    def compute(cuts: Any) -> Iterator[list[Tensor]]:
        yield [torch.ones(3, 2) for _ in cuts]

    assert stored([cut], "train", 3, compute).computed == 3
    folder = cut.folder("train")
    (values,) = folder.glob("*.npy")
    plant(values, Bomb(mark))
    meta = json.loads((folder / store.META).read_text())
    (folder / store.META).write_text(json.dumps(meta | {"bytes": values.stat().st_size}))
    again = stored([cut], "train", 3, compute)
    assert again.computed == 3  # made again
    assert again.values["pool"].tolist() == [[1.0, 1.0]] * 3


def test_no_source_network_is_unpickled(mark: Path, plant: Plant, tmp_path: Path) -> None:
    class Recipe:
        def as_json(self) -> dict[str, Any]:
            return {"classes": [0, 1]}

    path = tmp_path / transfer_source._WEIGHTS
    plant(path, Bomb(mark))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    meta = {"recipe": {"classes": [0, 1]}, "sha256": digest, "history": []}
    (tmp_path / store.META).write_text(json.dumps(meta | {"device": "cpu", "threads": 1}))
    found: Any = transfer_source._read(tmp_path, Recipe())  # type: ignore[arg-type]
    assert found is None  # trained again


@pytest.mark.parametrize(
    "name",
    [
        *("..", ".", "", "a/b", "/etc/passwd", "../a", "a\0b", "a\nb", "a\\b", ".hidden", "-rf"),
        *("a" * 101, "é", "\u202eabc", "a b", "a\u2044b", "\uff0e\uff0e", "~root", "$HOME", "a\n"),
    ],
)
def test_a_study_name_is_one_plain_folder(name: str) -> None:
    with pytest.raises(ValueError, match="must be a plain name"):
        study_name(name)


@pytest.mark.parametrize("name", ["a..b", "a" * 100, "_", "lenet-2.1"])
def test_names_that_stay_inside(name: str, tmp_path: Path) -> None:
    assert (tmp_path / study_name(name)).resolve().parent == tmp_path.resolve()


@pytest.mark.parametrize("place", ["journal.log", "trials", "trials/0/checkpoint.pt"])
def test_a_study_with_a_link_is_refused(tmp_path: Path, place: str) -> None:
    target = tmp_path / "outside"
    target.write_text("a line without an end")
    link = tmp_path / "study" / place
    link.parent.mkdir(parents=True)
    (tmp_path / "study" / "study.json").write_text("{}")
    check_plain(tmp_path / "study")  # fine so far
    link.symlink_to(target)
    with pytest.raises(UsageError, match=rf"{place} is a link; a study holds plain files only"):
        check_plain(tmp_path / "study")


def test_a_study_with_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "best.pt")  # reading it would never end
    with pytest.raises(UsageError, match=r"best\.pt is neither file nor folder"):
        check_plain(tmp_path)


def test_what_a_running_study_removes_is_no_fault_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trials" / "0").mkdir(parents=True)
    (tmp_path / "trials" / "a.part-1").symlink_to("nowhere")
    plain = os.scandir

    def late(folder: Any) -> Any:
        """Remove what the folder was found to hold, before anybody looks into it."""
        if Path(folder).name == "trials":
            found = plain(folder)
            (tmp_path / "trials" / "0").rmdir()
            entries = sorted(found, key=lambda each: each.name)
            (tmp_path / "trials" / "a.part-1").unlink()
            return contextlib.nullcontext(entries)
        return plain(folder)

    with pytest.raises(UsageError, match=r"a\.part-1 is a link"):
        check_plain(tmp_path)
    monkeypatch.setattr(os, "scandir", late)
    check_plain(tmp_path)
    assert not os.listdir(tmp_path / "trials")


WRITERS: dict[str, Callable[[Path], object]] = {
    "report": lambda root: write_report(root, with_model=False),
    "robustness": lambda root: measure(root, "validation", 0),
    "confirm": lambda root: confirm(build_parser().parse_args([str(root)])),
    "begin": lambda root: begin(Plan(trials=1, max_epochs=1), root),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_nothing_is_written_through_a_link(tmp_path: Path, writer: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "study"
    outside.mkdir()
    root.mkdir()
    if writer == "begin":  # what a kill before study.json leaves is begun anew
        (outside / "victim").touch()
        (root / "journal.log").symlink_to(outside / "victim")
    else:
        (root / "study.json").write_text("{}")
        (root / "figures").symlink_to(outside)
    with pytest.raises(UsageError, match=r"(journal\.log|figures) is a link; a study holds plain"):
        WRITERS[writer](root)
    assert sum(path.stat().st_size for path in outside.iterdir()) == 0
    assert sorted(path.name for path in outside.iterdir()) == ["victim"] * (writer == "begin")
