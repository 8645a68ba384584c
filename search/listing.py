"""`search.run --list`: the catalog as a table."""

from search.catalog import EXPERIMENTS
from search.experiment import Experiment, Measured, Preset
from trainables.cpu import usable_cpus

_HEAD = ("experiment", "data", "trials x epochs", "minutes here", "published", "ours", "")
# What a search was measured on.
_CORES = 2
_NOTES = """\
trials x epochs at most, of the standard preset (--preset quick is a first look, thorough more)
minutes here: as measured on the real data with 2 cores, scaled to the {cpus} of this machine
published: accuracy of the published study, on the test split unless it says (validation)
ours: best validation accuracy of our search on the real data; the README says how it was made
~: of a search of fewer trials or epochs than the standard preset has; minutes times as many"""


def listing() -> str:
    """Return the catalog as a table: data, budget, expected minutes, published number and ours."""
    rows = [_HEAD, *(_row(each) for each in EXPERIMENTS.values())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = ("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows)
    table = "\n".join(line.rstrip() for line in lines)
    return f"{table}\n\n{_NOTES.format(cpus=usable_cpus())}"


def _row(each: Experiment) -> tuple[str, ...]:
    standard, measured = each.presets["standard"], each.measured
    published = "" if each.published is None else f"{each.published:.4f}"
    if published and each.published_split != "test":
        published += f" ({each.published_split})"
    return (
        each.name,
        each.dataset,
        f"{standard.trials} x {standard.max_epochs}",
        "" if measured is None else _minutes(measured, standard),
        published,
        "" if measured is None else f"{_part(measured)}{measured.val_accuracy:.4f}",
        each.summary,
    )


def _part(measured: Measured) -> str:
    return "" if measured.trials is None else "~"


def _minutes(measured: Measured, standard: Preset) -> str:
    of_trials = standard.trials / (measured.trials or standard.trials)
    of_epochs = standard.max_epochs / (measured.epochs or standard.max_epochs)
    whole = measured.minutes * of_trials * of_epochs
    return f"{_part(measured)}{minutes_here(whole, standard.trials)}"


def minutes_here(minutes: float, trials: int) -> str:
    """Return the minutes to expect here: trials run side by side, as many as there are cores."""
    return f"{max(1, round(minutes * _CORES / min(usable_cpus(), trials)))}"
