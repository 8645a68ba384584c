"""Download and prepare a TFDS data set with TFDS's own builder, and with no TensorFlow.

The registered files are fetched and checked first (tfds_download), so that the builder finds all
of them in its cache and never uses its own downloader, which waits for ever.
"""

import contextlib
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from trainables.data.source import Progress, silent
from trainables.data.tfds_directory import prepared_directory
from trainables.data.tfds_download import Download, UnreachableError, fetch, is_intact
from trainables.data.tfds_without_tensorflow import import_tfds, tensorflow_replaced
from trainables.errors import DataError

# Published numbers of images over all splits: what the progress bar counts up to, nothing else.
PUBLISHED_IMAGES = {"beans": 1_295, "mnist": 70_000, "cifar10": 60_000}


def prepare(dataset: str, data_dir: Path, progress: Progress = silent) -> None:
    """Make `data_dir` hold `dataset`, downloading what is not there yet.

    Safe with several processes at once: one prepares, the others wait and find it done. Whatever
    goes wrong, only complete downloads whose checksum is right stay behind.

    Raises:
        DataError: offline, a failed or wrong download, or a directory that cannot be written.
    """
    try:
        with _lock(dataset, data_dir, progress):
            if prepared_directory(dataset, data_dir) is None:
                with tensorflow_replaced():
                    _prepare(dataset, data_dir, progress)
    except UnreachableError as error:
        raise DataError(
            f"{dataset} is not prepared in {data_dir} and cannot be downloaded ({error}): name "
            "the directory that holds it with --data-dir DIR, or connect to a network, or use "
            "--data embedded"
        ) from error
    except OSError as error:
        raise DataError(
            f"{dataset} is not prepared in {data_dir} and cannot be written there "
            f"({error.strerror or error}): give a directory you can write to with "
            "--data-dir DIR, or use --data embedded"
        ) from error


def file_format() -> str:
    """Return the TFDS file format to write: array_record, or parquet where it is not installed.

    array_record has no wheels outside Linux; TFDS reads both at random without TensorFlow.
    """
    return "array_record" if importlib.util.find_spec("array_record") else "parquet"


@contextlib.contextmanager
def _lock(dataset: str, data_dir: Path, progress: Progress) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(data_dir / f".{dataset}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"waiting for another process that prepares {dataset}", 0, None)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _prepare(dataset: str, data_dir: Path, progress: Progress) -> None:
    """Fetch, then build; the caller holds the lock, so whatever is half done here is dead."""
    downloads = data_dir / "downloads"
    staging = downloads / f"extracted-{dataset}"
    builder = import_tfds().builder(dataset, data_dir=str(data_dir))
    try:
        _remove_partial(dataset, data_dir)
        (downloads / dataset).mkdir(parents=True, exist_ok=True)
        for url, info in _fetch_all(builder, downloads / dataset, progress):
            _note_origin(dataset, url, info, downloads / dataset)
        _build(builder, downloads, staging, progress)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_partial(dataset, data_dir)


def _remove_partial(dataset: str, data_dir: Path) -> None:
    """Remove what an interrupted attempt left: downloads and data sets under TFDS's own names."""
    left = [
        *(data_dir / "downloads" / dataset).glob("*.tmp.*"),
        *(data_dir / dataset).glob("incomplete.*"),
    ]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for folder in (data_dir / "downloads" / dataset, data_dir / "downloads", data_dir / dataset):
        with contextlib.suppress(OSError):  # not there, or it holds something worth keeping
            folder.rmdir()


def _fetch_all(builder: Any, folder: Path, progress: Progress) -> list[tuple[str, Any]]:
    """Fetch what is missing or damaged; return (url, TFDS's UrlInfo) of every registered file."""
    from tensorflow_datasets.core.download import resource

    what = f"downloading {builder.name}"
    registered = list(builder.url_infos.items())
    total, done = sum(int(info.size) for _, info in registered), 0
    for url, info in registered:
        target = folder / resource.get_dl_fname(url, info.checksum)
        download = Download(url, int(info.size), info.checksum, target)
        if not is_intact(download):
            target.unlink(missing_ok=True)
            fetch(download, _shifted(progress, what, done, total))
        done += download.size
        progress(what, done, total)
    return registered


def _shifted(progress: Progress, what: str, done: int, total: int) -> Callable[[int], None]:
    """Return a report of one file's bytes as part of all files' bytes."""
    return lambda size: progress(what, done + size, total)


def _note_origin(dataset: str, url: str, info: Any, folder: Path) -> None:
    """Write the INFO file without which TFDS does not take a download from its cache."""
    from tensorflow_datasets.core.download import resource

    target = folder / resource.get_dl_fname(url, info.checksum)
    resource.get_info_path(target).unlink(missing_ok=True)  # an old one may be damaged
    resource.write_info_file(
        url=url,
        path=target,
        dataset_name=dataset,
        original_fname=info.filename or url.rsplit("/", 1)[-1],
        url_info=info,
    )


def _build(builder: Any, downloads: Path, staging: Path, progress: Progress) -> None:
    from tensorflow_datasets.core.download.extractor import ExtractError

    config = import_tfds().download.DownloadConfig(
        extract_dir=str(staging),
        manual_dir=str(staging),  # a stray downloads/manual/train.zip is not ours to use
        force_checksums_validation=True,  # refuses to download what is not registered
    )
    _count_examples(builder, progress)
    try:
        builder.download_and_prepare(
            download_dir=str(downloads), download_config=config, file_format=file_format()
        )
    except (OSError, RuntimeError, ExtractError) as error:
        # A full disk, as Python, the writer of array_record and the extractor tell it; TFDS puts
        # the whole image in front.
        raise OSError(str(error).splitlines()[-1]) from error


def _count_examples(builder: Any, progress: Progress) -> None:
    """Let the builder report every image that it makes, over all its splits."""
    generate, done = builder._generate_examples, 0
    what, total = f"preparing {builder.name}", PUBLISHED_IMAGES.get(builder.name)

    def counted(*args: Any, **kwargs: Any) -> Iterator[Any]:
        nonlocal done
        for example in generate(*args, **kwargs):
            yield example
            done += 1
            progress(what, done, total)

    builder._generate_examples = counted
