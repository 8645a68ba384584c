"""Ray Tune without pandas and Ray Data, which it imports and nothing here asks it for.

They are half of what it imports: 0.4 s of CPU before the first trial, and 55 MB of the driver's.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from trainables.stand_ins import StandIn

_TUNE, _TABLES, _DATA = "ray.tune", "pandas", "ray.data"
_NAME = "out_of_band_serialize_dataset"
_PICKLING = f"ray.tune.impl.{_NAME}"


class _Table:
    """What Tune has for pandas' DataFrame: a real one whenever it makes one."""

    def __new__(cls, *given: Any, **named: Any) -> Any:
        return importlib.import_module(_TABLES).DataFrame(*given, **named)


@contextmanager
def _pickling_datasets() -> Iterator[None]:
    """Let Ray's data sets be pickled, as Tune does: without Ray Data there are none."""
    if _DATA not in sys.modules:
        yield
        return
    if vars(sys.modules[_PICKLING]).get(_NAME) is _pickling_datasets:
        del sys.modules[_PICKLING]
    with getattr(importlib.import_module(_PICKLING), _NAME)():
        yield


def import_tune() -> None:
    """Import Ray Tune; pandas and Ray Data come when somebody asks for them.

    Where one of them is there already, Tune has that.
    """
    if _TUNE in sys.modules:
        return
    with ExitStack() as stack:
        if _TABLES not in sys.modules:
            stack.enter_context(_instead(StandIn(_TABLES, DataFrame=_Table)))
        if _DATA not in sys.modules:
            stack.enter_context(_instead(StandIn(_DATA)))
            sys.modules[_PICKLING] = ModuleType(_PICKLING)
            setattr(sys.modules[_PICKLING], _NAME, _pickling_datasets)
        importlib.import_module(_TUNE)


@contextmanager
def _instead(stand_in: StandIn) -> Iterator[None]:
    stand_in.put(flat=True)
    try:
        yield
    finally:
        stand_in.take_away()
