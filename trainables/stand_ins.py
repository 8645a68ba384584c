"""A stand-in for a module whose import costs much, and of which little is asked."""

import importlib
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class StandIn(ModuleType):
    """Answers what it was told to; for all else the real module comes."""

    def __init__(self, name: str, **answers: Any) -> None:
        """Stand for the module `name`, which is imported at the first other question."""
        super().__init__(name)
        self._answers = tuple(answers)
        self._flat: int | None = None
        vars(self).update(answers)

    def put(self, flat: bool = False) -> None:
        """Take the module's place among those imported, and in its package.

        `flat`: it is no package for this thread, so that `from NAME import ...` asks it first.
        """
        self._flat = threading.get_ident() if flat else None
        sys.modules[self.__name__] = self
        self._tell_package(self)
        sys.meta_path.insert(0, _Parts(self.__name__))

    def take_away(self) -> None:
        """Let the next import of the module bring it; who has this stand-in asks the module."""
        self._flat = None
        for name in self._answers:
            vars(self).pop(name, None)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
            self._tell_package(None)

    def __getattr__(self, name: str) -> Any:
        """Give way to the real module, also where it is imported as a package.

        `inspect` looks at the file of every module, in the middle of others' imports: that is no
        reason to.
        """
        stands = sys.modules.get(self.__name__) in (self, None)
        flat = self._flat == threading.get_ident()
        if stands and name.startswith("__") and (flat or name != "__path__"):
            raise AttributeError(f"a stand-in of {self.__name__} has no {name}")
        if sys.modules.get(self.__name__) is self:
            sys.modules.pop(self.__name__, None)  # another thread may be as far
            self._tell_package(importlib.import_module(self.__name__))
        return getattr(importlib.import_module(self.__name__), name)

    def _tell_package(self, module: ModuleType | None) -> None:
        package, _, name = self.__name__.rpartition(".")
        if package and module is None:
            vars(importlib.import_module(package)).pop(name, None)
        elif package:
            setattr(importlib.import_module(package), name, module)


class _Parts:
    """Finds parts of a module that were imported with it, when a stand-in gave way to it.

    `import NAME.part` asks NAME for its path, whereupon the real one comes, mostly with that part.
    Python does not look for it again, and would execute it a second time.
    """

    def __init__(self, name: str) -> None:
        self._begin = f"{name}."

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import `name` if it is there already; never for a reload."""
        here = sys.modules.get(name) if name.startswith(self._begin) else None
        spec = getattr(here, "__spec__", None)
        if here is None or target is not None or spec is None:
            return None
        if getattr(spec, "_initializing", False):
            return None
        return ModuleSpec(name, _There(here, spec), origin=spec.origin)


class _There(Loader):
    """Loads a module that is there."""

    def __init__(self, module: ModuleType, spec: ModuleSpec) -> None:
        self._module, self._spec = module, spec

    def create_module(self, _: ModuleSpec) -> ModuleType:
        """Return the module."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Execute nothing."""
        module.__spec__, module.__loader__ = self._spec, self._spec.loader
