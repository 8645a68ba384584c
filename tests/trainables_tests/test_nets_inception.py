"""The network of inception_beans: names, counts by hand, what is trained, what never moves."""

import pytest
import torch

from trainables.backbone import backbone_shapes
from trainables.inception_beans import build
from trainables.nets.inception import (
    BLOCKS,
    LAYERS,
    Head,
    Tail,
    cut_name,
    cuts_of,
    published_count,
    trained_blocks,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = {"unfreeze_blocks": 0, "head_width": 1024, "dropout": 0.0}
# By the published study; depth 0 is the head alone: 2048 * 1024 + 1024 and 1024 * 3 + 3.
TRAINABLE = {0: 2_098_176 + 3_075, 2: 13_216_131, 3: 14_913_155, 6: 20_431_747}
NAMES = {
    0: (),
    2: ("Mixed_7b", "Mixed_7c"),
    3: ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
    6: ("Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c"),
}


def network(depth: int, **changes: object) -> torch.nn.Module:
    with torch.device("meta"):
        return build(CONFIG | {"unfreeze_blocks": depth} | changes, 3)


@pytest.mark.parametrize("depth", TRAINABLE)
def test_counts_are_the_published_ones(depth: int) -> None:
    model = network(depth)
    assert published_count(model) == 23_904_035
    trained = [p.numel() for p in model.parameters() if p.requires_grad]
    assert sum(trained) == TRAINABLE[depth]


@pytest.mark.parametrize("depth", NAMES)
def test_the_trained_blocks_by_name(depth: int) -> None:
    model = network(depth)
    named = [name for name, p in model.named_parameters() if p.requires_grad]
    blocks = [name.split(".")[1] for name in named if name.startswith("backbone.")]
    assert tuple(dict.fromkeys(blocks)) == NAMES[depth] == trained_blocks(depth)
    others = {name for name in named if not name.startswith("backbone.")}
    assert others == {f"head.{n}.{k}" for n in ("dense", "output") for k in ("weight", "bias")}
    # Of a block that is trained: convolutions and batch norm's offsets, no scale.
    assert {name.rsplit(".", 2)[-2:][0] for name in named if "backbone" in name} <= {"conv", "bn"}
    assert not [name for name in named if name.endswith("bn.weight")]


def test_the_layers_are_those_of_torchvision() -> None:
    # All 94 convolutions, without fc and the auxiliary head: 564 tensors of six each.
    assert len(backbone_shapes()) == 94 * 6 == 564
    found = {name.split(".")[0] for name in backbone_shapes()}
    assert found == {name for name in LAYERS if not name.startswith("maxpool")}
    assert LAYERS[-6:] == BLOCKS[::-1]


def test_shapes_at_the_cuts() -> None:
    model = network(0)
    names = ["pool", "Mixed_7b", "Mixed_7a", "Mixed_6c"]
    images = torch.empty(2, 3, 299, 299, device="meta")
    found = cuts_of(model.eval().backbone, names, images)  # type: ignore[arg-type]
    assert [tuple(each.shape[1:]) for each in found] == [
        (2048,),
        (1280, 8, 8),
        (768, 17, 17),
        (768, 17, 17),
    ]
    assert model(images).shape == (2, 3)


def test_nothing_behind_the_last_cut_is_computed() -> None:
    seen: list[str] = []
    layers = torch.nn.Sequential()
    for name in ("a", "b", "c"):
        layers.add_module(name, torch.nn.Identity())
        layers[-1].register_forward_hook(lambda *_, name=name: seen.append(name))
    assert cuts_of(layers, ["b"], torch.ones(1))[0] == 1
    assert seen == ["a"]


def test_grey_images_go_in_as_three_equal_channels() -> None:
    model = network(0)
    assert model(torch.empty(1, 1, 75, 75, device="meta")).shape == (1, 3)
    with pytest.raises(ValueError, match="1 or 3 channels, but got 4"):
        build(CONFIG, 3, channels=4)


def test_depths_and_their_cuts() -> None:
    assert [cut_name(n) for n in (0, 1, 2, 3, 6)] == [
        *("pool", "Mixed_7c", "Mixed_7b", "Mixed_7a", "Mixed_6c")
    ]
    with pytest.raises(ValueError, match="unfreeze_blocks must lie in 0 to 6, but got 7"):
        trained_blocks(7)


def test_the_head_is_linear() -> None:
    # Dense without activation, as published: twice the input without biases is twice the output.
    head = Head(4, 3, 0.0)
    torch.nn.init.zeros_(head.dense.bias)
    torch.nn.init.zeros_(head.output.bias)
    features = torch.randn(2, 2048)
    torch.testing.assert_close(head(-2 * features), -2 * head(features))


def test_statistics_never_move_whatever_the_mode() -> None:
    block = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    tail = Tail(block, torch.nn.Flatten()).train()
    assert tail.training
    assert not tail.backbone.training
    tail(torch.randn(4, 2, 3, 3) + 5)
    assert block[0].running_mean.tolist() == [0, 0]  # type: ignore[union-attr]
    assert block[0].running_var.tolist() == [1, 1]  # type: ignore[union-attr]
    assert not block[0].weight.requires_grad
    assert block[0].bias.requires_grad
