"""Damaged prepared directories: one line that names the file, and never a download."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.trainables_tests.tfds_reading import open_in, serving_tiny
from trainables.errors import DataError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with tiny beans and mnist, prepared once; their servers are gone afterwards."""
    directory = tmp_path_factory.mktemp("tfds")
    for dataset in ("beans", "mnist"):
        with serving_tiny(dataset):
            open_in(directory, dataset)
    return directory


@pytest.fixture
def copied(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage, without the downloads; nothing may be fetched to repair it."""
    for dataset in ("beans", "mnist"):
        shutil.copytree(prepared / dataset, tmp_path / dataset)

    def refuse(url: str, **_options: object) -> None:
        raise AssertionError(f"asked for {url}")

    monkeypatch.setattr(requests, "get", refuse)
    return tmp_path


def rewritten(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        (directory / name).write_text(change((directory / name).read_text()))

    return damage


def truncated(name: str, keep: float = 0.5) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content[: int(keep * len(content))])

    return damage


def without(*keys: str) -> Callable[[str], str]:
    return lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k not in keys})


CORE = "tensorflow_datasets.core.features"


def unlabelled(text: str) -> str:
    """Make a text of the label."""
    text = text.replace("class_label_feature.ClassLabel", "text_feature.Text")
    return text.replace('"numClasses": "3"', "").replace('"classLabel"', '"text"')


def label_alone(text: str) -> str:
    return json.dumps(json.loads(text)["featuresDict"]["features"]["label"])


def somebodys(text: str) -> str:
    return text.replace(f"{CORE}.image_feature.Image", "this.Image")


def somebodys_of_old(_: str) -> str:
    return json.dumps({"type": "this.Image", "content": {}})


def somebodys_in_a_text(text: str) -> str:
    whole = f"{CORE}.features_dict.FeaturesDict"
    inner = json.dumps({"image": json.loads(somebodys_of_old(text))})
    return json.dumps({"pythonClassName": whole, "jsonFeature": {"json": inner}})


NOT_OURS = "a class of the module this, which is none of TFDS's own"
INFO, FEATURES = "dataset_info.json", "features.json"
SHARD = "beans-test.array_record-00000-of-00001"
DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "truncated shard": (SHARD, truncated(SHARD), "damaged"),
    "empty shard": (SHARD, truncated(SHARD, keep=0), "damaged"),
    "missing shard": (SHARD, lambda d: (d / SHARD).unlink(), "no such file"),
    "wrong count": (
        SHARD,
        rewritten(INFO, lambda text: text.replace('"4"', '"5"')),
        "found 4 records, expected 5",
    ),
    "empty info": (INFO, rewritten(INFO, lambda _: "\n"), "damaged"),
    "torn info": (INFO, truncated(INFO), "damaged"),
    "info without version": (INFO, rewritten(INFO, without("version")), "damaged"),
    "info without splits": (INFO, rewritten(INFO, without("splits")), "names no split test"),
    "missing info": (INFO, lambda d: (d / INFO).unlink(), "no such file"),
    "torn features": (FEATURES, truncated(FEATURES), "damaged"),
    "missing features": (FEATURES, lambda d: (d / FEATURES).unlink(), "no such file"),
    "no label feature": (
        FEATURES,
        rewritten(FEATURES, lambda text: text.replace('"label": {', '"target": {')),
        "no image or no label",
    ),
    "no class label": (FEATURES, rewritten(FEATURES, unlabelled), "no image or no label"),
    "one feature": (FEATURES, rewritten(FEATURES, label_alone), "no image or no label"),
    "a class of somebody": (FEATURES, rewritten(FEATURES, somebodys), NOT_OURS),
    "in the old form": (FEATURES, rewritten(FEATURES, somebodys_of_old), NOT_OURS),
    "in a text": (FEATURES, rewritten(FEATURES, somebodys_in_a_text), NOT_OURS),
    "missing names": (
        "label.labels.txt",
        lambda d: (d / "label.labels.txt").unlink(),
        "no such file",
    ),
}


@pytest.mark.parametrize(("file", "damage", "found"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_told_on_opening_and_nothing_is_fetched(
    copied: Path, file: str, damage: Callable[[Path], None], found: str
) -> None:
    directory = copied / "beans" / "0.1.0"
    damage(directory)
    before = sorted(path.name for path in directory.iterdir())
    with pytest.raises(DataError, match=found) as error:
        open_in(copied)
    message = str(error.value)
    assert message.startswith(f"the prepared data set is damaged: {directory / file}: ")
    assert f"delete {directory} and run again" in message
    assert "\n" not in message
    assert sorted(path.name for path in directory.iterdir()) == before
    assert "this" not in sys.modules  # no module that a file names is imported


def test_damage_inside_a_file_is_told_on_reading(copied: Path) -> None:
    shard = copied / "beans" / "0.1.0" / "beans-train.array_record-00000-of-00001"
    content = bytearray(shard.read_bytes())
    at = content.index(b"\xff\xd8\xff")  # the start of a JPEG file
    content[at + 300 : at + 310] = bytes(10)
    shard.write_bytes(content)
    source = open_in(copied)
    with pytest.raises(DataError, match=r"damaged: .*beans-train\.array_record.*hash mismatch"):
        list(source.images("train"))
    assert len(list(source.images("validation"))) == 3


def test_damaged_labels_are_told_on_opening(copied: Path) -> None:
    shard = copied / "mnist" / "3.0.1" / "mnist-train.array_record-00000-of-00001"
    content = bytearray(shard.read_bytes())
    at = content.index(b"\x89PNG")
    content[at + 20 : at + 60] = bytes(40)
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged: .*mnist-train\.array_record.*hash mismatch"):
        open_in(copied, "mnist")


@pytest.mark.parametrize("change", ["tfrecord", None])
def test_a_format_that_needs_tensorflow_is_refused(copied: Path, change: str | None) -> None:
    info = copied / "beans" / "0.1.0" / "dataset_info.json"
    described = json.loads(info.read_text())
    del described["fileFormat"]  # TFDS takes tfrecord then
    info.write_text(json.dumps(described | ({"fileFormat": change} if change else {})))
    with pytest.raises(DataError, match=r"stored as tfrecord, which needs TensorFlow: delete"):
        open_in(copied)


def test_array_record_without_its_package_is_told(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(DataError, match="the package array-record is not installed: install it"):
        open_in(prepared)


def test_the_highest_version_is_opened(copied: Path) -> None:
    shutil.copytree(copied / "beans" / "0.1.0", copied / "beans" / "0.0.9")
    (copied / "beans" / "0.0.9" / INFO).unlink()
    (copied / "beans" / "incomplete.X_0.2.0").mkdir()
    assert open_in(copied).sizes["train"] == 9


def test_a_feature_that_nobody_asks_for_is_not_decoded(copied: Path) -> None:
    """TFDS would hand it to Pillow, which knows formats that run other programs."""
    from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    directory = copied / "beans" / "0.1.0"
    features = json.loads((directory / FEATURES).read_text())
    every = features["featuresDict"]["features"]
    every["third"] = every["image"]
    (directory / FEATURES).write_text(json.dumps(features))
    shard = directory / "beans-test.array_record-00000-of-00001"
    reader = ArrayRecordReader(str(shard))
    records = reader.read_all()
    reader.close()
    writer = ArrayRecordWriter(str(shard), "group_size:1")
    for record in records:
        example = tf_example_pb2.Example.FromString(record)
        example.features.feature["third"].bytes_list.value.append(b"%!PS-Adobe-3.0 EPSF-3.0\n")
        writer.write(example.SerializeToString())
    writer.close()
    assert len(list(open_in(copied).images("test"))) == len(records) == 4
