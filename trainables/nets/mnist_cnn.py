"""The MNIST network of the published study: two padded convolutions, one pooling, two dense.

1,625,866 parameters at kernel 3, filters 32/64, 28x28x1: 320, 18,496, 1,605,760 and 1,290.
"""

from torch import Tensor, nn

from trainables.nets.parts import flatten, to_signed

DENSE_UNITS = 128


class MnistCnn(nn.Module):
    """Images [n, channels, height, width] float, in [0, 1] -> logits [n, classes].

    The first step scales them to [-1, 1]. Convolutions keep the size for every odd kernel, padded
    by half of it (the published 3x3 by 1). Pooling comes before the second activation: for a
    monotone activation the same function, on a quarter of the values. Dropout stands before the
    last layer.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        channels: int,
        classes: int,
        kernel_size: int,
        filters: tuple[int, int],
        dropout: float,
    ) -> None:
        """Build the layers for images of `size`, height and width in pixels.

        Raises:
            ValueError: an even kernel, or images of less than 2 pixels.
        """
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to keep the size, but got {kernel_size}")
        if min(size) < 2:
            raise ValueError(f"images must have at least 2x2 pixels, but got {size[0]}x{size[1]}")
        first, second = filters
        self.conv1 = nn.Conv2d(channels, first, kernel_size, padding=kernel_size // 2)
        self.conv2 = nn.Conv2d(first, second, kernel_size, padding=kernel_size // 2)
        self.pool = nn.MaxPool2d(2)
        self.activation = nn.ReLU()
        self.dense = nn.Linear(second * (size[0] // 2) * (size[1] // 2), DENSE_UNITS)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(DENSE_UNITS, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, classes]."""
        x = self.activation(self.conv1(to_signed(images)))
        x = self.activation(self.pool(self.conv2(x)))
        x = self.activation(self.dense(flatten(x)))
        return self.output(self.dropout(x))  # type: ignore[no-any-return]  # calls return Any
