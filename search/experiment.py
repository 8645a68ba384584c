"""What an experiment is: where its trainable and space are, its data, budgets and reference."""

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Space = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Preset:
    """A budget by name: trials, epochs at most for each, and hyperparameters held fixed."""

    trials: int
    max_epochs: int
    fixed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Raise ValueError for an empty budget."""
        if self.trials < 1 or self.max_epochs < 1:
            raise ValueError(
                f"trials and max_epochs >= 1 must hold, but got {self.trials}, {self.max_epochs}"
            )


@dataclass(frozen=True)
class Measured:
    """A search that was made: its wall-clock minutes on 2 cores, and its best trial.

    `val_accuracy` is of the best epoch on the validation split: chosen by it, so optimistic.
    `trials` had ended by then, of `epochs` at most; None: as the standard preset has them.
    """

    minutes: float
    val_accuracy: float
    trials: int | None = None
    epochs: int | None = None


def luck_of(common: str) -> str:
    """Return what to tell of intervals over seeds where all seeds share something."""
    return f"all seeds share {common}: its luck is in no interval"


def images_of(dataset: str, kind: str) -> str:
    """Return which images data holds, in words: those of a folder are of no data set's name."""
    if kind == "folder":
        return "images of a folder"
    return (
        f"embedded data, not the real {dataset}"
        if kind == "embedded"
        else f"{dataset} from {kind}"
    )


@dataclass(frozen=True)
class Experiment:
    """A named architecture on a named data set with a space, budgets and a published number.

    `summary` says behind " on " what the data set's images show, behind a colon what varies.
    `spaces.<name>` holds `space` and `DEFAULTS`; `trainables.<name>` holds `epochs(config, data,
    budget)`, `stages(config, data, budget)`, from which memory is predicted, and `build(config,
    classes, channels, (height, width))`, the network that later commands load. `dataset` is beans,
    mnist or cifar10; `image_size` the side in pixels where the space does not choose one (None: as
    the images are). `published` is the accuracy of the published study on its `published_split`.
    With `class_metrics` a study ends with evaluation.json. `conclusion` names a module that adds a
    file of its own to the end of a study (see `search.conclusion`). `pretrained` experiments start
    from weights that `--weights` chooses; their `trainables.<name>` holds `whole_state` and
    `kept_logits`, too. `stage_epochs` names the hyperparameters that hold the epochs of the
    trial's stages, in order: rungs count in the last (see `search.epochs`); without them a trial
    is one stage. With `shares` the trainable's `prepare` makes what all trials share before the
    first begins, and `shared_bytes` tells the room that it takes in the cache. `common_to_seeds`
    names what is drawn once for all seeds of a configuration: its luck is in no interval over
    seeds. `common_unless` gives the values of hyperparameters with which a configuration has no
    such luck. Without `fractions_take_memory` numbers that are not whole, such as rates, change
    nothing of the memory that a trial takes: it is predicted once for all of them. `measured` is
    what our own search gave on the real data; the README has its command.
    """

    name: str
    summary: str
    dataset: str
    image_size: int | None
    presets: Mapping[str, Preset]
    published: float | None
    class_metrics: bool = False
    published_split: str = "test"
    conclusion: str | None = None
    pretrained: bool = False
    stage_epochs: tuple[str, ...] = ()
    common_to_seeds: str = ""
    common_unless: Mapping[str, Any] = field(default_factory=dict)
    shares: bool = False
    fractions_take_memory: bool = True
    measured: Measured | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a preset that is missing."""
        missing = {"quick", "standard", "thorough"} - set(self.presets)
        if missing:
            raise ValueError(f"{self.name}: presets must include {', '.join(sorted(missing))}")

    def about(self, kind: str) -> str:
        """Return the summary for data of that kind: a folder's images may show anything."""
        if kind != "folder":
            return self.summary
        return re.sub(" on [^:]*", f" on {images_of(self.dataset, kind)}", self.summary, count=1)

    def space(self) -> Space:
        """Return the define-by-run space function."""
        return importlib.import_module(f"spaces.{self.name}").space  # type: ignore[no-any-return]

    def defaults(self) -> dict[str, Any]:
        """Return the published value of every hyperparameter."""
        return dict(importlib.import_module(f"spaces.{self.name}").DEFAULTS)

    def readers(self) -> Mapping[str, Callable[[str], Any]]:
        """Return what reads a held value where --fix takes more than the searched choices.

        By hyperparameter; READERS of the space's module, if it has them.
        """
        return getattr(sys.modules[self.space().__module__], "READERS", {})

    def common_to(self, configs: Iterable[Mapping[str, Any]]) -> str:
        """Return what is drawn once for all seeds of some of these configurations; "" if nothing.

        As in `common_to_seeds`.
        """
        unless = self.common_unless
        alike = unless and all(
            all(config.get(name) == value for name, value in unless.items()) for config in configs
        )
        return "" if alike else self.common_to_seeds

    def check(self, config: Mapping[str, Any], classes: int | None = None) -> None:
        """Check a configuration as a whole, by `check` of the space's module if it has one.

        `classes` is the number of classes in the data, once that is known.

        Raises:
            ValueError: its values do not go together, or not with the data.
        """
        found = getattr(sys.modules[self.space().__module__], "check", None)
        if found is not None:
            found(config, *([] if classes is None else [classes]))

    def module(self) -> Any:
        """Return the trainable's module."""
        return importlib.import_module(f"trainables.{self.name}")

    def trainable(self) -> Any:
        """Return `epochs(config, data, budget)` of the trainable's module."""
        return self.module().epochs
