"""Predicted and measured peaks of memory, for configurations drawn from every experiment's space.

python -m benchmarks.memory --experiments lenet_beans mnist_cnn --draws 10

Embedded data, two steps of every batch size and an evaluation, each trial in a process of its own
on the CPU; Inception with random weights. What trials share (activations, the source network) is
made before the one that is measured.
"""

import argparse
import importlib
import json
import subprocess
import sys
from typing import Any

from search.names import PRECISIONS

EXPERIMENTS = {
    "lenet_beans": "beans",
    "inception_beans": "beans",
    "mnist_cnn": "mnist",
    "cifar10_net": "cifar10",
    "cifar10_transfer": "cifar10",
}
SHARED = ("inception_beans", "cifar10_transfer")
# Two steps of the largest batch; validation images enough for a full evaluation batch where
# images are large.
TRAIN, VALIDATION = 256, 64
# The published study ran out of memory with these filters.
LARGEST = {"filters": "12/32/240", "image_size": 299, "kernel_size": 5, "augmentation": "none"}
CLOSE = 0.2

Config = dict[str, Any]


def draw(experiment: str, count: int, seed: int) -> list[Config]:
    """Return configurations: drawn at random, and for LeNet the largest at all batch sizes."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = importlib.import_module(f"spaces.{experiment}").space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawn = [space(study.ask()) for _ in range(count)]
    if experiment == "lenet_beans":
        published = importlib.import_module("spaces.lenet_beans").DEFAULTS
        drawn += [{**published, **LARGEST, "batch_size": each} for each in (16, 32, 64, 128)]
    short = {"head_epochs": 1, "finetune_epochs": 1}
    return [{**c, **{k: v for k, v in short.items() if k in c}} for c in drawn]


def worker(what: str, experiment: str, configs: list[Config], precision: str) -> list[Any]:
    """Return the predicted [MiB, parts], or the measured MiB, of configurations."""
    from trainables import memory
    from trainables.budget import Budget
    from trainables.weights import RANDOM

    budget = Budget(2, device="cpu", precision=precision, weights=RANDOM)
    module = importlib.import_module(f"trainables.{experiment}")
    data = _few(experiment)
    memory.base_bytes()  # before passes on the meta device make it larger
    if what == "predict":
        found = [memory.predict(module, config, data, budget) for config in configs]
        return [[each.mb, {k: v / 2**20 for k, v in each.parts.items()}] for each in found]
    return [max(e.peak_memory_mb for e in module.epochs(c, data, budget)) for c in configs]


def _few(experiment: str) -> Any:
    """Return embedded data with as few images as two steps need."""
    from dataclasses import dataclass, fields

    from trainables.data import Data, DataSpec, Split, open_data
    from trainables.data.source import Progress, silent

    many = experiment in ("mnist_cnn", "cifar10_net", "cifar10_transfer")

    @dataclass(frozen=True)
    class Few(Data):
        def split(self, name: str, size: int | None, progress: Progress = silent) -> Split:
            whole, count = super().split(name, size, progress), self.sizes[name]
            return Split(whole.images[:count], whole.labels[:count])

    whole = open_data(DataSpec(EXPERIMENTS[experiment], "embedded"))
    if many:
        return whole
    same = {each.name: getattr(whole, each.name) for each in fields(whole)}
    return Few(**same | {"sizes": {"train": TRAIN, "validation": VALIDATION}})


def ask(*words: Any) -> list[Any]:
    """Return what `worker` gives in a new process."""
    command = [sys.executable, "-m", "benchmarks.memory", "--worker", json.dumps(words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def compare(experiment: str, count: int, seed: int, precision: str) -> tuple[int, int]:
    """Print a line per configuration; return how many are close, of how many."""
    configs = draw(experiment, count, seed)
    close = 0
    if experiment in SHARED:
        print(f"{experiment}: making what its trials share", file=sys.stderr)
        ask("measure", experiment, configs, precision)
    print(f"{experiment}: predicting", file=sys.stderr)
    predictions = ask("predict", experiment, configs, precision)
    for number, (config, (predicted, parts)) in enumerate(zip(configs, predictions, strict=True)):
        print(f"{experiment} {number + 1} of {len(configs)}", file=sys.stderr)
        (measured,) = ask("measure", experiment, [config], precision)
        error = predicted / measured - 1
        close += abs(error) <= CLOSE
        told = ", ".join(f"{name} {value:.0f}" for name, value in parts.items())
        print(f"{experiment:16} {predicted:6.0f} {measured:6.0f} MiB {error:+7.1%}  {told}")
        print(f"    {json.dumps(config)}", flush=True)
    return close, len(configs)


def main() -> None:
    """Print predicted and measured peaks, and the share that is close."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=[*EXPERIMENTS])
    parser.add_argument("--draws", type=int, default=10, help="per experiment (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(worker(*json.loads(arguments.worker))))
        return
    for each in arguments.experiments:
        close, count = compare(each, arguments.draws, arguments.seed, arguments.precision)
        print(f"{each}: {close} of {count} within {CLOSE:.0%}", flush=True)


if __name__ == "__main__":
    main()
