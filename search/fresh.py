"""Keeps trials.csv up to date at a bounded cost: the whole table is written anew each time."""

import time
from collections.abc import Mapping

from search.folder import StudyFolder
from search.records import Record

# A table so short is written at every event: a few milliseconds, most of them for the disk.
_SHORT = 32
_EVERY_S = 0.5
# Of a longer one, writing takes at most this part of the driver's time.
_SHARE = 0.05


class FreshTable:
    """trials.csv of a running study, derived from its records; behind them by seconds at most."""

    def __init__(self, folder: StudyFolder, records: Mapping[int, Record]) -> None:
        """Write `records`, as they are at the time, into `folder`."""
        self._folder = folder
        self._records = records
        self._behind = False
        self._next = time.monotonic()

    def changed(self) -> None:
        """Take note that records have changed; write them if it is time."""
        self._behind = True
        self.write_due()

    def write_due(self) -> None:
        """Write what has changed if it is time; called now and then, it misses nothing."""
        began = time.monotonic()
        if not self._behind or (len(self._records) > _SHORT and began < self._next):
            return
        self._folder.write_trials(self._records.values())
        ended = time.monotonic()
        self._behind = False
        self._next = ended + max(_EVERY_S, (ended - began) / _SHARE)
