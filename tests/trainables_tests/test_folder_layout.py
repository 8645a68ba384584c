"""Folders of other layouts than a sub-folder of images per class, and files that are no images."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.trainables_tests.test_folder import fill, mistakes, opened, paint, used
from trainables.data import folder_images


def split_folders(root: Path, *names: str) -> Path:
    """Make folders that each hold two classes of three images."""
    for number, name in enumerate(names):
        for label, kind in enumerate(("cat", "dog")):
            for i in range(3):
                paint(root / name / kind / f"{i}.png", 100 * number + 10 * label + i)
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("test", "train", "validation"),
        ("TEST", "Train", "Val"),
        ("dev", "testing", "training"),
        ("train", "valid"),
        ("test_set", "training_set"),
        ("seg_test", "seg_train"),
        ("Test Images", "train-images"),
    ],
)
def test_splits_are_not_taken_for_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    assert mistakes(split_folders(tmp_path, *names)) == [
        f"{', '.join(names)} look like splits, with the classes inside: put the images of all of "
        f"them into one folder per class in {tmp_path}; splits are made of these"
    ]


@pytest.mark.parametrize("other", ["seg_pred", "readme pictures"])
def test_a_folder_beside_splits_does_not_make_classes_of_them(tmp_path: Path, other: str) -> None:
    root = split_folders(tmp_path, "seg_test", "seg_train")
    paint(root / other / "x.png", 250)
    told = mistakes(root)
    assert any(line.startswith("seg_test, seg_train look like splits, with") for line in told)


def test_folders_of_one_split_s_name_may_be_classes(tmp_path: Path) -> None:
    """Such as results of a test, with a folder for each patient."""
    root = split_folders(tmp_path, "test_negative", "test_positive", "unknown")
    assert opened(root).classes == ("test_negative", "test_positive", "unknown")


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    root = split_folders(tmp_path, "control", "test")
    assert opened(root).classes == ("control", "test")
    assert len(used(opened(root))) == 12


def test_a_split_s_name_in_the_middle_of_a_word_is_none(tmp_path: Path) -> None:
    root = split_folders(tmp_path, "latest", "trainer")
    assert opened(root).classes == ("latest", "trainer")


def test_classes_without_folders_inside_may_have_any_names(tmp_path: Path) -> None:
    root = fill(tmp_path, dev=3, labels=3, test=3)
    assert opened(root).classes == ("dev", "labels", "test")
    assert opened(root).notes == (
        "are dev, test classes? If they are splits, make one folder per class instead",
    )


def test_one_class_with_the_name_of_a_split_is_not_asked_about(tmp_path: Path) -> None:
    assert opened(fill(tmp_path, control=3, test=3, test_2=3)).notes == ()


def test_what_storage_and_archives_put_beside_images_is_passed_over(tmp_path: Path) -> None:
    """Thumbnails of an image of one split would lie in another one."""
    root = fill(tmp_path, a=3, b=3)
    before = used(opened(root))
    for place in (
        "a/@eaDir/0.png",
        "b/deep/@eaDir/1.png",
        "__MACOSX/a",
        "#recycle",
        "$RECYCLE.BIN",
    ):
        for number in range(3):
            paint(root / place / f"{number}.png", 250, number)
    assert used(opened(root)) == before
    assert opened(root).classes == ("a", "b")


def test_files_that_may_be_images_are_told(tmp_path: Path) -> None:
    root = fill(tmp_path, a=3, b=3)
    for name in ("a/photo", "a/raw.CR2", "b/deep/x.dng"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    for name in ("notes.TXT", "about.md", "labels.csv", "Thumbs.db", "x.xml", ".DS_Store"):
        (root / "a" / name).touch()
    source = opened(root)
    assert source.notes == (
        "3 files had no ending of a known image format and were not used: "
        "a/photo, a/raw.CR2, b/deep/x.dng",
    )
    assert len(used(source)) == 6
    for name in ("a/photo", "b/deep/x.dng"):
        (root / name).unlink()
    assert opened(root).notes == (
        "1 file had no ending of a known image format and was not used: a/raw.CR2",
    )


def with_exif(exif: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((2, 3, 3), (9, 8, 7), np.uint8)).save(file, "PNG", exif=exif)
    return file.getvalue()


def test_an_image_with_broken_exif_is_used(tmp_path: Path) -> None:
    broken = with_exif(b"Exif\0\0garbage")
    with Image.open(io.BytesIO(broken)) as image, pytest.raises(SyntaxError, match="not a TIFF"):
        ImageOps.exif_transpose(image)
    pixels = folder_images.decode(broken)
    assert pixels.shape == (2, 3, 3)
    assert (pixels == (9, 8, 7)).all()


def test_memory_that_runs_out_over_exif_is_not_taken_for_broken_exif(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageOps, "exif_transpose", fails)
    with pytest.raises(MemoryError):
        folder_images.decode(with_exif(b""))
