"""The code that goes with a job: this project's own, small, and with its commit."""

import os
import subprocess
import sys
from pathlib import Path

from search.jobs_package import package
from search.manifest import git_commit


def test_the_package_is_the_code_alone(tmp_path: Path) -> None:
    for name in ("search/run.py", "analysis/reference.csv", "search/__pycache__/run.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "results" / "big").mkdir(parents=True)
    (tmp_path / "results" / "big" / "best.pt").write_text("x")
    with package(tmp_path) as code:
        found = {str(path.relative_to(code)) for path in code.rglob("*") if path.is_file()}
    assert found == {"search/run.py", "analysis/reference.csv"}
    assert not code.exists()


def test_our_own_package_is_whole_and_small() -> None:
    with package() as code:
        files = [path for path in code.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 5_000_000
        done = subprocess.run(
            [sys.executable, "-m", "search.run", "--list"],
            cwd=code,
            capture_output=True,
            text=True,
        )
    assert len(files) > 100
    assert "lenet_beans" in done.stdout


def test_the_code_of_a_job_knows_its_commit(tmp_path: Path) -> None:
    with package() as code:
        brought = code / "git_commit"
        known = git_commit()
        assert (brought.read_text() if brought.exists() else None) == known
        brought.write_text("0123456789abcdef0123456789abcdef01234567+changes")
        ask = "from search.manifest import git_commit; print(git_commit())"
        words = [sys.executable, "-c", ask]
        environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(code.parent)}
        told = [
            subprocess.run(words, cwd=code, env=environment, capture_output=True, text=True).stdout
        ]
        brought.write_text("$(rm -rf ~)")
        told.append(
            subprocess.run(words, cwd=code, env=environment, capture_output=True, text=True).stdout
        )
    assert told == ["0123456789abcdef0123456789abcdef01234567+changes\n", "None\n"]
