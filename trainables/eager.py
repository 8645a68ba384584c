"""torch without its compiler, which nothing here uses: importing it would cost a worker a second.

The first optimizer, and much on the meta device, import `torch._dynamo` (800 modules, 70 MB) to
tell the compiler to leave them alone.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

_NAME = "torch._dynamo"


class _StandIn(ModuleType):
    """Answers what code asks that wants to be left alone; for all else the real one comes."""

    def __getattr__(self, name: str) -> Any:
        """Give way to the real module, also where it is imported as a package.

        `inspect` looks at the file of every module, in the middle of others' imports: that is no
        reason to.
        """
        if name.startswith("__") and name != "__path__":
            raise AttributeError(f"a stand-in of {_NAME} has no {name}")
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
            torch._dynamo = importlib.import_module(_NAME)
        return getattr(sys.modules[_NAME], name)


def spare_compiler() -> None:
    """Keep torch from importing its compiler until somebody compiles. Results are the same."""
    if _NAME in sys.modules:
        return
    found = _StandIn(_NAME)
    found.disable = _as_it_is  # type: ignore[attr-defined]
    found.graph_break = _nothing  # type: ignore[attr-defined]
    sys.modules[_NAME] = found
    torch._dynamo = found


def _as_it_is(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
    return function


def _nothing(*_: Any, **__: Any) -> None:
    pass
