"""The files that `search.confirm` leaves in a study's folder, and how the whole of it is read."""

import json
from pathlib import Path
from typing import Any

from trainables.errors import TrellisError

CSV_NAME = "confirm.csv"  # a row per configuration and seed
JSON_NAME = "confirm.json"  # what the rows say together


def read_confirmation(folder: Path) -> dict[str, Any] | None:
    """Return confirm.json, or None where the study was not confirmed.

    Raises:
        TrellisError: it is damaged.
    """
    path = folder / JSON_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TrellisError(f"{path} is damaged: {error}") from None
    found = content.get("configurations") if isinstance(content, dict) else None
    if not found or not isinstance(found, list):
        raise TrellisError(f"{path} is damaged: it has no configurations")
    return dict(content)
