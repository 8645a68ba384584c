"""Batches in parts: the same gradient, no more memory than given, or a refusal."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spaces.lenet_beans import DEFAULTS
from tests.trainables_tests.tiny_data import tiny_data
from tests.trainables_tests.tiny_stages import CPU, TRAIN, VALIDATION, Net, split, stage
from trainables import lenet_beans, memory, passes, training
from trainables.budget import Budget, TooLarge
from trainables.device import is_out_of_memory, peak_memory_mb, reset_peak_memory
from trainables.evaluation import Examples, evaluate, images_to_floats
from trainables.losses import mean_squared_error
from trainables.memory import peak
from trainables.nets.lenet import LeNet, keras_init
from trainables.passes import micro_batches
from trainables.regularizers import convolution_penalty
from trainables.training import Stage, run_epoch, train_step

pytestmark = pytest.mark.usefixtures("one_thread")
META = torch.device("meta")
FLOAT32 = Budget(1, device="cpu", precision="float32")


def lenet(size: int | None, rate: float = 1.0, **options: Any) -> Stage:
    """LeNet with an L1 penalty in float64 (losses are float32), 22 images in batches of 8."""
    model = LeNet(
        image_size=26, channels=3, classes=3, kernel_size=3, filters=(2, 3, 4), dropout=0.0
    )
    keras_init(model, torch.Generator().manual_seed(7))
    model.double()
    draws = torch.Generator().manual_seed(8)
    pixels = torch.randint(0, 256, (TRAIN, 26, 26, 3), generator=draws).to(torch.uint8)
    examples = Examples(pixels, torch.arange(TRAIN) % 3)
    plain = Stage(
        "train",
        9,
        model,
        torch.optim.SGD(model.parameters(), rate),
        examples,
        examples,
        batch_size=8,
        prepare=lambda batch: images_to_floats(batch).double(),
        penalty=partial(convolution_penalty, model, "l1", 0.01),
        micro_batch=size,
    )
    return replace(plain, **options)


def gradients(of: Stage) -> list[Tensor]:
    """What a step of SGD at rate 1 takes off: the gradient of the first 8 images."""
    before = [p.detach().clone() for p in of.model.parameters()]
    totals = train_step(of, of.train, torch.arange(8), torch.Generator(), nullcontext())
    assert totals.shape == (2,)
    return [a - b.detach() for a, b in zip(before, of.model.parameters(), strict=True)]


def test_a_trial_that_goes_on_splits_its_batches_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the process itself takes differs a little, and may make it another size."""
    seen: list[int | None] = []
    sizes = {"now": 3}

    def chosen(builders: Any, *_: Any) -> Any:
        return passes.Passes([sizes["now"]] * len(builders), tight=False)

    real = run_epoch

    def noted(of: Stage, *given: Any) -> Any:
        seen.append(of.micro_batch)
        return real(of, *given)

    monkeypatch.setattr(passes, "micro_batches", chosen)
    monkeypatch.setattr(training, "run_epoch", noted)
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", math.inf)
    budget = replace(FLOAT32, epochs=3, folder=tmp_path, memory_mb=900.0)

    def run(of: Budget) -> Any:
        return training.run_stages([lambda _: lenet(None)], of, "a")

    next(run(budget))
    sizes["now"] = 2
    assert len(list(run(budget))) == 3
    assert seen == [3, 3, 3]
    for path in tmp_path.iterdir():
        path.unlink()
    next(run(budget))
    sizes["now"] = 1
    assert len(list(run(replace(budget, memory_mb=500.0)))) == 3  # other memory, other parts
    assert seen[3:] == [2, 1, 1]


def test_a_trial_that_has_fitted_is_not_refused_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: Any) -> Any:
        raise TooLarge("a few MiB more than at its beginning")

    mapped: list[bool] = []
    monkeypatch.setattr(training.machine, "map_large_blocks", lambda: mapped.append(True))
    monkeypatch.setattr(passes, "micro_batches", lambda *_: passes.Passes([3], tight=False))
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", math.inf)
    budget = replace(FLOAT32, epochs=2, folder=tmp_path, memory_mb=900.0)

    def run(of: Budget) -> Any:
        return training.run_stages([lambda _: lenet(None)], of, "a")

    next(run(budget))
    monkeypatch.setattr(passes, "micro_batches", too_large)
    assert len(list(run(budget))) == 2
    assert mapped == [True]
    with pytest.raises(TooLarge):  # other memory: nothing was chosen for it
        next(run(replace(budget, memory_mb=800.0)))


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 100])
def test_parts_give_the_gradient_of_the_whole_batch(size: int) -> None:
    whole, parts = gradients(lenet(None)), gradients(lenet(size))
    assert sum(each.abs().sum() for each in whole) > 1
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_gradient_is_that_of_a_plain_sum() -> None:
    of = lenet(3)
    images = of.prepare(of.train.inputs[:8])
    loss = nn.functional.cross_entropy(of.model(images), of.train.labels[:8], reduction="sum") / 8
    norm = sum(m.weight.abs().sum() for m in of.model.modules() if isinstance(m, nn.Conv2d))
    wanted = torch.autograd.grad(loss + 0.01 * norm, list(of.model.parameters()))
    for one, other in zip(wanted, gradients(of), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"loss": mean_squared_error}, {"penalty": None}])
def test_epochs_in_parts_end_where_whole_batches_do(options: dict[str, Any]) -> None:
    ends, rows = [], []
    for size in (None, 3, 5):  # batches of 8, 8 and 6: none divides evenly
        of = lenet(size, rate=0.1, **options)
        told = [run_epoch(of, FLOAT32, epoch, CPU) for epoch in (1, 2)]
        rows.append([(r.train_loss, r.train_accuracy, r.val_loss, r.val_accuracy) for r in told])
        ends.append([p.detach() for p in of.model.parameters()])
    assert rows[1] == [pytest.approx(each, rel=1e-5) for each in rows[0]]
    assert rows[2] == [pytest.approx(each, rel=1e-5) for each in rows[0]]
    for one, *others in zip(*ends, strict=True):
        for other in others:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


class Counting(nn.Module):
    """Notes how many images come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.sizes = Net(dropout=0.0), list[int]()

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        result: Tensor = self.net(images)
        return result


def test_no_more_images_at_once_than_allowed() -> None:
    model = Counting()
    run_epoch(stage(model, batch_size=8, micro_batch=3), FLOAT32, 1, CPU)
    assert model.sizes[:8] == [3, 3, 2, 3, 3, 2, 3, 3]
    assert sum(model.sizes) == TRAIN + VALIDATION
    assert max(model.sizes[8:]) == 3


def test_evaluation_in_parts_finds_the_same() -> None:
    examples = Examples.of(split(VALIDATION, 2), CPU)
    found = [
        evaluate(Net(0.0), examples, images_to_floats, nullcontext(), most=most)
        for most in (None, 2)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_no_gradient_is_left_behind() -> None:
    of = lenet(3)
    gradients(of)
    assert [p.grad for p in of.model.parameters()] == [None] * 10


# --- how small the parts must be

CONFIG = {**DEFAULTS, "image_size": 64, "batch_size": 48, "regularizer": "l1"}


def built(batch_size: int = 48) -> list[Callable[[torch.device], Stage]]:
    data = tiny_data((64, 64, 3), train=48)
    return lenet_beans.stages({**CONFIG, "batch_size": batch_size}, data, FLOAT32)


def need(size: int | None) -> float:
    of = built()[0](META)
    return peak(replace(of, micro_batch=size), CPU, FLOAT32).own_mb


def chosen(memory_mb: float) -> int | None:
    (size,) = micro_batches(built(), replace(FLOAT32, memory_mb=memory_mb), CPU).sizes
    return size


@pytest.mark.slow
def test_the_largest_part_that_fits_is_taken() -> None:
    assert chosen(need(None)) is None
    needs = {size: need(size) for size in (48, 24, 16, 12)}  # in 1, 2, 3, 4 parts
    assert needs[48] > needs[24] > needs[16] > needs[12]
    assert [chosen(needs[size]) for size in (24, 16)] == [24, 16]


@pytest.mark.parametrize(("room", "tight"), [(1.01, True), (1.19, True), (1.21, False)])
def test_where_gaps_may_be_too_large_memory_is_tight(room: float, tight: bool) -> None:
    budget = replace(FLOAT32, memory_mb=room * need(None))
    assert micro_batches(built(), budget, CPU) == ([None], tight)


def test_neither_no_limit_nor_much_room_nor_a_gpu_is_tight() -> None:
    for limit in (None, 8000.0):
        assert not micro_batches(built(), replace(FLOAT32, memory_mb=limit), CPU).tight
    cuda = torch.device("cuda")
    budget = replace(FLOAT32, memory_mb=1.01 * peak(built()[0](META), cuda, FLOAT32).mb)
    assert micro_batches(built(), budget, cuda) == ([None], False)


def test_more_images_fit_where_large_blocks_leave_no_gaps() -> None:
    """Dense layers of 100 and 200 MB, and their gradients, in batches of 8."""
    config, data = {**DEFAULTS, "batch_size": 8}, tiny_data((299, 299, 3), train=8, validation=2)
    of = replace(lenet_beans.stages(config, data, FLOAT32)[0](META), micro_batch=4)
    lying, mapped = (peak(of, CPU, FLOAT32, is_mapped) for is_mapped in (False, True))
    # What lives is the same; of the gaps the large ones are gone.
    assert replace(lying, gaps=0) == replace(mapped, gaps=0)
    assert mapped.gaps < lying.gaps - 50e6


@pytest.mark.parametrize(("room", "mapped"), [(1.01, [True]), (3.0, [])])
def test_a_tight_trial_has_its_large_blocks_mapped(
    room: float, mapped: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[bool] = []
    monkeypatch.setattr(training.machine, "map_large_blocks", lambda: called.append(True))
    budget = replace(FLOAT32, memory_mb=room * need(None))
    data = tiny_data((64, 64, 3), train=48)
    next(iter(lenet_beans.epochs({**CONFIG, "batch_size": 48}, data, budget)))
    assert called == mapped


def test_without_a_limit_nothing_is_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "micro_batches", lambda *_: pytest.fail("was asked"))
    data = tiny_data((64, 64, 3))
    assert len(list(lenet_beans.epochs(CONFIG, data, FLOAT32))) == 1


@pytest.mark.slow
def test_a_trial_within_a_limit_learns_the_same() -> None:
    data, rows = tiny_data((64, 64, 3), train=48), []
    for limit in (None, need(24)):
        budget = replace(FLOAT32, epochs=2, memory_mb=limit)
        rows.append([r.train_loss for r in lenet_beans.epochs(CONFIG, data, budget)])
    assert rows[0] == pytest.approx(rows[1], rel=1e-3)


def test_what_cannot_fit_is_refused_before_anything_is_allocated() -> None:
    devices: list[str] = []

    def build(device: torch.device) -> Stage:
        devices.append(device.type)
        return built(4)[0](device)

    with pytest.raises(
        TooLarge,
        match=r"^needs about [\d,]+ MiB with one image at a time in stage train, "
        r"has 20 MiB; largest: base, [\d,]+ MiB$",
    ) as found:
        micro_batches([build], replace(FLOAT32, memory_mb=20), CPU)
    assert devices == ["meta"]
    assert is_out_of_memory(found.value)  # so that a study calls the trial infeasible


def test_a_refused_trial_takes_no_memory() -> None:
    config = {**DEFAULTS, "filters": "12/32/240"}
    data = tiny_data((299, 299, 3), train=4, validation=2)
    # Its 54,070,987 weights take 206 MiB, their moments twice as much.
    budget = replace(FLOAT32, memory_mb=memory.base_bytes() / 2**20 + 500)
    for _ in range(2):  # what is imported counts once
        reset_peak_memory(CPU)
        before = peak_memory_mb(CPU)
        # Or the process itself, which other tests have made large.
        with pytest.raises(TooLarge, match=r"largest: (optimizer, 413|base, [0-9,]+) MiB"):
            next(lenet_beans.epochs(config, data, budget))
    assert peak_memory_mb(CPU) - before < 50


def test_a_limit_is_more_than_nothing() -> None:
    with pytest.raises(ValueError, match="memory_mb > 0 must hold, but got 0"):
        Budget(1, memory_mb=0)


@pytest.mark.slow
def test_the_network_that_ran_out_of_memory_trains_in_parts() -> None:
    code = """if True:
        import json
        from dataclasses import replace
        import torch
        from spaces.lenet_beans import DEFAULTS
        from tests.trainables_tests.tiny_data import tiny_data
        from trainables import lenet_beans, memory, passes
        from trainables.budget import Budget

        data = tiny_data((299, 299, 3), train=32, validation=16)
        config = DEFAULTS | {"filters": "12/32/240", "batch_size": 32}
        memory.base_bytes()
        budget = Budget(1, device="cpu", precision="float32")
        whole = memory.predict(lenet_beans, config, data, budget).mb
        budget = replace(budget, memory_mb=whole - 550)
        (size,), _ = passes.micro_batches(
            lenet_beans.stages(config, data, budget), budget, torch.device("cpu")
        )
        (result,) = lenet_beans.epochs(config, data, budget)
        print(json.dumps([size, whole, result.peak_memory_mb, result.train_loss]))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    size, whole, found, loss = json.loads(done.stdout.splitlines()[-1])
    assert 1 <= size < 32
    assert found < 1.2 * (whole - 550)
    assert 0 < loss < 100
