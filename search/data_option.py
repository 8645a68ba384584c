"""`--data` and `--data-dir` of every command: which data, and where it lies.

Commands that read a study take its data where it lay, or where --data-dir says that it lies now.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import UsageError
from trainables.data.source import DataSpec, Progress, silent
from trainables.errors import TrellisError

if TYPE_CHECKING:
    from search.experiment import Experiment
    from trainables.data import Data, Split


def data_spec(data: str | None, data_dir: str | None, dataset: str) -> DataSpec:
    """Return the `DataSpec` of a command line; None stands for what is not given.

    Raises:
        UsageError: `data` is none of tfds, embedded and folder:PATH, there is no such folder, or
            `data_dir` is given with other data than tfds.
    """
    kind, _, path = (data or "tfds").partition(":")
    if data_dir is not None and (data == "embedded" or (kind == "folder" and path)):
        raise UsageError([f"--data-dir {data_dir} goes with --data tfds, not with --data {data}"])
    if kind == "folder" and path:
        if not os.path.isdir(absolute(path)):
            raise UsageError([f"--data {data}: there is no such folder"])
        return DataSpec(dataset, kind, absolute(path))
    if data == "embedded":
        return DataSpec(dataset, data)
    if data not in ("tfds", None):
        raise UsageError([f"--data {data}: must be tfds, embedded or folder:PATH"])
    place = data_dir or usual_place()
    if os.path.expanduser(place).startswith("~/"):  # a user without a name and without $HOME
        raise UsageError([f"{place}: there is no such home; say --data-dir with a whole path"])
    return DataSpec(dataset, "tfds", absolute(place))


def usual_place() -> str:
    """Return the TFDS data directory where --data-dir names none."""
    return os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"


def absolute(path: str) -> str:
    """Return a path as an absolute one, ~ read as the shell does; "" stays empty."""
    # Not Path.expanduser, which raises for a user that does not exist.
    return str(Path(os.path.expanduser(path)).absolute()) if path else ""


def spec_of(told: Mapping[str, Any], data_dir: Path | None = None) -> DataSpec:
    """Return the `DataSpec` of a study's data.

    Args:
        told: What study.json says of the data.
        data_dir: Where it lies, if not where the study found it.

    Raises:
        TrellisError: study.json does not say which data it was.
    """
    if not {"dataset", "kind", "fingerprint"} <= set(told):
        raise TrellisError("study.json does not say which data it was")
    spec = DataSpec(told["dataset"], told["kind"], told.get("location") or "")
    if data_dir is None or spec.kind == "embedded":
        return spec
    return replace(spec, location=absolute(str(data_dir)))


def why_another(kind: str) -> str:
    """Return in what the data of a study is another, and what may have made it so."""
    if kind != "folder":
        return "its fingerprint is another"
    return (
        "its fingerprint is another; images changed, or this version divides folders in another "
        "way than that which began the study (git_commit in study.json)"
    )


@contextmanager
def _read_from(spec: DataSpec) -> Iterator[None]:
    """Turn an OSError in this block into a TrellisError: of data, not of what is written from it.

    Raises:
        TrellisError: the data could not be read.
    """
    try:
        yield
    except OSError as error:
        raise TrellisError(
            f"{spec.location} cannot be read: {error.strerror or error}; --data-dir takes another "
            "place of the data"
        ) from error


def check_there(spec: DataSpec) -> None:
    """Make sure that data is at hand: opening TFDS data that is not would download it.

    Raises:
        TrellisError: it is not there, or may not be looked at.
    """
    from trainables.data.tfds_directory import prepared_directory

    place = Path(spec.location)
    there = spec.kind == "embedded" or os.path.isdir(place)
    if spec.kind == "tfds" and there:
        with _read_from(spec):
            there = prepared_directory(spec.dataset, place) is not None
    if not there:
        what = "is no folder" if spec.kind == "folder" else f"has no {spec.dataset}"
        raise TrellisError(f"{spec.location} {what}: --data-dir says where it is")


def data_at_hand(
    told: Mapping[str, Any], data_dir: Path | None = None, progress: Progress = silent
) -> "Data":
    """Return the data of a study. Nothing is downloaded, and nothing written where it lies.

    Args:
        told: What study.json says of the data.
        data_dir: Where it lies, if not where the study found it.
        progress: Told of long work.

    Raises:
        TrellisError: it is not there, or is not what the study had.
    """
    from trainables.data import open_data

    spec = spec_of(told, data_dir)
    check_there(spec)
    with _read_from(spec):
        data = open_data(spec, progress)
    if data.fingerprint != told["fingerprint"]:
        raise TrellisError(
            f"the data in {spec.location or spec.kind} is not what the study had: "
            f"{why_another(spec.kind)}"
        )
    return data


def split_at_hand(
    experiment: "Experiment", config: Mapping[str, Any], data: "Data", name: str
) -> "Split":
    """Return what a configuration is judged on, as `search.model.split_of` does, of such data.

    Raises:
        TrellisError: it cannot be read.
    """
    from search.model import split_of

    with _read_from(data.spec):
        return split_of(experiment, config, data, name)
