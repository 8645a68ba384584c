"""The table that search.confirm ends with: what confirm.json says, for reading."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.confirmed import ranked
from analysis.layout import Block, Column, Section, blocks, plain, show
from analysis.summary import possible
from search.experiment import luck_of
from search.groups import LIKE_BEST


def render(content: Mapping[str, Any], width: int = 110) -> str:
    """Return the table of `confirm.json`'s content, in the order of `ranked`."""
    order = ranked(content["configurations"])
    kind = "" if content["real_data"] else f" ({content['data']}: not the real data)"
    kind += " (weights: random, not pretrained)" if content.get("weights") == "random" else ""
    title = (
        f"study {content['study']} of {content['experiment']}{kind}: {content['seeds']} "
        f"seeds, {content['test_images']} test images"
    )
    return plain([title, *blocks([_numbers(order), _configs(order)], width), *_notes(content)])


def _numbers(order: Sequence[Mapping[str, Any]]) -> Block:
    def text(name: str, part: str = "mean") -> list[str]:
        return [_share(each[name][part]) for each in order]

    return [
        Column("no.", [_name(each) for each in order], False, key=True),
        Column("group", [each["group"] for each in order], False),
        Column("test", text("test_accuracy"), True),
        Column("95 % over seeds", [_range(each["test_accuracy"]) for each in order], True),
        Column("95 % of images", [_range(each["wilson"]) for each in order], True),
        Column("n", [str(each["test_accuracy"]["n"]) for each in order], True),
        Column("validation", text("val_accuracy"), True),
        Column("searched", [_share(each["searched_val_accuracy"]) for each in order], True),
        Column("optimism", [_share(each["optimism"]) for each in order], True),
        Column("parameters", [f"{each['parameters']:,}" for each in order], True),
        Column("s/epoch", [f"{each['epoch_s']:.1f}" for each in order], True),
    ]


def _configs(order: Sequence[Mapping[str, Any]]) -> Block:
    names = list(dict.fromkeys(name for each in order for name in each["config"]))
    varying = [
        name for name in names if len({str(each["config"].get(name)) for each in order}) > 1
    ]
    return [
        Column(name, [show(each["config"].get(name)) for each in order], False) for name in varying
    ]


def _name(each: Mapping[str, Any]) -> str:
    marks = [" (published)" * each["published"], " (unsafe)" * each.get("unsafe", False)]
    marks.append(" (few seeds)" * each.get("few_seeds", False))
    return f"{each['configuration']}{''.join(marks)}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _range(summary: Mapping[str, Any]) -> str:
    if summary["low"] is None:
        return "-"
    low, high = possible(summary["low"], summary["high"])
    return f"{_share(low)} to {_share(high)}"  # as many digits as the mean, which lies between


def of_groups(content: Mapping[str, Any]) -> str:
    """Return what groups mean: by letters, or beside the best mean alone."""
    if content.get("groups") == LIKE_BEST:
        return (
            "group a cannot be told apart from the best mean, what else was compared can: all "
            "pairs would take more than 26 letters"
        )
    return "configurations that share a letter cannot be told apart"


def of_common_seeds(content: Mapping[str, Any]) -> str:
    """Return what to add where a configuration lacks a seed: means are compared without it."""
    paired = content.get("paired_seeds")
    judged = [each for each in content["configurations"] if not each.get("unsafe")]
    compared = [each for each in judged or content["configurations"] if not each.get("few_seeds")]
    lost = any(each["test_accuracy"]["n"] != paired for each in compared)
    return f" (compared on the {paired} that all have: other means)" if paired and lost else ""


def _notes(content: Mapping[str, Any]) -> list[Section]:
    opened = content["opened"]
    notes: list[Section] = [
        f"{of_groups(content)} (paired t tests over {content['paired_seeds']} seeds, "
        "Holm-corrected, on test accuracy)",
    ]
    if common := content.get("common_to_seeds"):
        notes.append(luck_of(common))
    others = content.get("published_but_for")
    if others and any(each["published"] for each in content["configurations"]):
        notes.append(f"(published): but for {', '.join(others)}, which the search held")
    if any(each.get("unsafe") for each in content["configurations"]):
        notes.append(
            "unsafe: infeasible or stopped on some seed; the numbers are of the other seeds alone"
        )
    notes += content.get("notes", [])
    if content["recommended"] is not None:
        notes.append(
            f"recommended: configuration {content['recommended']}, by validation accuracy on the "
            f"fresh seeds{of_common_seeds(content)}; ties go to the cheaper"
        )
    notes.append(
        f"the test split was opened {'once' if len(opened) == 1 else f'{len(opened)} times'}: "
        + ", ".join(opened)
    )
    return notes
