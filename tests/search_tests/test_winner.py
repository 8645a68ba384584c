"""Of a confirmed study, what is used afterwards is the network that confirming kept."""

import json
from pathlib import Path

import pytest
import torch

from analysis.best_model import load_best
from search import predict
from search.winner import read_winner
from tests.search_tests.winners import configuration, confirmed, make_images, make_study
from trainables.data import DataSpec


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of one trial: 3 classes of 12 images."""
    folder = tmp_path_factory.mktemp("confirmed")
    images = make_images(folder / "images", classes=3, each=12)
    spec = DataSpec("beans", "folder", str(images))
    return make_study(folder / "s", "lenet_beans", spec, epochs=1)


@pytest.mark.parametrize("answer", [0, 2])
def test_images_are_classified_by_it(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: int
) -> None:
    root = confirmed(searched, tmp_path / "c", answer)
    image = searched.parent / "images" / "kind 1" / "0.png"
    assert predict.main([str(root), str(image), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    # e / (e + 2): one logit of 1, two of 0.
    assert (told["class"], told["probability"]) == (f"kind {answer}", pytest.approx(0.576117))


def test_another_than_the_recommended_one_is_told(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A later version recommends another of the confirmed ones, whose weights are gone."""
    root = confirmed(searched, tmp_path / "c", 2)
    read_winner(root)
    assert "note:" not in capsys.readouterr().err
    content = json.loads((root / "confirm.json").read_text())
    content["configurations"].append(configuration(1))
    (root / "confirm.json").write_text(json.dumps(content | {"recommended": 1}))
    read_winner(root)
    load_best(root)
    assert (
        capsys.readouterr()
        .err.splitlines()
        .count(
            "note: confirm.json recommends configuration 1, but confirm.pt, which is used, is of "
            "another; run search.confirm again, which mends it or says how"
        )
        == 2
    )
    # Another confirmation may number its configurations otherwise.
    content["configurations"] = [configuration(2)]
    (root / "confirm.json").write_text(json.dumps(content))
    read_winner(root)
    assert "note: confirm.json recommends configuration 2, but" in capsys.readouterr().err


def test_it_is_what_is_exported(searched: Path, tmp_path: Path) -> None:
    winner = read_winner(confirmed(searched, tmp_path / "c", 2))
    with torch.no_grad():
        logits = winner.network()(torch.full((2, *winner.shape), 99, dtype=torch.uint8))
    assert logits.tolist() == [[0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("answer", [0, 2])
def test_it_is_what_is_disturbed(searched: Path, tmp_path: Path, answer: int) -> None:
    best = load_best(confirmed(searched, tmp_path / "c", answer))
    found = best.predict(best.split.images)
    assert len(found) > 5
    assert set(found.tolist()) == {answer}
