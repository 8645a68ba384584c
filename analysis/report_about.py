"""Sections of a report on the study itself: what ran, on what, and how to repeat it."""

import shlex
from pathlib import Path
from typing import Any

from analysis.report_html import (
    Html,
    code,
    definitions,
    join,
    more,
    notice,
    paragraph,
    section,
    table,
    tag,
)
from analysis.report_study import ReportedStudy
from search.experiment import images_of
from search.names import ACCURACY

_SPLITS = ("train", "validation", "test")


def warnings_of(study: ReportedStudy) -> list[Html]:
    """Return what a reader must know before any number: data or weights that are not real."""
    found = []
    if study.data.get("real") is False or study.data.get("kind") == "embedded":
        found.append(
            f"Embedded data, not the real {study.data.get('dataset', 'data')}: made by this "
            "package for trying it out. No number here says anything about real images."
        )
    if (study.manifest.get("weights") or {}).get("source") == "random":
        found.append("The weights are random, not pretrained: for trying it out only.")
    return [notice(text, kind="warn") for text in found]


def state(study: ReportedStudy) -> str:
    """Say in a word or two whether the study has ended."""
    running = int((study.trials["status"] == "running").sum())
    ended, planned = len(study.trials) - running, study.planned
    if running:
        return f"unfinished: {running} trial{'s' if running > 1 else ''} running or interrupted"
    if ended < planned:
        return f"unfinished: {ended} of {planned} trials"
    return "finished"


def header(study: ReportedStudy, tiles: Html, contents: Html) -> Html:
    """Return the head of the page."""
    experiment, name = study.experiment, study.manifest.get("experiment", "?")
    kind = str(study.data.get("kind"))
    said = f"{_sentence(experiment.about(kind))}. " if experiment else ""
    begun = str(study.manifest.get("created", "?")).replace("T", " ").replace("+00:00", " UTC")
    return tag(
        "header",
        tag(
            "div",
            tag(
                "div",
                f"Study report \u00b7 {name}",
                class_="over",
            ),
            tag("h1", study.name),
            paragraph(f"{said}{state(study).capitalize()}; begun {begun}.", class_="lead"),
            *warnings_of(study),
            *(notice(note) for note in study.notes),
            tiles,
            contents,
        ),
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(" .,")


def about_section(study: ReportedStudy) -> Html:
    """Return what ran."""
    pairs = [
        ("experiment", _experiment(study)),
        ("data", _data(study)),
        ("classes", ", ".join(map(str, study.data.get("classes") or ["?"]))),
        ("plan", _plan(study)),
        ("held fixed", _settings(study.budget.get("fixed") or {}) or "nothing"),
        ("rungs", _rungs(study)),
        ("weights", _weights(study)),
        ("machine", _machine(study)),
        ("versions", ", ".join(f"{k} {v}" for k, v in _versions(study).items()) or "not recorded"),
    ]
    space, defaults = study.manifest.get("space") or {}, study.manifest.get("defaults") or {}
    rows = [[name, domain, _plain(defaults.get(name))] for name, domain in space.items()]
    notes = [notice(note) for note in study.data.get("notes") or ()]
    return section(
        "about",
        "What ran",
        definitions([(name, value) for name, value in pairs if value is not None]),
        *notes,
        more("The search space", table(["hyperparameter", "values", "published"], rows)),
    )


def _rungs(study: ReportedStudy) -> str:
    """Return the epochs at which trials are compared, and by what: early stopping goes by it."""
    rungs = ", ".join(map(str, study.budget.get("rungs") or []))
    return f"{rungs}, by {study.budget.get('compared', ACCURACY)}" if rungs else "none"


def _plain(value: object) -> str:
    return "-" if value is None else str(value)


def _experiment(study: ReportedStudy) -> str:
    known, name = study.experiment, str(study.manifest.get("experiment", "?"))
    if known is None or known.published is None:
        return name
    return f"{name} (published: {known.published_split} accuracy {known.published:.4f})"


def _data(study: ReportedStudy) -> str:
    data = study.data
    sizes = data.get("sizes") or {}
    counts = ", ".join(f"{sizes[s]:,} {s}" for s in _SPLITS if s in sizes)
    print_ = str(data.get("fingerprint", ""))[:12]
    images = images_of(data.get("dataset", "?"), data.get("kind", "?"))
    what = f"{images}: {counts} images"
    return f"{what}; fingerprint {print_}" if print_ else what


def _plan(study: ReportedStudy) -> str:
    plan = study.budget
    parts = [
        f"{plan.get('trials', '?')} trials of at most {plan.get('max_epochs', '?')} epochs",
        f"sampler {plan.get('sampler', '?')}",
        f"stopper {plan.get('stopper', '?')}",
        f"seed {plan.get('seed', '?')}",
    ]
    if plan.get("sweep"):
        parts.append(f"a sweep of {', '.join(map(str, plan['sweep']))}, one at a time")
    if int(plan.get("seeds") or 1) > 1:
        parts.append(f"{plan['seeds']} seeds each")
    return ", ".join(parts)


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _weights(study: ReportedStudy) -> str | None:
    weights = study.manifest.get("weights")
    if not weights:
        return None
    return f"{weights.get('source')}, fingerprint {str(weights.get('fingerprint'))[:12]}"


def _machine(study: ReportedStudy) -> str:
    machine, resources = study.manifest.get("machine"), study.manifest.get("resources") or {}
    parts = [_settings(machine)] if machine else ["not recorded"]
    given = {k: v for k, v in resources.items() if v is not None}
    return "; ".join([*parts, *([_settings(given)] if given else [])])


def _versions(study: ReportedStudy) -> dict[str, str]:
    return dict(study.manifest.get("versions") or {})


def reproduce_section(study: ReportedStudy, uri: str | None) -> Html:
    """Return the exact command, and the commit of the code; `uri` of a study in a store."""
    command = study.manifest.get("command") or []
    commit = study.manifest.get("git_commit")
    lines = [code(shlex.join(map(str, command)))] if command else []
    said = f"Code: git commit {commit}." if commit else "The commit of the code is not recorded."
    if commit and str(commit).endswith("+changes"):
        said = (
            f"Code: git commit {str(commit).removesuffix('+changes')}, with changes that are not "
            "in it: exactly this code cannot be had again."
        )
    found = (Path("results") / study.name).resolve() == study.folder.resolve()
    place = uri or (study.name if found else str(study.folder))
    again = f"python -m analysis.report {shlex.quote(place)}"
    return section(
        "reproduce",
        "How to reproduce",
        *(lines or [notice("The command is not recorded.", kind="empty")]),
        paragraph(said),
        paragraph(
            "The same code, data and seed propose the same first trials; with one trial at a time "
            "all numbers are the same. This page:"
        ),
        code(again),
    )


def footer(study: ReportedStudy, made: str) -> Html:
    """Return the foot of the page."""
    said = f"Made {made} from {study.name}. Figures are beside this page in figures/."
    return tag("footer", paragraph(join((said,))))
