"""The code that goes with an exported model gives the images that training sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from search.card import model_card
from search.export import preprocessing
from search.pillow_code import pillow_code
from search.winner import read_winner
from tests.search_tests.winners import make_images, make_study
from trainables.data import DataSpec
from trainables.deployed import Shape, Unreadable, load_image


@pytest.mark.parametrize("shape", [Shape(12, 20, 3), Shape(16, 16, 1)])
def test_the_code_that_prepares_images_gives_what_training_does(
    shape: Shape, tmp_path: Path
) -> None:
    draws = np.random.default_rng(3)
    pixels = draws.integers(0, 256, (30, 40, 4), dtype=np.uint8)
    colours = Image.fromarray(pixels[..., :3])
    turned = Image.Exif()
    turned[0x0112] = 6  # by a quarter
    colours.save(tmp_path / "turned.jpg", exif=turned)
    Image.fromarray(pixels).save(tmp_path / "transparent.png")
    colours.quantize(16).save(tmp_path / "palette.png")
    clear = colours.quantize(16)
    clear.save(tmp_path / "palette-transparent.png", transparency=3)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "gray.png")
    Image.fromarray(pixels[..., 0] > 99).save(tmp_path / "bits.png")
    Image.fromarray(pixels).convert("LA").save(tmp_path / "gray-transparent.png")
    colours.convert("CMYK").save(tmp_path / "print.jpg")
    colours.save(tmp_path / "colours.tiff", exif=turned)
    colours.save(tmp_path / "frames.gif", save_all=True, append_images=[colours.rotate(90)])
    Image.fromarray(pixels[..., 0].astype(np.int32) * 200).save(tmp_path / "deep.tiff")
    deep = draws.integers(0, 65536, (30, 40), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    scope: dict[str, Any] = {}
    exec(pillow_code(shape), scope)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 12
    for path in paths:
        expected = load_image(path, shape)
        assert isinstance(expected, np.ndarray), path
        assert np.array_equal(scope["prepared"](path), expected), path


@pytest.mark.parametrize(
    "pixels",
    [np.full((4, 4), 0.5, np.float32), np.full((4, 4), 70_000, np.int32), np.full((4, 4), -1)],
)
def test_pixels_of_unknown_range_are_refused_as_training_does(
    pixels: NDArray[Any], tmp_path: Path
) -> None:
    path, shape = tmp_path / "a.tiff", Shape(4, 4, 3)
    Image.fromarray(pixels.astype(np.float32 if pixels.dtype == np.float32 else np.int32)).save(
        path
    )
    assert isinstance(load_image(path, shape), Unreadable)
    scope: dict[str, Any] = {}
    exec(pillow_code(shape), scope)
    with pytest.raises(ValueError, match="whose range is not known"):
        scope["prepared"](path)


def test_broken_exif_is_left_out_as_in_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise SyntaxError("not a TIFF file")

    colours = np.random.default_rng(5).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    monkeypatch.setattr(ImageOps, "exif_transpose", broken)
    scope: dict[str, Any] = {}
    exec(pillow_code(Shape(9, 9, 3)), scope)
    assert np.array_equal(scope["prepared"](tmp_path / "a.png"), colours)
    assert np.array_equal(load_image(tmp_path / "a.png", Shape(9, 9, 3)), colours)


def test_card_and_preprocessing_have_that_code(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", classes=3)
    spec = DataSpec("beans", "folder", str(images))
    winner = read_winner(make_study(tmp_path / "lenet", "lenet_beans", spec))
    code = pillow_code(Shape(64, 64, 3))
    assert "\n".join(preprocessing(winner)["before"]["python"]) == code
    card = model_card(winner)
    assert code in card
    blocks = [block.split("```")[0] for block in card.split("```python\n")[1:]]
    assert len(blocks) == 3
    for block in blocks:
        compile(block, "card", "exec")
