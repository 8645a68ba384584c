"""A kill between the row of an epoch and its value, and a trial that does not do it again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.report_study import epoch_rows
from search.book import Book
from search.journal import StudyStorage
from search.plan import Plan
from search.records import epoch_key
from tests.search_tests.test_book import again, frozen, killed
from tests.search_tests.toy import begin, row


@pytest.fixture
def torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """A study after a kill: trial 0 has an epoch, and the row of a second without its value."""
    book = begin(Plan(trials=3, max_epochs=4, sampler="random"), tmp_path / "s").book
    assert book.next() is not None
    book.report(0, row(1, 0.5))
    with monkeypatch.context() as patch:
        patch.setattr(StudyStorage, "set_trial_intermediate_value", killed)
        with pytest.raises(InterruptedError):
            book.report(0, row(2, 0.6))
    return again(book)


def end_as(status: str) -> Callable[[Book], Any]:
    return lambda book: book.end(0, status, "no")


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (end_as("infeasible"), "infeasible"),
        (end_as("failed"), "failed"),
        (lambda book: book.report(0, row(2, 0.6, train_loss=float("nan"))), "infeasible"),
    ],
)
def test_the_study_can_be_opened_again(
    end: Callable[[Book], Any], status: str, torn: Book
) -> None:
    assert frozen(torn, 0).user_attrs[epoch_key(2)]["val_accuracy"] == 0.6
    assert list(frozen(torn, 0).intermediate_values) == [1]
    end(torn)
    record = again(torn).records[0]
    assert (record.status, [each["epoch"] for each in record.rows]) == (status, [1])
    # What a report reads of the journal, too.
    assert [each["epoch"] for each in epoch_rows(frozen(torn, 0))] == [1]


def test_an_epoch_that_is_done_again_counts(torn: Book) -> None:
    given = torn.next()
    assert given is not None
    assert (given.number, [each["epoch"] for each in given.told]) == (0, [1])
    torn.report(0, row(2, 0.7))
    torn.end(0, "failed", "no")
    record = again(torn).records[0]
    assert [each["val_accuracy"] for each in record.rows] == [0.5, 0.7]
