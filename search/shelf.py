"""The place of studies that a command line names: which are there, and whether more may come."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.folder import STUDY_THERE, in_the_way, numbered
from search.manifest import parse_manifest, read_manifest
from search.places import below, is_remote, working_folder
from search.remote import Remote, StoreFailed

_MANIFEST = "study.json"


class Shelf:
    """The studies in a folder, or in a store; `folder` is where a driver works on them."""

    def __init__(self, text: str) -> None:
        """Look at the place `text`, a path or a URI that `check_place` has read."""
        self.text = text
        self.uri = text if is_remote(text) else None
        self.folder = working_folder(text).absolute()

    def mistake(self) -> str:
        """Return what is wrong with the place, or nothing."""
        if self.uri is None:
            right = _writable(self.folder)
            return "" if right else f"{self.text}: not a folder that can be written to"
        try:
            Remote(self.uri).check()
        except StoreFailed as error:
            return str(error)
        return ""

    def taken(self, name: str) -> str:
        """Return why a new study cannot have that name; nothing where it can."""
        if self.uri is not None:
            return STUDY_THERE if self.has(name) else ""
        return in_the_way(self.folder / name)

    def has(self, name: str) -> bool:
        """Tell whether there is such a study."""
        if self.uri is not None:
            return Remote(self.uri).entry(f"{name}/{_MANIFEST}") is not None
        return (self.folder / name / _MANIFEST).is_file()

    def free(self, name: str) -> Path:
        """Return the folder of a study of that name, or of the next free one: NAME-2, NAME-3."""
        return next(path for path in numbered(self.folder / name) if not self.taken(path.name))

    def manifest(self, name: str) -> Mapping[str, Any] | None:
        """Return study.json of a study; None if there is no such study.

        Raises:
            UsageError: it is damaged, or of another version.
        """
        if self.uri is None:
            path = self.folder / name / _MANIFEST
            return read_manifest(path) if path.is_file() else None
        try:
            content = Remote(below(self.uri, name)).read(_MANIFEST)
        except StoreFailed:
            return None  # told with the other mistakes
        if content is None:
            return None
        return parse_manifest(content, below(below(self.uri, name), _MANIFEST))


def _writable(folder: Path) -> bool:
    """Tell whether the folder, or the nearest that exists above it, can be written to."""
    nearest = folder.absolute()
    while True:
        try:
            mode = nearest.stat().st_mode
        except FileNotFoundError:
            nearest = nearest.parent
        except (OSError, ValueError):  # a name too long, a file for a folder, a NUL
            return False
        else:
            return stat.S_ISDIR(mode) and os.access(nearest, os.W_OK | os.X_OK)
