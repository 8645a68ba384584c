"""The README is the first test: its commands, its links, its tree and its notebook lines work."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from search.catalog import EXPERIMENTS
from search.options import Mistakes, build_parser
from search.read_plan import read_plan

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for _, block in BLOCKS
        for line in block.splitlines()
        if line.startswith(("python -m ", "make "))
    }
)


def test_there_is_something_to_check() -> None:
    assert len(COMMANDS) >= 6
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize("command", [c for c in COMMANDS if " search.run " in c])
def test_search_commands_parse(command: str) -> None:
    words = shlex.split(command)[3:]
    parsed = build_parser().parse_args(words)
    if parsed.list:
        return
    wrong, parsed.warm_start = Mistakes(), None  # whose studies are not here
    plan = read_plan(parsed, {}, EXPERIMENTS[parsed.experiment], wrong)
    assert wrong == []
    assert plan is not None


@pytest.mark.parametrize("command", [c for c in COMMANDS if " search.run " not in c])
def test_other_commands_exist_with_their_options(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    done = subprocess.run(
        [sys.executable, "-m", words[2], "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for word in words[3:]:
        if word.startswith("--"):
            assert word in done.stdout


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", TEXT) if not link.startswith("http")]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_tree_is_as_it_says() -> None:
    tree = next(block for _, block in BLOCKS if block.startswith("search/"))
    names = re.findall(r"^(\w+/)", tree, re.MULTILINE)
    assert len(names) == 6
    assert all((ROOT / name).is_dir() for name in names)


@pytest.mark.slow
def test_the_notebook_lines_run_without_ray() -> None:
    code = next(block for language, block in BLOCKS if language == "python")
    code += "\nimport sys\nassert 'ray' not in sys.modules and 'optuna' not in sys.modules\n"
    code += "print('best', best.val_accuracy)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("EpochResult(epoch=") == 8
    assert float(done.stdout.split("best ")[1]) > 0.4
