"""Robustness: a model whose answers are known, and trained ones of every experiment."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

import trainables.data
from analysis import robustness
from analysis.best_model import load_best
from analysis.disturbances import DISTURBANCES
from analysis.layout import plain
from analysis.robustness import main, sections
from analysis.robustness_data import accuracies, curve, draw_curves, draw_examples, examples
from search.catalog import find
from search.winner import read_best
from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import budget
from trainables.budget import drive
from trainables.data import Data, DataSpec
from trainables.weights import RANDOM

from .studies import confirm

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIGS: dict[str, dict[str, Any]] = {
    "lenet_beans": {"image_size": 64, "batch_size": 8},
    "mnist_cnn": {"batch_size": 8, "filters": "16/32"},
    "cifar10_net": {"batch_size": 8},
    "cifar10_transfer": {
        "source_classes": "0,1",
        "target_classes": "2,3",
        "dense_width": 12,
        "batch_size": 8,
    },
    "inception_beans": {
        "unfreeze_blocks": 0,
        "head_epochs": 2,
        "finetune_epochs": 1,
        "head_width": 8,
        "batch_size": 4,
    },
}


def by_brightness(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Class 1 where the mean level is 100 or more."""
    return (images.mean((1, 2, 3)) >= 100).astype(np.int64)


def bright_and_dark() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Three images of level 255 in class 1, one of level 20 in class 0."""
    levels = np.array([255, 255, 255, 20], np.uint8)
    return np.tile(levels[:, None, None, None], (1, 16, 16, 3)), np.array([1, 1, 1, 0])


# --- data


def test_accuracies_by_hand() -> None:
    images, labels = bright_and_dark()
    table = accuracies(by_brightness, images, labels)
    assert len(table) == 1 + 5 * 5
    dark = curve(table, "darkening")
    # White after 0, 1, 2, 3 stops: levels 255, 188, 137, 99: from there on all count as dark.
    assert dark["strength"].tolist() == [0, 1, 2, 3, 4, 5]
    assert dark["correct"].tolist() == [4, 4, 4, 1, 1, 1]
    assert dark["accuracy"].tolist() == [1, 1, 1, 0.25, 0.25, 0.25]
    # Nothing else changes the mean of flat images by half.
    assert (table.loc[table["disturbance"] != "darkening", "accuracy"] == 1).all()
    # Wilson for 1 of 4 (z 1.96): 0.0456 to 0.6994.
    assert dark["low"].iloc[3] == pytest.approx(0.0456, abs=1e-4)
    assert dark["high"].iloc[3] == pytest.approx(0.6994, abs=1e-4)


def test_the_printed_table_by_hand() -> None:
    images, labels = bright_and_dark()
    text = plain(sections(accuracies(by_brightness, images, labels), "study s1"))
    assert text.startswith(
        "study s1\n"
        "\n"
        "disturbance    none       1       2       3       4       5\n"
        "darkening    1.0000  1.0000  1.0000  0.2500  0.2500  0.2500\n"
        "blur         1.0000  1.0000  1.0000  1.0000  1.0000  1.0000\n"
    )
    assert "darkening, stops less light: 1, 2, 3, 4, 5\n" in text
    # Wilson for 4 of 4: 0.5101 to 1.
    assert text.endswith("95 % interval for 4 images: 0.5101 to 1.0000 undisturbed\n")


def test_progress_reaches_the_end() -> None:
    told: list[tuple[int, int | None]] = []
    images, labels = bright_and_dark()
    accuracies(by_brightness, images, labels, progress=lambda _, n, of: told.append((n, of)))
    assert told[0] == (1, 26)
    assert told[-1] == (26, 26)


def test_the_curves_are_the_table() -> None:
    images, labels = bright_and_dark()
    figure = draw_curves(accuracies(by_brightness, images, labels), 0.75, "s1")
    assert [panel.get_title() for panel in figure.axes] == [each.name for each in DISTURBANCES]
    accuracy, chance = figure.axes[0].lines
    assert list(accuracy.get_ydata()) == [1, 1, 1, 0.25, 0.25, 0.25]
    assert set(chance.get_ydata()) == {0.75}
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks == ["none", "1", "2", "3", "4", "5"]
    assert figure.axes[1].get_xlabel() == "sigma in % of the side"


def test_a_heading_may_be_no_text() -> None:
    """A folder's name may be bytes in no UTF-8, which no font has and matplotlib refuses."""
    images, labels = bright_and_dark()
    table, name = accuracies(by_brightness, images, labels), "study bl\udce4tter"
    for figure in (draw_curves(table, 0.75, name), draw_examples(examples(images[0]), name)):
        assert figure.get_suptitle() == r"study bl\udce4tter"


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sheet_shows_every_strength(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, channels)).astype(np.uint8)
    pictures = examples(image)
    assert [len(each) for each in pictures.values()] == [6] * 5
    assert all(np.array_equal(each[0], image) for each in pictures.values())
    figure = draw_examples(pictures, "s1")
    assert len(figure.axes) == 30
    shown = np.asarray(figure.axes[5].images[0].get_array())
    assert np.array_equal(shown, pictures["darkening"][5].squeeze())


# --- studies


def trained(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, whole: bool = True
) -> tuple[TinyData, float]:
    """Leave in `folder` what a study of one tiny trial leaves; return data and accuracy.

    Without `whole` the weights of an Inception are as a kill leaves them: what was trained alone.
    """
    monkeypatch.setenv("TRELLIS_CACHE", str(folder.parent / "cache"))
    shapes = {"mnist_cnn": (8, 8, 1), "lenet_beans": (70, 70, 3), "inception_beans": (20, 20, 3)}
    counts = (6, 3) if name == "inception_beans" else (40, 16)
    classes = 4 if name == "cifar10_transfer" else 3
    shape = shapes.get(name, (32, 32, 3))
    data = tiny_data(shape, classes=classes, train=counts[0], validation=counts[1])
    data.splits["test"] = data.splits["validation"]
    experiment, given = find(name), RANDOM if name == "inception_beans" else None
    config = {**experiment.defaults(), **CONFIGS[name]}
    trial = budget(2, folder, weights=given, precision="float32")
    best = drive(experiment.trainable()(config, data, trial), None)
    if whole and given is not None:
        import torch

        from trainables.checkpoint import load_weights

        saved = load_weights(folder / "best.pt")
        state = experiment.module().whole_state(saved["model"], given)
        torch.save({**saved, "model": state}, folder / "best.pt")
    weights = {"source": "random", "path": "", "fingerprint": RANDOM.fingerprint}
    told = {"dataset": data.spec.dataset, "kind": data.spec.kind, "location": str(folder)}
    manifest = {
        "experiment": name,
        "data": {**told, "fingerprint": data.fingerprint},
        "weights": weights if given else None,
        "resources": {"precision": "float32"},
    }
    (folder / "study.json").write_text(json.dumps(manifest))
    told_of = {"epoch": best.epoch, "val_accuracy": best.val_accuracy}
    about = {"trial": 4, "config": config, **told_of}
    (folder / "best.json").write_text(json.dumps(about))
    monkeypatch.setattr("trainables.data.open_data", lambda *_: data)
    return data, best.val_accuracy


def told_by_the_whole(folder: Path, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the classes by an Inception that is put together here."""
    import torch

    from trainables.checkpoint import load_weights
    from trainables.evaluation import images_to_floats
    from trainables.inception_beans import build, whole_state

    model = build({**find("inception_beans").defaults(), **CONFIGS["inception_beans"]}, 3)
    model.load_state_dict(whole_state(load_weights(folder / "best.pt")["model"], RANDOM))
    with torch.inference_mode():
        logits = model.eval()(images_to_floats(torch.from_numpy(np.array(images))))
    found: NDArray[np.int64] = logits.argmax(1).numpy()
    return found


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        *((name, True) for name in CONFIGS),
        pytest.param("inception_beans", False, marks=pytest.mark.slow),
    ],
)
def test_the_best_model_is_as_right_as_the_study_told(
    name: str, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, accuracy = trained(tmp_path / "s", name, monkeypatch, whole)
    best = load_best(tmp_path / "s")
    found = best.predict(best.split.images)
    right = float((found == best.split.labels).mean())
    # Stored activations are bfloat16: one image may fall on the other side.
    assert right == pytest.approx(accuracy, abs=1 / len(best.split.labels) + 1e-6)
    if name == "inception_beans":  # of its three images the accuracy says little
        assert np.array_equal(found, told_by_the_whole(tmp_path / "s", best.split.images))
    if name == "cifar10_transfer":
        assert set(best.split.labels) == {2, 3}


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    trained(tmp_path / "s1", "mnist_cnn", monkeypatch)
    return tmp_path / "s1"


@pytest.mark.slow
def test_the_command_leaves_table_and_figures(
    mnist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["s1", "--csv", "--results-dir", str(mnist.parent)]) == 0
    out, err = capsys.readouterr()
    assert out == (mnist / "robustness.csv").read_text()
    table = pd.read_csv(mnist / "robustness.csv")
    assert len(table) == 26
    assert set(table["split"]) == {"validation"}
    about = json.loads((mnist / "best.json").read_text())
    assert table["accuracy"].iloc[0] == pytest.approx(about["val_accuracy"])
    with Image.open(mnist / "figures" / "robustness.png") as picture:
        assert picture.format == "PNG"
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    assert "<svg" in (mnist / "figures" / "robustness.svg").read_text()
    assert (mnist / "figures" / "robustness-images.png").exists()
    assert str(mnist / "robustness.csv") in err


def test_the_test_split_stays_closed(mnist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(mnist), "--test"]) == 2
    assert "the test split of s1 is closed; search.confirm opens it" in capsys.readouterr().err
    assert not (mnist / "robustness-test.csv").exists()


@pytest.mark.slow
def test_an_opened_test_split_and_one_more_look(
    mnist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    confirm(mnist, "mnist_cnn", [{}])
    assert main([str(mnist), "--test"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("study s1, trial 4, test split\n")
    assert "the test split was opened before: 2026-11-22T12:00:00+00:00" in err
    assert set(pd.read_csv(mnist / "robustness-test.csv")["split"]) == {"test"}
    opened = json.loads((mnist / "confirm.json").read_text())["opened"]
    assert len(opened) == 2
    assert json.loads((mnist / "test_opened.json").read_text()) == opened
    assert opened[0] == "2026-11-22T12:00:00+00:00" < opened[1]


@pytest.mark.slow
def test_a_look_that_never_ended_is_not_forgotten(mnist: Path) -> None:
    """search.confirm writes its list before it reads, confirm.json at the end."""
    confirm(mnist, "mnist_cnn", [{}])
    begun = ["2026-11-22T12:00:00+00:00", "2026-11-22T12:30:00+00:00"]
    (mnist / "test_opened.json").write_text(json.dumps(begun))
    assert main([str(mnist), "--test"]) == 0
    opened = json.loads((mnist / "test_opened.json").read_text())
    assert opened[:2] == begun
    assert len(opened) == 3


def test_a_look_is_written_down_before_it_is_taken(
    mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    confirm(mnist, "mnist_cnn", [{}])
    monkeypatch.setattr("trainables.metrics.split_logits", interrupted)
    with pytest.raises(KeyboardInterrupt):
        robustness.measure(mnist, "test", 0)
    opened = json.loads((mnist / "confirm.json").read_text())["opened"]
    assert len(opened) == 2
    assert json.loads((mnist / "test_opened.json").read_text()) == opened


@pytest.mark.parametrize(("name", "content"), [("best.pt", None), ("best.pt", "x")])
def test_a_look_that_cannot_be_is_none(mnist: Path, name: str, content: str | None) -> None:
    confirm(mnist, "mnist_cnn", [{}])
    (mnist / name).unlink()
    if content is not None:
        (mnist / name).write_text(content)
    before = (mnist / "confirm.json").read_text()
    assert main([str(mnist), "--test"]) != 0
    assert (mnist / "confirm.json").read_text() == before
    assert not (mnist / "test_opened.json").exists()


def test_data_that_changed(
    mnist: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trainables.data.open_data", lambda *_: tiny_data((8, 8, 1), seed=2))
    assert main([str(mnist)]) == 2
    assert "is not what the study had" in capsys.readouterr().err


@pytest.mark.slow
def test_data_that_lies_elsewhere_now(
    mnist: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((mnist / "study.json").read_text())
    manifest["data"] |= {"kind": "tfds", "location": str(mnist.parent / "old")}
    (mnist / "study.json").write_text(json.dumps(manifest))
    confirm(mnist, "mnist_cnn", [{}])
    for words in ([], ["--test"]):
        assert main([str(mnist), *words]) == 2
        assert "/old has no mnist: --data-dir says where it is" in capsys.readouterr().err
    assert not (mnist.parent / "old").exists()
    assert len(json.loads((mnist / "confirm.json").read_text())["opened"]) == 1  # none was a look
    place = mnist.parent / "new"
    (place / "mnist" / "3.0.1").mkdir(parents=True)
    asked: list[str] = []

    def opened(spec: DataSpec, *_: object) -> Data:
        asked.append(spec.location)
        return before(spec)

    before = trainables.data.open_data
    monkeypatch.setattr("trainables.data.open_data", opened)
    monkeypatch.setattr(robustness, "write", lambda *_: [])
    assert main([str(mnist), "--data-dir", str(place)]) == 0
    assert asked == [str(place)]


def test_what_a_damaged_choice_of_confirming_needs(
    mnist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--resume of the search would leave it as it is."""
    (mnist / "confirm_best.json").write_text("{}")
    (mnist / "confirm.pt").write_bytes((mnist / "best.pt").read_bytes())
    assert main([str(mnist)]) == 1
    told = capsys.readouterr().err
    assert "confirm_best.json is damaged: it lacks one of trial, config, epoch, val" in told
    assert "; remove it, and the best trial of the search counts" in told
    (mnist / "confirm_best.json").unlink()
    assert read_best(mnist)["trial"] == 4


def test_weights_that_are_newer_than_what_tells_of_them(
    mnist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = json.loads((mnist / "best.json").read_text())
    (mnist / "best.json").write_text(json.dumps(about | {"val_accuracy": 0.123}))
    assert main([str(mnist)]) == 1
    assert (
        "best.pt is of another trial than best.json; let the study end" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("best.json", None, "best.json is missing: no trial of the study has finished yet"),
        ("best.json", "{}", "val_accuracy; run the study again with --resume"),
        ("best.pt", None, "best.pt is missing: workers of other machines kept the weights"),
        ("best.pt", "x", "best.pt is damaged: no file of tensors that can be read safely"),
    ],
)
def test_a_folder_without_its_best(
    mnist: Path,
    name: str,
    content: str | None,
    what: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (mnist / name).unlink()
    if content is not None:
        (mnist / name).write_text(content)
    assert main([str(mnist)]) == 1
    assert what in capsys.readouterr().err


def test_another_seed_draws_other_noise_and_another_split_is_looked_at(mnist: Path) -> None:
    best = load_best(mnist)
    asked: list[NDArray[np.uint8]] = []

    def predict(images: NDArray[np.uint8]) -> NDArray[np.int64]:
        asked.append(images)
        return np.zeros(len(images), np.int64)

    tables = [
        accuracies(predict, best.split.images, best.split.labels, seed=seed) for seed in (0, 1)
    ]
    noisy = [n for n, name in enumerate(tables[0]["disturbance"]) if name == "noise"]
    half = len(tables[0])
    assert len(asked) == 2 * half
    assert noisy
    for n in noisy:
        assert not np.array_equal(asked[n], asked[half + n])
    for n in set(range(half)) - set(noisy):
        assert np.array_equal(asked[n], asked[half + n])
    data: Any = best.data
    found = data.splits["validation"]
    data.splits["test"] = replace(found, labels=(found.labels + 1) % 10)
    assert best.on("test").split.labels.tolist() == ((found.labels + 1) % 10).tolist()
    assert best.split.labels.tolist() == found.labels.tolist()
