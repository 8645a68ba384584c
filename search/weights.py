"""`--weights`: which pretrained weights an experiment starts from, asked for and then found."""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from search.book import Book
from search.data_option import absolute
from search.experiment import Experiment
from search.options import Mistakes
from search.progress import DataProgress, say
from trainables.budget import Weights
from trainables.files import replace_file


def read_weights(
    given: str | None,
    old: Mapping[str, Any] | None,
    experiment: Experiment | None,
    wrong: Mistakes,
) -> str | None:
    """Return what is asked for: "random", an absolute path, or None for torchvision's weights.

    Args:
        given: The text of the option.
        old: "weights" of the study to resume, which stand in where the option is not given.
        experiment: None where the command line names none that exists.
        wrong: Gets a line if the experiment has no weights, or there is no such file.
    """
    if experiment is not None and not experiment.pretrained:
        if given is not None:
            wrong.append(f"--weights {given}: {experiment.name} has no pretrained weights")
        return None
    hint = ""
    if given is None and old is not None and old["source"] != "torchvision":
        given = old["path"] or old["source"]
        hint = "; the study had its weights there: say where they are now"
    if given is None or given == "random":
        return given
    path = absolute(given)
    if not os.path.isfile(path):
        what = "a folder" if os.path.isdir(path) else "no such file"
        wrong.append(f"--weights {given}: must be random or a file, and this is {what}{hint}")
    return path


def find_weights_of(experiment: Experiment, asked: str | None) -> Weights | None:
    """Find the weights that `read_weights` returned, and say which; None if none are needed.

    Raises:
        TrellisError: they cannot be had, or do not fit the network.
    """
    if not experiment.pretrained:
        return None
    from trainables.weights import find_weights

    found = find_weights(asked, DataProgress())
    what = "random, not pretrained" if found.source == "random" else f"{found.source} {found.path}"
    say(f"weights: {what}, fingerprint {found.fingerprint[:12]}")
    return found


def weights_of(manifest: Mapping[str, Any]) -> Weights | None:
    """Return the pretrained weights that study.json names; None where there are none.

    What a later version tells of them besides is passed over.
    """
    told = manifest.get("weights")
    return Weights(**{each.name: told[each.name] for each in fields(Weights)}) if told else None


def complete_best(experiment: Experiment, book: Book, weights: Weights) -> None:
    """Let the study's best.pt hold the whole network: trials keep what they train alone."""
    path = book.folder.root / "best.pt"
    if not path.exists():
        return
    import torch

    from trainables.checkpoint import load_weights

    saved = load_weights(path)
    whole = experiment.module().whole_state(saved["model"], weights)
    if len(whole) > len(saved["model"]):
        replace_file(path, lambda aside: torch.save(saved | {"model": whole}, aside))
