"""evaluation.json: the best model of a study on the validation split, class by class.

The test split stays closed: only `search.confirm` opens it.
"""

import importlib
import json
from pathlib import Path
from typing import Any

from search.experiment import Experiment
from search.records import Record
from trainables.data import Data
from trainables.files import replace_text

EVALUATION_NAME = "evaluation.json"


def write_evaluation(
    experiment: Experiment, root: Path, best: Record, data: Data, precision: str
) -> dict[str, Any] | None:
    """Write confusion matrix, weighted F1, precision and recall of `best`; return all of it.

    None where the folder has no weights: workers of another machine kept them.
    """
    weights = root / "best.pt"
    if not weights.exists():
        return None
    import torch

    from trainables.metrics import weights_metrics

    config, row = dict(best.config), best.best_row
    assert row is not None  # the best trial has epochs
    split = data.split("validation", config.get("image_size", experiment.image_size))
    height, width, channels = split.images.shape[1:]
    build = importlib.import_module(f"trainables.{experiment.name}").build
    with torch.device("meta"):
        model = build(config, len(data.classes), channels, (height, width))
    content = {
        "experiment": experiment.name,
        "data": f"{data.spec.kind}:{data.spec.dataset}",
        "split": "validation",
        "trial": best.number,
        "epoch": row["epoch"],
        "classes": list(data.classes),
        **weights_metrics(model, weights, split, len(data.classes), precision),
    }
    replace_text(root / EVALUATION_NAME, json.dumps(content, indent=2) + "\n")
    return content
