"""The contact sheet: its rows, its picture, and the command from a folder of images to a PNG."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from analysis.augment import COMBINATIONS, draw, main, sheet, title
from trainables.augment import OPS
from trainables.data.source import DataSpec


def image(height: int = 24, width: int = 24, channels: int = 3) -> NDArray[np.uint8]:
    values = np.random.default_rng(0).integers(0, 256, (height, width, channels))
    return values.astype(np.uint8)


@pytest.fixture
def leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two classes of seven images."""
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    values = np.random.default_rng(1)
    for name in ("healthy", "rust"):
        (tmp_path / "leaves" / name).mkdir(parents=True)
        for number in range(7):
            pixels = values.integers(0, 256, (40, 50, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "leaves" / name / f"{number}.png")
    return tmp_path / "leaves"


def test_every_op_and_two_combinations_have_a_row_of_seven() -> None:
    original = image()
    rows = sheet(original)
    assert tuple(rows) == (*OPS, *COMBINATIONS)
    assert len(COMBINATIONS) == 2
    for name, images in rows.items():
        assert images.shape == (7, 24, 24, 3), name
        assert np.array_equal(images[0], original.astype(np.float32) / 255)
        assert not all(np.array_equal(images[0], drawn) for drawn in images[1:]), name


def test_the_seed_decides_the_draws() -> None:
    first = sheet(image(), seed=1)["rotation"]
    assert np.array_equal(first, sheet(image(), seed=1)["rotation"])
    assert not np.array_equal(first, sheet(image(), seed=2)["rotation"])


def test_an_oblong_image_has_no_transpose() -> None:
    assert tuple(sheet(image(width=30))) == (
        *(op for op in OPS if op != "transpose"),
        *COMBINATIONS,
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_figure_shows_every_image_and_names_every_row(channels: int) -> None:
    rows = sheet(image(channels=channels))
    figure = draw(rows, "some leaves")
    assert figure.get_suptitle() == "some leaves"
    cells = figure.axes
    assert len(cells) == len(rows) * 7 == 98
    assert [cell.get_ylabel().replace("\n", "") for cell in cells[::7]] == list(rows)
    heads = [cell.get_title() for cell in cells[:7]]
    assert heads == ["original", *(f"draw {number}" for number in range(1, 7))]
    shown = [np.asarray(cell.images[0].get_array()) for cell in cells]
    expected = [drawn.squeeze() for images in rows.values() for drawn in images]
    assert all(np.array_equal(a, b) for a, b in zip(shown, expected, strict=True))


def test_title_names_the_data() -> None:
    embedded = title("lenet_beans", DataSpec("beans", "embedded"))
    assert embedded == "lenet_beans: embedded data, not the real beans"
    assert title("lenet_beans", DataSpec("beans", "tfds", "/x")) == "lenet_beans: beans from tfds"
    own = title("lenet_beans", DataSpec("beans", "folder", "/x"))
    assert own == "lenet_beans: images of a folder"


@pytest.mark.slow
def test_from_a_folder_to_a_picture(
    leaves: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "sheet.png"
    arguments = ["--data", f"folder:{leaves}", "--size", "32", "--output", str(output)]
    assert main(["lenet_beans", *arguments]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    with Image.open(output) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert min(picture.size) > 1000
    assert len(np.unique(pixels, axis=0)) > 1000  # 91 images of noise, not an empty page


def test_default_place_of_the_picture(
    leaves: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lenet_beans", "--data", f"folder:{leaves}", "--size", "16"]) == 0
    expected = Path("results") / "augment-lenet_beans.png"
    assert capsys.readouterr().out == f"{expected}\n"
    assert expected.is_file()
    assert not (tmp_path / "cache" / "images").exists()  # one image needs no array of all


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["lenet_bean"], "'lenet_bean': did you mean lenet_beans?"),
        (["lenet_beans", "--data", "web"], "--data web: must be tfds, embedded or folder:PATH"),
        (["lenet_beans", "--data", "folder:/nowhere"], "/nowhere: there is no such folder"),
        (["lenet_beans", "--data", "folder:~nobody1/x"], "~nobody1/x: there is no such folder"),
        (["lenet_beans", "--output", "sheet.jpg"], "--output sheet.jpg: must end in .png"),
    ],
)
def test_bad_input_exits_2_with_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert what in err
    assert err.startswith("python -m analysis.augment: ")
    assert err.count("\n") == 1


def test_a_place_that_cannot_be_written(
    leaves: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "sheet.png"
    arguments = ["--data", f"folder:{leaves}", "--size", "16", "--output", str(output)]
    assert main(["lenet_beans", *arguments]) == 2
    err = capsys.readouterr().err
    told = f"python -m analysis.augment: cannot write {output}: File exists"
    assert err.splitlines() == ["checking images: 14 of 14", told]


def test_bad_size_exits_2_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["lenet_beans", "--size", "0"])
    assert stopped.value.code == 2
    message = "argument --size: must be a whole number from 1, but got '0' (see --help)\n"
    assert capsys.readouterr().err == f"python -m analysis.augment: {message}"


def test_help_gives_an_example_and_needs_no_torch() -> None:
    code = (
        "import sys, analysis.augment\n"
        "try:\n"
        "    analysis.augment.main(['--help'])\n"
        "finally:\n"
        "    heavy = {'torch', 'ray', 'optuna', 'tensorflow_datasets', 'matplotlib'}\n"
        "    assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "example: python -m analysis.augment lenet_beans" in " ".join(done.stdout.split())
    assert "results/augment-EXPERIMENT.png" in done.stdout
