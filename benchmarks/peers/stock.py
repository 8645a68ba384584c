"""Training as a PyTorch tutorial writes it: ImageFolder, DataLoader, float32, one loop.

The function that the PyTorch peers tune. Every image is decoded, resized and augmented anew in
every epoch, and the frozen layers of Inception are computed anew. Where the task has a GPU,
network and batches are moved there, and processes load the images.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.peers import transforms
from benchmarks.peers.networks import build, penalty
from benchmarks.peers.task import Task
from trainables.seeds import derive

BLOCKS = ("Mixed_7c", "Mixed_7b", "Mixed_7a", "Mixed_6e", "Mixed_6d", "Mixed_6c")
EVALUATION_BATCH = 64
# What PyTorch's tutorial of Ray Tune loads images with, for a GPU that waits for them; on a CPU
# the core that trains loads.
WORKERS_OF_GPU = 8


def image_size(experiment: str, config: Mapping[str, Any]) -> int | None:
    """Return the side to which images are resized, None for their own."""
    own = {"inception_beans": 299, "lenet_beans": config.get("image_size")}
    return own.get(experiment)


def loaders(task: Task, config: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the DataLoaders of training and validation images."""
    from torchvision.datasets import ImageFolder

    size = image_size(task.experiment, config)
    channels = 1 if task.experiment == "mnist_cnn" else 3
    change = transforms.training(
        task.experiment, config.get("augmentation", "none"), size, channels
    )
    same = transforms.evaluation(task.experiment, size, channels)
    train = ImageFolder(str(Path(task.images, "train")), change)
    validation = ImageFolder(str(Path(task.images, "validation")), same)
    workers = min(WORKERS_OF_GPU, os.cpu_count() or 1) if task.gpus else 0
    kept: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    kept["pin_memory"] = task.gpus > 0
    return (
        DataLoader(train, config["batch_size"], shuffle=True, **kept),
        DataLoader(validation, EVALUATION_BATCH, **kept),
    )


def epochs(task: Task, config: Mapping[str, Any], seed: int) -> Iterator[tuple[int, float]]:
    """Yield (epoch from 1, validation accuracy) of a trial of at most `task.epochs` epochs.

    Every configuration has a seed of its own, as a trial of Trellis has.
    """
    torch.manual_seed(derive(seed, json.dumps(dict(config), sort_keys=True)))
    train, validation = loaders(task, config)
    shape = tuple(train.dataset[0][0].shape)
    network = build(task.experiment, config, shape, len(train.dataset.classes))
    device = "cuda" if task.gpus else "cpu"
    network.to(device)
    if task.precision == "bfloat16":
        lower = torch.autocast(device, torch.bfloat16)
        network.forward = lower(network.forward)
    epoch = 0
    for optimizer, count in stages(task, config, network):
        for _ in range(count):
            if epoch == task.epochs:
                return
            epoch += 1
            train_epoch(network, train, optimizer, config)
            yield epoch, accuracy(network, validation)


def stages(task: Task, config: Mapping[str, Any], network: nn.Module) -> Iterator[Any]:
    """Yield (optimizer, epochs) of every stage; one, but for Inception."""
    if task.experiment != "inception_beans":
        trained = list(network.parameters())
        yield optimizer_of(task.experiment, config, trained), task.epochs
        return
    if task.weights:
        missing = network.load_state_dict(_state(task.weights), strict=False)
        if [name for name in missing.missing_keys if not name.startswith("fc.")]:
            raise ValueError(f"{task.weights} lacks {missing.missing_keys}")
    network.requires_grad_(False)
    for name, names in (("head", ["fc"]), ("finetune", [*_thawed(config), "fc"])):
        if name == "finetune" and not config["unfreeze_blocks"]:
            return
        for part in names:
            getattr(network, part).requires_grad_(True)
        _hold_scales(network)
        trained = [each for each in network.parameters() if each.requires_grad]
        rate = config[f"{name}_learning_rate"]
        optimizer = torch.optim.Adam(trained, lr=rate, eps=1e-7)
        yield optimizer, config[f"{name}_epochs"]


def optimizer_of(experiment: str, config: Mapping[str, Any], trained: list[Any]) -> Any:
    """Return Adam or SGD with momentum as the configuration says."""
    rate = config["learning_rate"]
    if experiment == "lenet_beans":
        return torch.optim.Adam(trained, lr=rate, eps=1e-7)  # Keras's epsilon
    if config.get("optimizer", "sgd") == "adam":
        return torch.optim.Adam(trained, lr=rate)
    return torch.optim.SGD(trained, lr=rate, momentum=config["momentum"])


def loss_of(config: Mapping[str, Any], logits: Tensor, labels: Tensor) -> Tensor:
    """Return the configured loss, a mean over the batch."""
    if config.get("loss", "cross_entropy") == "cross_entropy":
        return functional.cross_entropy(logits.float(), labels)
    wanted = functional.one_hot(labels, logits.shape[1]).float()
    return functional.mse_loss(logits.float().softmax(1), wanted)


def train_epoch(
    network: nn.Module, loader: Any, optimizer: Any, config: Mapping[str, Any]
) -> None:
    """Train one epoch. Inception's batch norms stay in inference mode, as published."""
    if hasattr(network, "fc"):
        network.eval()
        network.get_submodule("fc").train()
    else:
        network.train()
    device = next(network.parameters()).device
    for batch in loader:
        images, labels = (each.to(device) for each in batch)
        optimizer.zero_grad()
        loss = loss_of(config, network(images), labels) + penalty(network, config)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def accuracy(network: nn.Module, loader: Any) -> float:
    """Return the share of a loader's images that the network gets right."""
    network.eval()
    right = seen = 0
    device = next(network.parameters()).device
    for batch in loader:
        images, labels = (each.to(device) for each in batch)
        right += int((network(images).argmax(1) == labels).sum())
        seen += len(labels)
    return right / seen


def _state(path: str) -> Any:
    return torch.load(path, weights_only=True, map_location="cpu")


def _thawed(config: Mapping[str, Any]) -> tuple[str, ...]:
    return BLOCKS[: config["unfreeze_blocks"]]


def _hold_scales(network: nn.Module) -> None:
    """Freeze the scales of batch norms: the published network has none."""
    for each in network.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.weight.requires_grad_(False)
