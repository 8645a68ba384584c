"""What search.confirm does once all is trained: it opens the test split, judges, and shows."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.broken import ended_early
from search.confirmed import JSON_NAME
from search.contenders import Contender
from search.domains import config_key
from search.errors import EXIT_DONE, StudyFailed
from search.evaluation import as_text
from search.interrupts import EndEarly, Interrupts
from search.journal import own
from search.judging import Court, discard_weights, judge, openings, without_row
from search.manifest import check_inputs
from search.past import read_records
from search.plan import not_as_published
from search.progress import DataProgress, say
from search.recommended import keep_recommended
from search.records import Record
from search.request import Request
from search.verdict import verdict
from search.weights import find_weights_of
from trainables.data import Data, open_data, prepare
from trainables.files import replace_text


def unfinished(records: Sequence[Record], trials: int) -> int:
    """Return how many of a study's trials are still to come, or running."""
    return trials - sum(record.status != "running" for record in records)


def judged(
    request: Request,
    root: Path,
    trials: Path,
    manifest: Mapping[str, Any],
    chosen: Sequence[Contender],
    interrupts: Interrupts,
) -> int:
    """Open the test split for trials that have no row yet, write confirm.json, print the table."""
    lock = own(trials)
    try:
        court = court_of(request, root, trials, manifest)
        _judge_rest(request, court, chosen, interrupts)
    except (EndEarly, KeyboardInterrupt) as end:
        say("")
        return ended_early(end, "go on by the same command")
    finally:
        os.close(lock)
    return EXIT_DONE


def court_of(request: Request, root: Path, trials: Path, manifest: Mapping[str, Any]) -> Court:
    """Return where trials are judged.

    Raises:
        ResumeRefused: data or weights are not those that the trials had.
    """
    data = open_data(request.data, DataProgress())
    weights = find_weights_of(request.experiment, request.weights)
    check_inputs(root.name, manifest, data, weights)
    kept = manifest.get("resources", {}).get("precision")
    precision = kept or request.plan.precision
    return Court(request.experiment, root, trials, data, weights, precision, request.device)


def _judge_rest(
    request: Request, court: Court, chosen: Sequence[Contender], interrupts: Interrupts
) -> None:
    records = read_records(court.trials)
    before = openings(court.opened)
    if before:
        say(f"note: the test split was opened before: {', '.join(before)}")
    progress = interrupts.checked(DataProgress())
    if without_row(court, records):
        sizes = {c.config.get("image_size", request.experiment.image_size) for c in chosen}
        prepare(court.data, sorted(sizes, key=str), splits=("test",), progress=progress)
    rows = judge(court, chosen, records, progress)
    if not rows:
        raise StudyFailed(
            f"no trial of {court.trials} was completed; see {court.trials / 'trials.csv'}"
        )
    say_missing(records)
    about, lost = _about(court, request, chosen), unsafe(chosen, records)
    content = verdict(chosen, rows, about, lost, request.plan.seeds)
    replace_text(court.root / JSON_NAME, as_text(content))
    keep_recommended(court, rows, records, content["recommended"])
    if not unfinished(records, request.plan.trials):  # or another may be recommended then
        discard_weights(court, rows)
    from analysis.confirm_table import render

    print(render(content))
    print(f"all of it: {court.csv} and {court.root / JSON_NAME}")


def _about(court: Court, request: Request, chosen: Sequence[Contender]) -> dict[str, Any]:
    data: Data = court.data
    return {
        "experiment": request.experiment.name,
        "study": court.root.name,
        "data": f"{data.spec.kind}:{data.spec.dataset}",
        "real_data": data.real,
        "weights": court.weights.source if court.weights else None,
        "opened": openings(court.opened),
        "common_to_seeds": court.experiment.common_to([each.config for each in chosen]),
        "published_but_for": not_as_published(request.experiment, request.plan),
        "classes": list(data.classes),
    }


def unsafe(chosen: Sequence[Contender], records: Sequence[Record]) -> set[int]:
    """Return the contenders' numbers that lack a seed which would have been worse; tell of them.

    Those that were infeasible on some seed, or stopped: the other seeds alone look too good. They
    are recommended only if that is so of all.
    """
    numbers = {config_key(each.config): each.number for each in chosen}
    found = set()
    for status in ("infeasible", "stopped"):
        of = {numbers[config_key(r.config)] for r in records if r.status == status}
        for number in sorted(of):
            told = f"note: configuration {number} was {status} on some seed: "
            say(f"{told}the others stand before it")
        found |= of
    return found


def say_missing(records: Sequence[Record]) -> None:
    """Tell which trials have no row in the table, and why."""
    for record in records:
        if record.status in ("failed", "infeasible"):
            say(f"note: trial {record.number} was {record.status}, left out: {record.error}")
        elif record.status == "stopped":
            epochs = len(record.rows)
            say(f"note: trial {record.number} was stopped after {epochs} epochs, left out")
