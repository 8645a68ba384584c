import pytest
import torch
from torch import nn
from torch.nn import functional

from trainables.nets.lenet import LeNet
from trainables.trace import trace


def conv5_10_net() -> nn.Module:
    """The published example: input 32x32x1; conv5-10; pool2; conv5-10; pool2; FC-10; padding 2."""
    return nn.Sequential(
        nn.Conv2d(1, 10, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Conv2d(10, 10, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(640, 10),
    )


def test_the_published_table_of_layers() -> None:
    layers = [layer for layer in trace(conv5_10_net(), (1, 32, 32)) if layer.kind != "Flatten"]
    assert [layer.parameters for layer in layers] == [260, 0, 2510, 0, 6410]
    assert [layer.output for layer in layers] == [
        (32, 32, 10),
        (16, 16, 10),
        (16, 16, 10),
        (8, 8, 10),
        (10,),
    ]
    # By hand: every output value of a convolution takes kernel x kernel x input channels.
    assert [layer.multiply_adds for layer in layers] == [
        32 * 32 * 10 * 25,
        0,
        16 * 16 * 10 * 250,
        0,
        640 * 10,
    ]
    assert [layer.activation_bytes for layer in layers] == [
        2 * 10240,
        (2 + 8) * 2560,
        2 * 2560,
        (2 + 8) * 640,
        2 * 10,
    ]


def test_the_published_worked_convolution() -> None:
    image = torch.tensor([[1.0, 3, 1], [0, -1, 1], [2, 2, -1]])
    kernel = torch.tensor([[-2.0, -2, 1], [-2, 0, 1], [1, 1, 1]])
    output = functional.conv2d(image[None, None], kernel[None, None], padding=1)
    assert output[0, 0].tolist() == [[2, -1, -6], [4, -3, -5], [1, -2, -4]]


def test_the_largest_network_costs_no_memory() -> None:
    with torch.device("meta"):
        model = LeNet(
            image_size=299,
            channels=3,
            classes=3,
            kernel_size=5,
            filters=(12, 32, 240),
            dropout=0.0,
        )
    layers = trace(model, (3, 299, 299))
    dense = next(layer for layer in layers if layer.name == "dense")
    assert dense.parameters == 67 * 67 * 240 * 50 + 50
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_a_layer_that_does_not_learn_says_so() -> None:
    model = conv5_10_net()
    model[0].requires_grad_(False)
    layers = trace(model, (1, 32, 32))
    assert [layer.trainable for layer in layers][:3] == [False, False, True]
    assert [layer.trained for layer in layers] == [0, 0, 2510, 0, 0, 6410]


def test_a_recurrent_layer_counts_by_its_outputs_not_its_states() -> None:
    class Rows(nn.Module):
        """Reads an image row by row."""

        def __init__(self) -> None:
            super().__init__()
            self.reader = nn.GRU(8, 5, batch_first=True)
            self.dense = nn.Linear(5, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            outputs, _ = self.reader(images[:, 0])
            return self.dense(outputs[:, -1])

    reader, dense = trace(Rows(), (1, 6, 8))
    assert (reader.kind, reader.output) == ("GRU", (6, 5))
    assert reader.parameters == 3 * (5 * 8 + 5 * 5 + 5 + 5)
    assert dense.output == (2,)


def test_an_example_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"an example \(3, 32, 32\) does not fit"):
        trace(conv5_10_net(), (3, 32, 32))
