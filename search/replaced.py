"""Attributes of a library that are others inside a block: how this project changes Ray."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, changed: dict[str, Any]) -> Iterator[None]:
    """Set attributes of `owner` inside this block."""
    kept = {name: getattr(owner, name) for name in changed}
    try:
        for name, value in changed.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in kept.items():
            setattr(owner, name, value)
