"""Features of the target: what the frozen convolutions give, computed once, rounded once."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import CPU, budget
from trainables import device as machine
from trainables.cifar10_transfer import target_network
from trainables.errors import DataError
from trainables.evaluation import images_to_floats
from trainables.transfer_features import Features, features_to_floats, target_features
from trainables.transfer_source import Source, source_network

CONFIG: dict[str, Any] = {
    "frozen_layers": 2,
    "dense_width": 6,
    "dropout": 0.0,
    "target_learning_rate": 1e-3,
}
TARGET = (1, 3)
FLOAT32 = budget(1, precision="float32")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; its activations."""
    machine.set_up(FLOAT32)
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path))
    return tmp_path / "activations"


@pytest.fixture
def data() -> TinyData:
    return tiny_data((14, 18, 3), classes=4, train=16, validation=8)


@pytest.fixture
def source(data: TinyData) -> Source:
    return source_network(data, (0, 2), 1e-3, FLOAT32)


def features(
    data: TinyData, source: Source, classes: tuple[int, ...] = TARGET, **changes: Any
) -> Features:
    given = budget(1, precision=changes.pop("precision", "float32"))
    model = target_network(CONFIG | changes, data, source, given, CPU)
    return target_features(data, classes, model, source, given)


# 14: 11, 5; 2, 1 and 18: 15, 7; 4, 2 pixels.
@pytest.mark.parametrize(("frozen", "shape"), [(1, (5, 7, 32)), (2, (1, 2, 32))])
def test_they_are_what_the_frozen_layers_give(
    frozen: int, shape: tuple[int, int, int], data: TinyData, source: Source
) -> None:
    found = features(data, source, frozen_layers=frozen)
    assert found.train.inputs.shape == (8, *shape)
    assert found.validation.inputs.shape == (4, *shape)
    assert found.train.inputs.dtype == torch.bfloat16
    assert found.train.labels.tolist() == [1, 3] * 4  # as they are in the data
    other = budget(1, seed=99)
    model = target_network(CONFIG | {"frozen_layers": frozen}, data, source, other, CPU)
    images = torch.from_numpy(data.splits["train"].images[1::2])
    with torch.no_grad():
        expected = model.head(images_to_floats(images))
    # Rounded to 8 bits of mantissa, and nothing else.
    floats = features_to_floats(found.train.inputs)
    assert floats.shape == expected.shape
    assert floats.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(floats, expected.bfloat16().float(), rtol=2**-7, atol=1e-6)
    assert (floats > 0).any()


def test_they_are_computed_once(data: TinyData, source: Source, cache: Path) -> None:
    assert features(data, source).computed == 12  # 8 and 4 images
    again = features(data, source, dense_width=9, dropout=0.5)
    assert again.computed == 0
    assert again.seconds > 0  # what it took then
    assert len(list(cache.glob("conv2-*/meta.json"))) == 2


def test_another_cut_is_another_file(data: TinyData, source: Source) -> None:
    other = source_network(data, (0, 2), 3e-3, FLOAT32)
    assert features(data, source).computed == 12
    assert features(data, source, frozen_layers=1).computed == 12
    assert features(data, source, precision="bfloat16").computed == 12
    assert features(data, source, classes=(1, 2)).computed == 12
    assert features(data, other).computed == 12
    assert features(data, source).computed == 0


def test_one_frozen_layer_does_not_depend_on_the_second(data: TinyData, source: Source) -> None:
    changed = dict(source.weights) | {"conv2.bias": source.weights["conv2.bias"] + 1}
    other = Source(changed, source.history, "cpu", 1)
    assert features(data, source, frozen_layers=1).computed == 12
    assert features(data, other, frozen_layers=1).computed == 0
    assert features(data, source).computed == features(data, other).computed == 12


def test_classes_without_images_are_named(data: TinyData, source: Source) -> None:
    with pytest.raises(DataError, match=r"^the train split has no images of the classes 7, 8: "):
        features(data, source, classes=(7, 8))
