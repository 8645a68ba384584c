"""What an experiment adds to the end of its studies: a file about the best trial, and its lines.

`Experiment.conclusion` names a module with NAME, the file's; `conclude(config, rows, data,
budget)`, which returns its content; and `lines(content)`, what the user should read of it. What an
earlier version wrote may be less than that takes: it is made anew, as what is damaged is.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search.book import Book
from search.progress import say
from search.records import Record
from search.request import Request
from trainables.budget import Budget
from trainables.data import Data
from trainables.data.source import Progress
from trainables.files import replace_text


def conclude(request: Request, book: Book, data: Data, precision: str, progress: Progress) -> None:
    """Write the file of the study's best trial, unless it is there, and say what is in it.

    `progress` is called often, and may raise to end it early.
    """
    name, best = request.experiment.conclusion, book.best
    if name is None or best is None:
        return
    module = importlib.import_module(name)
    path = book.folder.root / module.NAME
    about = {"trial": best.number, "epochs": len(best.rows)}
    content = _written(path, about, module.lines)
    if content is None:
        budget = _budget(request, best, precision, progress)
        found = module.conclude(dict(best.config), best.rows, data, budget)
        kind = f"{data.spec.kind}:{data.spec.dataset}"
        head = {"experiment": request.experiment.name, "data": kind, **about}
        content = {**head, "config": dict(best.config), **found}
        replace_text(path, json.dumps(content, indent=2) + "\n")
    say(f"trial {best.number}, the best ({path.name} has all of it):")
    for line in module.lines(content):
        say(f"  {line}")


def _written(
    path: Path, about: dict[str, int], lines: Callable[[Mapping[str, Any]], list[str]]
) -> dict[str, Any] | None:
    """Return what a finished study has already: going on with it costs no more training."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lines(content)
    # Not there, damaged, or less than `lines` asks for: it is written anew.
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return content if about.items() <= content.items() else None


def _budget(request: Request, best: Record, precision: str, progress: Progress) -> Budget:
    """Return what the best trial had, where it is known: on a cluster this is another machine."""
    resources = request.resources
    return Budget(
        epochs=len(best.rows),
        seed=best.seed,
        threads=resources.cpus_per_trial if resources else request.asked.cpus_per_trial or 1,
        device=request.device,
        precision=precision,
        progress=progress,
    )
