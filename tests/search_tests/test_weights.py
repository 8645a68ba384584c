"""--weights from the command line to study.json, a resume and the trials."""

import json
import shutil
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import trainables.weights
from analysis.table import main as table
from search import request, session, study
from search.catalog import EXPERIMENTS
from search.errors import ResumeRefused, UsageError, exit_code
from search.manifest import make_manifest, parse_manifest
from search.options import build_parser
from search.plan import Plan
from search.resources import Machine, Resources
from search.runner import job
from search.weights import weights_of
from tests.search_tests.bench import Bench, make_bench
from tests.search_tests.toy import DATA, EXPERIMENT, drive, manifest
from tests.trainables_tests.fake_weights import write_state
from trainables.budget import Weights
from trainables.data.source import Progress
from trainables.errors import TrellisError

PRETRAINED = replace(EXPERIMENTS["lenet_beans"], pretrained=True)
RANDOM = Weights("random", "", "random-0")
FILE = Weights("file", "/old/w.pth", "ab" * 32)
DOWNLOADED = Weights("torchvision", "/old/hub/w.pth", "cd" * 32)
PLAN = Plan(trials=2, max_epochs=1)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an experiment with pretrained weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(request, "this_machine", lambda: Machine(4, 0))
    monkeypatch.setattr(request, "find", lambda _: PRETRAINED)
    return tmp_path


def parse(words: str) -> Namespace:
    return build_parser().parse_args(["lenet_beans", "--data", "embedded", *words.split()])


def asked(words: str) -> str | None:
    return request.check(parse(words)).weights


def mistakes(words: str, old: dict[str, Any] | None = None) -> tuple[str, ...]:
    with pytest.raises(UsageError) as error:
        request.check(parse(words), old)
    assert exit_code(error.value) == 2
    return error.value.mistakes


def test_a_later_version_may_tell_more_of_them() -> None:
    content = manifest(PLAN) | {"weights": {**asdict(FILE), "license": "BSD"}}
    read = parse_manifest(json.dumps(content).encode(), "study.json")
    assert weights_of(read) == FILE
    assert weights_of(read | {"weights": None}) is None


# --- the command line


def test_what_is_asked_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "w.pth").touch()
    monkeypatch.setenv("HOME", str(here))
    assert asked("") is None
    assert asked("--weights random") == "random"
    for text in ("w.pth", "./w.pth", "~/w.pth", str(here / "w.pth")):
        assert asked(f"--weights {text}") == str(here / "w.pth")
    (here / "random").touch()
    assert asked("--weights ./random") == str(here / "random")


def test_a_path_that_leads_nowhere_is_told_with_the_other_mistakes(here: Path) -> None:
    assert mistakes("--weights no.pth --trials 0") == (
        "--trials 0: must be a whole number of at least 1",
        "--weights no.pth: must be random or a file, and this is no such file",
    )
    (line,) = mistakes("--weights .")
    assert line == "--weights .: must be random or a file, and this is a folder"
    (line,) = mistakes("--weights=")
    assert line == "--weights : must be random or a file, and this is no such file"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("text", ["random", "no.pth"])
def test_an_experiment_without_weights_takes_none(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "find", lambda _: EXPERIMENTS["lenet_beans"])
    (line,) = mistakes(f"--weights {text}")
    assert line == f"--weights {text}: lenet_beans has no pretrained weights"
    assert asked("") is None


def old_study(weights: Weights | None) -> dict[str, Any]:
    data = {"kind": "embedded", "dataset": "beans", "location": ""}
    content = {"experiment": "lenet_beans", "budget": PLAN.as_json(), "data": data}
    Path("results/s").mkdir(parents=True, exist_ok=True)
    Path("results/s/study.json").write_text("{}")
    return content | {"weights": weights and asdict(weights)}


def test_on_resume_the_weights_of_the_study_stand_in(here: Path) -> None:
    (here / "w.pth").touch()
    there = replace(FILE, path=str(here / "w.pth"))

    def resumed(weights: Weights | None, words: str = "") -> str | None:
        return request.check(parse(f"--study s --resume {words}"), old_study(weights)).weights

    assert resumed(RANDOM) == "random"
    assert resumed(there) == there.path
    assert resumed(DOWNLOADED) is None  # looked for where the hub is now
    assert resumed(None) is None
    assert resumed(there, "--weights random") == "random"  # refused later, with the difference
    assert resumed(FILE, "--weights w.pth") == there.path  # moved
    assert mistakes("--study s --resume", old_study(FILE)) == (
        "--weights /old/w.pth: must be random or a file, and this is no such file; the study had "
        "its weights there: say where they are now",
    )


# --- study.json


def content_with(weights: Weights | None) -> dict[str, Any]:
    return manifest(PLAN) | {"weights": weights and asdict(weights)}


def test_the_manifest_names_the_weights() -> None:
    made = make_manifest(EXPERIMENT, PLAN, DATA, ["x"], FILE)
    assert made["weights"] == {"source": "file", "path": "/old/w.pth", "fingerprint": "ab" * 32}
    assert make_manifest(EXPERIMENT, PLAN, DATA, ["x"])["weights"] is None


def resume(before: dict[str, Any], now: dict[str, Any]) -> None:
    shutil.rmtree("s", ignore_errors=True)
    study.begin(EXPERIMENT, PLAN, Path("s"), before).close()
    study.go_on(EXPERIMENT, PLAN, Path("s"), now).close()


def test_the_same_weights_go_on_wherever_they_are() -> None:
    resume(content_with(FILE), content_with(replace(FILE, path="/new/w.pth")))
    resume(content_with(FILE), content_with(replace(DOWNLOADED, fingerprint="ab" * 32)))
    older = manifest(PLAN)
    del older["weights"]
    resume(older, content_with(None))


@pytest.mark.parametrize(
    ("had", "now"), [(FILE, DOWNLOADED), (RANDOM, FILE), (FILE, None), (None, RANDOM)]
)
def test_other_weights_are_refused_with_the_difference(
    had: Weights | None, now: Weights | None
) -> None:
    with pytest.raises(ResumeRefused) as refused:
        resume(content_with(had), content_with(now))
    before, after = (each.fingerprint if each else None for each in (had, now))
    assert str(refused.value).splitlines() == [
        "study s was made with other settings:",
        f"weights.fingerprint: the study has {before}, now it would be {after}",
    ]
    assert exit_code(refused.value) == 3


@pytest.mark.parametrize("weights", ["random", {"source": "random"}, [], 3])
def test_damaged_weights_in_the_manifest(weights: Any) -> None:
    with pytest.raises(UsageError, match=r"study\.json is damaged; the study cannot go on"):
        resume(manifest(PLAN) | {"weights": weights}, content_with(RANDOM))


# --- the session and the trials


def test_a_dry_run_finds_the_weights_and_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert session.run(parse("--weights random --dry-run")) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "weights: random, not pretrained, fingerprint random-0\n" in err
    assert not Path("results").exists()


def test_weights_are_told_by_the_first_digits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str | None] = []

    def found(asked: str | None, progress: Progress) -> Weights:
        given.append(asked)
        return DOWNLOADED

    monkeypatch.setattr(trainables.weights, "find_weights", found)
    assert session.run(parse("--dry-run")) == 0
    assert "weights: torchvision /old/hub/w.pth, fingerprint cdcdcdcdcdcd\n" in (
        capsys.readouterr().err
    )
    assert given == [None]


def test_without_weights_nothing_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any) -> Weights:
        raise TrellisError("no pretrained weights: offline")

    def never(*_: Any) -> None:
        raise AssertionError("data was opened")

    monkeypatch.setattr(trainables.weights, "find_weights", offline)
    monkeypatch.setattr(session, "open_data", never)
    with pytest.raises(TrellisError, match="no pretrained weights: offline") as error:
        session.run(parse(""))
    assert exit_code(error.value) == 2
    assert not Path("results").exists()


def test_every_trial_is_sent_the_weights() -> None:
    shared = job(request.check(parse("")), Resources(1, 0.0, 1), DATA, "float32", FILE)
    assert shared["weights"] == FILE


def test_random_weights_are_named_in_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    opened = study.begin(EXPERIMENT, PLAN, Path("s"), content_with(RANDOM))
    drive(opened.book)
    opened.close()
    warning = "embedded data, not the real beans; weights: random, not pretrained"
    assert table(["s"]) == 0
    assert capsys.readouterr().out.startswith(f"study s of toy: {warning}\n")
    assert table(["s", "--csv"]) == 0
    out, err = capsys.readouterr()
    assert err == f"{warning}\n"
    header, first = out.splitlines()[:2]
    assert header.endswith(",data,weights")
    assert first.endswith(",embedded,random")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A copy whose formula has weights: notes which it is given, and keeps a state dict."""
    made = make_bench(tmp_path / "bench")
    presets = 'for name in ("quick", "standard", "thorough")}, None,'
    note = '    (budget.folder.parents[1] / "seen").write_text(repr(budget.weights))\n'
    text = '(budget.folder / "best.pt").write_text(f"{budget.folder.name} {epoch}")'
    state = 'torch.save({"model": {}}, budget.folder / "best.pt")'
    whole = "def whole_state(state, weights):\n    return state\n\n\n"
    for name, before, after in [
        ("search/catalog.py", presets, f"{presets} pretrained=True,"),
        ("trainables/formula.py", "    log = ", f"{note}    log = "),
        ("trainables/formula.py", text, state),
        ("trainables/formula.py", "def epochs(", f"import torch\n\n\n{whole}def epochs("),
    ]:
        source = (made.root / name).read_text()
        assert source.count(before) == 1
        (made.root / name).write_text(source.replace(before, after))
    return made


@pytest.mark.slow
def test_a_study_with_weights_goes_on_with_the_same_only(bench: Bench) -> None:
    done = bench.run("--study", "s", "--trials", "1", "--weights", "random")
    assert done.returncode == 0, done.stderr
    folder = bench.results / "s"
    assert (folder / "seen").read_text() == repr(RANDOM)
    assert json.loads((folder / "study.json").read_text())["weights"] == asdict(RANDOM)
    assert "weights: random, not pretrained" in done.stdout
    again = bench.run("--study", "s", "--resume")
    assert again.returncode == 0, again.stderr
    assert "weights: random, not pretrained, fingerprint random-0" in again.stderr
    other = write_state(bench.images.parent / "w.pth")
    refused = bench.run("--study", "s", "--resume", "--weights", str(other))
    assert refused.returncode == 3
    assert "weights.fingerprint: the study has random-0, now it would be " in refused.stderr
