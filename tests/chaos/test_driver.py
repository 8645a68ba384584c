"""Drivers of real studies on Ray: killed, interrupted, their terminal closed, and run twice."""

import contextlib
import os
import pty
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.conftest import SEED, times
from tests.chaos.killing import doubled, ended, tables
from tests.chaos.test_kills import compare
from tests.search_tests.bench import Bench

pytestmark = pytest.mark.slow
HELD = ("--fix", "behaviour=learn", "--fix", "pause_s=0.15")
PLAN = ("--trials", "10", "--max-epochs", "4", "--seed", "3", *HELD)
PATIENCE_S = 600
AT_MOST = 4  # epochs before a kill, however late it comes: no study ends before three kills


@pytest.fixture(scope="module")
def calm(bench: Bench) -> Path:
    """The undisturbed study, one trial at a time."""
    done = bench.run("--study", "calm-driver", "--concurrent", "1", *PLAN)
    assert done.returncode == 0, done.stderr
    assert epochs_of(bench, "calm-driver") > 3 * AT_MOST
    return bench.results / "calm-driver"


def start(bench: Bench, name: str, *words: str) -> subprocess.Popen[str]:
    """Begin a study, or go on with it."""
    there = (bench.results / name / "study.json").exists()
    return bench.start("--study", name, *(("--resume",) if there else words))


def epochs_of(bench: Bench, name: str) -> int:
    log = bench.results / name / "trained.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def wait_for_epochs(bench: Bench, name: str, more: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many more epochs are trained, or the study has ended."""
    enough, since = epochs_of(bench, name) + more, time.monotonic()
    while epochs_of(bench, name) < enough and process.poll() is None:
        assert time.monotonic() - since < PATIENCE_S
        time.sleep(0.02)


def descendants(process: int) -> set[int]:
    """Return the processes that a process has started, and those that they have."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = path.read_text()
            parents[int(path.parent.name)] = int(text.rpartition(")")[2].split()[1])
    found, new = set[int](), {process}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found


def wait_until_gone(processes: set[int]) -> None:
    """Wait until all have ended, but for Ray's agents: they look for Ray's head for minutes."""
    since = time.monotonic()
    while any(_lives(process) for process in processes):
        assert time.monotonic() - since < PATIENCE_S, "the killed driver's Ray lives on"
        time.sleep(0.1)


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        name = Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return False
    return state != "Z" and not name.startswith(("ray::DashboardAgent", "ray::RuntimeEnvAgent"))


def killed_again_and_again(bench: Bench, name: str, kills: int, *words: str) -> int:
    """Kill a study's driver at random moments, so often or until it ends; return how often."""
    draws, done = random.Random(f"{SEED} {name} {epochs_of(bench, name)}"), 0
    started = set[int]()
    while done < kills:
        bench.allow(name, epochs_of(bench, name) + AT_MOST)
        process = start(bench, name, *words)
        if draws.random() < 0.25:
            time.sleep(draws.uniform(0, 12))  # Ray may be starting
        else:
            wait_for_epochs(bench, name, draws.randrange(1, 5), process)
            time.sleep(draws.uniform(0, 0.3))
        started |= descendants(process.pid)
        process.kill()
        output, _ = process.communicate(timeout=PATIENCE_S)
        # Nobody waits for the old workers to end before the next driver begins.
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0, output
            break
        done += 1
    bench.let_go(name)
    wait_until_gone(started)
    return done


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ["one-a", "one-b"])
def test_killed_one_trial_at_a_time(
    name: str, bench: Bench, calm: Path, tally: Counter[str]
) -> None:
    kills = killed_again_and_again(bench, name, times(5), "--concurrent", "1", *PLAN)
    print(f"seed {SEED}: {name} killed {kills} times")
    tally["kills"] += kills
    assert kills >= min(3, times(5))
    last = start(bench, name)
    output, _ = last.communicate(timeout=PATIENCE_S)
    assert last.returncode == 0, output
    compare(bench.results / name, calm, tally)


@pytest.mark.timeout(1200)
def test_killed_with_two_at_a_time(bench: Bench, tally: Counter[str]) -> None:
    words = ("--concurrent", "2", "--trials", "8", *PLAN[2:])
    root, before = bench.results / "two", dict[str, dict[str, str]]()
    for _ in range(times(5)):
        tally["kills"] += killed_again_and_again(bench, "two", 1, *words)
        now = ended(root)
        tally["trials lost"] += sum(now.get(number) != row for number, row in before.items())
        assert before.items() <= now.items()
        before = now
    last = start(bench, "two", *words)
    output, _ = last.communicate(timeout=PATIENCE_S)
    assert last.returncode == 0, output
    tally["trials doubled"] += doubled(root)
    assert doubled(root) == 0
    assert before.items() <= ended(root).items()
    assert sorted(ended(root), key=int) == [str(number) for number in range(8)]
    for row in tables(root)[1]:  # by the formula of the experiment, whoever trained it
        height = float(ended(root)[row["trial"]]["config.height"])
        epoch = int(row["epoch"])
        assert float(row["val_accuracy"]) == pytest.approx(height * epoch / (epoch + 1))


def on_a_terminal_of_its_own(bench: Bench, *words: str) -> tuple[int, int]:
    """Start a study as the leader of a terminal's session; return process and terminal."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(bench.root)
        command = bench.command(*words)
        os.execvpe(command[0], command, bench.environment())
    return process, terminal


@pytest.mark.timeout(1200)
def test_ended_by_hand_in_every_way(bench: Bench, calm: Path, tally: Counter[str]) -> None:
    name = "by-hand"
    bench.allow(name, 6)  # the first trial has ended: there is a table to show, and no terminal
    process, terminal = on_a_terminal_of_its_own(
        bench, "--study", name, "--concurrent", "1", *PLAN
    )
    since = time.monotonic()
    while epochs_of(bench, name) < 6:
        assert time.monotonic() - since < PATIENCE_S
        time.sleep(0.05)
        _drain(terminal)
    started = descendants(process)
    os.close(terminal)  # the window is closed
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status == 130
    wait_until_gone(started)
    assert not (bench.results / name / "error.txt").exists()
    bench.allow(name, epochs_of(bench, name) + 2)
    again = start(bench, name)
    wait_for_epochs(bench, name, 2, again)
    refused = bench.run("--study", name, "--resume")  # while the other runs
    assert refused.returncode == 2
    assert f"study {name} is being run by another process" in refused.stderr
    again.send_signal(signal.SIGINT)
    time.sleep(0.05)
    again.send_signal(signal.SIGINT)
    output, _ = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 130, output
    assert "Traceback" not in output
    assert "--resume" in output
    tally["ended by hand"] += 2
    bench.let_go(name)
    last = start(bench, name)
    output, _ = last.communicate(timeout=PATIENCE_S)
    assert last.returncode == 0, output
    compare(bench.results / name, calm, tally)


@pytest.mark.timeout(1200)
def test_a_signal_to_all_processes_at_once(bench: Bench, calm: Path, tally: Counter[str]) -> None:
    """As batch systems and `timeout` send it: Ray's servers end with the driver."""
    bench.allow("group", 6)
    words = bench.command("--study", "group", "--concurrent", "1", *PLAN)
    process = subprocess.Popen(
        words,
        cwd=bench.root,
        env=bench.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for_epochs(bench, "group", 6, process)
    started = descendants(process.pid)
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, output
    assert "terminated: everything is kept" in output
    assert "Traceback" not in output
    assert (bench.results / "group" / "trials.csv").exists()
    wait_until_gone(started)
    tally["ended with all processes"] += 1
    bench.let_go("group")
    last = bench.run("--study", "group", "--resume")
    assert last.returncode == 0, last.stderr
    compare(bench.results / "group", calm, tally)


def _drain(terminal: int) -> None:
    os.set_blocking(terminal, False)
    with contextlib.suppress(BlockingIOError):
        os.read(terminal, 65536)


@pytest.mark.parametrize(
    ("program", "told"),
    [(b"gcs_server", "control server"), (b"raylet/raylet", "node manager")],
)
def test_a_killed_server_of_ray_ends_the_study_with_the_way_to_go_on(
    program: bytes, told: str, bench: Bench, calm: Path, tally: Counter[str]
) -> None:
    name = f"no-{told.replace(' ', '-')}"
    bench.allow(name, 4)
    process = start(bench, name, "--concurrent", "1", *PLAN)
    wait_for_epochs(bench, name, 4, process)
    started = descendants(process.pid)
    (server,) = [each for each in started if command_of(each).endswith(program)]
    os.kill(server, signal.SIGKILL)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, output
    assert f"Ray's {told} died (signal 9)" in output  # in time, or once nothing answers
    assert f"--study {name} --resume" in output
    assert "Traceback" not in output
    wait_until_gone(started)
    bench.let_go(name)
    resumed = bench.run("--study", name, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    compare(bench.results / name, calm, tally)


def command_of(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return b""
