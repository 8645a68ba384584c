"""The CIFAR-10 network of the published study: three valid convolutions, three dense layers.

537,610 parameters at kernel 3, filters 64/128/256, 32x32x3: 1,792, 73,856, 295,168, 131,200,
33,024 and 2,570.
"""

from torch import Tensor, nn

from trainables.nets.parts import flatten, to_signed
from trainables.nets.products import ProductConv2d

DENSE_UNITS = (128, 256)
# What 3x3 convolutions and poolings leave at least one pixel of: 22, 20, 10, 8, 4, 2, 1.
SMALLEST = 22


def pooled_side(pixels: int) -> int:
    """Return the pixels of a side after three times convolution (two less) and pooling (half).

    Raises:
        ValueError: none are left.
    """
    if pixels < SMALLEST:
        raise ValueError(f"images must have at least {SMALLEST}x{SMALLEST} pixels; got {pixels}")
    for _ in range(3):
        pixels = (pixels - 2) // 2
    return pixels


class Cifar10Net(nn.Module):
    """Images [n, channels, height, width] float, in [0, 1] -> logits [n, classes].

    The first step scales them to [-1, 1]: what the study did is not stated, and this is what its
    sister on MNIST does. Kernels larger than the published 3x3 are padded by half of what they
    are larger, so that every layer keeps its published shape. Pooling comes before the
    activation: for a monotone activation the same function, on a quarter of the values. The
    three dropouts stand before the three dense layers, the first on the flattened features.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        channels: int,
        classes: int,
        kernel_size: int,
        filters: tuple[int, int, int],
        dropouts: tuple[float, float, float],
    ) -> None:
        """Build the layers for images of `size`, height and width in pixels.

        Raises:
            ValueError: an even kernel or one below 3, or images below 22 pixels.
        """
        super().__init__()
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and at least 3, but got {kernel_size}")
        first, second, third = filters
        padding = (kernel_size - 3) // 2
        self.conv1 = nn.Conv2d(channels, first, kernel_size, padding=padding)
        self.conv2 = ProductConv2d(first, second, kernel_size, padding=padding)
        self.conv3 = ProductConv2d(second, third, kernel_size, padding=padding)
        self.pool = nn.MaxPool2d(2)
        self.activation = nn.ReLU()
        self.dropout1, self.dropout2, self.dropout3 = (nn.Dropout(rate) for rate in dropouts)
        features = third * pooled_side(size[0]) * pooled_side(size[1])
        self.dense1 = nn.Linear(features, DENSE_UNITS[0])
        self.dense2 = nn.Linear(*DENSE_UNITS)
        self.output = nn.Linear(DENSE_UNITS[1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, classes]."""
        x = self.activation(self.pool(self.conv1(to_signed(images))))
        x = self.activation(self.pool(self.conv2(x)))
        x = self.activation(self.pool(self.conv3(x)))
        x = self.activation(self.dense1(self.dropout1(flatten(x))))
        x = self.activation(self.dense2(self.dropout2(x)))
        return self.output(self.dropout3(x))  # type: ignore[no-any-return]  # calls return Any
