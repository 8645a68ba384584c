"""What a signal does to a search outside the study itself: before it, and after it."""

import pytest

from search.errors import EXIT_DONE, EXIT_INTERRUPTED
from search.interrupts import EndEarly
from search.session import Session

INTERRUPTED = EndEarly("terminated", asked_for=False)
USED_UP = EndEarly("time budget reached", asked_for=True)


@pytest.mark.parametrize(
    ("began", "end", "code", "told"),
    [
        (False, INTERRUPTED, EXIT_INTERRUPTED, "terminated before the study began; nothing was"),
        (False, USED_UP, EXIT_DONE, "time budget reached before the study began; nothing was"),
        (False, KeyboardInterrupt(), EXIT_INTERRUPTED, "interrupted before the study began; "),
        (True, INTERRUPTED, EXIT_INTERRUPTED, "terminated: everything is kept\n"),
        (True, KeyboardInterrupt(), EXIT_INTERRUPTED, "interrupted: everything is kept\n"),
    ],
)
def test_a_signal_while_data_is_made_or_the_table_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    began: bool,
    end: BaseException,
    code: int,
    told: str,
) -> None:
    def ended(self: Session) -> int:
        raise end

    session = Session.__new__(Session)
    monkeypatch.setattr(session, "_opened", object() if began else None, raising=False)
    monkeypatch.setattr(Session, "_run", ended)
    assert session.run() == code
    assert capsys.readouterr().err.startswith(told)
