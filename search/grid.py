"""The grid of a define-by-run space: every combination of its sweep points, conditional or not."""

import random
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from search.domains import Domain, ValueTrial
from search.experiment import Space
from trainables.seeds import derive

# Up to here a grid is walked whole before a sample is drawn (a second or less).
_WHOLE = 10_000
# So many draws in a row of known points tell that nearly all are known.
_AGAIN = 200


class GridTrial(ValueTrial):
    """Walks a space: answers question i with sweep point path[i], later ones with the first."""

    def __init__(self, fixed: Mapping[str, Any], path: list[int]) -> None:
        """Hold `fixed`; `lengths` tells afterwards how many points each question had.

        And `endless` whether one of them had more: a range without steps, which is not held.
        """
        super().__init__(fixed)
        self._path = path
        self.endless = False
        self.lengths: list[int] = []

    def _answer(self, domain: Domain, otherwise: Any) -> Any:
        if domain.name in self._values:
            return self._values[domain.name]
        self.endless |= domain.endless
        points = domain.sweep()
        self.lengths.append(len(points))
        return points[self._place(len(self.lengths) - 1, len(points))]

    def _place(self, question: int, _count: int) -> int:
        return self._path[question] if question < len(self._path) else 0


class _DrawnTrial(GridTrial):
    """Answers every question with a sweep point drawn at random."""

    def __init__(self, fixed: Mapping[str, Any], draws: random.Random) -> None:
        super().__init__(fixed, [])
        self._draws = draws

    def _place(self, _question: int, count: int) -> int:
        return self._draws.randrange(count)


def grid(space: Space, fixed: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the sweep points of all hyperparameters, the last fastest."""
    return (config for config, _ in _walked(space, fixed))


def all_if_fewer(
    space: Space, fixed: Mapping[str, Any], count: int
) -> list[dict[str, Any]] | None:
    """Return every configuration of a space, None if there are `count` or more of them."""
    found = first_points(space, fixed, count)
    return None if found is None or len(found) >= count else found


def first_points(
    space: Space, fixed: Mapping[str, Any], count: int
) -> list[dict[str, Any]] | None:
    """Return the first `count` points of a grid, fewer where there are no more.

    None where one of them has a value of a range without steps: the space has more than its grid.
    """
    found: list[dict[str, Any]] = []
    for config, endless in islice(_walked(space, fixed), count):
        if endless:
            return None
        found.append(config)
    return found


def _walked(space: Space, fixed: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the points of the grid, and whether a range there has more than its sweep points."""
    path: list[int] | None = []
    while path is not None:
        trial = GridTrial(fixed, path)
        yield space(trial), trial.endless
        path = _next_path(path + [0] * (len(trial.lengths) - len(path)), trial.lengths)


def _next_path(path: list[int], lengths: list[int]) -> list[int] | None:
    while path and path[-1] + 1 >= lengths[len(path) - 1]:
        path = path[:-1]
    return [*path[:-1], path[-1] + 1] if path else None


def grid_sample(
    space: Space, fixed: Mapping[str, Any], count: int, seed: int
) -> list[dict[str, Any]]:
    """Return `count` distinct points of the grid, all of them if it has fewer.

    A pure function of `seed`; the order is drawn too, so that any beginning is a fair sample.
    """
    draws = random.Random(derive(seed, "grid"))
    whole = _whole(space, tuple(fixed.items()))
    if whole is not None:
        every = list(whole)
        draws.shuffle(every)
        return [dict(point) for point in every[:count]]
    return [dict(point) for point in _drawn(space, tuple(fixed.items()), count, seed)]


@lru_cache(maxsize=1)
def _drawn(
    space: Space, fixed: tuple[tuple[str, Any], ...], count: int, seed: int
) -> tuple[dict[str, Any], ...]:
    """Return distinct points of a large grid; a search asks often at its start."""
    draws, held = random.Random(derive(seed, "grid")), dict(fixed)
    chosen: dict[str, dict[str, Any]] = {}
    again = 0  # draws in a row of what was drawn before
    while len(chosen) < count and again < _AGAIN:
        config = space(_DrawnTrial(held, draws))
        again = again + 1 if repr(config) in chosen else 0
        chosen.setdefault(repr(config), config)
    if len(chosen) < count:  # hardly any is left
        left = [config for config in grid(space, held) if repr(config) not in chosen]
        draws.shuffle(left)
        chosen |= {repr(config): config for config in left[: count - len(chosen)]}
    return tuple(chosen.values())


@lru_cache(maxsize=1)
def _whole(space: Space, fixed: tuple[tuple[str, Any], ...]) -> tuple[dict[str, Any], ...] | None:
    """Return all points of a grid, None of a large one; a search asks often at its start."""
    every = tuple(islice(grid(space, dict(fixed)), _WHOLE + 1))
    return every if len(every) <= _WHOLE else None
