"""From the words of a command line to a checked request: experiment, plan, data, place."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import options
from search.beside import mistakes as beside_mistakes
from search.catalog import EXPERIMENTS, find
from search.data_option import absolute, data_spec
from search.domains import domains, one_at_a_time
from search.errors import ResumeRefused, UsageError
from search.experiment import Experiment
from search.limits import read_limits
from search.manifest import donors_of, space_changes, unknown_words
from search.options import Mistakes
from search.places import below, check_place
from search.plan import Plan
from search.planned import trials_of
from search.read_plan import read_plan
from search.resources import Asked, Resources, allot, for_this_device, this_machine
from search.shelf import Shelf
from search.weights import read_weights
from trainables.data.source import DataSpec

# Longer than any epoch that is worth its time: what goes on for an hour without one hangs.
TRIAL_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Request:
    """A command line that makes sense. `time_budget_s` is None without a limit.

    `named` tells that the user chose the study's name; otherwise the next free one will do.
    `again` is the command that goes on with it where that is not search.run: the study is then a
    part of that command, which shows a table of its own.
    """

    experiment: Experiment
    plan: Plan
    data: DataSpec
    folder: Path
    resume: bool
    asked: Asked
    resources: Resources | None  # None on a cluster: known once it has been joined
    address: str
    time_budget_s: int | None
    dry_run: bool
    named: bool = True
    weights: str | None = None  # "random", an absolute path, or None for torchvision's
    trial_timeout_s: int = TRIAL_TIMEOUT_S
    tensorboard: bool = False
    mlflow: str | None = None  # a tracking URI
    again: tuple[str, ...] = ()
    store: str | None = None  # the URI of the place that `folder` mirrors
    anew: tuple[str, ...] = ()  # what this resume was given and study.json does not have
    way_on: tuple[str, ...] = ()  # as `again`, of a study that is a command's all

    @property
    def device(self) -> str:
        """What the driver computes on: that of the trials; on a cluster whatever is here."""
        if self.resources is None:
            return "auto"
        return "cuda" if self.resources.gpus_per_trial else "cpu"

    @property
    def uri(self) -> str | None:
        """The URI of the study, if it lies in a store."""
        return below(self.store, self.folder.name) if self.store else None

    @property
    def shown(self) -> str:
        """Where the user finds the study."""
        return self.uri or str(self.folder)


def check(arguments: argparse.Namespace, manifest: Mapping[str, Any] | None = None) -> Request:
    """Return the request that the arguments make.

    Args:
        arguments: As `options.build_parser` gives them.
        manifest: study.json of the study to resume; its values stand in for options not given.

    Raises:
        UsageError: with a line for every mistake.
        ResumeRefused: the study is one of another experiment.
    """
    wrong = Mistakes()
    experiment = _experiment(arguments, wrong)
    other, other_data = _other_experiment(experiment, manifest), _other_data(arguments, manifest)
    other = other or _other_sweep(experiment, manifest)
    old = {} if other or manifest is None else manifest
    machine = this_machine()
    limits = read_limits(arguments, machine, wrong)
    for line in beside_mistakes(arguments.tensorboard, arguments.mlflow):
        wrong.append(line)  # not +=, which escapes nothing
    data = _data(arguments, {} if other_data else old.get("data", {}), experiment, wrong)
    for line in unknown_words(old) if old else ():
        wrong.append(line)
    plan = read_plan(arguments, old.get("budget", {}), experiment, wrong, donors_of(old))
    weights = read_weights(arguments.weights, old.get("weights"), experiment, wrong)
    place = _folder(arguments, experiment, wrong)
    if wrong or experiment is None or plan is None or data is None or place is None:
        raise UsageError(wrong)
    folder, store = place
    if other := other or other_data:
        raise ResumeRefused(f"study {folder.name} was made with other settings:\n{other}")
    trials = trials_of(experiment, plan.as_json(), experiment.defaults())
    asked = Asked(
        limits.cpus_per_trial,
        limits.gpus_per_trial,
        limits.concurrent,
        limits.memory_per_trial,
        arguments.at_once,
        trials,
    )
    if arguments.address == "local":
        asked = for_this_device(asked, machine, old.get("resources", {}))
    return Request(
        experiment,
        plan,
        data,
        folder,
        arguments.resume,
        asked,
        allot(machine, *asked) if arguments.address == "local" else None,
        arguments.address,
        limits.time_budget_s,
        arguments.dry_run,
        arguments.study is not None,
        weights,
        limits.trial_timeout_s or TRIAL_TIMEOUT_S,
        arguments.tensorboard,
        arguments.mlflow,
        store=store,
    )


def _experiment(arguments: argparse.Namespace, wrong: Mistakes) -> Experiment | None:
    if arguments.experiment is None:
        taken = any(word in EXPERIMENTS for word in arguments.warm_start or ())
        first = "; --warm-start takes all words after it: put the experiment first"
        wrong.append(f"no experiment is given; --list shows them{first if taken else ''}")
        return None
    try:
        return find(arguments.experiment)
    except UsageError as error:
        wrong += error.mistakes
        return None


def _other_experiment(experiment: Experiment | None, manifest: Mapping[str, Any] | None) -> str:
    had = manifest["experiment"] if manifest else None
    if experiment is None or had in (None, experiment.name):
        return ""
    return f"experiment: the study has {had}, now it would be {experiment.name}"


def _other_sweep(experiment: Experiment | None, manifest: Mapping[str, Any] | None) -> str:
    """Return in what the space differs from that of a study whose sweep it can no longer make."""
    if experiment is None or manifest is None:
        return ""
    budget, space = manifest["budget"], experiment.space()
    values = {**experiment.defaults(), **budget["fixed"]}
    try:
        list(one_at_a_time(space, values, domains(space, values), budget["sweep"]))
    except (KeyError, ValueError) as error:
        return "\n".join(space_changes(manifest, experiment) or [f"sweep: {error}"])
    return ""


def _other_data(arguments: argparse.Namespace, manifest: Mapping[str, Any] | None) -> str:
    """Return in which kind of data a study differs from what is asked for: before any comes."""
    had = manifest["data"]["kind"] if manifest else None
    asked = (arguments.data or had or "").partition(":")[0]
    if had is None or asked in (had, ""):
        return ""
    return f"data.kind: the study has {had}, now it would be {asked}"


def _data(
    arguments: argparse.Namespace,
    old: Mapping[str, Any],
    experiment: Experiment | None,
    wrong: Mistakes,
) -> DataSpec | None:
    dataset = experiment.dataset if experiment else ""
    if old and arguments.data in (None, old["kind"]) and old["kind"] != "embedded":
        return DataSpec(dataset, old["kind"], absolute(arguments.data_dir or old["location"]))
    try:
        return data_spec(arguments.data or old.get("kind"), arguments.data_dir, dataset)
    except UsageError as error:
        for line in error.mistakes:
            wrong.append(line)  # not +=, which escapes nothing
        return None


def _folder(
    arguments: argparse.Namespace, experiment: Experiment | None, wrong: Mistakes
) -> tuple[Path, str | None] | None:
    """Return the study's folder, and the URI of its place if that is in a store."""
    name = wrong.parse("--study", arguments.study, options.study_name)
    if arguments.resume and arguments.study is None:
        wrong.append("--resume needs --study NAME")
    place = wrong.parse("--results-dir", arguments.results_dir, check_place, shown=False)
    if place is None:
        return None
    shelf = Shelf(place)
    if mistake := shelf.mistake():
        wrong.append(f"--results-dir {mistake}")
    elif name and not arguments.resume and (reason := shelf.taken(name)):
        wrong.append(f"--study {name}: {reason}")
    elif name and arguments.resume and not shelf.has(name):
        wrong.append(f"--study {name}: no such study in {place}; nothing to resume")
    if name is None and experiment is not None and not wrong:
        default = f"{experiment.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        return shelf.free(default), shelf.uri
    return (shelf.folder / name, shelf.uri) if name else None
