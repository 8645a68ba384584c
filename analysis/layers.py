"""`python -m analysis.layers EXPERIMENT [--fix NAME=VALUE]`: the network layer by layer.

Output shapes, parameters, activation memory, multiply-adds, and the peak of memory that training
will need, from passes on the meta device: they cost no memory even for what would not fit.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis.command import Parser, run
from analysis.facts import counts
from analysis.layout import Column, Section, plain
from search.catalog import EXPERIMENTS, find
from search.domains import configuration, domains
from search.errors import UsageError
from search.experiment import Experiment
from search.options import Mistakes
from search.read_plan import read_fixed

if TYPE_CHECKING:  # torch is imported when a network is built, not for --help
    from trainables.memory import Peak
    from trainables.trace import Layer

PROG = "python -m analysis.layers"
# What the parts of a predicted peak are, in words.
PARTS = {
    "base": "the process with torch, measured here",
    "data": "images, or stored activations in their place",
    "weights": "weights, frozen ones of what is trained included",
    "gradients": "gradients",
    "optimizer": "the optimizer's state",
    "kept": "kept for the way back, with bfloat16 copies of weights",
    "passing": "what a step makes and drops again",
    "gaps": "freed, but in pieces that fit nothing",
}
_MIB = 2**20


def published_images(experiment: Experiment, config: Mapping[str, Any]) -> str:
    """Say which images the numbers are for: those of the published data set, in what size."""
    classes, (height, width, channels) = _shape(experiment, config)
    size = f"{height}x{width} with {channels} channel{'s' if channels > 1 else ''}"
    _, (high, wide, _) = _shape(experiment, experiment.defaults())
    alike = (high, wide) == (height, width)
    but = "as published" if alike else f"published with {high}x{wide}"
    return f"for images of {size} in {classes} classes, {but}"


def _shape(experiment: Experiment, config: Mapping[str, Any]) -> tuple[int, tuple[int, int, int]]:
    """Return the number of classes, and height, width and channels of the published images."""
    from trainables.shapes import published

    data = published(experiment.dataset)
    side = config.get("image_size") or experiment.image_size
    height, width, channels = data.split("train", side).images.shape[1:]
    return len(data.classes), (height, width, channels)


def layers_of(experiment: Experiment, config: Mapping[str, Any]) -> "list[Layer]":
    """Return the layers of a configuration's network."""
    import torch

    from trainables.trace import trace

    classes, (height, width, channels) = _shape(experiment, config)
    with torch.device("meta"):
        model = experiment.module().build(config, classes, channels, (height, width))
    return trace(model, (channels, height, width))


def peak_of(experiment: Experiment, config: Mapping[str, Any]) -> "Peak":
    """Return the predicted peak of a trial on a CPU with the published number of images."""
    from trainables.budget import Budget
    from trainables.memory import base_bytes, predict
    from trainables.shapes import published

    base_bytes()  # before the prediction itself takes room
    data = published(experiment.dataset)
    return predict(experiment.module(), config, data, Budget(1, device="cpu"))


def sections(
    layers: "Sequence[Layer]", counted: int, peak: "Peak", batch_size: int
) -> list[Section]:
    """Return the table and its totals, then the parts of the predicted peak.

    `counted` is the number of parameters as trials and the published study tell it.
    """
    shapes = ["x".join(map(str, layer.output)) for layer in layers]
    table = [
        Column("layer", [layer.name for layer in layers], False),
        Column("kind", [layer.kind for layer in layers], False),
        Column("output", shapes, True),
        _numbers("parameters", [layer.parameters for layer in layers]),
        Column("trained", ["yes" if layer.trainable else "" for layer in layers], False),
        _numbers("activation bytes", [layer.activation_bytes for layer in layers]),
        _numbers("multiply-adds", [layer.multiply_adds for layer in layers]),
    ]
    return [table, *_totals(layers, counted), *_memory(peak, batch_size)]


def _numbers(name: str, values: Sequence[int]) -> Column:
    return Column(name, [f"{value:,}" for value in values], True)


def _totals(layers: "Sequence[Layer]", counted: int) -> list[str]:
    listed = sum(layer.parameters for layer in layers)
    # Inception's batch norms: the published study counts mean and variance, and has no scale.
    other = "" if listed == counted else f" (above {listed:,}: other numbers of batch norms)"
    trained = sum(layer.trained for layer in layers)
    activations = sum(layer.activation_bytes for layer in layers)
    return [
        f"parameters: {counted:,}{other}, of which {trained:,} are trained",
        f"per image: {activations:,} bytes of activations in bfloat16 (max pooling with its "
        f"indices), {sum(layer.multiply_adds for layer in layers):,} multiply-adds",
    ]


def _memory(peak: "Peak", batch_size: int) -> list[Section]:
    rows = {name: size for name, size in peak.parts.items() if size >= _MIB / 2}
    table = [
        _numbers("MiB", [round(size / _MIB) for size in rows.values()]),
        Column("of it", [PARTS[name] for name in rows], False),
    ]
    where = f"training at batch {batch_size} on a CPU, stage {peak.stage}"
    return [f"{where}: {peak.mb:,.0f} MiB predicted at the peak", table]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog=PROG,
        description="Show an experiment's network layer by layer.",
        epilog=f"example: {PROG} lenet_beans --fix kernel_size=7 --fix filters=12/32/240",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiment", help=f"one of {', '.join(sorted(EXPERIMENTS))}")
    parser.add_argument("--fix", metavar="NAME=VALUE", action="append", help="else as published")
    parsed = parser.parse_args(arguments)
    return run(PROG, lambda: _show(parsed.experiment, parsed.fix or []))


def _show(name: str, words: list[str]) -> None:
    experiment = find(name)
    wrong = Mistakes()
    known = domains(experiment.space(), experiment.defaults(), experiment.readers())
    fixed = read_fixed(words, known, wrong)
    if wrong:
        raise UsageError(wrong)
    config = configuration(experiment.space(), {**experiment.defaults(), **fixed})
    try:
        experiment.check(config)
    except ValueError as error:
        raise UsageError([str(error)]) from None
    layers, peak = layers_of(experiment, config), peak_of(experiment, config)
    counted = counts(experiment, config)[0]
    print(f"{name}, {published_images(experiment, config)}\n")
    print(plain(sections(layers, counted, peak, config["batch_size"])), end="")


if __name__ == "__main__":
    sys.exit(main())
