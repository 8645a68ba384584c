"""Which hyperparameters mattered, of completed trials alone: PED-ANOVA and fANOVA, by Optuna.

Stopped trials would tell of a few epochs what completed ones tell of all. PED-ANOVA (Watanabe and
others, IJCAI 2023) says what it took to be among the best tenth; fANOVA (Hutter and others, ICML
2014) how much of the variance a parameter explains by itself, in a forest fitted to the trials,
as a share of what all of them explain so: interactions are left out.
"""

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.trial import FrozenTrial

# Fewer say nothing that a table of them would not say better.
LEAST = 5
# PED-ANOVA looks at the best tenth, and needs five trials in it: so Optuna's own advice.
ENOUGH = 50
_SEED = 0  # of the forest: the same study gives the same numbers
# fANOVA's time grows with trees, with trials, and with 2 to the number of a hyperparameter's
# choices: with 13 and within these bounds it takes some seconds.
_TREES, _MANY_TREES, _FEW_TRIALS = 16, 64, 60
_TRIALS = 120
_CHOICES = 13


@dataclass(frozen=True)
class Importance:
    """`rows`: name, ped_anova, fanova, highest first; shares that add up to 1 in each column.

    NaN in fanova for a hyperparameter that some trials do not have. `n` completed trials; `note`
    says what is to be known before believing any of it, or why there are no rows.
    """

    rows: pd.DataFrame
    n: int
    note: str

    @property
    def about(self) -> str:
        """What the numbers are of."""
        drawn = f" It is of {_TRIALS} of these trials, drawn at random." * (self.n > _TRIALS)
        return (
            f"From {self.n} completed trials alone: stopped ones tell of fewer epochs. PED-ANOVA: "
            "what it took to be among the best tenth. fANOVA: of the variance that single "
            "hyperparameters explain, the part of each that every trial has, in one range, with "
            f"{_CHOICES} choices at most.{drawn}"
        )


def data(completed: "Sequence[FrozenTrial]", accuracies: Mapping[int, float]) -> Importance:
    """Return the importance of every hyperparameter that the completed trials vary.

    Args:
        completed: Trials of the journal that were completed, with params and distributions.
        accuracies: Validation accuracy of each, by its number.
    """
    used = [trial for trial in completed if trial.number in accuracies]
    n, nothing = len(used), pd.DataFrame(columns=["name", "ped_anova", "fanova"])
    if n < LEAST:
        what = f"{n} completed trial{'' if n == 1 else 's'}"
        return Importance(nothing, n, f"{what}: at least {LEAST} are needed to say anything")
    if len({accuracies[trial.number] for trial in used}) == 1:
        return Importance(nothing, n, f"all {n} completed trials have the same accuracy")
    if not _varying(used):
        return Importance(nothing, n, f"all {n} completed trials have the same configuration")
    study = _study(used, accuracies)
    rows = pd.DataFrame({"ped_anova": _ped_anova(study), "fanova": _fanova(study)})
    rows = rows.rename_axis("name").reset_index().sort_values(["ped_anova", "name"])
    note = (
        "" if n >= ENOUGH else f"only {n} completed trials: too few to rely on; {ENOUGH} would do"
    )
    return Importance(rows.iloc[::-1].reset_index(drop=True), n, note)


def _varying(trials: "Sequence[FrozenTrial]") -> list[str]:
    """Return the hyperparameters of which these trials have two values or more."""
    seen: dict[str, set[Any]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            seen.setdefault(name, set()).add(value)
    return sorted(name for name, values in seen.items() if len(values) > 1)


def _study(trials: "Sequence[FrozenTrial]", accuracies: Mapping[int, float]) -> "Study":
    """Return a study in memory that holds only these trials, and only what varies in them."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    names = set(_varying(trials))
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                params={k: v for k, v in trial.params.items() if k in names},
                distributions={k: v for k, v in trial.distributions.items() if k in names},
                value=accuracies[trial.number],
            )
        )
    return study


def _ped_anova(study: "Study") -> "pd.Series[float]":
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of too few trials, which the note says
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return _shares(found)


def _fanova(study: "Study") -> "pd.Series[float]":
    """Return fANOVA of what all trials have in one range: the forest takes no missing values.

    Empty where the trials differ in nothing of that: no tree has anything to divide.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    study = _sampled(study)
    trials = study.get_trials(deepcopy=False)
    common = _common(trials)
    if not common or len({trial.value for trial in trials}) == 1:
        return pd.Series(dtype="float64")
    trees = _MANY_TREES if len(trials) <= _FEW_TRIALS else _TREES
    evaluator = FanovaImportanceEvaluator(n_trees=trees, seed=_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental
        try:
            found = get_param_importances(study, evaluator=evaluator, params=common)
        except RuntimeError:  # by what they have in common no tree tells the trials apart
            return pd.Series(dtype="float64")
    return _shares(found)


def _common(trials: "Sequence[FrozenTrial]") -> list[str]:
    """Return what all trials have in one range, and of which they have two values or more."""
    names = set.intersection(*(set(_few_choices(trial)) for trial in trials))
    first = trials[0].distributions
    return [
        name
        for name in _varying(trials)
        if name in names and all(trial.distributions[name] == first[name] for trial in trials)
    ]


def _few_choices(trial: "FrozenTrial") -> list[str]:
    kinds = trial.distributions.items()
    return [name for name, kind in kinds if len(getattr(kind, "choices", ())) <= _CHOICES]


def _sampled(study: "Study") -> "Study":
    """Return a study of at most `_TRIALS` of the trials, drawn at random."""
    import optuna

    trials = study.get_trials(deepcopy=False)
    if len(trials) <= _TRIALS:
        return study
    fewer = optuna.create_study(direction="maximize")
    fewer.add_trials(random.Random(_SEED).sample(trials, _TRIALS))
    return fewer


def _shares(found: Mapping[str, float]) -> "pd.Series[float]":
    """Return values that add up to 1, or all 0 where they do not say anything."""
    values = pd.Series(dict(found), dtype="float64").fillna(0.0)
    total = float(values.sum())
    return values / total if total > 0 else values * 0.0


_METHODS = (("ped_anova", "PED-ANOVA", style.BLUE), ("fanova", "fANOVA", style.ORANGE))


def charts(importance: Importance) -> list[style.Chart]:
    """Return one chart, two bars for each hyperparameter."""
    rows = importance.rows
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": style.labels(rows["name"].tolist()),
            "x": [None if pd.isna(value) else value for value in rows[column]],
            "marker": {"color": colour},
            "hovertemplate": "%{y}: %{x:.0%}<extra>" + name + "</extra>",
        }
        for column, name, colour in _METHODS
    ]
    return [
        style.chart(
            traces,
            height=110 + 36 * len(rows),
            barmode="group",
            bargap=0.3,
            xaxis=style.axis("share of the importance", tickformat=".0%"),
            yaxis=style.axis("", autorange="reversed", type="category"),
        )
    ]


def draw(importance: Importance) -> "Figure":
    """Return the same as one drawing."""
    rows = importance.rows
    figure = style.new_figure(7.4, 1.0 + 0.36 * len(rows))
    axes = figure.subplots()
    for offset, (column, name, colour) in zip((-0.2, 0.2), _METHODS, strict=True):
        places = [i + offset for i in range(len(rows))]
        axes.barh(places, rows[column].fillna(0.0), height=0.36, color=colour, label=name)
    axes.set_yticks(range(len(rows)), rows["name"].tolist())
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"share of the importance ({importance.n} completed trials)")
    style.percent(axes.xaxis)
    style.legend(axes)
    return figure
