"""What a trial is given (Budget) and what it tells after every epoch (EpochResult).

A Budget is one trial's; "budget" in study.json is the whole study's plan (`search.plan.Plan`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from trainables.data.source import Progress, silent

# What torch's allocator on a GPU holds, gaps included, beyond what tensors take: the wall of a
# trial stands at so many times its `Budget.memory_mb`.
ALLOCATOR_MARGIN = 1.25


class Diverged(ArithmeticError):
    """The loss became infinite or not a number: the configuration is infeasible."""


class TooLarge(MemoryError):
    """A trial is predicted to need more memory than it may use; nothing was allocated."""


@dataclass(frozen=True)
class Weights:
    """Pretrained weights that were found and looked at.

    `source` is torchvision, file or random; `path` the state dict's file ("" for random);
    `fingerprint` the SHA-256 hex digest of its tensors, or what stands for random ones.
    """

    source: str
    path: str
    fingerprint: str


@dataclass(frozen=True)
class Budget:
    """How long, with which seed and on what a trial runs.

    `epochs` counts over all stages. `threads` is the number of CPU threads (0: leave as it is).
    `device` is auto, cpu or cuda; `precision` is auto (bfloat16 where the machine has it),
    bfloat16 or float32. With `folder` the trial keeps a checkpoint there, and the weights of its
    best epoch once its validation accuracy reaches `keep_above`: an equal of the best trial so
    far may have the lower number, and so be the best; with `keep_last` those of its last epoch,
    too. `weights` are for experiments that start from pretrained ones. `progress` hears of work
    that comes before an epoch. `memory_mb` is what the trial may use, in MiB as
    `EpochResult.peak_memory_mb` counts it, but on a CPU without mapped data: batches that would
    need more go through the network in parts (None: no limit). `told` are the trial's first epochs
    as they were told before a kill: done again they count as that, so that what is kept agrees
    with what was told, also on another machine, where rounding gives other numbers.
    """

    epochs: int
    seed: int = 0
    threads: int = 0
    device: str = "auto"
    precision: str = "auto"
    folder: Path | None = None
    keep_above: float = -1.0
    weights: Weights | None = None
    progress: Progress = silent
    memory_mb: float | None = None
    keep_last: bool = False
    told: "tuple[EpochResult, ...]" = ()

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: an option outside its range.
        """
        if self.epochs < 1:
            raise ValueError(f"epochs >= 1 must hold, but got {self.epochs}")
        if self.threads < 0:
            raise ValueError(f"threads >= 0 must hold, but got {self.threads}")
        if self.memory_mb is not None and self.memory_mb <= 0:
            raise ValueError(f"memory_mb > 0 must hold, but got {self.memory_mb}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device must be auto, cpu or cuda, but got {self.device!r}")
        if self.precision not in ("auto", "bfloat16", "float32"):
            raise ValueError(
                f"precision must be auto, bfloat16 or float32, but got {self.precision!r}"
            )


@dataclass(frozen=True)
class EpochResult:
    """One epoch of a trial.

    Losses are the mean over images without the regularizer's penalty; accuracies lie in [0, 1].
    The train numbers come from the training pass itself (dropout and augmentation on), the
    validation numbers from the whole validation split afterwards. `peak_memory_mb` is the peak
    of the process (CPU) or of the device allocator (GPU) since the trial began, in MiB.
    `parameters` counts the whole network. `frozen_images` is the number of images that were run
    through frozen layers for this epoch; 0 where their stored activations were used. `prepared_s`
    are the seconds before it that work took which trials share, or waiting for that work.
    """

    epoch: int
    stage: str
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    epoch_s: float
    peak_memory_mb: float
    parameters: int
    trainable_parameters: int
    frozen_images: int = 0
    prepared_s: float = 0.0


def best_of(results: Iterable[EpochResult]) -> EpochResult:
    """Return the epoch with the highest validation accuracy, the earliest of equals.

    Raises:
        ValueError: no result.
    """
    return max(results, key=lambda result: (result.val_accuracy, -result.epoch))


def drive(
    results: Iterable[EpochResult], report: Callable[[EpochResult], bool | None] | None
) -> EpochResult:
    """Run a trial to its end, telling `report` of every epoch; a true answer stops it.

    Returns the best epoch so far.
    """
    seen = []
    for result in results:
        seen.append(result)
        if report is not None and report(result):
            break
    return best_of(seen)
