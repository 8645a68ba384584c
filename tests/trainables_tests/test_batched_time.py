"""What a batch of trials says that an epoch took: until its results have come from the device."""

from types import SimpleNamespace
from typing import Any

import pytest
from torch import Tensor

from tests.trainables_tests.test_batched import MNIST, Trials
from trainables import batched
from trainables.budget import EpochResult

pytestmark = pytest.mark.usefixtures("one_thread")


def test_seconds_count_until_the_results_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]

    class OnItsWay(Tensor):
        """As on a GPU: computed once it is read, which takes five seconds."""

        def tolist(self) -> Any:
            clock[0] += 5
            return self.as_subclass(Tensor).tolist()

    train_epoch = batched.train_epoch

    def on_its_way(*given: Any) -> Tensor:
        return train_epoch(*given).as_subclass(OnItsWay)

    monkeypatch.setattr(batched, "train_epoch", on_its_way)
    monkeypatch.setattr(batched, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    (outcomes,) = Trials("mnist_cnn", [MNIST]).together()
    assert [each.epoch_s for each in outcomes if isinstance(each, EpochResult)] == [5.0] * 3
