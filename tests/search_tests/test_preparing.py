"""Images of a folder that a network takes as they are: told before any training, not after it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.run import main
from trainables import store
from trainables.data import DataSpec, open_data
from trainables.data.folder import open_folder
from trainables.errors import DataError

SIDE = 24


def images(root: Path, side: int = SIDE) -> list[Path]:
    """Two classes of ten images each, no two alike."""
    draws = np.random.default_rng(0)
    paths = [root / name / f"{number}.png" for name in ("a", "b") for number in range(10)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, draws, side, side)
    return paths


def save(path: Path, draws: np.random.Generator, height: int, width: int) -> None:
    Image.fromarray(draws.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)


def with_another_size_in(split: str, root: Path) -> Iterator[Path]:
    """Yield the folder for each image of that split, which alone is a column wider."""
    draws = np.random.default_rng(1)
    for path in images(root):
        kept = path.read_bytes()
        save(path, draws, SIDE, SIDE + 1)
        found = open_folder(DataSpec("mnist", "folder", str(root)))
        if f"{path.parent.name}/{path.name}" in [each.path for each in found.entries[split]]:
            yield path
        path.write_bytes(kept)


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_image_of_another_size_is_told_before_the_study(
    split: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    next(with_another_size_in(split, tmp_path / "photos"))
    for words in (["--dry-run"], ["--trials", "1"]):
        assert main(["mnist_cnn", "--data", "folder:photos", *words]) == 2
        assert "the images differ in size: 24x24x3 and 24x25x3; scale them" in (
            capsys.readouterr().err
        )
    assert not (tmp_path / "results").exists()


def test_images_that_are_too_small_are_told_by_a_dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "photos", 20)
    words = ["--data", "folder:photos", "--dry-run"]
    assert main(["cifar10_net", *words]) == 2
    assert "images of 20x20: images must have at least 22x22 pixels" in capsys.readouterr().err
    assert main(["lenet_beans", *words]) == 0  # which scales them


def test_a_dry_run_says_how_much_room_the_images_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each class of ten 7 are for training, 2 for validation and 1 for the test: 18 in all."""
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "photos", 30)
    words = ["--data", "folder:photos", "--dry-run"]
    for name, fixed, told in (
        ("lenet_beans", [], "7.92 MB"),  # 18 x 3 x (64 x 64 + 128 x 128 + 192 x 192 + 299 x 299)
        ("lenet_beans", ["--fix", "image_size=64"], "0.221 MB"),  # 18 x 3 x 64 x 64
        ("mnist_cnn", [], "0.0486 MB"),  # 18 x 3 x 30 x 30
    ):
        assert main([name, *words, *fixed]) == 0
        said = f"data: {told} in arrays shared by all trials, in {store.root()}\n"
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("augmentation", "bytes_"),
    [
        # Four cuts of bfloat16, pooled 2048, 8 x 8 x 1280, and twice 17 x 17 x 768, of 14 and 4.
        ("none", 18 * 1_055_744),
        # And three copies of the 14.
        ("flip", (18 + 3 * 14) * 1_055_744),
    ],
)
def test_a_dry_run_counts_the_activations_that_trials_share(
    augmentation: str,
    bytes_: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "photos", 30)
    words = ["--data", "folder:photos", "--dry-run", "--weights", "random"]
    assert main(["inception_beans", *words, "--fix", f"augmentation={augmentation}"]) == 0
    told = store.shown(18 * 3 * 299**2 + bytes_)
    assert told == {"none": "23.8 MB", "flip": "68.2 MB"}[augmentation]
    assert f"data: {told} in arrays shared by all trials, in " in capsys.readouterr().err


def test_the_shape_of_a_folder_s_images(tmp_path: Path) -> None:
    (path, *_) = images(tmp_path)
    data = open_data(DataSpec("mnist", "folder", str(tmp_path)))
    assert data.shape() == (SIDE, SIDE, 3)
    save(path, np.random.default_rng(1), SIDE, SIDE)
    with pytest.raises(DataError, match=r"changed since it was opened; start again$"):
        data.shape()
