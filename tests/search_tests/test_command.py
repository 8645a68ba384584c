"""Commands whose stdout cannot take what they print: one line, never a traceback."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from search.command import Parser, ended, printed
from search.errors import UsageError
from tests.search_tests.toy import PRESETS, Plan, begin, drive
from trainables.errors import TrellisError

ROOT = Path(__file__).resolve().parents[2]
FULL = Path("/dev/full")  # a device on which nothing has room
needs_full = pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")


def into(output: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module with its stdout in a file, or in a pipe that nobody reads."""
    command = [sys.executable, "-m", *words]
    if output == "pipe":
        code = "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); os.close(w)\n"
        code += "os.execv(sys.argv[1], sys.argv[1:])"
        command = [sys.executable, "-c", code, *command]
        return subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    with open(output, "w") as file:
        return subprocess.run(
            command, cwd=ROOT, stdout=file, stderr=subprocess.PIPE, text=True, check=False
        )


@needs_full
def test_a_full_disk_under_stdout_is_one_line() -> None:
    done = into(str(FULL), "search.run", "--list")
    assert done.returncode == 1
    assert done.stderr == "search.run: cannot write to stdout: No space left on device\n"


def test_streams_that_are_closed_are_no_mistake(tmp_path: Path) -> None:
    begin(Plan(2, 1), tmp_path / "s").close()
    studies = f"{sys.executable} -m search.studies"
    place = f"--results-dir '{tmp_path}'"

    def run(command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=120, check=False
        )
        return done.returncode, done.stderr

    assert run(f"{studies} list {place} >&-") == (0, "")
    assert run(f"{studies} remove s {place} <&- >&-") == (
        2, "search.studies: remove asks before it removes, and this is no terminal: give --yes\n"
    )  # fmt: skip
    assert run(f"{studies} remove s {place} --yes <&- >&- 2>&-") == (0, "")
    assert not (tmp_path / "s").exists()


@needs_full
def test_a_table_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    opened = begin(Plan(trials=2, max_epochs=PRESETS["quick"].max_epochs), tmp_path / "mine")
    drive(opened.book)
    opened.close()
    words = ("analysis.table", "mine", "--results-dir", str(tmp_path))
    assert into("/dev/null", *words).returncode == 0
    done = into(str(FULL), *words)
    assert done.returncode == 1
    expected = "python -m analysis.table: cannot write to stdout: No space left on device\n"
    assert done.stderr == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_python_ends_changes_nothing(number: int) -> None:
    """Half a second goes into closing files and removing temporary folders."""
    code = f"""if True:
        import atexit, os
        from search.command import leave

        atexit.register(print, "closed")
        atexit.register(os.kill, os.getpid(), {number:d})
        leave(130)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "closed\n", "")


def test_a_reader_that_has_gone_is_no_mistake_to_tell_of() -> None:
    done = into("pipe", "search.run", "--list")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8:strict", "пусть".encode()), ("latin-1", rb"\u043f\u0443")]
)
def test_a_folder_in_letters_that_a_terminal_has_not(
    encoding: str, shown: bytes, tmp_path: Path
) -> None:
    folder = tmp_path / "пусть"
    opened = begin(Plan(trials=2, max_epochs=2), folder / "mine")
    drive(opened.book)
    opened.close()
    done = subprocess.run(
        [sys.executable, "-m", "search.studies", "show", "mine", "--results-dir", str(folder)],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


def test_an_error_of_another_file_is_not_taken_for_one_of_stdout() -> None:
    def work() -> int:
        raise OSError(28, "No space left on device", "elsewhere")

    with pytest.raises(OSError, match="elsewhere"):
        printed("prog", work)


def test_a_file_that_cannot_be_read_ends_a_command_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        return len(tmp_path.read_text())

    assert ended("prog", work) == 1
    assert capsys.readouterr().err == f"prog: [Errno 21] Is a directory: '{tmp_path}'\n"


@pytest.mark.parametrize("kind", [TrellisError, lambda text: UsageError([text])])
def test_a_mistake_moves_no_cursor(
    kind: Callable[[str], TrellisError], capsys: pytest.CaptureFixture[str]
) -> None:
    """A study or a file of somebody else may have any name."""

    def work() -> int:
        raise kind("no study \x1b]0;mine\x07 here")

    assert ended("prog", work) == 2
    assert capsys.readouterr().err == "prog: no study \\x1b]0;mine\\x07 here\n"


def test_a_secret_in_a_place_of_studies_is_refused_and_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = Parser(prog="x")
    parser.add_results_dir()
    with pytest.raises(SystemExit):
        parser.parse_args(["--results-dir", "s3://key:hidden@bucket/x"])
    told = capsys.readouterr().err
    assert "argument --results-dir: holds a key, which would be written" in told
    assert "hidden" not in told


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_memory_that_runs_out_is_one_line(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert ended("x", work) == 1
    told = "x: out of memory: end what else uses it"
    gpu = "; with CUDA_VISIBLE_DEVICES= before the command it takes that of the CPU"
    assert capsys.readouterr().err == told + gpu * (not isinstance(error, MemoryError)) + "\n"


@pytest.mark.parametrize(("code", "left"), [(130, 130), (0, 1)])
def test_a_terminal_that_is_gone_does_not_change_how_a_search_ended(
    code: int, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr("search.command._throw_away", lambda _: None)
    assert printed("x", lambda: code) == left


def test_what_ends_the_process_later_knows_the_code() -> None:
    code = """if True:
        import atexit, os
        from search.command import code_due, leave

        assert code_due() == 1
        atexit.register(lambda: os._exit(code_due()))
        leave(130)
    """
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=280).returncode == 130


def test_another_error_keeps_its_traceback() -> None:
    def work() -> int:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        ended("x", work)
