"""The loop of every experiment: stages of epochs over device-resident data, batches by index.

No DataLoader: a split is one uint8 array, a batch an index into it. All randomness follows from
(trial seed, epoch, purpose), so a trial that goes on from a checkpoint ends as if never stopped.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables import device as machine
from trainables.budget import Budget, Diverged, EpochResult, TooLarge
from trainables.checkpoint import Keeper, read_checkpoint
from trainables.evaluation import Examples, evaluate, images_to_floats
from trainables.losses import Loss
from trainables.seeds import derive, generator

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A part of a trial with its own network, data and rule. `epochs` bounds this stage alone.

    Where layers are frozen and their stored activations are the inputs, `model` is the rest:
    `parameters` then counts the whole network, and `frozen_images` the images that were run
    through the frozen layers to build this stage; `prepared_s` the seconds that work took which
    other trials share, or waiting for it. `copies` holds augmented copies of `train`:
    the epochs of a trial take train and copies in turn. `micro_batch` is the most images that
    the network sees at once where memory is short: a batch then gives the same gradient in
    several passes. Only dropout and augmentation draw in another order.
    """

    name: str
    epochs: int
    model: nn.Module
    optimizer: torch.optim.Optimizer
    train: Examples
    validation: Examples
    batch_size: int
    prepare: Callable[[Tensor], Tensor] = images_to_floats
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    penalty: Callable[[], Tensor] | None = None
    loss: Loss = functional.cross_entropy
    parameters: int | None = None
    frozen_images: int = 0
    prepared_s: float = 0.0
    copies: tuple[Examples, ...] = ()
    micro_batch: int | None = None

    def examples(self, epoch: int) -> Examples:
        """Return what an epoch trains on."""
        every = (self.train, *self.copies)
        return every[(epoch - 1) % len(every)]

    def batches(self, seed: int, epoch: int) -> tuple[Tensor, ...]:
        """Return the epoch's batches as index tensors: every image once, in a new order."""
        order = torch.randperm(len(self.train.labels), generator=generator(seed, "batches", epoch))
        return tuple(order.to(self.train.labels.device).split(self.batch_size))


def run_stages(
    builders: Sequence[Callable[[torch.device], Stage]], budget: Budget, identity: str
) -> Iterator[EpochResult]:
    """Yield the result of every epoch; those kept in a checkpoint come first, not trained again.

    Args:
        builders: One function per stage, called when its stage begins: after the epochs of the
            stages before it, so it may build on their models, or share modules with them. On
            the way back to a checkpoint it is called too, with those models as they ended.
        budget: Epochs over all stages, seed, device.
        identity: Names the configuration, so that a checkpoint of another one is not taken.

    Raises:
        Diverged: a loss that is not finite.
        TooLarge: a stage would not fit into the budget's memory, however small its passes.
    """
    device = machine.set_up(budget)
    saved = read_checkpoint(budget, identity)
    history = list(saved.history) if saved else []
    room = [budget.memory_mb, device.type, machine.precision(budget, device)]
    chosen = saved.passes if saved and saved.room == room else None
    passes = _passes(builders, budget, device, chosen)
    yield from list(history)
    keeper = Keeper(budget, identity, history, passes, room)
    end = 0
    for number, build in enumerate(builders):
        if end == budget.epochs:
            break
        stage = replace(build(device), micro_batch=passes[number])
        end = min(end + stage.epochs, budget.epochs)
        if saved:
            stage.model.load_state_dict(saved.models[number])
            if number + 1 == len(saved.models):
                stage.optimizer.load_state_dict(saved.optimizer)
                saved = None  # as large as the network and its optimizer: let it go
        is_last = end == budget.epochs or number + 1 == len(builders)
        if is_last and len(history) == end:  # a kill came before the trial's last file
            keeper.keep_last(stage.model)
        frozen_images, prepared_s = stage.frozen_images, stage.prepared_s
        for epoch in range(len(history) + 1, end + 1):
            result = run_epoch(stage, budget, epoch, device)
            told = replace(result, frozen_images=frozen_images, prepared_s=prepared_s)
            history.append(_as_told(told, budget))
            frozen_images, prepared_s = 0, 0.0  # later epochs find it stored
            if epoch == end and is_last:  # first: what a checkpoint has is not trained again
                keeper.keep_last(stage.model)
            keeper.keep(stage.model, stage.optimizer)
            yield history[-1]
        if end < budget.epochs:
            keeper.end_stage(stage.model)
        del stage  # before the next one takes memory


def _as_told(result: EpochResult, budget: Budget) -> EpochResult:
    """Return an epoch as it was told before, if it was: see `Budget.told`."""
    before = budget.told[result.epoch - 1 : result.epoch]
    if before and before[0].val_accuracy != result.val_accuracy:
        _log.warning(
            "epoch %d, done again, has validation accuracy %.4f; it stays at %.4f, as told before",
            result.epoch,
            result.val_accuracy,
            before[0].val_accuracy,
        )
    return before[0] if before else result


def _passes(
    builders: Sequence[Callable[[torch.device], Stage]],
    budget: Budget,
    device: torch.device,
    chosen: list[int | None] | None,
) -> list[int | None]:
    """Return every stage's micro-batch; None, the whole batch, where memory has no limit.

    What the trial has `chosen` before stands, and fits: what the process itself takes differs from
    one to the next, by little.
    """
    if budget.memory_mb is None:
        return [None] * len(builders)
    from trainables.passes import Passes, micro_batches  # it runs steps of this file

    try:
        found = micro_batches(builders, budget, device)
    except TooLarge:
        if not chosen:
            raise
        found = Passes(chosen, tight=True)
    if found.tight:
        machine.map_large_blocks()
    return chosen or found.sizes


def run_epoch(stage: Stage, budget: Budget, epoch: int, device: torch.device) -> EpochResult:
    """Train one epoch, then evaluate on the validation split.

    Raises:
        Diverged: a loss that is not finite.
    """
    started = time.perf_counter()
    lower = machine.autocast(budget, device)
    trained = train_epoch(stage, budget.seed, epoch, lower)
    validated = evaluate(
        stage.model, stage.validation, stage.prepare, lower, stage.loss, stage.micro_batch
    )
    seconds, peak_mb = time.perf_counter() - started, machine.peak_memory_mb(device)
    return result_of(stage, epoch, (*trained, *validated), seconds, peak_mb)


def result_of(
    stage: Stage,
    epoch: int,
    numbers: tuple[float, float, float, float],
    seconds: float,
    peak_mb: float,
) -> EpochResult:
    """Return the result of an epoch: `numbers` are loss and accuracy on train, then validation.

    Raises:
        Diverged: a loss that is not finite.
    """
    train_loss, train_accuracy, val_loss, val_accuracy = numbers
    if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
        raise Diverged(f"epoch {epoch}: loss {train_loss} on train, {val_loss} on validation")
    return EpochResult(
        epoch=epoch,
        stage=stage.name,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        learning_rate=stage.optimizer.param_groups[0]["lr"],
        epoch_s=seconds,
        peak_memory_mb=peak_mb,
        parameters=stage.parameters or sum(p.numel() for p in stage.model.parameters()),
        trainable_parameters=sum(p.numel() for p in stage.model.parameters() if p.requires_grad),
    )


def train_epoch(
    stage: Stage, seed: int, epoch: int, lower: AbstractContextManager[object]
) -> tuple[float, float]:
    """Return (mean loss without penalty, accuracy) of one pass over the train split."""
    device = stage.train.labels.device
    stage.model.train()
    totals = torch.zeros(2, device=device, dtype=torch.float64)
    draws = generator(seed, "augment", epoch, device=device)
    # Dropout draws from the global generator: seeded here, and given back as it was.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive(seed, "dropout", epoch))
        examples = stage.examples(epoch)
        for index in stage.batches(seed, epoch):
            totals += train_step(stage, examples, index, draws, lower)
            if device.type == "cpu" and not torch.isfinite(totals[0]):
                break  # on a GPU the look itself would make every step wait
    loss, correct = (totals / len(stage.train.labels)).tolist()
    return loss, correct


def train_step(
    stage: Stage,
    examples: Examples,
    index: Tensor,
    draws: torch.Generator,
    lower: AbstractContextManager[object],
) -> Tensor:
    """Change the weights once; return (sum of losses, images that were right) of the batch.

    No gradient is left behind: as much memory as the weights take.
    """
    totals = torch.zeros(2, device=index.device, dtype=torch.float64)
    for number, part in enumerate(index.split(stage.micro_batch or len(index))):
        share = len(part) / len(index)
        totals += _backward(stage, examples, part, draws, lower, share, penalised=number == 0)
    stage.optimizer.step()
    stage.optimizer.zero_grad(set_to_none=True)
    return totals


def _backward(
    stage: Stage,
    examples: Examples,
    index: Tensor,
    draws: torch.Generator,
    lower: AbstractContextManager[object],
    share: float,
    penalised: bool,
) -> Tensor:
    """Add to the gradient what a part of a batch, `share` of its images, contributes."""
    inputs, labels = stage.prepare(examples.inputs[index]), examples.labels[index]
    if stage.augment is not None:
        inputs = stage.augment(inputs, draws)
    with lower:
        logits = stage.model(inputs).float()
    loss = stage.loss(logits, labels)
    # The mean over a batch is that of its parts, each by its share; the penalty counts once.
    objective = loss if share == 1 else loss * share
    if penalised and stage.penalty is not None:
        objective = objective + stage.penalty()
    objective.backward()
    with torch.no_grad():
        correct = (logits.argmax(1) == labels).sum()
        # The penalty is not part of the loss told, unless it is not finite.
        seen = torch.where(torch.isfinite(objective), loss, objective)
        return torch.stack((seen.detach() * len(labels), correct))
