"""The script of one trial under Syne Tune: hyperparameters come as options of its command line."""

import argparse
import os
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path, so the packages have to be found first
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers import records
from benchmarks.peers.task import Task, chosen
from search.domains import domains


def main() -> None:
    """Train the configuration of the command line, and report every epoch."""
    import torch
    from syne_tune import Reporter  # type: ignore[import-not-found]

    from benchmarks.peers.stock import epochs

    task = Task.read(os.environ["PEERS_TASK"])
    parser = argparse.ArgumentParser()
    known = domains(task.space, task.first)
    for name in known:
        parser.add_argument(f"--{name}", required=True)
    options, _ = parser.parse_known_args()
    values = {name: known[name].parse(text) for name, text in vars(options).items()}
    config = chosen(task, values)
    torch.set_num_threads(1)  # a core for each of the trials at once
    report = Reporter()
    for epoch, accuracy in epochs(task, config, task.seed):
        records.append(task.records, records.key(config), epoch, accuracy)
        report(epoch=epoch, val_accuracy=accuracy)


if __name__ == "__main__":
    main()
