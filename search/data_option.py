"""`--data` and `--data-dir` of every command: which data, and where it lies."""

import os
from pathlib import Path

from search.errors import UsageError
from trainables.data.source import DataSpec


def data_spec(data: str | None, data_dir: str | None, dataset: str) -> DataSpec:
    """Return the `DataSpec` of a command line; None stands for what is not given.

    Raises:
        UsageError: `data` is none of tfds, embedded and folder:PATH, or there is no such folder.
    """
    kind, _, path = (data or "tfds").partition(":")
    if kind == "folder" and path:
        if not os.path.isdir(absolute(path)):
            raise UsageError([f"--data {data}: there is no such folder"])
        return DataSpec(dataset, kind, absolute(path))
    if data == "embedded":
        return DataSpec(dataset, data)
    if data not in ("tfds", None):
        raise UsageError([f"--data {data}: must be tfds, embedded or folder:PATH"])
    place = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return DataSpec(dataset, "tfds", absolute(place))


def absolute(path: str) -> str:
    """Return a path as an absolute one, ~ read as the shell does; "" stays empty."""
    # Not Path.expanduser, which raises for a user that does not exist.
    return str(Path(os.path.expanduser(path)).absolute()) if path else ""
