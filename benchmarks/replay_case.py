"""One replayed study: what searches, with how many workers, and whether its best are confirmed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from search.names import ACCURACY


@dataclass(frozen=True)
class Confirming:
    """The search ends after a share of the horizon; its `top` are trained on so many seeds."""

    searched: float
    top: int
    seeds: int


@dataclass(frozen=True)
class Case:
    """One simulated study."""

    sampler: str
    stopper: str
    workers: int
    seed: int
    how: Confirming | None = None  # None: the search alone, to the end of the horizon
    compared: str = ACCURACY  # what rungs compare: search/compared.py

    FIELDS: ClassVar = (
        *("sampler", "stopper", "workers", "seed", "searched", "top", "seeds", "compared"),
    )

    @property
    def stopping(self) -> str:
        """How trials are stopped, in words."""
        return self.stopper + (f" by {self.compared}" if self.compared != ACCURACY else "")

    def values(self) -> list[Any]:
        """Return the values of FIELDS; a search alone has neither top nor seeds."""
        how = self.how
        confirming = [1.0, "", ""] if how is None else [how.searched, how.top, how.seeds]
        return [self.sampler, self.stopper, self.workers, self.seed, *confirming, self.compared]

    @classmethod
    def read(cls, row: Mapping[str, str]) -> "Case":
        """Return the case whose `values` a row of a CSV file has.

        Raises:
            ValueError: what has to be a number is none.
        """
        how = None
        if row["top"]:
            how = Confirming(float(row["searched"]), int(row["top"]), int(row["seeds"]))
        workers, seed = int(row["workers"]), int(row["seed"])
        return cls(row["sampler"], row["stopper"], workers, seed, how, row["compared"])

    def with_seed(self, seed: int) -> "Case":
        """Return the same with another seed."""
        return replace(self, seed=seed)
