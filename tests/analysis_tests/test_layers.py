from dataclasses import replace

import pytest

from analysis.layers import layers_of, main
from search.catalog import find
from trainables import shapes


def table(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in text.splitlines() if line}


def parts(text: str) -> dict[str, int]:
    """What follows the predicted peak: MiB by what they are."""
    lines = text.split("predicted at the peak")[1].strip().splitlines()[1:]
    return {
        words: int(size.replace(",", ""))
        for size, words in (line.strip().split("  ", 1) for line in lines)
    }


def test_the_published_lenet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lenet_beans"]) == 0
    output = capsys.readouterr().out
    heading = "lenet_beans, for images of 299x299 with 3 channels in 3 classes, as published"
    assert output.splitlines()[0] == heading
    rows = table(output)
    # Per layer as published; the shapes by hand: 299 -> 295 -> 147 -> 143 -> 71 -> 67.
    assert rows["conv1"][2:4] == ["295x295x6", "456"]
    assert rows["conv2"][2:4] == ["143x143x16", "2,416"]
    assert rows["conv3"][2:4] == ["67x67x120", "48,120"]
    assert rows["dense"][2:4] == ["50", "26,934,050"]
    assert rows["output"][2:4] == ["3", "153"]
    assert rows["conv1"][-1] == f"{295 * 295 * 6 * 75:,}"
    assert "parameters: 26,985,195, of which 26,985,195 are trained" in output
    assert "training at batch 64 on a CPU, stage train: " in output
    found = parts(output)
    # 26,985,195 weights of 4 bytes and two moments of each, in MiB; 1,034 and 133 images.
    assert found["weights, frozen ones of what is trained included"] == 103
    assert found["the optimizer's state"] == 206
    assert found["images, or stored activations in their place"] == round(
        1167 * (299 * 299 * 3 + 8) / 2**20
    )
    total = int(output.split(" MiB predicted")[0].rsplit(" ", 1)[1].replace(",", ""))
    assert total == pytest.approx(sum(found.values()), abs=5)  # each is rounded


def test_images_of_another_size_are_not_as_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lenet_beans", "--fix", "image_size=64"]) == 0
    said = (
        "lenet_beans, for images of 64x64 with 3 channels in 3 classes, published with 299x299\n"
    )
    assert capsys.readouterr().out.startswith(said)


def test_the_network_that_ran_out_of_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lenet_beans", "--fix", "filters=12/32/240", "--fix", "batch_size=16"]) == 0
    output = capsys.readouterr().out
    assert table(output)["dense"][3] == f"{67 * 67 * 240 * 50 + 50:,}"
    assert "training at batch 16" in output


# Trained as published: without the scales of batch norm; 23,904,035 count mean and variance, too.
@pytest.mark.parametrize(
    ("blocks", "trained"), [(0, 2_101_251), (2, 13_216_131), (3, 14_913_155), (6, 20_431_747)]
)
def test_inception_at_every_published_depth(
    blocks: int, trained: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inception_beans", "--fix", f"unfreeze_blocks={blocks}"]) == 0
    output = capsys.readouterr().out
    rows = [line.split() for line in output.splitlines() if " Conv2d " in line]
    assert len(rows) == 94
    assert sum(row[4] == "yes" for row in rows) == {0: 0, 2: 18, 3: 24, 6: 54}[blocks]
    # 17,216 channels of batch norms: a scale in the table, a mean and a variance as published.
    told = "parameters: 23,904,035 (above 23,886,819: other numbers of batch norms)"
    assert f"{told}, of which {trained:,} are trained" in output
    assert f"stage {'finetune' if blocks else 'head'}: " in output


@pytest.mark.parametrize(("frozen", "trained"), [(2, 103_818), (1, 120_234)])
def test_the_transfer_trains_what_is_not_frozen(
    frozen: int, trained: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cifar10_transfer", "--fix", f"frozen_layers={frozen}"]) == 0
    output = capsys.readouterr().out
    rows = table(output)
    assert rows["conv1"][2:5] == ["29x29x32", "1,568", f"{29 * 29 * 32 * 2:,}"]
    assert rows["conv2"][4] == ("yes" if frozen == 1 else f"{11 * 11 * 32 * 2:,}")
    assert f"parameters: 121,802, of which {trained:,} are trained" in output


@pytest.mark.parametrize(
    ("name", "parameters"), [("mnist_cnn", "1,625,866"), ("cifar10_net", "537,610")]
)
def test_networks_that_are_trained_whole(
    name: str, parameters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 0
    output = capsys.readouterr().out
    assert f"parameters: {parameters}, of which {parameters} are trained" in output
    assert "stage train: " in output


@pytest.mark.parametrize(
    ("name", "dense"),
    [
        ("mnist_cnn", 12 * 18 * 64 * 128 + 128),  # as large after each 3x3, then half
        # Two less after each 3x3, then half: 22 x 34, 11 x 17; 9 x 15, 4 x 7; 2 x 5, 1 x 2.
        ("cifar10_net", 1 * 2 * 256 * 128 + 128),
    ],
)
def test_images_that_are_not_square(
    name: str, dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = shapes.published(find(name).dataset)
    image = (24, 36, given.image[-1])
    monkeypatch.setattr(shapes, "published", lambda _: replace(given, image=image))
    layers = layers_of(find(name), find(name).defaults())
    assert dense in [layer.parameters for layer in layers]


def test_mistakes_are_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lenet_beans", "--fix", "kernel=9", "--fix", "kernel_size=4"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "no hyperparameter 'kernel'" in lines[0]
    assert "kernel_size must be one of 3, 5, 7" in lines[1]


def test_values_that_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--fix", "source_classes=0,1", "--fix", "target_classes=1,2"]
    assert main(["cifar10_transfer", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "1" in err


def test_an_unknown_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lenet"]) == 2
    assert "did you mean lenet_beans" in capsys.readouterr().err
