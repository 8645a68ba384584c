"""Opens the data that a `DataSpec` names, whatever its kind."""

from trainables.data.source import DataSpec, Progress, Source, silent
from trainables.errors import DataError


def open_source(spec: DataSpec, progress: Progress = silent) -> Source:
    """Open the data of `spec`. Only what this kind needs is imported.

    Raises:
        DataError: the kind is unknown, or the data cannot be used.
    """
    if spec.kind == "tfds":
        from trainables.data.tfds_source import open_tfds

        return open_tfds(spec, progress)
    if spec.kind == "embedded":
        from trainables.data.embedded import open_embedded

        return open_embedded(spec, progress)
    if spec.kind == "folder":
        from trainables.data.folder import open_folder

        return open_folder(spec, progress)
    raise DataError(f"unknown data {spec.kind!r}; choose tfds, embedded or folder:PATH")
