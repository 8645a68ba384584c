"""Opens the test split for trials that are done: a row of confirm.csv per trial.

Nothing is chosen here any more, so that what comes out is not optimistic. A row that is there is
never made again.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.confirmed import CSV_NAME
from search.contenders import Contender
from search.domains import config_key, is_written
from search.errors import StudyFailed
from search.experiment import Experiment
from search.folder import KEPT_NAMES, as_csv
from search.model import restored, split_of
from search.records import Record
from trainables.budget import Budget, Weights
from trainables.data import Data
from trainables.files import replace_text

OPENED_NAME = "test_opened.json"
_AVERAGES = tuple(
    f"{name}_{average}"
    for name in ("f1", "precision", "recall")
    for average in ("macro", "weighted")
)
_MEASURED = ("test_accuracy", "test_loss", *_AVERAGES)
# The published protocol looks at the last epoch, ours at the best one on validation.
_LAST = tuple(f"last_{name}" for name in _MEASURED)
# Of the epoch that the trial is judged by, as it was trained.
AT_BEST = ("val_accuracy", "val_loss", "train_accuracy")
FIELDS = (
    *("configuration", "published", "trial", "seed"),
    *AT_BEST,
    *_MEASURED,
    *_LAST,
    *("last_val_accuracy", "epochs", "best_epoch", "parameters", "trainable_parameters"),
    *("epoch_s", "wall_s", "confusion_matrix"),
)


@dataclass(frozen=True)
class Court:
    """Where trials are judged. `trials` is the study that trained them, `root` the one judged."""

    experiment: Experiment
    root: Path
    trials: Path
    data: Data
    weights: Weights | None
    precision: str
    device: str = "auto"

    @property
    def csv(self) -> Path:
        """confirm.csv."""
        return self.root / CSV_NAME

    @property
    def opened(self) -> Path:
        """When the test split was opened: a list of times."""
        return self.root / OPENED_NAME

    def weights_of(self, number: int, name: str) -> Path:
        """Weights that a trial kept: best.pt or last.pt."""
        return self.trials / "trials" / str(number) / name


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of confirm.csv, as text; none where it is not there.

    Raises:
        StudyFailed: it is damaged.
    """
    if not path.exists():
        return []
    # Python's own limit, 131,072 characters, is a confusion matrix of 209 classes.
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (ValueError, csv.Error) as error:
        raise StudyFailed(f"{path} is damaged: {error}") from None
    if any("trial" not in row for row in rows):
        raise StudyFailed(f"{path} is damaged: it lacks columns; was it saved by another program?")
    return rows


def openings(path: Path) -> list[str]:
    """Return the times (ISO 8601, UTC) at which the test split was opened so far.

    Raises:
        StudyFailed: the list is damaged.
    """
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []
    except (ValueError, TypeError) as error:
        raise StudyFailed(f"{path} is damaged: {error}") from None


def judge(
    court: Court,
    contenders: Sequence[Contender],
    records: Iterable[Record],
    progress: Callable[[str, int, int | None], None],
) -> list[dict[str, str]]:
    """Judge every completed trial that has no row yet; return all rows, by configuration and seed.

    The opening of the test split is written down before it is read.

    Raises:
        StudyFailed: weights of a trial are missing: its worker kept them on another machine.
    """
    numbers = {config_key(each.config): each for each in contenders}
    old = read_rows(court.csv)
    judged = [record for record in _completed(records) if config_key(record.config) in numbers]
    # Rows may be of another confirmation, whose folder was removed: their weights are no more.
    kept = _of_weights(old, judged)
    rows = {
        r.number: kept[r.number] | _place(numbers[config_key(r.config)])
        for r in judged
        if r.number in kept
    }
    todo = [r for r in judged if r.number not in rows]
    _check_weights(court, todo)
    if todo:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        replace_text(court.opened, json.dumps([*openings(court.opened), now]) + "\n")
    names = list(dict.fromkeys(name for each in contenders for name in each.config))
    for done, record in enumerate(todo):
        progress("judging on the test split", done, len(todo))
        contender = numbers[config_key(record.config)]
        rows[record.number] = _as_text(_row(court, contender, record), record.config, names)
        _write(court.csv, _in_order(rows.values()), names)
    if todo:
        progress("judging on the test split", len(todo), len(todo))
    ordered = _in_order(rows.values())
    if ordered and not todo and ordered != old:  # rows of a confirmation that is gone
        _write(court.csv, ordered, names)
    return ordered


def without_row(court: Court, records: Iterable[Record]) -> list[Record]:
    """Return the completed trials that have no row of their weights."""
    completed = _completed(records)
    kept = _of_weights(read_rows(court.csv), completed)
    return [record for record in completed if record.number not in kept]


def _completed(records: Iterable[Record]) -> list[Record]:
    """Return the completed trials, the first of each configuration and seed.

    An earlier version told 0 from 0.0, and confirmed a configuration twice on every seed.
    """
    found: dict[tuple[str, int], Record] = {}
    for record in records:
        if record.status == "completed":
            found.setdefault((config_key(record.config), record.seed), record)
    return list(found.values())


def _of_weights(
    rows: Iterable[dict[str, str]], completed: Iterable[Record]
) -> dict[int, dict[str, str]]:
    """Return the rows that are of the weights of these trials, by number."""
    known = {int(row["trial"]): row for row in rows}
    return {
        r.number: known[r.number]
        for r in completed
        if r.number in known and _is_of(known[r.number], r)
    }


def _place(contender: Contender) -> dict[str, str]:
    """Return what a row says of its contender: another confirmation may have numbered it else."""
    return {"configuration": str(contender.number), "published": str(contender.published)}


def _in_order(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(rows, key=lambda row: (int(row["configuration"]), int(row["trial"])))


def _is_of(row: Mapping[str, str], record: Record) -> bool:
    """Tell whether a row is of this trial's weights.

    One that was trained anew has the same seed and configuration; on other cores, or by newer
    code, other losses.
    """
    assert record.best_row is not None  # a completed trial has epochs
    config = {f"config.{name}": value for name, value in record.config.items()}
    names = {name for name in row if name.startswith("config.") and row[name] != ""}
    same = all(row.get(name) == str(record.best_row[name]) for name in AT_BEST)
    same = same and row["seed"] == str(record.seed)
    same = same and config.keys() == names
    return same and all(is_written(row[name], value) for name, value in config.items())


def _check_weights(court: Court, todo: Sequence[Record]) -> None:
    missing = [
        record.number
        for record in todo
        if not all(court.weights_of(record.number, name).exists() for name in KEPT_NAMES)
    ]
    if missing:
        which = ", ".join(map(str, missing))
        have = f"trial {which} has" if len(missing) == 1 else f"trials {which} have"
        raise StudyFailed(
            f"{have} no weights in {court.trials / 'trials'}: workers kept them on their machines "
            "(use storage that all nodes share), search.submit fetched the study without them "
            "(copy its trials/ from the cluster), or they were removed once they were judged, and "
            f"their rows of {CSV_NAME} are gone"
        )


def _row(court: Court, contender: Contender, record: Record) -> dict[str, Any]:
    best, last = record.best_row, record.rows[-1]
    assert best is not None  # a completed trial has epochs
    test = measured(court, record, "best.pt")
    ended = measured(court, record, "last.pt")
    return {
        "configuration": contender.number,
        "published": contender.published,
        "trial": record.number,
        "seed": record.seed,
        **{name: best[name] for name in AT_BEST},
        **{name: test[name] for name in _MEASURED},
        **{f"last_{name}": ended[name] for name in _MEASURED},
        "last_val_accuracy": last["val_accuracy"],
        "epochs": len(record.rows),
        "best_epoch": best["epoch"],
        "parameters": best["parameters"],
        "trainable_parameters": record.trainable_parameters,
        "epoch_s": sum(row["epoch_s"] for row in record.rows) / len(record.rows),
        "wall_s": record.wall_s,
        "confusion_matrix": json.dumps(test["confusion_matrix"]),
    }


def measured(court: Court, record: Record, name: str, split: str = "test") -> dict[str, Any]:
    """Return class metrics and mean loss of a trial's weights on a split."""
    import torch

    from trainables.checkpoint import load_weights
    from trainables.losses import loss_of
    from trainables.metrics import class_metrics, split_logits

    experiment, config = court.experiment, record.config
    images = split_of(experiment, config, court.data, split)
    height, width, channels = images.images.shape[1:]
    classes, shape = len(court.data.classes), (height, width, channels)
    path = court.weights_of(record.number, name)
    if court.weights is None:
        model = restored(experiment, config, path, classes, shape)
        logits = split_logits(model, images, court.precision, court.device)
    else:  # what is frozen is computed once for all trials
        budget = Budget(1, device=court.device, precision=court.precision, weights=court.weights)
        state = load_weights(path)["model"]
        logits = experiment.module().kept_logits(state, config, court.data, split, budget)
    loss = loss_of(config.get("loss", "cross_entropy"))(logits, torch.from_numpy(images.labels))
    found = class_metrics(images.labels, logits.argmax(1).numpy(), classes)
    return {**found, "test_accuracy": found["accuracy"], "test_loss": float(loss)}


def _as_text(
    row: Mapping[str, Any], config: Mapping[str, Any], names: Sequence[str]
) -> dict[str, str]:
    whole = {**row, **{f"config.{name}": config.get(name, "") for name in names}}
    return {name: str(value) for name, value in whole.items()}


def _write(path: Path, rows: Iterable[Mapping[str, str]], names: Sequence[str]) -> None:
    header = [*FIELDS, *(f"config.{name}" for name in names)]
    # Rows of before may lack a column: a hyperparameter that none had, or what is newer.
    lines = [[row.get(name, "") for name in header] for row in rows]
    replace_text(path, as_csv([header, *lines]))


def discard_weights(court: Court, rows: Sequence[Mapping[str, str]]) -> None:
    """Remove the weights of trials that have their row: hundreds of megabytes each."""
    for row in rows:
        for name in KEPT_NAMES:
            court.weights_of(int(row["trial"]), name).unlink(missing_ok=True)
