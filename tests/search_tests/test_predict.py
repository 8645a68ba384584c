"""search.predict: the same answers as in training, whatever files it is given."""

import codecs
import csv
import io
import json
import os
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search import predict
from search.errors import StudyFailed
from search.winner import read_winner
from tests.search_tests.winners import make_images, make_study, validation_images
from trainables.checkpoint import load_weights
from trainables.data import DataSpec
from trainables.deployed import Shape, Unreadable, fitted, load_image
from trainables.errors import TrellisError


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images") / "kinds", classes=3)


@pytest.fixture(scope="module")
def lenet(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results") / "lenet"
    return make_study(root, "lenet_beans", DataSpec("beans", "folder", str(images)))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = predict.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def share_right(out: str, labels: list[int], classes: tuple[str, ...]) -> float:
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == len(labels) > 5
    return float(
        np.mean([row["class"] == classes[y] for row, y in zip(rows, labels, strict=True)])
    )


@pytest.mark.parametrize("name", ["lenet_beans", "mnist_cnn", "cifar10_net"])
def test_its_accuracy_on_the_validation_images_is_the_studys(
    name: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = DataSpec("beans", "folder", str(images))
    root = make_study(tmp_path / name, name, spec)
    paths, labels = validation_images(spec, None, tmp_path / "validation")
    code, out, _ = run(capsys, root, *paths)
    best = json.loads((root / "best.json").read_text())
    assert code == 0
    right = share_right(out, labels, ("kind 0", "kind 1", "kind 2"))
    assert right == pytest.approx(best["val_accuracy"])


@pytest.mark.parametrize(
    ("name", "each"),
    [pytest.param("inception_beans", 4, marks=pytest.mark.slow), ("cifar10_transfer", 16)],
)
def test_networks_with_frozen_layers_are_whole(
    name: str, each: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = DataSpec("beans", "folder", str(make_images(tmp_path / "i", classes=10, each=each)))
    root = make_study(tmp_path / name, name, spec)
    paths, labels = validation_images(spec, None, tmp_path / "validation")
    code, out, _ = run(capsys, root, *paths)
    assert code == 0
    classes = tuple(f"kind {number}" for number in range(10))
    best = json.loads((root / "best.json").read_text())
    chosen = labels
    if name == "cifar10_transfer":  # its accuracy is of the target classes, 5 to 9
        rows = out.splitlines()
        kept = [number for number, label in enumerate(labels) if label >= 5]
        out = "\n".join([rows[0], *(rows[1 + number] for number in kept)])
        chosen = [labels[number] for number in kept]
    # Stored activations are bfloat16: an image at the border may fall to the other side.
    assert share_right(out, chosen, classes) == pytest.approx(
        best["val_accuracy"], abs=1.01 / len(chosen)
    )


@pytest.mark.slow
def test_a_pretrained_network_that_is_not_completed_yet_is_so_here(tmp_path: Path) -> None:
    spec = DataSpec("beans", "folder", str(make_images(tmp_path / "i", classes=3, each=4)))
    root = make_study(tmp_path / "s", "inception_beans", spec)
    saved = load_weights(root / "best.pt")
    whole = read_winner(root).network().state_dict()
    trained = {
        n: v for n, v in saved["model"].items() if n.startswith(("head.", "backbone.Mixed_7"))
    }
    trained = {n: v for n, v in trained.items() if not n.startswith("backbone.Mixed_7a")}
    assert 20 < len(trained) < len(saved["model"])
    torch.save(saved | {"model": trained}, root / "best.pt")
    again = read_winner(root).network().state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_csv_and_json_agree_and_probabilities_add_up(
    lenet: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "lenet", images, "--results-dir", lenet.parent)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["image"] for row in rows] == [str(p) for p in sorted(images.rglob("*.png"))]
    assert len(rows) == 30
    assert "classifying images: 30 of 30" in err
    _, out, _ = run(capsys, lenet, images, "--json")
    told = json.loads(out)
    assert [one["class"] for one in told] == [row["class"] for row in rows]
    for one, row in zip(told, rows, strict=True):
        assert one["probability"] == float(row["probability"])
        assert one["probability"] == max(one["probabilities"].values())
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_the_numbers_are_those_of_the_network_itself(
    lenet: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = images / "kind 1" / "3.png"
    _, out, _ = run(capsys, lenet, path, "--json")
    (told,) = json.loads(out)
    small = Image.open(path).resize((64, 64), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255
    network = read_winner(lenet).network().network
    expected = network(pixels).softmax(1)[0].tolist()
    assert list(told["probabilities"].values()) == pytest.approx(expected, abs=1e-5)


def test_bad_images_are_told_and_skipped(
    lenet: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = images / "kind 0" / "0.png"
    (tmp_path / "torn.png").write_bytes(good.read_bytes()[:200])
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    words = ["torn.png", "text.jpg", "empty", "pipe.png", "none\n.png"]
    code, out, err = run(capsys, lenet, *(tmp_path / word for word in words), good)
    assert code == 0
    assert [line.split(",")[0] for line in out.splitlines()] == ["image", str(good)]
    assert "torn.png: not an image that can be read, skipped: " in err
    assert "text.jpg: not an image that can be read, skipped: no kind of image" in err
    assert "empty: not an image that can be read, skipped: is a folder" in err
    assert "pipe.png: not an image that can be read, skipped: is no regular file" in err
    assert "none\\n.png" in err
    assert "5 of 6 could not be read and were skipped" in err


def test_folders_are_read_as_in_training(
    lenet: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (images / "kind 0" / "0.png").read_bytes()
    passed = (".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png/thumbnail.jpg")
    for name in ("a.png", "inner/b.png", *passed, "c.heic", "n.txt"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(good)
    (tmp_path / "photos" / "link").symlink_to(images)
    code, out, err = run(capsys, lenet, tmp_path / "photos")
    assert code == 0
    seen = [line.split(",")[0] for line in out.splitlines()[1:]]
    assert seen == [str(tmp_path / "photos" / name) for name in ("a.png", "inner/b.png")]
    assert f"left out: {tmp_path / 'photos' / 'c.heic'}\n" in err
    assert f"{tmp_path / 'photos' / 'link'} is a link to a folder and is left out" in err
    assert "n.txt" not in err


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
def test_a_name_that_is_no_utf_8_is_printed_as_it_is(
    lenet: Path, images: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    image = os.fsencode(tmp_path) + b"/bl\xe4tter.png"
    Path(os.fsdecode(image)).write_bytes((images / "kind 0" / "0.png").read_bytes())
    assert predict.main([str(lenet), os.fsdecode(image)]) == 0
    head, line = capsysbinary.readouterr().out.splitlines()
    assert head == b"image,class,probability"
    assert line.startswith(image + b",kind ")


@pytest.mark.parametrize("terminal", [False, True])
def test_names_move_no_cursor_of_a_terminal_and_are_exact_elsewhere(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    predict._as_csv(1, "a\x1b[2J.png", "k\x07", {"k\x07": 0.5})
    predict._as_json(0, "a\x1b[2J.png", "k\x07", {"k\x07": 0.5})
    line, *told = capsys.readouterr().out.splitlines()
    assert line == (r"a\x1b[2J.png,k\x07,0.5" if terminal else "a\x1b[2J.png,k\x07,0.5")
    assert all(each.isprintable() for each in told)
    (found,) = json.loads("".join([*told, "]"]))
    assert (found["image"], found["class"]) == ("a\x1b[2J.png", "k\x07")


def test_a_path_that_cannot_be_looked_at_is_skipped(
    lenet: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, lenet, images / "kind 0" / "0.png", "x" * 300)
    assert (code, len(out.splitlines())) == (0, 2)
    assert "xxx: not an image that can be read, skipped: OSError: [Errno 36]" in err


def test_a_class_that_the_terminal_has_no_letters_for_is_escaped() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="trellis", newline="")
    codecs.register_error("trellis", predict._as_bytes)
    out.write("bl\udce4tter,Bl\u00e4tter \u5065\u5eb7\n")
    out.flush()
    assert out.buffer.getvalue() == b"bl\xe4tter,Bl\\xe4tter \\u5065\\u5eb7\n"  # type: ignore[attr-defined]


def test_nearly_black_16_bit_images_are_told(
    lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / "dark.png")
    Image.fromarray(values * 16).save(tmp_path / "whole.png")
    told = "warning: the 16-bit images use values up to 4095 of 65535 and would be nearly black"
    assert told in run(capsys, lenet, tmp_path / "dark.png")[2]
    assert told not in run(capsys, lenet, tmp_path / "dark.png", tmp_path / "whole.png")[2]


def test_it_says_which_model_it_asks(
    lenet: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = images / "kind 0" / "0.png"
    best = json.loads((lenet / "best.json").read_text())
    trial = f"model: trial {best['trial']}, validation accuracy {best['val_accuracy']:.4f}\n"
    err = run(capsys, lenet, image)[2]
    assert trial in err
    assert "note: confirm" not in err
    lost = shutil.copytree(lenet, tmp_path / "lost")
    (lost / "confirm.json").write_text('{"recommended": 2, "configurations": [{}]}')
    err = run(capsys, lost, image)[2]
    assert "note: confirm_best.json or confirm.pt, of what search.confirm recommends, is" in err
    assert trial in err


@pytest.mark.parametrize(("option", "out"), [([], ""), (["--json"], "[]\n")])
def test_nothing_that_can_be_read_is_a_failure(
    option: list[str],
    out: str,
    lenet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(capsys, lenet, tmp_path / "a.png", *option)[:2] == (1, out)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body).to_bytes(4)
        return len(body).to_bytes(4) + kind + body + check

    head = (50_000).to_bytes(4) + (50_000).to_bytes(4) + bytes([8, 2, 0, 0, 0])
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    found = load_image(tmp_path / "bomb.png", Shape(8, 8, 3))
    assert isinstance(found, Unreadable)
    assert found.reason.startswith("DecompressionBombError: ")


def test_images_are_fitted_as_in_training() -> None:
    ramp = np.repeat(np.arange(0, 250, 10, dtype=np.uint8)[None, :, None], 4, axis=0)
    gray = np.repeat(ramp, 3, axis=2)  # [4, 25, 3]
    assert np.array_equal(fitted(gray, Shape(4, 25, 1)), ramp)
    assert np.array_equal(fitted(gray, Shape(4, 25, 3)), gray)
    assert fitted(gray, Shape(6, 9, 1)).shape == (6, 9, 1)
    assert fitted(gray, Shape(7, 7, 3)).shape == (7, 7, 3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("best.json", None, r"best\.json is missing: no trial of the study has finished yet"),
        ("best.json", b"{", r"best\.json is damaged: "),
        ("best.json", b'{"trial": 0}', r"best\.json is damaged: it lacks one of trial, config"),
        ("best.pt", None, r"best\.pt is missing: workers of other machines kept the weights"),
        ("best.pt", b"PK", r"best\.pt is damaged: "),
    ],
)
def test_a_study_without_a_whole_best_model_is_told(
    name: str,
    content: bytes | None,
    message: str,
    lenet: Path,
    tmp_path: Path,
) -> None:
    for each in ("study.json", "best.json", "best.pt"):
        (tmp_path / each).write_bytes((lenet / each).read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StudyFailed, match=message):
        read_winner(tmp_path).network()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 99}, r"best\.pt is of another trial than best\.json"),
        ({"config": {"image_size": 64}}, r"best\.pt does not fit its configuration: 'filters'"),
    ],
)
def test_files_that_do_not_go_together_are_told(
    changes: dict[str, object], message: str, lenet: Path, tmp_path: Path
) -> None:
    for each in ("study.json", "best.pt"):
        (tmp_path / each).write_bytes((lenet / each).read_bytes())
    best = json.loads((lenet / "best.json").read_text())
    (tmp_path / "best.json").write_text(json.dumps(best | changes))
    with pytest.raises(StudyFailed, match=message):
        read_winner(tmp_path).network()


def test_without_its_folder_the_size_of_images_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = DataSpec("mnist", "folder", str(make_images(tmp_path / "i", classes=2, side=12)))
    root = make_study(tmp_path / "s", "mnist_cnn", spec, epochs=1)
    assert read_winner(root).shape == Shape(12, 12, 3)
    (tmp_path / "i").rename(tmp_path / "j")
    with pytest.raises(TrellisError, match="the size of the images can no longer be told"):
        read_winner(root)
    image = next((tmp_path / "j").rglob("*.png"))
    code, out, _ = run(capsys, root, image, "--data-dir", tmp_path / "j")
    assert (code, len(out.splitlines())) == (0, 2)


def test_a_study_that_tells_the_size_of_its_images_needs_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = DataSpec("mnist", "folder", str(make_images(tmp_path / "i", classes=2, side=12)))
    root = make_study(tmp_path / "s", "mnist_cnn", spec, epochs=1)
    manifest = json.loads((root / "study.json").read_text())
    manifest["data"]["image"] = [12, 12, 3]
    (root / "study.json").write_text(json.dumps(manifest))
    image = next((tmp_path / "i").rglob("*.png")).rename(tmp_path / "one.png")
    shutil.rmtree(tmp_path / "i")
    code, out, _ = run(capsys, root, image)
    assert code == 0
    assert out.splitlines()[1].startswith(f"{image},")


def test_an_unknown_study_is_a_usage_error(
    lenet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "lenot", "a.png", "--results-dir", lenet.parent)
    assert (code, out) == (2, "")
    assert "search.predict: no study 'lenot'" in err
    assert "nearest: lenet" in err
