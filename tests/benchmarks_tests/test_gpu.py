"""The GPU benchmark on a CPU at tiny sizes: operations and rates by hand, and a whole run."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import rates, ways, work, worker
from benchmarks.gpu.work import CannotRun, DoesNotFit, Work
from benchmarks.peers.task import Task
from benchmarks.peers.watching import Usage
from trainables.budget import Budget


def test_the_first_epoch_of_each_stage_is_left_out() -> None:
    assert rates.rates([[10.0, 12.0, 14.0, 18.0]], [4]) == [3 / 8]
    assert rates.rates([[10.0, 12.0, 14.0, 18.0, 19.0]], [2, 3]) == [1 / 2, 2 / 5]


def test_only_the_time_when_all_are_at_work_counts() -> None:
    # Together from 1 to 4: the first goes from half an epoch to two, the second does three.
    assert rates.rates([[0.0, 2.0, 4.0, 6.0], [1.0, 2.0, 3.0, 4.0]], [4]) == [(1.5 + 3) / 3]


def test_trials_that_took_turns_were_not_at_work_together() -> None:
    with pytest.raises(CannotRun, match="not at work at the same time: take more --epochs"):
        rates.rates([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]], [3])


def test_row_by_hand() -> None:
    # Two epochs a second, 20 epochs a trial: 360 an hour; 3e12 operations of 12e12.
    given = Work("lenet_beans", 4)
    found = gpu.row(given, "batched", 2, [2.0], 1_500_000_000_000, 12e12, 0.0125)
    assert found == ["lenet_beans", "batched", "2", "360.0", "3.000", "25.0%", "8.0"]
    alone = gpu.row(given, "batched", 2, [2.0], 1_500_000_000_000, 12e12, None)
    assert alone == [*found[:-1], ""], "no ratio where the peer was not measured"


def test_row_of_inception_by_hand() -> None:
    # 20 epochs of the head at 4 a second and 6 of fine-tuning at 0.5: 17 s a trial.
    given = Work("inception_beans", 3)
    found = gpu.row(given, "processes", 2, [4.0, 0.5], 6_000_000_000_000, 12e12, 1 / 170)
    assert found == ["inception_beans", "processes", "2", "211.8", "3.000", "25.0%", "10.0"]


def test_operations_of_mnist_by_hand() -> None:
    # Multiply-adds per image forwards: 28*28*(9*32 + 9*32*64) + 12544*128 + 128*10. Backwards
    # twice as many, but the first convolution's input needs no gradient.
    first, others = 28 * 28 * 9 * 32, 28 * 28 * 9 * 32 * 64 + 12544 * 128 + 1280
    assert work.epoch_operations(Work("mnist_cnn", 3, images=64)) == 2 * 64 * (
        2 * first + 3 * others
    )
    assert work.epoch_operations(Work("mnist_cnn", 3, images=128)) == 2 * 128 * (
        2 * first + 3 * others
    )


def test_operations_of_lenet_by_hand() -> None:
    # 64x64, kernel 5: 60x60, pooled to 30, 26, 13, 9. The ways made for CPUs fill kernels up.
    first, second = 60 * 60 * 25 * 3 * 6, 26 * 26 * 25 * 6 * 16
    third, dense = 9 * 9 * 25 * 16 * 120, 9 * 9 * 120 * 50 + 50 * 3
    given = Work("lenet_beans", 3, images=64, image_size=64)
    counted = work.epoch_operations(given)
    assert counted == 2 * 64 * (2 * first + 3 * (second + third + dense))


def test_what_is_counted_leaves_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    given = Work("inception_beans", 3, images=2)
    monkeypatch.setattr(Work, "config", given.config | {"batch_size": 2})
    assert work.epoch_operations(given) > 0
    assert not (tmp_path / "cache").exists()


def test_drawn_data_has_the_published_shape() -> None:
    data = work.drawn(Work("mnist_cnn", 3, images=40))
    split = data.split("validation", None)
    assert (split.images.shape, data.sizes) == ((10, 28, 28, 1), {"train": 40, "validation": 10})
    assert split.labels.tolist() == list(range(10))


def test_inception_is_timed_in_both_stages() -> None:
    given = Work("inception_beans", 4)
    assert (given.config["head_epochs"], given.config["finetune_epochs"]) == (4, 4)
    assert (given.stages, given.published) == ((4, 4), (20, 6))
    assert work.budget_of(given).epochs == 8
    other = Work("mnist_cnn", 4)
    assert (other.stages, other.published) == ((4,), (15,))


def test_a_trial_has_the_room_of_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    # 81,024 MiB, 1,024 of them for the driver: (80,000 / 4 - 600) / 1.25 of a fourth.
    of_one = SimpleNamespace(total_memory=81_024 * 2**20)
    monkeypatch.setattr("trainables.cuda.can_compute", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: of_one)
    assert work.budget_of(Work("mnist_cnn", 3, share=0.25)).memory_mb == 15_520
    assert work.budget_of(Work("mnist_cnn", 3)).memory_mb == 63_520


TINY = ["--experiments", "lenet_beans", "--epochs", "3", "--images", "64", "--image-size", "32"]


def table(text: str) -> list[list[str]]:
    head, _, *lines = text.splitlines()
    assert head.startswith("taken on ")
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_a_whole_run_on_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([*TINY, "--ways", "batched", "--at-once", "2", "--matrix", "64"]) == 0
    (cells,) = table(capsys.readouterr().out)
    assert cells[:3] == ["lenet_beans", "batched", "2"]
    assert float(cells[3]) > 0


@pytest.mark.slow
def test_ray_tune_runs_beside_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_zero(told: list[list[float]], *rest: Any) -> Any:
        """Trials this short are at work together for some 50 ms: that has tests of its own."""
        return plain([[moment - each[0] for moment in each] for each in told], *rest)

    plain = ways.rates
    monkeypatch.setattr(ways, "rates", from_zero)
    asked = ["--ways", "processes", "ray_tune", "one_by_one", "--at-once", "2", "--matrix", "64"]
    assert gpu.main([*TINY, *asked]) == 0
    found = table(capsys.readouterr().out)
    assert [(cells[1], cells[2]) for cells in found] == [
        ("ray_tune", "1"),
        ("processes", "2"),
        ("one_by_one", "2"),
    ]
    assert found[0][-1] == "1.0"
    for cells in found:
        ratio = float(cells[3]) / float(found[0][3])
        assert float(cells[-1]) == pytest.approx(ratio, rel=0.01, abs=0.051)


def test_every_way_has_a_name() -> None:
    assert tuple(ways.WAYS) == gpu.NAMES


def test_inception_is_not_batched() -> None:
    assert gpu.ways_of("inception_beans", gpu.NAMES) == ["ray_tune", "processes"]
    assert gpu.ways_of("mnist_cnn", ["batched", "ray_tune"]) == ["ray_tune", "batched"]


def test_a_way_that_fails_leaves_out_its_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_work: Work, at_once: int) -> list[float]:
        if at_once == 4:
            raise CannotRun("2 of 4 processes failed")
        return [1.0]

    monkeypatch.setitem(ways.WAYS, "processes", fails)
    asked = ["--ways", "processes", "--at-once", "1", "4", "8", "--matrix", "64"]
    assert gpu.main([*TINY, *asked]) == 1
    told = capsys.readouterr()
    assert [cells[2] for cells in table(told.out)] == ["1", "8"]
    assert "lenet_beans, processes, 4 at once: 2 of 4 processes failed" in told.err


def test_a_share_that_is_too_small_is_left_out_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(work, "_room_mb", lambda given: 0.0 if given.share < 1 else 1e6)
    monkeypatch.setattr(ways, "_workers", lambda works: [[1.0, 2.0, 3.0] for _ in works])
    asked = ["--ways", "processes", "--at-once", "1", "2", "--matrix", "64"]
    assert gpu.main([*TINY, *asked]) == 0
    told = capsys.readouterr()
    assert [cells[2] for cells in table(told.out)] == ["1"]
    line = r"lenet_beans: processes, 2 at once is left out: a trial needs about [\d,]+ MiB, "
    assert re.search(line + "and its share is 0 MiB", told.err)


def test_epochs_of_all_trials_at_once_count(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Work] = []

    def workers(works: list[Work]) -> list[list[float]]:
        asked.extend(works)
        return [[0.0, 2.0, 4.0] for _ in works]  # half an epoch a second

    monkeypatch.setattr(ways, "_workers", workers)
    given = Work("mnist_cnn", 3)
    assert ways.processes(given, 4) == [4 / 2]
    assert asked == [replace(given, seed=seed, share=1 / 4) for seed in range(4)]
    assert ways.one_by_one(given, 8) == [8 / 2]
    assert asked[4:] == [replace(given, batched=True, trials=8, one_by_one=True)]


@pytest.mark.parametrize("train", [worker.ends, worker.ends_together])
def test_a_worker_tells_the_end_of_every_epoch(train: Callable[[Work], object]) -> None:
    given = Work("mnist_cnn", 3, images=64, batched=True, trials=2)
    moments = list(train(given))  # type: ignore[call-overload]
    assert len(moments) == 3
    assert moments == sorted(moments)


def test_ray_tune_gets_the_same_images_and_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Task] = []

    def watch(command: list[str], log: Path, *_given: object) -> Usage:
        seen.append(Task.read(command[-1]))
        assert len(list(Path(seen[0].images, "train").rglob("*.png"))) == 20
        log.write_text("no room")
        return Usage(exit_code=1)

    monkeypatch.setattr(ways, "watch", watch)
    monkeypatch.setattr(ways, "gpus", lambda: 4)
    with pytest.raises(CannotRun, match=r"^Ray Tune ended with 1:\nno room$"):
        ways.ray_tune(Work("lenet_beans", 3, images=20, image_size=16), 1)
    (task,) = seen
    assert (task.trials, task.epochs, task.gpus) == (1, 3, 1)
    published = Work("lenet_beans", 3, image_size=16).config
    assert task.fixed == published
    assert published["image_size"] == 16


def test_too_few_epochs_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main(["--epochs", "2"])
    assert "--epochs must be at least 3, but got 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--at-once", "0"], ["--images", "0"], ["--matrix", "-1"], ["--image-size", "0"]]
)
def test_numbers_below_1_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main(words)
    assert f"argument {words[0]}: must be a whole number from 1" in capsys.readouterr().err


def test_a_worker_whose_starter_is_gone_trains_no_further() -> None:
    given = json.dumps(vars(Work("mnist_cnn", 3, images=64)))
    words = [sys.executable, "-m", "benchmarks.gpu.worker", given]
    done = subprocess.run(words, input="", capture_output=True, text=True, check=True)
    assert done.stdout == "ready\n"


def test_a_trial_keeps_its_weights_as_in_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[list[str]] = []

    def epochs(config: object, data: object, budget: Budget) -> Iterator[None]:
        assert budget.folder is not None
        assert budget.threads == 1
        (budget.folder / "best.pt").touch()
        yield
        kept.append([each.name for each in budget.folder.iterdir()])

    monkeypatch.setattr("trainables.mnist_cnn.epochs", epochs)
    assert len(list(worker.ends(Work("mnist_cnn", 3, images=64)))) == 1
    assert kept == [["best.pt"]]


def test_processes_that_hang_are_ended() -> None:
    words = [sys.executable, "-c", "import time; time.sleep(600)"]
    hung, other = (subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2))
    with ways._ended_after([hung], 0.2):
        hung.communicate()  # for ever, but for that
    assert hung.returncode == -signal.SIGKILL
    with pytest.raises(KeyboardInterrupt), ways._ended_after([other], 600):
        raise KeyboardInterrupt
    assert other.wait() == -signal.SIGKILL


def test_a_worker_that_runs_out_of_memory_says_so_by_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(_: Work) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(worker, "_train", train)
    monkeypatch.setattr(sys, "argv", ["worker", json.dumps(vars(Work("mnist_cnn", 3)))])
    with pytest.raises(SystemExit) as caught:
        worker.main()
    assert caught.value.code == worker.NO_MEMORY


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        (3, DoesNotFit, "16 trials at once run out of memory"),
        (1, CannotRun, "1 of 1 processes failed"),
    ],
)
def test_a_batch_that_is_too_large_is_left_out_and_no_failure(
    code: int, error: type[Exception], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {code}\n")
    python.chmod(0o700)
    monkeypatch.setattr(ways.sys, "executable", str(python))
    with pytest.raises(error, match=f"^{told}$"):
        ways.batched(Work("lenet_beans", 3), 16)
