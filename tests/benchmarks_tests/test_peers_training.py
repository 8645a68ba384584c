"""The peers' training is the same problem: networks, losses, images and accuracy equal ours."""

import os
import statistics
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.peers import networks, stock, transforms, with_optuna, with_ray_tune
from search.catalog import find
from trainables.augment import augment
from trainables.budget import Budget
from trainables.data.cache import resize
from trainables.losses import mean_squared_error
from trainables.regularizers import convolution_penalty

from .peer_data import tiny_task

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = {
    "lenet_beans": {"image_size": 40, "kernel_size": 3, "filters": "3/8/60"},
    "mnist_cnn": {"kernel_size": 5, "filters": "16/32"},
    "cifar10_net": {"kernel_size": 5, "filters": "32/64/128"},
}
SHAPES = {"lenet_beans": (3, 40, 40), "mnist_cnn": (1, 28, 28), "cifar10_net": (3, 32, 32)}


def both(experiment: str) -> tuple[dict[str, Any], nn.Module, nn.Module]:
    """A configuration, our network, and the peers' with our weights."""
    defaults = find(experiment).defaults()
    config = {**defaults, **NETWORKS[experiment]}
    shape = SHAPES[experiment]
    module = __import__(f"trainables.{experiment}", fromlist=["build"])
    ours = module.build(config, 4, shape[0], shape[1:])
    theirs = networks.build(experiment, config, shape, 4)
    pairs = list(zip(layers(ours), layers(theirs), strict=True))
    assert len(pairs) in (4, 5, 6)
    for mine, other in pairs:
        weight = mine.weight.detach()
        if weight.shape[1:].numel() != other.weight.shape[1:].numel() or weight.ndim == 4:
            other.weight.data = weight.clone()
        else:
            other.weight.data = in_their_order(weight, pairs, experiment, shape)
        other.bias.data = mine.bias.detach().clone()
    return config, ours, theirs


def layers(network: nn.Module) -> list[Any]:
    return [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]


def in_their_order(weight: Any, pairs: Any, experiment: str, shape: Any) -> Any:
    """Our first dense layer takes features channels last, theirs channels first."""
    filters = pairs[len([p for p in pairs if p[0].weight.ndim == 4]) - 1][0].weight.shape[0]
    pixels = weight.shape[1] / filters
    side = round(pixels**0.5)
    dense = next(mine for mine, _ in pairs if mine.weight.ndim == 2)
    if weight.data_ptr() != dense.weight.data_ptr():
        return weight.clone()
    assert side * side == pixels
    split = weight.reshape(len(weight), side, side, filters)
    return split.permute(0, 3, 1, 2).reshape(len(weight), -1)


@pytest.mark.parametrize("experiment", NETWORKS)
def test_networks_are_ours(experiment: str) -> None:
    _, ours, theirs = both(experiment)
    images = torch.rand(2, *SHAPES[experiment])
    signed = images if experiment == "lenet_beans" else images * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(signed), ours.eval()(images))


def test_dropout_stands_where_ours_stands() -> None:
    config = {**find("cifar10_net").defaults(), "dropout_1": 0.1, "dropout_2": 0.2}
    found = networks.build("cifar10_net", config | {"dropout_3": 0.3}, (3, 32, 32), 10)
    dropouts = [each.p for each in found.modules() if isinstance(each, nn.Dropout)]
    assert dropouts == [0.1, 0.2, 0.3]


def test_lenet_begins_as_keras_and_others_as_torch() -> None:
    for experiment, biases in (("lenet_beans", False), ("mnist_cnn", True)):
        config = {**find(experiment).defaults(), **NETWORKS[experiment]}
        network = networks.build(experiment, config, SHAPES[experiment], 4)
        assert any(bool(each.bias.any()) for each in layers(network)) is biases


@pytest.mark.parametrize("kind", ["none", "l1", "l2"])
def test_penalty_is_ours(kind: str) -> None:
    network = networks.build(
        "lenet_beans", find("lenet_beans").defaults() | NETWORKS["lenet_beans"], (3, 40, 40), 4
    )
    found = networks.penalty(network, {"regularizer": kind, "strength": 0.03})
    wanted = 0.0 if kind == "none" else convolution_penalty(network, kind, 0.03)
    assert float(found) == pytest.approx(float(wanted))


def test_squared_error_is_ours() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    found = stock.loss_of({"loss": "mean_squared_error"}, logits, labels)
    torch.testing.assert_close(found, mean_squared_error(logits, labels))


def test_images_are_ours_pixel_by_pixel(tmp_path: Path) -> None:
    config = find("lenet_beans").defaults() | {"image_size": 17, "batch_size": 4}
    task, data = tiny_task(tmp_path, "lenet_beans")
    _, validation = stock.loaders(task, config)
    images, labels = next(iter(validation))
    assert images.dtype == torch.float32
    # ImageFolder sorts by class; ours come in the order they were drawn.
    ours = data.splits["validation"]
    order = np.argsort(ours.labels, kind="stable")
    wanted = [resize(ours.images[number], 17) for number in order]
    assert labels.tolist() == ours.labels[order].tolist()
    assert np.array_equal((images.permute(0, 2, 3, 1) * 255).round().numpy(), np.stack(wanted))


@pytest.mark.parametrize("name", ["flip", "mirror", "transpose", "brightness", "contrast"])
def test_augmentations_do_to_many_images_what_ours_do(name: str) -> None:
    draw = torch.Generator().manual_seed(1)
    image = torch.rand(3, 8, 8, generator=draw)
    many = image.expand(400, 3, 8, 8).contiguous()
    ours = augment(many, name, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    step = transforms.transforms.Compose(transforms.augmenting(name, 8))
    theirs = torch.stack([step(each) for each in many])
    # What an image becomes on average, and how much it varies.
    torch.testing.assert_close(theirs.mean(0), ours.mean(0), atol=0.06, rtol=0)
    torch.testing.assert_close(theirs.std(0), ours.std(0), atol=0.06, rtol=0)


@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise", "salt_pepper_noise"])
def test_noise_is_as_strong_as_ours(name: str) -> None:
    grey = torch.full((20, 3, 32, 32), 0.5)
    ours = augment(grey, name, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    (step,) = transforms.augmenting(name, 32)
    theirs = torch.stack([step(each) for each in grey])
    assert float(theirs.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(theirs.std()) == pytest.approx(float(ours.std()), rel=0.05)


def test_every_augmentation_of_the_space_is_known() -> None:
    from search.domains import domains

    names: set[str] = set()
    for experiment in ("lenet_beans", "cifar10_net"):
        found = find(experiment)
        names |= set(domains(found.space(), found.defaults())["augmentation"].choices)
    assert len(names) > 13
    for name in names:
        step = transforms.training("lenet_beans", name, 16, 3)
        from PIL import Image

        changed = step(Image.new("RGB", (20, 20), (10, 20, 30)))
        assert changed.shape == (3, 16, 16)
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1


@pytest.mark.parametrize(
    ("experiment", "changes"),
    [
        ("lenet_beans", {"filters": "3/8/60", "kernel_size": 3, "image_size": 24}),
        ("mnist_cnn", {"learning_rate": 0.03, "filters": "16/32", "dropout": 0.1}),
        ("cifar10_net", {"optimizer": "adam", "filters": "32/64/128", "augmentation": "mirror"}),
    ],
)
def test_the_same_configuration_learns_as_well(
    tmp_path: Path, experiment: str, changes: dict[str, Any]
) -> None:
    task, data = tiny_task(tmp_path, experiment, epochs=6)
    config = {**find(experiment).defaults(), "batch_size": 4, **changes}
    if experiment == "lenet_beans":
        config["learning_rate"] = 0.003  # at the published rate it needs more than six epochs
    train = find(experiment).trainable()
    ours, theirs = [], []
    for seed in range(3):
        budget = Budget(task.epochs, seed=seed, precision="float32", device="cpu", threads=1)
        ours.append([each.val_accuracy for each in train(config, data, budget)])
        theirs.append([accuracy for _, accuracy in stock.epochs(task, config, seed)])
    assert all(len(each) == 6 for each in ours + theirs)
    best = [statistics.mean(max(each) for each in runs) for runs in (ours, theirs)]
    assert min(best) > 0.8, "by chance a third"
    assert best[0] == pytest.approx(best[1], abs=0.15)


@pytest.mark.parametrize(("depth", "published"), [(2, 13_216_131), (6, 20_431_747)])
def test_inception_trains_what_was_published(tmp_path: Path, depth: int, published: int) -> None:
    task, _ = tiny_task(tmp_path, "inception_beans")
    config = find("inception_beans").defaults() | {"unfreeze_blocks": depth}
    network = networks.build("inception_beans", config, (3, 299, 299), 3)
    counts, epochs = [], []
    for optimizer, count in stock.stages(task, config, network):
        held = [each for group in optimizer.param_groups for each in group["params"]]
        counts.append(sum(each.numel() for each in held))
        epochs.append(count)
    # The head: 2048 * 1024 + 1024 + 1024 * 3 + 3.
    assert counts == [2_101_251, published]
    assert epochs == [20, 6]


def test_training_ends_at_the_task_s_epochs(tmp_path: Path) -> None:
    task, _ = tiny_task(tmp_path, "mnist_cnn", epochs=2)
    config = find("mnist_cnn").defaults() | {"filters": "16/32"}
    assert [epoch for epoch, _ in stock.epochs(task, config, 0)] == [1, 2]


def test_batches_go_where_the_network_is(tmp_path: Path) -> None:
    # The device "meta" takes the place of a GPU: torch refuses to mix it with another, too.
    task, _ = tiny_task(tmp_path, "mnist_cnn")
    config = find("mnist_cnn").defaults() | {"filters": "16/32"}
    train, _ = stock.loaders(task, config)
    network = networks.build("mnist_cnn", config, (1, 24, 24), 3).to("meta")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    stock.train_epoch(network, train, optimizer, config)
    assert {each.device.type for each in network.parameters()} == {"meta"}
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        network(next(iter(train))[0])


def test_a_gpu_is_fed_by_processes_and_shared_by_the_trials_at_once(tmp_path: Path) -> None:
    task, _ = tiny_task(tmp_path, "mnist_cnn")
    config = find("mnist_cnn").defaults()
    assert [each.num_workers for each in stock.loaders(task, config)] == [0, 0]
    with_gpu = replace(task, gpus=1)
    wanted = min(8, os.cpu_count() or 1)
    assert [each.num_workers for each in stock.loaders(with_gpu, config)] == [wanted] * 2
    assert with_ray_tune.resources(task) == {"cpu": 1}
    # Two trials at once, as with every other tool; with one, or a GPU each, a whole GPU.
    assert with_ray_tune.resources(with_gpu) == {"cpu": 1, "gpu": 0.5}
    assert with_ray_tune.resources(replace(with_gpu, cores=1)) == {"cpu": 1, "gpu": 1}
    assert with_ray_tune.resources(replace(with_gpu, gpus=8)) == {"cpu": 1, "gpu": 1}


def test_bfloat16_is_of_the_network_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, _ = tiny_task(tmp_path, "mnist_cnn", epochs=1)
    config = find("mnist_cnn").defaults() | {"filters": "16/32"}
    plain, seen = stock.loss_of, []

    def loss_of(config: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = plain(config, logits, labels)
        seen.append((logits.dtype, loss.dtype))
        return loss

    monkeypatch.setattr(stock, "loss_of", loss_of)
    for precision, kind in (("bfloat16", torch.bfloat16), ("", torch.float32)):
        seen.clear()
        assert list(stock.epochs(replace(task, precision=precision), config, 0))
        assert set(seen) == {(kind, torch.float32)}


@pytest.mark.parametrize(("gpus", "used"), [(0, []), (1, [0, 0, 0]), (2, [0, 1, 0])])
def test_optunas_trials_take_turns_on_the_gpus(
    gpus: int, used: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(stock, "epochs", lambda *_: iter([]))
    task = replace(tiny_task(tmp_path, "mnist_cnn")[0], gpus=gpus)
    monkeypatch.setattr(type(task), "space", lambda *_: {})
    for number in range(3):
        assert with_optuna.objective(task, SimpleNamespace(number=number)) == 0.0
    assert chosen == used
