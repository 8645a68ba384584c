"""What search.confirm does: choose, train on fresh seeds, open the test split, judge, show.

The training is a study of its own in `<study>/confirm`, run and resumed as any other.
"""

import argparse
import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from search import options
from search.broken import ended_early
from search.catalog import find
from search.confirm import PASSED_ON
from search.confirmed import JSON_NAME
from search.contenders import (
    Contender,
    best_contenders,
    check_known,
    listed_contenders,
    training_plan,
)
from search.domains import config_key
from search.errors import EXIT_DONE, ResumeRefused, StudyFailed, UsageError
from search.experiment import Experiment
from search.interrupts import EndEarly, Interrupts
from search.judgement import judged, unfinished
from search.limits import read_limits
from search.manifest import address_of, read_manifest
from search.options import Mistakes
from search.own_words import in_own_words
from search.past import read_records
from search.places import is_remote, local_path
from search.plain import check_plain
from search.plan import repeats
from search.planned import trials_in_all
from search.progress import say
from search.records import Record
from search.request import Request, check
from search.resolve import resolve_study
from search.resources import this_machine
from search.resuming import run_again, take_over
from search.session import Session

FOLDER_NAME = "confirm"
_TOP, _SEEDS = 5, 5


def confirm(arguments: argparse.Namespace) -> int:
    """Do what the arguments ask for; return the exit code.

    Raises:
        TrellisError: bad input, a study that holds a link, a refused resume, or a study that
            could not do its job.
    """
    wrong = Mistakes()
    read_limits(arguments, this_machine(), wrong)
    top = wrong.parse("--top", arguments.top, options.at_least(1))
    seeds = wrong.parse("--seeds", arguments.seeds, options.at_least(1))
    if is_remote(arguments.results_dir) or is_remote(arguments.study):
        wrong.append("search.confirm takes a folder: copy the study in the store to one")
    if wrong:
        raise UsageError(wrong)
    root = resolve_study(arguments.study, local_path(arguments.results_dir))
    root = root.absolute()
    check_plain(root)
    manifest = read_manifest(root / "study.json")
    experiment = find(manifest["experiment"])
    if repeats(manifest["budget"]):
        if top is not None or seeds is not None:
            raise UsageError([f"{root.name} is a sweep over seeds: --top and --seeds go with a "
                              "search alone"])  # fmt: skip
        with in_own_words(root, root):
            return _confirm_sweep(arguments, root, manifest, experiment)
    if arguments.partial:
        raise UsageError(["--partial goes with a sweep over seeds alone"])
    with in_own_words(root, root / FOLDER_NAME):
        return _confirm_search(arguments, root, manifest, experiment, top, seeds)


def _confirm_sweep(
    arguments: argparse.Namespace, root: Path, manifest: Mapping[str, Any], experiment: Experiment
) -> int:
    records = read_records(root)
    budget = manifest["budget"]
    left = unfinished(records, budget["trials"])
    if left and not arguments.partial:
        given = _kept(arguments)
        address = given.pop("--address", address_of(manifest))
        words = run_again(experiment.name, root.name, str(root.parent), address)
        raise StudyFailed(
            f"{left} of {budget['trials']} trials of {root.name} are still to come: finish it by "
            f"{shlex.join(chain(words, *given.items()))}, or give --partial"
        )
    request, interrupts = _request(arguments, root.parent, root.name, manifest, resume=True)
    chosen = listed_contenders(experiment, budget["fixed"], [r.config for r in records])
    with interrupts.caught():
        return judged(request, root, root, manifest, chosen, interrupts)


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
    if not resume and (root / JSON_NAME).exists():
        say(
            f"note: it was confirmed before, and {nested} is not here: all of it is trained anew, "
            "and what comes out else is judged anew; confirm.json has what was found"
        )
    chosen = best_contenders(experiment, budget["fixed"], records, top or _TOP)
    if old is not None:
        chosen = _as_begun(old, chosen, top, seeds, experiment, records, nested)
    else:
        check_known(root.name, experiment, manifest, chosen)
        plan = training_plan(budget, chosen, seeds or _SEEDS)
        had = manifest.get("resources", {}).items()
        # Memory is divided anew, among other trials than those of the search.
        kept = {name: value for name, value in had if name not in ("memory_per_trial", "at_once")}
        content = json.loads(json.dumps(plan.as_json()))
        old = {**manifest, "budget": content, "resources": kept}
    request, interrupts = _request(arguments, root, FOLDER_NAME, old, resume)
    begun = (_top_of(old), old["budget"]["seeds"]) if resume else (top or _TOP, seeds)
    request = replace(request, again=_again(arguments, *begun))
    with interrupts.caught():
        code = Session(request, interrupts, old).run()
        if code != EXIT_DONE or not (nested / "study.json").is_file():  # time was up before that
            return code
        try:
            to_come = unfinished(read_records(nested), request.plan.trials)
        except (EndEarly, KeyboardInterrupt) as end:
            return ended_early(end, "go on by the same command")
        if to_come:
            return code
        return judged(request, root, nested, manifest, chosen, interrupts)


def _again(
    arguments: argparse.Namespace, top: int | str | None, seeds: int | None
) -> tuple[str, ...]:
    """Return the command that goes on; study.json keeps it, and has the rest."""
    words = ["python", "-m", "search.confirm", str(arguments.study)]
    words += [] if top is None else ["--top", str(top)]
    words += [] if seeds is None else ["--seeds", str(seeds)]
    if arguments.results_dir != "results":
        words += ["--results-dir", arguments.results_dir]
    return (*words, *chain.from_iterable(_kept(arguments).items()))


def _kept(arguments: argparse.Namespace) -> dict[str, str]:
    """Return of the options for the training what the command that goes on has, too."""
    given = _passed_on(arguments)
    given.pop("--time-budget", None)
    return given


def _passed_on(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the options for the training that were given."""
    values = {name: getattr(arguments, name[2:].replace("-", "_")) for name, _, _ in PASSED_ON}
    return {name: value for name, value in values.items() if value is not None}


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
    if top is not None and not _begun_with(old, top, now, had):
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


def _top_of(old: Mapping[str, Any]) -> str | None:
    """Return the --top that a confirmation was begun with; None where it does not tell."""
    command = [str(word) for word in old.get("command", ())]
    return command[command.index("--top") + 1] if "--top" in command[:-1] else None


def _begun_with(
    old: Mapping[str, Any], top: int, now: Sequence[Contender], had: Collection[str]
) -> bool:
    """Tell whether a confirmation of the configurations `had` is one of the best `top`.

    So it is where it was begun with that number, or with one that chooses the same; a search that
    had fewer has them all. Of older ones, which do not say, their number is all there is.
    """
    if had == {config_key(each.config) for each in now}:
        return True
    if (begun := _top_of(old)) is not None:
        return begun == str(top)
    # The best K, and the published one where it is not among them.
    published = any(each.published and config_key(each.config) in had for each in now)
    return len(had) - top in ((0, 1) if published else (0,))


def _request(
    arguments: argparse.Namespace, results: Path, name: str, old: Mapping[str, Any], resume: bool
) -> tuple[Request, Interrupts]:
    """Return the request of the training, as search.run would have it."""
    words = [str(old["experiment"]), "--study", name, "--results-dir", str(results)]
    words += chain.from_iterable(_passed_on(arguments).items())
    given = options.build_parser().parse_args(words)
    given.resume = resume
    take_over(given, old)
    request = check(given, old)
    return request, Interrupts(request.time_budget_s)
