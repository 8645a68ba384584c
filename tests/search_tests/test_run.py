"""The command as its user runs it: real processes, real Ray, training by formula."""

import csv
import json
import signal
from pathlib import Path

import pytest

from tests.search_tests.bench import PATIENCE_S, Bench, make_bench, stop


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def without_times(path: Path) -> list[dict[str, str]]:
    timed = ("wall_s", "epoch_s", "peak_memory_mb")
    return [{k: v for k, v in row.items() if k not in timed} for row in rows(path)]


def test_a_study_from_the_command_to_its_table(bench: Bench) -> None:
    held = ("--fix", "behaviour=learn", "--fix", "pause_s=0")
    one = ("--concurrent", "1")  # of two at once the other may come to a rung first, and win it
    plan = ("--trials", "4", "--max-epochs", "3", "--trial-timeout", "2h")
    done = bench.run("--study", "whole", *plan, *one, *held)
    assert done.returncode == 0, done.stderr
    folder = bench.results / "whole"
    expected = {"best.json", "best.pt", "curves.csv", "journal.log", "study.json", "trials.csv"}
    assert expected <= {path.name for path in folder.iterdir()}
    assert not list((folder / "trials").iterdir())  # nothing left of ended trials
    trials = rows(folder / "trials.csv")
    assert [row["trial"] for row in trials] == ["0", "1", "2", "3"]
    assert trials[0]["config.height"] == "0.7"  # the published configuration comes first
    assert trials[0]["status"] == "completed"
    assert float(trials[0]["val_accuracy"]) == pytest.approx(0.7 * 3 / 4)
    assert {row["status"] for row in trials} <= {"completed", "stopped"}
    best = json.loads((folder / "best.json").read_text())
    top = max(trials, key=lambda row: float(row["val_accuracy"]))
    assert best["trial"] == int(top["trial"])
    assert (folder / "best.pt").read_text() == f"{best['trial']} {best['epoch']}"
    assert str(folder) in done.stdout
    assert "rank" in done.stdout
    # What a resume takes over, whose own tests write this by hand.
    kept = json.loads((folder / "study.json").read_text())["resources"]
    assert (kept["at_once"], kept["trial_timeout"]) == (1, "7200s")
    assert kept["precision"] in ("bfloat16", "float32")
    assert "dashboard: http://127.0.0.1:" in done.stderr
    for noise in ("Traceback", "Warning", "WARN", "INFO", "ray.tune"):
        assert noise not in done.stderr, done.stderr
    again = bench.run("--study", "whole", "--trials", "4")
    assert again.returncode == 2
    assert "--study whole: exists already" in again.stderr


@pytest.mark.slow
def test_every_way_in_which_a_trial_can_end(bench: Bench) -> None:
    done = bench.run("--study", "ends", "--sweep", "behaviour", "--max-epochs", "3")
    assert done.returncode == 0, done.stderr
    trials = {row["config.behaviour"]: row for row in rows(bench.results / "ends" / "trials.csv")}
    assert {name: row["status"] for name, row in trials.items()} == {
        "learn": "completed",
        "diverge": "infeasible",
        "break": "failed",
        "exhaust": "infeasible",
        "die": "failed",
        "die_once": "completed",
    }
    assert trials["diverge"]["error"] == "diverged: loss nan"
    assert trials["diverge"]["epochs"] == "1"  # with what it had
    assert "no such layer" in trials["break"]["error"]
    broken = bench.results / "ends" / "trials" / trials["break"]["trial"]
    assert sorted(path.name for path in broken.iterdir()) == ["error.txt", "log.txt"]
    assert " trains for 3 epochs: behaviour=break " in (broken / "log.txt").read_text()
    assert "in misbehave" in (broken / "error.txt").read_text()  # the traceback
    assert trials["exhaust"]["error"] == "out of memory: MemoryError: 60 GB"
    assert "worker process died" in trials["die"]["error"]
    # The retry went on from the checkpoint: every epoch once.
    number = trials["die_once"]["trial"]
    assert [line for line in bench.trained("ends") if line.split()[0] == number] == [
        f"{number} {epoch}" for epoch in (1, 2, 3)
    ]


@pytest.mark.slow
def test_kill_and_resume_equals_the_undisturbed_study(bench: Bench) -> None:
    plan = ("--trials", "6", "--max-epochs", "4", "--concurrent", "1", "--seed", "3")
    plan += ("--fix", "behaviour=learn", "--fix", "pause_s=0.2")
    assert bench.run("--study", "calm", *plan).returncode == 0
    bench.allow("killed", 4)
    process = bench.start("--study", "killed", *plan)
    for epochs in (3, 6, 9):
        bench.wait_for("killed", epochs, process)
        code, output = stop(process, signal.SIGKILL)
        assert code == -signal.SIGKILL, output
        bench.allow("killed", epochs + 4)
        process = bench.start("--study", "killed", "--resume")
    bench.let_go("killed")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    for name in ("trials.csv", "curves.csv"):
        calm = without_times(bench.results / "calm" / name)
        assert len(calm) > 5
        assert without_times(bench.results / "killed" / name) == calm
    best = [(bench.results / name / "best.pt").read_text() for name in ("calm", "killed")]
    assert best[0] == best[1]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_study_and_keeps_everything(
    bench: Bench, number: signal.Signals
) -> None:
    name = f"signal-{number.name}"
    held = ("--fix", "behaviour=learn", "--fix", "pause_s=0.3")
    bench.allow(name, 3)
    process = bench.start(
        "--study", name, "--trials", "3", "--max-epochs", "3", "--stopper", "none", *held
    )
    bench.wait_for(name, 2, process)
    code, output = stop(process, number)
    assert code == 130, output
    assert f"--study {name} --resume" in output
    assert "Traceback" not in output
    kept = len(bench.trained(name))
    bench.let_go(name)
    assert rows(bench.results / name / "trials.csv")[0]["status"] in ("running", "completed")
    done = bench.run("--study", name, "--resume")
    assert done.returncode == 0, done.stderr
    assert len(rows(bench.results / name / "curves.csv")) == 9
    assert kept < 9
    assert len(bench.trained(name)) <= 9 + 2  # an epoch under way is done again, nothing else


@pytest.mark.slow
def test_a_time_budget_ends_the_study_and_resume_goes_on(bench: Bench) -> None:
    held = ("--fix", "behaviour=learn", "--fix", "pause_s=0.1")
    plan = ("--trials", "3", "--max-epochs", "10", "--stopper", "none")
    for seconds in (8, 32, 128, 512):  # Ray's start counts: on a busy machine it takes all of 8 s
        name = f"budget-{seconds}"
        bench.allow(name, 6)
        done = bench.run("--study", name, "--time-budget", f"{seconds}s", *plan, *held)
        curves = bench.results / name / "curves.csv"
        if curves.exists() and rows(curves):
            break
    assert done.returncode == 0, done.stderr
    assert "time budget reached" in done.stderr
    assert 0 < len(rows(curves)) < 30
    bench.let_go(name)
    again = bench.run("--study", name, "--resume")
    assert again.returncode == 0, again.stderr
    assert [row["epochs"] for row in rows(bench.results / name / "trials.csv")] == ["10"] * 3


@pytest.mark.slow
def test_a_study_in_which_every_trial_fails_says_so(bench: Bench) -> None:
    done = bench.run("--study", "doomed", "--trials", "2", "--fix", "behaviour=break")
    assert done.returncode == 1
    assert "none of 2 trials finished" in done.stderr
    assert "no such layer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_resume_with_other_settings_or_data_is_refused(bench: Bench) -> None:
    held = ("--fix", "behaviour=learn", "--fix", "pause_s=0")
    assert bench.run("--study", "fixed", "--trials", "2", *held).returncode == 0
    before = (bench.results / "fixed" / "journal.log").read_bytes()
    other = bench.run("--study", "fixed", "--resume", "--trials", "5", "--seed", "9")
    assert other.returncode == 3
    assert "budget.trials: the study has 2, now it would be 5" in other.stderr
    assert "budget.seed: the study has 0, now it would be 9" in other.stderr
    added = bench.images / "left" / "0.png"
    content = added.read_bytes()
    try:
        added.write_bytes((bench.images / "right" / "1.png").read_bytes())
        changed = bench.run("--study", "fixed", "--resume")
    finally:
        added.write_bytes(content)
    assert changed.returncode == 3
    assert "data.fingerprint" in changed.stderr
    assert (bench.results / "fixed" / "journal.log").read_bytes() == before
    again = bench.run("--study", "fixed", "--resume")
    assert again.returncode == 0
    assert "dashboard" not in again.stderr  # nothing to do: Ray was not started


@pytest.mark.slow
def test_on_a_terminal_a_live_table_shows_the_study(bench: Bench) -> None:
    held = ("--fix", "behaviour=learn", "--fix", "pause_s=0.3", "--max-epochs", "3")
    code, screen = bench.on_a_terminal("--study", "live", "--trials", "3", *held)
    assert code == 0, screen
    assert "Traceback" not in screen
    for part in (
        "trials",
        "3 of 3 ended",
        "best",
        "rungs",
        "epoch 1: ",
        "elapsed",
        "left",
        "rank",
    ):
        assert part in screen, part
    assert len(rows(bench.results / "live" / "trials.csv")) == 3


def test_bad_input_is_one_line_each_and_writes_nothing(bench: Bench) -> None:
    before = sorted(bench.results.parent.rglob("*"))
    words = ["--trials", "0", "--fix", "kernel=9", "--study", "../x", "--cpus-per-trial", "4096"]
    done = bench.run(*words, "--data", "folder:/nowhere")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 5
    for message in (
        "--trials 0: must be a whole number of at least 1",
        "no hyperparameter 'kernel'",
        "folder:/nowhere: there is no such folder",
        "--study ../x: must be a plain name",
        "this machine has",
    ):
        assert sum(message in line for line in lines) == 1, message
    assert done.stdout == ""
    assert [path for path in sorted(bench.results.parent.rglob("*")) if path.suffix != ".pyc"] == [
        path for path in before if path.suffix != ".pyc"
    ]
