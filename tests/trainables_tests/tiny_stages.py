"""A network small enough that an epoch takes milliseconds, and stages around it."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables import training
from trainables.augment import augment
from trainables.budget import Budget, EpochResult
from trainables.data import Split
from trainables.evaluation import Examples
from trainables.training import Stage, run_stages

CPU = torch.device("cpu")
TRAIN, VALIDATION, BATCH = 22, 9, 8  # the last batch holds 6


def budget(epochs: int = 6, folder: Path | None = None, **options: Any) -> Budget:
    """One thread: on a busy machine two wait for each other 25 times longer than they work."""
    fixed: dict[str, Any] = {"seed": 11, "threads": 1, "device": "cpu"}
    return Budget(epochs, folder=folder, **fixed | options)


def split(n: int, seed: int) -> Split:
    """Images whose mean brightness grows with the class, so that there is something to learn."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, n)
    noise = draw.integers(0, 120, (n, 8, 8, 3))
    return Split((noise + 60 * labels[:, None, None, None]).astype(np.uint8), labels)


class Net(nn.Module):
    """[n, 3, 8, 8] -> [n, 3], with weights that a seed decides."""

    def __init__(self, dropout: float = 0.3, seed: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(4 * 6 * 6, 3)
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draws))

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.conv(images)).flatten(1)
        result: Tensor = self.dense(self.dropout(features))
        return result


def stage(model: nn.Module, epochs: int = 100, **options: Any) -> Stage:
    """Adam at 0.01 on the tiny splits, without augmentation."""
    rate = options.pop("learning_rate", 0.01)
    trained = [p for p in model.parameters() if p.requires_grad]
    plain = Stage(
        name="train",
        epochs=epochs,
        model=model,
        optimizer=torch.optim.Adam(trained, lr=rate),
        train=Examples.of(split(TRAIN, 1), CPU),
        validation=Examples.of(split(VALIDATION, 2), CPU),
        batch_size=BATCH,
    )
    return replace(plain, **options)


def random_augment(images: Tensor, draws: torch.Generator) -> Tensor:
    return augment(images, "flip+brightness+gaussian_noise", draws)


def randomised(model: nn.Module, epochs: int = 100, **options: Any) -> Stage:
    """A stage that uses every kind of randomness: order, dropout, augmentation."""
    return stage(model, epochs, augment=random_augment, **options)


class Trial:
    """One trial's stages, which stay at hand for a look at their weights."""

    def __init__(self, *builders: Callable[["Trial"], Stage]) -> None:
        self.stages: list[Stage] = []
        self._builders = builders

    def _build(self, builder: Callable[["Trial"], Stage]) -> Stage:
        self.stages.append(builder(self))
        return self.stages[-1]

    def run(self, given: Budget, identity: str = "a") -> Iterator[EpochResult]:
        builders = [lambda _device, b=builder: self._build(b) for builder in self._builders]
        return run_stages(builders, given, identity)

    def weights(self) -> list[Tensor]:
        """All weights of the last stage, copied."""
        return [w.detach().clone() for w in self.stages[-1].model.state_dict().values()]


def one_stage(**options: Any) -> Trial:
    return Trial(lambda _: randomised(Net(), **options))


def told(results: list[EpochResult]) -> list[dict[str, Any]]:
    """What must be equal: all but the time and the memory it took."""
    mood = ("epoch_s", "prepared_s", "peak_memory_mb")
    return [{k: v for k, v in asdict(r).items() if k not in mood} for r in results]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    """Bit for bit."""
    assert one
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def count_epochs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of every epoch that is really trained."""
    trained: list[int] = []
    original = training.run_epoch

    def counted(of: Stage, given: Budget, epoch: int, device: torch.device) -> EpochResult:
        trained.append(epoch)
        return original(of, given, epoch, device)

    monkeypatch.setattr(training, "run_epoch", counted)
    return trained
