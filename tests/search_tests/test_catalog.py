import json

import pytest

from search.catalog import EXPERIMENTS, find
from search.domains import configuration, domains
from search.errors import (
    EXIT_FAILED,
    EXIT_REFUSED,
    EXIT_USAGE,
    ResumeRefused,
    StudyFailed,
    UsageError,
    exit_code,
)
from search.experiment import Experiment, Preset
from search.names import PRESETS
from trainables.errors import DataError, TrellisError

NAMES = sorted(EXPERIMENTS)


def test_the_main_job_is_there() -> None:
    lenet = find("lenet_beans")
    assert (lenet.dataset, lenet.image_size, lenet.published) == ("beans", 299, 0.6953)
    assert lenet.presets["standard"].max_epochs == 20  # the published epochs


@pytest.mark.parametrize(
    ("name", "dataset", "published", "epochs"),
    [("mnist_cnn", "mnist", 0.975, 15), ("cifar10_net", "cifar10", 0.8216, 30)],
)
def test_published_numbers_and_epochs(
    name: str, dataset: str, published: float, epochs: int
) -> None:
    found = find(name)
    assert (found.dataset, found.image_size, found.published) == (dataset, None, published)
    assert found.presets["standard"].max_epochs == epochs


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lenet_bean", r"'lenet_bean': did you mean lenet_beans\? known are .*lenet_beans"),
        ("LeNet_Beans", r"did you mean lenet_beans\?"),
        ("zzz", "'zzz': known are "),
        ("", "'': known are "),
        ("lenet\nbeans", r"'lenet\\nbeans': did you mean lenet_beans"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        find(name)
    assert len(error.value.mistakes) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_hangs_together(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert experiment.name == name
    assert experiment.dataset in ("beans", "mnist", "cifar10")
    known = domains(experiment.space(), experiment.defaults())
    assert known.keys() == experiment.defaults().keys()
    assert all(known[each].contains(v) for each, v in experiment.defaults().items())
    published = configuration(experiment.space(), experiment.defaults())
    assert json.loads(json.dumps(published)) == published
    # One size for all trials, the images' own (small ones), or one that is searched.
    size = experiment.image_size
    assert size is None or 1 <= size <= 4096
    assert size is not None or "image_size" not in known


@pytest.mark.parametrize("name", NAMES)
def test_presets_hold_what_the_space_offers(name: str) -> None:
    experiment = EXPERIMENTS[name]
    known = domains(experiment.space(), experiment.defaults())
    assert set(experiment.presets) == set(PRESETS)
    for preset in experiment.presets.values():
        assert all(known[each].contains(value) for each, value in preset.fixed.items())
    trials = [experiment.presets[each].trials for each in PRESETS]
    assert trials == sorted(trials)


def test_a_missing_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="x: presets must include quick, thorough"):
        Experiment("x", "", "beans", None, {"standard": Preset(1, 1)}, None)


@pytest.mark.parametrize(("trials", "max_epochs"), [(0, 1), (1, 0), (-1, 5)])
def test_an_empty_budget_is_refused(trials: int, max_epochs: int) -> None:
    with pytest.raises(ValueError, match=rf">= 1 must hold, but got {trials}, {max_epochs}"):
        Preset(trials, max_epochs)


def test_a_preset_holds_nothing_unless_told() -> None:
    assert dict(Preset(1, 1).fixed) == {}
    with pytest.raises(TypeError):
        Preset(1, 1).fixed["x"] = 1  # type: ignore[index]


def test_what_all_seeds_share_depends_on_the_configurations() -> None:
    transfer, inception, lenet = map(find, ("cifar10_transfer", "inception_beans", "lenet_beans"))
    assert transfer.common_to([transfer.defaults()]) == transfer.common_to_seeds != ""
    assert lenet.common_to([lenet.defaults()]) == ""
    plain = inception.defaults()
    assert inception.common_to([plain]) == ""
    # Each copy is drawn once for all (trainables/inception_features.py); one such is enough.
    augmented = {**plain, "augmentation": "flip"}
    assert "draws of the augmented copies" in inception.common_to([plain, augmented])


def test_defaults_are_a_copy() -> None:
    lenet = find("lenet_beans")
    lenet.defaults()["dropout"] = 9
    assert lenet.defaults()["dropout"] == 0.0


def test_an_experiment_without_its_files_names_them() -> None:
    lost = Experiment("lost", "", "beans", None, find("lenet_beans").presets, None)
    with pytest.raises(ModuleNotFoundError, match=r"spaces\.lost"):
        lost.space()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError(["a", "b"]), EXIT_USAGE),
        (TrellisError("x"), EXIT_USAGE),
        (DataError("x"), EXIT_USAGE),
        (ResumeRefused("x"), EXIT_REFUSED),
        (StudyFailed("x"), EXIT_FAILED),
    ],
)
def test_exit_codes(error: TrellisError, code: int) -> None:
    assert exit_code(error) == code
    assert (EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED) == (1, 2, 3)


def test_mistakes_are_a_line_each() -> None:
    error = UsageError(["one", "two"])
    assert error.mistakes == ("one", "two")
    assert str(error) == "one\ntwo"


def test_of_a_folder_no_summary_says_what_its_images_show() -> None:
    assert find("inception_beans").about("tfds") == find("inception_beans").summary
    assert [EXPERIMENTS[name].about("folder") for name in NAMES] == [
        "three convolutions on images of a folder: dropouts, optimizer, loss, batch size, ...",
        "convolutions moved to other classes: frozen layers, dense width, rates, ...",
        "pretrained Inception-v3 on images of a folder: unfreeze depth, two rates, ...",
        "LeNet on images of a folder: regularizer, dropout, kernel size, filters, ...",
        "two convolutions on images of a folder: learning rate, momentum, batch size, ...",
    ]
