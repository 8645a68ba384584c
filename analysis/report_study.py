"""What a report is made from: all that a study's folder holds, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures.savings import Activations
from analysis.frames import CONFIG, CURVE_TYPES, config_names, read_curves, read_manifest
from analysis.frames import read_trials as read_trial_rows
from analysis.pool import differing
from search.catalog import EXPERIMENTS
from search.confirmed import read_confirmation
from search.domains import configuration as in_force
from search.epochs import trial_epochs
from search.errors import StudyFailed
from search.experiment import Experiment
from search.planned import trials_in_all
from search.records import EPOCH
from trainables.errors import TrellisError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class ReportedStudy:
    """A study as a report sees it. `trials` and `curves` are as `analysis.frames` reads them.

    `journal` are the trials of the journal, none where it cannot be read; `notes` say that and
    the like. `confirmed` is the content of confirm.json, None before `search.confirm`.
    """

    folder: Path
    manifest: Mapping[str, Any]
    trials: pd.DataFrame
    curves: pd.DataFrame
    journal: "tuple[FrozenTrial, ...]"
    confirmed: Mapping[str, Any] | None
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The study's name: that of its folder."""
        return self.folder.resolve().name

    @property
    def budget(self) -> Mapping[str, Any]:
        """The plan: trials, max_epochs, rungs, ...; empty where study.json has none."""
        return self.manifest.get("budget") or {}

    @property
    def data(self) -> Mapping[str, Any]:
        """What study.json says of the data; empty where it says nothing."""
        return self.manifest.get("data") or {}

    @property
    def experiment(self) -> Experiment | None:
        """The catalog's entry; None for a study of an experiment that is no longer there."""
        return EXPERIMENTS.get(str(self.manifest.get("experiment")))

    @property
    def is_sweep(self) -> bool:
        """Whether `search.confirm` judges the study's own trials, and trains none anew."""
        from search.plan import repeats

        return repeats(self.budget)

    @property
    def seeds(self) -> int:
        """How many seeds every configuration was to be trained on."""
        return int(self.budget.get("seeds") or 1)

    @property
    def planned(self) -> int:
        """How many trials there are to be; 0 where the study does not say."""
        if not {"trials", "fixed", "seed"} <= set(self.budget):
            return int(self.budget.get("trials", 0))
        return trials_in_all(self.manifest)

    @property
    def as_published(self) -> str:
        """How configurations marked as the published one differ from it: what the search held."""
        defaults, fixed = self.manifest.get("defaults", {}), self.budget.get("fixed", {})
        whole, held = defaults, {**defaults, **fixed}
        if self.experiment is not None:  # only what is in force tells them apart
            space, known = self.experiment.space(), {**self.experiment.defaults(), **defaults}
            whole, held = in_force(space, known), in_force(space, {**known, **fixed})
        others = differing(whole, held)
        return f"published, but for {', '.join(others)}" if others else "published"

    @property
    def last_stage(self) -> str | None:
        """The stage whose epochs rungs count; None where trials have one stage."""
        stages = self.experiment.stage_epochs if self.experiment else ()
        return stages[-1].removesuffix("_epochs") if len(stages) > 1 else None

    def before_last_stage(self) -> dict[int, int]:
        """Return how many epochs each trial has before its last stage, done or not."""
        if self.experiment is None or self.last_stage is None:
            return {}
        earlier = self.experiment.stage_epochs[:-1]
        configs = {int(row["trial"]): configuration(row) for _, row in self.trials.iterrows()}
        return {
            number: sum(config[name] for name in earlier)
            for number, config in configs.items()
            if set(earlier) <= config.keys()  # another version's may have other stages
        }

    @property
    def validation_images(self) -> int | None:
        """Images that a validation accuracy is of; None where that is not known.

        Those of the target's classes for cifar10_transfer are a part of the split: not known.
        """
        if "target_classes" in config_names(self.trials):
            return None
        count = (self.data.get("sizes") or {}).get("validation")
        return int(count) if count else None

    def ended_s(self) -> dict[int, float]:
        """Return the seconds from the study's begin to the end of each trial of the journal."""
        begun = [t.datetime_start for t in self.journal if t.datetime_start is not None]
        if not begun:
            return {}
        return {
            trial.number: (trial.datetime_complete - min(begun)).total_seconds()
            for trial in self.journal
            if trial.datetime_complete is not None
        }

    def planned_epochs(self) -> dict[int, int]:
        """Return how many epochs each trial has if it is not stopped."""
        most = int(self.budget.get("max_epochs") or 0)
        if not most:
            return {}
        found = {}
        for _, row in self.trials.iterrows():
            config = configuration(row)
            number = int(row["trial"])
            known = self.experiment
            found[number] = int(trial_epochs(known, config, most)) if known else most
        return found

    def activations(self) -> Activations | None:
        """Return what stored activations saved; None for experiments that share none."""
        sizes = self.data.get("sizes") or {}
        if self.experiment is None or not self.experiment.shares or not sizes:
            return None
        shared = self.manifest.get("shared_work") or {}
        rows = [row for trial in self.journal for row in epoch_rows(trial)]
        made = [row for row in rows if row.get("frozen_images")]
        images = int(shared.get("images", 0)) + sum(int(row["frozen_images"]) for row in made)
        seconds = [shared["seconds"]] if shared.get("seconds") else []
        seconds += [row.get("prepared_s", 0.0) for row in made]
        return Activations(
            images=images,
            epochs=len(self.curves),
            images_per_epoch=int(sizes["train"]) + int(sizes["validation"]),
            seconds=float(sum(seconds)) if seconds else None,
        )


def read_study(folder: Path) -> ReportedStudy:
    """Read a study's folder.

    Raises:
        StudyFailed: no trial has been written yet.
        TrellisError: a file that a report cannot do without is damaged.
    """
    notes: list[str] = []
    manifest = read_manifest(folder)
    trials = read_trial_rows(folder)
    try:
        curves = read_curves(folder)
    except StudyFailed as error:
        notes.append(str(error))
        curves = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in CURVE_TYPES.items()})
    return ReportedStudy(
        folder=folder,
        manifest=manifest,
        trials=trials,
        curves=curves,
        journal=_journal(folder / "journal.log", notes),
        confirmed=read_confirmation(folder),
        notes=tuple(notes),
    )


def configuration(row: "pd.Series[Any]") -> dict[str, Any]:
    """Return a trial's configuration from its row of trials.csv; what it lacks is left out."""
    names = [name for name in row.index if str(name).startswith(CONFIG)]
    return {
        str(name).removeprefix(CONFIG): _whole(row[name]) for name in names if pd.notna(row[name])
    }


def _whole(value: Any) -> Any:
    """Return a float that is whole as an int: beside missing values columns hold floats."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) >= 1
    return int(value) if is_whole else value


def epoch_rows(trial: "FrozenTrial") -> list[Mapping[str, Any]]:
    """Return what a trial of the journal reported, epoch by epoch."""
    told = ((key, value) for key, value in trial.user_attrs.items() if key.startswith(EPOCH))
    return [value for _, value in told if value is not None]  # None: taken back by `Book.end`


def _journal(path: Path, notes: list[str]) -> "tuple[FrozenTrial, ...]":
    from search.journal import open_journal

    try:
        if not path.stat().st_size:
            raise StudyFailed(f"{path} is empty")
        study, _ = open_journal(path)
    except (OSError, TrellisError) as error:
        notes.append(f"without the journal there are no times of day and no importance: {error}")
        return ()
    return tuple(study.get_trials(deepcopy=False))
