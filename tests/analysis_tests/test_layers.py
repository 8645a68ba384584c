import pytest

from analysis.layers import main


def table(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in text.splitlines() if line}


def test_the_published_lenet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lenet_beans"]) == 0
    output = capsys.readouterr().out
    rows = table(output)
    # Per layer as published; the shapes by hand: 299 -> 295 -> 147 -> 143 -> 71 -> 67.
    assert rows["conv1"][2:4] == ["295x295x6", "456"]
    assert rows["conv2"][2:4] == ["143x143x16", "2,416"]
    assert rows["conv3"][2:4] == ["67x67x120", "48,120"]
    assert rows["dense"][2:4] == ["50", "26,934,050"]
    assert rows["output"][2:4] == ["3", "153"]
    assert rows["conv1"][-1] == f"{295 * 295 * 6 * 75:,}"
    assert "parameters: 26,985,195, of which 26,985,195 are trained" in output
    # 16 bytes for each of 26,985,195 parameters.
    assert "training at batch 64, at least: 432 MB weights" in output


def test_the_network_that_ran_out_of_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lenet_beans", "--fix", "filters=12/32/240", "--fix", "batch_size=16"]) == 0
    output = capsys.readouterr().out
    assert table(output)["dense"][3] == f"{67 * 67 * 240 * 50 + 50:,}"
    assert "training at batch 16" in output


def test_mistakes_are_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lenet_beans", "--fix", "kernel=9", "--fix", "kernel_size=4"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "no hyperparameter 'kernel'" in lines[0]
    assert "kernel_size must be one of 3, 5, 7" in lines[1]


def test_an_unknown_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lenet"]) == 2
    assert "did you mean lenet_beans" in capsys.readouterr().err
