"""What a run of search.run tells its user before and after the search itself."""

import math
import statistics
from collections.abc import Collection, Sequence

from search.book import Book
from search.confirmed import JSON_NAME
from search.errors import EXIT_DONE, StudyFailed
from search.experiment import images_of
from search.gpus import unused
from search.names import ACCURACY
from search.plan import (
    is_listed,
    most_epochs,
    names_in_force,
    not_as_published,
    published,
    rungs_in_reach,
)
from search.planned import trials_of
from search.preparing import say_images
from search.progress import clock, say, settings
from search.records import Record
from search.request import Request
from search.resources import Resources, cut_note, describe
from search.resuming import confirm_command
from search.sharing import say_saved
from trainables.data import Data
from trainables.data.folder_scan import listed


def say_resources(request: Request, resources: Resources) -> None:
    """Tell what every trial gets."""
    cut = cut_note(request.asked, resources)
    say(describe(resources) + (f" ({cut})" if cut else ""))
    if request.address == "local" and request.asked.gpus_per_trial is None and (why := unused()):
        say(f"note: there is a GPU, and trials run on CPUs: {why}")


def announce(request: Request, data: Data) -> None:
    """Tell what is going to be searched, on what."""
    plan = request.plan
    images = images_of(data.spec.dataset, data.spec.kind)
    sizes = ", ".join(f"{n} {split}" for split, n in data.sizes.items())
    say(f"{request.experiment.name}: {images}, {sizes} images")
    if data.spec.kind == "folder":
        say(f"{len(data.classes)} classes: {listed(data.classes)}")
    for note in data.notes:
        say(f"note: {note}")
    if request.dry_run:  # else it is told once they are made
        say_images(request, data)
    by = f"a sweep of {', '.join(plan.sweep)}" if plan.sweep else f"sampler {plan.sampler}"
    how = f"{by}, stopper {stops(request)}, seed {plan.seed}"
    if plan.repeats:
        how = f"{plan.trials // plan.seeds} configurations, each on {plan.seeds} seeds"
    say(f"{plan.trials} trials of at most {plan.max_epochs} epochs; {how}")
    total = trials_of(request.experiment, plan.as_json(), request.experiment.defaults())
    if total < plan.trials:
        say(f"note: there are {total} configurations; the study ends when it has them all")
    most = most_epochs(request.experiment, plan)
    if most > plan.max_epochs and not is_listed(plan):
        stages = " and ".join(request.experiment.stage_epochs)
        say(f"note: where {stages} ask for more than {plan.max_epochs} epochs, the last are cut")
    if plan.fixed:
        say(f"held: {settings(plan.fixed)}")
        in_force = names_in_force(request.experiment, plan)
        if idle := ", ".join(name for name in plan.fixed if name not in in_force):
            say(f"note: {idle} is in force in no trial")
    if not plan.configurations:
        first = settings(published(request.experiment, plan))
        others = ", ".join(not_as_published(request.experiment, plan))
        but = f", but for {others}" if others else ""
        say(f"trial 0 is the published configuration{but}: {first}")


def stops(request: Request) -> str:
    """Return the stopper, and the epochs at which it may stop a trial."""
    plan, rungs = request.plan, rungs_in_reach(request.experiment, request.plan)
    if not rungs:
        return plan.stopper if plan.stopper == "none" else f"{plan.stopper} (stops none)"
    each = ", ".join(map(str, rungs))
    when = f"from epoch {rungs[0]} on" if plan.stopper == "median" else f"at epochs {each}"
    last = " of the last stage" if request.experiment.stage_epochs else ""
    by = f", by {plan.compared}" if plan.compared != ACCURACY else ""
    return f"{plan.stopper} ({when}{last}{by})"


def show_result(request: Request, book: Book, code: int, elapsed_s: float) -> None:
    """Print the table; a study that was to come to an end must have a trial that did."""
    from analysis.table import render_best

    records = list(book.records.values())
    if any(record.counts for record in records):
        print(render_best(request.folder, 5))
        print(f"study: {request.shown}")
        say_times(records, book.in_one_piece, elapsed_s)
        say_saved(book, request.folder)
        if not book.unfinished:
            _say_how_to_confirm(request)
    elif code == EXIT_DONE and not book.unfinished:
        raise StudyFailed(
            f"none of {len(records)} trials finished; the last error: {records[-1].error} "
            f"(all of them in {request.shown}/trials.csv)"
        )


def _say_how_to_confirm(request: Request) -> None:
    """Tell what the best is worth so far. In a store, and in a job, nothing is confirmed."""
    is_confirmation = bool(request.plan.configurations)
    done = (request.folder / JSON_NAME).exists()
    if request.store or request.way_on or is_confirmation or done:
        return
    how = "by validation alone" if request.plan.repeats else "by one seed"
    say(f"the best was chosen {how}, and so looks better than it is; it is confirmed by")
    say(f"  {confirm_command(request)}")


def say_times(records: Sequence[Record], in_one_piece: Collection[int], elapsed_s: float) -> None:
    """Tell how long it took. One that was interrupted has trained epochs twice: no overhead."""
    over = [
        record.wall_s - sum(row["epoch_s"] + row.get("prepared_s", 0.0) for row in record.rows)
        for record in records
        if record.number in in_one_piece and record.counts and not math.isnan(record.wall_s)
    ]
    epochs = sum(len(record.rows) for record in records)
    say(f"{clock(elapsed_s)} in all; {len(records)} trials, {epochs} epochs in the study")
    if over:
        say(f"overhead per trial beyond training: median {statistics.median(over):.2f} s")
