"""What a define-by-run space offers: every hyperparameter with its domain, found by running it.

Knows the space function only, not Optuna: a recording object stands in for the trial.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.experiment import Space

_SWEEP_POINTS = 5
_FEW = 20  # whole numbers, each of which is tried


@dataclass(frozen=True)
class Domain:
    """The values that a hyperparameter may take: listed choices, or a range.

    `reader` is for one that may be held at more than the choices that are searched: it returns
    the value that a text names, or raises ValueError with what is valid.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    integer: bool = False
    reader: Callable[[str], Any] | None = None

    def describe(self) -> str:
        """Return the valid values for a message."""
        if self.choices:
            return ", ".join(str(choice) for choice in self.choices)
        scale = " (log scale)" if self.log else f" in steps of {self.step}" if self.step else ""
        kind = "whole numbers " if self.integer else ""
        return f"{kind}{self.low:g} to {self.high:g}{scale}"

    def contains(self, value: Any) -> bool:
        """Tell whether a trial may have this value."""
        if self.choices:
            return value in self.choices or self._reads(value)
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.integer and value != round(value):
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return abs(steps - round(steps)) < 1e-6

    def parse(self, text: str) -> Any:
        """Return the value that `text` names.

        Raises:
            ValueError: not in the domain; the message lists what is.
        """
        for choice in self.choices:
            if is_written(text, choice):
                return choice
        if self.reader is not None:
            try:
                return self.reader(text)
            except ValueError as error:
                raise ValueError(f"{self.name} {error}") from None
        if not self.choices:
            try:
                value = int(text) if self.integer else float(text)
            except ValueError:
                value = math.nan
            if self.contains(value):
                return value
        one_of = "one of " if self.choices or self.integer else ""
        raise ValueError(f"{self.name} must be {one_of}{self.describe()}; got {text!r}")

    def sweep(self, points: int = _SWEEP_POINTS) -> list[Any]:
        """Return every choice or step, else `points` spread evenly over the range, 2 or more."""
        if self.choices:
            return list(self.choices)
        if self.step is not None:
            return [self._stepped(i) for i in range(self._steps + 1)]
        if self.integer and self.high - self.low < points:
            return list(range(int(self.low), int(self.high) + 1))
        shares = [i / (points - 1) for i in range(points)]
        return list(dict.fromkeys(self.at(share) for share in shares))

    @property
    def endless(self) -> bool:
        """Whether it has more values than a sweep has points."""
        if self.choices or self.step is not None:
            return False
        return self.high - self.low >= _SWEEP_POINTS if self.integer else self.high > self.low

    def at(self, share: float) -> Any:
        """Return the number at a share of the range, in [0, 1]; of its logarithm if drawn so."""
        if self.log:
            return self._number(self.low * (self.high / self.low) ** share)
        value = self.low + (self.high - self.low) * share
        if self.step is not None:
            return self._stepped(min(round((value - self.low) / self.step), self._steps))
        return self._number(value)

    def share(self, value: float) -> float:
        """Return where in its range a number lies, in [0, 1]: what `at` turns back."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low) if high > low else 0.0

    def _reads(self, value: Any) -> bool:
        try:
            return self.reader is not None and self.reader(str(value)) == value
        except ValueError:
            return False

    @property
    def _steps(self) -> int:
        """How many whole steps there are: a rest before `high` is none, as in Optuna."""
        assert self.step is not None
        return math.floor((self.high - self.low) / self.step + 1e-9)

    def _stepped(self, count: int) -> Any:
        assert self.step is not None
        return self._number(round(self.low + count * self.step, 12))

    def _number(self, value: float) -> Any:
        return round(value) if self.integer else float(min(max(value, self.low), self.high))


class ValueTrial:
    """Acts like an Optuna trial, answers from given values, and records every domain asked."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Answer with `values`; a name that is absent gets its first or lowest value."""
        self._values = values
        self.domains: dict[str, Domain] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Answer one of `choices`."""
        return self._answer(Domain(name, choices=tuple(choices)), choices[0])

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> Any:
        """Answer a float in [low, high]."""
        return as_float(self._answer(Domain(name, (), low, high, step, log), low))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> Any:
        """Answer a whole number in [low, high]."""
        return self._answer(Domain(name, (), low, high, None if log else step, log, True), low)

    def _answer(self, domain: Domain, otherwise: Any) -> Any:
        self.domains[domain.name] = domain
        return self._values.get(domain.name, otherwise)


def as_float(value: Any) -> Any:
    """Return a whole number as a float: 0 and 0.0 of one range are the same configuration."""
    return float(value) if isinstance(value, int) else value


def configuration(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that `values` make: the names in force, each with its value."""
    return space(ValueTrial(values))


def config_key(config: Mapping[str, Any]) -> str:
    """Return a text that equal configurations share: 0 and 0.0 are the same, 1 and True not."""
    return json.dumps({name: _whole(value) for name, value in config.items()}, sort_keys=True)


def _whole(value: Any) -> Any:
    """Return a float that is a whole number as that; no int as a float, which has 53 bits."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_written(text: str, value: Any) -> bool:
    """Tell whether a text is a way to write a value: of a number any, such as 1e-3 of 0.001."""
    if str(value) == text:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return _number(text) == value
    except ValueError:
        return False


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def outside(space: Space, config: Mapping[str, Any], held: Collection[str] = ()) -> list[Domain]:
    """Return the domains, as they are beside its other values, that a configuration leaves.

    What is `held` is not looked at: it may have a value that no trial would draw.
    """
    trial = ValueTrial(config)
    space(trial)
    asked = [domain for name, domain in trial.domains.items() if name not in held]
    return [each for each in asked if each.name in config and not each.contains(config[each.name])]


def domains(
    space: Space,
    defaults: Mapping[str, Any],
    readers: Mapping[str, Callable[[str], Any]] | None = None,
    held: Collection[str] = (),
) -> dict[str, Domain]:
    """Return every hyperparameter of a space, conditional ones too.

    Tries every choice of every hyperparameter with the others at their defaults, and beneath a
    choice the choices of what only that one brings; of whole numbers all where they are few, else
    the ends of the range. What takes two independent choices at once to appear is not found; no
    readable space should need it. Of a range that hangs on another choice this is the one beside
    the defaults. `readers` go into the domains of their names. Of those `held` no other choice is
    tried: what is found can be in force with them.
    """
    found: dict[str, Domain] = {}
    pending: list[dict[str, Any]] = [{}]
    while pending:
        change = pending.pop(0)
        trial = ValueTrial({**defaults, **change})
        space(trial)
        for name, domain in trial.domains.items():
            if name not in found:
                found[name] = replace(domain, reader=(readers or {}).get(name))
                others = () if name in held else _tried(domain)
                pending += [{**change, name: choice} for choice in others]
    return found


def _tried(domain: Domain) -> Sequence[Any]:
    """Return the values at which other hyperparameters may come in."""
    if not domain.integer or domain.choices:
        return domain.choices
    few = domain.step is None or domain.high - domain.low < _FEW * domain.step
    return domain.sweep() if few else (domain.at(0), domain.at(1))


def _sweep_points(word: str, known: Mapping[str, Domain]) -> list[tuple[str, Any]]:
    name, _, texts = word.partition("=")
    if not texts:
        return [(name, value) for value in known[name].sweep()]
    try:  # a value may hold a comma itself
        return [(name, known[name].parse(texts))]
    except ValueError:
        return [(name, known[name].parse(text)) for text in texts.split(",")]


def one_at_a_time(
    space: Space, values: Mapping[str, Any], known: Mapping[str, Domain], names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the configuration of `values`, then one per value of every name, without repeats.

    A name stands alone, or with the values that are wanted: "dropout", "dropout=0.2,0.4".

    Raises:
        ValueError: a value outside its domain.
    """
    seen: list[dict[str, Any]] = []
    changes = [{name: value} for word in names for name, value in _sweep_points(word, known)]
    for change in [dict[str, Any](), *changes]:
        candidate = configuration(space, {**values, **change})
        if candidate not in seen:
            seen.append(candidate)
            yield candidate
