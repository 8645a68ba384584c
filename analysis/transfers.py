"""transfer.json of a study of cifar10_transfer, as the published numbers are compared with it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from trainables.errors import TrellisError

SIDES = ("source", "target")
_TOLD = {"epochs", "val_accuracy", "best_val_accuracy", "seconds"}  # of each


def read_transfer(path: Path, trials: pd.DataFrame) -> dict[str, Any]:
    """Return the content of transfer.json, with the `seed` of its trial.

    `trials` are those of the study, as in trials.csv.

    Raises:
        TrellisError: it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        whole = all(content[side].keys() >= _TOLD for side in SIDES)
        whole = whole and all(isinstance(content[n], dict) for n in ("config", "from_scratch"))
        seed = int(trials.set_index("trial").loc[content["trial"], "seed"])
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise TrellisError(f"{path} is damaged: run the study again with --resume")
    return {**content, "seed": seed}
