"""`--warm-start STUDY...`: the best configurations of earlier studies, tried first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from search.at_odds import at_odds
from search.domains import Domain, config_key, configuration, domains
from search.errors import StudyFailed
from search.experiment import Experiment
from search.options import Mistakes
from search.past import ranked, read_records
from search.places import check_place
from search.records import Record
from search.resolve import resolve_study
from trainables.errors import TrellisError

# Half of the ten trials that TPE draws at random before it models anything: enough for a region
# that was good before to be seen, few enough that a study on other data is not bound to it.
MOST = 5


@dataclass(frozen=True)
class Inherited:
    """A configuration taken over: from trial `trial` of `study`, as it is in the new space."""

    study: str
    trial: int
    config: Mapping[str, Any]


def read_warm_start(
    words: Sequence[str],
    results: Path | str,
    experiment: Experiment,
    fixed: Mapping[str, Any],
    trials: int,
    wrong: Mistakes,
) -> tuple[Inherited, ...]:
    """Return what a new study begins with after the published configuration, `MOST` at most.

    The studies take turns, each with its best first: accuracies on different data do not compare.

    Args:
        words: Studies, by name under `results` or as paths or URIs.
        results: Where studies lie, a folder or a URI.
        experiment: Of the new study.
        fixed: What the new study holds.
        trials: Its trials in all, the published one included.
        wrong: Gets a line for every study of which nothing can be used.
    """
    if words and trials < 2:
        wrong.append("--warm-start: --trials 1 leaves no trial after the published configuration")
        return ()
    found = [_usable(word, results, experiment, fixed, wrong) for word in dict.fromkeys(words)]
    first = configuration(experiment.space(), {**experiment.defaults(), **fixed})
    chosen = {config_key(first): Inherited("", 0, first)}
    for each in (one for turn in zip_longest(*found) for one in turn if one is not None):
        chosen.setdefault(config_key(each.config), each)
    return tuple(chosen.values())[1 : 1 + min(MOST, trials - 1)]


def _usable(
    word: str,
    results: Path | str,
    experiment: Experiment,
    fixed: Mapping[str, Any],
    wrong: Mistakes,
) -> list[Inherited]:
    if wrong.parse("--warm-start", word, check_place, shown=False) is None:
        return []
    try:
        folder = resolve_study(word, results, weights=False)
        best = ranked(read_records(folder))
        if not best:
            raise StudyFailed("none of its trials has finished")
        found = list(_taken_over(folder.resolve().name, best, experiment, fixed))
    except TrellisError as error:
        wrong.append(f"--warm-start {word}: {error}")
        return []
    if not found:
        names = ", ".join(sorted(domains(experiment.space(), experiment.defaults())))
        wrong.append(
            f"--warm-start {word}: nothing of it can be used: no finished trial differs from the "
            f"published configuration in what {experiment.name} searches and does not hold, of "
            f"{names}"
        )
    return found


def _taken_over(
    study: str, best: Sequence[Record], experiment: Experiment, fixed: Mapping[str, Any]
) -> Iterator[Inherited]:
    """Yield what the space takes of each, the rest as published; what gives the published one not.

    Values beyond the searched choices, such as other classes, stay behind: they are held by --fix.
    """
    space, base = experiment.space(), {**experiment.defaults(), **fixed}
    known = domains(space, base)
    published = configuration(space, base)
    for record in best:
        values = {n: v for n, v in record.config.items() if _takes(known.get(n), v)}
        config = configuration(space, {**base, **values, **fixed})
        if config != published and not any(at_odds(experiment, config, fixed)):
            yield Inherited(study, record.number, config)


def _takes(domain: Domain | None, value: Any) -> bool:
    return domain is not None and domain.contains(value)
