"""confirm.json: what the rows of confirm.csv say together, configuration by configuration."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from search.contenders import Contender
from search.groups import LETTERS, grouped
from search.statistics import few_seeds, recommend, student_interval, wilson_interval

Rows = Sequence[Mapping[str, str]]


def verdict(
    contenders: Sequence[Contender],
    rows: Rows,
    about: Mapping[str, Any],
    unsafe: Collection[int] = (),
    planned_seeds: int = 1,
) -> dict[str, Any]:
    """Return the content of confirm.json; `about` comes first in it.

    Configurations are grouped by test accuracy: those that share a letter cannot be told apart
    (paired t tests over the seeds that all of them have, Holm-corrected); where that would take
    more than 26 letters, "a" are those like the best (`groups` says which, see `grouped`). What
    has fewer than half of the seeds of another one (`few_seeds`) is neither compared nor
    recommended: the seeds that all have would be as few. `notes` say so in sentences. The
    recommended one is chosen by validation accuracy on the fresh seeds, so that its test accuracy
    stays unbiased: the best mean, and of ties the cheapest (parameters, then trained ones; see
    `statistics.recommend`).

    Args:
        contenders: That were judged; those without a row are left out.
        rows: Of confirm.csv, at least one.
        about: Experiment, study, openings and so on.
        unsafe: Numbers of contenders that diverged, ran out of memory or were stopped on a seed:
            those are neither recommended nor compared, unless all did. What they have is of
            luckier seeds.
        planned_seeds: Of each contender; some may have failed, or be to come.
    """
    own = {each.number: [r for r in rows if int(r["configuration"]) == each.number]
           for each in contenders}  # fmt: skip
    test_images = sum(map(sum, json.loads(rows[0]["confusion_matrix"])))
    judged = [each for each in contenders if own[each.number]]
    safe = [each for each in judged if each.number not in unsafe] or judged
    seeds = {each.number: {r["seed"] for r in own[each.number]} for each in safe}
    few = few_seeds({number: len(found) for number, found in seeds.items()})
    compared = [number for number in seeds if number not in few]
    common = set.intersection(*(seeds[number] for number in compared))
    paired = {
        name: {number: _values(own[number], name, common) for number in compared}
        for name in ("test_accuracy", "val_accuracy")
    }
    cost = {number: _cost(own[number][0]) for number in compared}
    in_all = len({row["seed"] for row in rows})
    counts = {number: len(seeds[number]) for number in seeds if number in few}
    kind, groups = grouped(paired["test_accuracy"], cost) if common else (LETTERS, {})
    return {
        **about,
        "seeds": in_all,
        "test_images": test_images,
        "paired_seeds": len(common),
        "recommended": recommend(paired["val_accuracy"], cost) if common else None,
        "groups": kind,
        "notes": _notes(counts, len(common), max(in_all, planned_seeds)),
        "configurations": [
            {
                **_configuration(each, own[each.number], test_images),
                "group": groups.get(each.number, ""),
                "unsafe": each.number in unsafe,
                "few_seeds": each.number in few,
            }
            for each in judged
        ],
    }


def _notes(few: Mapping[int, int], common: int, seeds: int) -> list[str]:
    """Say what was not compared, with its number of seeds, and where one seed is left to all."""
    found = [
        f"configuration {number} has {count} of {seeds} seeds: not compared"
        for number, count in few.items()
    ]
    if common == 1 and seeds > 1:
        found.append(
            f"of {seeds} seeds those that are compared have one in common: "
            "one seed decides nothing"
        )
    return found


def _values(rows: Rows, name: str, seeds: set[str]) -> list[float]:
    by_seed = {row["seed"]: float(row[name]) for row in rows}
    return [by_seed[seed] for seed in sorted(seeds)]


def _cost(row: Mapping[str, str]) -> float:
    """Parameters; between networks of the same size, those that are trained."""
    whole, trained = int(row["parameters"]), int(row["trainable_parameters"])
    return whole + trained / (whole + 1)


def _configuration(contender: Contender, rows: Rows, test_images: int) -> dict[str, Any]:
    names = ("val_accuracy", "test_accuracy", "last_test_accuracy", "last_val_accuracy")
    summaries = {name: student_interval([float(row[name]) for row in rows]) for name in names}
    mean = summaries["test_accuracy"].mean
    low, high = wilson_interval(round(mean * test_images), test_images)
    searched = contender.searched
    return {
        "configuration": contender.number,
        "published": contender.published,
        "config": dict(contender.config),
        "trials": [int(row["trial"]) for row in rows],
        "searched_val_accuracy": searched,
        "parameters": int(rows[0]["parameters"]),
        "trainable_parameters": int(rows[0]["trainable_parameters"]),
        "epoch_s": sum(float(row["epoch_s"]) for row in rows) / len(rows),
        **{name: asdict(summary) for name, summary in summaries.items()},
        "wilson": {"low": low, "high": high, "images": test_images, "accuracy": mean},
        "optimism": None if searched is None else searched - summaries["val_accuracy"].mean,
        "confusion_matrix": _summed([json.loads(row["confusion_matrix"]) for row in rows]),
    }


def _summed(matrices: Sequence[list[list[int]]]) -> list[list[int]]:
    return [[sum(cells) for cells in zip(*lines, strict=True)]
            for lines in zip(*matrices, strict=True)]  # fmt: skip
