"""evaluation.json: the best model of a study on the validation split, class by class.

The test split stays closed: only `search.confirm` opens it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.book import Book
from search.experiment import Experiment
from search.model import network, split_of
from search.progress import say
from search.records import Record
from trainables.data import Data
from trainables.files import replace_text

EVALUATION_NAME = "evaluation.json"
# A list of counts as json.dumps indents it; text in JSON has no line breaks of its own.
_COUNTS = re.compile(r"\[\n *\d+(?:,\n *\d+)*\n *\]")


def evaluate_best(
    experiment: Experiment, book: Book, data: Data, precision: str, device: str = "auto"
) -> None:
    """Write the evaluation of the study's best trial, if it has one, and say what came out."""
    root, best = book.folder.root, book.best
    if best is None:
        return
    found = write_evaluation(experiment, root, best, data, precision, device)
    if found is None:
        say(f"note: no {EVALUATION_NAME}, since {root} has no best.pt")
        return
    say(
        f"best model on {found['images']} validation images: accuracy {found['accuracy']:.4f}; "
        f"weighted F1 {found['f1_weighted']:.4f}, precision {found['precision_weighted']:.4f}, "
        f"recall {found['recall_weighted']:.4f} ({EVALUATION_NAME} has the confusion matrix)"
    )


def write_evaluation(
    experiment: Experiment,
    root: Path,
    best: Record,
    data: Data,
    precision: str,
    device: str = "auto",
) -> dict[str, Any] | None:
    """Write confusion matrix, weighted F1, precision and recall of `best`; return all of it.

    None where the folder has no weights: workers of another machine kept them.
    """
    weights = root / "best.pt"
    if not weights.exists():
        return None
    from trainables.metrics import weights_metrics

    config, row = dict(best.config), best.best_row
    assert row is not None  # the best trial has epochs
    split = split_of(experiment, config, data, "validation")
    height, width, channels = split.images.shape[1:]
    model = network(experiment, config, len(data.classes), (height, width, channels))
    content = {
        "experiment": experiment.name,
        "data": f"{data.spec.kind}:{data.spec.dataset}",
        "split": "validation",
        "trial": best.number,
        "epoch": row["epoch"],
        "classes": list(data.classes),
        **weights_metrics(model, weights, split, len(data.classes), precision, device),
    }
    replace_text(root / EVALUATION_NAME, as_text(content))
    return content


def as_text(content: Mapping[str, Any]) -> str:
    """Return JSON with a line for every row of a matrix, so that it can be read as one.

    A line for every count would be 13 MB for 1,000 classes.
    """
    text = json.dumps(content, indent=2)
    return _COUNTS.sub(lambda row: f"[{' '.join(row[0][1:-1].split())}]", text) + "\n"
