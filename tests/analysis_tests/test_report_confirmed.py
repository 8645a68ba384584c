"""Reports of confirmed studies: which model is shown, under which name, and what chose it."""

import json
from pathlib import Path

import pytest

from analysis.report import write_report
from analysis.report_best import judged
from analysis.report_model import evaluate
from analysis.report_study import read_study
from tests.analysis_tests.written import without_rendering
from tests.search_tests.winners import (
    configuration,
    confirmed,
    make_images,
    make_study,
    spread,
)
from trainables.data import DataSpec
from trainables.errors import TrellisError


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of one trial: 3 classes of 12 images."""
    folder = tmp_path_factory.mktemp("confirmed")
    images = make_images(folder / "images", classes=3, each=12)
    return make_study(
        folder / "s", "lenet_beans", DataSpec("beans", "folder", str(images)), epochs=1
    )


@pytest.mark.parametrize("answer", [0, 2])
def test_the_confirmed_weights_are_evaluated(searched: Path, tmp_path: Path, answer: int) -> None:
    root = confirmed(searched, tmp_path / "c", answer)
    found = evaluate(read_study(root))
    assert found.name == "configuration 2 as confirmed (trial 7 of confirm/)"
    assert set(found.probabilities.argmax(axis=1)) == {answer}
    count = int((found.labels == answer).sum())
    assert 0 < count < len(found.labels)
    assert found.accuracy == count / len(found.labels)
    # e / (e + 2): one logit of 1, two of 0.
    assert found.probabilities.max() == pytest.approx(0.576117, abs=1e-5)


def test_a_search_that_is_not_confirmed_has_its_best(searched: Path) -> None:
    study = read_study(searched)
    found = evaluate(study)
    assert found.name == "trial 0"
    best = json.loads((searched / "best.json").read_text())
    assert found.accuracy == pytest.approx(best["val_accuracy"])


def test_the_report_names_both_models(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rendering(monkeypatch)
    root = confirmed(searched, tmp_path / "c", 1)
    text = write_report(root, tell=lambda _: None).read_text(encoding="utf-8")
    assert "Configuration 2 as confirmed (trial 7 of confirm/) on " in text
    assert "At its best epoch, 1, trial 0 of the search had a training accuracy " in text
    assert "validation accuracy of trial 0 of the search; the gap is shaded" in text
    sweep = confirmed(searched, tmp_path / "sweep", 1, seeds=3)
    text = write_report(sweep, tell=lambda _: None).read_text(encoding="utf-8")
    assert "Configuration 2 as confirmed (trial 7) on " in text
    assert "At its best epoch, 1, trial 0, the best of the sweep, had a training " in text
    assert "Trained on 3 seeds each, then judged on 7 test images." in text


def test_the_report_tells_of_another_model_than_the_recommended_one(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rendering(monkeypatch)
    root, said = confirmed(searched, tmp_path / "c", 1), []
    told = "confirm.json recommends configuration 3, but confirm.pt, which is used, is of another"
    assert told not in write_report(root, tell=said.append).read_text(encoding="utf-8")
    assert not [line for line in said if line.startswith("note:")]
    content = json.loads((root / "confirm.json").read_text())
    content["configurations"].append(configuration(3))
    (root / "confirm.json").write_text(json.dumps(content | {"recommended": 3}))
    assert told in write_report(root, tell=said.append).read_text(encoding="utf-8")
    assert [line for line in said if line.startswith("note:")] == [
        f"note: {told}; run search.confirm again, which mends it or says how"
    ]


def test_weights_that_do_not_fit_are_named(searched: Path, tmp_path: Path) -> None:
    root = confirmed(searched, tmp_path / "c", 1)
    (root / "confirm.pt").write_bytes((root / "best.pt").read_bytes())
    with pytest.raises(TrellisError, match=r"confirm\.pt does not fit its configuration"):
        evaluate(read_study(root))
    (root / "confirm.pt").write_bytes(b"nothing")
    with pytest.raises(TrellisError, match=r"confirm\.pt is damaged"):
        evaluate(read_study(root))


def test_without_weights_there_is_no_evaluation(searched: Path, tmp_path: Path) -> None:
    root = confirmed(searched, tmp_path / "c", 1)
    for name in ("confirm.pt", "best.pt"):
        (root / name).unlink()
    with pytest.raises(TrellisError, match=r"best\.pt is missing: workers of other machines"):
        evaluate(read_study(root))


# --- what is said of the table


def test_what_recommends_is_validation() -> None:
    said = judged(
        {"test_images": 9, "recommended": 1, "configurations": [configuration(1)]}, False
    )
    assert said.startswith("Retrained on 3 fresh seeds each, then judged on 9 test images.")
    assert "Recommended is the best mean validation accuracy on these seeds" in said
    assert "at most half a standard error below it: the test split chooses nothing." in said
    assert "Optimism is what the search had promised" in said


def test_a_choice_over_fewer_seeds_is_told() -> None:
    rows = [configuration(1), configuration(2, test_accuracy=spread(0.7, n=2))]
    content = {"test_images": 9, "recommended": 1, "configurations": rows, "paired_seeds": 2}
    said = judged(content, False)
    assert "on these seeds (compared on the 2 that all have: other means), or a cheaper" in said
    assert "that all have" not in judged({**content, "configurations": rows[:1]} |
                                         {"paired_seeds": 3}, False)  # fmt: skip


def test_lost_seeds_and_what_seeds_share_are_told() -> None:
    unsafe = configuration(2, unsafe=True)
    content = {"test_images": 9, "recommended": 1, "configurations": [configuration(1), unsafe]}
    said = judged(content | {"common_to_seeds": "one source network"}, False)
    assert said.endswith(
        " Unsafe ones were infeasible or stopped on some seed; their numbers are of the others. "
        "All seeds share one source network: its luck is in no interval."
    )
    said = judged(content | {"configurations": [configuration(1, unsafe=False)]}, False)
    assert "nsafe" not in said
    assert "share one source" not in said


def test_groups_beside_the_best_alone_are_told_as_that() -> None:
    content = {"test_images": 9, "recommended": 1, "configurations": [configuration(1)]}
    letter = "test images. Configurations that share a letter cannot be told apart. Recomm"
    assert letter in judged(content, False)
    said = judged(content | {"groups": "like the best"}, False)
    assert "test images. Group a cannot be told apart from the best mean, what else" in said
    assert "share a letter" not in said


def test_notes_of_the_verdict_are_told() -> None:
    content = {"test_images": 9, "recommended": 1, "configurations": [configuration(1)]}
    said = judged(content | {"notes": ["configuration 2 has 1 of 5 seeds: not compared"]}, False)
    assert said.endswith(" Configuration 2 has 1 of 5 seeds: not compared.")


def test_a_sweep_was_not_trained_again() -> None:
    rows = [configuration(1), configuration(2, test_accuracy=spread(0.7, n=2))]
    said = judged({"test_images": 9, "recommended": 1, "configurations": rows}, True)
    assert said.startswith("Trained on up to 3 seeds each, then judged")
    assert "Optimism" not in said
    one = [configuration(1, test_accuracy=spread(0.7, n=1))]
    said = judged({"test_images": 9, "recommended": None, "configurations": one}, True)
    assert said.startswith("Trained on 1 seed each")
    assert "None is recommended: no seed is common to all of them." in said
