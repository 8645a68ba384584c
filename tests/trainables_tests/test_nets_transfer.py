"""The transfer network against counts by hand and a plain network in NCHW order."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.trainables_tests.test_lenet import convolve, counts
from trainables.nets.parts import torch_init
from trainables.nets.transfer import TransferNet, TransferTail, pooled_side
from trainables.seeds import generator


def net(kind: type[TransferNet] = TransferNet, **changes: int) -> TransferNet:
    given = {"frozen_layers": 2, "classes": 10, "dense_width": 128} | changes
    return kind(size=(32, 32), channels=3, dropout=0.0, **given)


def filled(kind: type[TransferNet] = TransferNet, **changes: int) -> TransferNet:
    model = net(kind, **changes).eval()
    torch_init(model, generator(1, "weights"))
    return model


# 16 3 32 + 32, 16 32 32 + 32; 32, 29, 14, 11, 5: 5 5 32 = 800.
CONVOLUTIONS = [1568, 16416]


@pytest.mark.parametrize(
    ("dense", "classes", "rest"),
    [(256, 5, [205056, 1285]), (128, 10, [102528, 1290])],  # 800 256 + 256, 256 5 + 5; ...
)
def test_parameter_counts_by_hand(dense: int, classes: int, rest: list[int]) -> None:
    with torch.device("meta"):
        model = net(dense_width=dense, classes=classes)
        assert model(torch.empty(2, 3, 32, 32)).shape == (2, classes)
    assert counts(model) == CONVOLUTIONS + rest
    assert model.dense.in_features == 800


@pytest.mark.parametrize(
    ("frozen", "names", "trained"),
    [
        (0, [], 121802),
        (1, ["conv1"], 121802 - 1568),
        (2, ["conv1", "conv2"], 102528 + 1290),
    ],
)
def test_frozen_layers_do_not_learn(frozen: int, names: list[str], trained: int) -> None:
    with torch.device("meta"):
        model = net(frozen_layers=frozen)
    fixed = {name.split(".")[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert sorted(fixed) == names
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained
    assert list(model.frozen()) == [model.get_submodule(name) for name in names]


def plain(model: TransferNet, images: Tensor) -> Tensor:
    """As published: activation before pooling, flattened in NCHW order."""
    x = images
    for layer in (model.conv1, model.conv2):
        x = functional.max_pool2d(functional.relu(convolve(layer, x)), 2)
    _, channels, height, width = x.shape
    weight = model.dense.weight.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    x = functional.relu(functional.linear(x.flatten(1), weight.flatten(1), model.dense.bias))
    return functional.linear(x, model.output.weight, model.output.bias)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_it_is_the_published_function_however_much_is_frozen(frozen: int) -> None:
    model = filled(frozen_layers=frozen).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand((4, 3, 32, 32), generator=generator(2, "images"))
    with torch.no_grad():
        found, expected = model(images), plain(model, images)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("frozen", "shape"), [(1, (32, 14, 14)), (2, (32, 5, 5))])
def test_the_tail_takes_what_the_frozen_layers_give(
    frozen: int, shape: tuple[int, int, int]
) -> None:
    whole = filled(frozen_layers=frozen)
    tail = net(TransferTail, frozen_layers=frozen).eval()
    tail.load_state_dict(whole.state_dict())  # all weights, under the same names
    images = torch.rand((4, 3, 32, 32), generator=generator(2, "images"))
    with torch.no_grad():
        features = whole.head(images)
        assert features.shape[1:] == shape
        assert torch.equal(tail(features), whole(images))


def test_dropout_stands_before_the_last_layer() -> None:
    model = TransferNet(
        frozen_layers=0, size=(32, 32), channels=3, classes=10, dense_width=64, dropout=0.5
    )
    seen: list[Tensor] = []
    model.dropout.register_forward_hook(lambda _, given, out: seen.extend((given[0], out)))
    model.output.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.train()(torch.rand((8, 3, 32, 32)))
    before, after, last = seen
    assert before.shape == (8, 64)
    assert after is last
    assert torch.equal(after[after != 0], 2 * before[after != 0])


# 13: 10, 5; 2, 1. 32: 29, 14; 11, 5. 40: 37, 18; 15, 7.
@pytest.mark.parametrize(("side", "left"), [(13, 1), (32, 5), (40, 7)])
def test_pooled_side_by_hand(side: int, left: int) -> None:
    assert pooled_side(side) == left


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^frozen_layers must be 0, 1 or 2, but got 3$"):
        net(frozen_layers=3)
    with pytest.raises(ValueError, match=r"^images must have at least 13x13 pixels; got 12$"):
        pooled_side(12)
