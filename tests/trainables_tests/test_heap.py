"""Blocks placed by hand: 176 bytes are what 96 bytes take, 80 of overhead in units of 16."""

from trainables.heap import Block, Heap


def test_blocks_lie_one_behind_the_other() -> None:
    heap = Heap()
    assert [heap.take(size) for size in (96, 97)] == [Block(0, 176), Block(176, 192)]
    assert heap.high == 368


def test_the_smallest_gap_that_fits_is_taken() -> None:
    heap = Heap()
    blocks = [heap.take(size) for size in (1000, 16, 500, 16)]
    heap.give_back(blocks[0])
    heap.give_back(blocks[2])
    assert heap.take(400).start == blocks[2].start
    assert heap.take(600).start == 0
    assert heap.high == sum(block.size for block in blocks)


def test_a_gap_too_small_makes_the_heap_grow() -> None:
    heap = Heap()
    first, last = heap.take(1000), heap.take(1000)
    heap.give_back(first)
    assert heap.take(1100).start == last.end
    assert heap.high == 2 * 1088 + 1184  # 68 and 74 units


def test_neighbouring_gaps_stay_apart() -> None:
    heap = Heap()
    blocks = [heap.take(1000) for _ in range(3)]
    heap.give_back(blocks[0])
    heap.give_back(blocks[1])
    assert heap.take(1500).start == blocks[2].end
    assert sorted(heap.take(1000).start for _ in range(2)) == [0, 1088]


def test_what_is_left_of_a_gap_is_a_gap() -> None:
    heap = Heap()
    first, last = heap.take(1000), heap.take(16)
    heap.give_back(first)
    assert [heap.take(400).start, heap.take(400).start] == [0, 480]
    assert heap.take(400).start == last.end


def test_the_end_shrinks_but_the_high_mark_stays() -> None:
    heap = Heap()
    first, last = heap.take(1000), heap.take(1000)
    heap.give_back(last)
    assert heap.take(2500) == Block(first.end, 2592)  # 162 units
    assert heap.high == 1088 + 2592


def test_a_map_leaves_no_gap() -> None:
    heap = Heap(mapped_from=1000)
    first, large = heap.take(999), heap.take(1000)  # 68 units each
    assert heap.high == 2 * 1088
    heap.give_back(large)
    assert heap.take(16).start == first.end  # where a block of the heap would lie
    heap.take(1500)  # 99 units
    assert heap.high == 1088 + 96 + 1584


def test_maps_come_on_top_of_what_the_heap_ever_had() -> None:
    heap = Heap(mapped_from=1000)
    heap.give_back(heap.take(900))  # 62 units: kept
    heap.take(1000)
    assert heap.high == 992 + 1088
