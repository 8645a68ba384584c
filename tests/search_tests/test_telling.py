"""What a run tells before the search: when trials may be stopped."""

from pathlib import Path

import pytest

from search.options import build_parser
from search.request import check
from search.telling import stops


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("lenet_beans", "asha (at epochs 2, 6, 18)"),
        ("lenet_beans --stopper hyperband --first-rung 4", "hyperband (at epochs 4, 12)"),
        ("lenet_beans --stopper median", "median (from epoch 2 on)"),
        ("lenet_beans --stopper none", "none"),
        ("lenet_beans --max-epochs 1", "asha"),  # nothing to stop
        ("inception_beans --stopper median", "median (from epoch 2 on of the last stage)"),
    ],
)
def test_when_trials_may_be_stopped(
    words: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert stops(check(build_parser().parse_args(words.split()))) == text
