"""Work that all trials of a study share: done before the first begins, and what it saved.

Only for experiments with `Experiment.shares`. What the driver did goes into study.json under
"shared_work", what a resume did is added there; what workers did themselves (on a cluster all of
it) stands in the epochs' rows. Not counted is what a trial did that was killed before its first
epoch.
"""

import json
import time
from pathlib import Path
from typing import Any

from search.book import Book
from search.interrupts import Interrupts
from search.manifest import read_manifest
from search.plan import all_possible
from search.progress import DataProgress, say
from search.request import Request
from search.resources import Resources
from trainables.budget import Budget, Weights
from trainables.cpu import usable_cpus
from trainables.data import Data
from trainables.files import replace_text


def share(
    request: Request,
    data: Data,
    resources: Resources,
    precision: str,
    weights: Weights | None,
    interrupts: Interrupts,
) -> dict[str, Any]:
    """Let the trainable make what all trials share; return what it did, in plain values.

    Raises:
        EndEarly: interrupted; a half-made part is removed.
    """
    budget = Budget(
        epochs=request.plan.max_epochs,
        threads=usable_cpus(),
        device="cuda" if resources.gpus_per_trial else "cpu",
        precision=precision,
        weights=weights,
        progress=interrupts.checked(DataProgress()),
    )
    experiment, plan = request.experiment, request.plan
    choices = all_possible(experiment, plan)
    began = time.perf_counter()
    try:
        work = dict(experiment.module().prepare(choices, data, budget))
        # What was found in the cache took no pass: its seconds would tell nothing.
        return work | {"seconds": round(time.perf_counter() - began, 3) if work["images"] else 0.0}
    finally:
        from trainables.device import give_back_memory

        give_back_memory()  # this process trains nothing


def add_work(folder: Path, work: dict[str, Any]) -> None:
    """Add what a resume did again, the cache having lost it, to the study's manifest."""
    if work["images"]:
        manifest = read_manifest(folder / "study.json")
        before = manifest.get("shared_work", {})
        counted = {name: before.get(name, 0) + work[name] for name in ("images", "seconds")}
        manifest["shared_work"] = work | counted
        replace_text(folder / "study.json", json.dumps(manifest, indent=2) + "\n")


def say_saved(book: Book, folder: Path) -> None:
    """Tell how many images went through frozen layers, and how many would have without a store."""
    if not book.experiment.shares:
        return
    manifest = read_manifest(folder / "study.json")
    rows = [row for record in book.records.values() for row in record.rows]
    made = manifest.get("shared_work", {}).get("images", 0)
    made += sum(row.get("frozen_images", 0) for row in rows)
    sizes = manifest["data"]["sizes"]
    plain = len(rows) * (sizes["train"] + sizes["validation"])
    say(
        f"frozen layers: {made:,} images run through them in this study; without stored "
        f"activations its {len(rows)} epochs would have taken {plain:,}"
    )
