"""The index page: every experiment that `python -m search.run` knows."""

import difflib

from search.errors import UsageError
from search.experiment import Experiment, Preset

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
