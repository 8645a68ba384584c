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
    """Takes the smallest gap in which a block fits, or grows; neighbouring gaps become one.

    That is what glibc does with large blocks when it may not map them (malloc.c, "best-fit").
    `high` is the most bytes that it ever reached.
    """

    def __init__(self) -> None:
        """Begin without blocks or gaps."""
        self._gaps: list[Block] = []  # by start; none touches another, none lies at the end
        self._end = 0
        self.high = 0

    def take(self, size: int) -> Block:
        """Return a block for `size` bytes."""
        size = -(-(size + _OVERHEAD) // _UNIT) * _UNIT
        fitting = [gap for gap in self._gaps if gap.size >= size]
        if not fitting:
            block = Block(self._end, size)
            self._end = block.end
            self.high = max(self.high, self._end)
            return block
        gap = min(fitting, key=lambda each: each.size)
        place = bisect.bisect_left(self._gaps, gap)
        left = [Block(gap.start + size, gap.size - size)] if gap.size > size else []
        self._gaps[place : place + 1] = left
        return Block(gap.start, size)

    def give_back(self, block: Block) -> None:
        """Make a gap of a block, together with the gaps around it."""
        place = bisect.bisect_left(self._gaps, block)
        if place < len(self._gaps) and self._gaps[place].start == block.end:
            block = Block(block.start, block.size + self._gaps.pop(place).size)
        if place and self._gaps[place - 1].end == block.start:
            before = self._gaps.pop(place - 1)
            block = Block(before.start, before.size + block.size)
        if block.end == self._end:
            self._end = block.start
        else:
            bisect.insort(self._gaps, block)
