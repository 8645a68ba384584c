"""A copy of the packages with a sixth experiment, trained by a formula: whole runs in seconds.

It is added as CONTRIBUTING.md says: two files and one catalog line.
"""

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
# Only so that no process outlives its test: pytest's limit per test is what counts.
PATIENCE_S = 900

SPACE = '''"""A space for tests."""

DEFAULTS = {"behaviour": "learn", "height": 0.7, "pause_s": 0.0}


def space(trial):
    """Return a configuration."""
    return {
        "behaviour": trial.suggest_categorical(
            "behaviour", ["learn", "diverge", "break", "exhaust", "die", "die_once"]
        ),
        "height": trial.suggest_float("height", 0.0, 0.9),
        "pause_s": trial.suggest_float("pause_s", 0.0, 60.0),
    }
'''

TRAINABLE = '''"""Training by formula: val_accuracy = height * epoch / (epoch + 1)."""

import json
import os
import signal
import time

from trainables.budget import Diverged, EpochResult
from trainables.files import replace_file


def held(log):
    """Tell whether the study has all the epochs that a file beside it allows for now."""
    try:
        allowed = int(log.parent.with_name(f"{log.parent.name}.allowed").read_text())
    except FileNotFoundError:
        return False
    return allowed <= (len(log.read_text().splitlines()) if log.exists() else 0)


def epochs(config, data, budget):
    """Yield epochs; keeps the number done in a file, as a checkpoint."""
    budget.folder.mkdir(parents=True, exist_ok=True)
    done_file = budget.folder / "done.json"
    done = json.loads(done_file.read_text()) if done_file.exists() else 0
    log = budget.folder.parents[1] / "trained.log"
    for epoch in range(1, budget.epochs + 1):
        if epoch > done:
            time.sleep(config["pause_s"])
            while held(log):
                time.sleep(0.02)
            misbehave(config["behaviour"], epoch, budget.folder)
            with log.open("a") as file:
                file.write(f"{budget.folder.name} {epoch}\\n")
            value = config["height"] * epoch / (epoch + 1)
            (budget.folder / "best.pt").write_text(f"{budget.folder.name} {epoch}")
            replace_file(done_file, lambda aside: aside.write_text(str(epoch)))
        value = config["height"] * epoch / (epoch + 1)
        yield EpochResult(
            epoch, "train", 1 - value, value, 1 - value, value, 0.1, 0.01, 1.0, 10, 10
        )


def misbehave(behaviour, epoch, folder):
    """Do what the configuration asks for, in the second epoch."""
    if epoch != 2:
        return
    if behaviour == "diverge":
        raise Diverged("loss nan")
    if behaviour == "break":
        raise KeyError("no such layer")
    if behaviour == "exhaust":
        raise MemoryError("60 GB")
    if behaviour == "die" or (behaviour == "die_once" and not (folder / "died").exists()):
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
'''

CATALOG_LINE = """
    Experiment(
        "formula", "for tests", "beans", 8,
        {name: Preset(4, 3) for name in ("quick", "standard", "thorough")}, None,
    ),
)

EXPERIMENTS"""


@dataclass(frozen=True)
class Bench:
    """The copy, and a folder of tiny images."""

    root: Path
    images: Path
    results: Path

    def command(self, *words: str, experiment: str = "formula") -> list[str]:
        data = [] if "--resume" in words else ["--data", f"folder:{self.images}"]
        places = ["--results-dir", str(self.results)]
        return [sys.executable, "-m", "search.run", experiment, *data, *places, *words]

    def run(self, *words: str, experiment: str = "formula") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words, experiment=experiment),
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def on_a_terminal(self, *words: str) -> tuple[int, str]:
        """Run with a terminal of 120 columns as all three streams; return all it was sent."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = {**self.environment(), "TERM": "xterm-256color"}
        process = subprocess.Popen(
            self.command(*words),
            cwd=self.root,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        screen = b""
        with contextlib.suppress(OSError):  # the terminal is gone once the process has ended
            while part := os.read(master, 65536):
                screen += part
        os.close(master)
        return process.wait(timeout=PATIENCE_S), screen.decode(errors="replace")

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            cwd=self.root,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root)}

    def allow(self, study: str, epochs: int) -> None:
        """Let the study's trainings stop before they log more epochs, until `let_go`.

        Those under way at once may log one each beyond. So what a test does in the middle of a
        study meets its middle, however slow the machine is.
        """
        self.results.mkdir(parents=True, exist_ok=True)
        new = self.results / f"{study}.allowed.new"
        new.write_text(str(epochs))
        new.replace(self.results / f"{study}.allowed")  # never half a number

    def let_go(self, study: str) -> None:
        """Allow all epochs again."""
        (self.results / f"{study}.allowed").unlink()

    def wait_for(self, study: str, lines: int, process: subprocess.Popen[str]) -> None:
        """Wait until the study's trainings have logged so many epochs."""
        log = self.results / study / "trained.log"
        while not log.exists() or len(log.read_text().splitlines()) < lines:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)

    def trained(self, study: str) -> list[str]:
        return (self.results / study / "trained.log").read_text().splitlines()


def make_bench(folder: Path) -> Bench:
    root = folder / "project"
    for name in ("search", "spaces", "trainables", "analysis"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "spaces" / "formula.py").write_text(SPACE)
    (root / "trainables" / "formula.py").write_text(TRAINABLE)
    catalog = root / "search" / "catalog.py"
    text = catalog.read_text()
    assert text.count(")\n\nEXPERIMENTS") == 1
    catalog.write_text(text.replace(")\n\nEXPERIMENTS", CATALOG_LINE.lstrip("\n")))
    draws = np.random.default_rng(0)
    for label in ("left", "right"):
        (folder / "images" / label).mkdir(parents=True)
        for number in range(10):
            pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / label / f"{number}.png")
    return Bench(root, folder / "images", folder / "results")


def stop(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal; return exit code and output."""
    process.send_signal(number)
    output, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, output
