"""A prepared TFDS directory: where it is, what it says of itself, and whether it is whole.

Reads the small description files and the ends of the data files; decodes nothing.
"""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from trainables.data.tfds_without_tensorflow import import_tfds, own_classes_alone
from trainables.errors import DataError

_VERSION = re.compile(r"\d+\.\d+\.\d+")
# MNIST has no label names: TFDS counts its classes and calls them 0 to 9.
_LABEL_FILES = {"beans": "label.labels.txt", "cifar10": "label.labels.txt"}
READABLE_FORMATS = ("array_record", "parquet")


def prepared_directory(dataset: str, data_dir: Path) -> Path | None:
    """Return `data_dir/dataset/VERSION`, the highest version there is, or None."""
    versions = [
        path
        for path in (data_dir / dataset).glob("*")
        if path.is_dir() and _VERSION.fullmatch(path.name)
    ]
    return max(versions, key=lambda path: [int(n) for n in path.name.split(".")], default=None)


def damaged(directory: Path, file: Path, found: object) -> NoReturn:
    """Raise the DataError for a damaged file of a prepared directory."""
    text = " ".join(str(found).split()) or type(found).__name__
    raise DataError(
        f"the prepared data set is damaged: {file}: {text}: delete {directory} and run again "
        "to prepare it anew, or give another --data-dir DIR"
    )


def read_builder(dataset: str, directory: Path) -> Any:
    """Return TFDS's read-only builder of a prepared directory, after checking all its files.

    Raises:
        DataError: a description or data file is missing or damaged, or the format needs
            TensorFlow or a package that is not installed.
    """
    names = ("dataset_info.json", "features.json", _LABEL_FILES.get(dataset))
    for name in filter(None, names):
        if not (directory / name).is_file():
            damaged(directory, directory / name, "no such file")
    builder = _builder_from(directory)
    _check_description(builder, dataset, directory)
    for split in builder.info.splits.values():
        _check_shards(split, directory, builder.info.file_format.value)
    return builder


def shards(builder: Any) -> Iterator[tuple[str, Path]]:
    """Yield (split, file) of every data file, in TFDS's order of splits."""
    for name, split in builder.info.splits.items():
        for path in split.filepaths:
            yield name, Path(path)


def _builder_from(directory: Path) -> Any:
    tfds = import_tfds()
    file = directory / "features.json"
    try:
        with own_classes_alone():
            tfds.features.FeatureConnector.from_config(str(directory))
            file = directory / "dataset_info.json"
            return tfds.builder_from_directory(str(directory))
    except Exception as error:  # TFDS raises whatever its parsers raise, with no base in common
        damaged(directory, file, error)


def _check_description(builder: Any, dataset: str, directory: Path) -> None:
    info = directory / "dataset_info.json"
    form = builder.info.file_format.value if builder.info.file_format else "no format"
    if form not in READABLE_FORMATS:
        raise DataError(
            f"{info} says that {dataset} is stored as {form}, which needs TensorFlow: delete "
            f"{directory} and run again to prepare it as array_record or parquet, or give "
            "another --data-dir DIR"
        )
    if form == "array_record" and not importlib.util.find_spec("array_record"):
        raise DataError(
            f"{info} says that {dataset} is stored as array_record, and the package "
            "array-record is not installed: install it, or give another --data-dir DIR"
        )
    missing = {"train", "test"} - set(builder.info.splits)
    if missing:
        damaged(directory, info, f"it names no split {' and no split '.join(sorted(missing))}")
    kinds = import_tfds().features
    features = builder.info.features
    found = dict(features.items()) if isinstance(features, kinds.FeaturesDict) else {}
    if not (
        isinstance(found.get("image"), kinds.Image)
        and isinstance(found.get("label"), kinds.ClassLabel)
    ):
        damaged(directory, directory / "features.json", "it names no image or no label")


def _check_shards(split: Any, directory: Path, form: str) -> None:
    """Compare the number of records in each file with the description."""
    for path, due in zip(map(Path, split.filepaths), split.shard_lengths, strict=True):
        if not path.is_file():
            damaged(directory, path, "no such file")
        try:
            found = _records_in(path, form)
        except (RuntimeError, ValueError, OSError) as error:
            damaged(directory, path, error)
        if found != due:
            damaged(directory, path, f"found {found} records, expected {due}")


def _records_in(path: Path, form: str) -> int:
    """Return the number of records that the end of the file declares."""
    if form == "parquet":
        from pyarrow import parquet

        return int(parquet.read_metadata(path).num_rows)
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path))
    try:
        return int(reader.num_records())
    finally:
        reader.close()
