"""What a comparison says, in words and numbers: for the table and the page alike."""

import math
from collections.abc import Sequence

from analysis.comparison import CONVERGED, Side
from analysis.difference import Difference
from analysis.summary import possible
from search.statistics import Summary, student_interval

SECONDS = (
    "seconds to an accuracy are of training and validating; seconds per trial are all from its "
    "start to its end. What is computed once for all trials before they begin, such as "
    "activations of frozen layers, is in neither. The final accuracy is that of validation. "
    "Training accuracy is taken during the epoch, with dropout and augmentation on. Intervals are "
    "over seeds, on these images alone: what the finite number of images leaves open is not in"
)


def measures(side: Side) -> dict[str, Summary | float]:
    """Return what is compared, by name; summaries over seeds, where there are several."""
    share = f"{CONVERGED:.0%}".replace("%", " %")
    return {
        f"{side.split} accuracy": student_interval(list(side.accuracy.values())),
        f"train minus {side.split} accuracy": student_interval(list(side.gap.values())),
        f"epochs to {share} of the final accuracy": student_interval(side.epochs_to),
        f"seconds to {share} of the final accuracy": student_interval(side.seconds_to),
        "seconds per trial": student_interval(side.wall_s) if side.wall_s else math.nan,
        "parameters": float(side.parameters),
        "of them trained": float(side.trainable_parameters),
        "peak memory, MiB": side.peak_memory_mb,
    }


def cell(name: str, value: Summary | float) -> str:
    """Return a measure for reading: the mean, and its 95 % interval where there is one."""
    form = "{:.4f}" if "accuracy" in name and " to " not in name else "{:,.1f}"
    form = "{:,.0f}" if name in ("parameters", "of them trained", "peak memory, MiB") else form
    if not isinstance(value, Summary):
        return "-" if math.isnan(value) else form.format(value)
    if value.low is None or value.high is None:
        return form.format(value.mean) + (" (no interval)" if value.n > 1 else "")
    low, high = possible(value.low, value.high, *_limits(name))
    return f"{form.format(value.mean)} ({form.format(low)} to {form.format(high)})"


def _limits(name: str) -> tuple[float, float]:
    """Return what the measure of this name can be."""
    if name.startswith("train minus "):
        return -1.0, 1.0
    return 0.0, 1.0 if name.endswith(" accuracy") and " to " not in name else math.inf


def told(each: Difference) -> str:
    """Return a difference in one line."""
    mean, low, high = each.summary.mean, each.summary.low, each.summary.high
    head = f"{each.other} minus {each.first}: {mean:+.4f}"
    if each.how == "single":
        return f"{head}; one seed cannot tell whether that is chance"
    how = {
        "paired": f"paired over {each.summary.n} seeds",
        "Welch": "unpaired, Welch: not all seeds are the same",
    }[each.how]
    if low is None or high is None:
        return f"{head} ({how}; few agree by chance: no interval): cannot be told apart"
    least, most = possible(low, high, -1.0)
    apart = "" if low > 0 or high < 0 else ": cannot be told apart"
    return f"{head} ({_percent(each)} {least:+.4f} to {most:+.4f}, {how}){apart}"


def all_told(found: Sequence[Difference]) -> list[str]:
    """Return a line for each difference, and one of their intervals where several are told."""
    lines = [told(each) for each in found]
    if len(found) > 1 and any(each.how != "single" for each in found):
        lines.append(
            f"intervals of these {len(found)} differences are of {_percent(found[0])} each, so "
            "that all of them hold with 95 % (Bonferroni)"
        )
    return lines


def _percent(each: Difference) -> str:
    return f"{100 * each.level:.4g} %"
