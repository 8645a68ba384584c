"""The experiments' networks, optimizers and losses as Keras's guides write them.

Images come [n, height, width, channels]. Initialised as the published studies were: LeNet by
Keras's defaults, the PyTorch networks by torch's.
"""

import math
from collections.abc import Mapping
from typing import Any

Shape = tuple[int, int, int]  # height, width, channels


def compiled(experiment: str, config: Mapping[str, Any], shape: Shape, classes: int) -> Any:
    """Return the compiled network of a configuration."""
    import keras  # type: ignore[import-not-found]

    layers = {"lenet_beans": _lenet, "mnist_cnn": _mnist, "cifar10_net": _cifar10}[experiment]
    network = keras.Sequential([keras.Input(shape), *layers(config, shape, classes)])
    squared = config.get("loss", "cross_entropy") == "mean_squared_error"
    loss = _squared_error if squared else keras.losses.SparseCategoricalCrossentropy(True)
    optimizer = optimizer_of(experiment, config)
    network.compile(optimizer=optimizer, loss=loss, metrics=["sparse_categorical_accuracy"])
    return network


def optimizer_of(experiment: str, config: Mapping[str, Any]) -> Any:
    """Return Adam or SGD as the configuration says."""
    import keras

    rate = config["learning_rate"]
    if experiment == "lenet_beans":
        return keras.optimizers.Adam(rate)
    if config.get("optimizer", "sgd") == "adam":
        return keras.optimizers.Adam(rate, epsilon=1e-8)  # torch's
    return keras.optimizers.SGD(rate, momentum=config["momentum"])


def _squared_error(labels: Any, logits: Any) -> Any:
    from keras import ops

    wanted = ops.one_hot(ops.reshape(labels, (-1,)), logits.shape[1])
    return ops.mean(ops.square(ops.softmax(logits) - wanted), axis=1)


def _filters(config: Mapping[str, Any]) -> list[int]:
    return [int(each) for each in config["filters"].split("/")]


def _lenet(config: Mapping[str, Any], _shape: Shape, classes: int) -> list[Any]:
    from keras import layers, regularizers

    kinds = {"none": None, "l1": regularizers.L1, "l2": regularizers.L2}
    kind = kinds[config["regularizer"]]
    found: list[Any] = []
    for width in _filters(config):
        rule = None if kind is None else kind(config["strength"])
        kernel = config["kernel_size"]
        found += [layers.Conv2D(width, kernel, activation="relu", kernel_regularizer=rule)]
        found += [layers.MaxPooling2D()]
    dense = [layers.Flatten(), layers.Dropout(config["dropout"])]
    return [*found[:-1], *dense, layers.Dense(50, activation="relu"), layers.Dense(classes)]


def _mnist(config: Mapping[str, Any], shape: Shape, classes: int) -> list[Any]:
    from keras import layers

    first, second = _filters(config)
    kernel, same = config["kernel_size"], "same"
    flat = second * (shape[0] // 2) * (shape[1] // 2)
    return [
        layers.Conv2D(first, kernel, padding=same, activation="relu", **_torch(shape[2], kernel)),
        layers.Conv2D(second, kernel, padding=same, activation="relu", **_torch(first, kernel)),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(128, activation="relu", **_torch(flat)),
        layers.Dropout(config["dropout"]),
        layers.Dense(classes, **_torch(128)),
    ]


def _cifar10(config: Mapping[str, Any], shape: Shape, classes: int) -> list[Any]:
    from keras import layers

    kernel, (height, width, before) = config["kernel_size"], shape
    found: list[Any] = []
    for filters in _filters(config):
        convolution = layers.Conv2D(filters, kernel, activation="relu", **_torch(before, kernel))
        # Larger kernels are padded so that every layer keeps the shape that 3x3 gives.
        found += [layers.ZeroPadding2D((kernel - 3) // 2), convolution, layers.MaxPooling2D()]
        height, width, before = (height - 2) // 2, (width - 2) // 2, filters
    found.append(layers.Flatten())
    inputs = height * width * before
    for number, units in ((1, 128), (2, 256), (3, classes)):
        activation = None if number == 3 else "relu"
        found.append(layers.Dropout(config[f"dropout_{number}"]))
        found.append(layers.Dense(units, activation=activation, **_torch(inputs)))
        inputs = units
    return found


def _torch(inputs: int, kernel: int = 1) -> dict[str, Any]:
    """Return torch's default initialisation: uniform within 1 / sqrt(fan in), biases too."""
    from keras import initializers

    bound = 1 / math.sqrt(inputs * kernel * kernel)
    return {
        "kernel_initializer": initializers.RandomUniform(-bound, bound),
        "bias_initializer": initializers.RandomUniform(-bound, bound),
    }
