"""The loop against a plain torch loop, numbers by hand, and its promises about randomness."""

import math
import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.trainables_tests.tiny_stages import (
    BATCH,
    CPU,
    TRAIN,
    VALIDATION,
    Net,
    Trial,
    budget,
    count_epochs,
    equal,
    one_stage,
    random_augment,
    randomised,
    split,
    stage,
    told,
)
from trainables.budget import Diverged, EpochResult
from trainables.device import has_bfloat16
from trainables.evaluation import Examples, evaluate, evaluation_batch_size, images_to_floats
from trainables.losses import mean_squared_error
from trainables.seeds import generator
from trainables.training import Stage, run_epoch, train_epoch

pytestmark = pytest.mark.usefixtures("one_thread")

# --- data


def test_images_become_floats_in_channels_last_order() -> None:
    batch = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 5, 4, 3).contiguous()
    floats = images_to_floats(batch)
    assert floats.shape == (2, 3, 5, 4)
    assert floats.dtype == torch.float32
    assert floats.is_contiguous(memory_format=torch.channels_last)
    for channel, value in enumerate([0.0, 0.2, 1.0]):
        assert torch.equal(floats[:, channel], torch.full((2, 5, 4), value))
    assert batch[0, 0, 0].tolist() == [0, 51, 255]  # not written to


def test_examples_on_a_cpu_are_no_copy() -> None:
    given = split(5, 1)
    examples = Examples.of(given, CPU)
    assert examples.inputs.data_ptr() == given.images.ctypes.data
    assert examples.labels.data_ptr() == given.labels.ctypes.data
    assert (examples.inputs.dtype, examples.labels.dtype) == (torch.uint8, torch.int64)


@pytest.mark.parametrize(("size", "sizes"), [(8, [8, 8, 6]), (11, [11, 11]), (50, [22])])
def test_batches_visit_every_image_once(size: int, sizes: list[int]) -> None:
    batches = stage(Net(), batch_size=size).batches(3, 1)
    assert [len(index) for index in batches] == sizes
    assert sorted(torch.cat(batches).tolist()) == list(range(22))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat(stage(Net(), batch_size=8).batches(seed, epoch)).tolist()

    assert order(3, 1) == order(3, 1)
    assert len({tuple(order(*key)) for key in [(3, 1), (3, 2), (4, 1), (4, 2)]}) == 4


# --- one epoch against plain torch


def plain_epochs(
    epochs: int, penalty: Callable[[Net], Tensor] | None
) -> tuple[list[list[float]], Net]:
    """Rows of (train loss, train accuracy, validation loss and accuracy), written the long way."""
    net = Net(dropout=0.0)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    train, validation = split(TRAIN, 1), split(VALIDATION, 2)
    images = torch.tensor(np.moveaxis(train.images, 3, 1).astype(np.float32) / 255)
    others = torch.tensor(np.moveaxis(validation.images, 3, 1).astype(np.float32) / 255)
    labels, other_labels = torch.tensor(train.labels), torch.tensor(validation.labels)
    rows = []
    for epoch in range(1, epochs + 1):
        loss_sum, right = 0.0, 0
        order = torch.randperm(TRAIN, generator=generator(11, "batches", epoch))
        for start in range(0, TRAIN, BATCH):
            chosen = order[start : start + BATCH]
            logits = net(images[chosen])
            loss = functional.cross_entropy(logits, labels[chosen])
            total = loss if penalty is None else loss + penalty(net)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            loss_sum += loss.item() * len(chosen)
            right += int((logits.argmax(1) == labels[chosen]).sum())
        with torch.no_grad():
            logits = net(others)
            val_loss = functional.cross_entropy(logits, other_labels).item()
            val_right = int((logits.argmax(1) == other_labels).sum())
        rows.append([loss_sum / TRAIN, right / TRAIN, val_loss, val_right / VALIDATION])
    return rows, net


def squares(net: Net) -> Tensor:
    return 0.5 * net.conv.weight.square().sum()


@pytest.mark.parametrize("penalty", [None, squares])
def test_equals_a_plain_loop(penalty: Callable[[Net], Tensor] | None) -> None:
    net = Net(dropout=0.0)
    term = None if penalty is None else lambda: penalty(net)
    trial = Trial(lambda _: stage(net, penalty=term))
    results = list(trial.run(budget(3, precision="float32")))
    expected, plain = plain_epochs(3, penalty)
    found = [[r.train_loss, r.train_accuracy, r.val_loss, r.val_accuracy] for r in results]
    assert found == [pytest.approx(row, abs=1e-6) for row in expected]
    for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_the_penalty_is_in_the_gradient_and_not_in_the_loss_told() -> None:
    def first_step(strength: float) -> tuple[float, Tensor]:
        net = Net(dropout=0.0)
        moved = stage(
            net,
            batch_size=TRAIN,
            optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
            penalty=lambda: strength * net.conv.weight.square().sum(),
        )
        loss, _ = train_epoch(moved, 11, 1, nullcontext())
        return loss, net.conv.weight.detach()

    start = Net().conv.weight.detach()
    without, moved = first_step(0.0)
    with_penalty, pulled = first_step(2.0)
    assert with_penalty == without
    # One step of SGD: lr * strength * 2 w = 0.4 w further down.
    torch.testing.assert_close(pulled, moved - 0.4 * start, rtol=1e-5, atol=1e-6)


# --- numbers by hand


class Reader(nn.Module):
    """Logits 1 for the class that the first pixel names, 0 for the others; learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        named = (images[:, 0, 0, 0] * 255).round().long()
        return functional.one_hot(named, 3).float() + self.unused


def named(classes: list[int], labels: list[int]) -> Examples:
    images = torch.zeros((len(classes), 8, 8, 3), dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor(classes, dtype=torch.uint8)
    return Examples(images, torch.tensor(labels))


# Cross entropy of logits (1, 0, 0): log(e + 2), less 1 where the first class is right.
WRONG = math.log(math.e + 2)
RIGHT = WRONG - 1


def test_losses_and_accuracies_by_hand() -> None:
    model = Reader()
    fixed = stage(
        model,
        batch_size=4,  # 4 and 3: the smaller batch counts by its images
        optimizer=torch.optim.SGD(model.parameters(), lr=0.0),
        train=named([0, 1, 2, 0, 1, 2, 0], [0, 1, 2, 0, 1, 0, 1]),  # 5 of 7
        validation=named([0, 1, 2, 2], [1, 1, 0, 1]),  # 1 of 4
    )
    result = run_epoch(fixed, budget(precision="float32"), 1, CPU)
    assert result.train_accuracy == pytest.approx(5 / 7)
    assert result.train_loss == pytest.approx((5 * RIGHT + 2 * WRONG) / 7)
    assert result.val_accuracy == 0.25
    assert result.val_loss == pytest.approx((RIGHT + 3 * WRONG) / 4)
    assert (result.epoch, result.stage, result.learning_rate) == (1, "train", 0.0)
    assert (result.parameters, result.trainable_parameters) == (1, 1)
    assert result.epoch_s > 0
    assert result.peak_memory_mb > 10


def test_another_loss_is_used_for_training_and_for_evaluation() -> None:
    model = Reader()
    fixed = stage(
        model,
        batch_size=4,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.0),
        train=named([0, 1, 2, 0, 1, 2, 0], [0, 1, 2, 0, 1, 0, 1]),  # 5 of 7
        validation=named([0, 1, 2, 2], [1, 1, 0, 1]),  # 1 of 4
        loss=mean_squared_error,
    )
    result = run_epoch(fixed, budget(precision="float32"), 1, CPU)
    # Softmax of logits (1, 0, 0): e, 1, 1 over e + 2. Squares, a mean over three classes.
    first, other = math.e / (math.e + 2), 1 / (math.e + 2)
    right = ((1 - first) ** 2 + 2 * other**2) / 3
    wrong = (first**2 + (1 - other) ** 2 + other**2) / 3
    assert result.train_loss == pytest.approx((5 * right + 2 * wrong) / 7)
    assert result.val_loss == pytest.approx((right + 3 * wrong) / 4)
    assert (result.train_accuracy, result.val_accuracy) == (pytest.approx(5 / 7), 0.25)


def test_the_other_loss_is_the_one_whose_gradient_is_taken() -> None:
    net, plain = Net(dropout=0.0), Net(dropout=0.0)
    one_step = stage(
        net,
        batch_size=TRAIN,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        loss=mean_squared_error,
    )
    train_epoch(one_step, 11, 1, nullcontext())
    logits = plain(images_to_floats(one_step.train.inputs))
    nn.MSELoss()(torch.softmax(logits, 1), torch.eye(3)[one_step.train.labels]).backward()
    for moved, start in zip(net.parameters(), plain.parameters(), strict=True):
        assert start.grad is not None
        torch.testing.assert_close(moved, start - 0.1 * start.grad, rtol=0, atol=1e-6)


def test_evaluation_in_several_batches_counts_every_image() -> None:
    n = 1024 + 44  # the last 44 are wrong
    model = Reader()
    examples = named([0] * n, [0] * 1024 + [1] * 44)
    loss, accuracy = evaluate(model, examples, images_to_floats, nullcontext())
    assert model.calls == 2
    assert accuracy == pytest.approx(1024 / n)
    assert loss == pytest.approx((1024 * RIGHT + 44 * WRONG) / n)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((299, 299, 3), 64),
        ((28, 28, 1), 1024),
        ((128, 128, 3), 349),  # 64 * 299 * 299 / (128 * 128) = 349.2
        ((1000, 1000, 3), 16),
    ],
)
def test_evaluation_batches_hold_a_bounded_number_of_values(
    shape: tuple[int, int, int], expected: int
) -> None:
    assert evaluation_batch_size(math.prod(shape)) == expected


def test_evaluation_has_neither_dropout_nor_gradients_nor_augmentation() -> None:
    trained = replace(randomised(Net(dropout=0.9)), augment=lambda images, _: images * 0)
    before = [p.clone() for p in trained.model.parameters()]
    trained.model.train()
    first = evaluate(trained.model, trained.validation, trained.prepare, nullcontext())
    assert first == evaluate(trained.model, trained.validation, trained.prepare, nullcontext())
    with torch.no_grad():
        logits = Net(dropout=0.0)(images_to_floats(trained.validation.inputs))
    assert first[0] == pytest.approx(
        functional.cross_entropy(logits, trained.validation.labels).item(), abs=1e-6
    )
    assert equal(before, list(trained.model.parameters()))


def test_frozen_parameters_are_counted_apart_and_stay() -> None:
    net = Net()
    net.conv.requires_grad_(False)
    before = net.conv.weight.clone()
    results = list(Trial(lambda _: randomised(net)).run(budget(2)))
    assert [r.parameters for r in results] == [3 * 4 * 9 + 4 + 144 * 3 + 3] * 2
    assert [r.trainable_parameters for r in results] == [144 * 3 + 3] * 2
    assert torch.equal(before, net.conv.weight)


# --- randomness


def test_the_same_seed_gives_the_same_numbers_and_weights() -> None:
    runs = []
    for global_seed in (1, 2):  # which must not matter
        torch.manual_seed(global_seed)
        trial = one_stage()
        runs.append((told(list(trial.run(budget(3)))), trial.weights()))
    assert runs[0][0] == runs[1][0]
    assert equal(runs[0][1], runs[1][1])


def test_another_seed_gives_others() -> None:
    one, other = one_stage(), one_stage()  # from the same weights
    first, second = list(one.run(budget(1, seed=11))), list(other.run(budget(1, seed=12)))
    assert first[0].train_loss != second[0].train_loss
    assert not equal(one.weights(), other.weights())


class InOrder(Stage):
    """A stage whose images are not shuffled."""

    def batches(self, seed: int, epoch: int) -> tuple[Tensor, ...]:
        return torch.arange(TRAIN).split(self.batch_size)


def test_every_purpose_of_randomness_is_used() -> None:
    """Order, dropout and augmentation each change the numbers on their own."""

    def loss(dropout: float = 0.0, ordered: bool = False, **options: Any) -> float:
        made = stage(Net(dropout), **options)
        made = InOrder(**vars(made)) if ordered else made
        return next(Trial(lambda _: made).run(budget(1))).train_loss

    losses = [loss(), loss(dropout=0.3), loss(augment=random_augment), loss(ordered=True)]
    assert len(set(losses)) == 4


def test_epochs_differ_in_what_they_draw() -> None:
    still = randomised(Net(), learning_rate=0.0)
    losses = {train_epoch(still, 11, epoch, nullcontext())[0] for epoch in (1, 2, 3)}
    assert len(losses) == 3
    again = train_epoch(still, 11, 2, nullcontext())[0]
    assert again in losses


def test_augmentation_draws_by_seed_and_epoch() -> None:
    drawn: list[float] = []

    def noted(images: Tensor, draws: torch.Generator) -> Tensor:
        drawn.append(torch.rand((), generator=draws).item())
        return images

    list(Trial(lambda _: stage(Net(), augment=noted)).run(budget(2)))
    expected: list[float] = []
    for epoch in (1, 2):  # three batches go through one generator
        draws = generator(11, "augment", epoch)
        expected += [torch.rand((), generator=draws).item() for _ in range(3)]
    assert drawn == expected


def test_the_global_generators_stay_as_they_were() -> None:
    net = Net()  # its construction draws from the global generator
    before = (
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state(legacy=False)["state"]["key"],
    )
    results = list(Trial(lambda _: randomised(net)).run(budget(2)))
    assert len(results) == 2
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (before[2] == np.random.get_state(legacy=False)["state"]["key"]).all()


# --- divergence


def test_a_learning_rate_too_high_diverges() -> None:
    trial = Trial(lambda _: stage(Net(), learning_rate=1e30))
    with pytest.raises(Diverged, match=r"^epoch 1: loss (nan|inf) on train, .* on validation$"):
        list(trial.run(budget(3)))


def test_divergence_ends_the_epoch_early_on_a_cpu() -> None:
    net = Net()
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    loss, _ = train_epoch(stage(net, learning_rate=1e30, batch_size=1), 11, 1, nullcontext())
    assert not math.isfinite(loss)
    assert 1 < len(calls) < TRAIN


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_penalty_that_is_not_finite_diverges(value: float) -> None:
    def penalty(net: Net) -> Tensor:
        return value * net.conv.weight.square().sum()

    net = Net()
    with pytest.raises(Diverged, match=f"^epoch 1: loss {value} on train"):
        list(Trial(lambda _: stage(net, penalty=lambda: penalty(net))).run(budget(2)))


def test_divergence_that_shows_in_the_evaluation_only() -> None:
    # One batch: its loss comes before the step that ruins the weights.
    trial = Trial(lambda _: stage(Net(), learning_rate=1e30, batch_size=TRAIN))
    with pytest.raises(Diverged, match=r"^epoch 1: loss \d\.\d+ on train, (nan|inf) on validati"):
        list(trial.run(budget(2)))


def test_the_epochs_before_a_divergence_were_told() -> None:
    net = Net()
    begun: list[int] = []

    def penalty() -> Tensor:
        begun.append(1)
        ruin = math.nan if len(begun) > 2 * 3 else 0.0  # from the third epoch of three batches
        return ruin * net.conv.weight.sum()

    stream = Trial(lambda _: stage(net, penalty=penalty)).run(budget(5))
    assert [next(stream).epoch, next(stream).epoch] == [1, 2]
    with pytest.raises(Diverged, match=r"^epoch 3: loss nan on train"):
        next(stream)


# --- precision


def conv_types(precision: str) -> set[torch.dtype]:
    net, seen = Net(), []
    net.conv.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    list(Trial(lambda _: stage(net)).run(budget(1, precision=precision)))
    assert len(seen) == 3 + 1  # three batches and one of the evaluation
    return set(seen)


def test_precision_is_what_the_budget_names() -> None:
    assert conv_types("float32") == {torch.float32}
    assert conv_types("bfloat16") == {torch.bfloat16}
    assert conv_types("auto") == {torch.bfloat16 if has_bfloat16(CPU) else torch.float32}


def test_bfloat16_and_float32_agree_roughly_and_weights_stay_float32() -> None:
    results: dict[str, list[EpochResult]] = {}
    for precision in ("float32", "bfloat16"):
        trial = one_stage()
        results[precision] = list(trial.run(budget(5, precision=precision)))
        assert {weight.dtype for weight in trial.weights()} == {torch.float32}
    exact = [r.train_loss for r in results["float32"]]
    rounded = [r.train_loss for r in results["bfloat16"]]
    assert exact != rounded
    assert rounded == pytest.approx(exact, abs=0.03)


def test_it_learns() -> None:
    results = list(Trial(lambda _: stage(Net(dropout=0.0))).run(budget(40)))
    assert results[0].train_loss > 0.8
    assert results[-1].train_loss < 0.3
    assert results[-1].val_accuracy > 0.75


# --- stages


def freeze(net: Net, frozen: bool) -> Net:
    net.conv.requires_grad_(not frozen)
    return net


def head(net: Net, epochs: int = 2) -> Stage:
    return randomised(freeze(net, True), epochs, name="head")


def finetune(net: Net, epochs: int = 4) -> Stage:
    return randomised(freeze(net, False), epochs, name="finetune", learning_rate=0.001)


def shared_stages() -> Trial:
    """The second stage trains the first one's module further."""

    def go_on(trial: Trial) -> Stage:
        net = trial.stages[0].model
        assert isinstance(net, Net)
        return finetune(net)

    return Trial(lambda _: head(Net()), go_on)


def anchored_stages() -> Trial:
    """The second stage trains the first one's module, held back to what it was at the border."""

    def go_on(trial: Trial) -> Stage:
        net = trial.stages[0].model
        assert isinstance(net, Net)
        start = net.dense.weight.detach().clone()
        held = finetune(net)
        return replace(held, penalty=lambda: (net.dense.weight - start).square().sum())

    return Trial(lambda _: head(Net()), go_on)


def transfer_stages() -> Trial:
    """The second stage sees only what the first one's trained convolution makes of the images."""

    def features(net: Net, examples: Examples) -> Examples:
        with torch.no_grad():
            return Examples(
                net.conv(images_to_floats(examples.inputs)).flatten(1), examples.labels
            )

    def target(trial: Trial) -> Stage:
        source = trial.stages[0].model
        assert isinstance(source, Net)
        dense = nn.Linear(144, 3)
        nn.init.zeros_(dense.weight)
        nn.init.zeros_(dense.bias)
        plain = stage(dense, 4, name="target", prepare=lambda inputs: inputs)
        return replace(
            plain,
            train=features(source, plain.train),
            validation=features(source, plain.validation),
        )

    return Trial(lambda _: finetune(Net(), 2), target)


def test_the_epoch_clock_goes_on_over_stages() -> None:
    results = list(shared_stages().run(budget(6)))
    assert [r.epoch for r in results] == [1, 2, 3, 4, 5, 6]
    assert [r.stage for r in results] == ["head"] * 2 + ["finetune"] * 4
    assert [r.learning_rate for r in results] == [0.01] * 2 + [0.001] * 4
    assert [r.trainable_parameters for r in results] == [435] * 2 + [547] * 4


def test_a_stage_cut_in_two_is_the_same_training() -> None:
    def sgd(net: nn.Module, epochs: int) -> Stage:  # has no state that the cut would lose
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        return randomised(net, epochs, optimizer=optimizer)

    whole = Trial(lambda _: sgd(Net(), 6))
    cut = Trial(lambda _: sgd(Net(), 2), lambda trial: sgd(trial.stages[0].model, 4))
    assert told(list(whole.run(budget(6)))) == told(list(cut.run(budget(6))))
    assert equal(whole.weights(), cut.weights())


@pytest.mark.parametrize(("epochs", "built"), [(1, 1), (2, 1), (3, 2), (6, 2), (9, 2)])
def test_the_budget_bounds_all_stages_together(epochs: int, built: int) -> None:
    trial = shared_stages()
    results = list(trial.run(budget(epochs)))
    assert len(trial.stages) == built  # a stage without epochs left is not even built
    assert [r.epoch for r in results] == list(range(1, min(epochs, 6) + 1))
    assert told(results) == told(list(shared_stages().run(budget(6))))[:epochs]


def test_a_stage_of_no_epochs_is_passed_over() -> None:
    trial = Trial(
        lambda _: head(Net(), 0),
        lambda trial: finetune(trial.stages[0].model),  # type: ignore[arg-type]
    )
    results = list(trial.run(budget(3)))
    assert [(r.epoch, r.stage) for r in results] == [(e, "finetune") for e in (1, 2, 3)]


STAGED = {
    "one": one_stage,
    "shared": shared_stages,
    "anchored": anchored_stages,
    "transfer": transfer_stages,
}


@pytest.mark.parametrize("kind", STAGED)
@pytest.mark.parametrize("done", [1, 2, 3, 4, 5, 6])
def test_interrupted_equals_undisturbed(
    kind: str,
    done: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With dropout and augmentation, at every epoch, the border between stages among them."""
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", math.inf)  # one after every epoch
    undisturbed = STAGED[kind]()
    expected = told(list(undisturbed.run(budget(6, tmp_path_factory.mktemp("whole")))))
    folder = tmp_path_factory.mktemp("cut")
    stream = STAGED[kind]().run(budget(6, folder))
    first = [next(stream) for _ in range(done)]
    assert told(first) == expected[:done]
    del stream

    trained = count_epochs(monkeypatch)
    torch.manual_seed(999)  # another process would be in another state
    resumed = STAGED[kind]()
    assert told(list(resumed.run(budget(6, folder)))) == expected
    assert equal(resumed.weights(), undisturbed.weights())
    kept = min(done, 5)  # after the last epoch there is nothing to go on to
    assert trained == list(range(kept + 1, 7))


def test_interrupted_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", math.inf)
    undisturbed = shared_stages()
    expected = told(list(undisturbed.run(budget(6))))
    for done in range(1, 6):
        stream = shared_stages().run(budget(6, tmp_path))
        assert told([next(stream) for _ in range(done)]) == expected[:done]
    last = shared_stages()
    assert told(list(last.run(budget(6, tmp_path)))) == expected
    assert equal(last.weights(), undisturbed.weights())


def test_a_longer_budget_goes_on_from_a_shorter_ones_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", math.inf)
    list(one_stage().run(budget(4, tmp_path)))
    trained = count_epochs(monkeypatch)
    results = told(list(one_stage().run(budget(6, tmp_path))))
    assert trained == [4, 5, 6]
    assert results == told(list(one_stage().run(budget(6))))
