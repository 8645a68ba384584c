"""From the words of a command line to a checked request: experiment, plan, data, place."""

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search import options
from search.catalog import find
from search.domains import Domain, domains
from search.errors import UsageError
from search.experiment import Experiment
from search.names import PRECISIONS, PRESETS, SAMPLERS, STOPPERS
from search.options import Mistakes
from search.plan import Plan, listed
from search.resources import Resources, allot, mistakes, this_machine
from trainables.data.source import DataSpec


@dataclass(frozen=True)
class Request:
    """A command line that makes sense. `time_budget_s` is None without a limit."""

    experiment: Experiment
    plan: Plan
    data: DataSpec
    folder: Path
    resume: bool
    resources: Resources
    address: str
    time_budget_s: int | None
    dry_run: bool


def check(arguments: argparse.Namespace, manifest: Mapping[str, Any] | None = None) -> Request:
    """Return the request that the arguments make.

    Args:
        arguments: As `options.build_parser` gives them.
        manifest: study.json of the study to resume; its values stand in for options not given.

    Raises:
        UsageError: with a line for every mistake.
    """
    wrong = Mistakes()
    experiment = _experiment(arguments, wrong)
    old = manifest or {}
    machine = this_machine()
    local = arguments.address == "local"
    cpus = wrong.parse("--cpus-per-trial", arguments.cpus_per_trial, options.at_least(1))
    gpus = wrong.parse("--gpus-per-trial", arguments.gpus_per_trial, options.gpu_share)
    concurrent = wrong.parse("--concurrent", arguments.concurrent, options.at_least(1))
    if local:
        wrong += mistakes(machine, cpus, gpus)
    budget_s = wrong.parse("--time-budget", arguments.time_budget, options.duration_s)
    data = _data(arguments, old.get("data", {}), experiment, wrong)
    plan = _plan(arguments, old.get("budget", {}), experiment, wrong)
    folder = _folder(arguments, experiment, wrong)
    if wrong or experiment is None or plan is None or data is None or folder is None:
        raise UsageError(wrong)
    return Request(
        experiment,
        plan,
        data,
        folder,
        arguments.resume,
        allot(machine, cpus, gpus, concurrent),
        arguments.address,
        budget_s,
        arguments.dry_run,
    )


def _experiment(arguments: argparse.Namespace, wrong: Mistakes) -> Experiment | None:
    if arguments.experiment is None:
        wrong.append("no experiment is given; --list shows them")
        return None
    try:
        return find(arguments.experiment)
    except UsageError as error:
        wrong += error.mistakes
        return None


def _data(
    arguments: argparse.Namespace,
    old: Mapping[str, Any],
    experiment: Experiment | None,
    wrong: Mistakes,
) -> DataSpec | None:
    dataset = experiment.dataset if experiment else ""
    if arguments.data is None and old:
        location = arguments.data_dir if old["kind"] == "tfds" else None
        return DataSpec(dataset, old["kind"], _absolute(location or old["location"]))
    kind, _, path = (arguments.data or "tfds").partition(":")
    if kind == "folder" and path:
        if not Path(path).expanduser().is_dir():
            wrong.append(f"--data folder:{path}: there is no such folder")
        return DataSpec(dataset, "folder", _absolute(path))
    if arguments.data in ("embedded", "tfds", None):
        default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        place = arguments.data_dir or default if kind == "tfds" else ""
        return DataSpec(dataset, kind, _absolute(place))
    wrong.append(f"--data {arguments.data}: must be tfds, embedded or folder:PATH")
    return None


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path else ""


def _plan(
    arguments: argparse.Namespace,
    old: Mapping[str, Any],
    experiment: Experiment | None,
    wrong: Mistakes,
) -> Plan | None:
    given = {
        "trials": wrong.parse("--trials", arguments.trials, options.at_least(1)),
        "max_epochs": wrong.parse("--max-epochs", arguments.max_epochs, options.at_least(1)),
        "seed": wrong.parse("--seed", arguments.seed, options.at_least(0)),
        "sampler": wrong.parse("--sampler", arguments.sampler, options.one_of(SAMPLERS)),
        "stopper": wrong.parse("--stopper", arguments.stopper, options.one_of(STOPPERS)),
        "precision": wrong.parse("--precision", arguments.precision, options.one_of(PRECISIONS)),
    }
    preset = wrong.parse("--preset", arguments.preset, options.one_of(PRESETS))
    if experiment is None:
        return None
    known = domains(experiment.space(), experiment.defaults())
    fixed = _fixed(arguments.fix or [], known, wrong)
    sweep = tuple(dict.fromkeys(arguments.sweep or ()))
    for name in sweep:
        if name not in known:
            wrong.append(f"--sweep {name}: no such hyperparameter; {_names(known)}")
        elif name in fixed:
            wrong.append(f"--sweep {name}: it is held by --fix {name}={fixed[name]}")
    if sweep and arguments.trials is not None:
        wrong.append("--trials does not go with --sweep: a sweep has one trial per value")
    if sweep and arguments.sampler is not None:
        wrong.append("--sampler does not go with --sweep: a sweep draws nothing")
    return None if wrong else _settled(experiment, given, preset, fixed, sweep, old)


def _settled(
    experiment: Experiment,
    given: Mapping[str, Any],
    preset: str | None,
    fixed: Mapping[str, Any],
    sweep: tuple[str, ...],
    old: Mapping[str, Any],
) -> Plan:
    """Put the plan together: what is given, else what the study has, else the preset's."""
    chosen = experiment.presets[preset or "standard"]
    plan = Plan(
        chosen.trials,
        chosen.max_epochs,
        stopper="none" if sweep else "asha",
        fixed={n: v for n, v in chosen.fixed.items() if n not in sweep} | dict(fixed),
        sweep=sweep,
    )
    if old and preset is None:
        kept = {name: old[name] for name in given} | {
            "fixed": dict(fixed) or old["fixed"],
            "sweep": sweep or tuple(old["sweep"]),
        }
        plan = replace(plan, **kept)
    plan = replace(plan, **{name: value for name, value in given.items() if value is not None})
    if plan.sweep:
        plan = replace(plan, trials=len(listed(experiment, plan)))
    return plan


def _fixed(words: list[str], known: Mapping[str, Domain], wrong: Mistakes) -> dict[str, Any]:
    fixed: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if name not in known:
            wrong.append(f"--fix {word}: no hyperparameter {name!r}; {_names(known)}")
        elif not equals or not text:
            wrong.append(f"--fix {word}: a value is missing; {name} is {known[name].describe()}")
        elif name in fixed:
            wrong.append(f"--fix {word}: {name} is already held at {fixed[name]}")
        else:
            try:
                fixed[name] = known[name].parse(text)
            except ValueError as error:
                wrong.append(f"--fix {word}: {error}")
    return fixed


def _names(known: Mapping[str, Domain]) -> str:
    return f"valid are {', '.join(sorted(known))}"


def _folder(
    arguments: argparse.Namespace, experiment: Experiment | None, wrong: Mistakes
) -> Path | None:
    results = Path(arguments.results_dir).expanduser()
    name = wrong.parse("--study", arguments.study, options.study_name)
    if arguments.resume and arguments.study is None:
        wrong.append("--resume needs --study NAME")
    if not _writable(results):
        wrong.append(f"--results-dir {results}: not a folder that can be written to")
    elif name and not arguments.resume and (results / name).exists():
        wrong.append(f"--study {name}: exists already; go on with it by --resume")
    elif name and arguments.resume and not (results / name / "study.json").is_file():
        wrong.append(f"--study {name}: no such study in {results}; nothing to resume")
    if name is None and experiment is not None:
        name = f"{experiment.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    return (results / name).absolute() if name else None


def _writable(folder: Path) -> bool:
    """Tell whether the folder, or the nearest that exists above it, can be written to."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
