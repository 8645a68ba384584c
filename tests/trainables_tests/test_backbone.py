"""The backbone's tensors against counts of the published network and faults made by hand."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainables_tests.fake_weights import fake_state
from trainables.backbone import backbone_shapes, check_backbone, fingerprint, random_backbone
from trainables.errors import TrellisError
from trainables.vision import import_torchvision

pytestmark = pytest.mark.usefixtures("one_thread")

CONV = "Mixed_7c.branch1x1.conv.weight"
FIRST = "Conv2d_1a_3x3.conv.weight"


@pytest.fixture(scope="module")
def drawn() -> dict[str, Tensor]:
    return random_backbone()


def test_the_names_are_those_of_the_published_network() -> None:
    shapes = backbone_shapes()
    # 94 convolutions, each with gamma, beta, mean, variance and counter of its batch norm.
    assert len(shapes) == 94 * 6
    assert list(dict.fromkeys(name.split(".")[0] for name in shapes)) == [
        *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"),
        *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d"),
        *("Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c"),
    ]
    # Keras counts 21,802,784 without the top, and has no gamma: one for each of 17,216 channels.
    values = {name: math.prod(shape) for name, shape in shapes.items() if "tracked" not in name}
    assert sum(values.values()) == 21_802_784 + 17_216
    assert sum(n for name, n in values.items() if name.endswith(".bn.weight")) == 17_216


def test_random_weights_are_the_same_on_every_machine(drawn: dict[str, Tensor]) -> None:
    # The digest of the first machine that drew them.
    digest = "19547a4270fef9ce1151663bd0b5c9da04784563c78bf5651f639b6e4b10b45f"
    assert fingerprint(drawn) == digest
    assert fingerprint(random_backbone()) == digest


def test_random_convolutions_are_drawn_by_he(drawn: dict[str, Tensor]) -> None:
    assert drawn.keys() == backbone_shapes().keys()
    values = drawn[CONV]  # [320, 2048, 1, 1]: 655,360 numbers of variance 2 / 2048
    assert values.std().item() == pytest.approx(1 / 32, rel=0.005)
    assert abs(values.mean().item()) < 4 / 32 / math.sqrt(655_360)
    within = (values.abs() < 1 / 32).float().mean().item()
    assert within == pytest.approx(0.68, abs=0.03)  # bell-shaped; of a uniform one 0.58
    assert drawn[FIRST].std().item() == pytest.approx(math.sqrt(2 / 27), rel=0.1)
    norm = {name: value for name, value in drawn.items() if "Mixed_7c.branch1x1.bn" in name}
    assert {name.rsplit(".", 1)[1]: set(v.flatten().tolist()) for name, v in norm.items()} == {
        **{"weight": {1}, "bias": {0}, "running_mean": {0}, "running_var": {1}},
        "num_batches_tracked": {0},
    }


def test_random_activations_neither_vanish_nor_explode(drawn: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        model: Any = import_torchvision().models.inception_v3(
            weights=None, aux_logits=False, init_weights=False, transform_input=False
        )
    model.fc = nn.Identity()
    model.load_state_dict(drawn, assign=True)
    images = torch.rand(2, 3, 75, 75, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        features = model.eval()(images)
    assert features.shape == (2, 2048)
    assert features.isfinite().all()
    assert 0.01 < features.std().item() < 100


def test_the_top_is_left_out_and_a_missing_counter_is_0() -> None:
    state = fake_state(top=True)
    counter = "Conv2d_1a_3x3.bn.num_batches_tracked"
    del state[counter]
    checked = check_backbone(state, "x")
    assert list(checked) == list(backbone_shapes())
    assert (checked[counter].item(), checked[counter].dtype) == (0, torch.int64)
    assert checked[counter.replace("1a", "2a")].item() == 3
    assert all(t.is_contiguous() for t in checked.values())
    assert {t.dtype for name, t in checked.items() if "tracked" not in name} == {torch.float32}


def test_the_fingerprint_is_of_the_tensors() -> None:
    state = fake_state()
    before = fingerprint(check_backbone(state, "x"))
    same = {name: state[name] for name in sorted(state, reverse=True) if "tracked" not in name}
    same |= {"fc.bias": torch.ones(1000)}
    assert fingerprint(check_backbone(same, "y")) == before
    half = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    assert fingerprint(check_backbone(half, "y")) == before  # 0.5 is exact in 16 bits
    one = state[FIRST].clone()
    one[0, 0, 0, 0] = 0.25
    assert fingerprint(check_backbone(state | {FIRST: one}, "y")) != before
    swapped = {FIRST: one.flip(0)}
    assert fingerprint(check_backbone(state | swapped, "y")) not in (
        before,
        fingerprint(check_backbone(state | {FIRST: one}, "y")),
    )


Change = Callable[[dict[str, Tensor]], object]
FIT = "x.pth is not Inception-v3 in torchvision's names: "
FAULTS: dict[str, tuple[Change, str]] = {
    "one missing": (lambda s: s.pop(FIRST), f"{FIT}{FIRST} is missing"),
    "all missing": (
        lambda s: s.clear(),
        # 564 less the 94 counters less the 3 that are listed.
        f"{FIT}{FIRST} is missing, Conv2d_1a_3x3.bn.weight is missing, "
        "Conv2d_1a_3x3.bn.bias is missing ... and 467 more",
    ),
    "unknown": (
        lambda s: s.update({"layer\n1": torch.ones(1)}),
        f"{FIT}'layer\\n1' is not part of it",
    ),
    "another shape": (
        lambda s: s.update({FIRST: torch.ones(32, 1, 3, 3)}),
        f"{FIT}{FIRST} has shape [32, 1, 3, 3] instead of [32, 3, 3, 3]",
    ),
    "several": (
        lambda s: s.update({"a": s.pop(FIRST), "b": torch.ones(1), "c": torch.ones(1)}),
        f"{FIT}{FIRST} is missing; 'a' is not part of it, 'b' is not part of it, "
        "'c' is not part of it",
    ),
    "whole numbers": (
        lambda s: s.update({FIRST: torch.ones(32, 3, 3, 3, dtype=torch.int8)}),
        f"{FIT}{FIRST} is torch.int8",
    ),
    "complex": (
        lambda s: s.update({FIRST: torch.ones(32, 3, 3, 3, dtype=torch.complex64)}),
        f"{FIT}{FIRST} is torch.complex64",
    ),
    "a counter in parts": (
        lambda s: s.update({"Mixed_7a.branch3x3_1.bn.num_batches_tracked": torch.tensor(0.5)}),
        f"{FIT}Mixed_7a.branch3x3_1.bn.num_batches_tracked is torch.float32",
    ),
    "without values": (
        lambda s: s.update({FIRST: torch.ones(32, 3, 3, 3, device="meta")}),
        f"{FIT}{FIRST} has no values of its own (torch.strided, meta)",
    ),
    "sparse": (
        lambda s: s.update({FIRST: torch.ones(32, 3, 3, 3).to_sparse()}),
        f"{FIT}{FIRST} has no values of its own (torch.sparse_coo, cpu)",
    ),
    "NaN": (
        lambda s: s.update({FIRST: torch.full((32, 3, 3, 3), math.nan)}),
        f"x.pth holds values that no trained network has: {FIRST} holds NaN or infinity",
    ),
    "beyond float32": (
        lambda s: s.update({FIRST: torch.full((32, 3, 3, 3), 1e300, dtype=torch.float64)}),
        f"x.pth holds values that no trained network has: {FIRST} holds NaN or infinity",
    ),
    "a variance below 0": (
        lambda s: s.update({"Conv2d_1a_3x3.bn.running_var": torch.full((32,), -0.1)}),
        "x.pth holds values that no trained network has: Conv2d_1a_3x3.bn.running_var is below 0",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_told_in_one_line(fault: str) -> None:
    change, line = FAULTS[fault]
    state = fake_state()
    change(state)
    with pytest.raises(TrellisError) as error:
        check_backbone(state, "x.pth")
    assert str(error.value) == line
