"""search.studies list, show, remove and the tables of export."""

import errno
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from search import journal, studies
from search.overview import age, is_driven, overview, size, study_folders
from search.plan import Plan
from search.planned import trials_in_all
from search.studies_text import interval, list_text, show_text
from tests.search_tests.toy import begin, drive

STUDY_FILES = ("study.json", "journal.log", "trials.csv")
PLAN = Plan(trials=3, max_epochs=4, seed=5, sampler="random", fixed={"drop": 0.2, "rate": 1e-2})


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished study and one that was left after a trial of three."""
    from search import catalog
    from tests.search_tests.toy import EXPERIMENT

    monkeypatch.setitem(catalog.EXPERIMENTS, "toy", EXPERIMENT)
    root = tmp_path / "results"
    for name, plan in (("done", replace(PLAN, trials=2)), ("left", PLAN)):
        opened = begin(plan, root / name)
        if name == "done":
            drive(opened.book)
        else:
            given = opened.book.next()
            assert given is not None
            opened.book.end(0, "failed", "no")
        opened.close()
    return root


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = studies.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_list_tells_every_state(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(results / "left", results / "torn")
    lines = (results / "torn" / "journal.log").read_text().splitlines(keepends=True)
    (results / "torn" / "journal.log").write_text("".join(["{\n", *lines[1:]]))
    shutil.copytree(results / "done", results / "gone")
    (results / "gone" / "study.json").unlink()
    shutil.copytree(results / "done", results / "emptied")
    (results / "emptied" / "journal.log").write_text("")
    (results / "no-study").mkdir()
    (results / ".hidden").mkdir()
    (results / ".hidden" / "study.json").write_text("{}")
    held = journal.own(results / "left")
    try:
        code, out, _ = run(capsys, "list", "--results-dir", results)
    finally:
        os.close(held)
    assert code == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["done"][1:5] == ["toy", "embedded", "finished", "2"]
    assert rows["left"][1:5] == ["toy", "embedded", "running", "1"]
    text = out.replace("\n", " ")
    assert "torn: " in text
    assert "line 1 of" in text
    assert "gone: " in text
    assert "study.json cannot be read" in text
    assert "is missing or empty, though the study has trials" in text
    assert "no-study" not in out
    assert "hidden" not in out
    assert out.count("damaged") >= 3
    assert overview(results / "left").state == "unfinished"


def a_pipe(name: str) -> Callable[[Path], None]:
    def odd(study: Path) -> None:
        (study / name).unlink()
        os.mkfifo(study / name)

    return odd


def told(**plan: Any) -> Callable[[Path], None]:
    """Let the plan in study.json say something else."""

    def odd(study: Path) -> None:
        content = json.loads((study / "study.json").read_text())
        content["budget"] |= plan
        (study / "study.json").write_text(json.dumps(content))

    return odd


def a_line(study: Path) -> None:
    with (study / "journal.log").open("a") as file:
        file.write("[" * 100_000 + "\n")


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    **{name: (a_pipe(name), f"{name} is neither file nor folder") for name in STUDY_FILES},
    "deep": (lambda study: (study / "study.json").write_text("[" * 100_000), "is damaged"),
    "deep line": (a_line, "is damaged"),
    "no number": (told(trials=None), r"its plan cannot be read: TypeError\("),
    "no end": (told(trials=float("inf")), r"its plan cannot be read: OverflowError\("),
    "no text": (told(trials="x"), r"its plan cannot be read: ValueError\("),
    "no configuration": (
        told(trials=24, warm_start=[{}]),
        r"cannot be read: KeyError\('config'\)",
    ),
    "no mapping": (told(fixed=1), r"its plan cannot be read: (Attribute|Type)Error\("),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("odd", "reason"), ODD.values(), ids=ODD)
def test_an_odd_study_is_told_and_the_others_are_listed(
    odd: Callable[[Path], object], reason: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd(results / "left")
    assert re.search(reason, overview(results / "left").reason)
    code, out, _ = run(capsys, "list", "--results-dir", results)
    assert code == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["done"][3] == "finished"
    assert rows["left"][1] == "damaged"


def test_a_folder_that_may_not_be_looked_into_is_no_study(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (results / "closed").mkdir()
    plain = os.stat

    def refuse(path: Any, **options: Any) -> os.stat_result:
        if isinstance(path, Path) and path.parent == results / "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return plain(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert study_folders(results) == [results / "done", results / "left"]


def test_a_damaged_study_is_shown_without_its_age(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    created = json.loads((results / "left" / "study.json").read_text())["created"]
    (results / "left" / "journal.log").write_text("x\n")
    code, out, _ = run(capsys, "show", results / "left")
    assert code == 0
    assert "state       damaged: " in out
    assert f"begun       {created}\n" in out


@pytest.mark.timeout(60)
def test_a_pipe_is_driven_by_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal.log")
    assert not is_driven(tmp_path)


def test_numbers_of_an_overview(results: Path) -> None:
    seen = overview(results / "done")
    best = json.loads((results / "done" / "best.json").read_text())
    assert (seen.done, seen.trials, seen.best) == (2, 2, best["val_accuracy"])
    assert seen.age_s is not None
    assert 0 <= seen.age_s < 3600
    on_disk = sum(path.stat().st_blocks * 512 for path in (results / "done").rglob("*.*"))
    assert seen.bytes == on_disk > 4096


def test_a_grid_with_fewer_points_than_trials_is_finished(tmp_path: Path) -> None:
    plan = Plan(
        trials=500,
        max_epochs=1,
        sampler="grid",
        fixed={"rate": 1e-2, "drop": 0.0, "depth": 2},
        stopper="none",
    )
    opened = begin(plan, tmp_path / "s")
    drive(opened.book)
    assert not opened.book.unfinished
    opened.close()
    manifest = json.loads((tmp_path / "s" / "study.json").read_text())
    assert manifest["budget"]["trials"] == 500
    with pytest.MonkeyPatch.context() as patched:
        from search import catalog as patched_catalog
        from tests.search_tests.toy import EXPERIMENT

        patched.setitem(patched_catalog.EXPERIMENTS, "toy", EXPERIMENT)
        seen = overview(tmp_path / "s")
    assert (seen.state, seen.done, seen.trials) == ("finished", 2, 2)  # kind a and b


@pytest.mark.parametrize(
    ("changes", "trials"),
    [
        ({}, 4),  # a, and b of three depths
        ({"trials": 3}, 3),
        ({"fixed": {"drop": 0.2}}, 24),  # rates have no end
        ({"fixed": {"rate": 1e-2}}, 16),  # four times as many: drop 0 to 0.6
        ({"fixed": {"rate": 1e-2, "drop": 0.1}}, 4),  # beside the steps, and so all four
        # Five rates of each of four; the published 1e-3 is none of them.
        ({"sampler": "grid", "fixed": {"drop": 0.2}, "trials": 30}, 21),
        ({"sweep": ["drop"], "trials": 4}, 4),
        ({"sweep": ["drop"], "seeds": 9, "trials": 36}, 36),
    ],
)
def test_a_study_ends_when_its_space_has_no_more(
    results: Path, changes: dict[str, Any], trials: int
) -> None:
    content = json.loads((results / "done" / "study.json").read_text())
    content["budget"] |= {"trials": 24} | changes
    assert trials_in_all(content) == trials
    assert trials_in_all(content | {"experiment": "of another version"}) == int(
        content["budget"]["trials"]
    )


def test_a_search_that_ran_out_of_configurations_is_finished(
    results: Path, tmp_path: Path
) -> None:
    opened = begin(replace(PLAN, trials=24), tmp_path / "few")
    drive(opened.book)
    assert not opened.book.unfinished
    opened.close()
    seen = overview(tmp_path / "few")
    assert (seen.state, seen.done, seen.trials) == ("finished", 4, 4)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_ages(seconds: float | None, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 kB"), (12_400, "12 kB"), (3.44e6, "3.4 MB"), (1.2e9, "1.2 GB")]
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


def test_nothing_to_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "list", "--results-dir", tmp_path)[::2] == (
        0,
        f"{tmp_path} holds no studies\n",
    )
    code, _, err = run(capsys, "list", "--results-dir", tmp_path / "x")
    assert code == 2
    assert "there is no such folder" in err
    assert list_text([]).startswith("study  experiment")


@pytest.mark.parametrize("words", [("list",), ("show", "done"), ("remove", "done", "--yes")])
def test_studies_by_uri_of_a_folder(
    words: tuple[str, ...], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *words, "--results-dir", results.as_uri())
    assert code == 0
    assert "done" in out + err
    assert (results / "done").exists() == (words[0] != "remove")


@pytest.mark.parametrize("words", [("list",), ("remove", "done", "--yes")])
def test_a_store_is_neither_listed_nor_removed_from(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *words, "--results-dir", "s3://bucket/results")
    assert code == 2
    assert f"--results-dir s3://bucket/results: {words[0]} takes a folder; show and" in err


def test_show_tells_what_a_study_is(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", "done", "--results-dir", results)
    assert code == 0
    assert "state       finished" in out
    assert "6 train, 2 validation, 2 test images, not the real beans" in out
    assert "held        drop=0.2 rate=0.01" in out
    assert "rank  trial" in out
    way = f"confirm it by python -m search.confirm done --results-dir {results}\n"
    assert f"not confirmed yet: one seed decides nothing; {way}" in out
    assert "go on with" not in out
    _, out, _ = run(capsys, "show", results / "left")
    assert "trials      1 of 3" in out
    assert "not confirmed yet: one seed decides nothing\n" in out
    assert f"search.run toy --study left --resume --results-dir {results}\n" in out


@pytest.mark.parametrize("weights", [True, False])
def test_a_sweep_without_its_weights_cannot_be_confirmed(
    weights: bool, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that was fetched from a cluster."""
    path = results / "done" / "study.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "budget": {**content["budget"], "seeds": 2}}))
    if weights:
        kept = results / "done" / "trials" / "0" / "best.pt"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.touch()
    _, out, _ = run(capsys, "show", "done", "--results-dir", results)
    assert "not confirmed yet" in out
    assert ("confirm it by" in out) == weights


@pytest.mark.parametrize("given", [["--address", "auto"], ["--address=auto"]])
def test_a_study_on_another_ray_may_be_run_elsewhere_and_goes_on_there(
    given: list[str], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that was fetched while its job runs."""
    for name in ("left", "done"):
        path = results / name / "study.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"command": [*content["command"], *given]}))
    _, out, _ = run(capsys, "show", results / "left")
    assert "state       running or unfinished\n" in out
    way = f"search.run toy --study left --resume --results-dir {results} --address auto\n"
    assert way in out
    assert "state       finished\n" in run(capsys, "show", results / "done")[1]
    assert "running or unfinished" in run(capsys, "list", "--results-dir", results)[1]
    held = journal.own(results / "left")
    assert overview(results / "left").state == "running"
    os.close(held)


def test_a_sweep_over_seeds_is_not_of_one(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = results / "done" / "study.json"
    manifest = json.loads(path.read_text())
    manifest["budget"] |= {"seeds": 5}
    path.write_text(json.dumps(manifest))
    _, out, _ = run(capsys, "show", results / "done")
    assert "not confirmed yet: validation alone has judged the 5 seeds of each con" in out


def test_the_way_on_from_inside_a_study(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results / "left")
    code = studies.main(["show", "."])
    assert code == 0
    way = f"search.run toy --study left --resume --results-dir {results}\n"
    assert way in capsys.readouterr().out


def test_a_copy_of_a_store_is_shown_as_what_it_is_a_copy_of(results: Path) -> None:
    text = show_text(results / "left", "s3://bucket/all/left?region=x")
    assert "study       s3://bucket/all/left?region=x\n" in text
    assert "state       running or unfinished\n" in text
    way = "go on with: python -m search.run toy --study left --resume --results-dir"
    assert f"{way} 's3://bucket/all?region=x'\n" in text
    assert str(results) not in text
    assert "go on with" not in show_text(results / "done", "s3://bucket/all/done")


def test_show_tells_what_was_confirmed(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = {"mean": 0.7, "sd": 0.02, "low": 0.65, "high": 0.75, "n": 3}
    one = {"configuration": 2, "config": {"rate": 0.01}, "test_accuracy": summary}
    lost = one | {"configuration": 1, "unsafe": True}
    few = one | {"configuration": 3, "few_seeds": True}
    content = {"recommended": 2, "configurations": [one | {"unsafe": False}, lost, few]}
    (results / "done" / "confirm.json").write_text(json.dumps(content))
    _, out, _ = run(capsys, "show", "done", "--results-dir", results)
    told = "0.7000 (95 % interval 0.6500 to 0.7500, n = 3 seeds)"
    assert f"confirmed on the test split (recommended): {told}" in out
    mark = "(unsafe: infeasible or stopped on some seed)"
    assert f"confirmed on the test split {mark}: {told}" in out
    assert f"confirmed on the test split (few seeds: not compared): {told}" in out
    (results / "done" / "confirm.json").write_text("[]")
    _, out, _ = run(capsys, "show", "done", "--results-dir", results)
    assert "confirm.json is damaged: it has no configurations" in out


def test_what_a_study_tells_moves_no_cursor(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd, path = "\x1b[2Jfinished\r\n", results / "done" / "study.json"
    content = json.loads(path.read_text())
    content["data"] |= {"kind": odd, "location": odd, "classes": [odd]}
    content |= {"created": odd, "git_commit": odd, "command": [odd], "versions": {odd: odd}}
    path.write_text(json.dumps(content | {"experiment": odd}))
    (results / "done" / "confirm.json").write_text(odd)
    for words in (("list",), ("show", "done"), ("show", "left")):
        code, out, err = run(capsys, *words, "--results-dir", results)
        assert (code, err) == (0, "")
        assert all(line.isprintable() for line in out.split("\n"))
        assert ("[2Jfinished" in out) == (words[-1] != "left")


def test_an_interval_ends_where_accuracies_do() -> None:
    summary = {"mean": 0.5417, "low": -0.1995, "high": 1.2829, "n": 2}
    assert interval(summary) == "0.5417 (95 % interval 0.0000 to 1.0000, n = 2 seeds)"


def test_one_seed_has_no_interval() -> None:
    summary = {"mean": 0.7, "sd": None, "low": None, "high": None, "n": 1}
    assert interval(summary) == "0.7000 (n = 1: no interval)"


def test_removing_asks_and_takes_no_for_an_answer(results: Path) -> None:
    command = [sys.executable, "-m", "search.studies", "remove", "done"]
    command += ["--results-dir", str(results)]
    for answer, code in ((b"n\n", 1), (b"y\n", 0)):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            command, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.close(slave)
        os.write(master, answer)
        _, err = process.communicate(timeout=240)
        os.close(master)
        assert process.returncode == code, err
        assert b"remove all of this? [y/N]" in err
        assert (results / "done").exists() == (code == 1)


def test_without_a_terminal_it_needs_yes(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    code, _, err = run(capsys, "remove", "done", "--results-dir", results)
    assert code == 2
    assert "this is no terminal: give --yes" in err
    assert (results / "done").exists()


def test_a_study_that_is_run_is_not_removed_nor_any_beside_it(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nested = results / "done" / "confirm"
    shutil.copytree(results / "left", nested)
    for held_at in (results / "done", nested):
        held = journal.own(held_at)
        words = ("remove", "left", "done", "--yes", "--results-dir", results)
        code, _, err = run(capsys, *words)
        os.close(held)
        assert code == 2
        assert "study done is being run by another process: end it first" in err
        assert (results / "left" / "study.json").exists()
    assert run(capsys, *words)[0] == 0
    assert list(results.iterdir()) == []


def test_a_study_named_twice_is_one(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    words = ("remove", "done", "done/", str(results / "done"), "--yes", "--results-dir", results)
    assert run(capsys, *words)[0] == 0
    assert not (results / "done").exists()


def test_links_are_not_followed(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("keep")
    (results / "done" / "trials" / "link").symlink_to(outside)
    (results / "alias").symlink_to(results / "left")
    code, _, err = run(capsys, "remove", "alias", "done", "--yes", "--results-dir", results)
    assert code == 2
    assert "is a link to a study elsewhere" in err
    assert (results / "done").exists()
    assert run(capsys, "remove", "done", "--yes", "--results-dir", results)[0] == 0
    assert not (results / "done").exists()
    assert (outside / "precious.txt").read_text() == "keep"
    assert (results / "left" / "study.json").exists()


@pytest.mark.parametrize("word", ["nowhere", "", ".", ".."])
def test_what_is_no_study_is_not_removed(
    word: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "remove", word, "--yes", "--results-dir", results)
    assert code == 2
    assert f"no study {word!r}" in err
    assert (results / "done").exists()


def test_a_damaged_study_can_be_removed(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "done" / "study.json").unlink()
    assert run(capsys, "remove", "done", "--yes", "--results-dir", results)[0] == 0
    assert not (results / "done").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_for_other_programs(
    kind: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"out.{kind}"
    words = ("export", "done", f"--{kind}", target, "--results-dir", results)
    code, out, _ = run(capsys, *words)
    curves = tmp_path / f"out-curves.{kind}"
    assert (code, out.splitlines()) == (0, [str(target), str(curves)])
    read = pd.read_csv if kind == "csv" else pd.read_parquet
    trials = read(target)
    assert list(trials.columns[:4]) == ["study", "data", "trial", "status"]
    assert list(trials["trial"]) == [0, 1]
    assert set(trials["data"]) == {"embedded"}
    assert set(trials["study"]) == {"done"}
    assert list(trials["config.drop"]) == [0.2, 0.2]
    assert read(curves)["epoch"].tolist()[:2] == [1, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"export needs --to DIR, --csv FILE or --parquet FILE"),
        (["--csv", "none/out.csv"], r"there is no folder none"),
        (["--csv", "t", "--parquet", "./t"], r"--csv and --parquet both name t: name two files"),
        (["--csv", "."], r"\. is a folder: name a file"),
        (["--csv", "mine.csv.gz"], r"mine\.csv\.gz: tables are not compressed; leave out \.gz"),
    ],
)
def test_what_cannot_be_exported_is_told(
    words: list[str], message: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "export", "done", *words, "--results-dir", results)
    assert (code, out) == (2, "")
    assert re.search(message, err)
