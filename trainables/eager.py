"""torch without its compiler, which nothing here uses: importing it would cost a worker a second.

The first optimizer, and much on the meta device, import `torch._dynamo` (800 modules, 70 MB) to
tell the compiler to leave them alone.
"""

import sys
from collections.abc import Callable
from typing import Any

from trainables.stand_ins import StandIn

_NAME = "torch._dynamo"


def spare_compiler() -> None:
    """Keep torch from importing its compiler until somebody compiles. Results are the same."""
    if _NAME in sys.modules:
        return
    StandIn(_NAME, disable=_as_it_is, graph_break=_nothing).put()


def _as_it_is(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    return _as_it_is if function is None else function


def _nothing(*_: Any, **__: Any) -> None:
    pass
