"""Ray Tune's own OptunaSearch and ASHAScheduler, for searches on recorded curves (replay.py).

They get the calls that Tune's controller makes, in its order, with no process beneath: what they
decide is theirs. All settings are the defaults, as in benchmarks/peers/with_ray_tune.py; the
sampler's arithmetic is done sooner (benchmarks/stock_sampler.py).
"""

import logging
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.stock_sampler import StockSampler
from search.book import Assignment
from search.experiment import Experiment
from search.plan import Plan, published
from search.sampler import FixedTrial
from trainables.seeds import derive

METRIC = "val_accuracy"
_CONTROLLER: Any = None  # this scheduler asks nothing of it


class StockSearch:
    """Suggests and stops for one study as stock Ray Tune does; nothing is kept on disk.

    Trial 0 is the published configuration, as in a study of ours. `plan` gives the most trials
    and epochs, the seed and what is held.
    """

    def __init__(self, experiment: Experiment, plan: Plan) -> None:
        """Begin an empty study."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every draw
        logging.getLogger("ray.tune.search.optuna").setLevel(logging.ERROR)  # and of every NaN
        self._plan = plan
        self._space, self._fixed = experiment.space(), plan.fixed
        first = published(experiment, plan)
        drawn = {name: value for name, value in first.items() if name not in self._fixed}
        self._searcher = OptunaSearch(
            self._draw, metric=METRIC, mode="max", sampler=StockSampler(plan.seed),
            points_to_evaluate=[drawn],
        )  # fmt: skip
        self._scheduler = ASHAScheduler(metric=METRIC, mode="max", max_t=plan.max_epochs)
        self.records: dict[int, Mapping[str, Any]] = {}  # configurations, by trial

    def next(self) -> Assignment | None:
        """Return the next trial; None when all have begun."""
        number = len(self.records)
        if number == self._plan.trials:
            return None
        config = self._searcher.suggest(str(number))
        assert config is not None  # OptunaSearch always has another
        self.records[number] = config
        self._scheduler.on_trial_add(_CONTROLLER, _trial(number))
        return Assignment(number, config, derive(self._plan.seed, "trial", number), -1.0)

    def report(self, number: int, row: Mapping[str, Any]) -> bool:
        """Take in an epoch; tell whether the trial stops, and then it has ended.

        One whose loss is not finite fails, as if its function had raised an error.
        """
        if not math.isfinite(row[METRIC]):
            self.end(number, "failed")
            return True
        result = {METRIC: row[METRIC], "training_iteration": row["epoch"]}
        answer = self._scheduler.on_trial_result(_CONTROLLER, _trial(number), result)
        stops: bool = answer == TrialScheduler.STOP
        if stops:
            self._scheduler.on_trial_remove(_CONTROLLER, _trial(number))
            self._searcher.on_trial_complete(str(number), result)
        else:
            self._searcher.on_trial_result(str(number), result)
        return stops

    def end(self, number: int, outcome: str) -> None:
        """End a trial that did not stop; all that complete do, at their last epoch."""
        self._searcher.on_trial_complete(str(number), None, error=outcome == "failed")
        self._scheduler.on_trial_remove(_CONTROLLER, _trial(number))

    def _draw(self, trial: Any) -> dict[str, Any]:
        return self._space(FixedTrial(trial, self._fixed))


def _trial(number: int) -> Any:
    """Return as much of a Tune trial as the scheduler looks at."""
    return SimpleNamespace(trial_id=str(number))
