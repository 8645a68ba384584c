"""A search on recorded curves that is ended early, then `search.confirm` on fresh seeds."""

import heapq
from collections.abc import Iterable, Sequence

from benchmarks.record_curves import EXPERIMENT
from benchmarks.replay_answers import Answers
from benchmarks.replay_case import Confirming
from benchmarks.replay_table import best_accuracy
from benchmarks.simulation import Step, simulated, steps_of
from search.book import Assignment
from search.catalog import find
from search.contenders import best_contenders, training_plan
from search.plan import Plan, listed, trial_seed
from search.records import Record
from search.statistics import recommend


def search_and_confirm(
    table: Answers, plan: Plan, workers: int, horizon_s: float, how: Confirming
) -> Step:
    """Search in simulated time, then confirm with as many workers; return the last step.

    As by `search.run --time-budget` and `search.confirm`: trials that are running when the time is
    up are no contenders, the published configuration always is one, all are trained to the end.
    Without a trial that has ended there is nothing to confirm: regret is 1, the largest.
    """
    searched_s = how.searched * horizon_s
    with simulated(plan) as book:
        for _ in steps_of(table, book, workers, searched_s):
            pass
        records = list(book.records.values())
    if not any(record.counts for record in records):
        return Step(searched_s, 1.0, len(records))
    return confirmed(table, plan, records, workers, searched_s, how)


def confirmed(
    table: Answers,
    plan: Plan,
    records: Sequence[Record],
    workers: int,
    begun_s: float,
    how: Confirming,
) -> Step:
    """Train the best of a search on fresh seeds from `begun_s` on; return the recommended one.

    Of ties it is the one that trains fastest: how many parameters it has, by which search.confirm
    decides, was not recorded of all.
    """
    experiment = find(EXPERIMENT)
    chosen = best_contenders(experiment, plan.fixed, records, how.top)
    again = training_plan(plan.as_json(), chosen, how.seeds)
    configs = listed(experiment, again)
    runs = [
        table.run(Assignment(number, config, trial_seed(again, number), -1.0))
        for number, config in enumerate(configs)
    ]
    numbers = range(len(chosen))
    values = {n: [best_accuracy(run) for run in runs[n :: len(chosen)]] for n in numbers}
    durations = [sum(table.seconds(run)) for run in runs]
    best = recommend(values, {n: durations[n] for n in numbers})
    ends_s = _finished(workers, begun_s, durations)
    return Step(ends_s, table.regret(chosen[best].config), len(records) + len(runs))


def _finished(workers: int, begun_s: float, durations: Iterable[float]) -> float:
    """Return when the last of some trials ends, each given to the worker that is free first."""
    free = [begun_s] * workers
    for seconds in durations:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)
