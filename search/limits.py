"""What a command line says of a trial's resources and of time: of a search or a confirmation."""

import argparse
from typing import NamedTuple

from search import options
from search.access import address_mistakes, place_mistakes, token_mistakes
from search.options import Mistakes
from search.resources import Machine, mistakes


class Limits(NamedTuple):
    """None is what was not given, or is left to us."""

    cpus_per_trial: int | None
    gpus_per_trial: float | None
    concurrent: int | None
    memory_per_trial: float | None  # MiB
    time_budget_s: int | None
    trial_timeout_s: int | None


def read_limits(arguments: argparse.Namespace, machine: Machine, wrong: Mistakes) -> Limits:
    """Return the limits that the arguments set; all their mistakes go to `wrong`.

    Args:
        arguments: With the texts of the options, None where one was not given; without an
            address it is this machine.
        machine: This one.
        wrong: The mistakes of the command line.
    """
    address = arguments.address or "local"
    limits = Limits(
        wrong.parse("--cpus-per-trial", arguments.cpus_per_trial, options.at_least(1)),
        wrong.parse("--gpus-per-trial", arguments.gpus_per_trial, options.gpu_share),
        wrong.parse("--concurrent", arguments.concurrent, options.at_least(1)),
        wrong.parse("--memory-per-trial", arguments.memory_per_trial, options.memory_mb),
        wrong.parse("--time-budget", arguments.time_budget, options.duration_s),
        wrong.parse("--trial-timeout", arguments.trial_timeout, options.duration_s),
    )
    if address == "local":
        wrong += mistakes(
            machine, limits.cpus_per_trial, limits.gpus_per_trial, limits.memory_per_trial
        )
    wrong += place_mistakes()
    wrong += address_mistakes(address)
    wrong += token_mistakes(address)
    return limits
