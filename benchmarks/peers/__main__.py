"""Searches an experiment with Trellis and with its peers, one after the other, and compares them.

python -m benchmarks.peers lenet_beans --data-dir DIR --seeds 3
python -m benchmarks.peers lenet_beans --data embedded --quick

Every tool gets the same images, space, trials, epochs and cores, and begins with the published
configuration if it can (Keras Tuner cannot). Each starts as a new process, and Trellis with an
empty cache; seconds count from there. Ended at any moment, the same command goes on. Written to
--to: peers.csv, peers.png, peers.md, and a folder per run, which the same task on the same machine
finds again, whichever --tools are asked for.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.figure import draw
from benchmarks.peers.machine import facts, gpus, missing_packages
from benchmarks.peers.runs import TOOLS, Run, kept, run
from benchmarks.peers.summary import table, told_target, write_csv
from benchmarks.peers.task import Task
from search.catalog import find
from search.command import Parser, positive
from search.data_option import absolute, data_spec
from search.domains import domains
from search.errors import EXIT_DONE, EXIT_INTERRUPTED, UsageError, exit_code
from search.interrupts import interrupt_by_all
from search.options import Mistakes
from search.progress import DataProgress, clock, say
from search.read_plan import read_fixed
from trainables.errors import TrellisError

PROG = "benchmarks.peers"
EXPERIMENTS = ("lenet_beans", "inception_beans", "mnist_cnn", "cifar10_net")
QUICK_TRIALS, QUICK_EPOCHS = 8, 4


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("experiment", choices=EXPERIMENTS, nargs="?", default="lenet_beans")
    made.add_argument("--tools", nargs="+", choices=TOOLS, help="default: all")
    made.add_argument("--trials", type=positive, help="configurations (24)")
    most = "epochs of a trial at most (as published)"
    made.add_argument("--max-epochs", type=positive, help=most)
    made.add_argument("--seeds", type=positive, help="runs of every tool (3)")
    made.add_argument("--cores", type=positive, default=2, help="trials at once (2)")
    lower = "of all tools (each as it is by default: the peers float32)"
    made.add_argument("--precision", choices=("float32", "bfloat16"), help=lower)
    made.add_argument("--fix", action="append", default=[], metavar="NAME=VALUE")
    quick = f"{QUICK_TRIALS} trials of {QUICK_EPOCHS} epochs, one seed, small images: minutes; "
    quick += "of inception_beans 7 epochs at its one size: hours"
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--data", help="tfds (default) or embedded")
    made.add_argument("--data-dir", help="where TFDS keeps its data")
    made.add_argument("--weights", help="of inception_beans: a state dict in torchvision's names")
    made.add_argument("--time-limit", type=float, default=120, help="minutes of a run (120)")
    made.add_argument("--to", type=Path, help="default results/peers/EXPERIMENT")
    return made


def settle(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is fixed, and fill in what was not given.

    Raises:
        UsageError: options that do not go together, or packages that are not installed.
    """
    experiment = find(options.experiment)
    wrong = Mistakes()
    usual = experiment.presets["quick" if options.quick else "standard"]
    options.trials = options.trials or (QUICK_TRIALS if options.quick else usual.trials)
    epochs = QUICK_EPOCHS if options.quick and not experiment.stage_epochs else usual.max_epochs
    options.max_epochs = options.max_epochs or epochs
    options.seeds = options.seeds or (1 if options.quick else 3)
    options.to = options.to or Path("results/peers", options.experiment)
    known = domains(experiment.space(), experiment.defaults(), experiment.readers())
    fixed = read_fixed(options.fix, known, wrong)
    options.tools = options.tools or list(TOOLS)
    if experiment.pretrained and not options.weights:
        wrong.append(f"{options.experiment} needs --weights: a state dict in torchvision's names")
    if options.precision == "bfloat16" and "keras_tuner" in options.tools:
        wrong.append("--precision bfloat16: keras_tuner has float32 here; name --tools without it")
    for line in missing_packages(options.tools):
        wrong.append(line)
    if wrong:
        raise UsageError(wrong)
    return {**(usual.fixed if options.quick else {}), **fixed}


def tasks(options: argparse.Namespace, fixed: dict[str, Any], images: Path) -> list[Task]:
    """Return a task per seed; the tools share it."""
    arguments = []
    for name in ("data", "data_dir", "weights"):
        if given := getattr(options, name):
            arguments += [f"--{name.replace('_', '-')}", given]
    return [
        Task(
            experiment=options.experiment,
            images=str(images.absolute()),
            trials=options.trials,
            epochs=options.max_epochs,
            cores=options.cores,
            seed=seed,
            folder="",
            records="",
            fixed=fixed,
            weights=absolute(options.weights or ""),
            arguments=tuple(arguments),
            gpus=gpus(),
            precision=options.precision or "",
        )
        for seed in range(options.seeds)
    ]


def compare(options: argparse.Namespace) -> None:
    """Run all tools with all seeds; write and print what came out."""
    from benchmarks.peers.images import export

    fixed = settle(options)
    spec = data_spec(options.data, options.data_dir, find(options.experiment).dataset)
    images = export(spec, options.to.parent / "images", DataProgress())
    asked, place = tasks(options, fixed, images), (options.to / "runs").absolute()
    others = [tool for tool in TOOLS if tool not in options.tools]
    found = [was for task in asked for tool in others if (was := kept(tool, task, place))]
    # A seed after the other: what else the machine does changes over hours, for all tools alike.
    for task in asked:
        for tool in options.tools:
            say(f"{TOOLS[tool]}, seed {task.seed}: {task.trials} trials of {task.epochs} epochs")
            result = run(tool, task, place, options.time_limit * 60)
            found.append(result)
            reached = f"{result.final:.4f}" if result.improvements else "no epoch"
            say(f"  {reached} in {clock(result.wall_s)}")
            tell(options, fixed, found)
    print((options.to / "peers.md").read_text())


def tell(options: argparse.Namespace, fixed: dict[str, Any], runs: Sequence[Run]) -> None:
    """Write the CSV, the figure and the table of the runs so far."""
    held = "".join(f", {name} {value}" for name, value in fixed.items())
    held += f", {options.precision} for all" if options.precision else ""
    title = f"{options.experiment}: {options.trials} trials, {options.max_epochs} epochs{held}"
    write_csv(options.to / "peers.csv", runs)
    draw(runs, title, options.to / "peers.png")
    ends = "".join(f"- {TOOLS[each.tool]}, seed {each.seed}: {each.ended}\n" for each in runs)
    about = f"{told_target(runs)}\n{facts(options.cores)}\nEnded at:\n\n{ends}"
    text = f"{title}\n\n{table(runs)}\n\n{about}"
    (options.to / "peers.md").write_text(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    interrupt_by_all()  # so that no tool is left running
    try:
        compare(options)
    except TrellisError as error:
        say(f"{PROG}: {error}")
        return exit_code(error)
    except KeyboardInterrupt:
        say("\nended; the same command goes on after the runs that are done")
        return EXIT_INTERRUPTED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
