"""Stand-ins for modules: what they answer themselves, and when the real module comes."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainables.stand_ins import StandIn

NAMES = ("costly", "costly.part", "costly.part.deep")


@pytest.fixture
def costly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `costly`, whose part `costly.part` has its number and another part, `deep`."""
    part = tmp_path / "costly" / "part"
    part.mkdir(parents=True)
    (tmp_path / "costly" / "__init__.py").touch()
    (part / "__init__.py").write_text("number = 7\nanswered = 'really'\n")
    (part / "deep.py").write_text("number = 8\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in NAMES:
        sys.modules.pop(name, None)


def put(**answers: object) -> StandIn:
    importlib.import_module("costly")
    stand_in = StandIn("costly.part", **answers)
    stand_in.put()
    return stand_in


def real() -> bool:
    return "number" in vars(sys.modules["costly.part"])


@pytest.mark.usefixtures("costly")
def test_what_it_was_told_it_answers_without_the_module() -> None:
    stand_in = put(answered="here")
    from costly import part  # type: ignore[import-not-found]

    assert part is stand_in
    assert part.answered == "here"
    assert not real()


@pytest.mark.usefixtures("costly")
def test_another_question_brings_the_module_for_all() -> None:
    stand_in = put(answered="here")
    assert stand_in.number == 7
    assert real()
    assert sys.modules["costly"].part is sys.modules["costly.part"]
    assert sys.modules["costly.part"].answered == "really"
    assert stand_in.number == 7  # also of one who still holds the stand-in
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        stand_in.nothing  # noqa: B018


@pytest.mark.usefixtures("costly")
def test_an_import_of_a_part_brings_the_module() -> None:
    put()
    deep = importlib.import_module("costly.part.deep")
    assert deep.number == 8
    assert real()


@pytest.mark.usefixtures("costly")
def test_one_that_was_told_it_is_no_package_stays_when_a_name_is_imported_from_it() -> None:
    put(answered="here", __path__=None)
    exec("from costly.part import answered", {})
    assert not real()


@pytest.mark.usefixtures("costly")
def test_who_looks_at_all_modules_does_not_bring_it() -> None:
    stand_in = put()
    assert inspect.getmodule(lambda: None) is not stand_in
    assert not hasattr(stand_in, "__file__")
    assert not real()


@pytest.mark.usefixtures("costly")
def test_taken_away_it_still_answers_by_the_module() -> None:
    stand_in = put()
    del sys.modules["costly.part"]
    assert stand_in.number == 7
    assert real()
