"""An ordered map over threads that never holds more than a few items, for decoding and resizing.

Pillow lets go of the interpreter's lock while it decodes and resizes, so threads are enough.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T]) -> Generator[R]:
    """Yield `function(item)` for each item, in order, computed by one thread per processor.

    At most two items per thread are in flight, so memory does not grow with the data. `items` is
    read, and errors are raised, in the caller's thread.
    """
    threads = os.cpu_count() or 1
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
