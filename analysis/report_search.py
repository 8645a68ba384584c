"""Sections of a report on the search: progress, curves, hyperparameters, costs, outcomes."""

import math
from collections import Counter

import pandas as pd

from analysis.figures import (
    best_so_far,
    costs,
    importance,
    learning_curves,
    parallel,
    parameters,
    savings,
    style,
)
from analysis.frames import CONFIG, config_names
from analysis.layout import show
from analysis.report_best import percents
from analysis.report_gallery import Gallery
from analysis.report_html import Html, more, notice, paragraph, section, table, tag
from analysis.report_study import ReportedStudy
from analysis.summary import best, finished
from search.names import ACCURACY
from search.progress import clock

_MOST_TRIALS = 1000  # in the table: more would make up most of the page
_MOST_ERRORS = 12  # different ones that are listed
_SIGNS = {
    "completed": "\u25cf",
    "stopped": "\u25bc",
    "infeasible": "\u2716",
    "failed": "\u271a",
    "running": "\u25cb",
}
_NOTHING = "No trial has finished yet."


def key(study: ReportedStudy) -> Html:
    """Return what the colours and shapes of statuses mean, of those that the study has."""
    found = [status for status in style.STATUS_COLOUR if (study.trials["status"] == status).any()]
    marks = [
        tag("span", tag("b", _SIGNS[status], style=f"color:{style.colour(status)}"), f" {status}")
        for status in found
    ]
    return paragraph(*marks, class_="key")


def progress_section(study: ReportedStudy, gallery: Gallery) -> Html:
    """Return the best so far, and learning curves."""
    body: list[object] = []
    rows = best_so_far.data(study.trials, study.ended_s())
    if rows.empty:
        body.append(notice(_NOTHING, kind="empty"))
    else:
        caption = "Green: best validation accuracy so far, against trials and against time."
        if rows["x_title"].iloc[0] == best_so_far.WALL:
            caption += " Time includes pauses between a kill and --resume."
        body.append(key(study))
        body.append(
            gallery.add(
                "best_so_far", lambda: best_so_far.draw(rows), caption, best_so_far.charts(rows)
            )
        )
    body.append(tag("h3", "Learning curves"))
    body.append(_curves(study, gallery))
    return section("progress", "Progress", *body)


def _curves(study: ReportedStudy, gallery: Gallery) -> Html:
    rungs = [int(rung) for rung in study.budget.get("rungs") or ()]
    median = study.budget.get("stopper") == "median"  # which compares after every epoch from there
    rungs, named = (rungs[:1], "from epoch") if median else (rungs, "rung")
    curves = learning_curves.data(
        study.trials, study.curves, rungs, study.last_stage, named, study.before_last_stage()
    )
    if curves.rows.empty:
        return notice("No epoch has been trained yet.", kind="empty")
    caption = "Validation accuracy by epoch. Triangles: trials stopped there."
    if rungs and median:
        caption += f" Dotted: the epoch from which on trials are compared, {rungs[0]}."
    elif rungs:
        said = ", ".join(map(str, rungs))
        caption += f" Dotted: rungs, where trials are compared (epochs {said})"
        both = study.budget.get("compared", ACCURACY) != ACCURACY
        caption += ", by their loss, too, which is not drawn." if both else "."
    if curves.staged:
        caption += f" Epochs count from the begin of stage {study.last_stage}, as rungs do."
    return gallery.add(
        "learning_curves",
        lambda: learning_curves.draw(curves),
        caption,
        learning_curves.charts(curves),
    )


def parameters_section(study: ReportedStudy, gallery: Gallery) -> Html:
    """Return every hyperparameter against accuracy, its importance, and parallel coordinates."""
    title, space = "Hyperparameters", study.manifest.get("space") or {}
    axes = parameters.data(study.trials, space)
    if not axes:
        said = "Finished trials do not differ in any hyperparameter: there is nothing to compare."
        return section("parameters", title, notice(said, kind="empty"))
    caption = (
        "Each finished trial by one value, whatever its others were. Stopped trials had fewer "
        "epochs, so they lie lower."
    )
    together = parallel.data(study.trials, space)
    return section(
        "parameters",
        title,
        key(study),
        gallery.add("parameters", lambda: parameters.draw(axes), caption, parameters.charts(axes)),
        tag("h3", "Importance"),
        *_importance(study, gallery),
        tag("h3", "Parallel coordinates"),
        gallery.add(
            "parallel_coordinates",
            lambda: parallel.draw(together),
            "A line per finished trial, orange for the best. On a screen: drag along an axis to "
            "see some trials alone, drag its name to move it.",
            parallel.charts(together),
        ),
    )


def _importance(study: ReportedStudy, gallery: Gallery) -> list[Html]:
    rows = study.trials[(study.trials["status"] == "completed")]
    rows = rows[rows["val_accuracy"].notna()]
    accuracies = dict(zip(rows["trial"].astype(int), rows["val_accuracy"], strict=True))
    if not study.journal:
        return [notice("Not computed: the journal cannot be read.", kind="empty")]
    found = importance.data(study.journal, accuracies)
    if found.rows.empty:
        return [notice(f"Not computed: {found.note}.", kind="empty")]
    said_of_n = f"{found.note[:1].upper()}{found.note[1:]}."
    warning = [notice(said_of_n, kind="warn")] if found.note else []
    caption = f"Importance of hyperparameters, {found.n} completed trials."
    drawn = gallery.add(
        "importance", lambda: importance.draw(found), caption, importance.charts(found)
    )
    return [paragraph(found.about), *warning, drawn]


def costs_section(study: ReportedStudy, gallery: Gallery) -> Html:
    """Return time and memory per trial, and what stopping and stored activations saved."""
    rows = costs.data(study.trials)
    if rows.empty:
        empty = notice("No trial has ended yet.", kind="empty")
        return section("costs", "Time, memory, and what was saved", empty)
    middle, peak = rows["minutes"].median(), rows["memory_gib"].max()
    said = [] if pd.isna(middle) else [f"The median trial took {clock(middle * 60)}"]
    said += [] if pd.isna(peak) else [f"the highest peak of memory was {peak:.2f} GiB"]
    return section(
        "costs",
        "Time, memory, and what was saved",
        paragraph("; ".join(said) + ".") if said else None,
        key(study),
        gallery.add("costs", lambda: costs.draw(rows), "Of every trial.", costs.charts(rows)),
        tag("h3", "Saved"),
        *_savings(study, gallery),
    )


def _savings(study: ReportedStudy, gallery: Gallery) -> list[Html]:
    saved = savings.data(
        study.trials, study.curves, study.planned_epochs(), study.last_stage, study.activations()
    )
    body = [paragraph(line) for line in saved_lines(saved)]
    if not saved.saved:
        return body
    caption = "Epochs that were trained, and epochs that stopped trials were spared."
    drawn = gallery.add("savings", lambda: savings.draw(saved), caption, savings.charts(saved))
    return [*body, drawn]


def saved_lines(saved: savings.Savings) -> list[str]:
    """Say what was saved, in epochs and seconds."""
    lines = ["Early stopping saved nothing: no trial was stopped."]
    if saved.saved:
        whole = saved.epochs + saved.saved
        lines = [
            f"Early stopping saved {saved.saved:,} of {whole:,} epochs ({saved.saved / whole:.0%})"
            f", about {clock(saved.saved_s)} of training (each trial at its own pace)."
        ]
    done = saved.activations
    if done is not None and done.epochs and done.saved_epochs <= 0:
        lines.append(
            f"Stored activations: {done.images:,} images went through frozen layers, once and for "
            f"all; the {done.epochs:,} epochs so far would have taken {done.plain_images:,}."
        )
    elif done is not None and done.epochs:
        took = "" if done.saved_s is None else f", about {clock(done.saved_s)}"
        lines.append(
            f"Stored activations: {done.images:,} images went through frozen layers instead of "
            f"{done.plain_images:,} ({done.epochs:,} epochs): {done.saved_epochs:,.1f} epochs' "
            f"worth of frozen passes saved{took}."
        )
        if done.saved_s is None:
            lines.append(
                "How many seconds that is, this study cannot say: it found all activations in "
                "the cache, and timed no pass of its own."
            )
    return lines


def outcomes_section(study: ReportedStudy) -> Html | None:
    """Return the errors of failed and infeasible trials; None without any."""
    rows = study.trials[study.trials["status"].isin(["failed", "infeasible"])]
    if rows.empty:
        return None
    kinds = Counter(zip(rows["status"], rows["error"].fillna("no message"), strict=True))
    cells = []
    for (status, error), n in kinds.most_common(_MOST_ERRORS):
        same = rows[(rows["status"] == status) & (rows["error"].fillna("no message") == error)]
        first = ", ".join(map(str, same["trial"].head(6))) + (", \u2026" if n > 6 else "")
        cells.append([status, n, first, error])
    left = len(kinds) - _MOST_ERRORS
    return section(
        "outcomes",
        "Infeasible and failed trials",
        paragraph(
            "Infeasible: diverged, or did not fit into memory. Failed: ended by an error that is "
            "nobody's plan."
        ),
        table(["status", "trials", "numbers", "what was said"], cells, (1,)),
        paragraph(f"and {left} other messages: see trials.csv") if left > 0 else None,
    )


def all_trials_section(study: ReportedStudy) -> Html:
    """Return every trial in a table that is folded away; of very many the best."""
    trials, names = study.trials, config_names(study.trials)
    few = len(trials) <= _MOST_TRIALS
    shown = trials if few else best(trials, _MOST_TRIALS).sort_values("trial")
    rows = [
        [
            row["trial"],
            row["status"],
            percents(row["val_accuracy"]),
            show(row["epochs"]),
            "-" if math.isnan(row["wall_s"]) else clock(row["wall_s"]),
            *(show(row[CONFIG + name]) for name in names),
        ]
        for _, row in shown.iterrows()
    ]
    heads = ["trial", "status", "validation", "epochs", "time", *names]
    what = f"{len(trials)} trials, {len(finished(trials))} of them finished"
    what += "" if few else f": the best {len(shown)}, by number; trials.csv has all"
    body = more(what, table(heads, rows, (0, 2, 3, 4)))
    return section("trials", "All trials", body)
