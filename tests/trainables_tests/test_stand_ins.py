"""Stand-ins for modules: what they answer themselves, and when the real module comes."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

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
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield tmp_path
    for name in NAMES:
        sys.modules.pop(name, None)


def put(flat: bool = False, **answers: object) -> StandIn:
    importlib.import_module("costly")
    stand_in = StandIn("costly.part", **answers)
    stand_in.put(flat)
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
def test_a_part_that_comes_with_the_module_is_executed_once(costly: Path) -> None:
    (costly / "costly" / "part" / "__init__.py").write_text("from costly.part import deep\n")
    (costly / "costly" / "part" / "deep.py").write_text("class Wrong(Exception): ...\n")
    put()
    from costly.part.deep import Wrong  # type: ignore[import-not-found]

    deep = sys.modules["costly.part.deep"]
    assert sys.modules["costly.part"].deep is deep
    assert deep.Wrong is Wrong
    assert deep.__spec__ is not None
    assert deep.__spec__.loader is deep.__loader__
    assert importlib.reload(deep).Wrong is not Wrong  # asked for, it is executed again


@pytest.mark.usefixtures("costly")
def test_a_flat_one_stays_when_a_name_is_imported_from_it() -> None:
    put(flat=True, answered="here")
    exec("from costly.part import answered", {})
    assert not real()


@pytest.mark.usefixtures("costly")
def test_for_other_threads_a_flat_one_is_a_package() -> None:
    put(flat=True)
    found: list[int] = []
    other = Thread(target=lambda: found.append(importlib.import_module("costly.part.deep").number))
    other.start()
    other.join()
    assert found == [8]
    assert real()


@pytest.mark.usefixtures("costly")
def test_who_looks_at_all_modules_does_not_bring_it() -> None:
    stand_in = put()
    assert inspect.getmodule(lambda: None) is not stand_in
    assert not hasattr(stand_in, "__file__")
    assert not real()


@pytest.mark.usefixtures("costly")
def test_taken_away_it_answers_by_the_module_alone() -> None:
    stand_in = put(flat=True, answered="here")
    stand_in.take_away()
    assert "costly.part" not in sys.modules
    assert not hasattr(sys.modules["costly"], "part")
    assert stand_in.answered == "really"
    assert stand_in.number == 7
    assert sys.modules["costly"].part is sys.modules["costly.part"]
    assert stand_in.__path__ == sys.modules["costly.part"].__path__


@pytest.mark.usefixtures("costly")
def test_taken_away_it_leaves_the_module_that_has_come() -> None:
    stand_in = put()
    assert stand_in.number == 7
    stand_in.take_away()
    assert real()
    assert sys.modules["costly"].part.number == 7
