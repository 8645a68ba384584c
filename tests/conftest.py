"""Every test runs beside the user's own caches and data, never on them."""

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Set while pytest starts, before any module of ours or of a library reads them; commands that
# tests start inherit them. The folder goes when the process ends.
_SCRATCH = tempfile.TemporaryDirectory(prefix="trellis-tests-", ignore_cleanup_errors=True)
os.environ["TRELLIS_CACHE"] = str(Path(_SCRATCH.name, "cache"))
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(Path(_SCRATCH.name, "hypothesis"))
os.environ.pop("TFDS_DATA_DIR", None)
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no network from a test
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "2")  # small tensors: more threads only wait

# A shell's background job ignores Ctrl-C and nohup hangups, and so would all that tests start.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)

from hypothesis import settings  # noqa: E402  (reads its environment variable when imported)

# A busy machine makes any deadline per example fail now and then; pytest-timeout guards the rest.
settings.register_profile("trellis", deadline=None, database=None)
settings.load_profile("trellis")


@pytest.fixture(scope="module", autouse=True)
def _collections_look_at_new_objects() -> None:
    """Freeze what there is before a module's tests, thousands of tests and all imports, for gc.

    Trials collect garbage when they end: 0.14 s each time over all of it, as much as small ones
    train. Workers freeze what they have imported, too (search/worker.py).
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with real data and weights beside the repository; skips where there is none."""
    path = Path(__file__).resolve().parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"no real data: {path} is absent")
    return path


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One torch thread: on a busy machine two wait for each other longer than they work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
