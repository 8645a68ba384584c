"""search.confirm from its command line: mistakes, a whole confirmation, a second look."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from search import catalog, confirmation, judgement, judging
from search.book import Book
from search.confirm import build_parser, main
from search.contenders import Contender, best_contenders
from search.errors import ResumeRefused, UsageError
from search.folder import KEPT_NAMES
from search.interrupts import EndEarly
from search.journal import own
from search.own_words import in_own_words
from search.past import read_records
from search.plan import Plan
from search.records import Record
from search.request import Request
from search.winner import read_winner
from tests.search_tests.toy import DATA, EXPERIMENT, begin, drive, events, go_on, space
from tests.search_tests.winners import make_images
from trainables.budget import Weights
from trainables.data import DataSpec, open_data

OF_BEST = ("epoch", *judging.AT_BEST)  # what weights say of themselves
ONE, TWO = ({"rate": rate} for rate in (0.1, 0.2))
CHOSEN = [Contender(1, ONE, True, None), Contender(2, TWO, False, None)]


def wrong(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    code = main(words)
    told = capsys.readouterr()
    assert told.out == ""
    return code, told.err.splitlines()


def test_mistakes_are_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--top", "0", "--seeds", "x", "--concurrent", "0", "--time-budget", "soon")
    code, lines = wrong(capsys, "s", *words, "--gpus-per-trial", "x")
    assert code == 2
    assert sorted(line.removeprefix("search.confirm: ")[:26] for line in lines) == [
        "--concurrent 0: must be a ",
        "--gpus-per-trial x: must b",
        "--seeds x: must be a whole",
        "--time-budget soon: must b",
        "--top 0: must be a whole n",
    ]


def test_an_interrupt_while_modules_load_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "search.confirmation", Loading("search.confirmation"))
    assert wrong(capsys, "s") == (130, ["", "search.confirm: interrupted"])


def test_by_default_the_best_five_and_the_published_one_are_trained_on_five_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Ended:
        """In the place of the session: it ends before anything is trained."""

        def __init__(self, request: Request, *_: object) -> None:
            asked.append(request.plan)

        def run(self) -> int:
            return 130

    monkeypatch.setitem(catalog.EXPERIMENTS, "toy", EXPERIMENT)
    monkeypatch.setattr(confirmation, "Session", Ended)
    opened = begin(Plan(20, 2, stopper="none"), tmp_path / "s")
    drive(opened.book)
    opened.close()
    assert sum(record.counts for record in read_records(tmp_path / "s")) > 6
    assert main(["s", "--results-dir", str(tmp_path)]) == 130
    (plan,) = asked
    assert (len(plan.configurations), plan.seeds, plan.trials) == (6, 5, 30)


def wider(trial: Any) -> dict[str, Any]:
    return {**space(trial), "width": trial.suggest_categorical("width", [1, 2])}


def narrower(trial: Any) -> dict[str, Any]:
    config = space(trial)
    return {**config, "drop": trial.suggest_float("drop", 0.4, 0.6, step=0.2)}


@pytest.mark.parametrize(
    ("now", "line"),
    [(wider, "space.width: the study has None, now it"), (narrower, "space.drop: the study has")],
)
def test_what_todays_space_lacks_is_not_trained(
    now: Any,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened = begin(Plan(2, 2, fixed={"rate": 0.01}), tmp_path / "s")
    drive(opened.book)
    opened.close()
    changed = SimpleNamespace(
        name="toy", space=lambda: now, defaults=EXPERIMENT.defaults, readers=EXPERIMENT.readers
    )
    monkeypatch.setattr(confirmation, "find", lambda _: changed)
    code, lines = wrong(capsys, "s", "--results-dir", str(tmp_path))
    assert (code, lines[0]) == (3, "search.confirm: study s was made with another space:")
    assert any(line in each for each in lines[1:])
    assert not (tmp_path / "s" / "confirm").exists()


def test_no_such_study(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, (line,) = wrong(capsys, "s", "--results-dir", str(tmp_path))
    assert code == 2
    assert "no study 's'" in line


def ask(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Ray keeps what earlier tests of this one have set."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small search and a sweep over seeds, on the embedded leaves."""
    root = tmp_path_factory.mktemp("studies")
    common = ["--data", "embedded", "--max-epochs", "2", "--fix", "image_size=64"]
    words = ["lenet_beans", *common, "--results-dir", str(root), "--fix", "kernel_size=3"]
    sweep = ["--sweep", "filters=3/8/60", "--seeds", "2", "--study", "sweep"]
    for more in (["--trials", "2", "--study", "search"], sweep):
        done = ask("search.run", *words, *more)
        assert done.returncode == 0, done.stderr
    return root


def rows_of(study: Path) -> list[dict[str, str]]:
    with (study / "confirm.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_search_is_confirmed_and_looked_at_again(studies: Path) -> None:
    words = ["search", "--results-dir", str(studies)]
    first = ask("search.confirm", *words, "--top", "1", "--seeds", "2")
    assert first.returncode == 0, first.stderr
    study = studies / "search"
    rows, content = rows_of(study), json.loads((study / "confirm.json").read_text())
    published = [row for row in rows if row["published"] == "True"]
    assert len(published) == 2
    assert len({row["seed"] for row in rows}) == 2
    searched = {row["seed"] for row in csv.DictReader((study / "trials.csv").open(newline=""))}
    assert not searched & {row["seed"] for row in rows}
    for row in rows:
        matrix = json.loads(row["confusion_matrix"])
        right = sum(line[place] for place, line in enumerate(matrix))
        assert float(row["test_accuracy"]) == pytest.approx(right / 120)
        assert 0 < float(row["test_loss"]) < 20
    assert len(content["opened"]) == 1
    told = json.loads((study / "confirm_best.json").read_text())
    assert told["configuration"] == content["recommended"]
    assert (study / "confirm.pt").exists()
    assert not list((study / "confirm/trials").rglob("*.pt"))
    # Again: nothing is trained, the test split stays closed, and the second look is told.
    again = ask("search.confirm", *words)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert f"note: the test split was opened before: {content['opened'][0]}" in again.stderr
    assert json.loads((study / "confirm.json").read_text()) == content
    # Other numbers would open it again.
    other = ask("search.confirm", *words, "--seeds", "3")
    assert other.returncode == 3
    assert "--seeds 3: it was begun with 2 seeds" in other.stderr


@pytest.mark.slow
def test_a_sweep_over_seeds_is_judged_without_training(studies: Path) -> None:
    study = studies / "sweep"
    curves = (study / "curves.csv").read_bytes()
    refused = ask("search.confirm", "sweep", "--results-dir", str(studies), "--top", "2")
    assert refused.returncode == 2
    assert "sweep is a sweep over seeds" in refused.stderr
    done = ask("search.confirm", "sweep", "--results-dir", str(studies))
    assert done.returncode == 0, done.stderr
    assert (study / "curves.csv").read_bytes() == curves
    assert not (study / "confirm").exists()
    rows = rows_of(study)
    assert [row["configuration"] for row in rows] == ["1", "1", "2", "2"]
    assert [row["config.filters"] for row in rows] == ["6/16/120"] * 2 + ["3/8/60"] * 2
    content = json.loads((study / "confirm.json").read_text())
    assert [each["optimism"] for each in content["configurations"]] == [None, None]
    assert content["real_data"] is False


@pytest.mark.slow
def test_a_pretrained_network_is_confirmed_and_predicts(tmp_path: Path) -> None:
    spec = DataSpec("beans", "folder", str(make_images(tmp_path / "images", classes=3, each=20)))
    held = {
        "unfreeze_blocks": 2, "head_epochs": 5, "finetune_epochs": 2, "head_width": 256,
        "batch_size": 16,
    }  # fmt: skip
    words = [f"--fix={name}={value}" for name, value in held.items()]
    words += ["--data", f"folder:{spec.location}", "--weights", "random", "--max-epochs", "7"]
    words += ["--sweep", "dropout=0.2", "--seeds", "2", "--precision", "float32"]
    place = ["--results-dir", str(tmp_path)]
    swept = ask("search.run", "inception_beans", *words, "--study", "deep", *place)
    assert swept.returncode == 0, swept.stderr
    done = ask("search.confirm", "deep", *place)
    assert done.returncode == 0, done.stderr
    rows = {row["trial"]: row for row in rows_of(tmp_path / "deep")}
    told = json.loads((tmp_path / "deep" / "confirm_best.json").read_text())
    assert len(rows) == 4
    assert not list((tmp_path / "deep" / "trials").rglob("*.pt"))
    # 94 convolutions of 6 tensors each, and the head's 4: its weights alone are enough.
    saved = torch.load(tmp_path / "deep" / "confirm.pt", weights_only=True)
    assert len(saved["model"]) == 94 * 6 + 4
    split = open_data(spec).split("test", 299)
    assert len(split.labels) == 9  # 15 % of 60
    with torch.inference_mode():
        logits = read_winner(tmp_path / "deep").network()(torch.from_numpy(split.images))
    right = float((logits.argmax(1).numpy() == split.labels).mean())
    # Stored activations are bfloat16: an image at the border may fall to the other side.
    expected = float(rows[str(told["trial"])]["test_accuracy"])
    assert right == pytest.approx(expected, abs=1.01 / 9)
    answers = ask("search.predict", "deep", str(tmp_path / "images" / "kind 1"), *place)
    assert answers.returncode == 0, answers.stderr
    found = list(csv.DictReader(answers.stdout.splitlines()))
    assert len(found) == 20
    assert {row["class"] for row in found} <= {"kind 0", "kind 1", "kind 2"}


@pytest.mark.slow
def test_data_that_has_changed_is_refused(studies: Path, tmp_path: Path) -> None:
    study = tmp_path / "sweep"
    shutil.copytree(studies / "sweep", study)
    for name in ("confirm.csv", "confirm.json"):
        (study / name).unlink(missing_ok=True)
    path = study / "study.json"
    content = json.loads(path.read_text())
    content["data"]["fingerprint"] = "0" * 64
    path.write_text(json.dumps(content))
    refused = ask("search.confirm", "sweep", "--results-dir", str(tmp_path))
    assert refused.returncode == 3
    assert "is not what sweep was trained on" in refused.stderr


def test_an_unfinished_sweep_is_told_how_to_finish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.confirmation.find", lambda _: None)
    plan = Plan(4, 2, stopper="none", sweep=("drop=0.2",), seeds=2)
    opened = begin(plan, tmp_path / "s")
    opened.book.next()
    opened.close()
    monkeypatch.setattr("search.confirmation.find", lambda _: opened.book.experiment)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a token")  # without one no Ray is joined
    begun = json.loads((tmp_path / "s" / "study.json").read_text())
    place = ("--results-dir", str(tmp_path))
    given = ("--data-dir", "/d", "--weights", "/w.pt", "--time-budget", "1h")
    for address, words, more in (
        ([], [], ""),
        ([], [*given, "--address", "auto"], " --address auto --data-dir /d --weights /w.pt"),
        (["--address", "h:1"], given, " --address h:1 --data-dir /d --weights /w.pt"),
        (["--address", "h:1"], ["--address", "local"], ""),
    ):
        command = {"command": [*begun["command"], *address]}
        (tmp_path / "s" / "study.json").write_text(json.dumps(begun | command))
        code, (line,) = wrong(capsys, "s", *place, *words)
        assert code == 1
        assert line == (
            "search.confirm: 4 of 4 trials of s are still to come: finish it by python -m "
            f"search.run toy --study s --resume {' '.join(place)}{more}, or give --partial"
        )


def train(book: Book, count: int) -> None:
    """Train the next trials of a sweep of the toy, with weights that can be loaded."""
    for _ in range(count):
        given = book.next()
        assert given is not None
        folder = book.folder.trial(given.number)
        *rows, _ = events(given, folder, book.plan.max_epochs)
        for each in rows:
            book.report(given.number, each)
        best = max(rows, key=lambda each: float(each["val_accuracy"]))
        for name in KEPT_NAMES:
            torch.save({"model": {}} | {key: best[key] for key in OF_BEST}, folder / name)
        book.end(given.number, "completed")


def test_a_sweep_is_judged_in_part_and_its_weights_stay_until_all_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("confirmation", "request"):
        monkeypatch.setattr(f"search.{place}.find", lambda _: EXPERIMENT)
    monkeypatch.setattr(judgement, "open_data", lambda *_: DATA)
    monkeypatch.setattr(judgement, "prepare", lambda *_, **__: None)
    measures = {**dict.fromkeys(judging._MEASURED, 0.5), "confusion_matrix": [[1, 0], [0, 1]]}
    monkeypatch.setattr(judging, "measured", lambda *_: measures)
    plan, root = Plan(4, 2, stopper="none", sweep=("drop=0.2",), seeds=2), tmp_path / "s"

    def found(*words: str) -> tuple[int, int, int, int]:
        assert main(["s", "--results-dir", str(tmp_path), *words]) == 0
        content = json.loads((root / "confirm.json").read_text())
        kept = len(list((root / "trials").rglob("*.pt")))
        return len(rows_of(root)), content["paired_seeds"], len(content["opened"]), kept

    opened = begin(plan, root)
    train(opened.book, 3)
    opened.close()
    assert found("--partial") == (3, 1, 1, 6)  # rows, seeds that both have, openings, weights
    opened = go_on(plan, root)
    train(opened.book, 1)
    opened.close()
    assert found() == (4, 2, 2, 0)


def test_a_search_is_not_judged_in_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(Plan(2, 2), tmp_path / "s").close()
    monkeypatch.setattr("search.confirmation.find", lambda _: EXPERIMENT)
    code, (line,) = wrong(capsys, "s", "--results-dir", str(tmp_path), "--partial")
    assert (code, line) == (2, "search.confirm: --partial goes with a sweep over seeds alone")


def test_a_search_without_a_finished_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = begin(Plan(2, 2), tmp_path / "s")
    opened.book.next()
    opened.close()
    monkeypatch.setattr("search.confirmation.find", lambda _: opened.book.experiment)
    code, (line,) = wrong(capsys, "s", "--results-dir", str(tmp_path))
    assert (code, line) == (
        1, "search.confirm: s has no trial that finished: there is nothing to confirm",
    )  # fmt: skip
    assert drive(begin(Plan(1, 1), tmp_path / "other").book) == [0]


def test_what_is_in_the_way_is_told_without_options_of_another_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("confirmation", "request"):
        monkeypatch.setattr(f"search.{place}.find", lambda _: EXPERIMENT)
    opened = begin(Plan(1, 1), tmp_path / "s")
    drive(opened.book)
    opened.close()
    nested = tmp_path / "s" / "confirm"
    nested.mkdir()
    (nested / "notes").touch()
    place = ("--results-dir", str(tmp_path))
    assert wrong(capsys, "s", *place) == (2, [
        f"search.confirm: {nested} exists and is no study, having no study.json: move it away",
    ])  # fmt: skip
    shutil.rmtree(nested)
    first = begin(Plan(1, 1), nested)
    for again in (lambda: own(nested), lambda: begin(Plan(1, 1), nested)):
        with (
            pytest.raises(UsageError, match=r"^study s is being confirmed by another process$"),
            in_own_words(tmp_path / "s", nested),
        ):
            again()
    first.close()


def test_a_sweep_whose_folder_has_no_plain_name_is_to_be_renamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("confirmation", "request"):
        monkeypatch.setattr(f"search.{place}.find", lambda _: EXPERIMENT)
    root = tmp_path / "s copy"
    begin(Plan(4, 1, stopper="none", sweep=("drop=0.2",), seeds=2), root).close()
    code, (line,) = wrong(capsys, str(root), "--partial")
    assert code == 2
    assert line.startswith(
        f"search.confirm: {root}: rename it; its name must be a plain name of up to 100 letters"
    )


def test_the_way_on_names_another_ray_and_place() -> None:
    def way(*words: str, seeds: int | None = None) -> str:
        given = build_parser().parse_args(["mine", *words])
        return " ".join(confirmation._again(given, 4, seeds))

    assert way() == "python -m search.confirm mine --top 4"
    assert way(seeds=10) == "python -m search.confirm mine --top 4 --seeds 10"
    old = {"command": ["python", "-m", "search.confirm", "mine", "--top", "3"]}
    assert (confirmation._top_of(old), confirmation._top_of({"command": ["x"]})) == ("3", None)
    unknown = confirmation._again(build_parser().parse_args(["mine"]), None, None)
    assert " ".join(unknown) == "python -m search.confirm mine"
    assert way("--results-dir", "r", "--address", "auto", "--concurrent", "2") == (
        "python -m search.confirm mine --top 4 --results-dir r --concurrent 2 --address auto"
    )


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (EndEarly("time budget reached", asked_for=True), 0, "time budget reached: go on by the"),
        (EndEarly("terminated", asked_for=False), 130, "terminated: go on by the same command"),
        (KeyboardInterrupt(), 130, "interrupted: go on by the same command"),
    ],
)
def test_what_ends_the_judging_early(
    end: BaseException,
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ended(*_: object) -> None:
        raise end

    begin(Plan(2, 2), tmp_path / "s").close()
    monkeypatch.setattr(judgement, "court_of", ended)
    nothing: Any = None
    where = tmp_path / "s", tmp_path / "s"
    assert judgement.judged(nothing, *where, {}, [], nothing) == code
    assert told in capsys.readouterr().err


def test_a_better_one_found_since_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = begin(Plan(6, 4, seed=3, sampler="random", stopper="none"), tmp_path / "s")
    drive(opened.book)
    opened.close()
    records = read_records(tmp_path / "s")
    best, second, *_ = best_contenders(EXPERIMENT, {}, records, 9)

    def begun(*configs: Contender) -> str:
        budget = {"configurations": [each.config for each in configs], "seeds": 2, "fixed": {}}
        now = best_contenders(EXPERIMENT, {}, records, 5)
        nested = tmp_path / "s" / "confirm"
        args = ({"budget": budget}, now, None, None, EXPERIMENT, records, nested)
        chosen = confirmation._as_begun(*args)
        assert [each.config for each in chosen] == [each.config for each in configs]
        return capsys.readouterr().err

    assert begun(best, second) == ""
    note = begun(second)
    assert f"the search has found better since ({best.searched:.4f} on validation)" in note
    assert f"remove {tmp_path / 's' / 'confirm'} to begin anew" in note


def test_the_same_top_goes_on_though_the_search_has_gone_on(tmp_path: Path) -> None:
    """What was begun stands; a better one found since is told of."""
    opened = begin(Plan(9, 4, seed=3, sampler="random", stopper="none"), tmp_path / "s")
    drive(opened.book)
    opened.close()
    records = read_records(tmp_path / "s")
    every = best_contenders(EXPERIMENT, {}, records, 9)
    published = next(each for each in every if each.published)
    others = [each for each in every if not each.published]

    def goes_on(top: int, *begun: Contender) -> int:
        budget = {"configurations": [each.config for each in begun], "seeds": 2, "fixed": {}}
        now = best_contenders(EXPERIMENT, {}, records, top)
        args = ({"budget": budget}, now, top, None, EXPERIMENT, records, tmp_path / "confirm")
        return len(confirmation._as_begun(*args))

    assert goes_on(2, *others[-2:], published) == 3  # the best two of then, and it
    assert goes_on(3, *others[-2:], published) == 3  # or it was one of three
    for top in (1, 4):
        with pytest.raises(
            ResumeRefused, match=f"--top {top}: it was begun with 3 configurations"
        ):
            goes_on(top, *others[-2:], published)


def test_a_search_of_few_goes_on_with_the_same_top(tmp_path: Path) -> None:
    opened = begin(Plan(6, 4, seed=3, sampler="random", stopper="none"), tmp_path / "s")
    drive(opened.book)
    opened.close()
    records = read_records(tmp_path / "s")

    def best(top: int) -> list[Any]:
        return [each.config for each in best_contenders(EXPERIMENT, {}, records, top)]

    def goes_on(top: int, begun_with: int, *begun: Any) -> int:
        budget = {"configurations": list(begun), "seeds": 2, "fixed": {}}
        command = ["python", "-m", "search.confirm", "s", "--top", str(begun_with)]
        old = {"budget": budget, "command": command}
        now = best_contenders(EXPERIMENT, {}, records, top)
        nested = tmp_path / "confirm"
        return len(confirmation._as_begun(old, now, top, None, EXPERIMENT, records, nested))

    assert len(best(9)) == 3  # of five that are asked for
    assert goes_on(5, 5, *best(5)) == 3
    assert goes_on(9, 5, *best(5)) == 3  # the same three
    assert goes_on(1, 1, *best(1)) == goes_on(2, 1, *best(1)) == 2  # the second is published
    with pytest.raises(ResumeRefused, match="--top 3: it was begun with"):
        goes_on(3, 1, *best(1))
    # Begun when the search had found others: the number that was asked for counts.
    assert goes_on(1, 1, *best(9)[1:]) == 2
    with pytest.raises(ResumeRefused, match="--top 2: it was begun with 2"):
        goes_on(2, 1, *best(9)[1:])


def test_configurations_that_were_infeasible_on_a_seed_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = [
        Record(0, "completed", ONE, 0, (), 1.0),
        Record(1, "failed", ONE, 1, (), 1.0, "node lost"),  # nobody's plan
        Record(2, "infeasible", TWO, 0, (), 1.0, "diverged: epoch 2"),
        Record(3, "completed", TWO, 1, (), 1.0),
    ]
    assert judgement.unsafe(CHOSEN, records) == {2}
    told = capsys.readouterr().err
    line = "note: configuration 2 was infeasible on some seed: the others stand before it\n"
    assert told == line


def test_configurations_that_were_stopped_on_a_seed_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Stopped for being worse: the mean of the other seeds is too good."""
    records = [
        Record(0, "completed", ONE, 0, (), 1.0),
        Record(1, "completed", TWO, 0, (), 1.0),
        Record(2, "completed", ONE, 1, (), 1.0),
        Record(3, "stopped", TWO, 1, (), 1.0),
    ]
    assert judgement.unsafe(CHOSEN, records) == {2}
    told = capsys.readouterr().err
    assert told == "note: configuration 2 was stopped on some seed: the others stand before it\n"
    judgement.say_missing(records)
    assert "note: trial 3 was stopped after 0 epochs, left out\n" in capsys.readouterr().err


@pytest.mark.parametrize("had", ["other", None])
def test_other_weights_than_the_trials_had_judge_nothing(
    had: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep's trials kept what they trained alone: the rest comes from the weights."""
    opened = begin(Plan(2, 2), tmp_path / "s")
    opened.close()
    manifest = json.loads((tmp_path / "s" / "study.json").read_text())
    data = SimpleNamespace(fingerprint=manifest["data"]["fingerprint"])
    given = Weights("file", "/there/w.pth", "mine")
    monkeypatch.setattr(judgement, "open_data", lambda *_: data)
    monkeypatch.setattr(judgement, "find_weights_of", lambda *_: given)
    plan = SimpleNamespace(precision="auto")
    request: Any = SimpleNamespace(
        data=None, experiment=EXPERIMENT, weights=None, plan=plan, device="cpu"
    )
    where = tmp_path / "s", tmp_path / "s"
    manifest["weights"] = {"source": "file", "path": "/there/w.pth", "fingerprint": "mine"}
    court = judgement.court_of(request, *where, manifest)
    assert (court.weights, court.device) == (given, "cpu")
    manifest["weights"] = had and {"source": "file", "path": "/a", "fingerprint": had}
    with pytest.raises(
        ResumeRefused, match=r"the weights /there/w\.pth are not what s was trained"
    ):
        judgement.court_of(request, *where, manifest)
