"""LeNet of the published study: three valid convolutions and two dense layers.

26,985,195 parameters at kernel 5, filters 6/16/120, 299x299x3: 456, 2,416, 48,120, 26,934,050
and 153.
"""

import torch
from torch import Tensor, nn

from trainables.nets.dropout import QuickDropout
from trainables.nets.folding import convolved
from trainables.nets.parts import flatten
from trainables.nets.pooling import pooled

DENSE_UNITS = 50


def spatial_size(image_size: int, kernel_size: int) -> int:
    """Return the height (= width) in pixels of the last convolution's output.

    Raises:
        ValueError: the image is too small for three valid convolutions and two poolings.
    """
    size = (image_size - kernel_size + 1) // 2
    size = (size - kernel_size + 1) // 2
    size = size - kernel_size + 1
    if size < 1:
        raise ValueError(
            f"image_size must leave at least 1 pixel after three convolutions of "
            f"{kernel_size}x{kernel_size}, but got image_size={image_size}"
        )
    return size


class LeNet(nn.Module):
    """Images [n, channels, size, size] float, in [0, 1] -> logits [n, classes].

    Pooling comes before the activation: for a monotone activation the same function, on a quarter
    of the values. Dropout, where the study says only "dropout", stands on the flattened
    features, the input of the layer that holds 99.8 % of the parameters.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        classes: int,
        kernel_size: int,
        filters: tuple[int, int, int],
        dropout: float,
    ) -> None:
        """Build the layers, with weights as torch draws them (see `keras_init`)."""
        super().__init__()
        first, second, third = filters
        side = spatial_size(image_size, kernel_size)
        self.conv1 = nn.Conv2d(channels, first, kernel_size)
        self.conv2 = nn.Conv2d(first, second, kernel_size)
        self.conv3 = nn.Conv2d(second, third, kernel_size)
        self.pool = nn.MaxPool2d(2)
        self.activation = nn.ReLU()
        self.dropout = QuickDropout(dropout)
        self.dense = nn.Linear(third * side * side, DENSE_UNITS)
        self.output = nn.Linear(DENSE_UNITS, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, classes]."""
        x = pooled(convolved(self.conv1, images), self.pool, self.activation)
        x = pooled(convolved(self.conv2, x), self.pool, self.activation)
        x = self.activation(self.conv3(x))
        x = self.activation(self.dense(self.dropout(flatten(x))))
        return self.output(x)  # type: ignore[no-any-return]  # nn.Module calls return Any


def keras_init(model: nn.Module, generator: torch.Generator) -> None:
    """Initialise as Keras does by default: Glorot-uniform weights, zero biases."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
