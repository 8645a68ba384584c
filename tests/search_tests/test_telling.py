"""What a run tells before the search: when trials may be stopped."""

from pathlib import Path

import pytest

from search.options import build_parser
from search.request import check
from search.telling import announce, stops
from tests.search_tests.toy import DATA


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("lenet_beans", "asha (at epochs 2, 6, 18)"),
        ("lenet_beans --stopper hyperband --first-rung 4", "hyperband (at epochs 4, 12)"),
        ("lenet_beans --stopper median", "median (from epoch 2 on)"),
        ("lenet_beans --stopper none", "none"),
        ("lenet_beans --max-epochs 1", "asha (stops none)"),
        ("inception_beans", "asha (at epochs 2, 6 of the last stage)"),  # of 12 at most
        ("inception_beans --fix finetune_epochs=4", "asha (at epochs 2 of the last stage)"),
        ("inception_beans --max-epochs 21", "asha (at epochs 2, 6 of the last stage)"),
        ("inception_beans --max-epochs 22 --fix head_epochs=20", "asha (stops none)"),
        ("inception_beans --preset quick", "asha (stops none)"),
        ("inception_beans --fix unfreeze_blocks=0", "asha (stops none)"),
        ("inception_beans --stopper median", "median (from epoch 2 on of the last stage)"),
    ],
)
def test_when_trials_may_be_stopped(
    words: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert stops(check(build_parser().parse_args(words.split()))) == text


@pytest.mark.parametrize(("held", "note"), [(["kernel_size=3"], False), (["dropout=0.5"], True)])
def test_a_space_of_few_configurations_is_told(
    held: list[str],
    note: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["mnist_cnn"]
    for each in ("learning_rate=0.001", "momentum=0.9", "batch_size=64", *held):
        words += ["--fix", each]
    announce(check(build_parser().parse_args(words)), DATA)
    # Of 3 kernels and 3 filters 9; of 3 filters and 9 dropout rates 27.
    told = "note: there are 9 configurations; the study ends when it has them all\n"
    assert (told in capsys.readouterr().err) is note
