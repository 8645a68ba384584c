"""Inception-v3 without its top, and the published head: torchvision's modules, named as there.

23,904,035 parameters by the published convention, with a head of 1024 for 3 classes: batch norm
counts with offset, mean and variance but without its scale, which Keras's Inception has not.
"""

import functools
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trainables.nets.parts import give_memory, to_signed
from trainables.vision import import_torchvision

# What fine-tuning may train, from the end: depth 2 is the first two of these, and so on.
BLOCKS = ("Mixed_7c", "Mixed_7b", "Mixed_7a", "Mixed_6e", "Mixed_6d", "Mixed_6c")
# All of the backbone, in the order of the forward pass.
LAYERS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
    *("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b"),
    *BLOCKS[::-1],
)
FEATURES = 2048  # channels of the last block
POOL = "pool"  # the cut behind the backbone: pooled features


def backbone() -> nn.Sequential:
    """Return torchvision's Inception-v3 up to Mixed_7c, without weights of its own making.

    Inputs [n, 3, height, width] in [-1, 1] -> [n, 2048, rows, columns], 8x8 for 299x299.
    """
    import_torchvision()
    from torchvision.models import inception_v3

    whole = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
    return nn.Sequential(OrderedDict((name, getattr(whole, name)) for name in LAYERS))


def pretrained(names: Sequence[str], state: Mapping[str, Tensor]) -> nn.Sequential:
    """Return those layers of the backbone with a copy of the weights in `state`, in that order."""
    layers = untrained(names)  # on another device torch would draw weights that nobody uses
    give_memory(layers)
    layers.load_state_dict({n: v for n, v in state.items() if n.split(".")[0] in names})
    return layers


def untrained(names: Sequence[str]) -> nn.Sequential:
    """Return those layers of the backbone on the meta device, in that order."""
    with torch.device("meta"):
        every = backbone()
    return nn.Sequential(OrderedDict((name, getattr(every, name)) for name in names))


@functools.cache
def activation_shape(blocks: int, side: int) -> tuple[int, ...]:
    """Return the shape of an image's stored activations where the last `blocks` are trained.

    [rows, columns, channels] for images of `side` pixels, [2048] where there is no block.
    """
    image = torch.empty((1, 3, side, side), device="meta")
    with torch.no_grad():
        (found,) = cuts_of(untrained(LAYERS).eval(), [cut_name(blocks)], image)
    return tuple(found.permute(0, 2, 3, 1).shape[1:] if found.ndim == 4 else found.shape[1:])


def cut_name(blocks: int) -> str:
    """Return the name of the layer whose input is stored when the last `blocks` are trained."""
    return BLOCKS[blocks - 1] if blocks else POOL


class Head(nn.Module):
    """Pooled features [n, 2048] -> logits [n, classes]: dense without activation, dense."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        """Build the layers; dropout stands before the last."""
        super().__init__()
        self.dense = nn.Linear(FEATURES, width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [n, classes]."""
        return self.output(self.dropout(self.dense(features)))  # type: ignore[no-any-return]


def pool(maps: Tensor) -> Tensor:
    """Return the mean over rows and columns: [n, channels, rows, columns] -> [n, channels]."""
    return maps.mean((2, 3))


class Tail(nn.Module):
    """The last blocks and the head: activations at a cut -> logits [n, classes].

    Activations are [n, channels, rows, columns] at a block's input, or pooled [n, 2048] where
    there is no block. Parameters have the names that they have in `InceptionV3`.
    """

    def __init__(self, blocks: nn.Sequential, head: nn.Module) -> None:
        """Take the layers; the batch norms' scales are frozen."""
        super().__init__()
        self.backbone = blocks
        self.head = head
        freeze_scales(self.backbone)
        self.train()  # modules begin in training mode, batch norm's too

    def train(self, mode: bool = True) -> "Tail":
        """Switch dropout; batch norm stays in inference mode, so statistics never move."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, activations: Tensor) -> Tensor:
        """Return logits [n, classes]."""
        maps = self.backbone(activations)
        return self.head(maps if maps.ndim == 2 else pool(maps))  # type: ignore[no-any-return]


class InceptionV3(Tail):
    """Images [n, 3, height, width] float, in [0, 1] -> logits [n, classes].

    The first step scales them to [-1, 1]. All but the last `unfrozen` blocks are frozen.
    """

    def __init__(self, *, unfrozen: int, width: int, classes: int, dropout: float) -> None:
        """Build the whole network.

        Raises:
            ValueError: more blocks than can be trained.
        """
        super().__init__(backbone(), Head(width, classes, dropout))
        trained = trained_blocks(unfrozen)
        for name, block in self.backbone.named_children():
            if name not in trained:
                block.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, classes]."""
        return super().forward(as_input(images))


def as_input(images: Tensor) -> Tensor:
    """[n, 1 or 3, height, width] in [0, 1] -> [n, 3, height, width] in [-1, 1]."""
    return to_signed(images.expand(-1, 3, -1, -1))


def trained_blocks(unfrozen: int) -> tuple[str, ...]:
    """Return the names of the last `unfrozen` blocks in the order of the forward pass.

    Raises:
        ValueError: more than there are.
    """
    if not 0 <= unfrozen <= len(BLOCKS):
        raise ValueError(f"unfreeze_blocks must lie in 0 to {len(BLOCKS)}, but got {unfrozen}")
    return BLOCKS[:unfrozen][::-1]


def freeze_scales(module: nn.Module) -> None:
    """Freeze the scale of every batch norm: the published network has none."""
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.weight.requires_grad_(False)


def published_count(network: nn.Module) -> int:
    """Return the parameters by the published convention (see the top of this file)."""
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    scales = sum(each.weight.numel() for each in norms)
    # Mean and variance are as many as scales each: two more, and the scales fewer.
    return sum(p.numel() for p in network.parameters()) + scales


def cuts_of(layers: nn.Sequential, names: Sequence[str], inputs: Tensor) -> list[Tensor]:
    """Run `inputs` through `layers` once; return the activations at the cuts `names`.

    `POOL` gives the pooled output of the last layer, a layer's name what goes into that layer.
    Nothing behind the last cut asked for is computed.
    """
    found: dict[str, Tensor] = {}
    maps = inputs
    for name, layer in layers.named_children():
        if name in names:
            found[name] = maps
        if len(found) == len(names):
            break
        maps = layer(maps)
    if POOL in names:
        found[POOL] = pool(maps)
    return [found[name] for name in names]
