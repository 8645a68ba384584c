"""The searcher as Ray Tune calls it, without a Ray: what it hands out when, and to whom alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.tune.search import Searcher

from search.book import Book
from search.passed import NUMBER
from search.plan import Plan
from search.resources import Resources
from search.retries import Death
from search.searcher import StudySearcher
from search.shares import Shares
from tests.search_tests.toy import begin, row

MEMORY = Death("killed by the kernel", memory=True)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    plan = Plan(trials=3, max_epochs=2, seed=5, sampler="random", stopper="none")
    opened = begin(plan, tmp_path / "s")
    yield opened.book
    opened.close()


@pytest.fixture
def deaths() -> dict[str, Death]:
    return {}


@pytest.fixture
def searcher(book: Book, deaths: dict[str, Death]) -> StudySearcher:
    job = {"experiment": "toy"}
    return StudySearcher(book, job, deaths, Shares(Resources(1, 0.0, 3, 700.0), job))


def complete(searcher: StudySearcher, book: Book, name: str, number: int) -> None:
    book.report(number, row(1, 0.5))
    book.end(number, "completed")
    searcher.on_trial_complete(name)


def test_it_says_finished_only_when_nothing_runs_that_may_have_to_come_again(
    searcher: StudySearcher, book: Book
) -> None:
    given = [searcher.suggest(name) for name in "abc"]
    assert [each[NUMBER] for each in given] == [0, 1, 2]
    assert searcher.suggest("d") is None
    for name, number in (("a", 0), ("b", 1)):
        complete(searcher, book, name, number)
        assert searcher.suggest("d") is None
    searcher.on_trial_complete("c", error=True)
    again = searcher.suggest("d")
    assert again[NUMBER] == 2
    assert again["config"] == given[2]["config"]
    assert again["seed"] == given[2]["seed"]
    complete(searcher, book, "d", 2)
    assert searcher.suggest("e") == Searcher.FINISHED


def test_one_that_memory_killed_beside_others_waits_until_it_is_alone(
    searcher: StudySearcher,
    book: Book,
    deaths: dict[str, Death],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert [searcher.suggest(name)[NUMBER] for name in "ab"] == [0, 1]
    deaths["b"] = MEMORY
    searcher.on_trial_complete("b", error=True)
    assert "trial 1: killed by the kernel; it is tried once more" in capsys.readouterr().err
    assert searcher.suggest("c") is None  # neither this one beside trial 0, nor a new one
    complete(searcher, book, "a", 0)
    assert searcher.suggest("c")[NUMBER] == 1
    assert searcher.suggest("d") is None  # and nobody beside it
    deaths["c"] = MEMORY
    searcher.on_trial_complete("c", error=True)
    assert book.records[1].status == "infeasible"
    assert searcher.suggest("d")[NUMBER] == 2


def test_two_that_memory_killed_are_tried_one_after_the_other(
    searcher: StudySearcher, book: Book, deaths: dict[str, Death]
) -> None:
    for name in "abc":
        searcher.suggest(name)
    for name in "ab":
        deaths[name] = MEMORY
        searcher.on_trial_complete(name, error=True)
    complete(searcher, book, "c", 2)
    first = searcher.suggest("d")[NUMBER]
    assert searcher.suggest("e") is None
    complete(searcher, book, "d", first)
    second = searcher.suggest("e")[NUMBER]
    assert {first, second} == {0, 1}
    complete(searcher, book, "e", second)
    assert searcher.suggest("f") == Searcher.FINISHED


def test_one_whose_gpu_others_fill_goes_on(
    searcher: StudySearcher,
    book: Book,
    deaths: dict[str, Death],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert searcher.suggest("a")[NUMBER] == 0
    deaths["a"] = Death("other programs hold its GPU's memory", outside=True)
    searcher.on_trial_complete("a")  # its worker lives
    assert "trial 0: other programs hold its GPU's memory; it begins" in capsys.readouterr().err
    assert deaths == {}
    assert searcher.suggest("b")[NUMBER] == 0
    complete(searcher, book, "b", 0)
    assert book.records[0].status == "completed"
