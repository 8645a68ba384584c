"""Sections of a report on what came out: numbers, and the best configurations."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.confirm_table import of_common_seeds, of_groups
from analysis.confirmed import ranked
from analysis.figures import intervals
from analysis.frames import CONFIG, config_names
from analysis.layout import show
from analysis.report_gallery import Gallery
from analysis.report_html import Cell, Html, join, notice, paragraph, section, table, tag, tile
from analysis.report_study import ReportedStudy, configuration
from analysis.summary import best, finished, possible, warm_started
from search.experiment import luck_of
from search.progress import clock

ONE_SEED = (
    "One seed each, and chosen by this very number: expect less on new images. "
    "search.confirm retrains the best on fresh seeds."
)
WILSON = " The interval (Wilson, 95 %) is only what so few validation images leave open."
NO_WILSON = " No interval: it is not known how many validation images there were."


def percents(value: Any) -> str:
    """Return an accuracy in [0, 1] for reading."""
    return "-" if value is None or pd.isna(value) else f"{float(value):.2%}"


def interval(low: Any, high: Any) -> str:
    """Return the ends of an interval, with the digits of `percents`; "-" where there is none."""
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return "-"
    low, high = possible(float(low), float(high))
    return f"{percents(low)} to {percents(high)}"


def tiles(study: ReportedStudy) -> Html:
    """Return the study in a few numbers."""
    trials, ended = study.trials, study.trials["status"] != "running"
    statuses = trials["status"].value_counts()
    notes = ", ".join(f"{n} {status}" for status, n in statuses.items())
    spent = float(trials["wall_s"].sum())
    return tag(
        "div",
        *_best_tiles(study),
        tile(
            f"{int(ended.sum())}" + (f" of {study.planned}" if study.planned else ""),
            "trials ended",
            notes,
        ),
        tile(f"{len(study.curves):,}", "epochs trained", f"at most {_most(study)} a trial"),
        tile(clock(spent), "hours of trials" if spent >= 3600 else "minutes of trials",
             "summed over them, from start to end"),
        class_="tiles",
    )  # fmt: skip


def _most(study: ReportedStudy) -> object:
    return study.budget.get("max_epochs", "?")


def _best_tiles(study: ReportedStudy) -> list[Html]:
    told = recommended(study.confirmed)
    if told is not None:
        test = told["test_accuracy"]
        none = test.get("low") is None
        sure = "no interval" if none else interval(test["low"], test["high"])
        note = f"{sure}, {test['n']} seed{'s' * (test['n'] > 1)}"
        note += ", unsafe: others diverged or were stopped" if told.get("unsafe") else ""
        return [tile(percents(test["mean"]), "test accuracy, recommended", note)]
    order = best(study.trials, 1)
    if order.empty:
        return [tile("none yet", "best validation accuracy", "no trial has finished")]
    return [_searched_tile(study)]


def _searched_tile(study: ReportedStudy) -> Html:
    """Return the accuracy of what the table of the best has first: a mean, with many seeds."""
    if study.seeds > 1:
        label, found = "mean validation accuracy, ranked first", intervals.seeded(study.trials, 1)
    else:
        label = "best validation accuracy"
        found = intervals.searched(study.trials, study.validation_images, 1)
    row = found.iloc[0]
    seeds = "one seed" if row["n"] == 1 else f"{row['n']} seeds"
    sure = interval(row["low"], row["high"])
    note = f"{row['label']}, {seeds}; {'no interval' if sure == '-' else sure}"
    return tile(percents(row["accuracy"]), label, note)


def recommended(confirmed: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the configuration that confirm.json recommends; None without one."""
    for each in (confirmed or {}).get("configurations", []):
        if each["configuration"] == (confirmed or {}).get("recommended"):
            return dict(each)
    return None


def best_section(study: ReportedStudy, gallery: Gallery, top: int) -> Html:
    """Return the best configurations with intervals: confirmed ones, else those of the search."""
    title = "Best configurations"
    lines = [paragraph(line) for line in warm_started(study.trials, study.budget)]
    warm = [notice(*lines)] if lines else []
    if study.confirmed is not None:
        said = judged(study.confirmed, study.is_sweep)
        return section("best", title, *_confirmed(study.confirmed, said, gallery), *warm)
    if finished(study.trials).empty:
        empty = notice("No trial has finished yet: there is nothing to compare.", kind="empty")
        return section("best", title, empty, *warm)
    body = _seeded(study, gallery, top) if study.seeds > 1 else _searched(study, gallery, top)
    return section("best", title, *body, *warm)


def _varying(trials: pd.DataFrame) -> list[str]:
    names = config_names(trials)
    return [n for n in names if trials[CONFIG + n].nunique(dropna=False) > 1]


def _searched(study: ReportedStudy, gallery: Gallery, top: int) -> list[Html]:
    rows = intervals.searched(study.trials, study.validation_images, top)
    order, names = best(study.trials, top), _varying(study.trials)
    # A confirmation with one seed trains a list, whose first is the best of the search.
    published = None if study.budget.get("configurations") else 0
    cells = [
        [
            Cell(number, study.as_published if number == published else ""),
            percents(row["val_accuracy"]),
            interval(low, high),
            percents(row["train_accuracy"]),
            f"{row['best_epoch']} of {row['epochs']}",
            f"{row['parameters']:,}" if pd.notna(row["parameters"]) else "-",
            clock(row["wall_s"]) if pd.notna(row["wall_s"]) else "-",
            *(show(row[CONFIG + name]) for name in names),
        ]
        for (_, row), number, low, high in zip(
            order.iterrows(), rows["trial"], rows["low"], rows["high"], strict=True
        )
    ]
    heads = [
        "trial",
        "validation",
        "95 % interval",
        "training",
        "best epoch",
        "parameters",
        "time",
    ]
    known = bool(rows["low"].notna().any())
    caption = "Validation accuracy of the best trials" + ", with Wilson's 95 % interval" * known
    return [
        notice(ONE_SEED + (WILSON if known else NO_WILSON), kind="warn"),
        gallery.add(
            "best_configurations", lambda: intervals.draw(rows), f"{caption}.",
            intervals.charts(rows),
        ),
        table([*heads, *names], cells, range(1, 7), first=True),
    ]  # fmt: skip


def _seeded(study: ReportedStudy, gallery: Gallery, top: int) -> list[Html]:
    rows, names = intervals.seeded(study.trials, top), _varying(study.trials)
    by_trial = study.trials.set_index("trial")
    cells = [
        [
            row["label"], percents(row["accuracy"]), interval(row["low"], row["high"]), row["n"],
            *(show(by_trial.loc[row["trial"], CONFIG + name]) for name in names),
        ]
        for _, row in rows.iterrows()
    ]  # fmt: skip
    heads = ["trials", "validation, mean", "95 % interval", "seeds"]
    caption = "Mean validation accuracy over seeds, with Student's 95 % interval."
    configs = [configuration(by_trial.loc[number]) for number in rows["trial"]]
    shared = study.experiment.common_to(configs) if study.experiment else ""
    return [
        paragraph(
            "Several seeds for each configuration; intervals are Student's t over seeds."
            + _of_all_seeds(shared)
            + (
                " Those with fewer than half of the seeds of another come behind the others."
                if rows["few"].any()
                else ""
            )
            + (" Those that lost a seed come last." if rows["lost"].any() else "")
        ),
        gallery.add(
            "best_configurations", lambda: intervals.draw(rows), caption, intervals.charts(rows)
        ),
        table([*heads, *names], cells, (1, 2, 3), first=True),
    ]


def _of_all_seeds(shared: str | None) -> str:
    """Return a sentence of what all seeds share, if anything."""
    return f" A{luck_of(shared)[1:]}." if shared else ""


def judged(content: Mapping[str, Any], is_sweep: bool) -> str:
    """Say how confirm.json came about, and what its columns mean.

    A sweep with seeds is judged as it is: nothing was trained again for that.
    """
    counts = {int(each["test_accuracy"]["n"]) for each in content["configurations"]}
    most = f"{'up to ' if len(counts) > 1 else ''}{max(counts)}"
    seeds = "seed" if max(counts) == 1 else "seeds"
    trained = f"Trained on {most} {seeds}" if is_sweep else f"Retrained on {most} fresh {seeds}"
    if content.get("recommended") is None:
        chosen = "None is recommended: no seed is common to all of them."
    else:
        chosen = (
            "Recommended is the best mean validation accuracy on these seeds"
            f"{of_common_seeds(content)}, or a cheaper configuration at most half a standard "
            "error below it: the test split chooses nothing."
        )
    optimism = (
        ""
        if is_sweep
        else (
            " Optimism is what the search had promised beyond the confirmed validation accuracy."
        )
    )
    common = _of_all_seeds(content.get("common_to_seeds"))
    held = ", ".join(content.get("published_but_for") or ())
    if held and any(each.get("published") for each in content["configurations"]):
        common += f" Published: but for {held}, which the search held."
    unsafe = (
        " Unsafe ones were infeasible or stopped on some seed; their numbers are of the others."
        if any(each.get("unsafe") for each in content["configurations"])
        else ""
    )
    groups = of_groups(content)
    notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in content.get("notes", ()))
    return (
        f"{trained} each, then judged on {content.get('test_images')} test images. "
        f"{groups[:1].upper()}{groups[1:]}. {chosen}{optimism}{unsafe}{notes}{common}"
    )


def _confirmed(content: Mapping[str, Any], said: str, gallery: Gallery) -> list[Html]:
    configurations = content["configurations"]
    rows = intervals.confirmed(configurations)
    names = list(dict.fromkeys(n for each in configurations for n in each["config"]))
    varying = [
        n for n in names if len({str(each["config"].get(n)) for each in configurations}) > 1
    ]
    order = ranked(configurations)
    cells = [_confirmed_row(each, content.get("recommended"), varying) for each in order]
    heads = ["configuration", "test, mean", "95 % over seeds", "seeds", "95 % of the images",
             "validation, mean", "optimism", "group", "parameters", "s per epoch"]  # fmt: skip
    caption = (
        "Test accuracy: mean over seeds with Student's 95 % interval. Letters: groups; "
        f"{of_groups(content)}."
    )
    opened = content.get("opened") or []
    looks = f"The test split was opened {len(opened)} times: {', '.join(opened)}."
    return [
        paragraph(said),
        notice(looks, kind="warn") if len(opened) > 1 else join(()),
        gallery.add(
            "best_configurations", lambda: intervals.draw(rows), caption, intervals.charts(rows)
        ),
        table([*heads, *varying], cells, (1, 2, 3, 4, 5, 6, 8, 9)),
    ]  # fmt: skip


def _confirmed_row(each: Mapping[str, Any], chosen: Any, names: Sequence[str]) -> list[object]:
    test, wilson = each["test_accuracy"], each.get("wilson") or {}
    marks = ["recommended"] if each["configuration"] == chosen else []
    marks += ["published"] if each.get("published") else []
    marks += ["unsafe"] if each.get("unsafe") else []
    marks += ["few seeds"] if each.get("few_seeds") else []
    optimism, seconds = each.get("optimism"), each.get("epoch_s")
    return [
        Cell(each["configuration"], ", ".join(marks)),
        percents(test["mean"]),
        interval(test.get("low"), test.get("high")),
        test["n"],
        interval(wilson.get("low"), wilson.get("high")),
        percents((each.get("val_accuracy") or {}).get("mean")),
        "-" if optimism is None else f"{optimism:+.2%}",
        each.get("group") or "-",
        f"{each['parameters']:,}" if each.get("parameters") else "-",
        "-" if seconds is None else f"{seconds:.3g}",
        *(show(each["config"].get(name)) for name in names),
    ]
