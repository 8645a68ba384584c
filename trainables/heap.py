"""Where blocks of memory would lie: the heap of the C library, without the memory.

On a CPU a process holds more than what lives: what was freed in pieces has no room for a larger
block, and `trainables.device.keep_freed_memory` gives nothing back.
"""

import bisect
import math
from typing import NamedTuple

# A block's header, and the alignment of 64 bytes that torch asks for.
_OVERHEAD = 80
_UNIT = 16
_ELSEWHERE = -1


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
    that live on lie between. With gaps made one, predictions fell short.
    Blocks of at least `mapped_from` bytes lie elsewhere, each in a map of its own, and leave no
    gap. `high` is the most bytes that it ever reached, maps included.
    """

    def __init__(self, mapped_from: float = math.inf) -> None:
        """Begin without blocks or gaps."""
        self._gaps: list[Block] = []  # the smallest first
        self._end = self._top = 0
        self._mapped_from, self._mapped = mapped_from, 0
        self.high = 0

    def take(self, size: int) -> Block:
        """Return a block for `size` bytes."""
        is_mapped = size >= self._mapped_from
        size = -(-(size + _OVERHEAD) // _UNIT) * _UNIT
        block = self._map(size) if is_mapped else self._place(size)
        self._top = max(self._top, self._end)
        self.high = max(self.high, self._top + self._mapped)
        return block

    def _map(self, size: int) -> Block:
        self._mapped += size
        return Block(_ELSEWHERE, size)

    def _place(self, size: int) -> Block:
        place = bisect.bisect_left(self._gaps, size, key=lambda gap: gap.size)
        if place == len(self._gaps):
            block = Block(self._end, size)
            self._end = block.end
            return block
        gap = self._gaps.pop(place)
        if gap.size > size:
            self._add(Block(gap.start + size, gap.size - size))
        return Block(gap.start, size)

    def give_back(self, block: Block) -> None:
        """Make a gap of a block; the last one makes the heap shorter, a map is gone."""
        if block.start == _ELSEWHERE:
            self._mapped -= block.size
        elif block.end == self._end:
            self._end = block.start
        else:
            self._add(block)

    def _add(self, gap: Block) -> None:
        bisect.insort(self._gaps, gap, key=lambda each: each.size)
