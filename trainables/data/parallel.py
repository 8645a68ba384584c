"""An ordered map over threads that never holds more than a few items, for decoding and resizing.

Pillow lets go of the interpreter's lock while it decodes and resizes, so threads are enough.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from trainables.cpu import usable_cpus

T = TypeVar("T")
R = TypeVar("R")
# More threads would hold more photographs, of up to 100 MB each, and wait for one disk.
MOST_THREADS = 16


def in_order(function: Callable[[T], R], items: Iterable[T]) -> Generator[R]:
    """Yield `function(item)` for each item, in order: by one thread per CPU that is ours, or 16.

    At most two items per thread are in flight, so memory does not grow with the data. `items` is
    read, and errors are raised, in the caller's thread.
    """
    threads = min(MOST_THREADS, usable_cpus())
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
