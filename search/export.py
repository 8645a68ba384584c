"""`search.studies export --to DIR`: the best model of a study for use without this package."""

import glob
import importlib.util
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import StudyFailed, UsageError, how_to_install
from search.experiment import images_of
from search.pillow_code import pillow_code
from search.progress import say
from search.winner import Winner, read_winner
from trainables.errors import TrellisError
from trainables.files import is_alive

if TYPE_CHECKING:
    from trainables.deployed import Deployed

# In the order in which they are told.
FILES = ("README.md", "preprocessing.json", "model.pt2", "model.onnx", "model.safetensors")
_NEEDED = ("onnx", "onnxscript")
_PROCESS = re.compile(r"\.part-([1-9][0-9]{0,8})$")


def export_model(folder: Path, to: Path, data_dir: Path | None = None) -> list[Path]:
    """Write the best model of a study into the folder `to`, new or empty; return its files.

    They appear whole or not at all; what a killed export to the same folder left is removed. An
    empty folder is filled, not replaced: it may be where the caller's shell stands, or a volume
    that is mounted there. `data_dir` says where the data of the study lies, if not where it was:
    for the card's confusion matrix.

    Raises:
        UsageError: `to` is in use, or a package is missing.
        StudyFailed: the study has no whole best model, or the disk is full.
        TrellisError: a file of the study is damaged.
    """
    _check(to)
    for left in _left(to):
        shutil.rmtree(left, ignore_errors=True)
    winner = read_winner(folder, data_dir)
    say(f"model: {winner.name}")
    whole, part = to.resolve(), f"part-{os.getpid()}"  # "." has no name
    fill = whole.is_dir()
    aside = whole / f".{part}" if fill else whole.with_name(f".{whole.name}.{part}")
    try:
        aside.mkdir()
        _write(winner, aside)
        if fill:
            for path in sorted(aside.iterdir()):
                os.replace(path, whole / path.name)
        else:
            os.replace(aside, whole)
    except OSError as error:
        raise StudyFailed(f"cannot write {to}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return [to / name for name in FILES]


def _check(to: Path) -> None:
    wrong = []
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        wrong.append(f"--to {to}: must be a new folder, and this is a link or a file")
    elif to.is_dir() and not {*to.resolve().iterdir()} <= {*_left(to)}:
        wrong.append(f"--to {to}: is not empty; name a new folder")
    elif not to.absolute().parent.is_dir():
        wrong.append(f"--to {to}: there is no folder {to.absolute().parent}")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        packages = " and ".join(missing)
        wrong.append(f"{packages} missing, for ONNX: {how_to_install('export')}")
    if wrong:
        raise UsageError(wrong)


def _left(to: Path) -> list[Path]:
    """Return what killed exports to the folder `to` left, in it and beside it.

    Where this process has their number, as in a container that was started again, it has not
    begun yet.
    """
    whole, left = to.resolve(), []
    beside = whole.parent.glob(f".{glob.escape(whole.name)}.part-*")
    for path in (*whole.glob(".part-*"), *beside):
        number = _PROCESS.search(path.name)
        dead = number and (int(number[1]) == os.getpid() or not is_alive(int(number[1])))
        if dead and path.is_dir() and not path.is_symlink():
            left.append(path)
    return left


def _write(winner: Winner, to: Path) -> None:
    from safetensors.torch import save

    from search.card import model_card

    network = winner.network()
    say("exporting the network ...")
    text = json.dumps(preprocessing(winner), indent=2) + "\n"
    (to / "preprocessing.json").write_text(text, encoding="utf-8")
    (to / "README.md").write_text(model_card(winner), encoding="utf-8")
    tensors = {name: value.contiguous() for name, value in network.network.state_dict().items()}
    # As bytes: written by safetensors itself, nobody else may read the file.
    content = save(tensors, {"format": "pt", **_about(winner)})
    (to / "model.safetensors").write_bytes(content)
    _write_programs(network, winner, to)


def _about(winner: Winner) -> dict[str, str]:
    """Return what the weights' file says of itself: safetensors knows texts only."""
    return {
        "experiment": winner.experiment.name,
        "config": json.dumps(winner.config),
        "classes": json.dumps(winner.classes),
        "data": images_of(winner.data.dataset, winner.data.kind),
    }


def _write_programs(network: "Deployed", winner: Winner, to: Path) -> None:
    """Write model.pt2 and model.onnx: the same graph, of any number of images."""
    import logging
    import warnings

    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # Two, since one is a number that exporters like to take for fixed.
    images = torch.zeros((2, *winner.shape), dtype=torch.uint8)
    dynamic = {"images": {0: torch.export.Dim("batch", min=1)}}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own exporter about itself
        program = torch.export.export(network, (images,), dynamic_shapes=dynamic)
        torch.export.save(program, to / "model.pt2")
        say("converting it to ONNX ...")
        graph = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=dynamic,
            verbose=False,
        )
        if graph is None:
            raise TrellisError("torch gave no ONNX graph of this network")
        graph.save(str(to / "model.onnx"))


def preprocessing(winner: Winner) -> dict[str, Any]:
    """Return what preprocessing.json holds: what goes in, what comes out."""
    height, width, channels = winner.shape
    return {
        "input": {
            "name": "images",
            "dtype": "uint8",
            "shape": ["batch", height, width, channels],
            "colour": "RGB" if channels == 3 else "gray (ITU-R 601-2 luma)",
        },
        "before": {
            "orientation": "as EXIF says",
            "transparency": "on white",
            "colours": "converted to RGB; of 16-bit gray the high byte",
            "resize": {
                "height": height,
                "width": width,
                "how": "bicubic with antialiasing, aspect ratio not kept",
            },
            "python": pillow_code(winner.shape).splitlines(),
        },
        "inside": "scaling to [0, 1], and what else the network was trained with: part of it",
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", len(winner.classes)]},
        "probabilities": "softmax of the logits",
        "classes": winner.classes,
    }
