"""Finding and reading weights: from files good and bad, random, and again after a change."""

import os
import pathlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables_tests.fake_weights import fake_state, write_state
from trainables import weights_file
from trainables.backbone import backbone_shapes, fingerprint
from trainables.budget import Weights
from trainables.errors import TrellisError
from trainables.weights import find_weights, read_backbone

pytestmark = pytest.mark.usefixtures("one_thread")


def test_random_weights_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_weights("random")
    assert found == Weights("random", "", "random-0")
    assert read_backbone(found).keys() == backbone_shapes().keys()
    with pytest.raises(TrellisError, match="random has other weights now: fingerprint random-0 i"):
        read_backbone(Weights("random", "", "random-1"))


def test_a_file_is_found_where_the_path_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_state(tmp_path / "my weights.pth")
    found = find_weights(str(path))
    assert (found.source, found.path) == ("file", str(path))
    assert re.fullmatch("[0-9a-f]{64}", found.fingerprint)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_weights("~/my weights.pth") == found
    monkeypatch.chdir(tmp_path)
    assert find_weights("my weights.pth") == found


def test_the_same_weights_in_another_file_are_the_same(tmp_path: Path) -> None:
    plain = find_weights(str(write_state(tmp_path / "a.pth")))
    whole = find_weights(str(write_state(tmp_path / "b.pth", fake_state(top=True), new=False)))
    other = find_weights(str(write_state(tmp_path / "c.pth", fake_state(0.25))))
    assert (tmp_path / "a.pth").read_bytes() != (tmp_path / "b.pth").read_bytes()
    assert plain.fingerprint == whole.fingerprint != other.fingerprint


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    found = find_weights(str(write_state(tmp_path / "a.pth", fake_state(0.25, top=True))))
    read = read_backbone(found)
    assert list(read) == list(backbone_shapes())
    assert all((value == 0.25).all() for name, value in read.items() if "tracked" not in name)
    assert fingerprint(read) == found.fingerprint


def test_a_file_that_changed_since_is_refused(tmp_path: Path) -> None:
    found = find_weights(str(write_state(tmp_path / "a.pth")))
    write_state(tmp_path / "a.pth", fake_state(0.25))
    line = rf"a\.pth has other weights now: .* instead of {found.fingerprint[:12]}; put the old"
    with pytest.raises(TrellisError, match=line):
        read_backbone(found)


def test_real_weights(shared_dir: Path) -> None:
    path = shared_dir / "weights" / "inception_v3_features.pth"
    found = find_weights(str(path))
    read = read_backbone(found)
    raw = torch.load(path, weights_only=True)
    assert len(read) == 564
    assert all(torch.equal(read[name], raw[name]) for name in raw)


def bad_file(kind: str, path: Path) -> None:
    """Put at `path` what no state dict is."""
    contents: dict[str, Any] = {
        "code": {"a": pathlib.PurePosixPath("x")},  # a class that weights_only does not build
        "tensor": torch.ones(3),
        "checkpoint": {"state_dict": {"a": torch.ones(1)}, "epoch": 3},
        "numbers": {1: torch.ones(1)},
        "other": {"weight": torch.ones(1)},
    }
    if kind in contents:
        torch.save(contents[kind], path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("empty", "text"):
        path.write_text("" if kind == "empty" else "not weights at all\n")
    elif kind in ("truncated", "flipped"):
        write_state(path)
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 1
        path.write_bytes(content[: len(content) // 2] if kind == "truncated" else content)
    elif kind == "legacy truncated":
        write_state(path, new=False)
        path.write_bytes(path.read_bytes()[:-1000])


UNREADABLE = "is damaged, or holds more than tensors and plain values: torch.load"
BAD = {
    "absent": "no weights at {} on this machine: No such file or directory",
    "folder": "{} is a folder; weights are a file: ",
    "pipe": "{} is no regular file; weights are a file: ",
    "empty": "{} is empty; a state dict is written by torch.save(model.state_dict(), PATH)",
    "text": f"{{}} {UNREADABLE}",
    "truncated": f"{{}} {UNREADABLE}",
    "legacy truncated": f"{{}} {UNREADABLE}",
    "flipped": f"{{}} {UNREADABLE}",
    "code": f"{{}} {UNREADABLE}",
    "tensor": "{} holds no state dict but a Tensor; a state dict is written by torch.save(",
    "checkpoint": "{} holds no state dict but a dict with a dict under 'state_dict'; a state",
    "numbers": "{} holds no state dict but a dict with a Tensor under 1; a state dict is",
    "other": "{} is not Inception-v3 in torchvision's names: Conv2d_1a_3x3.conv.weight is miss",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_told_in_one_line_that_names_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    bad_file(kind, path)
    with pytest.raises(TrellisError) as error:
        find_weights(str(path))
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).startswith(BAD[kind].format(path))


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(TrellisError, match=r"no weights at .* on this machine: .*null"):
        find_weights("a\0b")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = write_state(tmp_path / "w.pth")
    monkeypatch.setattr(weights_file, "check_sums", refuse)
    with pytest.raises(TrellisError, match=r"w\.pth cannot be read: Permission denied$"):
        find_weights(str(path))


def test_no_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: Any, **__: Any) -> None:
        raise MemoryError

    path = write_state(tmp_path / "w.pth")
    monkeypatch.setattr(weights_file.torch, "load", exhaust)
    with pytest.raises(MemoryError):
        find_weights(str(path))
