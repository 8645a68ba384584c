"""Images that are small as files and huge as pixels, or meant for another program, are refused."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import pytest
from PIL import Image

from trainables.data import DataSpec, open_data
from trainables.data.folder_images import decode
from trainables.data.folder_scan import scan
from trainables.data.tfds_source import TfdsSource
from trainables.errors import DataError

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def png(width: int, height: int) -> bytes:
    """Return the head of a PNG file that claims to be of any size, with no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


class Directory(TfdsSource):
    """A prepared TFDS directory of one file, of which only images are decoded."""

    def __init__(self) -> None:
        self._directory = Path("/data/beans/0.1.0")

    def _file_of(self, stored: str, index: int) -> Path:
        return self._directory / f"{stored}.array_record"

    def decode(self, encoded: bytes) -> object:
        return self._decode(encoded, 3, "train", 7)


# 90 million pixels are above Pillow's limit, 10 thousand million above twice that limit.
@pytest.mark.parametrize(("width", "height"), [(10000, 9000), (100000, 100000)])
def test_bombs_of_tfds_are_refused_in_one_line(width: int, height: int) -> None:
    warnings.simplefilter("error")  # pytest takes it back; the line is all that is told
    with pytest.raises(DataError, match="pixels") as told:
        Directory().decode(png(width, height))
    assert "/data/beans/0.1.0/train.array_record: image 7 cannot be decoded" in str(told.value)
    assert "\n" not in str(told.value)


def test_tfds_hands_no_image_to_another_program() -> None:
    Image.init()
    assert Image.open(io.BytesIO(EPS)).format == "EPS"  # Pillow alone would call Ghostscript
    with pytest.raises(DataError, match="cannot be decoded"):
        Directory().decode(EPS)
    with pytest.raises(OSError, match="cannot identify"):
        decode(EPS)


@pytest.mark.parametrize(("width", "height"), [(10000, 9000), (100000, 100000)])
def test_bombs_in_a_folder_are_refused(width: int, height: int) -> None:
    with pytest.raises(Image.DecompressionBombError, match="pixels"):
        decode(png(width, height))


def images(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (4, 4), (number, len(folder.name), 0)).save(folder / f"{number}.png")
    return folder


def test_a_bomb_in_a_folder_is_named_in_one_line(tmp_path: Path) -> None:
    for name in ("a", "bb"):
        images(tmp_path / name)
    (tmp_path / "a" / "bomb.png").write_bytes(png(10000, 9000))
    data = open_data(DataSpec("beans", "folder", str(tmp_path)))
    assert sum(data.sizes.values()) == 8
    (note,) = [note for note in data.notes if "a/bomb.png" in note]
    assert note == (
        "1 image had more than 89 million pixels, to be scaled down, and was skipped: a/bomb.png"
    )
    assert "\n" not in note


def test_a_class_folder_cannot_lead_outside(tmp_path: Path) -> None:
    images(tmp_path / "outside")
    for name in ("a", "b"):
        images(tmp_path / "data" / name)
    (tmp_path / "data" / "c").symlink_to(tmp_path / "outside")
    (tmp_path / "data" / "a" / "up").symlink_to("../..")
    with pytest.raises(DataError, match="'c' is a link to outside") as told:
        scan(tmp_path / "data")
    assert "links to folders inside a class: a/up" in str(told.value)


@pytest.mark.parametrize("name", ["line\nbreak", "\x1b[2Jcleared", "\u202ereversed", "\ud800"])
def test_a_class_name_cannot_move_the_cursor(tmp_path: Path, name: str) -> None:
    images(tmp_path / "a")
    os.makedirs(os.fsencode(tmp_path) + b"/" + name.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match="characters that cannot be shown") as told:
        scan(tmp_path)
    lines = str(told.value).splitlines()
    assert len(lines) == 2  # this, and that one class is left
    assert all(line.isprintable() for line in lines)


def test_long_and_foreign_class_names_are_names(tmp_path: Path) -> None:
    for name in ("é" * 127, "豆", "a" * 255, "..."):
        images(tmp_path / name)
    assert scan(tmp_path).classes == ("a" * 255, "é" * 127, "豆")  # hidden is what begins with .


@pytest.mark.parametrize("file", ["../outside/0.png", "/etc/passwd", "a/../../x.png"])
def test_metadata_cannot_name_files_outside(tmp_path: Path, file: str) -> None:
    images(tmp_path / "outside")
    for name in ("a", "b"):
        images(tmp_path / "data" / name)
    rows = [f"{name}/{number}.png,wet" for name in ("a", "b") for number in range(4)]
    content = "\n".join(["file,condition", *rows, f"{file},wet"])
    (tmp_path / "data" / "metadata.csv").write_text(content)
    with pytest.raises(
        DataError, match=r"metadata\.csv lists files that are not among the images"
    ):
        scan(tmp_path / "data")
