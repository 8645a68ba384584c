"""The network of the published transfer study: two valid 4x4 convolutions, two dense layers.

At 32x32x3: 1,568 and 16,416 parameters in the convolutions. Source, dense 256 and 5 classes:
205,056 and 1,285. Target, dense 128 and 10 classes: 102,528 and 1,290.
"""

from torch import Tensor, nn

from trainables.nets.parts import flatten

FILTERS = 32
KERNEL_SIZE = 4
# What two convolutions and poolings leave at least one pixel of: 13, 10, 5, 2, 1.
SMALLEST = 13


def pooled_side(pixels: int) -> int:
    """Return the pixels of a side after twice convolution (three less) and pooling (half).

    Raises:
        ValueError: none are left.
    """
    if pixels < SMALLEST:
        raise ValueError(f"images must have at least {SMALLEST}x{SMALLEST} pixels; got {pixels}")
    for _ in range(2):
        pixels = (pixels - KERNEL_SIZE + 1) // 2
    return pixels


class TransferNet(nn.Module):
    """Images [n, channels, height, width] float, in [0, 1] -> logits [n, classes].

    The first `frozen_layers` convolutions (0, 1 or 2) do not learn; a pooling and an activation
    belong to each. Pooling comes before the activation: for a monotone activation the same
    function, on a quarter of the values. Dropout stands before the last layer.
    """

    def __init__(
        self,
        *,
        frozen_layers: int,
        size: tuple[int, int],
        channels: int,
        classes: int,
        dense_width: int,
        dropout: float,
    ) -> None:
        """Build the layers for images of `size`, height and width in pixels.

        Raises:
            ValueError: there are not so many convolutions, or images of less than 13 pixels.
        """
        super().__init__()
        if frozen_layers not in (0, 1, 2):
            raise ValueError(f"frozen_layers must be 0, 1 or 2, but got {frozen_layers}")
        self.frozen_layers = frozen_layers
        self.conv1 = nn.Conv2d(channels, FILTERS, KERNEL_SIZE)
        self.conv2 = nn.Conv2d(FILTERS, FILTERS, KERNEL_SIZE)
        self.pool = nn.MaxPool2d(2)
        self.activation = nn.ReLU()
        self.dense = nn.Linear(FILTERS * pooled_side(size[0]) * pooled_side(size[1]), dense_width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dense_width, classes)
        for convolution in self.frozen():
            convolution.requires_grad_(False)

    def frozen(self) -> tuple[nn.Module, ...]:
        """Return the convolutions that do not learn, the first one first."""
        return (self.conv1, self.conv2)[: self.frozen_layers]

    def head(self, images: Tensor) -> Tensor:
        """Return what the frozen convolutions make of images: [n, channels, height, width]."""
        x = images
        for convolution in self.frozen():
            x = self.activation(self.pool(convolution(x)))
        return x

    def tail(self, features: Tensor) -> Tensor:
        """Return the logits that belong to the output of `head`."""
        x = features
        for convolution in (self.conv1, self.conv2)[self.frozen_layers :]:
            x = self.activation(self.pool(convolution(x)))
        x = self.activation(self.dense(flatten(x)))
        return self.output(self.dropout(x))  # type: ignore[no-any-return]  # calls return Any

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, classes]."""
        return self.tail(self.head(images))


class TransferTail(TransferNet):
    """The same network with all its weights, fed with the output of its frozen convolutions."""

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [n, classes] of features [n, channels, height, width]."""
        return self.tail(features)
