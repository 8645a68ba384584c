"""What a driver computes on beside its trials: the best model, the test split."""

import pytest

from search import request
from search.options import build_parser
from search.resources import Machine


@pytest.mark.parametrize(
    ("gpus", "words", "device"),
    [
        (0, "", "cpu"),
        (1, "", "cuda"),
        (1, "--gpus-per-trial 0.25", "cuda"),
        (1, "--gpus-per-trial 0", "cpu"),  # trials leave the GPU to others, and so does it
        (1, "--address 10.0.0.1:6379 --gpus-per-trial 1", "auto"),  # this machine may have none
    ],
)
def test_the_driver_computes_where_its_trials_do(
    gpus: int, words: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a token")
    monkeypatch.setattr(request, "this_machine", lambda: Machine(4, gpus))
    arguments = build_parser().parse_args(["lenet_beans", "--data", "embedded", *words.split()])
    assert request.check(arguments).device == device
