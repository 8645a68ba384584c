"""The text of `search.studies list` and `show`."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.layout import WIDTH, Section, blocks, column, plain
from search.confirmed import read_confirmation
from search.manifest import address_of
from search.overview import EITHER, Overview, age, by_name, overview, size
from search.places import above
from search.plan import repeats
from search.progress import settings
from search.resuming import confirm_words, run_again
from trainables.errors import TrellisError, one_line


def list_text(found: Sequence[Overview]) -> str:
    """Return the table of studies, the newest last, and a line for everything damaged."""
    # Without an age it is damaged: those come first, out of the way of the newest.
    order = sorted(found, key=lambda each: (each.age_s is not None, -(each.age_s or 0)))
    # One group, which stays together where the line has room.
    columns = {
        "study": [each.folder.name for each in order],
        "experiment": [each.experiment for each in order],
        "data": [each.data for each in order],
        "state": [each.state for each in order],
        "trials": [_progress(each) for each in order],
        "best": ["" if each.best is None else f"{each.best:.4f}" for each in order],
        "age": [age(each.age_s) for each in order],
        "on disk": [size(each.bytes) for each in order],
    }
    table = [column(n, pd.Series(c, dtype="str"), key=n == "study") for n, c in columns.items()]
    damaged = [f"{each.folder.name}: {each.reason}" for each in order if each.reason]
    note = ["best: validation accuracy of the best epoch, chosen by that split and so optimistic"]
    return plain([*blocks([table], WIDTH), *damaged, *note])


def _progress(each: Overview) -> str:
    return "" if each.done is None else f"{each.done} of {each.trials}"


def show_text(folder: Path, uri: str | None = None) -> str:
    """Return all that is worth knowing of one study; its folder may be a copy of `uri`.

    Raises:
        TrellisError: study.json is damaged.
    """
    from analysis.frames import read_manifest
    from analysis.table import render_best

    seen, manifest = overview(folder), read_manifest(folder)
    if uri is not None and seen.state == "unfinished":  # a copy does not tell whether it runs
        seen = replace(seen, state=EITHER)
    lines = [one_line(f"{name:<11} {text}") for name, text in _facts(seen, manifest, uri)]
    sections: list[Section] = [*lines]
    if seen.best is not None:
        sections.append("\n" + render_best(folder, 5).rstrip("\n"))
    told = _confirmed_lines(folder, manifest.get("budget", {}), _confirm(seen, manifest, uri))
    sections += [one_line(line) for line in told]
    if seen.state.endswith("unfinished"):
        way_on = _way_on(seen, address_of(manifest), uri)
        sections.append("\n" + one_line(f"go on with: {way_on}"))
    return "\n".join(str(section) for section in sections) + "\n"


def _way_on(seen: Overview, address: str, uri: str | None) -> str:
    place, name = _place(seen) if uri is None else above(uri)
    return shlex.join(run_again(seen.experiment, name, place, address))


def _confirm(seen: Overview, manifest: Mapping[str, Any], uri: str | None) -> str:
    """Return how to confirm a study; nothing where it cannot be now, or is a confirmation."""
    budget = manifest.get("budget", {})
    if seen.state != "finished" or seen.best is None or uri is not None:
        return ""
    # A sweep is judged by the weights of its trials, which no copy of a job's study has.
    unjudged = repeats(budget) and not any(seen.folder.glob("trials/*/best.pt"))
    if budget.get("configurations") or unjudged:
        return ""
    place, name = _place(seen)
    return f"; confirm it by {shlex.join(confirm_words(name, place))}"


def _place(seen: Overview) -> tuple[str, str]:
    folder = by_name(seen.folder)
    return str(folder.parent), folder.name


def _facts(
    seen: Overview, manifest: Mapping[str, Any], uri: str | None
) -> Iterator[tuple[str, str]]:
    yield "study", uri or str(seen.folder)
    yield "state", f"{seen.state}: {seen.reason}" if seen.reason else seen.state
    yield "experiment", str(manifest.get("experiment"))
    yield "trials", _progress(seen)
    ago = "" if seen.age_s is None else f" ({age(seen.age_s)} ago)"
    yield "begun", f"{manifest.get('created')}{ago}"
    yield "on disk", size(seen.bytes)
    data = manifest.get("data", {})
    sizes = ", ".join(f"{count} {split}" for split, count in data.get("sizes", {}).items())
    unreal = "" if data.get("real", True) else f", not the real {data.get('dataset')}"
    yield "data", f"{data.get('kind')} {data.get('location', '')}: {sizes} images{unreal}"
    yield "classes", ", ".join(str(name) for name in data.get("classes", ()))
    budget = manifest.get("budget", {})
    words = ("max_epochs", "seed", "sampler", "stopper", "precision")
    yield "plan", settings({name: budget.get(name) for name in words})
    if budget.get("fixed"):
        yield "held", settings(budget["fixed"])
    if budget.get("sweep"):
        yield "sweep", ", ".join(budget["sweep"])
    for each in budget.get("warm_start", ()):
        yield "warm start", f"{each['study']} trial {each['trial']}: {settings(each['config'])}"
    if manifest.get("weights"):
        yield "weights", f"{manifest['weights']['source']} {manifest['weights']['path']}"
    yield "command", shlex.join(str(word) for word in manifest.get("command", ()))
    yield "versions", settings(manifest.get("versions", {}))
    yield "commit", str(manifest.get("git_commit"))


def _confirmed_lines(folder: Path, budget: Mapping[str, Any], how: str) -> list[str]:
    try:
        found = read_confirmation(folder)
    except TrellisError as error:
        return [str(error)]
    if found is None:
        return [f"not confirmed yet: {unconfirmed(budget)}{how}"]
    lines = []
    for each in found["configurations"]:
        test = each["test_accuracy"]
        mark = " (recommended)" if each["configuration"] == found.get("recommended") else ""
        mark += " (unsafe: infeasible or stopped on some seed)" if each.get("unsafe") else ""
        mark += " (few seeds: not compared)" if each.get("few_seeds") else ""
        lines.append(
            f"confirmed on the test split{mark}: {interval(test)}, {json.dumps(each['config'])}"
        )
    return lines


def unconfirmed(budget: Mapping[str, Any]) -> str:
    """Return what numbers are worth that are not confirmed; `budget` is of study.json."""
    seeds = int(budget.get("seeds") or 1)
    alone = f"validation alone has judged the {seeds} seeds of each configuration"
    return alone if seeds > 1 else "one seed decides nothing"


def interval(summary: Mapping[str, Any]) -> str:
    """Return a mean with its 95 % interval and n, as confirm.json has them."""
    mean, n = f"{summary['mean']:.4f}", summary["n"]
    if summary.get("low") is None:
        return f"{mean} (n = {n}: no interval)"
    # Of few seeds that differ much the interval of the mean passes what an accuracy can be.
    low, high = max(0.0, summary["low"]), min(1.0, summary["high"])
    return f"{mean} (95 % interval {low:.4f} to {high:.4f}, n = {n} seeds)"
