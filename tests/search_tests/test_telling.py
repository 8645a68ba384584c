"""What a run tells before the search: on what, when trials may be stopped, what is unused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from search.options import build_parser
from search.plan import Plan
from search.request import Request, check
from search.resources import Resources
from search.telling import announce, say_resources, show_result, stops
from tests.search_tests.toy import DATA, begin, drive, row
from trainables.data import DataSpec


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("lenet_beans", "asha (at epochs 2, 6, 18)"),
        (
            "lenet_beans --stopper hyperband --first-rung 4",
            "hyperband (at epochs 4, 12)",
        ),
        ("lenet_beans --stopper median", "median (from epoch 2 on)"),
        ("lenet_beans --stopper none", "none"),
        ("lenet_beans --max-epochs 1", "asha (stops none)"),
        ("lenet_beans --trials 100", "asha (at epochs 1, 3, 9, by accuracy and loss)"),
        ("lenet_beans --compare-by accuracy --trials 100", "asha (at epochs 2, 6, 18)"),
        ("cifar10_net --trials 100", "asha (at epochs 2, 6, 18)"),
        (
            "inception_beans",
            "asha (at epochs 2, 6 of the last stage)",
        ),  # of 12 at most
        (
            "inception_beans --fix finetune_epochs=4",
            "asha (at epochs 2 of the last stage)",
        ),
        (
            "inception_beans --max-epochs 21",
            "asha (at epochs 2, 6 of the last stage)",
        ),
        ("inception_beans --max-epochs 22 --fix head_epochs=20", "asha (stops none)"),
        ("inception_beans --preset quick", "asha (stops none)"),
        ("inception_beans --fix unfreeze_blocks=0", "asha (stops none)"),
        # Every trial of it has 6 epochs of fine-tuning at most, so none goes beyond 6.
        (
            "inception_beans --sweep unfreeze_blocks --stopper asha",
            "asha (at epochs 2 of the last stage)",
        ),
        (
            "inception_beans --sweep head_epochs --fix unfreeze_blocks=0 --stopper asha",
            "asha (stops none)",
        ),
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


@pytest.mark.parametrize(
    ("held", "but"),
    [
        ([], ":"),
        (["dropout=0.5"], ":"),  # as published
        (["dropout=0.0", "filters=16/32"], ", but for filters, dropout:"),
    ],
)
def test_what_differs_from_the_published_configuration_is_told(
    held: list[str],
    but: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["mnist_cnn", *(word for each in held for word in ("--fix", each))]
    announce(check(build_parser().parse_args(words)), DATA)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"trial 0 is the published configuration{but} ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("cifar10_net --fix optimizer=adam --fix momentum=0.5", "momentum"),
        ("lenet_beans --fix regularizer=none --fix strength=0.1", "strength"),
        ("lenet_beans --fix strength=0.01", ""),  # regularizers that need it are drawn
        ("cifar10_net --fix momentum=0.5", ""),
        ("inception_beans --fix unfreeze_blocks=0 --fix finetune_epochs=4", "finetune_epochs"),
        ("lenet_beans --sweep dropout --fix strength=0.01", "strength"),
    ],
)
def test_what_is_held_in_vain_is_told(
    words: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = ["--weights", "random"] * words.startswith("inception")
    announce(check(build_parser().parse_args([*words.split(), *weights])), DATA)
    lines = capsys.readouterr().err.splitlines()
    notes = [line for line in lines if line.endswith("is in force in no trial")]
    assert notes == ([f"note: {told} is in force in no trial"] if told else [])


@pytest.mark.parametrize(
    ("kind", "images", "told"),
    [
        ("folder", "images of a folder", True),
        ("tfds", "beans from tfds", False),
        ("embedded", "embedded data, not the real beans", False),
    ],
)
def test_the_data_is_told_and_the_classes_of_a_folder(
    kind: str,
    images: str,
    told: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    data = replace(DATA, spec=DataSpec("beans", kind, "/photos"))
    announce(check(build_parser().parse_args(["lenet_beans"])), data)
    err = capsys.readouterr().err
    assert err.startswith(f"lenet_beans: {images}, 6 train, 2 validation, 2 test images\n")
    assert ("\n2 classes: x, y\n" in err) is told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--max-epochs 21", True),
        ("--max-epochs 31", True),
        ("", False),  # 32
        ("--max-epochs 21 --fix head_epochs=5", False),  # and 12
        ("--max-epochs 27 --sweep unfreeze_blocks", False),  # 26 at most
        ("--max-epochs 20 --fix unfreeze_blocks=0", False),
        ("--max-epochs 19 --fix unfreeze_blocks=0", True),
    ],
)
def test_stages_that_are_cut_are_told(
    words: str,
    told: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["inception_beans", "--weights", "random", *words.split()]
    announce(check(build_parser().parse_args(command)), DATA)
    note = "note: where head_epochs and finetune_epochs ask for more than"
    assert (note in capsys.readouterr().err) is told


@pytest.mark.parametrize(
    ("words", "address", "why", "told"),
    [
        ([], "local", "its driver", True),
        ([], "local", None, False),
        (["--gpus-per-trial", "0"], "local", "as was asked for", False),
        ([], "auto", "here, not where trials run", False),
    ],
)
def test_a_gpu_that_is_there_and_unused_is_told(
    words: list[str],
    address: str,
    why: str | None,
    told: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("search.telling.unused", lambda: why)
    request = check(build_parser().parse_args(["lenet_beans", *words]))
    say_resources(replace(request, address=address), Resources(1, 0.0, 2))
    _, *notes = capsys.readouterr().err.splitlines()
    assert notes == ([f"note: there is a GPU, and trials run on CPUs: {why}"] if told else [])


def test_the_end_of_a_search_says_how_its_best_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    opened = begin(Plan(3, 1, stopper="none", fixed={"rate": 0.01}), tmp_path / "results" / "s")
    folder = opened.book.folder.root
    words = ["lenet_beans", "--data", "embedded", "--study", "new"]
    request = replace(check(build_parser().parse_args(words)), folder=folder)

    def told(request: Request) -> str:
        opened.book.folder.tidy(list(opened.book.records.values()))
        show_result(request, opened.book, 0, 1.0)
        return capsys.readouterr().err

    given = opened.book.next()
    assert given is not None
    opened.book.report(given.number, row(1, 0.5))
    opened.book.end(given.number, "completed")
    assert "search.confirm" not in told(request)  # it is not over
    drive(opened.book)
    assert told(request).endswith(
        "the best was chosen by one seed, and so looks better than it is; it is confirmed by\n"
        "  python -m search.confirm s\n"
    )
    other = shutil.copytree(folder, tmp_path / "other" / "s")
    way = f"  python -m search.confirm s --results-dir {tmp_path / 'other'}\n"
    assert told(replace(request, folder=other)).endswith(way)
    plan = replace(request.plan, sweep=("dropout",), seeds=2)
    assert "chosen by validation alone, and" in told(replace(request, plan=plan))
    listed = replace(request.plan, configurations=({"drop": 0.2},))  # a confirmation of its own
    for elsewhere in (
        replace(request, store="s3://b"),
        replace(request, way_on=("fetch",)),
        replace(request, plan=listed),
    ):
        assert "search.confirm" not in told(elsewhere)
    (folder / "confirm.json").touch()
    assert "search.confirm" not in told(request)
    opened.close()
