"""What replayed searches found, as tables."""

from collections.abc import Sequence

from benchmarks.replay_case import Case
from benchmarks.simulation import Step, regret_at
from search.statistics import student_interval

_MOMENTS = (0.125, 0.25, 0.5, 1.0)  # of the horizon
Studies = Sequence[tuple[Case, Sequence[Step]]]


def report(studies: Studies, horizons: dict[int, float]) -> None:
    """Print the regret of each kind of study, mean and interval: searches, then confirmed ones.

    `horizons` are the seconds of a whole search by number of workers. Searches are shown at
    moments of it; confirmed ones once, with the share of it that all took.
    """
    searched = [(case, steps) for case, steps in studies if case.how is None]
    if searched:
        _print_searches(searched, horizons)
    judged = [(case, steps) for case, steps in studies if case.how is not None]
    if judged:
        _print_confirmed(judged, horizons)


def _print_searches(studies: Studies, horizons: dict[int, float]) -> None:
    moments = " | ".join(f"{share:g} of the time" for share in _MOMENTS)
    print(f"| sampler | stopper | workers | seconds | {moments} |")
    print("| --- | --- | --- | --- |" + " --- |" * len(_MOMENTS))
    for kind, of_kind in _kinds(studies).items():
        horizon_s = horizons[kind.workers]
        cells = [
            _interval([regret_at(steps, share * horizon_s) for steps in of_kind])
            for share in _MOMENTS
        ]
        begin = [kind.sampler, kind.stopping, str(kind.workers), f"{horizon_s:.0f}"]
        print(f"| {' | '.join([*begin, *cells])} |")


def _print_confirmed(studies: Studies, horizons: dict[int, float]) -> None:
    print("| sampler | stopper | workers | searched | top x seeds | all took, most | regret |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind, of_kind in _kinds(studies).items():
        assert kind.how is not None
        shares = [steps[-1].seconds / horizons[kind.workers] for steps in of_kind]
        took = f"{sum(shares) / len(shares):.2f}, {max(shares):.2f}"
        begin = [kind.sampler, kind.stopping, str(kind.workers), f"{kind.how.searched:g}"]
        regret = _interval([steps[-1].regret for steps in of_kind])
        cells = [*begin, f"{kind.how.top} x {kind.how.seeds}", took, regret]
        print(f"| {' | '.join(cells)} |")


def _kinds(studies: Studies) -> dict[Case, list[Sequence[Step]]]:
    """Return the studies that differ in their seed alone, under the first one's case."""
    found: dict[Case, list[Sequence[Step]]] = {}
    for case, steps in studies:
        found.setdefault(case.with_seed(0), []).append(steps)
    return found


def _interval(values: Sequence[float]) -> str:
    found = student_interval(values)
    spread = "" if found.high is None else f" ± {found.high - found.mean:.4f}"
    return f"{found.mean:.4f}{spread}"
