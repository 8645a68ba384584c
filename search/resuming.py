"""Going on with a study: what it was made with stands in for what is not given anew."""

import argparse
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from search.command import RESULTS
from search.options import at_least, gpu_share, memory_mb, study_name
from search.places import check_place
from search.request import TRIAL_TIMEOUT_S, Request
from search.shelf import Shelf

# Options that a resumed study takes over from study.json where they are not given anew.
_TAKEN_OVER = ("cpus_per_trial", "gpus_per_trial", "concurrent")
# Where things lie now.
_PLACES = ("data", "data_dir", "weights")
# Given anew, they give each trial another part of the memory. By what each is read.
_DIVIDERS: Mapping[str, Callable[[str], Any]] = {
    "cpus_per_trial": at_least(1),
    "gpus_per_trial": gpu_share,
    "concurrent": at_least(1),
    "memory_per_trial": memory_mb,
}
# What study.json's null stands for.
_DEFAULTS = {"cpus_per_trial": 1, "gpus_per_trial": None}


def old_manifest(arguments: argparse.Namespace) -> Mapping[str, Any] | None:
    """Return study.json of the study to go on with; None if there is none.

    Raises:
        UsageError: it is damaged, or of another version.
    """
    if not arguments.resume or arguments.study is None:
        return None
    try:
        name = study_name(arguments.study)
        return Shelf(check_place(arguments.results_dir)).manifest(name)
    except ValueError:
        return None  # told with the other mistakes


def given_anew(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the words of a resume that the next one needs, too: study.json stays as it is."""
    if not arguments.resume:
        return ()
    given = {name: getattr(arguments, name) for name in (*_PLACES, *_DIVIDERS, "trial_timeout")}
    options = {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    return tuple(w for option, value in options.items() if value for w in (option, str(value)))


def take_over(arguments: argparse.Namespace, old: Mapping[str, Any] | None) -> None:
    """Let resources that are not given be those that a study has had."""
    resources = (old or {}).get("resources", {})
    # Kept as it was found: with another limit, batches would be split otherwise.
    divided_anew = any(_is_new(arguments, resources, name) for name in _DIVIDERS)
    arguments.at_once = None if divided_anew else resources.get("at_once")
    for name in ("trial_timeout", *(_TAKEN_OVER if divided_anew else _DIVIDERS)):
        kept = resources.get(name)
        if getattr(arguments, name) is None and kept is not None:
            setattr(arguments, name, str(kept))
    # What was asked for, and not worked out, holds however trials are divided.
    asked = resources.get("memory_asked")
    if arguments.memory_per_trial is None and asked is not None:
        arguments.memory_per_trial = str(asked)


def _is_new(arguments: argparse.Namespace, resources: Mapping[str, Any], name: str) -> bool:
    """Tell whether an option is given, and not just what the study was given already."""
    text = getattr(arguments, name)
    if text is None:
        return False
    try:
        given = _DIVIDERS[name](str(text))
    except ValueError:  # told with the other mistakes
        return True
    if name == "memory_per_trial":  # auto asks to divide anew
        return given is None or given != resources.get("memory_asked")
    kept = resources.get(name)
    return bool(given != (_DEFAULTS.get(name) if kept is None else kept))


def resume_command(request: Request) -> str:
    """Return the command that goes on with the request's study."""
    if request.again:
        return shlex.join(request.again)
    words = [*(request.way_on or _run_again(request))]
    if request.trial_timeout_s != TRIAL_TIMEOUT_S and "--trial-timeout" not in request.anew:
        words += ["--trial-timeout", f"{request.trial_timeout_s}s"]
    words += request.anew
    words += ["--tensorboard"] if request.tensorboard else []
    words += ["--mlflow", request.mlflow] if request.mlflow else []
    return shlex.join(words)


def confirm_command(request: Request) -> str:
    """Return the command that confirms the request's study."""
    return shlex.join(confirm_words(request.folder.name, _place(request)))


def _run_again(request: Request) -> list[str]:
    place = request.store or _place(request)
    return run_again(request.experiment.name, request.folder.name, place, request.address)


def _place(request: Request) -> str:
    folder = request.folder.parent
    return "results" if folder == RESULTS.absolute() else str(folder)


def run_again(experiment: str, study: str, place: str, address: str) -> list[str]:
    """Return the words of search.run that go on with a study of the place, on that Ray."""
    words = ["python", "-m", "search.run", experiment, "--study", study, "--resume", *_in(place)]
    return words + ([] if address == "local" else ["--address", address])


def confirm_words(study: str, place: str) -> list[str]:
    """Return the words of search.confirm for a study of the place."""
    return ["python", "-m", "search.confirm", study, *_in(place)]


def _in(place: str) -> list[str]:
    return [] if place == "results" else ["--results-dir", place]
