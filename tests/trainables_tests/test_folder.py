import errno
import os
import re
import struct
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainables.data import folder, folder_images
from trainables.data.folder import FolderSource, open_folder
from trainables.data.folder_known import Checked
from trainables.data.folder_scan import Layout, listed, scan
from trainables.data.folder_split import apportion, assign, quotas
from trainables.data.source import SPLITS, DataSpec
from trainables.errors import DataError


def paint(path: Path, code: int, level: int = 0) -> None:
    """Write a 4x5 image whose first pixel is (code // 256, code % 256, level)."""
    pixels = np.zeros((4, 5, 3), np.uint8)
    pixels[:] = (code // 256, code % 256, level)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def fill(root: Path, **counts: int) -> Path:
    code = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            code += 1
            paint(root / name / f"{i:03}.png", code)
    return root


def opened(root: Path, seed: int = 0) -> FolderSource:
    return open_folder(DataSpec("beans", "folder", str(root), seed))


def mistakes(root: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        opened(root)
    return str(caught.value).splitlines()


def paths(source: FolderSource, split: str) -> list[str]:
    return [entry.path for entry in source.entries[split]]


def used(source: FolderSource) -> list[str]:
    return sorted(path for split in SPLITS for path in paths(source, split))


# The split


def test_apportion_rounds_by_largest_remainder_and_serves_ties_from_first_on():
    assert apportion(10, (70, 15, 15)) == [7, 2, 1]  # 7, 1.5, 1.5
    assert apportion(10, (70, 15, 15), first=2) == [7, 1, 2]
    assert apportion(28, (30, 10)) == [21, 7]
    assert apportion(4, (5, 3, 3)) == [2, 1, 1]  # 1.82, 1.09, 1.09


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (3, [1, 1, 1]),  # 2.1, 0.45, 0.45 would leave the test split empty
        (4, [2, 1, 1]),
        (5, [3, 1, 1]),
        (6, [4, 1, 1]),
        (7, [5, 1, 1]),
        (8, [6, 1, 1]),  # 5.6, 1.2, 1.2
        (20, [14, 3, 3]),
        (1034, [724, 155, 155]),  # 723.8, 155.1, 155.1
    ],
)
def test_quotas_by_hand(count, expected):
    assert quotas(count) == expected


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), min_size=2), st.integers(0, 9))
def test_conditions_keep_their_shares(sizes, seed):
    if sum(sizes.values()) < 3:
        return
    strata = {f"{c}{i}": ("class", c) for c, size in sizes.items() for i in range(size)}
    splits = assign(strata, seed)
    assert splits.keys() == strata.keys()
    total = quotas(len(strata))
    counts = Counter((path[0], split) for path, split in splits.items())
    for condition, size in sizes.items():
        for split, quota in zip(SPLITS, total, strict=True):
            assert abs(counts[condition, split] - size * quota / len(strata)) < 1.5
    assert [Counter(splits.values())[split] for split in SPLITS] == total


def test_many_small_conditions_are_not_divided_in_the_order_of_their_names():
    """100 days with an image each: 70, 15 and 15 of them, spread over the whole time."""
    days = [f"day{number:02}" for number in range(100)]
    strata = {f"{day}.png": ("class", day) for day in days}
    one, two = assign(strata, 0), assign(strata, 7)
    assert one != two
    for splits in (one, two):
        assert [Counter(splits.values())[split] for split in SPLITS] == [70, 15, 15]
        for split in SPLITS:  # the mean of 15 of 0 to 99 is 49.5 with a deviation of 6.9
            places = [days.index(path[:5]) for path, name in splits.items() if name == split]
            assert 28 < sum(places) / len(places) < 71


def test_every_class_is_split_70_15_15_and_every_image_is_used_once(tmp_path):
    source = opened(fill(tmp_path, b=20, a=40, c=3))
    assert source.classes == ("a", "b", "c")
    assert source.notes == ()
    assert dict(source.sizes) == {"train": 28 + 14 + 1, "validation": 6 + 3 + 1, "test": 6 + 3 + 1}
    labels = {split: Counter(label for _, label in source.images(split)) for split in SPLITS}
    assert labels["train"] == {0: 28, 1: 14, 2: 1}
    assert labels["validation"] == labels["test"] == {0: 6, 1: 3, 2: 1}
    codes = [tuple(image[0, 0]) for split in SPLITS for image, _ in source.images(split)]
    assert len(codes) == len(set(codes)) == 63


def test_images_come_with_their_own_label_in_the_order_of_their_paths(tmp_path):
    source = opened(fill(tmp_path, a=10, b=20))  # a has codes 1 to 10, b 11 to 30
    for split in SPLITS:
        entries = source.entries[split]
        assert paths(source, split) == sorted(paths(source, split))
        items = list(source.images(split))
        assert len(items) == len(entries) == source.sizes[split]
        for entry, (image, label) in zip(entries, items, strict=True):
            name, number = entry.path.removesuffix(".png").split("/")
            assert image.shape == (4, 5, 3)
            assert image.dtype == np.uint8
            assert (image == (0, int(number) + {"a": 1, "b": 11}[name], 0)).all()
            assert label == {"a": 0, "b": 1}[name]


def with_conditions(root: Path, counts: dict[str, dict[str, int]]) -> Path:
    rows = ["file,condition"]
    code = 0
    for name, conditions in counts.items():
        for condition, count in conditions.items():
            for i in range(count):
                code += 1
                paint(root / name / f"{condition}{i}.png", code)
                rows.append(f"{name}/{condition}{i}.png,{condition}")
    (root / "metadata.csv").write_text("\n".join(rows))
    return root


def test_conditions_are_split_in_the_same_shares(tmp_path):
    day_night = {"day": 30, "night": 10}
    source = opened(with_conditions(tmp_path, {"a": day_night, "b": day_night}))
    counts = {
        split: Counter(re.sub(r"\d.*", "", path) for path in paths(source, split))
        for split in SPLITS
    }
    # 40 images of a class: 28, 6, 6. Train: 21 day and 7 night exactly. Validation: 4.5 and 1.5,
    # rounded for day in class a and for night in class b.
    assert counts == {
        "train": {"a/day": 21, "a/night": 7, "b/day": 21, "b/night": 7},
        "validation": {"a/day": 5, "a/night": 1, "b/day": 4, "b/night": 2},
        "test": {"a/day": 4, "a/night": 2, "b/day": 5, "b/night": 1},
    }


def test_the_split_depends_on_the_seed_and_the_names_alone(tmp_path, monkeypatch):
    root = fill(tmp_path / "x", a=10, b=10)
    first = opened(root)
    other = tmp_path / "y"
    for path in sorted(root.rglob("*.png"), reverse=True):
        target = other / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listdir(path), reverse=True))
    again = opened(other)
    assert again.entries == first.entries
    assert again.fingerprint == first.fingerprint
    different = opened(root, seed=1)
    assert different.sizes == first.sizes
    assert paths(different, "train") != paths(first, "train")
    assert different.fingerprint != first.fingerprint


def test_the_fingerprint_follows_pixels_names_and_conditions(tmp_path):
    root = with_conditions(tmp_path, {"a": {"day": 6}, "b": {"day": 6}})
    prints = [opened(root).fingerprint]
    paint(root / "a/day0.png", 999)
    prints.append(opened(root).fingerprint)
    text = (root / "metadata.csv").read_text()
    (root / "metadata.csv").write_text(text.replace("a/day1.png,day", "a/day1.png,dusk"))
    prints.append(opened(root).fingerprint)
    (root / "b").rename(root / "c")
    (root / "metadata.csv").unlink()
    prints.append(opened(root).fingerprint)
    assert len(set(prints)) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in prints)


# Kinds of images


def gray16() -> Image.Image:
    return Image.fromarray(np.full((2, 2), 0x40FF, np.uint16))


def see_through() -> Image.Image:
    return Image.new("RGBA", (2, 2), (255, 0, 0, 0))


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 9, 8, 7])
    image.info["transparency"] = 0
    return image


def palette() -> Image.Image:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 9, 8, 7])
    return image


@pytest.mark.parametrize(
    ("image", "ending", "expected"),
    [
        (Image.new("RGB", (2, 2), (1, 2, 3)), "png", (1, 2, 3)),
        (Image.new("RGB", (2, 2), (1, 2, 3)), "bmp", (1, 2, 3)),
        (Image.new("L", (2, 2), 77), "png", (77, 77, 77)),
        (Image.new("L", (2, 2), 77), "jpg", (77, 77, 77)),
        (Image.new("1", (2, 2), 1), "png", (255, 255, 255)),
        (Image.new("LA", (2, 2), (50, 255)), "png", (50, 50, 50)),
        (Image.new("RGBA", (2, 2), (1, 2, 3, 255)), "png", (1, 2, 3)),
        (see_through(), "png", (255, 255, 255)),
        (see_through(), "webp", (255, 255, 255)),
        (palette(), "gif", (9, 8, 7)),
        (palette_with_transparency(), "png", (9, 8, 7)),
        (gray16(), "png", (0x40, 0x40, 0x40)),
        (gray16(), "TIFF", (0x40, 0x40, 0x40)),
        (Image.new("CMYK", (2, 2), (0, 0, 0, 255)), "tif", (0, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, image, ending, expected):
    path = tmp_path / f"x.{ending}"
    image.save(path, lossless=True) if ending == "webp" else image.save(path)
    pixels = folder_images.decode(path.read_bytes())
    assert pixels.shape == (2, 2, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == expected).all()
    assert folder_images.is_image_name(path.name)


@pytest.mark.parametrize("most", [255, 4095])
def test_16_bit_images_that_would_be_black_are_refused(tmp_path, most):
    fill(tmp_path, a=3, b=3)
    for number in range(3):
        values = np.full((4, 5), most - number, np.uint16)
        Image.fromarray(values).save(tmp_path / "a" / f"deep{number}.png")
    (told,) = mistakes(tmp_path)
    assert told.startswith(f"the 16-bit images use values up to {most} of 65535 and would be nea")
    Image.fromarray(np.full((4, 5), 4096, np.uint16)).save(tmp_path / "b" / "deep.png")
    assert opened(tmp_path).classes == ("a", "b")  # a dark one among others


@pytest.mark.parametrize(("most", "told"), [(4095, "4095"), (0x03A5, "1023")])  # its high byte
def test_16_bit_colours_that_would_be_black_are_refused(tmp_path, most, told):
    fill(tmp_path, a=3, b=3)
    for number in range(3):
        write_png_of_16_bits(tmp_path / "a" / f"deep{number}.png", most, number << 8)
    (found,) = mistakes(tmp_path)
    assert found.startswith(f"the 16-bit images use values up to {told} of 65535 and would be nea")
    write_png_of_16_bits(tmp_path / "b" / "deep.png", 0x1000, 5 << 8)
    assert opened(tmp_path).classes == ("a", "b")  # a dark one among others


def write_png_of_16_bits(path, most, mark):
    """Write 2x2 pixels of colour, one as high as `most`: Pillow writes none of that kind."""
    rows = np.array([[[most, 0, 0], [mark, 0, 0]], [[0, mark, 0], [0, 0, 0]]], ">u2")

    def chunk(kind, content):
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    lines = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", lines), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_the_exif_orientation_is_applied(tmp_path):
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter: the top left goes top right
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    decoded = folder_images.decode((tmp_path / "x.png").read_bytes())
    assert decoded.shape == (3, 2, 3)
    assert np.argwhere(decoded[:, :, 0]).tolist() == [[0, 1]]


def test_memory_that_runs_out_leaves_no_image_out(tmp_path, monkeypatch):
    root = fill(tmp_path, a=3, b=3)

    def decode(_data):
        raise MemoryError

    monkeypatch.setattr(folder_images, "decode", decode)
    with pytest.raises(DataError, match=r"memory ran out while .*\.png was decoded"):
        opened(root)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_disk_that_fails_leaves_no_image_out(tmp_path, monkeypatch, code):
    """Without the image it would be another data set, until the next look."""
    root = fill(tmp_path, a=3, b=3)
    whole = Path.read_bytes

    def read(path):
        if path == root / "a" / "001.png":
            raise OSError(code, os.strerror(code), str(path))
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    with pytest.raises(DataError, match=rf"^cannot read .*a/001\.png: {os.strerror(code)}$"):
        opened(root)


def test_a_file_that_would_run_another_program_is_not_opened(tmp_path):
    root = fill(tmp_path, a=3, b=3)
    (root / "a" / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert opened(root).notes == ("1 image could not be read and was skipped: a/x.jpg",)
    assert not folder_images.is_image_name("x.eps")


# What is passed over


def test_unreadable_images_are_skipped_and_told(tmp_path, monkeypatch):
    root = fill(tmp_path, a=4, b=4)
    (root / "a/empty.png").touch()
    (root / "a/text.jpg").write_text("not an image")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(root / "b/torn.jpg")
    whole = (root / "b/torn.jpg").read_bytes()
    (root / "b/torn.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (64, 65)).save(root / "b/bomb.png")
    os.mkfifo(root / "b/pipe.png")
    (root / "b/link.png").symlink_to("nothing")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64)  # 64x65 is above, and not twice above
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = opened(root)
    assert source.notes == (
        "5 images could not be read and were skipped: a/empty.png, a/text.jpg, b/link.png,"
        " b/pipe.png, b/torn.jpg",
        "1 image had more than 0 million pixels, to be scaled down, and was skipped: b/bomb.png",
    )
    assert used(source) == [f"{c}/00{i}.png" for c in "ab" for i in range(4)]


def test_a_long_list_is_cut():
    names = [f"{i}.png" for i in range(12)]
    assert listed(names[:10]) == ", ".join(names[:10])
    assert listed(names) == ", ".join(names[:10]) + " and 2 more"
    assert listed(["a\nb\udcff.png", "Blätter.png"]) == r"a\nb\udcff.png, Blätter.png"


def test_other_files_are_ignored_and_inner_folders_belong_to_their_class(tmp_path):
    root = fill(tmp_path, a=3, b=3)
    (root / "a/notes.txt").write_text("x")
    (root / "a/.hidden.png").write_text("x")
    (root / ".git").mkdir()
    (root / "a/.cache").mkdir()
    (root / "a/.cache/x.png").write_text("x")
    (root / "README").write_text("x")
    paint(root / "a/deep/deeper/x.PNG", 700)
    source = opened(root)
    assert source.notes == ()
    assert "a/deep/deeper/x.PNG" in used(source)
    assert len(used(source)) == 7


def test_images_beside_the_class_folders_are_told(tmp_path):
    root = fill(tmp_path, a=3, b=3)
    paint(root / "x.png", 700)
    assert opened(root).notes == ("1 image lay beside the class folders and was not used: x.png",)


def test_of_equal_images_the_first_is_used(tmp_path):
    root = fill(tmp_path, a=4, b=4)
    paint(root / "a/copy.png", 1)  # as a/000.png
    paint(root / "a/copy.bmp", 1)  # the same pixels in another file
    source = opened(root)
    assert source.notes == (
        "2 images had the same content as another and were dropped: a/copy.bmp, a/copy.png",
    )
    assert used(source) == [f"{c}/00{i}.png" for c in "ab" for i in range(4)]


def test_many_copies_are_dropped_in_a_moment(monkeypatch):
    """Half of 20,000 images: where each is looked up in a set of its own that takes 10 s."""
    files = {f"{'ab'[i % 2]}/{i:05}.png": i % 2 for i in range(20_000)}
    layout = Layout(("a", "b"), files, dict.fromkeys(files, ""), [], [])
    # Images 0 and 2 are the same one, 1 and 3, 4 and 6, ...: of each class every second one.
    pixels = {path: (i // 4, i % 2) for i, path in enumerate(files)}
    checked = {p: Checked(p.encode(), repr(pixels[p]).encode(), (4, 5, 3)) for p in files}
    monkeypatch.setattr(folder, "scan", lambda _root: layout)
    monkeypatch.setattr(folder, "check", lambda *_: checked)
    began = time.process_time()
    source = opened(Path("photos"))
    assert time.process_time() - began < 4
    assert sum(source.sizes.values()) == 10_000
    [note] = source.notes
    assert note.startswith(
        "10000 images had the same content as another and were dropped: a/00002"
    )


def test_equal_pixels_of_another_shape_are_another_image(tmp_path):
    root = fill(tmp_path, a=3, b=3)
    Image.new("RGB", (2, 6)).save(root / "a/x.png")
    Image.new("RGB", (6, 2)).save(root / "a/y.png")
    assert opened(root).notes == ()


def test_equal_images_of_two_classes_are_all_dropped(tmp_path):
    root = fill(tmp_path, a=4, b=4)
    paint(root / "b/same.png", 1)  # as a/000.png
    paint(root / "b/more.png", 1)
    source = opened(root)
    assert source.notes == (
        "3 images had the same content under different classes and were dropped:"
        " a/000.png, b/more.png, b/same.png",
    )
    assert used(source) == ["a/001.png", "a/002.png", "a/003.png"] + [
        f"b/00{i}.png" for i in range(4)
    ]


# Mistakes


def test_a_path_that_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    assert mistakes(tmp_path / "nowhere") == [
        f"{tmp_path}/nowhere does not exist; give a folder with one sub-folder per class"
    ]
    assert mistakes(tmp_path / "file") == [
        f"{tmp_path}/file is not a folder; give a folder with one sub-folder per class"
    ]
    with pytest.raises(DataError, match=r"no folder given; write --data folder:PATH"):
        open_folder(DataSpec("beans", "folder"))


def test_no_class(tmp_path):
    paint(tmp_path / "x.png", 1)
    assert mistakes(tmp_path) == [
        f"{tmp_path} holds no class folder; put the images into one folder per class"
    ]


def test_one_class(tmp_path):
    assert mistakes(fill(tmp_path, a=5)) == [
        f"{tmp_path} holds only one class, 'a'; at least two are needed"
    ]


def test_files_of_an_unknown_format_are_told_where_a_class_has_too_few_images(tmp_path):
    root = fill(tmp_path, a=5, b=0, c=2)
    for number in range(4):
        (root / f"b/{number}.heic").touch()
    (root / "c/raw.cr3").touch()
    assert mistakes(root) == [
        "class 'b' is empty: no image; remove its folder or add images; 4 files have no ending of "
        "a known image format: b/0.heic, b/1.heic, b/2.heic and 1 more",
        "class 'c' has 2 images; at least 3 are needed; 1 file has no ending of a known image "
        "format: c/raw.cr3",
    ]


def test_small_classes_are_reported_together(tmp_path):
    root = fill(tmp_path, a=5, b=0, c=1, d=2)
    (root / "b/notes.txt").touch()
    assert mistakes(root) == [
        "class 'b' is empty: no image; remove its folder or add images",
        "class 'c' has 1 image; at least 3 are needed",
        "class 'd' has 2 images; at least 3 are needed",
    ]


def test_a_class_that_is_small_without_its_unreadable_images(tmp_path):
    root = fill(tmp_path, a=5, b=3, c=3)
    (root / "b/001.png").write_bytes(b"")
    for path in (root / "c").iterdir():
        path.write_bytes(b"x")
    end = "(of 3 files; the others are unreadable, too large or copies)"
    assert mistakes(root) == [
        f"class 'b' has 2 usable images; at least 3 are needed {end}",
        f"class 'c' is empty: no usable image; remove its folder or add images {end}",
    ]


def test_links_that_lead_elsewhere(tmp_path):
    outside = fill(tmp_path / "outside", x=3)
    root = fill(tmp_path / "root", a=3, b=3)
    (root / "c").symlink_to(outside / "x")
    (root / "d").symlink_to("nothing")
    (root / "b/round").symlink_to(root)
    assert mistakes(root) == [
        f"class folder 'c' is a link to outside {root}; copy its images there",
        "d is a link to nothing; remove it",
        "links to folders inside a class: b/round; copy them",
    ]


def test_a_class_may_be_a_link_inside_the_folder(tmp_path):
    root = fill(tmp_path, a=3, b=3)
    (root / "b").rename(root / ".b")
    (root / "b").symlink_to(".b")
    assert opened(root).classes == ("a", "b")


def test_a_class_name_that_cannot_be_shown(tmp_path):
    root = fill(tmp_path, a=3, b=3)
    (root / "b").rename(root / "b\n")
    found = mistakes(root)
    assert found[0] == r"class folder b\n has characters that cannot be shown or seen; rename it"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,light\na/000.png,day", ["needs the columns file and condition; found file, light"]),
        ("", ["needs the columns file and condition; found nothing"]),
        (
            "file,condition\na/000.png,day\n./a/000.png,day\na/001.png,\na/002.png,day\n../x.png,day",
            [
                "lists files that are not among the images: ../x.png",
                "does not list these images: b/000.png, b/001.png, b/002.png",
                "lists files more than once: a/000.png",
                "gives no condition for: a/001.png",
            ],
        ),
    ],
)
def test_mistakes_of_the_metadata(tmp_path, text, expected):
    root = fill(tmp_path, a=3, b=3)
    (root / "metadata.csv").write_text(text)
    assert mistakes(root) == [f"metadata.csv {each}" for each in expected]


def test_metadata_that_is_no_text(tmp_path):
    root = fill(tmp_path, a=3, b=3)
    (root / "metadata.csv").write_bytes(b"file,condition\n\xff\xfe")
    assert re.match("metadata.csv is not a CSV file in UTF-8: .*0xff", mistakes(root)[0])


def test_metadata_as_excel_writes_it(tmp_path):
    root = fill(tmp_path, a=3, b=3)
    rows = [f"day,{c}/00{i}.png" for c in "ab" for i in range(3)]
    (root / "metadata.csv").write_text("\ufeffcondition, file\r\n" + "\r\n".join(rows) + "\r\n")
    assert len(used(opened(root))) == 6


def test_mistakes_of_the_layout_and_of_the_metadata_are_told_together(tmp_path):
    root = fill(tmp_path, a=3, b=1)
    (root / "metadata.csv").write_text("file\n")
    assert len(mistakes(root)) == 2


# Reading again


def test_a_name_that_moves_the_cursor_is_escaped_in_every_line(tmp_path, monkeypatch):
    def told(call):
        with pytest.raises(DataError) as caught:
            call()
        return str(caught.value)

    root = fill(tmp_path / "my\ndata", a=3, b=3)
    shown = rf"{tmp_path}/my\ndata"
    source = opened(root)
    path = root / paths(source, "train")[0]
    paint(path, 999)
    line = told(lambda: list(source.images("train")))
    assert line.startswith(f"{shown}/{path.parent.name}/{path.name} changed while it was used;")
    path.unlink()
    line = told(lambda: list(source.images("train")))
    assert line.startswith(f"cannot read {shown}/{path.parent.name}/{path.name} any more: ")
    paint(path, 998)
    with monkeypatch.context() as patched:
        patched.setattr(folder_images, "_checked", mock.Mock(side_effect=MemoryError))
        assert told(lambda: opened(root)).startswith(f"memory ran out while {shown}/")
    assert told(lambda: scan(root / "c")).startswith(f"{shown}/c does not exist; give a folder")
    refused = PermissionError(13, "Permission denied", str(root))
    monkeypatch.setattr(os, "listdir", mock.Mock(side_effect=refused))
    assert told(lambda: scan(root)) == f"cannot read {shown}: Permission denied"


def test_an_image_that_changes_after_opening_is_refused(tmp_path):
    root = fill(tmp_path, a=3, b=3)
    source = opened(root)
    changed = root / paths(source, "train")[0]
    paint(changed, 999)
    with pytest.raises(DataError, match=rf"{changed} changed while it was used"):
        list(source.images("train"))
    changed.unlink()
    with pytest.raises(DataError, match=rf"cannot read {changed} any more: No such file"):
        list(source.images("train"))


def test_opening_again_decodes_only_what_changed(tmp_path, monkeypatch):
    root = fill(tmp_path, a=5, b=5)
    first = opened(root)
    paint(root / "a/000.png", 999)
    decoded = []
    decode = folder_images.decode
    monkeypatch.setattr(folder_images, "decode", lambda data: decoded.append(1) or decode(data))
    calls = []
    spec = DataSpec("beans", "folder", str(root))
    again = open_folder(spec, lambda *call: calls.append(call))
    assert len(decoded) == 1
    assert again.fingerprint != first.fingerprint
    assert calls == [("checking images", i, 10) for i in range(1, 11)]
