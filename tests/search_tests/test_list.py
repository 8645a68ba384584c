import pytest

from search.run import main


def test_the_catalog_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("lenet_beans"))
    words = row.split()
    assert words[:2] == ["lenet_beans", "beans"]
    assert "24 x 20" in row  # the published 20 epochs
    assert "0.6953" in words
    assert lines[0].split()[:3] == ["experiment", "data", "quick"]
    assert all(line == line.rstrip() for line in lines)
