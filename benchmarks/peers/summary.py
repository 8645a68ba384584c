"""What the runs of all tools come to: the CSV, and a table of medians over seeds."""

import csv
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers.runs import TOOLS, Run, of_tool

NOTHING = -math.inf  # the final accuracy of a run without an epoch
COLUMNS = ("tool", "seed", "seconds", "val_accuracy")
HEAD = (
    "tool",
    "seeds",
    "final val_accuracy",
    "seconds in all",
    "seconds to {target:.4f}",
    "ratio",
    "configurations",
    "trials/h",
    "epochs",
    "peak memory",
    "CPU seconds",
)


def write_csv(path: Path, runs: Sequence[Run]) -> None:
    """Write a row per tool, seed and improvement; and one at the end of every run."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for run in runs:
            ends = [(each.seconds, each.val_accuracy) for each in run.improvements]
            last = [(run.wall_s, run.final)] if run.improvements else []
            for seconds, accuracy in [*ends, *last]:
                rows.writerow([run.tool, run.seed, f"{seconds:.3f}", accuracy])


def slowest(runs: Sequence[Run]) -> str:
    """Return the tool whose runs take longest, by the median over seeds: a peer, if there is one.

    Times to what Trellis itself ends with would tell nothing of the others. A tool of whose runs
    half had no epoch in their time ends with nothing, and counts where no other is.
    """
    tools = list(dict.fromkeys(each.tool for each in runs))
    tools = [tool for tool in tools if tool != "trellis"] or tools
    reached = [tool for tool in tools if median(of_tool(runs, tool), lambda r: r.final) > NOTHING]
    tools = reached or tools
    return max(tools, key=lambda tool: median(of_tool(runs, tool), lambda each: each.wall_s))


def target(runs: Sequence[Run]) -> float:
    """Return the accuracy that the slowest tool ends with: the median over its seeds."""
    return median(of_tool(runs, slowest(runs)), lambda each: each.final)


def told_target(runs: Sequence[Run]) -> str:
    """Return what the target is, in words; of runs that their time limit ended it is no end."""
    name, cut = slowest(runs), sum(each.timed_out for each in of_tool(runs, slowest(runs)))
    if target(runs) == NOTHING:
        return "Target: none, for want of epochs within the time limit."
    what = f"Target: {target(runs):.4f}, what {TOOLS[name]}"
    if cut:
        return f"{what} had when it was ended: in another moment the ratio is another one."
    return f"{what} ends with, which takes longest."


def median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    """Return the median of a value over runs; inf where half of them are inf."""
    return statistics.median([value(each) for each in runs])


def table(runs: Sequence[Run]) -> str:
    """Return the Markdown table: medians over seeds, the range in brackets where they differ.

    "ratio" is the time to the target of the best other tool, divided by this tool's.
    """
    goal = target(runs)
    tools = [tool for tool in TOOLS if of_tool(runs, tool)]
    times = {tool: median(of_tool(runs, tool), lambda r: r.time_to(goal)) for tool in tools}
    lines = [_row([each.format(target=goal) for each in HEAD]), _row(["---"] * len(HEAD))]
    for tool in tools:
        others = [seconds for name, seconds in times.items() if name != tool]
        ratio = min(others, default=math.nan) / times[tool]
        lines.append(_row(_cells(tool, of_tool(runs, tool), goal, ratio)))
    return "\n".join(lines)


def _cells(tool: str, runs: Sequence[Run], goal: float, ratio: float) -> list[str]:
    memory = "/".join(sorted({each.memory for each in runs}))
    cut = sum(each.timed_out for each in runs)
    return [
        TOOLS[tool] + (f" ({cut} ended by the time limit)" if cut else ""),
        str(len(runs)),
        spread([each.final for each in runs], "{:.4f}"),
        spread([each.wall_s for each in runs], "{:.0f}"),
        spread([each.time_to(goal) for each in runs], "{:.0f}"),
        f"{ratio:.2f}" if math.isfinite(ratio) and ratio > 0 else "",
        spread([each.configurations for each in runs], "{:.0f}"),
        spread([3600 * each.configurations / each.wall_s for each in runs], "{:.0f}"),
        spread([each.epochs for each in runs], "{:.0f}"),
        spread([each.peak_mb for each in runs], "{:.0f}") + f" MiB {memory}",
        spread([each.cpu_s for each in runs], "{:.0f}"),
    ]


def spread(values: Sequence[float], form: str) -> str:
    """Return the median and, if values differ, their range; "never" is inf, "none" is -inf."""

    def word(value: float) -> str:
        return form.format(value) if math.isfinite(value) else "none" if value < 0 else "never"

    middle, low, high = word(statistics.median(values)), word(min(values)), word(max(values))
    return middle if low == high else f"{middle} ({low} to {high})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
