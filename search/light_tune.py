"""Ray Tune without pandas and Ray Data, which it imports and nothing here asks it for.

They are half of what it imports: 0.4 s of CPU before the first trial, and 55 MB of the driver's.
"""

import importlib
import sys

from trainables.stand_ins import StandIn

_TUNE, _TABLES, _DATA = "ray.tune", "pandas", "ray.data"


class _Unused:
    """A class that Tune names in its signatures, and makes nothing of."""


def import_tune() -> None:
    """Import Ray Tune; pandas and Ray Data come when somebody asks for more than their classes.

    Where one of them is there already, Tune has that.
    """
    if _TUNE in sys.modules:
        return
    if _DATA not in sys.modules:
        StandIn(_DATA, Dataset=_Unused).put()
    if _TABLES in sys.modules:
        importlib.import_module(_TUNE)
        return
    # No package, so that a class can be imported from it without bringing it.
    tables = StandIn(_TABLES, DataFrame=_Unused, __path__=None)
    tables.put()
    try:
        importlib.import_module(_TUNE)
    finally:
        if sys.modules.get(_TABLES) is tables:
            del sys.modules[_TABLES]
