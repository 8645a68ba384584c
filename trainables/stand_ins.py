"""A stand-in for a module whose import costs much, and of which little is asked."""

import importlib
import sys
from types import ModuleType
from typing import Any


class StandIn(ModuleType):
    """Answers what it was told to; for all else the real module comes."""

    def __init__(self, name: str, **answers: Any) -> None:
        """Stand for the module `name`, which is imported at the first other question."""
        super().__init__(name)
        vars(self).update(answers)

    def put(self) -> None:
        """Take the module's place among those imported, and in its package."""
        sys.modules[self.__name__] = self
        self._tell_package(self)

    def __getattr__(self, name: str) -> Any:
        """Give way to the real module, also where it is imported as a package.

        `inspect` looks at the file of every module, in the middle of others' imports: that is no
        reason to.
        """
        if name.startswith("__") and name != "__path__":
            raise AttributeError(f"a stand-in of {self.__name__} has no {name}")
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
            self._tell_package(importlib.import_module(self.__name__))
        return getattr(importlib.import_module(self.__name__), name)

    def _tell_package(self, module: ModuleType) -> None:
        package, _, name = self.__name__.rpartition(".")
        if package:
            setattr(importlib.import_module(package), name, module)
