"""The peak of memory that a trial will need, from steps on the meta device: nothing is allocated.

The very steps of `trainables.training` run there, so what counts is what they hold. Compared
with what trials really took in benchmarks/README.md, on CPUs.
"""

import functools
import gc
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from trainables import device as machine
from trainables.budget import Budget
from trainables.cuda import can_compute
from trainables.data import Data
from trainables.eager import spare_compiler
from trainables.evaluation import Examples, evaluate, evaluate_batch, evaluation_batch_size
from trainables.live import Live, Lowered
from trainables.nets.parts import taken_for_cpu
from trainables.optimizers import Adam
from trainables.training import Stage, train_epoch, train_step

META = torch.device("meta")
_MIB = 2**20
StageBuilder = Callable[[torch.device], Stage]


@dataclass(frozen=True)
class Peak:
    """Bytes at the peak of a trial's largest stage, part by part.

    `base` is the process with torch and nothing else (0 on a GPU, where the allocator alone is
    counted); `data` what the splits hold, mapped from disk on a CPU; `kept` what autograd keeps
    for the way back, with lowered copies of weights; `passing` what a step holds besides: the
    batch, results on their way; `gaps` what is freed and cannot be used (0 on a GPU).
    """

    base: int
    data: int
    weights: int
    gradients: int
    optimizer: int
    kept: int
    passing: int
    gaps: int
    stage: str = ""

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by the name of the part."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "stage"}

    @property
    def own_mb(self) -> float:
        """What the trial alone takes of a CPU's memory: data is mapped from files, for all."""
        return (self.total - self.data) / _MIB

    @property
    def mb(self) -> float:
        """The total in MiB, as `EpochResult.peak_memory_mb` counts."""
        return self.total / _MIB


def predict(module: ModuleType, config: Mapping[str, Any], data: Data, budget: Budget) -> Peak:
    """Return the peak of a trial: that of its largest stage, with its activations stored.

    Args:
        module: An experiment's trainable: `stages(config, data, budget)` gives its stages.
        config: A value for each hyperparameter.
        data: Real, or `trainables.shapes.Shapes` where only the sizes are known.
        budget: Its device, precision and epochs count. For cuda no GPU has to be here; a
            precision of auto is bfloat16 then.

    Raises:
        ValueError: the configuration does not give a network for these images.
    """
    spare_compiler()
    if budget.device == "cuda" and not can_compute():
        device = torch.device("cuda")
        known = "bfloat16" if budget.precision == "auto" else budget.precision
    else:
        device = machine.choose_device(budget)
        known = machine.precision(budget, device)
    budget = replace(budget, precision=known)  # stages on "meta" cannot tell
    builders = stages_of(module)(config, data, budget)
    with warnings.catch_warnings():  # nobody writes to the arrays
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        peaks = [peak(build(META), device, budget) for build in builders]
    return max(peaks, key=lambda each: each.total)


def stages_of(module: ModuleType) -> Callable[..., Sequence[StageBuilder]]:
    """Return `stages(config, data, budget)` of an experiment.

    Raises:
        ValueError: the experiment does not say what its stages are.
    """
    if not can_predict(module):
        raise ValueError(f"{module.__name__} has no stages(config, data, budget): write it")
    return module.stages  # type: ignore[no-any-return]


def can_predict(module: ModuleType) -> bool:
    """Tell whether an experiment says what its stages are."""
    return hasattr(module, "stages")


def peak(stage: Stage, device: torch.device, budget: Budget, is_mapped: bool = False) -> Peak:
    """Return the peak of a stage that was built on the meta device, if it runs on `device`.

    `is_mapped`: where large blocks are mapped one by one (`trainables.device.map_large_blocks`).
    """
    lower = Lowered() if machine.precision(budget, device) == "bfloat16" else nullcontext()
    model = stage.model
    weights = [*model.parameters(), *model.buffers()]
    on_cpu = device.type == "cpu"
    mapped_from = machine.LARGE_BLOCK if is_mapped else math.inf
    with taken_for_cpu(on_cpu), Live(weights, _data(stage), on_cpu, mapped_from) as live:
        found = _run(stage, lower, live)
    owners = {"weights": {live.number(each) for each in weights}, **found}
    parts = dict.fromkeys((*owners, "passing"), 0)
    for name, size in live.at_peak.items():
        parts[next((part for part in owners if name in owners[part]), "passing")] += size
    return Peak(
        base=base_bytes() if on_cpu else 0,
        data=_data_bytes(stage),
        gaps=live.heap.high - live.peak if on_cpu else 0,
        stage=stage.name,
        **parts,
    )


def _run(stage: Stage, lower: AbstractContextManager[object], live: Live) -> dict[str, set[int]]:
    """Run two steps and an evaluation; return the numbers of gradients, state and what is kept."""
    kept: set[int] = set()

    def keep(tensor: Tensor) -> Tensor:
        kept.add(live.number(tensor))
        return tensor.detach()  # the tensor itself, kept by its own node, would never be freed

    index = torch.arange(min(stage.batch_size, len(stage.train.labels)), device=META)
    optimizer = _StandIn(stage.optimizer, live)
    tried, draws = replace(stage, optimizer=optimizer), torch.Generator()
    stage.model.train()
    for _ in range(2):  # the optimizer's state is there from the second on
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            train_step(tried, stage.train, index, draws, lower)
    stage.model.eval()
    size = evaluation_batch_size(stage.validation.inputs[0].numel())
    size = min(size, stage.micro_batch or size)
    inputs, labels = stage.validation.inputs[:size], stage.validation.labels[:size]
    with torch.inference_mode():
        evaluate_batch(stage.model, inputs, labels, stage.prepare, lower, stage.loss)
    states = {live.number(each) for each in optimizer.made}
    return {"gradients": optimizer.gradients, "optimizer": states, "kept": kept}


class _StandIn(torch.optim.Optimizer):
    """Holds what an optimizer would: a fused one does not run on the meta device."""

    def __init__(self, real: torch.optim.Optimizer, live: Live) -> None:
        super().__init__(real.param_groups, dict(real.defaults))
        self._live = live
        # Adam has two moments; SGD one, if momentum is not 0.
        momentum = real.defaults.get("momentum", 0)
        self._states = 2 if isinstance(real, torch.optim.Adam) else int(momentum > 0)
        self.made: list[Tensor] = []
        self.gradients: set[int] = set()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Change nothing; the first step makes the state."""
        trained = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        self.gradients |= {self._live.number(p.grad) for p in trained}
        if not self.made:
            self.made = [torch.empty_like(p) for p in trained for _ in range(self._states)]


def _data(stage: Stage) -> list[Tensor]:
    splits = (stage.train, stage.validation, *stage.copies)
    return [tensor for each in splits for tensor in (each.inputs, each.labels)]


def _data_bytes(stage: Stage) -> int:
    return sum(each.numel() * each.itemsize for each in _data(stage))


@functools.cache
def base_bytes() -> int:
    """Return what this process holds resident with torch at work and no trial: measured once.

    After a step of a tiny network, which loads the code that every step needs.
    """
    pixels = torch.zeros((16, 12, 12, 3), dtype=torch.uint8)
    examples = Examples(pixels, torch.zeros(16, dtype=torch.int64))
    layers = (nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 2))
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = Adam(model.parameters(), lr=1e-3)
        stage = Stage("base", 1, model, optimizer, examples, examples, 8)
        lower = machine.autocast(Budget(1, device="cpu"), torch.device("cpu"))
        train_epoch(stage, 0, 1, lower)
        evaluate(model, examples, stage.prepare, lower)
    del stage, optimizer, model
    gc.collect()
    return machine.resident_bytes()
