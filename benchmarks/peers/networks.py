"""The experiments' networks as a PyTorch tutorial writes them: nn.Sequential, ReLU, then pooling.

No code of Trellis: what is compared must not be ours. Initialised as the published studies were.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

Size = tuple[int, int, int]  # channels, height, width


def build(experiment: str, config: Mapping[str, Any], shape: Size, classes: int) -> nn.Module:
    """Return the untrained network for images [n, *shape], initialised by torch's generator."""
    if experiment == "inception_beans":
        return inception(config, classes)
    layers = {"lenet_beans": _lenet, "mnist_cnn": _mnist, "cifar10_net": _cifar10}[experiment]
    features, dense = layers(config, shape[0])
    with torch.no_grad():
        width = features(torch.zeros(1, *shape)).shape[1]
    network = nn.Sequential(*features, *dense(width, classes))
    if experiment == "lenet_beans":
        network.apply(keras_default)
    return network


def keras_default(module: nn.Module) -> None:
    """Initialise a layer as Keras does, whose networks were published: Glorot, zero biases."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # every layer here has one


def penalty(network: nn.Module, config: Mapping[str, Any]) -> Tensor | float:
    """Return what the regularizer adds to the loss: of convolution kernels, as Keras sums it."""
    kind = config.get("regularizer", "none")
    kernels = [each.weight for each in network.modules() if isinstance(each, nn.Conv2d)]
    if kind == "none":
        return 0.0
    of_each = [each.abs().sum() if kind == "l1" else each.pow(2).sum() for each in kernels]
    return config["strength"] * torch.stack(of_each).sum()  # type: ignore[no-any-return]


def _filters(config: Mapping[str, Any]) -> list[int]:
    return [int(each) for each in config["filters"].split("/")]


def _lenet(config: Mapping[str, Any], channels: int) -> Any:
    first, second, third = _filters(config)
    kernel = config["kernel_size"]
    features = nn.Sequential(
        *(nn.Conv2d(channels, first, kernel), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(first, second, kernel), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(second, third, kernel), nn.ReLU(), nn.Flatten()),
    )

    def dense(width: int, classes: int) -> list[nn.Module]:
        dropout = nn.Dropout(config["dropout"])
        return [dropout, nn.Linear(width, 50), nn.ReLU(), nn.Linear(50, classes)]

    return features, dense


def _mnist(config: Mapping[str, Any], channels: int) -> Any:
    first, second = _filters(config)
    kernel = config["kernel_size"]
    features = nn.Sequential(
        *(nn.Conv2d(channels, first, kernel, padding="same"), nn.ReLU()),
        *(nn.Conv2d(first, second, kernel, padding="same"), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten()),
    )

    def dense(width: int, classes: int) -> list[nn.Module]:
        last = [nn.Dropout(config["dropout"]), nn.Linear(128, classes)]
        return [nn.Linear(width, 128), nn.ReLU(), *last]

    return features, dense


def _cifar10(config: Mapping[str, Any], channels: int) -> Any:
    kernel = config["kernel_size"]
    layers: list[nn.Module] = []
    for width in _filters(config):
        # Larger kernels are padded so that every layer keeps the shape that 3x3 gives.
        convolution = nn.Conv2d(channels, width, kernel, padding=(kernel - 3) // 2)
        layers += [convolution, nn.ReLU(), nn.MaxPool2d(2)]
        channels = width

    def dense(width: int, classes: int) -> list[nn.Module]:
        drops = [nn.Dropout(config[f"dropout_{number}"]) for number in (1, 2, 3)]
        return [
            *(drops[0], nn.Linear(width, 128), nn.ReLU()),
            *(drops[1], nn.Linear(128, 256), nn.ReLU()),
            *(drops[2], nn.Linear(256, classes)),
        ]

    return nn.Sequential(*layers, nn.Flatten()), dense


def inception(config: Mapping[str, Any], classes: int) -> nn.Module:
    """Return torchvision's Inception-v3 with the published head in the place of its last layer."""
    from torchvision.models import inception_v3

    network = inception_v3(
        weights=None, aux_logits=False, init_weights=False, transform_input=False
    )
    network.dropout = nn.Identity()
    network.fc = nn.Sequential(
        nn.Linear(2048, config["head_width"]),
        nn.Dropout(config["dropout"]),
        nn.Linear(config["head_width"], classes),
    )
    network.fc.apply(keras_default)
    return network  # type: ignore[no-any-return]
