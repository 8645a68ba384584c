"""Seeds against SHA-256 from another program, and their independence of any state."""

import subprocess
import sys

import pytest
import torch

from trainables.seeds import derive, generator


def test_derive_is_the_top_31_bits_of_sha256() -> None:
    # printf '7\0batches\0003' | sha256sum  ->  0635a938c21a...
    assert derive(7, "batches", 3) == 0x0635A938 >> 1
    # printf '0' | sha256sum  ->  5feceb66ffc8...
    assert derive(0) == 0x5FECEB66 >> 1
    # printf '0\0augment\0001\0002' | sha256sum  ->  924624f1bb12...: the top bit is cut off
    assert derive(0, "augment", 1, 2) == 0x924624F1 >> 1


def test_every_word_counts_and_so_does_their_order() -> None:
    calls: list[tuple[int, *tuple[str | int, ...]]] = [
        (1,), (2,), (1, "a"), (1, "b"), (1, "a", 1), (1, "a", 2), (1, 1, "a"), (1, "a1"),
        (11, "a"), (1, "1a"), (-1,), (2**40,),
    ]  # fmt: skip
    assert len({derive(*call) for call in calls}) == len(calls)


def test_derived_seeds_fill_their_range_without_collisions() -> None:
    seeds = [derive(0, "batches", epoch) for epoch in range(2000)]
    assert len(set(seeds)) == 2000
    assert 0 <= min(seeds) < 2**31 * 0.01
    assert 2**31 * 0.99 < max(seeds) < 2**31


def test_generator_is_fresh_each_time_and_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    first = torch.rand(5, generator=generator(3, "x", 1))
    assert torch.equal(first, torch.rand(5, generator=generator(3, "x", 1)))
    assert not torch.equal(first, torch.rand(5, generator=generator(3, "x", 2)))
    assert not torch.equal(first, torch.rand(5, generator=generator(4, "x", 1)))
    assert torch.equal(before, torch.get_rng_state())


def test_generator_is_seeded_by_derive() -> None:
    plain = torch.Generator().manual_seed(0x0635A938 >> 1)
    assert torch.equal(
        torch.randperm(50, generator=generator(7, "batches", 3)),
        torch.randperm(50, generator=plain),
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_generator_on_a_gpu() -> None:
    one, again, other = (
        torch.rand(5, generator=generator(3, purpose, device="cuda"), device="cuda")
        for purpose in ("x", "x", "y")
    )
    assert one.device.type == "cuda"
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_seeds_need_no_torch() -> None:
    code = (
        "import sys; from trainables.seeds import derive; derive(1); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
