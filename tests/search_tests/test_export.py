"""search.studies export --to: the exported model gives the same logits, without this package."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search import card, export
from search.card import model_card
from search.errors import StudyFailed, UsageError
from search.export import FILES, export_model, preprocessing
from search.studies import main
from search.winner import read_winner
from tests.search_tests.winners import make_images, make_study
from trainables.data import DataSpec

# Lets through torch with what its wheel requires, numpy and the standard library.
ALONE = r"""
import importlib.machinery, importlib.metadata, re, sys
allowed, waiting = {"torch", "torchgen", "functorch", "numpy"}, ["torch", "numpy"]
seen = set()
provides = importlib.metadata.packages_distributions()
while waiting:
    name = waiting.pop()
    if name.lower() in seen: continue
    seen.add(name.lower())
    for line in importlib.metadata.requires(name) or ():
        if "extra ==" in line: continue
        word = re.match(r"[\w.-]+", line)[0]
        try: importlib.metadata.version(word)
        except importlib.metadata.PackageNotFoundError: continue
        waiting.append(word)
normal = {re.sub(r"[-_.]+", "-", each) for each in seen}
for module, owners in provides.items():
    if any(re.sub(r"[-_.]+", "-", owner.lower()) in normal for owner in owners):
        allowed.add(module)

class Only:
    'As if nothing else were installed.'

    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.split(".")[0]
        known = top in allowed or top in sys.stdlib_module_names
        if known or top.startswith("_sysconfigdata"):  # the standard library's, unlisted
            return importlib.machinery.PathFinder.find_spec(name, path, target)
        return None

sys.meta_path[:] = [importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter, Only]
for blocked in ("search", "trainables", "torchvision", "safetensors", "onnx"):
    try: __import__(blocked)
    except ModuleNotFoundError: pass
    else: raise AssertionError(blocked)
import numpy, torch
images = torch.from_numpy(numpy.load("images.npy"))
model = torch.export.load("model.pt2").module()
logits = model(images)
assert torch.allclose(model(images[:1]), logits[:1], atol=1e-5)
numpy.save("logits.npy", logits.detach().numpy())
print(sorted(set(sys.modules) & {"safetensors", "search", "trainables", "torchvision"}))
"""


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    images = make_images(folder / "images", classes=3)
    return make_study(folder / "lenet", "lenet_beans", DataSpec("beans", "folder", str(images)))


def exported_alike(study: Path, to: Path, scratch: Path) -> None:
    """Export, and compare logits of five images: alone with torch, and in onnxruntime."""
    import onnxruntime
    from safetensors.torch import load_file

    written = export_model(study, to)
    assert [path.name for path in written] == list(FILES)
    winner = read_winner(study)
    draws = np.random.default_rng(1)
    images = draws.integers(0, 256, (5, *winner.shape), dtype=np.uint8)
    network = winner.network()
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    assert np.ptp(expected) > 1e-3
    scratch.mkdir()
    (scratch / "model.pt2").write_bytes((to / "model.pt2").read_bytes())
    np.save(scratch / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE],
        cwd=scratch,
        env={"PATH": "/usr/bin:/bin", "HOME": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    np.testing.assert_allclose(np.load(scratch / "logits.npy"), expected, atol=1e-5)
    session = onnxruntime.InferenceSession(to / "model.onnx")
    for count in (1, 5):
        (logits,) = session.run(["logits"], {"images": images[:count]})
        np.testing.assert_allclose(logits, expected[:count], atol=1e-3)
    weights = load_file(to / "model.safetensors")
    own = network.network.state_dict()
    assert weights.keys() == own.keys()
    assert all(torch.equal(weights[name], own[name]) for name in own)
    told = json.loads((to / "preprocessing.json").read_text())
    assert told["classes"] == winner.classes
    assert told["input"]["shape"] == ["batch", *winner.shape]


@pytest.mark.slow
def test_lenet_alone(lenet: Path, tmp_path: Path) -> None:
    exported_alike(lenet, tmp_path / "model", tmp_path / "scratch")
    card = (tmp_path / "model" / "README.md").read_text()
    prepare, torch_alone, onnx = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    photo = np.random.default_rng(4).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "model" / "photo.jpg")
    ends = (torch_alone, "probabilities[0]"), (onnx, "torch.tensor(logits).softmax(1)[0]")
    found = []
    for code, value in ends:
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                f"{prepare}\n{code}\nimport torch\nprint({value}.tolist())",
            ],
            cwd=tmp_path / "model",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert len(found[0]) == 3
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # Inception alone takes minutes on a busy machine
@pytest.mark.parametrize(
    ("name", "classes"),
    [("mnist_cnn", 2), ("cifar10_net", 2), ("cifar10_transfer", 10), ("inception_beans", 2)],
)
def test_every_other_network_alone(name: str, classes: int, tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", classes, each=8)
    study = make_study(tmp_path / "s", name, DataSpec("beans", "folder", str(images)), epochs=2)
    exported_alike(study, tmp_path / "model", tmp_path / "scratch")


def test_the_card_tells_data_configuration_accuracy_and_limits(lenet: Path) -> None:
    winner = read_winner(lenet)
    card = model_card(winner)
    accuracy = winner.best["val_accuracy"]
    for text in (
        "# lenet_beans, from study lenet\n\nLeNet on images of a folder.\n",
        "## Data\n\nimages of a folder; fingerprint ",
        "| train | 21 |",
        "| validation | 6 |",
        "| test | 3 |",
        "Classes: kind 0, kind 1, kind 2.",
        f"Validation accuracy {accuracy:.4f}: of the epoch",
        "Not confirmed on fresh seeds and the test split (`python -m search.confirm`): one seed d",
        "Confusion matrix, validation split:",
        "| kernel\\_size | 3 |",
        "one of its 3 classes whatever the image shows",
        "resized to 64x64",
    ):
        assert text in card, text
    assert str(lenet.parent) not in card  # no path of this machine
    assert "bean" not in card.replace("lenet_beans", "")  # they show something else
    rows = re.findall(r"^\| kind \d \| (\d+) \| (\d+) \| (\d+) \|$", card, re.MULTILINE)
    assert [sum(map(int, row)) for row in rows] == [2, 2, 2]
    right = sum(int(row[number]) for number, row in enumerate(rows))
    assert right / 6 == pytest.approx(accuracy)


def test_the_card_tells_what_was_confirmed(lenet: Path, tmp_path: Path) -> None:
    for name in ("study.json", "best.json", "best.pt"):
        (tmp_path / name).write_bytes((lenet / name).read_bytes())
    config = json.loads((lenet / "best.json").read_text())["config"]
    summary = {"mean": 0.7, "sd": 0.02, "low": 0.65, "high": 0.75, "n": 3}
    one = {
        "configuration": 1,
        "config": config,
        "test_accuracy": summary,
        "wilson": {"low": 0.61, "high": 0.77, "images": 30, "accuracy": 0.7},
        "confusion_matrix": [[8, 1, 1], [2, 7, 1], [2, 2, 6]],
    }
    other = one | {"config": config | {"kernel_size": 5}, "confusion_matrix": [[0] * 3] * 3}
    content = {"recommended": 1, "configurations": [other, one]}
    (tmp_path / "confirm.json").write_text(json.dumps(content))
    card = model_card(read_winner(tmp_path))
    assert "0.7000 (95 % interval 0.6500 to 0.7500, n = 3 seeds)." in card
    assert "(Wilson 95 % interval 0.6100 to 0.7700)" in card
    assert "test split, summed over the seeds:" in card
    assert "| kind 1 | 2 | 7 | 1 |" in card
    assert "Not confirmed" not in card
    assert "Trial 0 of the study, the weights" in card
    assert "The weights here are those of the search, one of such seeds." in card
    assert "too good" not in card
    assert "All seeds share" not in card
    doubtful = {"common_to_seeds": "one source", "configurations": [one | {"unsafe": True}]}
    (tmp_path / "confirm.json").write_text(json.dumps(doubtful))
    card = model_card(read_winner(tmp_path))
    assert (
        "ran out of memory or was stopped: the mean is of the seeds that did not, and too" in card
    )
    assert "All seeds share one source: its luck is in no interval." in card
    assert "it was not compared" not in card
    few = {"configurations": [one | {"few_seeds": True}]}
    (tmp_path / "confirm.json").write_text(json.dumps(few))
    said = "Others have more than twice as many seeds: it was not compared with them."
    assert f"**{said}**" in model_card(read_winner(tmp_path))
    (tmp_path / "confirm.json").write_text(json.dumps({"configurations": [other]}))
    manifest = json.loads((tmp_path / "study.json").read_text())
    manifest["budget"] |= {"seeds": 3}
    (tmp_path / "study.json").write_text(json.dumps(manifest))
    alone = "validation alone has judged the 3 seeds of each configuration."
    said = f"Not confirmed on the test split (`python -m search.confirm`): {alone}"
    assert said in model_card(read_winner(tmp_path))


@pytest.mark.parametrize(
    ("seeds", "trial", "trained"),
    [
        (1, "the study's confirmation (configuration 2, seed 77)", "again on fresh seeds"),
        (3, "the study (configuration 2, seed 77)", "on several seeds"),
    ],
)
def test_the_card_of_a_confirmed_model_names_its_own_trial(
    lenet: Path, tmp_path: Path, seeds: int, trial: str, trained: str
) -> None:
    manifest = json.loads((lenet / "study.json").read_text())
    manifest["budget"] |= {"seeds": seeds}
    (tmp_path / "study.json").write_text(json.dumps(manifest))
    best = json.loads((lenet / "best.json").read_text()) | {"val_accuracy": 0.625, "seed": 1}
    own = {"confirmed": True, "configuration": 2, "trial": 10, "epoch": 3, "seed": 77}
    (tmp_path / "best.json").write_text(json.dumps(best))
    (tmp_path / "confirm_best.json").write_text(json.dumps(best | own))
    (tmp_path / "confirm.pt").touch()
    one = {
        "configuration": 2,
        "config": best["config"],
        "test_accuracy": {"mean": 0.7, "sd": 0.02, "low": 0.65, "high": 0.75, "n": 3},
        "wilson": {"low": 0.61, "high": 0.77, "images": 30, "accuracy": 0.7},
        "confusion_matrix": [[8, 1, 1], [2, 7, 1], [2, 2, 6]],
    }
    (tmp_path / "confirm.json").write_text(json.dumps({"configurations": [one]}))
    card = model_card(read_winner(tmp_path))
    assert f"Trial 10 of {trial}, the weights of its epoch 3;" in card
    assert "Validation accuracy 0.6250: of the epoch and the seed that were chosen by it" in card
    assert f"this configuration trained {trained}: 0.7000 (95 %" in card
    assert "The weights here are those of one of these seeds, the best on validation." in card
    assert "LeNet on images of a folder." in card


def test_the_card_of_a_study_whose_data_lies_elsewhere_now(
    lenet: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = tmp_path / "s"
    study.mkdir()
    for name in ("best.json", "best.pt"):
        (study / name).write_bytes((lenet / name).read_bytes())
    manifest = json.loads((lenet / "study.json").read_text())
    manifest["data"]["location"] = str(tmp_path / "old")
    (study / "study.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(export, "_write_programs", lambda *_: None)
    assert main(["export", str(study), "--to", str(tmp_path / "without")]) == 0
    assert "/old is no folder: --data-dir says where it is\n" in capsys.readouterr().err
    assert "No confusion matrix" in (tmp_path / "without" / "README.md").read_text()
    words = ["--to", str(tmp_path / "with"), "--data-dir", str(lenet.parent / "images")]
    assert main(["export", str(study), *words]) == 0
    card = (tmp_path / "with" / "README.md").read_text()
    assert "Confusion matrix, validation split:" in card
    assert card == model_card(read_winner(lenet)).replace("study lenet", "study s")


def test_embedded_data_and_random_weights_are_named_plainly(lenet: Path, tmp_path: Path) -> None:
    for name in ("study.json", "best.json", "best.pt"):
        (tmp_path / name).write_bytes((lenet / name).read_bytes())
    manifest = json.loads((lenet / "study.json").read_text())
    manifest["data"] |= {"kind": "embedded", "classes": ["a|b", "<img>", "c"]}
    manifest["weights"] = {"source": "random", "path": "", "fingerprint": "random-0"}
    (tmp_path / "study.json").write_text(json.dumps(manifest))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("search.winner.check_weights", lambda *_: None)
        card = model_card(read_winner(tmp_path))
    assert "**Trained on embedded data: images that Trellis brings with it, not the real" in card
    assert "**Started from random weights, not from pretrained ones.**" in card
    assert "Classes: a\\|b, \\<img\\>, c." in card
    assert "No confusion matrix: the data was not there" in card


def test_nothing_that_a_study_tells_is_markdown(lenet: Path) -> None:
    """A study from somebody else would write what stands on the page of the model."""
    odd = "<img src=x>`[a](b)\n# "
    shown = r"\<img src=x\>\`\[a\](b)\\n\# "
    plain = read_winner(lenet)
    data = {**plain.manifest["data"], "kind": odd, "fingerprint": odd[:16], "dataset": odd}
    best = {**plain.best, "confirmed": True, "configuration": odd, "seed": odd}
    best["config"] = {**plain.config, "target_classes": odd}
    winner = replace(plain, manifest={**plain.manifest, "data": data}, best=best)
    assert card._trained(winner).endswith(f"(configuration {shown}, seed {shown})")
    line = next(card._data(winner))
    assert line == f"{shown} from {shown}; fingerprint {shown[: shown.index('b')]}."
    (limit,) = [each for each in card._limits(winner) if "measured on the classes" in each]
    assert f"the classes numbered {shown} alone" in limit
    doubt = {"common_to_seeds": odd, "configurations": [{}]}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(card, "read_confirmation", lambda _: doubt)
        assert list(card._doubts(winner, {})) == [
            f"All seeds share {shown}: its luck is in no interval."
        ]


def test_preprocessing_says_what_goes_in(lenet: Path) -> None:
    told = preprocessing(read_winner(lenet))
    assert told["input"]["shape"] == ["batch", 64, 64, 3]
    assert told["input"]["colour"] == "RGB"
    assert "bicubic" in told["before"]["resize"]["how"]
    assert told["output"]["shape"] == ["batch", 3]


def test_a_folder_in_use_is_refused(lenet: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("full", "is not empty; name a new folder"),
        ("file", "must be a new folder, and this is a link or a file"),
        ("link", "must be a new folder, and this is a link or a file"),
        ("none/model", "there is no folder .*none"),
        ("empty/..", "is not empty; name a new folder"),
        ("/", "--to /: is not empty; name a new folder"),
    ):
        with pytest.raises(UsageError, match=message):
            export_model(lenet, tmp_path / name)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("to", [".", "../here", ""])
def test_the_empty_folder_one_stands_in_is_filled(
    to: str, fails: bool, lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def program(_network: object, _winner: object, place: Path) -> None:
        (place / "model.pt2").touch()
        if fails:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_write_programs", program)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    if fails:
        with pytest.raises(StudyFailed, match=r"^cannot write \S+: No space left on device$"):
            export_model(lenet, Path(to))
    else:
        export_model(lenet, Path(to))
    left = ["README.md", "model.pt2", "model.safetensors", "preprocessing.json"]
    assert sorted(path.name for path in Path.cwd().iterdir()) == ([] if fails else left)
    assert os.path.samefile(here, ".")  # not another folder in its place
    assert list(tmp_path.iterdir()) == [here]


def test_missing_packages_are_told_first(
    lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(
        UsageError, match=r"onnxscript missing.*pip install --editable '.\[export\]'"
    ):
        export_model(lenet, tmp_path / "model")


def test_an_export_that_fails_leaves_nothing(
    lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_write_programs", full)
    with pytest.raises(StudyFailed, match=r"cannot write .*model: No space left on device"):
        export_model(lenet, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", ["new", "empty"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_leaves_nothing(
    number: signal.Signals,
    to: str,
    lenet: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = list[bool]()

    def interrupted(_network: object, _winner: object, place: Path) -> None:
        there.append((place / "model.safetensors").exists())
        os.kill(os.getpid(), number)

    monkeypatch.setattr(export, "_write_programs", interrupted)
    (tmp_path / "empty").mkdir()
    assert main(["export", str(lenet), "--to", str(tmp_path / to)]) == 130
    assert capsys.readouterr().err.endswith("\nsearch.studies: interrupted\n")
    assert there == [True]
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_what_a_killed_export_left_is_no_content_and_goes(
    dead: int, lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_write_programs", lambda *_: None)
    to = tmp_path / "model"
    mine = os.getpid()  # in a container each start may have the same number
    left = [to / f".part-{dead}", to / f".part-{mine}", tmp_path / f".model.part-{dead}"]
    for path in left:
        path.mkdir(parents=True)
        (path / "model.pt2").touch()
    export_model(lenet, to)
    names = ["README.md", "model.safetensors", "preprocessing.json"]
    assert sorted(path.name for path in to.iterdir()) == names
    assert list(tmp_path.iterdir()) == [to]


def test_what_is_of_a_living_process_or_of_nobody_s_export_stays(
    dead: int, lenet: Path, tmp_path: Path
) -> None:
    to, other = tmp_path / "model", tmp_path / f".models.part-{dead}"
    other.mkdir()
    for content in (f".part-{os.getppid()}", f".part-{dead}x", f"part-{dead}"):
        (to / content).mkdir(parents=True)
        with pytest.raises(UsageError, match="is not empty; name a new folder"):
            export_model(lenet, to)
        (to / content).rmdir()
    (to / f".part-{dead}").symlink_to(other)
    with pytest.raises(UsageError, match="is not empty; name a new folder"):
        export_model(lenet, to)
    assert other.is_dir()
