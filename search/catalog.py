"""The index page: every experiment that `python -m search.run` knows."""

import difflib

from search.errors import UsageError
from search.experiment import Experiment, Measured, Preset

_ALL = (
    Experiment(
        name="lenet_beans",
        summary="LeNet on bean leaf images: regularizer, dropout, kernel size, filters, ...",
        dataset="beans",
        image_size=299,
        presets={
            # A first look within three minutes on two cores: small images only.
            "quick": Preset(12, 8, {"image_size": 64}),
            # The published 20 epochs.
            "standard": Preset(24, 20),
            "thorough": Preset(100, 40),
        },
        published=0.6953,
        fractions_take_memory=False,
        # With --fix image_size=299.
        measured=Measured(minutes=52, val_accuracy=0.8120),
    ),
    Experiment(
        name="inception_beans",
        summary="pretrained Inception-v3 on bean leaf images: unfreeze depth, two rates, ...",
        dataset="beans",
        image_size=299,
        presets={
            # A first look: heads, and the last blocks for two epochs.
            "quick": Preset(8, 7, {"head_epochs": 5, "finetune_epochs": 2, "unfreeze_blocks": 2}),
            # Above the published 20 + 6 epochs: no choice of either is cut short.
            "standard": Preset(24, 32),
            "thorough": Preset(100, 32),
        },
        published=0.9062,
        fractions_take_memory=False,
        pretrained=True,
        stage_epochs=("head_epochs", "finetune_epochs"),
        common_to_seeds="the draws of the augmented copies of their images",
        common_unless={"augmentation": "none"},
        shares=True,
        measured=Measured(minutes=57, val_accuracy=0.9248, trials=11),
    ),
    Experiment(
        name="mnist_cnn",
        summary="two convolutions on handwritten digits: learning rate, momentum, batch size, ...",
        dataset="mnist",
        image_size=None,
        presets={
            # Within three minutes on two cores: the published size alone.
            "quick": Preset(12, 6, {"kernel_size": 3, "filters": "32/64"}),
            # The published 15 epochs.
            "standard": Preset(24, 15),
            "thorough": Preset(100, 30),
        },
        published=0.975,
        fractions_take_memory=False,
        class_metrics=True,  # as the published study tells them
        measured=Measured(minutes=30, val_accuracy=0.9895, trials=7),
    ),
    Experiment(
        name="cifar10_net",
        summary="three convolutions on objects: dropouts, optimizer, loss, batch size, ...",
        dataset="cifar10",
        image_size=None,
        presets={
            # As for mnist_cnn.
            "quick": Preset(12, 6, {"kernel_size": 3, "filters": "64/128/256"}),
            # The published 30 epochs.
            "standard": Preset(24, 30),
            "thorough": Preset(100, 60),
        },
        published=0.8216,
        fractions_take_memory=False,
        # One trial of the published 30 had 0.7295.
        measured=Measured(minutes=20, val_accuracy=0.7145, trials=6, epochs=18),
    ),
    Experiment(
        name="cifar10_transfer",
        summary="convolutions moved to other classes: frozen layers, dense width, rates, ...",
        dataset="cifar10",
        image_size=None,
        presets={
            # On the embedded objects within a minute on two cores.
            "quick": Preset(12, 4),
            # The published 10 epochs.
            "standard": Preset(24, 10),
            "thorough": Preset(100, 20),
        },
        published=0.8234,
        fractions_take_memory=False,
        published_split="validation",
        conclusion="trainables.transfer_conclusion",
        common_to_seeds="one source network per source configuration",
        measured=Measured(minutes=4, val_accuracy=0.7984, trials=12),
    ),
)

EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in _ALL}


def find(name: str) -> Experiment:
    """Return the experiment of that name.

    Raises:
        UsageError: unknown; the nearest name is suggested.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    nearest = difflib.get_close_matches(name, EXPERIMENTS, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    raise UsageError(
        [f"no experiment is called {name!r}: {hint}known are {', '.join(sorted(EXPERIMENTS))}"]
    )
