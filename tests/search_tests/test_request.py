import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from search import limits, request, shelf
from search.catalog import EXPERIMENTS, find
from search.errors import ResumeRefused, UsageError, exit_code
from search.experiment import Experiment, Preset
from search.manifest import describe_space
from search.names import BOTH
from search.options import build_parser
from search.plan import Plan
from search.request import check
from search.resources import Machine, Resources
from tests.search_tests import toy
from tests.search_tests.test_domains import of_optimizers
from trainables.data import DataSpec

NAMES = (
    "valid are augmentation, batch_size, dropout, filters, image_size, kernel_size, "
    "learning_rate, regularizer, strength"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory on a machine of 4 CPUs and no GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(request, "this_machine", lambda: Machine(4, 0))
    return tmp_path


def parse(words: str | list[str]) -> argparse.Namespace:
    return build_parser().parse_args(words.split() if isinstance(words, str) else words)


def ask(words: str | list[str], manifest: dict[str, Any] | None = None) -> request.Request:
    return check(parse(words), manifest)


def wrong(words: str | list[str], manifest: dict[str, Any] | None = None) -> tuple[str, ...]:
    """The mistakes of a command line; nothing may have been written."""
    before = sorted(Path.cwd().rglob("*"))
    with pytest.raises(UsageError) as error:
        ask(words, manifest)
    assert exit_code(error.value) == 2
    assert sorted(Path.cwd().rglob("*")) == before
    assert all(len(line.splitlines()) == 1 for line in error.value.mistakes)
    return error.value.mistakes


# Every line of "Bad input" that needs no data, with what is said of it.
BAD = [
    ("lenet_bean", "no experiment is called 'lenet_bean': did you mean lenet_beans? known are "),
    ("lenet_beans --trials 0", "--trials 0: must be a whole number of at least 1"),
    ("lenet_beans --trials -3", "--trials -3: must be a whole number of at least 1"),
    ("lenet_beans --trials abc", "--trials abc: must be a whole number of at least 1"),
    ("lenet_beans --fix kernel=9", f"--fix kernel=9: no hyperparameter 'kernel'; {NAMES}"),
    (
        "lenet_beans --fix kernel_size=4",
        "--fix kernel_size=4: kernel_size must be one of 3, 5, 7; got '4'",
    ),
    (
        "lenet_beans --fix kernel_size",
        "--fix kernel_size: a value is missing; kernel_size is 3, 5, 7",
    ),
    ("lenet_beans --sweep colour", f"--sweep colour: no such hyperparameter; {NAMES}"),
    ("lenet_beans --study ../x", "--study ../x: must be a plain name of up to 100 letters, "),
    ("lenet_beans --study a/b", "--study a/b: must be a plain name of up to 100 letters, "),
    ("lenet_beans --study there", "--study there: exists already; go on with it by --resume"),
    ("lenet_beans --resume --study none", "--study none: no such study in results; nothing to r"),
    ("lenet_beans --results-dir file", "--results-dir file: not a folder that can be written to"),
    ("lenet_beans --results-dir file/x", "--results-dir file/x: not a folder that can be writt"),
    ("lenet_beans --data folder:/nowhere", "--data folder:/nowhere: there is no such folder"),
    ("lenet_beans --data web", "--data web: must be tfds, embedded or folder:PATH"),
    ("lenet_beans --cpus-per-trial 5", "--cpus-per-trial 5: this machine has 4 CPUs; ask for f"),
    ("lenet_beans --gpus-per-trial 1", "--gpus-per-trial 1: this machine has 0 GPUs; ask for f"),
    ("lenet_beans --time-budget 3x", "--time-budget 3x: must be a time such as 90s, 30m or 1h3"),
    # and more of the kind
    ("", "no experiment is given; --list shows them"),
    (
        "--warm-start none lenet_beans",
        "no experiment is given; --list shows them; --warm-start takes all words after it: put",
    ),
    ("lenet_beans --max-epochs 0", "--max-epochs 0: must be a whole number of at least 1"),
    ("lenet_beans --seed -1", "--seed -1: must be a whole number of at least 0"),
    ("lenet_beans --preset slow", "--preset slow: must be one of quick, standard, thorough"),
    (
        "lenet_beans --sampler best",
        "--sampler best: must be one of prior, tpe, additive, random, gp, grid",
    ),
    ("lenet_beans --stopper x", "--stopper x: must be one of asha, hyperband, median, none"),
    ("lenet_beans --first-rung 0", "--first-rung 0: must be a whole number of at least 1"),
    (
        "lenet_beans --first-rung 20",
        "--first-rung 20: no trial has more than 20 epochs; give a lower one, or more --max-ep",
    ),
    (
        "lenet_beans --first-rung 1 --max-epochs 1",
        "--first-rung 1: no trial has more than 1 epoch; leave it out, or more --max-epochs",
    ),
    (
        "lenet_beans --first-rung 2 --stopper none",
        "--first-rung 2 does not go with --stopper none: nothing is stopped",
    ),
    (
        "lenet_beans --first-rung 2 --sweep kernel_size",
        "--first-rung 2 does not go with --stopper none: nothing is stopped",
    ),
    (
        "inception_beans --first-rung 12",
        "--first-rung 12: no trial has more than 12 epochs of the last stage, finetune_epochs; g",
    ),
    (
        "inception_beans --fix unfreeze_blocks=0 --first-rung 1",
        "--first-rung 1: no trial has more than 0 epochs of the last stage, finetune_epochs; l",
    ),
    ("lenet_beans --precision half", "--precision half: must be one of auto, bfloat16, float32"),
    ("lenet_beans --concurrent 0", "--concurrent 0: must be a whole number of at least 1"),
    ("lenet_beans --cpus-per-trial 0", "--cpus-per-trial 0: must be a whole number of at least"),
    ("lenet_beans --gpus-per-trial -1", "--gpus-per-trial -1: must be auto, 0, a share of a GPU"),
    ("lenet_beans --gpus-per-trial 0.5", "--gpus-per-trial 0.5: this machine has 0 GPUs; ask f"),
    ("lenet_beans --data folder:", "--data folder:: must be tfds, embedded or folder:PATH"),
    ("lenet_beans --data folder:file", "--data folder:file: there is no such folder"),
    (
        "lenet_beans --data folder:~no-such-user/x",
        "--data folder:~no-such-user/x: there is no such folder",
    ),
    ("lenet_beans --data tfds:x", "--data tfds:x: must be tfds, embedded or folder:PATH"),
    ("lenet_beans --fix =3", f"--fix =3: no hyperparameter ''; {NAMES}"),
    ("lenet_beans --fix dropout=", "--fix dropout=: a value is missing; dropout is 0 to 0.6 in"),
    ("lenet_beans --fix dropout=0.25", "--fix dropout=0.25: dropout must be 0 to 0.6 in"),
    ("lenet_beans --fix learning_rate=1", "--fix learning_rate=1: learning_rate must be 5e-05 to"),
    ("lenet_beans --fix filters=6/16", "--fix filters=6/16: filters must be one of 3/8/60, 6/1"),
    (
        "lenet_beans --fix kernel_size=3 --fix kernel_size=5",
        "--fix kernel_size=5: kernel_size is already held at 3",
    ),
    (
        "lenet_beans --sweep kernel_size --fix kernel_size=3",
        "--sweep kernel_size: it is held by --fix kernel_size=3",
    ),
    (
        "lenet_beans --sweep strength",
        "--sweep strength: has no effect at regularizer=none; give --fix regularizer=l1",
    ),
    ("lenet_beans --sweep dropout=2", "--sweep dropout=2: dropout must be 0 to 0.6 in steps of "),
    ("lenet_beans --sweep dropout=", "--sweep dropout=: a value is missing; dropout is "),
    (
        "lenet_beans --sweep dropout=0",
        "--sweep dropout=0: has no effect: without it dropout is 0.0",
    ),
    ("lenet_beans --seeds 3", "--seeds goes with --sweep alone; search.confirm gives seeds to "),
    (
        "lenet_beans --data embedded --data-dir /x",
        "--data-dir /x goes with --data tfds, not with --data embedded",
    ),
    (
        "lenet_beans --sweep dropout --seeds 3 --stopper asha",
        "--stopper asha does not go with --seeds: means are of seeds that are trained to the end",
    ),
    ("lenet_beans --sweep dropout --seeds 0", "--seeds 0: must be a whole number of at least 1"),
    ("lenet_beans --sweep dropout --trials 3", "--trials does not go with --sweep: a sweep has "),
    ("lenet_beans --sweep dropout --sampler gp", "--sampler does not go with --sweep: a sweep d"),
    ("lenet_beans --resume", "--resume needs --study NAME"),
    ("lenet_beans --study file", "--study file: exists and is no study, having no study.json; "),
    ("lenet_beans --study photos", "--study photos: exists and is no study, having no study.jso"),
    ("lenet_beans --results-dir " + "a" * 300, "--results-dir aaaaaaaaa"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[words for words, _ in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(words: str, line: str, here: Path) -> None:
    (here / "results" / "there").mkdir(parents=True)
    (here / "results" / "there" / "study.json").write_text("{}")
    (here / "results" / "photos" / "more").mkdir(parents=True)
    (here / "results" / "file").write_text("x")
    (here / "file").write_text("x")
    found = wrong(words)
    assert len(found) == 1, found
    assert found[0].startswith(line), found[0]


@pytest.mark.parametrize(
    "name", [".", "", "..", "a" * 101, "a\0b", "größe", ".hidden", "-", "a b", "x\n", "/tmp"]
)
def test_study_names_are_plain(name: str) -> None:
    (line,) = wrong(["lenet_beans", f"--study={name}"])
    assert "must be a plain name of up to 100 letters" in line


def test_all_mistakes_of_one_command_line_are_told_together(here: Path) -> None:
    (here / "file").write_text("x")
    found = wrong(
        "lenet_bean --trials 0 --max-epochs x --seed -1 --preset p --sampler s --stopper t "
        "--precision q --concurrent 0 --cpus-per-trial 99 --gpus-per-trial x --time-budget 3x "
        "--data web --results-dir file --study a/b"
    )
    assert found[0].startswith("no experiment is called 'lenet_bean'")
    assert [line.split()[0] for line in found] == [
        *("no", "--gpus-per-trial", "--concurrent", "--time-budget", "--cpus-per-trial", "--data"),
        *("--trials", "--max-epochs", "--seed", "--sampler", "--stopper", "--precision"),
        *("--preset", "--study", "--results-dir"),
    ]
    found = wrong("lenet_beans --fix a=1 --fix dropout=9 --fix image_size --sweep b --sweep c")
    assert [line.split(":")[0] for line in found] == [
        *("--fix a=1", "--fix dropout=9", "--fix image_size", "--sweep b", "--sweep c")
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_results_directory(here: Path) -> None:
    (here / "locked").mkdir(mode=0o555)
    assert wrong("lenet_beans --results-dir locked/x") == (
        "--results-dir locked/x: not a folder that can be written to",
    )


def test_a_results_directory_that_may_not_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf.os, "access", lambda *_: False)
    monkeypatch.setattr(limits, "place_mistakes", list)  # which looks at another folder
    assert wrong("lenet_beans --results-dir x/y") == (
        "--results-dir x/y: not a folder that can be written to",
    )


def test_defaults(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(request.time, "strftime", lambda _: "20260102-030405")
    asked = ask("lenet_beans")
    assert asked.experiment is EXPERIMENTS["lenet_beans"]
    assert asked.plan == Plan(24, 20, 0, "prior", "asha", "auto", {}, ())
    assert (asked.data.kind, asked.data.dataset) == ("tfds", "beans")
    assert asked.data.location == "/home/me/tensorflow_datasets"
    assert asked.folder == here / "results" / "lenet_beans-20260102-030405"
    assert asked.resources == Resources(1, 0.0, 4)
    assert (asked.resume, asked.dry_run, asked.time_budget_s) == (False, False, None)
    assert asked.address == "local"
    assert list(here.iterdir()) == []


def test_a_default_name_is_a_free_one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request.time, "strftime", lambda _: "20260102-030405")
    name = "lenet_beans-20260102-030405"
    (here / "results" / name).mkdir(parents=True)
    assert ask("lenet_beans").folder.name == name  # empty: a kill came before anything was kept
    for taken, free in ((name, f"{name}-2"), (f"{name}-2", f"{name}-3")):
        (here / "results" / taken).mkdir(exist_ok=True)
        (here / "results" / taken / "study.json").write_text("{}")
        asked = ask("lenet_beans")
        assert (asked.folder, asked.named) == (here / "results" / free, False)
    assert ask("lenet_beans --study mine").named
    (line,) = wrong(f"lenet_beans --study {name}")
    assert line == f"--study {name}: exists already; go on with it by --resume"


@pytest.mark.parametrize(
    ("words", "plan"),
    [
        ("--preset quick", Plan(12, 8, fixed={"image_size": 64})),
        ("--preset thorough", Plan(100, 40, compared=BOTH)),
        (
            "--preset quick --trials 3 --seed 9",
            Plan(3, 8, 9, fixed={"image_size": 64}),
        ),
        (
            "--preset quick --fix image_size=128",
            Plan(12, 8, fixed={"image_size": 128}),
        ),
        (
            "--preset quick --fix dropout=0.2",
            Plan(12, 8, fixed={"image_size": 64, "dropout": 0.2}),
        ),
        ("--stopper none --sampler gp --max-epochs 2", Plan(24, 2, 0, "gp", "none")),
        ("--precision float32", Plan(24, 20, precision="float32")),
        ("--first-rung 4", Plan(24, 20, first_rung=4)),
        ("--compare-by auto --trials 100", Plan(100, 20, compared=BOTH)),
        ("--compare-by accuracy --trials 100", Plan(100, 20)),
        ("--stopper hyperband --trials 120", Plan(120, 20, stopper="hyperband", compared=BOTH)),
        ("--stopper median --trials 120", Plan(120, 20, stopper="median")),
        ("--sweep kernel_size", Plan(3, 20, stopper="none", sweep=("kernel_size",))),
        (
            "--sweep kernel_size --sweep dropout --sweep kernel_size",
            Plan(9, 20, stopper="none", sweep=("kernel_size", "dropout")),
        ),
        (
            "--sweep dropout=0.2 --seeds 3",
            Plan(6, 20, stopper="none", sweep=("dropout=0.2",), seeds=3),
        ),
        ("--sweep dropout --stopper asha", Plan(7, 20, sweep=("dropout",))),
        ("--preset quick --sweep image_size", Plan(4, 8, stopper="none", sweep=("image_size",))),
        (
            # The published 0.01 and 1e-5, 1e-4, 1e-3, 0.01, 0.1: the one is among the others.
            "--sweep strength --fix regularizer=l1",
            Plan(5, 20, stopper="none", fixed={"regularizer": "l1"}, sweep=("strength",)),
        ),
    ],
)
def test_plans_by_hand(words: str, plan: Plan) -> None:
    assert ask(f"lenet_beans {words}").plan == plan


@pytest.mark.parametrize(
    ("words", "kind", "location"),
    [
        ("--data embedded", "embedded", ""),
        ("--data tfds --data-dir rel", "tfds", "HERE/rel"),
        ("--data-dir ~no-such-user/x", "tfds", "HERE/~no-such-user/x"),
        ("--data folder:photos", "folder", "HERE/photos"),
        ("", "tfds", "/set/by/variable"),
    ],
)
def test_data(
    words: str, kind: str, location: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", "/set/by/variable")
    (here / "photos").mkdir()
    data = ask(f"lenet_beans {words}").data
    assert (data.kind, data.location) == (kind, location.replace("HERE", str(here)))


def test_resources_time_and_flags() -> None:
    asked = ask(
        "lenet_beans --cpus-per-trial 2 --gpus-per-trial 0 --concurrent 1 --time-budget 1h30m "
        "--dry-run --address local"
    )
    assert asked.resources == Resources(2, 0.0, 1)
    assert (asked.time_budget_s, asked.dry_run) == (5400, True)


def test_a_cluster_may_have_more_than_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    asked = ask("lenet_beans --address 10.0.0.1:6379 --cpus-per-trial 64 --gpus-per-trial 8")
    assert asked.address == "10.0.0.1:6379"
    assert asked.asked == (64, 8.0, None, None, None, 24)
    assert asked.resources is None  # known once the cluster has been joined


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("--max-epochs 20", True),  # the published head stage takes them all
        ("--max-epochs 21", False),
        ("--max-epochs 7 --fix head_epochs=5", False),
        ("--max-epochs 5 --fix unfreeze_blocks=0", False),  # a shorter head, and no more is told
        ("--preset quick", False),
        ("--preset quick --fix head_epochs=20", True),
    ],
)
def test_a_budget_must_reach_the_last_stage(words: str, wrong: bool) -> None:
    command = f"inception_beans --weights random {words}"
    if not wrong:
        assert ask(command).plan.max_epochs > 0
        return
    with pytest.raises(UsageError) as error:
        ask(command)
    (told,) = error.value.mistakes
    assert "head_epochs=20 leaves no epoch for finetune_epochs" in told


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--preset quick --fix finetune_epochs=4", "7: finetune_epochs would be cut short, 9"),
        ("--max-epochs 21 --fix finetune_epochs=12", "21: finetune_epochs would be cut short, 32"),
        ("--max-epochs 31 --sweep finetune_epochs", "31: finetune_epochs would be cut short, 32"),
        ("--max-epochs 25 --sweep head_epochs", "25: head_epochs would be cut short, 26"),
        ("--max-epochs 9 --fix head_epochs=10 --fix unfreeze_blocks=0",
         "9: head_epochs would be cut short, 10"),
        ("--max-epochs 32 --sweep finetune_epochs", ""),
        ("--max-epochs 9 --fix finetune_epochs=4 --fix unfreeze_blocks=0", ""),  # not in force
        ("--max-epochs 26 --sweep head_epochs", ""),
        ("--preset quick --sweep unfreeze_blocks", ""),  # all are cut alike
    ],
)  # fmt: skip
def test_epochs_that_are_asked_for_are_trained(words: str, line: str) -> None:
    command = f"inception_beans --weights random {words}"
    if not line:
        assert ask(command).plan.max_epochs > 0
        return
    with pytest.raises(UsageError) as error:
        ask(command)
    (told,) = error.value.mistakes
    begin, _, most = line.rpartition(" ")
    assert told.startswith(f"--max-epochs {begin}")
    assert told.endswith(f"up to {most} epochs; give --max-epochs {most}")


def test_a_swept_head_is_not_to_be_held() -> None:
    with pytest.raises(UsageError) as error:
        ask("inception_beans --weights random --preset quick --sweep head_epochs")
    assert "leaves no epoch for finetune_epochs; give more than 20" in str(error.value)
    assert "--fix head_epochs" not in str(error.value)


def test_what_brings_a_held_hyperparameter_into_force_replaces_it() -> None:
    with pytest.raises(UsageError) as error:
        ask("cifar10_net --fix optimizer=adam --sweep momentum")
    assert "at optimizer=adam; give --fix optimizer=sgd instead" in str(error.value)


def test_a_cluster_is_not_joined_without_a_token(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(here / "none"))
    with pytest.raises(UsageError) as error:
        ask("lenet_beans --address 10.0.0.1:6379 --trials 0")
    assert "--trials 0: must be a whole number of at least 1" in error.value.mistakes
    told = [each for each in error.value.mistakes if "no token to join it with" in each]
    assert len(told) == 1


def test_a_folder_that_a_kill_left_empty_can_be_taken(here: Path) -> None:
    (here / "results" / "s").mkdir(parents=True)
    (here / "results" / "s" / "journal.log").touch()
    assert ask("lenet_beans --study s").folder == here / "results" / "s"


OLD = {"kind": "embedded", "dataset": "beans", "location": ""}


def manifest(plan: Plan, **data: str) -> dict[str, Any]:
    return {"experiment": "lenet_beans", "budget": plan.as_json(), "data": OLD | data}


def resume(words: str, old: dict[str, Any]) -> request.Request:
    Path("results/s").mkdir(parents=True, exist_ok=True)
    Path("results/s/study.json").write_text("{}")
    return ask(f"lenet_beans --study s --resume {words}", old)


STUDY = Plan(7, 5, 3, "random", "median", "float32", {"image_size": 64, "dropout": 0.2})
SWEEP = Plan(3, 8, 1, stopper="asha", fixed={"image_size": 64}, sweep=("kernel_size",))


SEEDS = Plan(4, 8, stopper="none", sweep=("dropout=0.2",), seeds=2)
LATER = Plan(4, 8, first_rung=3)
BY_BOTH = Plan(120, 20, compared=BOTH)
OLDER = Plan(120, 20)  # as studies are that say nothing of it


@pytest.mark.parametrize(
    ("words", "kind", "other"),
    [("--data tfds", "embedded", "tfds"), ("--data embedded", "tfds", "embedded")],
)
def test_other_data_on_resume_is_refused_before_it_comes(
    words: str, kind: str, other: str
) -> None:
    old = manifest(STUDY, kind=kind)
    line = f"data.kind: the study has {kind}, now it would be {other}"
    with pytest.raises(ResumeRefused, match=line):
        resume(words, old)


def test_other_data_of_a_sweep_is_told_as_such() -> None:
    with pytest.raises(
        ResumeRefused, match=r"data\.kind: the study has tfds, now it would be emb"
    ):
        resume("--seeds 2 --data embedded", manifest(SEEDS, kind="tfds"))


@pytest.mark.parametrize("swept", ["kernel_size=3,9", "width"])
def test_a_sweep_of_what_the_space_no_longer_has_is_refused(swept: str) -> None:
    found = find("lenet_beans")
    old = manifest(Plan(3, 8, stopper="none", sweep=(swept,)))
    old["space"] = {**describe_space(found), "kernel_size": "3, 9", "width": "1 to 2"}
    old["defaults"] = found.defaults()
    line = r"space\.kernel_size: the study has 3, 9, now it would be 3, 5, 7\n"
    with pytest.raises(ResumeRefused, match=line + r"space\.width: the study has 1 to 2, now"):
        resume("", old)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("sampler", "prior, tpe, additive, random, gp, grid"),
        ("stopper", "asha, hyperband, median, none"),
        ("precision", "auto, bfloat16, float32"),
        ("compared", "accuracy, accuracy and loss"),
    ],
)
@pytest.mark.parametrize("words", ["", "--sampler tpe"])
def test_words_of_a_newer_version_are_refused(words: str, name: str, valid: str) -> None:
    old = manifest(STUDY)
    old["budget"][name] = "newer"
    line = (
        f"study.json: {name} must be one of {valid}; got 'newer': a newer version began the "
        "study, and goes on with it, or the file is damaged"
    )
    with pytest.raises(UsageError) as raised:
        resume(words, old)
    assert raised.value.mistakes == (line,)
    assert exit_code(raised.value) == 2


def test_precision_that_a_newer_version_worked_out_is_refused() -> None:
    old = manifest(replace(STUDY, precision="auto"))
    assert resume("", old | {"resources": {"precision": "float32"}}).plan.precision == "auto"
    with pytest.raises(UsageError, match=r"precision must be .*; got \['float16'\]: a newer"):
        resume("", old | {"resources": {"precision": ["float16"]}})


@pytest.mark.parametrize("plan", [STUDY, SWEEP, SEEDS, LATER, BY_BOTH, OLDER])
def test_what_is_not_given_on_resume_comes_from_the_study(plan: Plan) -> None:
    asked = resume("", manifest(plan))
    assert asked.plan == plan
    assert asked.resume
    assert (asked.data.kind, asked.data.location) == ("embedded", "")


@pytest.mark.parametrize(
    "words", ["--fix dropout=0.2", "--seed 3 --trials 7", "--data embedded", "--stopper median"]
)
def test_repeating_what_the_study_has_changes_nothing(words: str) -> None:
    assert resume(words, manifest(STUDY)).plan == STUDY


@pytest.mark.parametrize(
    ("held", "given", "goes_on"),
    [
        ("rotation+flip", "rotation+flip", "rotation+flip"),  # as versions wrote it in any order
        ("rotation+flip", "flip+rotation", "rotation+flip"),
        ("flip+rotation", "rotation+flip", "flip+rotation"),
        ("rotation+flip", "flip", "flip"),  # another one, to be refused
        ("spin", "flip+rotation", "flip+rotation"),
    ],
)
def test_a_held_value_that_is_read_alike_is_the_same_study(
    held: str, given: str, goes_on: str
) -> None:
    plan = Plan(2, 27, fixed={"augmentation": held})
    old = manifest(plan) | {"experiment": "inception_beans"}
    Path("results/s").mkdir(parents=True)
    Path("results/s/study.json").write_text("{}")
    asked = ask(f"inception_beans --study s --resume --fix augmentation={given}", old)
    assert asked.plan == replace(plan, fixed={"augmentation": goes_on})


def test_the_first_command_with_resume_added_is_the_same_study() -> None:
    words = "--preset quick --seed 4 --fix dropout=0.2 --sampler random"
    first = ask(f"lenet_beans {words}").plan
    assert resume(words, manifest(first)).plan == first
    assert resume("--preset quick", manifest(first)).plan == first
    sweep = ask("lenet_beans --preset quick --sweep image_size").plan
    assert resume("--preset quick --sweep image_size", manifest(sweep)).plan == sweep
    assert resume("--preset quick", manifest(sweep)).plan == sweep


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--trials 9", "trials", 9),
        ("--seed 1", "seed", 1),
        ("--preset thorough", "trials", 100),
        ("--fix dropout=0.4", "fixed", {"image_size": 64, "dropout": 0.4}),
        ("--sweep filters", "sweep", ("filters",)),
        ("--first-rung 3", "rungs", (3,)),
    ],
)
def test_other_settings_on_resume_are_kept_for_the_comparison(
    words: str, name: str, value: Any
) -> None:
    assert getattr(resume(words, manifest(STUDY)).plan, name) == value


def test_a_sweep_that_goes_on_takes_no_trials() -> None:
    Path("results/s").mkdir(parents=True)
    Path("results/s/study.json").write_text("{}")
    (line,) = wrong("lenet_beans --study s --resume --trials 9", manifest(SWEEP))
    assert line.startswith("--trials does not go with --sweep")


def test_data_may_have_moved(here: Path) -> None:
    old = manifest(STUDY, kind="tfds", location="/old/place")
    assert resume("", old).data.location == "/old/place"
    assert resume("--data tfds", old).data.location == "/old/place"
    assert resume("--data-dir new", old).data.location == str(here / "new")


def test_a_folder_of_images_may_have_moved(here: Path) -> None:
    old = manifest(STUDY, kind="folder", location="/old/place")
    assert resume("", old).data.location == "/old/place"
    assert resume("--data-dir new", old).data == DataSpec("beans", "folder", str(here / "new"))


def test_a_study_of_another_experiment_is_refused() -> None:
    old = manifest(STUDY) | {"experiment": "cifar10_net"}
    with pytest.raises(ResumeRefused, match="experiment: the study has cifar10_net, now it") as no:
        resume("", old)
    assert exit_code(no.value) == 3


def test_a_space_with_names_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "find", lambda _: toy.EXPERIMENT)
    assert ask("toy --fix depth=3").plan.fixed == {"depth": 3}
    (line,) = wrong("toy --sweep depth")
    assert line == "--sweep depth: has no effect at kind=a; give --fix kind=b"
    (line,) = wrong("toy --fix depth=3.0")
    assert line == (
        "--fix depth=3.0: depth must be one of whole numbers 1 to 3 in steps of 1; got '3.0'"
    )


@dataclass(frozen=True)
class Dependent(Experiment):
    """Of a range that hangs on a choice, as Optuna's define-by-run has it."""

    def space(self) -> Any:
        return of_optimizers

    def defaults(self) -> dict[str, Any]:
        return {"optimizer": "sgd", "rate": 0.05}

    def check(self, config: Mapping[str, Any], classes: int | None = None) -> None:
        if config["rate"] == 0.001:
            raise ValueError(f"rate=0.001 does not go with {config['optimizer']}")


def test_values_that_do_not_go_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dependent = Dependent("dependent", "", "beans", None, toy.PRESETS, None)
    monkeypatch.setattr(request, "find", lambda _: dependent)
    line = "rate=0.05, as published, is none of 0.001 to 0.01 (log scale), which is what the other"
    for words in ("--fix optimizer=adam", "--sweep optimizer"):
        (told,) = wrong(f"dependent {words}")
        assert told == f"{line} values leave; give --fix rate=..."
    assert ask("dependent --fix optimizer=adam --fix rate=0.01").plan.fixed["rate"] == 0.01
    (told,) = wrong("dependent --sweep rate=0.001,0.002")
    assert told == "rate=0.001 does not go with sgd"


def test_an_experiment_needs_its_presets() -> None:
    with pytest.raises(ValueError, match="x: presets must include standard, thorough"):
        Experiment("x", "", "beans", None, {"quick": Preset(1, 1)}, None)


def test_values_that_do_not_go_together() -> None:
    (line,) = wrong("cifar10_transfer --fix source_classes=3,6,5")
    assert line == (
        "source_classes and target_classes must not share a class: 5, 6; "
        "hold the other by --fix source_classes=... or target_classes=..."
    )
    held = "cifar10_transfer --fix source_classes=5,6 --fix target_classes=1,0 --data embedded"
    assert ask(held).plan.fixed == {"source_classes": "5,6", "target_classes": "0,1"}


def test_a_sweep_of_one_value() -> None:
    (line,) = wrong("cifar10_transfer --sweep source_classes")
    assert line == ("--sweep source_classes: has no effect: it has one value to search, 0,1,2,3,4")
