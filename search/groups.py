"""Groups of configurations that cannot be told apart: letters, as many as the alphabet has."""

import string
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from search.statistics import apart_from, different, ranking

K = TypeVar("K", bound=Hashable)

# What groups are, as confirm.json says it.
LETTERS = "letters"  # see `letters`
LIKE_BEST = "like the best"  # "a" of what cannot be told apart from the best mean, "" of others
_ALPHABET = string.ascii_lowercase


def grouped(
    values: Mapping[K, Sequence[float]], cost: Mapping[K, float]
) -> tuple[str, dict[K, str]]:
    """Return which kind of groups there are, and that of each configuration, as text.

    Those of `letters`, and where they would be too many LIKE_BEST. Arguments and errors are those
    of `letters`.
    """
    found = letters(values, cost)
    if found is not None:
        return LETTERS, found
    apart = apart_from(values, ranking(values, cost)[0])
    return LIKE_BEST, {key: "" if key in apart else "a" for key in values}


def letters(values: Mapping[K, Sequence[float]], cost: Mapping[K, float]) -> dict[K, str] | None:
    """Return the letters of each configuration: those that share one cannot be told apart.

    A letter stands for a largest set in which no pair has p < 0.05 (see `p_values`), so two
    configurations share a letter exactly when they were not told apart. Letters go from the best
    mean down; equal means from the cheaper. They are those of Piepho, An algorithm for a
    letter-based representation of all-pairwise comparisons, 2004. Tens of configurations may need
    hundreds of letters, which nobody reads: None where it would be more than 26.

    Args:
        values: As `p_values` takes them; more is better.
        cost: Of each configuration, such as its parameters; less is better.

    Raises:
        ValueError: as `p_values`; a cost that is missing or not a number.
    """
    order = ranking(values, cost)
    groups = _largest(order, different(values))
    if groups is None:
        return None
    place = {key: i for i, key in enumerate(order)}
    groups.sort(key=lambda group: sorted(place[key] for key in group))
    named = list(zip(_ALPHABET, groups, strict=False))
    return {key: "".join(letter for letter, group in named if key in group) for key in values}


def _largest(order: Sequence[K], apart: Iterable[tuple[K, K]]) -> list[frozenset[K]] | None:
    """Return the largest sets without a pair that is told apart; None if over 26.

    One configuration after the other joins. Each largest set of fewer configurations lies in one
    of its own of more, so their number never falls: beyond 26 there is no way back, and the work
    is bounded by 26 sets for each configuration.
    """
    alike = {key: set(order) for key in order}
    for one, other in apart:
        alike[one].remove(other)
        alike[other].remove(one)
    groups: list[frozenset[K]] = [frozenset()]
    for key in order:
        joined = _absorbed(group & alike[key] | {key} for group in groups)
        groups = [group for group in groups if not group <= alike[key]] + joined
        if len(groups) > len(_ALPHABET):
            return None
    return groups


def _absorbed(groups: Iterable[frozenset[K]]) -> list[frozenset[K]]:
    """Leave out each group that lies inside another."""
    distinct = set(groups)
    return [group for group in distinct if not any(group < other for other in distinct)]
