"""What the benchmark of training steps counts, by hand, on a tiny network."""

from collections.abc import Callable

import pytest
import torch

from benchmarks import training_step
from trainables.budget import Budget
from trainables.nets.products import ProductConv2d
from trainables.optimizers import SGD

TINY = ("mnist_cnn", {"filters": "2/3", "batch_size": 8}, (8, 1), 10, 24)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(training_step.CASES, "tiny", TINY)


def test_multiply_adds_and_bytes_by_hand() -> None:
    # 8 x 8 x 2 of 9, 8 x 8 x 3 of 18, then 4 x 4 x 3 to 128 to 10.
    forward, in_a_step = training_step.multiply_adds("tiny")
    assert forward == 1152 + 3456 + 6144 + 1280
    # Thrice, but for the first layer's input.
    assert in_a_step == 2 * 1152 + 3 * (3456 + 6144 + 1280)
    stage = training_step.our_stage("tiny", torch.device("meta"), Budget(1))
    # A pass 18; SGD reads weight, momentum and gradient and writes the first two, of 4 bytes each.
    assert training_step.dense_bytes(stage) == 6144 * (18 + 20)


def test_a_row_has_shares_and_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"float32": (3 * 12032 - 1152) * 24 / 0.5}
    monkeypatch.setattr(training_step, "matrix_rate", rates.__getitem__)
    seconds = {SGD: 1.0, torch.optim.SGD: 1.5}
    monkeypatch.setattr(
        training_step, "epoch_seconds", lambda stage, *_: seconds[type(stage.optimizer)]
    )
    monkeypatch.setattr(training_step, "plain_process", lambda _: 4.0)
    cells = training_step.measure("tiny", 2, "float32").split(" | ")
    # An epoch takes twice as long as at the full rate, 1 second for 3 steps; torch's layers 1.5,
    # the plain loop 4.
    found = ["333.3 ms", "50%", "500.0 ms", "1.50", "1,333.3 ms", "4.00 |"]
    assert cells[5:] == found


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_the_matrix_rate_is_that_of_the_precision(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_step, "_MATRIX", 4)
    multiplied = []

    def timed(work: Callable[[], torch.Tensor]) -> float:
        multiplied.append(work().dtype)
        return 2.0

    monkeypatch.setattr(training_step, "cpu_seconds", timed)
    assert training_step.matrix_rate(precision) == 4**3 / 2.0
    assert set(multiplied) == {getattr(torch, precision)}


def test_both_loops_train() -> None:
    assert training_step.plain_epoch("tiny") > 0
    stage = training_step.our_stage("tiny", torch.device("cpu"), Budget(1, device="cpu"))
    before = [p.detach().clone() for p in stage.model.parameters()]
    assert training_step.epoch_seconds(stage, torch.autocast("cpu", torch.bfloat16), 1) > 0
    after = list(stage.model.parameters())
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))
    image, label = training_step.Images(training_step.given("tiny")[2].split("train", None))[3]
    assert (image.shape, image.dtype, type(label)) == ((1, 8, 8), torch.float32, int)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_torchs_own_layers_and_optimizer_have_the_same_weights_and_rates(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = {"filters": "2/3/4", "optimizer": kind, "learning_rate": 0.125}
    monkeypatch.setitem(training_step.CASES, "tiny", ("cifar10_net", wide, (32, 3), 10, 8))
    ours = training_step.our_stage("tiny", torch.device("cpu"), Budget(1, device="cpu"))
    assert any(isinstance(layer, ProductConv2d) for layer in ours.model.modules())
    torchs = training_step.as_torch_has_it(ours)
    assert not any(isinstance(layer, ProductConv2d) for layer in torchs.model.modules())
    assert type(torchs.optimizer) is {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind]
    (before,), (after,) = ours.optimizer.param_groups, torchs.optimizer.param_groups
    assert after["fused"]
    assert after["params"] == before["params"]
    for name in ("lr", "momentum") if kind == "sgd" else ("lr", "eps", "betas"):
        assert after[name] == before[name]
