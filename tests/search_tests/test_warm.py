"""Warm starts: what is taken over from earlier studies, what is refused, what a resume does."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.table import render_best
from search import warm
from search.catalog import find
from search.errors import ResumeRefused, StudyFailed
from search.manifest import donors_of
from search.options import Mistakes, build_parser
from search.past import ranked, read_records
from search.plan import Plan, listed, published
from search.read_plan import read_plan
from search.records import Record
from search.study import go_on
from search.warm import Inherited, read_warm_start
from tests.search_tests.toy import DEFAULTS, EXPERIMENT, Toy, begin, drive, manifest
from tests.search_tests.toy import go_on as toy_go_on

PLAN = Plan(trials=6, max_epochs=4, seed=5, sampler="random")


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A finished study of the toy: its folder."""
    opened = begin(PLAN, tmp_path / "earlier")
    drive(opened.book)
    opened.close()
    return tmp_path / "earlier"


def read(
    folder: Path, *words: str, fixed: dict[str, Any] | None = None, trials: int = 8
) -> tuple[tuple[Inherited, ...], list[str]]:
    wrong = Mistakes()
    found = read_warm_start(words, folder.parent, EXPERIMENT, fixed or {}, trials, wrong)
    return found, wrong


def test_the_best_come_first_and_the_published_one_is_left_out(earlier: Path) -> None:
    records = read_records(earlier)
    order = [each.number for each in ranked(records)]
    accuracies = {each.number: each.val_accuracy for each in records}
    assert len(order) > 2
    assert [accuracies[n] for n in order] == sorted((accuracies[n] for n in order), reverse=True)
    found, wrong = read(earlier, "earlier")
    assert wrong == []
    assert [each.trial for each in found] == [n for n in order if n != 0][: warm.MOST]
    assert all(each.config == records[each.trial].config for each in found)
    assert {each.study for each in found} == {"earlier"}


def test_a_path_names_a_study_too_and_a_study_counts_once(earlier: Path) -> None:
    by_name, _ = read(earlier, "earlier")
    assert read(earlier, str(earlier), str(earlier)) == (by_name, [])


def test_what_is_held_wins_and_repeats_go(earlier: Path) -> None:
    found, _ = read(earlier, "earlier", fixed={"rate": 1e-3, "kind": "a"})
    configs = [each.config for each in found]
    assert configs
    assert all(c["rate"] == 1e-3 and c["kind"] == "a" for c in configs)
    assert len({json.dumps(dict(c)) for c in configs}) == len(configs)


def test_studies_take_turns(earlier: Path) -> None:
    opened = begin(replace(PLAN, seed=8), earlier.parent / "other")
    drive(opened.book)
    opened.close()
    found, _ = read(earlier, "earlier", "other")
    assert [each.study for each in found[:4]] == ["earlier", "other", "earlier", "other"]
    assert len(found) == warm.MOST == 5


def test_the_published_trial_is_counted_in_the_trials(earlier: Path) -> None:
    whole, _ = read(earlier, "earlier")
    assert read(earlier, "earlier", trials=3) == (whole[:2], [])
    assert read(earlier, "earlier", trials=1) == (
        (),
        ["--warm-start: --trials 1 leaves no trial after the published configuration"],
    )


class Other(Toy):
    """Another space that shares the names rate and kind with the toy's, not all their values."""

    def space(self) -> Any:
        def space(trial: Any) -> dict[str, Any]:
            return {
                "rate": trial.suggest_float("rate", 1e-4, 2e-3, log=True),
                "kind": trial.suggest_categorical("kind", ["b", "c"]),
                "width": trial.suggest_int("width", 1, 9),
            }

        return space

    def defaults(self) -> dict[str, Any]:
        return {"rate": 5e-4, "kind": "c", "width": 4}


def test_of_another_space_the_shared_part_is_taken(tmp_path: Path) -> None:
    root = tmp_path / "earlier"
    opened = begin(replace(PLAN, trials=1, fixed={"rate": 1e-3, "kind": "b"}), root)
    drive(opened.book)
    opened.close()
    other, wrong = Other("other", "", "beans", None, EXPERIMENT.presets, None), Mistakes()
    found = read_warm_start(["earlier"], tmp_path, other, {}, 8, wrong)
    assert wrong == []
    assert found == (Inherited("earlier", 0, {"rate": 1e-3, "kind": "b", "width": 4}),)


def test_a_value_that_the_space_does_not_take_stays_as_published(tmp_path: Path) -> None:
    root = tmp_path / "earlier"
    opened = begin(replace(PLAN, trials=1, fixed={"rate": 1e-2, "kind": "b"}), root)
    drive(opened.book)
    opened.close()
    other, wrong = Other("other", "", "beans", None, EXPERIMENT.presets, None), Mistakes()
    found = read_warm_start(["earlier"], tmp_path, other, {}, 8, wrong)
    assert [each.config for each in found] == [{"rate": 5e-4, "kind": "b", "width": 4}]
    assert wrong == []


def test_other_classes_are_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transfer = find("cifar10_transfer")
    config = {**transfer.defaults(), "source_classes": "0,1,2", "dropout": 0.3}
    record = replace(ranked_one(), config=config)
    monkeypatch.setattr(warm, "read_records", lambda _: [record])
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "study.json").write_text("{}")
    found = read_warm_start(["old"], tmp_path, transfer, {}, 8, Mistakes())
    assert [each.config for each in found] == [{**transfer.defaults(), "dropout": 0.3}]


def ranked_one() -> Record:
    return Record(4, "completed", {}, 1, ({"epoch": 1, "val_accuracy": 0.5},))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nowhere", r"--warm-start nowhere: no study 'nowhere' in .*nearest: "),
        ("empty", r"--warm-start empty: .*journal.log is missing or empty"),
        ("unfinished", r"--warm-start unfinished: none of its trials has finished"),
        (
            "published",
            r"nothing of it can be used: .* what toy searches .* of depth, drop, kind, ra",
        ),
    ],
)
def test_a_study_of_no_use_is_refused(word: str, message: str, tmp_path: Path) -> None:
    for name in ("empty", "unfinished", "published"):
        opened = begin(replace(PLAN, trials=1), tmp_path / name)
        if name != "published":
            assert opened.book.next() is not None
        else:
            drive(opened.book)
        opened.close()
    (tmp_path / "empty" / "journal.log").write_text("")
    found, wrong = read(tmp_path / "x", word)
    assert found == ()
    assert len(wrong) == 1
    assert re.search(message, wrong[0])


def test_a_damaged_journal_is_told(earlier: Path) -> None:
    lines = (earlier / "journal.log").read_text().splitlines(keepends=True)
    (earlier / "journal.log").write_text("".join([*lines[:3], "x\n", *lines[4:]]))
    with pytest.raises(StudyFailed, match=r"journal\.log is damaged: it cannot be replayed"):
        read_records(earlier)


def test_a_line_that_is_being_written_is_left_out(earlier: Path) -> None:
    whole = read_records(earlier)
    with (earlier / "journal.log").open("a") as file:
        file.write('{"op_code": 8, "tri')
    assert read_records(earlier) == whole


def parsed(results: Path, *words: str) -> Any:
    return build_parser().parse_args(["toy", "--results-dir", str(results), *words])


def test_a_plan_has_them_after_the_published_one(earlier: Path) -> None:
    wrong = Mistakes()
    given = parsed(earlier.parent, "--trials", "3", "--warm-start", "earlier", "--seed", "2")
    plan = read_plan(given, {}, EXPERIMENT, wrong)
    assert plan is not None
    assert len(plan.warm_start) == 2
    configs = [dict(each.config) for each in plan.warm_start]
    assert listed(EXPERIMENT, plan) == [published(EXPERIMENT, plan), *configs]
    grid = replace(plan, sampler="grid", trials=6)
    assert listed(EXPERIMENT, grid)[:3] == listed(EXPERIMENT, plan)
    assert len({repr(sorted(c.items())) for c in listed(EXPERIMENT, grid)}) == 6
    told = plan.as_json()["warm_start"]
    assert told == [
        {"study": "earlier", "trial": each.trial, "config": dict(each.config)}
        for each in plan.warm_start
    ]


def test_a_study_that_goes_on_keeps_what_it_took_over(earlier: Path, tmp_path: Path) -> None:
    """Whatever its donor has found since, or if that is gone; other donors are read anew."""
    wrong = Mistakes()
    words = ("--trials", "3", "--warm-start", "earlier")
    plan = read_plan(parsed(earlier.parent, *words), {}, EXPERIMENT, wrong)
    assert plan is not None
    old = json.loads(json.dumps(plan.as_json()))
    for name in ("earlier", str(earlier), f"{earlier}/"):
        gone = parsed(tmp_path / "nowhere", *words[:3], name)
        assert read_plan(gone, old, EXPERIMENT, wrong) == plan
    assert wrong == []
    other = parsed(tmp_path / "nowhere", *words, "another")
    read_plan(other, old, EXPERIMENT, wrong)
    assert [line.partition(":")[0] for line in wrong] == [
        "--warm-start earlier",
        "--warm-start another",
    ]


def test_a_donor_that_had_no_place_may_be_named_again(earlier: Path, tmp_path: Path) -> None:
    """Two trials: one donor has the place beside the published configuration, the other none."""
    wrong = Mistakes()
    words = ("--trials", "2", "--warm-start", "earlier", "later")
    shutil.copytree(earlier, earlier.with_name("later"))
    plan = read_plan(parsed(earlier.parent, *words), {}, EXPERIMENT, wrong)
    assert plan is not None
    assert [each.study for each in plan.warm_start] == ["earlier"]
    old = json.loads(json.dumps(plan.as_json()))
    begun = donors_of({"command": ["python", "-m", "search.run", "toy", *words, "--seed", "0"]})
    assert begun == ["earlier", "later"]
    gone = parsed(tmp_path / "nowhere", *words)
    assert read_plan(gone, old, EXPERIMENT, wrong, begun) == plan
    assert wrong == []
    read_plan(gone, old, EXPERIMENT, wrong, ["earlier"])  # the other is a new one
    assert len(wrong) == 2


def test_it_does_not_go_with_a_sweep(earlier: Path) -> None:
    wrong = Mistakes()
    given = parsed(earlier.parent, "--sweep", "drop", "--warm-start", "earlier")
    assert read_plan(given, {}, EXPERIMENT, wrong) is None
    assert wrong == ["--warm-start does not go with --sweep: a sweep tries what it names alone"]


def test_they_are_trained_first_told_apart_and_kept_on_resume(earlier: Path) -> None:
    results = earlier.parent
    given = parsed(results, "--trials", "6", "--max-epochs", "4", "--warm-start", "earlier")
    wrong = Mistakes()
    plan = read_plan(given, {}, EXPERIMENT, wrong)
    assert plan is not None
    root = results / "new"
    opened = begin(plan, root)
    for _ in range(2):
        assert opened.book.next() is not None
    opened.close()
    old = json.loads((root / "study.json").read_text())
    # The earlier study may be gone by now: study.json has all of it.
    resumed = read_plan(parsed(results, "--resume"), old["budget"], EXPERIMENT, wrong)
    assert resumed == plan
    opened = toy_go_on(plan, root)
    drive(opened.book)
    records = opened.book.records
    opened.close()
    count = len(plan.warm_start)
    assert count >= 2
    assert [records[n + 1].config for n in range(count)] == [e.config for e in plan.warm_start]
    text = render_best(root, 3)
    first = plan.warm_start[0]
    assert f"warm start, trials 1 from earlier trial {first.trial}, 2 from earlier" in text
    assert f"{count} trials: " in text.split("warm start")[1]
    assert f"the others: {6 - count} trials: " in text


def test_a_resume_with_another_start_is_refused(earlier: Path) -> None:
    results = earlier.parent
    given = parsed(results, "--trials", "6", "--warm-start", "earlier")
    plan = read_plan(given, {}, EXPERIMENT, Mistakes())
    assert plan is not None
    begin(plan, results / "new").close()
    without = replace(plan, warm_start=())
    with pytest.raises(ResumeRefused, match=r"budget\.warm_start: the study has \[\{"):
        go_on(EXPERIMENT, without, results / "new", manifest(without))


def test_a_study_from_before_there_were_any_goes_on(tmp_path: Path) -> None:
    assert DEFAULTS
    begin(PLAN, tmp_path / "s").close()
    assert "warm_start" not in json.loads((tmp_path / "s" / "study.json").read_text())["budget"]
    toy_go_on(PLAN, tmp_path / "s").close()
