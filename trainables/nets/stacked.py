"""Networks of one shape as one network: layers with a row of weights for every trial.

A convolution becomes a grouped one, a dense layer a batched product, a dropout has a rate per
trial; what has no weights stays. Activations: [n, trials * channels, height, width], from the
first dropout or dense layer on [trials, n, features].
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.errors import TrellisError
from trainables.nets.dropout import drawn


def side_by_side(images: Tensor, trials: int) -> Tensor:
    """[trials * n, channels, height, width] -> [n, trials * channels, height, width].

    Channels last in memory, with one copy where the images were so.
    """
    by_trial: Tensor = images.permute(0, 2, 3, 1).unflatten(0, (trials, -1))
    return by_trial.permute(1, 2, 3, 0, 4).flatten(3).permute(0, 3, 1, 2)


def rows(features: Tensor, trials: int, channels: int) -> Tensor:
    """[n, pixels * trials * channels], as `flatten` leaves them -> [trials, n, features]."""
    if features.dim() == 3:  # a layer before this one did it
        return features
    by_trial: Tensor = features.unflatten(1, (-1, trials, channels))
    return by_trial.permute(2, 0, 1, 3).flatten(2)


def shared(tensors: Sequence[Tensor | None]) -> nn.Parameter | None:
    """Return parameters of one shape as one, of which each becomes a row: [trials, ...].

    They stay the models' own parameters, in memory that they share with it.
    """
    each = [tensor for tensor in tensors if tensor is not None]
    if not each:
        return None
    stack = torch.stack([tensor.detach() for tensor in each])
    for row, tensor in zip(stack, each, strict=True):
        tensor.data = row
    return nn.Parameter(stack, each[0].requires_grad)


class Convolution(nn.Module):
    """Grouped, a group per trial; `one_by_one` makes a call per trial of it.

    Images that are the same for all trials may come once: [n, channels, height, width].
    """

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        """Take over the layers' weights as rows."""
        super().__init__()
        first = layers[0]
        self.trials, self.channels, self.one_by_one = len(layers), first.in_channels, False
        self.weight = shared([layer.weight for layer in layers])  # [trials, out, in, h, w]
        self.bias = shared([layer.bias for layer in layers])
        self._convolve: Callable[..., Tensor] = partial(
            functional.conv2d,
            stride=first.stride,
            padding=first.padding,
            dilation=first.dilation,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [n, trials * out, height, width]."""
        assert self.weight is not None
        common = x.shape[1] == self.channels
        if self.one_by_one:
            parts = [x] if common else [_dense(part) for part in x.chunk(self.trials, 1)]
            parts *= self.trials if common else 1
            biases = [None] * self.trials if self.bias is None else self.bias.unbind()
            each = zip(parts, self.weight.unbind(), biases, strict=True)
            return torch.cat([self._convolve(*given) for given in each], 1)
        bias = None if self.bias is None else self.bias.flatten()
        groups = 1 if common else self.trials
        return self._convolve(x, self.weight.flatten(0, 1), bias, groups=groups)


def _dense(part: Tensor) -> Tensor:
    """Return some channels of a batch in memory of their own, channels last as the whole was."""
    return part.contiguous(memory_format=torch.channels_last)


class Dense(nn.Module):
    """Dense layers of one shape: a batched matrix product."""

    def __init__(self, layers: Sequence[nn.Linear], channels: int) -> None:
        """Take over the layers' weights as rows; `channels` are of what `flatten` had."""
        super().__init__()
        self.channels = channels
        self.weight = shared([layer.weight for layer in layers])  # [trials, out, in]
        self.bias = shared([layer.bias for layer in layers])

    def forward(self, x: Tensor) -> Tensor:
        """Return [trials, n, out]."""
        assert self.weight is not None
        x = rows(x, len(self.weight), self.channels)
        if self.bias is None:
            return torch.bmm(x, self.weight.transpose(1, 2))
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.transpose(1, 2))


class Dropout(nn.Module):
    """Dropout with a rate and a generator of its own for every trial.

    On a CPU the same draws as those layers take from a global generator of that seed.
    """

    def __init__(self, layers: Sequence[nn.Dropout], channels: int) -> None:
        """Take over the layers, by their rates; `draws` has to be given before training."""
        super().__init__()
        self.layers = layers
        self.channels = channels
        self.draws: Sequence[torch.Generator] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Return [trials, n, features]."""
        x = rows(x, len(self.layers), self.channels)
        if not self.training or not any(layer.p for layer in self.layers):
            return x
        masks = x.new_ones(x.shape)
        for mask, layer, draws in zip(masks, self.layers, self.draws, strict=True):
            if layer.p:  # `nn.Dropout` draws nothing at 0
                mask.copy_(drawn(layer, mask, draws))
        return x * masks


def stacked(models: Sequence[nn.Module]) -> nn.Module:
    """Return one network of all models; theirs become rows of its parameters.

    Raises:
        TrellisError: a layer that has weights or buffers and is not known here.
    """
    kept = {id(each): each for each in models[0].parameters()}
    network = copy.deepcopy(models[0], dict(kept))  # without a copy of the weights
    channels = 1
    for name, layer in list(network.named_modules()):
        layers: list[Any] = [model.get_submodule(name) for model in models]
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            network.set_submodule(name, Convolution(layers))
            channels = layer.out_channels
        elif isinstance(layer, nn.Linear):
            network.set_submodule(name, Dense(layers, channels))
        elif isinstance(layer, nn.Dropout):
            network.set_submodule(name, Dropout(layers, channels))
        elif [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
            kind = type(layer).__name__
            raise TrellisError(f"trials with a {kind} ({name}) cannot be trained in one batch")
    return network
