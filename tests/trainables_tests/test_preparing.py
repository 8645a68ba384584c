"""A trial tells of data that it has to prepare itself, so that it does not count as hung."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from search.catalog import find
from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import budget
from trainables.data import Split
from trainables.data.source import Progress, silent
from trainables.weights import RANDOM

pytestmark = pytest.mark.usefixtures("one_thread")

CHEAP: dict[str, dict[str, Any]] = {
    "lenet_beans": {"image_size": 64, "filters": "3/4/6", "kernel_size": 3},
    "mnist_cnn": {"filters": "3/4"},
    "cifar10_net": {"filters": "4/5/6"},
    "cifar10_transfer": {"source_classes": "0,1", "target_classes": "2,3", "dense_width": 12},
    "inception_beans": {"unfreeze_blocks": 0, "head_epochs": 1, "head_width": 8},
}


@pytest.mark.parametrize("name", CHEAP)
def test_a_trial_hands_on_whom_to_tell(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    told: list[Progress] = []
    split = TinyData.split

    def noted(of: TinyData, part: str, size: int | None, progress: Progress = silent) -> Split:
        told.append(progress)
        return split(of, part, size)

    def mine(_what: str, _done: int, _total: int | None) -> None:
        pass

    monkeypatch.setattr(TinyData, "split", noted)
    experiment = find(name)
    config = experiment.defaults() | {"batch_size": 8} | CHEAP[name]
    given = RANDOM if experiment.pretrained else None
    trial = budget(1, tmp_path, weights=given, precision="float32", progress=mine)
    data = tiny_data((24, 24, 3), classes=4, train=40, validation=16)
    module = importlib.import_module(f"trainables.{name}")
    assert len(list(module.epochs(config, data, trial))) == 1
    assert len(told) >= 2
    assert set(told) == {mine}
