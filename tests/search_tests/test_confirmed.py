"""confirm.json as every reader gets it: whole, or told to be damaged."""

from pathlib import Path

import pytest

from search.confirmed import read_confirmation
from trainables.errors import TrellisError


def test_a_study_that_was_not_confirmed_has_none(tmp_path: Path) -> None:
    assert read_confirmation(tmp_path) is None


def test_what_is_there_is_returned(tmp_path: Path) -> None:
    (tmp_path / "confirm.json").write_text('{"configurations": [{"group": "a"}]}')
    assert read_confirmation(tmp_path) == {"configurations": [{"group": "a"}]}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"a": ', "Expecting value"),
        ("[1]", "it has no configurations"),
        ("{}", "it has no configurations"),
        ('{"configurations": []}', "it has no configurations"),
        ('{"configurations": {"a": 1}}', "it has no configurations"),
    ],
)
def test_damage_is_told(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "confirm.json").write_text(text)
    with pytest.raises(TrellisError, match=rf"confirm\.json is damaged: {what}"):
        read_confirmation(tmp_path)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "confirm.json").mkdir()
    with pytest.raises(TrellisError, match=r"confirm\.json is damaged: .*Is a directory"):
        read_confirmation(tmp_path)
