"""Where blocks of memory would lie: the heap of the C library, without the memory.

On a CPU a process holds more than what lives: what was freed in pieces has no room for a larger
block, and `trainables.device.keep_freed_memory` gives nothing back.
"""

import bisect
from typing import NamedTuple

# A block's header, and the alignment of 64 bytes that torch asks for.
_OVERHEAD = 80
_UNIT = 16


class Block(NamedTuple):
    """Bytes from `start` on."""

    start: int
    size: int

    @property
    def end(self) -> int:
        """Where the next block may start."""
        return self.start + self.size


class Heap:
    """Takes the smallest gap in which a block fits, or grows: "best-fit", as glibc's malloc.c.

    Gaps that touch stay apart, though glibc would make one of them: in a real process small things
    that live on lie between. With gaps made one, predictions fell short (benchmarks/README.md).
    `high` is the most bytes that it ever reached.
    """

    def __init__(self) -> None:
        """Begin without blocks or gaps."""
        self._gaps: list[Block] = []  # the smallest first
        self._end = 0
        self.high = 0

    def take(self, size: int) -> Block:
        """Return a block for `size` bytes."""
        size = -(-(size + _OVERHEAD) // _UNIT) * _UNIT
        place = bisect.bisect_left(self._gaps, size, key=lambda gap: gap.size)
        if place == len(self._gaps):
            block = Block(self._end, size)
            self._end = block.end
            self.high = max(self.high, self._end)
            return block
        gap = self._gaps.pop(place)
        if gap.size > size:
            self._add(Block(gap.start + size, gap.size - size))
        return Block(gap.start, size)

    def give_back(self, block: Block) -> None:
        """Make a gap of a block; the last one makes the heap shorter."""
        if block.end == self._end:
            self._end = block.start
        else:
            self._add(block)

    def _add(self, gap: Block) -> None:
        bisect.insort(self._gaps, gap, key=lambda each: each.size)
