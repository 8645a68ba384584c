"""One run of search.run after its words are read: check, prepare data, search, show."""

import argparse
import math
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search import study
from search.errors import EXIT_DONE, EXIT_INTERRUPTED, StudyFailed
from search.interrupts import EndEarly, Interrupts
from search.options import study_name
from search.plan import image_sizes, published
from search.progress import clock, say, settings
from search.request import Request, check
from trainables.data import Data, open_data, prepare


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments ask for; return the exit code.

    Raises:
        TrellisError: bad input, a refused resume, or a study that could not do its job.
    """
    request = check(arguments, _old_manifest(arguments))
    data = open_data(request.data, _show_progress)
    content = study.manifest(request.experiment, request.plan, data, study.command_line())
    _announce(request, data)
    if request.dry_run:
        say("dry run: nothing was started or written")
        return EXIT_DONE
    opened = (study.go_on if request.resume else study.begin)(
        request.experiment, request.plan, request.folder, content
    )
    if opened.note:
        say(opened.note)
    began = time.monotonic()
    try:
        code = _search(request, opened, data)
    finally:
        opened.close()
    _conclude(request, opened, time.monotonic() - began)
    if request.experiment.class_metrics and not opened.book.unfinished:
        _evaluate(request, opened, data)
    return code


def _old_manifest(arguments: argparse.Namespace) -> Mapping[str, Any] | None:
    if not arguments.resume or arguments.study is None:
        return None
    try:
        folder = Path(os.path.expanduser(arguments.results_dir), study_name(arguments.study))
    except ValueError:
        return None  # told with the other mistakes
    path = folder / "study.json"
    return study.read_manifest(path) if path.is_file() else None


def _announce(request: Request, data: Data) -> None:
    plan = request.plan
    kind = "" if data.real else f" ({data.spec.kind} data, not the real {data.spec.dataset})"
    sizes = ", ".join(f"{n} {split}" for split, n in data.sizes.items())
    say(f"{request.experiment.name}: {data.spec.dataset}{kind}, {sizes} images")
    for note in data.notes:
        say(f"note: {note}")
    say(
        f"{plan.trials} trials of at most {plan.max_epochs} epochs; sampler {plan.sampler}, "
        f"stopper {plan.stopper}, seed {plan.seed}"
    )
    if plan.fixed:
        say(f"held: {settings(plan.fixed)}")
    say(f"trial 0 is the published configuration: {settings(published(request.experiment, plan))}")


def _search(request: Request, opened: study.OpenStudy, data: Data) -> int:
    interrupts = Interrupts(request.time_budget_s)
    try:
        with interrupts.caught():
            if opened.book.unfinished:
                _prepare(request, data)
                interrupts.check()
                _on_ray(request, opened, data, interrupts)
    except EndEarly as end:
        return _ended_early(request, end)
    except KeyboardInterrupt:
        return _ended_early(request, EndEarly("interrupted", asked_for=False))
    return EXIT_DONE


def _prepare(request: Request, data: Data) -> None:
    done = prepare(data, image_sizes(request.experiment, request.plan), progress=_show_progress)
    say(
        f"data: {done.bytes / 1e6:.0f} MB in arrays shared by all trials, {done.built} made and "
        f"{done.reused} reused, {done.seconds:.1f} s"
    )
    for note in done.notes:
        say(f"note: {note}")


def _on_ray(request: Request, opened: study.OpenStudy, data: Data, interrupts: Interrupts) -> None:
    from search.runner import connected, run_trials

    say("starting Ray ..." if request.address == "local" else f"joining Ray {request.address} ...")
    with connected(request):
        interrupts.check()
        say(f"study: {request.folder}")
        run_trials(request, opened.book, data, interrupts)


def _ended_early(request: Request, end: EndEarly) -> int:
    from search.run import resume_command

    say(f"\n{end.reason}: everything is kept. Go on with")
    say(f"  {resume_command(request.folder, request.experiment.name)}")
    return EXIT_DONE if end.asked_for else EXIT_INTERRUPTED


def _conclude(request: Request, opened: study.OpenStudy, elapsed_s: float) -> None:
    from analysis.table import render_best

    records = list(opened.book.records.values())
    if not any(record.counts for record in records):
        ended = [record for record in records if record.status != "running"]
        if not ended:
            return
        raise StudyFailed(
            f"none of {len(ended)} trials finished; the last error: {ended[-1].error} "
            f"(all of them in {request.folder / 'trials.csv'})"
        )
    print(render_best(request.folder, 5))
    print(f"study: {request.folder}")
    _say_times(records, elapsed_s)


def _evaluate(request: Request, opened: study.OpenStudy, data: Data) -> None:
    from search.evaluation import EVALUATION_NAME, write_evaluation

    best = opened.book.best
    if best is None:
        return
    found = write_evaluation(
        request.experiment, request.folder, best, data, request.plan.precision
    )
    if found is None:
        say(f"note: no {EVALUATION_NAME}, since {request.folder} has no best.pt")
        return
    say(
        f"best model on {found['images']} validation images: accuracy {found['accuracy']:.4f}; "
        f"weighted F1 {found['f1_weighted']:.4f}, precision {found['precision_weighted']:.4f}, "
        f"recall {found['recall_weighted']:.4f} ({EVALUATION_NAME} has the confusion matrix)"
    )


def _say_times(records: list[Any], elapsed_s: float) -> None:
    over = [
        record.wall_s - sum(row["epoch_s"] for row in record.rows)
        for record in records
        if record.counts and not math.isnan(record.wall_s)
    ]
    epochs = sum(len(record.rows) for record in records)
    say(f"{clock(elapsed_s)} for {len(records)} trials, {epochs} epochs")
    if over:
        say(f"overhead per trial beyond training: median {statistics.median(over):.2f} s")


def _show_progress(what: str, done: int, total: int | None) -> None:
    """Show data progress: a line that renews itself on a terminal, every quarter elsewhere."""
    import sys

    share = f"{done} of {total}" if total else str(done)
    if sys.stderr.isatty():
        end = "\n" if total is not None and done >= total else ""
        print(f"\r{what}: {share}", end=end, file=sys.stderr, flush=True)
    elif total and done >= total:
        say(f"{what}: {share}")
