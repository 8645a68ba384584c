"""What names the stored activations of Inception: of other images others."""

from types import SimpleNamespace
from typing import Any

import torch

from trainables.budget import Budget
from trainables.inception_features import Backbone
from trainables.weights import RANDOM


def test_activations_of_two_augmentations_are_two() -> None:
    data: Any = SimpleNamespace(fingerprint="d")
    given = Backbone(data, RANDOM, Budget(1, precision="float32"), torch.device("cpu"))
    named = [
        given.cuts([0], name, copy)[0] for name, copy in (("flip", 1), ("zoom", 1), ("flip", 2))
    ]
    assert len({*named, given.cuts([0])[0]}) == 4
