"""A confirmation that is ended before its training begins, or between that and the judging."""

from pathlib import Path

import pytest

from search import catalog, confirmation, session
from search.confirm import main
from search.interrupts import EndEarly
from search.past import read_records
from search.plan import Plan
from search.records import Record
from tests.search_tests.toy import EXPERIMENT, begin, drive


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (EndEarly("time budget reached", asked_for=True), 0, "time budget reached: no study"),
        (EndEarly("terminated", asked_for=False), 130, "terminated: no study was begun; "),
    ],
)
def test_what_ends_it_before_it_begins_is_told(
    end: EndEarly,
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ended(*_: object) -> None:
        raise end

    monkeypatch.setitem(catalog.EXPERIMENTS, "toy", EXPERIMENT)
    monkeypatch.setattr(session, "open_data", ended)
    opened = begin(Plan(2, 2, fixed={"rate": 0.01}), tmp_path / "s")
    drive(opened.book)
    opened.close()
    words = ["s", "--results-dir", str(tmp_path), "--time-budget", "1h"]
    assert main(words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(told)
    assert "journal" not in err
    assert not (tmp_path / "s" / "confirm").exists()


def test_a_signal_between_training_and_judging_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Trained:
        """In the place of the session: the training has ended."""

        def __init__(self, *_: object) -> None:
            folder = tmp_path / "s" / "confirm"
            folder.mkdir()
            (folder / "study.json").write_text("{}")

        def run(self) -> int:
            return 0

    def read(folder: Path) -> list[Record]:
        if folder.name == "confirm":
            raise EndEarly("terminated", asked_for=False)
        return read_records(folder)

    monkeypatch.setitem(catalog.EXPERIMENTS, "toy", EXPERIMENT)
    monkeypatch.setattr(confirmation, "Session", Trained)
    monkeypatch.setattr(confirmation, "read_records", read)
    opened = begin(Plan(2, 2, fixed={"rate": 0.01}), tmp_path / "s")
    drive(opened.book)
    opened.close()
    assert main(["s", "--results-dir", str(tmp_path)]) == 130
    assert capsys.readouterr().err.endswith("terminated: go on by the same command\n")
