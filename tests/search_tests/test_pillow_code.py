"""The code that goes with an exported model gives the images that training sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.card import model_card
from search.export import preprocessing
from search.pillow_code import pillow_code
from search.winner import read_winner
from tests.search_tests.winners import make_images, make_study
from trainables.data import DataSpec
from trainables.deployed import Shape, load_image


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
    deep = draws.integers(0, 65536, (30, 40), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    scope: dict[str, Any] = {}
    exec(pillow_code(shape), scope)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 7
    for path in paths:
        expected = load_image(path, shape)
        assert isinstance(expected, np.ndarray), path
        assert np.array_equal(scope["prepared"](path), expected), path


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
