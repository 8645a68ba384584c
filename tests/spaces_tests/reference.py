"""Rows of the published numbers, and a space's ranges as plain values."""

import csv
from pathlib import Path
from typing import Any

from search.domains import domains

REFERENCE = Path(__file__).resolve().parents[2] / "analysis" / "reference.csv"


def published(experiment: str) -> list[dict[str, str]]:
    with REFERENCE.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["experiment"] == experiment]
    assert rows
    return rows


def ranges(space: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    """Choices as a list, numbers as (low, high, log, step); in the order of the space."""
    return {
        name: list(each.choices) or (each.low, each.high, each.log, each.step)
        for name, each in domains(space, defaults).items()
    }
