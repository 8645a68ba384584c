"""Class lists of cifar10_transfer against the classes that the data turns out to have."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.run import main


@pytest.fixture
def four_classes(tmp_path: Path) -> Path:
    draw = np.random.default_rng(1)
    for name in ("a", "b", "c", "d"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "data"


def test_classes_that_the_data_lacks(
    four_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["cifar10_transfer", "--data", f"folder:{four_classes}", "--dry-run"]
    words += ["--results-dir", str(tmp_path / "results")]
    assert main(words) == 2
    *_, line = capsys.readouterr().err.splitlines()  # after what it says of the data
    assert line == (
        "search.run: class 9 is not in the data, which has the classes 0 to 3; hold others by "
        "--fix source_classes=... and target_classes=..."
    )
    held = ["--fix", "source_classes=0,3", "--fix", "target_classes=2,1"]
    assert main([*words, *held]) == 0
    assert "held: source_classes=0,3 target_classes=1,2" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
