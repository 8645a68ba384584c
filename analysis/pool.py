"""The trials of several studies that are of a published configuration, pooled over their seeds.

A trial counts if it is of the real data, has every published setting and ran the published number
of epochs to the end, in a study that stops none early: of one that does, those that come to their
end are the lucky ones. What does not count is told with the reason.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.confirmed import is_confirmed, read_confirmed
from analysis.frames import CONFIG, check_curves, read_curves, read_manifest, read_trials
from analysis.reference import arm_config, arms, published_epochs
from analysis.transfers import SIDES, read_transfer
from search.catalog import EXPERIMENTS
from trainables.errors import TrellisError

_NOT_ALONE = (
    "it is of an earlier version, which timed the target beside other trials; going on with the "
    "study by --resume makes it anew"
)


@dataclass(frozen=True)
class Run:
    """One trial that counts. `last` is its last epoch's row of curves.csv, `row` of trials.csv.

    `epoch_s` are the mean seconds of an epoch of its last stage.
    """

    experiment: str
    config: Mapping[str, Any]
    seed: int
    row: Mapping[str, Any]
    last: Mapping[str, Any]
    epoch_s: float


@dataclass(frozen=True)
class Tested:
    """One row of a confirm.csv that counts: the only place with numbers of the test split."""

    experiment: str
    config: Mapping[str, Any]
    seed: int
    row: Mapping[str, Any]


@dataclass
class Pool:
    """What counts, what does not (study and reason -> trials), and of which studies.

    All of an experiment is of the data and weights of the first study of which something counts,
    `origin`. Nothing is taken from `foreign` ones; `seen` has the folders of all.
    """

    # The same training twice is no second witness: of each seed the first that was added.
    runs: list[Run] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    transfers: list[Mapping[str, Any]] = field(default_factory=list)  # transfer.json that count
    # Experiment -> the study's name, and its study.json.
    origin: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    seen: dict[str, Path] = field(default_factory=dict)  # by name
    foreign: set[str] = field(default_factory=set)
    _lost: list[tuple[str, Mapping[str, Any], int]] = field(default_factory=list)  # with its seed

    def runs_of(self, experiment: str, config: Mapping[str, Any]) -> list[Run]:
        """Return the trials of a configuration, one per seed."""
        return _of(self.runs, experiment, config)

    def tested_of(self, experiment: str, config: Mapping[str, Any]) -> list[Tested]:
        """Return the confirmed trials of a configuration, one per seed."""
        return _of(self.tested, experiment, config)

    def has_lost(
        self, experiment: str, config: Mapping[str, Any], found: Sequence[Run | Tested]
    ) -> bool:
        """Tell whether some seed of a configuration was infeasible, and is not among `found`.

        Those look too good then. A seed that one machine had no memory for another may have.
        """
        seeds = {each.seed for each in found}
        lost = [
            each for name, each, seed in self._lost if name == experiment and seed not in seeds
        ]
        return any(same(each, config) for each in lost)

    def manifest(self, experiment: str) -> Mapping[str, Any]:
        """Return study.json of what counts; empty where nothing does."""
        return self.origin.get(experiment, ("", {}))[1]

    def add(self, folder: Path) -> None:
        """Take in a study, and what confirming it has trained.

        Raises:
            StudyFailed: it has no trials yet.
            TrellisError: a file of it is damaged.
        """
        self.seen[folder.name] = folder
        manifest = read_manifest(folder)
        name = str(manifest.get("experiment"))
        if name not in EXPERIMENTS:
            raise TrellisError(f"{folder} is a study of {name!r}, which the catalog does not have")
        nested = folder / "confirm"
        places = [folder, nested] if (nested / "trials.csv").is_file() else [folder]
        tables = [(place, read_trials(place), read_curves(place)) for place in places]
        confirmed = read_confirmed(folder) if is_confirmed(folder) else None
        for place, trials, curves in tables:
            check_curves(place, trials.loc[trials["status"] == "completed", "trial"], curves)
        foreign = self._foreign(folder, name, manifest)
        if foreign:
            self.foreign.add(folder.name)
            self.left_out[folder.name, foreign] += sum(len(trials) for _, trials, _ in tables)
            return
        before = self._counted()
        self._take_transfer(folder, name, tables[0][1])
        known = [arm_config(EXPERIMENTS[name], arm) for arm in arms(name)]
        for place, trials, curves in tables:
            label = folder.name if place == folder else f"{folder.name}/confirm"
            stops = _stops(read_manifest(place).get("budget", {}))
            self._take(name, label, trials, curves, stops, known)
        if confirmed is not None:
            self._take_tested(name, confirmed, known)
        if self._counted() > before:  # only then are others to be of the same data
            self.origin.setdefault(name, (folder.name, manifest))

    def _counted(self) -> int:
        return len(self.runs) + len(self.tested) + len(self.transfers)

    def _foreign(self, folder: Path, name: str, manifest: Mapping[str, Any]) -> str | None:
        """Return why nothing of a study can be compared with the published numbers."""
        data, weights = manifest.get("data", {}), manifest.get("weights") or {}
        kind = data.get("kind")
        if kind != "tfds":
            what = "embedded data" if kind == "embedded" else f"data {kind}:{data.get('location')}"
            return f"{what}, not the real {data.get('dataset')}"
        if weights.get("source") == "random":
            return "weights: random, not pretrained"
        first, known = self.origin.get(name, (folder.name, manifest))
        alike = _marks(manifest) == _marks(known)
        return None if alike else f"other data or weights than {first}"

    def _take_transfer(self, folder: Path, name: str, trials: pd.DataFrame) -> None:
        """Take in transfer.json if it is of the published configuration and epochs.

        With the `seed` of its trial.
        """
        path = folder / "transfer.json"
        if name != "cifar10_transfer" or not path.is_file():
            return
        content = read_transfer(path, trials)
        wanted = arm_config(EXPERIMENTS[name], "target")
        if not same(content["config"], wanted) or {content[s]["epochs"] for s in SIDES} != {10}:
            return
        if "cut_short" in content["from_scratch"]:  # told since the target is trained alone
            self.transfers.append(content)
        else:
            self.left_out[f"{path.name} of {folder.name}", _NOT_ALONE] += 0

    def _take(
        self,
        name: str,
        label: str,
        trials: pd.DataFrame,
        curves: pd.DataFrame,
        stops: bool,
        known: Sequence[Mapping[str, Any]],
    ) -> None:
        by_trial = dict(list(curves.groupby("trial")))
        for row, config in rows_of(trials):
            reason = _reason(name, row, config, known)
            if row["status"] == "infeasible":
                self._lost.append((name, config, int(row["seed"])))
            if reason is None and stops:
                reason = "its study stops trials early: those that end are lucky ones"
            if reason is not None:
                self.left_out[label, reason] += 1
                continue
            own = by_trial[row["trial"]]
            last = {str(k): v for k, v in own.iloc[-1].to_dict().items()}
            epoch_s = float(own.loc[own["stage"] == last["stage"], "epoch_s"].mean())
            run = Run(name, config, int(row["seed"]), row, last, epoch_s)
            if any(_alike(run, other) for other in self.runs):
                self.left_out[label, "the same configuration and seed once more"] += 1
                continue
            self.runs.append(run)

    def _take_tested(
        self, name: str, confirmed: pd.DataFrame, known: Sequence[Mapping[str, Any]]
    ) -> None:
        for row, config in rows_of(confirmed):
            if _reason(name, {**row, "status": "completed"}, config, known) is not None:
                continue
            tested = Tested(name, config, int(row["seed"]), row)
            # Of what is there already the trial was counted as left out.
            if not any(_alike(tested, other) for other in self.tested):
                self.tested.append(tested)


def _stops(budget: Mapping[str, Any]) -> bool:
    """Tell whether a study stops trials by what they have come to; `budget` is of study.json."""
    return budget.get("stopper", "none") != "none" and budget.get("rungs") != []


def _marks(manifest: Mapping[str, Any]) -> tuple[Any, Any]:
    data, weights = manifest.get("data", {}), manifest.get("weights") or {}
    return data.get("fingerprint"), weights.get("fingerprint")


def pool(folders: Sequence[Path], *, strict: bool) -> Pool:
    """Return what counts of several studies.

    Args:
        folders: The studies; of an experiment's, the first decides which data counts.
        strict: Raise for a study that cannot be read; else it is left out, with the reason.

    Raises:
        StudyFailed, TrellisError: see `Pool.add`.
    """
    found = Pool()
    for folder in folders:
        try:
            found.add(folder)
        except TrellisError as error:
            if strict:
                raise
            found.left_out[folder.name, str(error)] += 0
    return found


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two configurations are equal; numbers as far as a CSV file keeps them."""
    return not differing(one, other)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the hyperparameters in which two configurations differ."""
    names = dict.fromkeys([*one, *other])
    return [n for n in names if not (n in one and n in other and _equal(one[n], other[n]))]


def config_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration in a row of trials.csv or confirm.csv; NaN is not there."""
    found = {k.removeprefix(CONFIG): v for k, v in row.items() if k.startswith(CONFIG)}
    return {k: v for k, v in found.items() if not pd.isna(v)}


def rows_of(frame: pd.DataFrame) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each row of trials.csv or confirm.csv with its configuration."""
    for record in frame.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        yield row, config_of(row)


def _equal(one: Any, other: Any) -> bool:
    if not (isinstance(one, int | float) and isinstance(other, int | float)):
        return str(one) == str(other)
    return one == other if _whole(one) and _whole(other) else math.isclose(one, other)


def _whole(value: float) -> bool:
    """Tell whether a number is whole, and as it was written: a float keeps 15 digits of one."""
    return isinstance(value, int) or (value.is_integer() and abs(value) < 1e15)


def _alike(one: Run | Tested, other: Run | Tested) -> bool:
    keys = (one.experiment, one.seed), (other.experiment, other.seed)
    return keys[0] == keys[1] and same(one.config, other.config)


def _of(found: Sequence[Any], experiment: str, config: Mapping[str, Any]) -> list[Any]:
    """Return those of a configuration."""
    return [m for m in found if m.experiment == experiment and same(m.config, config)]


def _reason(
    name: str,
    row: Mapping[str, Any],
    config: Mapping[str, Any],
    known: Sequence[Mapping[str, Any]],
) -> str | None:
    """Return why a trial does not count; None if it does. `known` are the published ones."""
    if not known:
        return "no published numbers: analysis/reference.csv has none of this experiment"
    nearest = min((differing(config, each) for each in known), key=len)
    if nearest:
        few = f": {' and '.join(nearest)}" if len(nearest) < 3 else ""
        return f"not a published configuration{few}"
    if row["status"] != "completed":
        return f"{row['status']}, not completed"
    wanted = published_epochs(EXPERIMENTS[name], config)
    return None if row["epochs"] == wanted else f"{row['epochs']} epochs, not {wanted}"
