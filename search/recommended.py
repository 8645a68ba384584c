"""Keeps the model that confirming recommends: its weights, and the file that tells of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from search.folder import CHOSEN, best_as_json
from search.judging import AT_BEST, Court
from search.progress import say
from search.records import Record
from trainables.files import replace_file, replace_text


def keep_recommended(
    court: Court,
    rows: Sequence[Mapping[str, str]],
    records: Iterable[Record],
    number: int | None,
) -> None:
    """Write the whole network of configuration `number`, and what it is: its best seed's.

    By validation accuracy, so that the test split chooses nothing. Where that trial's weights
    are gone they were written before: judging once more changes no row, and mends at most what
    tells of them. An earlier version may have recommended another, and kept that one's: this is
    told. Where none is recommended (None) nothing is left of one that was before.
    """
    if number is None:
        for name in CHOSEN:
            (court.root / name).unlink(missing_ok=True)
        return
    own = [row for row in rows if int(row["configuration"]) == number]
    if not own:
        return
    best = max(own, key=lambda row: (float(row["val_accuracy"]), -int(row["trial"])))
    path = court.weights_of(int(best["trial"]), "best.pt")
    (record,) = (each for each in records if each.number == int(best["trial"]))
    about = {
        "experiment": court.experiment.name,
        "data": f"{court.data.spec.kind}:{court.data.spec.dataset}",
        "confirmed": True,
        "configuration": number,
    }
    text = json.dumps(best_as_json(record, about), indent=2) + "\n"
    if path.exists():
        _keep_whole(court, path)
        replace_text(court.root / CHOSEN[0], text)
    elif not _tells(court.root, text):
        if _are_of(court.root / CHOSEN[1], record):
            replace_text(court.root / CHOSEN[0], text)
        else:
            say(_gone(court, number))


def _keep_whole(court: Court, path: Path) -> None:
    import torch

    from trainables.checkpoint import load_weights

    saved = load_weights(path)
    if court.weights is not None:
        saved["model"] = court.experiment.module().whole_state(saved["model"], court.weights)
    replace_file(court.root / CHOSEN[1], lambda aside: torch.save(saved, aside))


def _gone(court: Court, number: int) -> str:
    """Return that the recommended weights are gone, and how they are had again."""
    kept = f"{CHOSEN[1]} is of another" if (court.root / CHOSEN[1]).exists() else "not kept"
    if court.trials == court.root:
        way = "begin the sweep anew under another name, and confirm that"
    else:
        way = f"remove {court.trials} and run search.confirm again, which trains all of it anew"
    return (
        f"note: the weights of configuration {number}, the recommended one, are gone, and {kept}: "
        f"to have them, {way}"
    )


def _tells(root: Path, text: str) -> bool:
    """Tell whether weights are kept, and `text` is what tells of them."""
    about, weights = root / CHOSEN[0], root / CHOSEN[1]
    return weights.exists() and about.exists() and about.read_bytes() == text.encode()


def _are_of(path: Path, record: Record) -> bool:
    """Tell whether weights are there, and of a trial, by its best epoch."""
    from trainables.checkpoint import load_weights

    assert record.best_row is not None  # a completed trial has epochs
    if not path.exists():
        return False
    saved = load_weights(path)
    return all(saved[name] == record.best_row[name] for name in ("epoch", *AT_BEST))
