"""Memory of machines and GPUs, worked out by hand."""

from pathlib import Path

import pytest

from search.room import (
    OURS_MB,
    Memory,
    gpu_room_mb,
    memory,
    most_on_a_gpu,
    share_for,
    trials_per_gpu,
)

MIB = 2**20
MEMINFO = "MemTotal:  8388608 kB\nMemFree: 1 kB\nMemAvailable:  6291456 kB\n"  # 8 GiB, 6 free


def found(folder: Path, own: str = "", **files: str) -> Memory | None:
    """Write /proc/meminfo and files of control groups, a path's / as __ and its . as _o_."""
    for name, text in {"meminfo": MEMINFO, "own": own, **files}.items():
        path = folder / name.replace("__", "/").replace("_o_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return memory(folder / "meminfo", folder / "groups", folder / "own")


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    assert found(tmp_path) == Memory(8192, 6144)


def test_room_leaves_a_twentieth_and_what_is_ours() -> None:
    assert Memory(8192, 6144).room_mb == pytest.approx(6144 - 409.6 - OURS_MB)
    assert Memory(8192, 6144).most_mb == pytest.approx(8192 - 409.6 - OURS_MB)
    assert Memory(1024, 100).room_mb == 0


def test_the_second_version_of_control_groups(tmp_path: Path) -> None:
    # 3 GiB, of which 2 are used, one of them by files that may be dropped.
    files = {
        "groups__a__b__memory_o_max": f"{3072 * MIB}\n",
        "groups__a__b__memory_o_current": f"{2048 * MIB}\n",
        "groups__a__b__memory_o_stat": f"anon 5\ninactive_file {1024 * MIB}\n",
        "groups__a__memory_o_max": "max\n",
        "groups__a__memory_o_current": f"{2048 * MIB}\n",
        "groups__a__memory_o_stat": "anon 5\n",
    }
    assert found(tmp_path, "0::/a/b\n", **files) == Memory(3072, 2048)


def test_a_limit_above_the_own_group_counts(tmp_path: Path) -> None:
    files = {
        "groups__a__memory_o_max": f"{1024 * MIB}",
        "groups__a__memory_o_current": f"{1000 * MIB}",
        "groups__a__memory_o_stat": "inactive_file 0",
        "groups__a__b__memory_o_max": "max",
        "groups__a__b__memory_o_current": "1",
        "groups__a__b__memory_o_stat": "inactive_file 0",
    }
    assert found(tmp_path, "0::/a/b\n", **files) == Memory(1024, 24)


@pytest.mark.parametrize("own", ["7:memory:/x/y\n", ""])  # the path may be the host's
def test_the_first_version_of_control_groups(own: str, tmp_path: Path) -> None:
    files = {
        "groups__memory__memory_o_limit_in_bytes": f"{4096 * MIB}\n",
        "groups__memory__memory_o_usage_in_bytes": f"{1024 * MIB}\n",
        "groups__memory__memory_o_stat": f"inactive_file 1\ntotal_inactive_file {512 * MIB}\n",
    }
    assert found(tmp_path, own, **files) == Memory(4096, 3584)


def test_no_limit_is_the_machine_itself(tmp_path: Path) -> None:
    files = {
        "groups__memory__memory_o_limit_in_bytes": "9223372036854771712\n",
        "groups__memory__memory_o_usage_in_bytes": "1\n",
        "groups__memory__memory_o_stat": "total_inactive_file 0\n",
    }
    assert found(tmp_path, "3:cpu,memory:/\nnonsense\n", **files) == Memory(8192, 6144)


def test_a_full_group_has_nothing_left(tmp_path: Path) -> None:
    files = {
        "groups__memory_o_max": "1000",
        "groups__memory_o_current": "2000",
        "groups__memory_o_stat": "",
    }
    left = found(tmp_path, "0::/\n", **files)
    assert left is not None
    assert (left.free_mb, left.room_mb) == (0, 0)


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemTotal: x\nMemAvailable: y\n"])
def test_a_system_that_does_not_tell(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, meminfo=text) is None
    assert memory(tmp_path / "missing") is None


# 81,024 MiB: 80,000 for trials once the driver's 1,024 are off. A trial has 600 less than its
# share, and a fifth of that stays for gaps: (80,000 / n - 600) / 1.25.
H100 = 81_024.0


def test_room_on_a_share_by_hand() -> None:
    assert gpu_room_mb(H100, 1.0) == pytest.approx((80_000 - 600) / 1.25)
    assert gpu_room_mb(H100, 0.25) == pytest.approx((20_000 - 600) / 1.25)
    assert gpu_room_mb(H100, 4.0) == gpu_room_mb(H100, 1.0)  # a trial uses one of them
    assert gpu_room_mb(2_000, 0.1) == 0


@pytest.mark.parametrize(
    ("need", "share"),
    [
        (0, 0.0625),
        (3_500, 0.0625),  # (5,000 - 600) / 1.25 = 3,520
        (3_521, 0.0833),  # of 12: 6,664 - 600 on 1.25 = 4,851
        (5_000, 0.125),
        (15_519, 0.25),
        (15_521, 0.3333),
        (31_520, 0.5),
        (31_521, 1.0),
        (99_999, 1.0),  # more than there is: in micro-batches, or refused
    ],
)
def test_shares_by_hand(need: float, share: float) -> None:
    assert share_for(H100, need) == share
    assert need > 80_000 or gpu_room_mb(H100, share) >= need


@pytest.mark.parametrize(
    ("gpu_mb", "trials"),
    [
        (H100, 16),
        (8_192, 4),  # 7,168 / 4 - 600 = 1,192; of 6 it would be 594, less than 1,024
        (3_000, 1),
        (500, 1),
    ],
)
def test_the_smallest_trials_on_a_gpu(gpu_mb: float, trials: int) -> None:
    assert trials_per_gpu(gpu_mb) == trials


@pytest.mark.parametrize(
    ("concurrent", "gpus", "most"),
    [
        (4, 4, 1),
        (3, 4, 1),
        (5, 4, 2),
        (18, 4, 6),  # five on one of them, and there are shares of a sixth
        (32, 4, 8),
        (100, 4, 16),
        (1, 1, 16),  # one GPU is the fullest, whatever the shares
        (8, 1, 16),
        (8, 0, 16),
    ],
)
def test_trials_are_spread_evenly_over_several_gpus(concurrent: int, gpus: int, most: int) -> None:
    assert most_on_a_gpu(concurrent, gpus) == most


@pytest.mark.parametrize(
    ("need", "most", "share"),
    [(0, 8, 0.125), (0, 1, 1.0), (15_521, 8, 0.3333), (15_521, 2, 0.5), (31_521, 8, 1.0)],
)
def test_no_share_is_smaller_than_spreading_asks_for(need: float, most: int, share: float) -> None:
    assert share_for(H100, need, most) == share


def test_shares_of_as_many_trials_lie_on_one_gpu() -> None:
    for trials in (2, 3, 4, 6, 8, 12, 16):
        assert share_for(H100, gpu_room_mb(H100, 1 / trials) - 40) * trials <= 1
