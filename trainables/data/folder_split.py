"""Divides the images of a folder into train, validation and test: 70/15/15 of every class.

Within a class every condition (day, night, ...) is divided in the same shares. The split depends
on the seed and the files' names only, so it is the same on every machine.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from trainables.data.source import SPLITS

SHARES = (70, 15, 15)  # percent, in the order of SPLITS


def apportion(total: int, weights: Sequence[int], first: int = 0) -> list[int]:
    """Divide `total` into whole parts in proportion to `weights`, by largest remainder.

    Every part is the exact share rounded down or up. Equal remainders are served in order, from
    position `first` on.
    """
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(
        range(len(weights)),
        key=lambda i: (-(total * weights[i] % whole), (i - first) % len(weights)),
    )
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def quotas(count: int) -> list[int]:
    """Return how many of `count` >= 3 images of a class go to each split: at least one."""
    parts = apportion(count, SHARES)
    for i, part in enumerate(parts):
        if part == 0:
            parts[parts.index(max(parts))] -= 1
            parts[i] = 1
    return parts


def assign(strata: Mapping[str, tuple[str, str]], seed: int) -> dict[str, str]:
    """Return the split of every file, given the (class, condition) of each.

    Class counts are `quotas` exactly. A condition's count in a split differs from its share by
    less than 1.5 images.
    """
    classes: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, (name, condition) in strata.items():
        classes[name][condition].append(path)
    splits: dict[str, str] = {}
    for position, name in enumerate(sorted(classes)):
        splits.update(_assign_class(classes[name], seed, position))
    return splits


def _assign_class(conditions: Mapping[str, list[str]], seed: int, position: int) -> dict[str, str]:
    """Divide one class. `position` moves rounding ties from one condition to the next.

    Their order follows from the seed: many small ones, such as dates, would be divided at two
    dates if it was that of their names.
    """
    order = sorted(conditions, key=lambda condition: _rank(f"condition\0{condition}", seed))
    groups = [conditions[condition] for condition in order]
    sizes = [len(group) for group in groups]
    train, validation, _ = quotas(sum(sizes))
    trains = apportion(train, sizes, position)
    rests = [size - part for size, part in zip(sizes, trains, strict=True)]
    validations = apportion(validation, rests, position)
    splits: dict[str, str] = {}
    for group, first, second in zip(groups, trains, validations, strict=True):
        shuffled = sorted(group, key=lambda path: _rank(path, seed))
        names = [SPLITS[0]] * first + [SPLITS[1]] * second
        names += [SPLITS[2]] * (len(group) - len(names))
        splits.update(zip(shuffled, names, strict=True))
    return splits


def _rank(path: str, seed: int) -> bytes:
    # A hash per file, not a shuffle of the list: independent of the other files and their order.
    text = f"folder split\0{seed}\0{path}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
