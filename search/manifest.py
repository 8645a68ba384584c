"""study.json: what a study was made with, and what must be the same for it to go on."""

import argparse
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.data_option import why_another
from search.domains import domains
from search.errors import ResumeRefused, UsageError
from search.experiment import Experiment
from search.machine import machine
from search.names import ACCURACY, BOTH, PRECISIONS, SAMPLERS, STOPPERS
from search.plan import Plan
from trainables.budget import Weights
from trainables.data import Data

FORMAT = 1
# Beside the packages in a job: which commit they are.
COMMIT_NAME = "git_commit"
# Parts of a plan that stand in study.json only where they say something.
_LATER = ("warm_start", "first_rung", "compared")
# What it means that one of them is missing, where that says something.
_UNSAID = {"compared": ACCURACY}
# Parts that studies of earlier versions lack, and what they would have said.
_NEWER: dict[str, Any] = {"seeds": 1, "configurations": []}
# What a manifest must hold for a study to go on, beside its format.
_PARTS = {
    "experiment": (),
    "space": (),
    "defaults": (),
    "budget": tuple(field.name for field in fields(Plan) if field.name not in (*_LATER, *_NEWER)),
    "data": ("kind", "dataset", "location", "fingerprint", "sizes"),
}
_WEIGHTS = tuple(field.name for field in fields(Weights))
# Parts of a plan that are words, and those that there are.
_WORDS = {
    "sampler": SAMPLERS,
    "stopper": STOPPERS,
    "precision": PRECISIONS,
    "compared": (ACCURACY, BOTH),
}
_LIBRARIES = ("torch", "ray", "optuna", "numpy", "tensorflow-datasets", "pillow")


def make_manifest(
    experiment: Experiment,
    plan: Plan,
    data: Data,
    command: list[str],
    weights: Weights | None = None,
) -> dict[str, Any]:
    """Return what study.json holds; `weights` of experiments that start from pretrained ones."""
    return {
        "format": FORMAT,
        "experiment": experiment.name,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "space": describe_space(experiment),
        "defaults": experiment.defaults(),
        "budget": plan.as_json(),
        "seed": plan.seed,
        "data": {
            "kind": data.spec.kind,
            "dataset": data.spec.dataset,
            "location": data.spec.location,
            "real": data.real,
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "sizes": dict(data.sizes),
            "notes": list(data.notes),
        },
        "weights": asdict(weights) if weights else None,
        "machine": machine(),
        "versions": versions(),
        "git_commit": git_commit(),
    }


def describe_space(experiment: Experiment) -> dict[str, str]:
    """Return every hyperparameter with its domain in words."""
    known = domains(experiment.space(), experiment.defaults())
    return {name: domain.describe() for name, domain in known.items()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    found = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **found}


def git_commit(root: Path | None = None) -> str | None:
    """Return the commit of this code, or that in `root`; with "+changes" where a file differs.

    A job's code has no checkout of its own, but brings the commit along in a file. None without
    either, and for code that is installed into an environment inside another repository, say,
    whose commit would tell nothing.
    """
    root = root or Path(__file__).resolve().parents[1]
    top, commit = _git(root, "rev-parse", "--show-toplevel"), _git(root, "rev-parse", "HEAD")
    if not top or not commit or Path(top).resolve() != root:
        return _sent_along(root / COMMIT_NAME)
    return f"{commit}+changes" if _git(root, "status", "--porcelain") else commit


def _sent_along(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    return text if re.fullmatch(r"[0-9a-f]{40,64}(\+changes)?", text) else None


def _git(folder: Path, *words: str) -> str | None:
    # Without locks: a user's own git command may run meanwhile.
    command = ["git", "-C", str(folder), "--no-optional-locks", *words]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if answer.returncode else answer.stdout.strip()


def read_manifest(path: Path) -> dict[str, Any]:
    """Return study.json.

    Raises:
        UsageError: it is missing, damaged, or of another version.
    """
    try:
        return parse_manifest(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError([f"{path} cannot be read: {error.strerror}"]) from None


def parse_manifest(text: bytes, path: str) -> dict[str, Any]:
    """Return the content of a study.json that lies at `path`.

    Raises:
        UsageError: it is damaged, or of another version.
    """
    damaged = UsageError([f"{path} is damaged; the study cannot go on without it"])
    try:
        content = json.loads(text)
        version = content["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise damaged from None
    if version != FORMAT:
        raise UsageError([f"{path} has format {version}; this version reads format {FORMAT}"])
    for name, parts in _PARTS.items():
        part = content.get(name)
        if not isinstance(part, dict if name != "experiment" else str) or set(parts) - set(part):
            raise damaged
    content["budget"] = _NEWER | content["budget"]
    weights = content.get("weights")  # absent in studies from before there were any
    if weights is not None and not (isinstance(weights, dict) and set(_WEIGHTS) <= set(weights)):
        raise damaged
    return dict(content)


def unknown_words(manifest: Mapping[str, Any]) -> list[str]:
    """Return a line for every word that a study goes by, and this version does not know."""
    budget, resources = manifest["budget"], manifest.get("resources") or {}
    found = [(name, budget.get(name, words[0]), words) for name, words in _WORDS.items()]
    found += [("precision", resources.get("precision", "auto"), PRECISIONS)]
    lines = [
        f"study.json: {name} must be one of {', '.join(words)}; got {word!r}: a newer version "
        "began the study, and goes on with it, or the file is damaged"
        for name, word, words in found
        if word not in words
    ]
    return list(dict.fromkeys(lines))


def created_of(text: bytes) -> Any:
    """Return when the study of a study.json was begun; None if it does not tell."""
    try:
        return json.loads(text)["created"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return a line for everything in which the new manifest would give another study."""
    pairs = [("experiment", old["experiment"], new["experiment"])]
    pairs += _pairs("space", old["space"], new["space"])
    pairs += _pairs("defaults", old["defaults"], new["defaults"])
    pairs += _pairs("budget", _UNSAID | old["budget"], _UNSAID | new["budget"])
    parts = ("kind", "dataset", "fingerprint", "sizes")
    pairs += [(f"data.{part}", old["data"][part], new["data"][part]) for part in parts]
    # Not the path: the same weights may lie elsewhere now.
    pairs += [("weights.fingerprint", _fingerprint(old), _fingerprint(new))]
    found = _changed(pairs)
    had, has = old["data"], new["data"]
    if had["kind"] == has["kind"] == "folder" and had["fingerprint"] != has["fingerprint"]:
        found.append(f"data: {why_another('folder')}")
    return found


def space_changes(old: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """Return a line for everything in which the space is not that of the study's manifest."""
    pairs = _pairs("space", old["space"], describe_space(experiment))
    return _changed(pairs + _pairs("defaults", old["defaults"], experiment.defaults()))


def _changed(pairs: Sequence[tuple[str, Any, Any]]) -> list[str]:
    return [
        f"{name}: the study has {before}, now it would be {now}"
        for name, before, now in pairs
        if before != now
    ]


def check_inputs(
    name: str, manifest: Mapping[str, Any], data: Data, weights: Weights | None
) -> None:
    """Make sure that data and pretrained weights are those of the study `name`.

    Raises:
        ResumeRefused: they are others.
    """
    if data.fingerprint != manifest["data"]["fingerprint"]:
        raise ResumeRefused(
            f"the data in {data.spec.location or data.spec.kind} is not what {name} was trained "
            f"on: {why_another(data.spec.kind)}"
        )
    if weights is not None and weights.fingerprint != _fingerprint(manifest):
        raise ResumeRefused(
            f"the weights {weights.path or weights.source} are not what {name} was trained from: "
            "their fingerprint is another"
        )


def _fingerprint(manifest: Mapping[str, Any]) -> str | None:
    weights = manifest.get("weights")
    return weights["fingerprint"] if weights else None


def _pairs(
    prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    names = list(dict.fromkeys([*old, *new]))
    return [(f"{prefix}.{name}", old.get(name), new.get(name)) for name in names]


def address_of(manifest: Mapping[str, Any]) -> str:
    """Return the --address that a study was begun with: local, auto or HOST:PORT."""
    return str(_begun_with(manifest, "--address", default="local"))


def donors_of(manifest: Mapping[str, Any]) -> list[str]:
    """Return the words of --warm-start that a study was begun with."""
    found = _begun_with(manifest, "--warm-start", action="extend", nargs="*", default=[])
    return [str(word) for word in found]


def _begun_with(manifest: Mapping[str, Any], option: str, **settings: Any) -> Any:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(option, dest="given", **settings)
    command = manifest.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else []
    return parser.parse_known_args(words)[0].given


def command_line() -> list[str]:
    """Return the command that runs, as a user would write it."""
    return ["python", "-m", "search.run", *sys.argv[1:]]
