"""Which values of a configuration do not go together: by the space, or its own `check`."""

from collections.abc import Iterator, Mapping
from typing import Any

from search.domains import outside
from search.experiment import Experiment


def at_odds(
    experiment: Experiment, config: Mapping[str, Any], fixed: Mapping[str, Any]
) -> Iterator[str]:
    """Yield why the values of a configuration do not go together, of which some are `fixed`."""
    try:
        experiment.check(config)
    except ValueError as error:
        yield str(error)
    for domain in outside(experiment.space(), config, fixed):
        name = domain.name
        yield (
            f"{name}={config[name]}, as published, is none of {domain.describe()}, which is what "
            f"the other values leave; give --fix {name}=..."
        )
