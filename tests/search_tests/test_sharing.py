"""Work that trials share: which values may come up, what is told of it, best.pt made whole."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from search import doing as doings
from search.catalog import EXPERIMENTS
from search.doing import NAME, Doing, what_it_does
from search.plan import Plan, possible_values
from search.sharing import add_work, say_saved
from search.weights import complete_best
from tests.search_tests.bench import Bench, make_bench
from tests.search_tests.toy import EXPERIMENT, PRESETS, Toy, begin, row
from trainables.budget import Weights

INCEPTION = EXPERIMENTS["inception_beans"]


@pytest.mark.parametrize(
    ("plan", "values"),
    [
        (Plan(24, 32), (0, 2, 3, 6)),
        (Plan(24, 32, fixed={"unfreeze_blocks": 3}), (3,)),
        (Plan(1, 32), (6,)),
        (Plan(4, 32, sweep=("unfreeze_blocks",)), (0, 2, 3, 6)),
        (Plan(2, 32, sweep=("head_epochs",), fixed={"unfreeze_blocks": 2}), (2,)),
    ],
)
def test_the_depths_that_trials_may_take(plan: Plan, values: tuple[int, ...]) -> None:
    assert possible_values(INCEPTION, plan, "unfreeze_blocks") == values


def test_what_the_store_saved_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = begin(Plan(trials=2, max_epochs=4, sampler="random"), tmp_path / "s")
    path = tmp_path / "s" / "study.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"shared_work": {"images": 8, "cuts": ["pool"]}}))
    book = opened.book
    book.experiment = replace(EXPERIMENT, shares=True)
    given = book.next()
    assert given is not None
    book.report(given.number, row(1, 0.5, frozen_images=5))
    book.report(given.number, row(2, 0.5))
    say_saved(book, tmp_path / "s")
    # 8 before the study, 5 by the trial; 2 epochs of 6 train and 2 validation images otherwise.
    told = capsys.readouterr().err
    assert "13 images run through them" in told
    assert "its 2 epochs would have taken 16" in told


def test_what_a_resume_did_again_is_added(tmp_path: Path) -> None:
    begin(Plan(2, 4), tmp_path / "s").close()
    path = tmp_path / "s" / "study.json"
    older = json.loads(path.read_text()) | {"shared_work": {"images": 8, "cuts": ["pool"]}}
    path.write_text(json.dumps(older))
    add_work(tmp_path / "s", {"images": 5, "cuts": ["pool"], "seconds": 1.5})
    add_work(tmp_path / "s", {"images": 0, "cuts": ["pool"], "seconds": 0.0})
    add_work(tmp_path / "s", {"images": 1, "cuts": ["pool"], "seconds": 0.25})
    told = json.loads(path.read_text())["shared_work"]
    assert told == {"images": 14, "cuts": ["pool"], "seconds": 1.75}


def test_experiments_that_share_nothing_say_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say_saved(begin(Plan(2, 4), tmp_path / "s").book, tmp_path / "s")
    assert capsys.readouterr().err == ""


class Whole:
    """Stands for a trainable's module: the frozen layer is `frozen`."""

    @staticmethod
    def whole_state(state: dict[str, Any], weights: Weights) -> dict[str, Any]:
        return {"frozen": torch.ones(1)} | state


def test_the_best_weights_are_made_whole_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "module", lambda _: Whole)
    book, weights = begin(Plan(2, 4), tmp_path / "s").book, Weights("random", "", "r")
    experiment = Toy("toy", "", "beans", None, PRESETS, None, pretrained=True)
    path = tmp_path / "s" / "best.pt"
    complete_best(experiment, book, weights)
    assert not path.exists()
    torch.save({"model": {"head": torch.zeros(1)}, "epoch": 3}, path)
    complete_best(experiment, book, weights)
    saved = torch.load(path, weights_only=True)
    assert saved == {"model": {"frozen": torch.ones(1), "head": torch.zeros(1)}, "epoch": 3}
    before = path.stat()
    complete_best(experiment, book, weights)
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_what_a_trial_does_is_a_line_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(doings.time, "monotonic", lambda: now[0])
    assert what_it_does(tmp_path / "7") == ""
    doing = Doing(tmp_path / "7")
    doing("training the source network", 1, 10)
    assert what_it_does(tmp_path / "7") == "training the source network: 1 of 10"
    now[0] += 0.9
    doing("training the source network", 2, 10)  # within the same second: not written
    assert what_it_does(tmp_path / "7") == "training the source network: 1 of 10"
    now[0] += 0.2
    doing("training the source network", 3, 10)
    assert what_it_does(tmp_path / "7") == "training the source network: 3 of 10"
    doing("training the source network", 10, 10)
    assert what_it_does(tmp_path / "7") == "training the source network: 10 of 10"
    (tmp_path / "8").write_text("")
    Doing(tmp_path / "8")("waiting", 1, None)  # a file in the way ends no trial
    (tmp_path / "7" / NAME).write_bytes(b"\xff")
    assert what_it_does(tmp_path / "7") == ""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.slow
def test_a_study_runs_every_image_through_the_frozen_layers_once(bench: Bench) -> None:
    words = "--weights random --trials 4 --max-epochs 7 --fix head_epochs=5 --precision float32"
    fixed = "--fix head_width=256 --fix batch_size=16 --fix finetune_epochs=2 --stopper none"
    done = bench.run(*words.split(), *fixed.split(), "--study", "i", experiment="inception_beans")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((bench.results / "i" / "study.json").read_text())
    sizes = manifest["data"]["sizes"]
    images = sizes["train"] + sizes["validation"]
    assert images > 10
    assert manifest["shared_work"].pop("seconds") > 0
    assert manifest["shared_work"] == {
        "cuts": ["pool", "Mixed_7b", "Mixed_7a", "Mixed_6c"],
        "images": images,
    }
    assert f"{images:,} images run through them in this study" in done.stderr
    curves = (bench.results / "i" / "curves.csv").read_text().splitlines()[1:]
    assert any(",finetune," in line for line in curves)
    count = len(curves)
    assert f"its {count} epochs would have taken {count * images:,}" in done.stderr
    assert manifest["weights"]["source"] == "random"
    # best.pt holds the whole network: 94 convolutions of 6 tensors each, and the head's 4.
    saved = torch.load(bench.results / "i" / "best.pt", weights_only=True)
    assert len(saved["model"]) == 94 * 6 + 4
