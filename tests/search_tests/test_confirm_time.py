"""A confirmation whose time is up before its training begins: no study lies there yet."""

from pathlib import Path

import pytest

from search import catalog, session
from search.confirm import main
from search.interrupts import EndEarly
from search.plan import Plan
from tests.search_tests.toy import EXPERIMENT, begin, drive


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (EndEarly("time budget reached", asked_for=True), 0, "time budget reached before the"),
        (EndEarly("terminated", asked_for=False), 130, "terminated before the study began"),
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
