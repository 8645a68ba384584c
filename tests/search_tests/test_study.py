import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search import manifest as manifests
from search import study
from search.errors import ResumeRefused, StudyTaken, UsageError, exit_code
from search.manifest import check_inputs
from search.names import BOTH
from search.plan import Plan
from tests.search_tests.toy import DATA, EXPERIMENT, begin, drive, go_on, manifest
from trainables.data import DataSpec

PLAN = Plan(trials=3, max_epochs=2, seed=5, sampler="random", fixed={"drop": 0.2})


def test_manifest_content() -> None:
    content = manifest(PLAN)
    assert content["format"] == 1
    assert content["experiment"] == "toy"
    assert content["command"] == ["python", "-m", "search.run", "toy"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", content["created"])
    assert content["space"] == {
        "kind": "a, b",
        "rate": "0.0001 to 0.1 (log scale)",
        "drop": "0 to 0.6 in steps of 0.2",
        "depth": "whole numbers 1 to 3 in steps of 1",
    }
    assert content["defaults"] == {"kind": "a", "depth": 2, "rate": 1e-3, "drop": 0.0}
    assert content["budget"] == {
        "trials": 3,
        "max_epochs": 2,
        "seed": 5,
        "sampler": "random",
        "stopper": "asha",
        "precision": "auto",
        "fixed": {"drop": 0.2},
        "sweep": [],
        "seeds": 1,
        "configurations": [],
        "rungs": [1],
    }
    assert content["seed"] == 5
    assert content["data"] == {
        "kind": "embedded",
        "dataset": "beans",
        "location": "",
        "real": False,
        "fingerprint": "f00d",
        "classes": ["x", "y"],
        "sizes": {"train": 6, "validation": 2, "test": 2},
        "notes": [],
    }
    assert content["versions"].keys() >= {"python", "torch", "ray", "optuna"}
    commit = content["git_commit"]
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}(\+changes)?", commit)
    assert json.loads(json.dumps(content)) == content


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_no_git_is_no_mistake(error: type[OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: Any, **__: Any) -> None:
        raise error("git")

    monkeypatch.setattr(subprocess, "run", without)
    assert manifests.git_commit() is None


def test_outside_a_checkout_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "__file__", str(tmp_path / "search" / "manifest.py"))
    (tmp_path / "search").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert manifests.git_commit() is None


def git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *name, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository that holds search/manifest.py, not committed yet."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path / "checkout"
    (root / "search").mkdir(parents=True)
    (root / "search" / "manifest.py").write_text("1")
    git(root, "init", "--quiet")
    return root


def test_the_commit_of_this_code(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "__file__", str(checkout / "search" / "manifest.py"))
    assert manifests.git_commit() is None  # no commit so far
    git(checkout, "add", "search")
    git(checkout, "commit", "--quiet", "-m", "first")
    commit = git(checkout, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert manifests.git_commit() == commit
    (checkout / "search" / "new.py").write_text("")
    assert manifests.git_commit() == f"{commit}+changes"
    (checkout / "search" / "new.py").unlink()
    assert manifests.git_commit() == commit
    (checkout / "search" / "manifest.py").write_text("2")
    assert manifests.git_commit() == f"{commit}+changes"


def test_another_repository_s_commit_is_not_this_code_s(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(checkout, "add", "search")
    git(checkout, "commit", "--quiet", "-m", "first")
    installed = checkout / ".venv" / "site-packages" / "search" / "manifest.py"
    installed.parent.mkdir(parents=True)
    monkeypatch.setattr(manifests, "__file__", str(installed))
    assert manifests.git_commit() is None


def test_a_study_on_disk_has_the_files_of_the_design(tmp_path: Path) -> None:
    opened = begin(PLAN, tmp_path / "results" / "s")
    drive(opened.book)
    opened.close()
    root = tmp_path / "results" / "s"
    names = {"study.json", "journal.log", "trials.csv", "curves.csv", "best.json", "best.pt"}
    assert {path.name for path in root.iterdir()} == {*names, "trials"}
    assert json.loads((root / "study.json").read_text()) == manifest(PLAN)


def changed(**budget: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["budget"].update(budget)


def with_data(**data: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["data"].update(data)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (changed(trials=9), "budget.trials: the study has 3, now it would be 9"),
        (changed(max_epochs=4), "budget.max_epochs: the study has 2, now it would be 4"),
        (changed(seed=6), "budget.seed: the study has 5, now it would be 6"),
        (changed(sampler="tpe"), "budget.sampler: the study has random, now it would be tpe"),
        (changed(stopper="none"), "budget.stopper: the study has asha, now it would be none"),
        (changed(precision="float32"), "budget.precision: the study has auto, now it would be f"),
        (changed(fixed={}), "budget.fixed: the study has {'drop': 0.2}, now it would be {}"),
        (changed(sweep=["drop"]), "budget.sweep: the study has [], now it would be ['drop']"),
        (changed(rungs=[2]), "budget.rungs: the study has [1], now it would be [2]"),
        (with_data(kind="tfds"), "data.kind: the study has embedded, now it would be tfds"),
        (with_data(dataset="mnist"), "data.dataset: the study has beans, now it would be mnist"),
        (with_data(fingerprint="beef"), "data.fingerprint: the study has f00d, now it would be b"),
        (with_data(sizes={"train": 7}), "data.sizes: the study has {'train': 6, 'validation'"),
        (
            lambda content: content["space"].update(drop="0 to 0.5"),
            "space.drop: the study has 0 to 0.6 in steps of 0.2, now it would be 0 to 0.5",
        ),
        (
            lambda content: content["space"].pop("depth"),
            "space.depth: the study has whole numbers 1 to 3 in steps of 1, now it would be None",
        ),
        (
            lambda content: content["space"].update(width="1 to 2"),
            "space.width: the study has None, now it would be 1 to 2",
        ),
        (
            lambda content: content["defaults"].update(rate=0.1),
            "defaults.rate: the study has 0.001, now it would be 0.1",
        ),
        (
            lambda content: content.update(experiment="mnist_cnn"),
            "experiment: the study has toy, now it would be mnist_cnn",
        ),
    ],
)
def test_a_resume_with_other_settings_is_refused_with_the_difference(
    change: Callable[[dict[str, Any]], None], line: str, tmp_path: Path
) -> None:
    begin(PLAN, tmp_path / "s").close()
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    content = manifest(PLAN)
    change(content)
    with pytest.raises(ResumeRefused, match=re.escape(line)) as refused:
        study.go_on(EXPERIMENT, PLAN, tmp_path / "s", content)
    lines = str(refused.value).splitlines()
    assert lines[0] == "study s was made with other settings:"
    assert len(lines) == 2
    assert exit_code(refused.value) == 3
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before


def test_another_folder_need_not_have_other_images(tmp_path: Path) -> None:
    def of_folder(fingerprint: str) -> dict[str, Any]:
        content = manifest(PLAN)
        content["data"].update(kind="folder", location="/photos", fingerprint=fingerprint)
        return content

    study.begin(EXPERIMENT, PLAN, tmp_path / "s", of_folder("f00d")).close()
    study.go_on(EXPERIMENT, PLAN, tmp_path / "s", of_folder("f00d")).close()
    with pytest.raises(ResumeRefused) as refused:
        study.go_on(EXPERIMENT, PLAN, tmp_path / "s", of_folder("beef"))
    assert str(refused.value).splitlines()[1:] == [
        "data.fingerprint: the study has f00d, now it would be beef",
        "data: its fingerprint is another; images changed, or this version divides folders in "
        "another way than that which began the study (git_commit in study.json)",
    ]
    told = "is not what s was trained on: its fingerprint is another"
    folder = DataSpec("beans", "folder", "/photos")
    with pytest.raises(ResumeRefused, match=rf"/photos {told}; images changed, or this version"):
        check_inputs("s", of_folder("beef"), replace(DATA, spec=folder), None)
    with pytest.raises(ResumeRefused, match=rf"embedded {told}$"):
        check_inputs("s", of_folder("beef"), DATA, None)


def test_every_difference_is_told(tmp_path: Path) -> None:
    begin(PLAN, tmp_path / "s").close()
    with pytest.raises(ResumeRefused) as refused:
        go_on(replace(PLAN, trials=9, seed=1, stopper="none"), tmp_path / "s")
    names = [line.split(":")[0] for line in str(refused.value).splitlines()[1:]]
    assert names == ["budget.trials", "budget.seed", "budget.stopper", "budget.rungs"]


def test_another_first_rung_is_another_study(tmp_path: Path) -> None:
    plan = replace(PLAN, max_epochs=8, first_rung=1)
    begin(plan, tmp_path / "s").close()
    go_on(plan, tmp_path / "s").close()
    with pytest.raises(ResumeRefused) as refused:
        go_on(replace(plan, first_rung=None), tmp_path / "s")
    lines = str(refused.value).splitlines()[1:]
    assert lines == [
        "budget.rungs: the study has [1, 3], now it would be [2, 6]",
        "budget.first_rung: the study has 1, now it would be None",
    ]


def test_a_study_that_compares_something_else_is_another(tmp_path: Path) -> None:
    begin(PLAN, tmp_path / "s").close()  # as studies of earlier versions are, it says nothing
    with pytest.raises(ResumeRefused) as refused:
        go_on(replace(PLAN, compared=BOTH), tmp_path / "s")
    line = "budget.compared: the study has accuracy, now it would be accuracy and loss"
    assert str(refused.value).splitlines()[1:] == [line]


def test_what_does_not_change_the_results_may_differ(tmp_path: Path) -> None:
    begin(PLAN, tmp_path / "s").close()
    content = manifest(PLAN) | {"command": ["x"], "created": "now", "git_commit": "0" * 40}
    content["versions"]["torch"] = "9.9"
    content["data"]["location"] = "elsewhere"
    study.go_on(EXPERIMENT, PLAN, tmp_path / "s", content).close()
    assert json.loads((tmp_path / "s" / "study.json").read_text()) == manifest(PLAN)


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '"format"',
        '{"format": 1}',
        '{"format": 1, "experiment": "", "space": {}, "defaults": {}, "budget": {}, "data": {}}',
        "\ufffe\0",
        "[" * 100_000,
    ],
)
def test_a_damaged_manifest_is_refused(damage: str, tmp_path: Path) -> None:
    begin(PLAN, tmp_path / "s").close()
    (tmp_path / "s" / "study.json").write_text(damage)
    with pytest.raises(UsageError, match=r"study.json is damaged; the study cannot go on"):
        go_on(PLAN, tmp_path / "s")


@pytest.mark.parametrize("part", ["experiment", "space", "defaults", "budget", "data"])
def test_a_manifest_without_a_part_is_damaged(part: str, tmp_path: Path) -> None:
    content = manifest(PLAN)
    for broken in ({k: v for k, v in content.items() if k != part}, content | {part: ["x"]}):
        (tmp_path / "study.json").write_text(json.dumps(broken))
        with pytest.raises(UsageError, match=r"study.json is damaged"):
            manifests.read_manifest(tmp_path / "study.json")


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(UsageError, match=r"study.json is damaged"):
        manifests.read_manifest(tmp_path / "study.json")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_is_refused(version: Any, tmp_path: Path) -> None:
    content = manifest(PLAN) | {"format": version}
    (tmp_path / "study.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=rf"has format {version}; this version reads format 1"):
        manifests.read_manifest(tmp_path / "study.json")


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"study.json cannot be read: No such file"):
        manifests.read_manifest(tmp_path / "study.json")


def test_a_new_study_does_not_take_an_existing_folder(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "photo.jpg").write_text("mine")
    told = r"^--study s: exists and is no study, having no study\.json; give another name$"
    with pytest.raises(UsageError, match=told):
        begin(PLAN, tmp_path / "s")
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["photo.jpg"]


def test_a_new_study_does_not_take_an_existing_study(tmp_path: Path) -> None:
    begin(PLAN, tmp_path / "s").close()
    before = (tmp_path / "s" / "study.json").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        begin(replace(PLAN, trials=9), tmp_path / "s")
    assert (tmp_path / "s" / "study.json").read_bytes() == before


def test_of_two_that_begin_at_once_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = begin(PLAN, tmp_path / "s")
    monkeypatch.setattr(study, "in_the_way", lambda _: "")  # it looked a moment earlier
    with pytest.raises(UsageError, match="is being run by another process"):
        begin(replace(PLAN, trials=9), tmp_path / "s")
    other.close()
    with pytest.raises(UsageError, match="exists already"):
        begin(replace(PLAN, trials=9), tmp_path / "s")
    assert json.loads((tmp_path / "s" / "study.json").read_text()) == manifest(PLAN)


def test_a_name_that_nobody_chose_gives_way(tmp_path: Path) -> None:
    root = tmp_path / "toy-20260102-030405"

    def begin_unnamed() -> study.OpenStudy:
        return study.begin(EXPERIMENT, PLAN, root, manifest(PLAN), named=False)

    first = begin_unnamed()
    second = begin_unnamed()  # while the first is being run
    second.close()
    third = begin_unnamed()
    third.close()
    first.close()
    roots = [opened.book.folder.root for opened in (first, second, third)]
    assert roots == [root, Path(f"{root}-2"), Path(f"{root}-3")]
    assert all((path / "study.json").is_file() for path in roots)
    assert sorted(tmp_path.iterdir()) == roots


def test_a_name_that_gives_way_does_not_hide_other_mistakes(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot make the folder .*results/s: Not a directory"):
        study.begin(EXPERIMENT, PLAN, tmp_path / "results" / "s", manifest(PLAN), named=False)


@pytest.mark.parametrize("left", [[], ["journal.log"], ["journal.log", ".study.json.part-123"]])
def test_a_kill_before_the_manifest_leaves_a_folder_to_begin_in(
    left: list[str], tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir()
    for name in left:
        (tmp_path / "s" / name).touch()
    begin(PLAN, tmp_path / "s").close()
    assert (tmp_path / "s" / "study.json").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot make the folder .*results/s: Not a directory"):
        begin(PLAN, tmp_path / "results" / "s")
    (tmp_path / "f").write_text("a file")
    with pytest.raises(StudyTaken, match=r"--study f: exists and is no study, having no study"):
        begin(PLAN, tmp_path / "f")


def test_close_sorts_the_curves_and_gives_the_study_up(tmp_path: Path) -> None:
    opened = begin(replace(PLAN, stopper="none"), tmp_path / "s")
    drive(opened.book, concurrent=3)
    opened.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened._descriptor)
    rows = [line.split(",")[:2] for line in (tmp_path / "s" / "curves.csv").read_text().split()]
    assert rows[0] == ["trial", "epoch"]
    assert rows[1:] == sorted(rows[1:], key=lambda row: (int(row[0]), int(row[1])))
    assert len(rows) > 3


def test_the_folder_knows_what_it_is_about() -> None:
    folder = study.study_folder(Path("x"), manifest(PLAN))
    assert folder.names == ("kind", "rate", "drop", "depth")
    assert folder.about == {"experiment": "toy", "data": "embedded:beans"}
    assert DATA.real is False


def test_command_line_is_what_a_user_would_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/run.py", "toy", "--trials", "3"])
    assert manifests.command_line() == ["python", "-m", "search.run", "toy", "--trials", "3"]


def searched(root: Path) -> Plan:
    """Search to the end, one trial at a time; return the plan."""
    plan = Plan(trials=8, max_epochs=8, seed=3, sampler="random")
    opened = begin(plan, root)
    drive(opened.book)
    opened.close()
    return plan


@pytest.mark.parametrize("kept", [2, 30, 60])
def test_a_journal_cut_between_lines_is_told_of_and_the_tables_kept(
    tmp_path: Path, kept: int
) -> None:
    root = tmp_path / "s"
    plan = searched(root)
    names = ("trials.csv", "curves.csv")
    kept_of = {name: (root / name).read_bytes() for name in names}
    lines = (root / "journal.log").read_bytes().splitlines(keepends=True)
    (root / "journal.log").write_bytes(b"".join(lines[:kept]))
    lost = 8 - sum(b'"verdict"' in line for line in lines[:kept])
    again = go_on(plan, root)
    assert again.note is not None
    assert again.note.startswith(f"journal.log lacks {lost} trials that trials.csv has as ended")
    aside = {name: root / name.replace(".", ".before.") for name in names}
    assert {name: path.read_bytes() for name, path in aside.items()} == kept_of
    drive(again.book)
    again.close()
    assert (root / "curves.csv").read_bytes() == kept_of["curves.csv"]  # as it was
    last = go_on(plan, root)
    assert last.note is None
    last.close()


def test_the_best_model_outlives_the_loss_of_its_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "s"
    plan = searched(root)
    best = json.loads((root / "best.json").read_bytes())["trial"]
    weights = (root / "best.pt").read_bytes()
    lines = (root / "journal.log").read_bytes().splitlines(keepends=True)
    verdicts = [number for number, line in enumerate(lines) if b'"verdict"' in line]
    assert 0 < best < 8  # one at a time: they ended in order
    (root / "journal.log").write_bytes(b"".join(lines[: verdicts[best - 1] + 1]))
    capsys.readouterr()
    again = go_on(plan, root)
    assert again.note is not None
    assert again.note.endswith(", the best model in best.before.json and best.before.pt")
    assert not (root / "best.pt").exists()  # it is of no trial that the journal has
    assert (root / "best.before.pt").read_bytes() == weights
    assert json.loads((root / "best.before.json").read_bytes())["trial"] == best
    now = json.loads((root / "best.json").read_bytes())["trial"]
    assert now < best
    assert capsys.readouterr().err == (
        f"note: trial {now} is the best that the journal has now, and its weights were not kept: "
        "there is no best.pt until a better trial ends\n"
    )
    drive(again.book)
    again.close()
    assert (root / "best.pt").read_bytes() == weights  # trained again
