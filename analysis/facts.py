"""Published numbers that no training is needed for: parameters, a layer table, a convolution.

Computed from the networks and operations themselves, on the meta device where it costs nothing.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any

from search.catalog import find
from search.experiment import Experiment


def counts(experiment: Experiment, config: Mapping[str, Any]) -> tuple[int, int]:
    """Return the parameters of a configuration's network and how many of them its trials train.

    Counted as a trial tells them after its last epoch, for the published shape of the images.
    """
    return _counts(experiment.name, json.dumps(config))


@functools.cache
def _counts(name: str, text: str) -> tuple[int, int]:
    import torch

    from trainables.budget import Budget
    from trainables.memory import stages_of
    from trainables.shapes import published

    experiment = find(name)
    data, budget = published(experiment.dataset), Budget(1, device="cpu")
    builders = stages_of(experiment.module())(json.loads(text), data, budget)
    # Every stage is built: a later one goes on with what the one before it made.
    stage = [build(torch.device("meta")) for build in builders][-1]
    weights = list(stage.model.parameters())
    trained = sum(each.numel() for each in weights if each.requires_grad)
    return stage.parameters or sum(each.numel() for each in weights), trained


def layer_table() -> tuple[int, str]:
    """Return the parameters of the published conv5-10 net, and what a trace says of its layers.

    Input 32x32x1; conv5-10; pool2; conv5-10; pool2; FC-10; padding 2.
    """
    from torch import nn

    from trainables.trace import trace

    layers = [nn.Conv2d(1, 10, 5, padding=2), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(10, 10, 5, padding=2), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(640, 10))
    rows = [each for each in trace(network, (1, 32, 32)) if each.kind != "Flatten"]
    per_layer = ", ".join(str(each.parameters) for each in rows)
    outputs = ", ".join("x".join(map(str, each.output)) for each in rows)
    return sum(each.parameters for each in rows), f"per layer {per_layer}; outputs {outputs}"


def worked_convolution(setting: str) -> str:
    """Return the output of the published worked example, as JSON without spaces.

    Args:
        setting: "input [[...]], kernel [[...]], padding N", as in reference.csv.

    Raises:
        ValueError: a setting that does not read so.
    """
    import torch
    from torch.nn import functional

    head, _, padding = setting.partition(", padding ")
    image, between, kernel = head.removeprefix("input ").partition(", kernel ")
    if not between or not padding.isdecimal():
        raise ValueError(f"must read input [[..]], kernel [[..]], padding N; got {setting!r}")
    planes = [torch.tensor(json.loads(text), dtype=torch.float64) for text in (image, kernel)]
    inputs, weights = (plane[None, None] for plane in planes)
    output = functional.conv2d(inputs, weights, padding=int(padding))[0, 0]
    return json.dumps(output.to(torch.int64).tolist(), separators=(",", ":"))
