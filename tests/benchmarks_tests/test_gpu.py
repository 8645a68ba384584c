"""The GPU benchmark on a CPU at tiny sizes: operations and rates by hand, and a whole run."""

import pytest

from benchmarks import gpu
from benchmarks.gpu import Work


def test_rate_leaves_out_the_first_epoch() -> None:
    assert gpu.rate([10.0, 12.0, 14.0, 18.0]) == 3 / 8


def test_row_by_hand() -> None:
    # Two epochs a second, 20 epochs a trial: 360 an hour; 3e12 operations of 12e12.
    found = gpu.row(Work("lenet_beans", 4), 2, 2.0, 1_500_000_000_000, 12e12)
    assert found == ["lenet_beans", "2", "360.0", "3.000", "25.0%"]


def test_operations_of_mnist_by_hand() -> None:
    # Multiply-adds per image forwards: 28*28*(9*32 + 9*32*64) + 12544*128 + 128*10. Backwards
    # twice as many, but the first convolution's input needs no gradient.
    first, others = 28 * 28 * 9 * 32, 28 * 28 * 9 * 32 * 64 + 12544 * 128 + 1280
    assert gpu.epoch_operations(Work("mnist_cnn", 3, images=64)) == 2 * 64 * (
        2 * first + 3 * others
    )
    assert gpu.epoch_operations(Work("mnist_cnn", 3, images=128)) == 2 * 128 * (
        2 * first + 3 * others
    )


def test_drawn_data_has_the_published_shape() -> None:
    data = gpu.drawn(Work("mnist_cnn", 3, images=40))
    split = data.split("validation", None)
    assert (split.images.shape, data.sizes) == ((10, 28, 28, 1), {"train": 40, "validation": 10})
    assert split.labels.tolist() == list(range(10))


def test_inception_is_timed_in_its_fine_tuning() -> None:
    config = Work("inception_beans", 4).config
    assert (config["head_epochs"], config["finetune_epochs"]) == (1, 3)


def test_a_whole_run_on_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--experiments", "lenet_beans", "--at-once", "2", "--epochs", "3", "--images", "64"]
    assert gpu.main([*words, "--image-size", "32", "--matrix", "64"]) == 0
    head, _, *table = capsys.readouterr().out.splitlines()
    assert head.startswith("taken on ")
    assert len(table) == 3
    cells = table[2].strip("| ").split(" | ")
    assert cells[:2] == ["lenet_beans", "2"]
    assert float(cells[2]) > 0


def test_too_few_epochs_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main(["--epochs", "2"])
    assert "--epochs must be at least 3, but got 2" in capsys.readouterr().err
