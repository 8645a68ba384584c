"""Exported tables: the columns in front that tell of which study, data and weights a row is."""

from pathlib import Path

import pandas as pd
import pytest

from search.tables import write_tables
from tests.analysis_tests.studies import study


@pytest.mark.parametrize(
    ("experiment", "weights", "front"),
    [
        ("lenet_beans", None, {"study": "s", "data": "tfds"}),
        ("inception_beans", "random", {"study": "s", "data": "tfds", "weights": "random"}),
    ],
)
def test_weights_are_named_where_a_study_has_any(
    experiment: str, weights: str | None, front: dict[str, str], tmp_path: Path
) -> None:
    folder = study(tmp_path / "s", experiment, [{}], [{}, {"epoch": 2}], weights=weights)
    paths = write_tables(folder, tmp_path / "out.csv", "csv")
    assert [path.name for path in paths] == ["out.csv", "out-curves.csv"]
    for path, length in zip(paths, (1, 2), strict=True):
        table = pd.read_csv(path)
        assert table.columns.tolist()[: len(front) + 1] == [*front, "trial"]
        assert table[list(front)].to_dict("records") == [front] * length
