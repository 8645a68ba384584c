"""`python -m analysis.layers EXPERIMENT [--fix NAME=VALUE]`: the network layer by layer.

Output shapes, parameters, activation memory and multiply-adds, from a pass on the meta device:
it costs no memory even for a network that would not fit.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis.command import Parser, run
from analysis.layout import Column, Section, plain
from search.catalog import EXPERIMENTS, find
from search.domains import configuration, domains
from search.errors import UsageError
from search.experiment import Experiment
from search.options import Mistakes
from search.read_plan import read_fixed

if TYPE_CHECKING:  # torch is imported when a network is built, not for --help
    from trainables.trace import Layer

PROG = "python -m analysis.layers"
# Channels, side in pixels and classes of the data sets; beans are 500 pixels before resizing.
DATASETS = {"beans": (3, 500, 3), "mnist": (1, 28, 10), "cifar10": (3, 32, 10)}
# Bytes per parameter beside its activations: weight, gradient, and Adam's two moments, float32.
TRAINING_BYTES = 4 + 4 + 8


def layers_of(experiment: Experiment, config: Mapping[str, Any]) -> "list[Layer]":
    """Return the layers of a configuration's network."""
    import torch

    from trainables.trace import trace

    channels, native, classes = DATASETS[experiment.dataset]
    size = config.get("image_size") or experiment.image_size or native
    with torch.device("meta"):
        module = importlib.import_module(f"trainables.{experiment.name}")
        model = module.build(config, classes, channels)
    return trace(model, (channels, size, size))


def sections(layers: "Sequence[Layer]", batch_size: int) -> list[Section]:
    """Return the table and its totals."""
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
    return [table, *_totals(layers, batch_size)]


def _numbers(name: str, values: Sequence[int]) -> Column:
    return Column(name, [f"{value:,}" for value in values], True)


def _totals(layers: "Sequence[Layer]", batch_size: int) -> list[str]:
    parameters = sum(layer.parameters for layer in layers)
    trained = sum(layer.trained for layer in layers)
    activations = sum(layer.activation_bytes for layer in layers)
    state = 4 * parameters + (TRAINING_BYTES - 4) * trained
    return [
        f"parameters: {parameters:,}, of which {trained:,} are trained",
        f"per image: {activations:,} bytes of activations in bfloat16 (max pooling with its "
        f"indices), {sum(layer.multiply_adds for layer in layers):,} multiply-adds",
        f"training at batch {batch_size}, at least: {_mb(state)} weights, gradients and Adam's "
        f"moments, {_mb(activations * batch_size)} activations, "
        f"{_mb(state + activations * batch_size)} together",
    ]


def _mb(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


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
    print(plain(sections(layers_of(experiment, config), config["batch_size"])), end="")


if __name__ == "__main__":
    sys.exit(main())
