"""What search.confirm does: choose, train on fresh seeds, open the test split, judge, show.

The training is a study of its own in `<study>/confirm`, run and resumed as any other.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search import options
from search.catalog import find
from search.confirm import PASSED_ON
from search.contenders import Contender, best_contenders, listed_contenders
from search.domains import config_key
from search.errors import EXIT_DONE, ResumeRefused, StudyFailed, UsageError
from search.experiment import Experiment
from search.interrupts import EndEarly, Interrupts
from search.journal import own
from search.judging import Court, discard_weights, judge, keep_recommended, openings, read_rows
from search.manifest import read_manifest
from search.options import Mistakes
from search.past import read_records
from search.places import is_remote, local_path
from search.plan import Plan, repeats
from search.planned import trials_in_all
from search.progress import DataProgress, say
from search.records import Record
from search.request import Request, check
from search.resuming import take_over
from search.session import Session, ended_early
from search.verdict import JSON_NAME, verdict
from search.weights import find_weights_of
from trainables.data import Data, open_data, prepare
from trainables.files import replace_text

FOLDER_NAME = "confirm"
_TOP, _SEEDS = 5, 5


def confirm(arguments: argparse.Namespace) -> int:
    """Do what the arguments ask for; return the exit code.

    Raises:
        TrellisError: bad input, a refused resume, or a study that could not do its job.
    """
    from analysis.frames import resolve_study

    wrong = Mistakes()
    top = wrong.parse("--top", arguments.top, options.at_least(1))
    seeds = wrong.parse("--seeds", arguments.seeds, options.at_least(1))
    if is_remote(arguments.results_dir) or is_remote(arguments.study):
        wrong.append(
            f"{arguments.study}: a study in a store cannot be confirmed there; copy it here"
        )
    if wrong:
        raise UsageError(wrong)
    root = resolve_study(arguments.study, local_path(arguments.results_dir))
    root = root.absolute()
    manifest = read_manifest(root / "study.json")
    experiment = find(manifest["experiment"])
    if repeats(manifest["budget"]):
        if top is not None or seeds is not None:
            raise UsageError([f"{root.name} is a sweep over seeds: --top and --seeds go with a "
                              "search alone"])  # fmt: skip
        return _confirm_sweep(arguments, root, manifest, experiment)
    if arguments.partial:
        raise UsageError(["--partial goes with a sweep over seeds alone"])
    return _confirm_search(arguments, root, manifest, experiment, top, seeds)


def _confirm_sweep(
    arguments: argparse.Namespace, root: Path, manifest: Mapping[str, Any], experiment: Experiment
) -> int:
    records = read_records(root)
    budget = manifest["budget"]
    left = unfinished(records, budget["trials"])
    if left and not arguments.partial:
        raise StudyFailed(
            f"{left} of {budget['trials']} trials of {root.name} are still to come: finish it by "
            f"search.run {experiment.name} --study {root.name} --resume "
            f"--results-dir {root.parent}, or give --partial"
        )
    request, interrupts = _request(arguments, root.parent, root.name, manifest, resume=True)
    chosen = listed_contenders(experiment, budget["fixed"], [r.config for r in records])
    with interrupts.caught():
        return _judged(request, root, root, manifest, chosen, interrupts)


def _confirm_search(
    arguments: argparse.Namespace,
    root: Path,
    manifest: Mapping[str, Any],
    experiment: Experiment,
    top: int | None,
    seeds: int | None,
) -> int:
    nested = root / FOLDER_NAME
    resume = (nested / "study.json").is_file()
    old = read_manifest(nested / "study.json") if resume else None
    budget = manifest["budget"]
    records = read_records(root)
    if not any(record.counts for record in records):
        raise StudyFailed(f"{root.name} has no trial that finished: there is nothing to confirm")
    planned = trials_in_all(manifest)
    left = unfinished(records, planned)
    if left and not resume:
        say(f"note: {left} of {planned} trials of the search are still to come")
    chosen = best_contenders(experiment, budget["fixed"], records, top or _TOP)
    if old is not None:
        chosen = _as_begun(old, chosen, top, seeds, experiment, records, nested)
    else:
        plan = _plan(budget, manifest, chosen, seeds or _SEEDS)
        old = {**manifest, "budget": json.loads(json.dumps(plan.as_json()))}
    request, interrupts = _request(arguments, root, FOLDER_NAME, old, resume)
    request = replace(request, again=_again(arguments))
    with interrupts.caught():
        code = Session(request, interrupts, old).run()
        if code != EXIT_DONE or unfinished(read_records(nested), request.plan.trials):
            return code
        return _judged(request, root, nested, manifest, chosen, interrupts)


def _again(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the command that goes on; study.json has the rest."""
    words = ["python", "-m", "search.confirm", str(arguments.study)]
    if arguments.results_dir != "results":
        words += ["--results-dir", arguments.results_dir]
    words += ["--address", arguments.address] if arguments.address else []
    return tuple(words)


def _plan(
    budget: Mapping[str, Any], manifest: Mapping[str, Any], chosen: Sequence[Contender], seeds: int
) -> Plan:
    """Return the plan of the training: every contender on so many seeds, at full budget."""
    return Plan(
        trials=len(chosen) * seeds,
        max_epochs=budget["max_epochs"],
        seed=budget["seed"],
        stopper="none",
        precision=budget["precision"],
        fixed=budget["fixed"],
        seeds=seeds,
        configurations=tuple(dict(each.config) for each in chosen),
    )


def _as_begun(
    old: Mapping[str, Any],
    now: Sequence[Contender],
    top: int | None,
    seeds: int | None,
    experiment: Experiment,
    records: Sequence[Record],
    nested: Path,
) -> list[Contender]:
    """Return the contenders that the confirmation was begun with, if they are those asked for."""
    configs = old["budget"]["configurations"]
    had = {config_key(config) for config in configs}
    anew = f"remove {nested} to begin anew (the test split may then be opened once more)"
    if seeds not in (None, old["budget"]["seeds"]):
        raise ResumeRefused(
            f"--seeds {seeds}: it was begun with {old['budget']['seeds']} seeds; {anew}"
        )
    if top is not None and {config_key(each.config) for each in now} != had:
        raise ResumeRefused(f"--top {top}: it was begun with {len(had)} configurations; {anew}")
    every = best_contenders(experiment, old["budget"]["fixed"], records, len(records))
    searched = {config_key(each.config): each for each in every}
    if config_key(every[0].config) not in had:
        say(
            f"note: the search has found better since ({every[0].searched:.4f} on validation), "
            f"which is not among those confirmed; {anew}"
        )
    if not had <= set(searched):
        raise ResumeRefused(f"it was begun with configurations that the search has not; {anew}")
    return [
        replace(searched[config_key(config)], number=number)
        for number, config in enumerate(configs, 1)
    ]


def _request(
    arguments: argparse.Namespace, results: Path, name: str, old: Mapping[str, Any], resume: bool
) -> tuple[Request, Interrupts]:
    """Return the request of the training, as search.run would have it."""
    words = [str(old["experiment"]), "--study", name, "--results-dir", str(results)]
    for option, _, _ in PASSED_ON:
        value = getattr(arguments, option[2:].replace("-", "_"))
        words += [] if value is None else [option, value]
    given = options.build_parser().parse_args(words)
    given.resume = resume
    take_over(given, old)
    request = check(given, old)
    return request, Interrupts(request.time_budget_s)


def unfinished(records: Sequence[Record], trials: int) -> int:
    """Return how many of a study's trials are still to come, or running."""
    return trials - sum(record.status != "running" for record in records)


def _judged(
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
        court = _court(request, root, trials, manifest)
        _judge_rest(request, court, chosen, interrupts)
    except (EndEarly, KeyboardInterrupt) as end:
        say("")
        return ended_early(end, ": go on by the same command")
    finally:
        os.close(lock)
    return EXIT_DONE


def _court(request: Request, root: Path, trials: Path, manifest: Mapping[str, Any]) -> Court:
    data = open_data(request.data, DataProgress())
    if data.fingerprint != manifest["data"]["fingerprint"]:
        raise ResumeRefused(
            f"the data in {request.data.location or request.data.kind} is not what "
            f"{root.name} was trained on: its fingerprint is another"
        )
    kept = manifest.get("resources", {}).get("precision")
    weights = find_weights_of(request.experiment, request.weights)
    told = (manifest.get("weights") or {}).get("fingerprint")
    if weights is not None and weights.fingerprint != told:
        raise ResumeRefused(
            f"the weights {weights.path or weights.source} are not what {root.name} was trained "
            "from: their fingerprint is another"
        )
    return Court(request.experiment, root, trials, data, weights, kept or request.plan.precision)


def _judge_rest(
    request: Request, court: Court, chosen: Sequence[Contender], interrupts: Interrupts
) -> None:
    records = read_records(court.trials)
    before = openings(court.opened)
    if before:
        say(f"note: the test split was opened before: {', '.join(before)}")
    shown = DataProgress()

    def progress(what: str, done: int, total: int | None) -> None:
        interrupts.check()
        shown(what, done, total)

    if len(read_rows(court.csv)) < sum(record.status == "completed" for record in records):
        sizes = {c.config.get("image_size", request.experiment.image_size) for c in chosen}
        prepare(court.data, sorted(sizes, key=str), splits=("test",), progress=shown)
    rows = judge(court, chosen, records, progress)
    if not rows:
        raise StudyFailed(
            f"no trial of {court.trials} was completed; see {court.trials / 'trials.csv'}"
        )
    _say_missing(records)
    content = verdict(chosen, rows, _about(court, request), _unsafe(chosen, records))
    replace_text(court.root / JSON_NAME, json.dumps(content, indent=2) + "\n")
    keep_recommended(court, rows, records, content["recommended"])
    if not unfinished(records, request.plan.trials):  # or another may be recommended then
        discard_weights(court, rows)
    from analysis.confirm_table import render

    print(render(content))
    print(f"all of it: {court.csv} and {court.root / JSON_NAME}")


def _about(court: Court, request: Request) -> dict[str, Any]:
    data: Data = court.data
    return {
        "experiment": request.experiment.name,
        "study": court.root.name,
        "data": f"{data.spec.kind}:{data.spec.dataset}",
        "real_data": data.real,
        "opened": openings(court.opened),
        "classes": list(data.classes),
    }


def _unsafe(chosen: Sequence[Contender], records: Sequence[Record]) -> set[int]:
    """Return the contenders' numbers that lack a seed which would have been worse; tell of them.

    Those that were infeasible on some seed, or stopped: the other seeds alone look too good.
    """
    numbers = {config_key(each.config): each.number for each in chosen}
    found = set()
    for status in ("infeasible", "stopped"):
        of = {numbers[config_key(r.config)] for r in records if r.status == status}
        for number in sorted(of):
            say(f"note: configuration {number} was {status} on some seed: not to be recommended")
        found |= of
    return found


def _say_missing(records: Sequence[Record]) -> None:
    for record in records:
        if record.status in ("failed", "infeasible"):
            say(f"note: trial {record.number} was {record.status}, left out: {record.error}")
        elif record.status == "stopped":
            epochs = len(record.rows)
            say(f"note: trial {record.number} was stopped after {epochs} epochs, left out")
