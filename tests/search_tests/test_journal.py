import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.errors import StudyFailed, UsageError
from search.journal import OwnedLock, mend, open_journal, own
from search.plan import Plan
from tests.search_tests.toy import begin, drive, go_on

PLAN = Plan(trials=3, max_epochs=2, sampler="random")
HOLDER = """
import sys, time
from pathlib import Path
from typing import Any
from search.journal import own
own(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""
# Half of the room that a line needs is left; then there is room again.
FULL_DISK = """
import resource, sys
from pathlib import Path
from typing import Any
import optuna
from search.errors import StudyFailed
from search.journal import open_journal, own
path = Path(sys.argv[1]) / "journal.log"
own(path.parent)
study, storage = open_journal(path)
study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.RUNNING))
whole = path.read_bytes()
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 40, limits[1]))
for turn in range(2):
    try:
        storage.set_trial_user_attr(0, "epoch 1", "x" * 100)
    except StudyFailed as error:
        print(error)
    print(path.read_bytes() == whole)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    opened = begin(PLAN, tmp_path / "s")
    drive(opened.book)
    opened.close()
    return tmp_path / "s"


def test_a_last_line_torn_at_any_byte_is_dropped_with_a_note(study: Path) -> None:
    path = study / "journal.log"
    content = path.read_bytes()
    whole = content[: content.rstrip(b"\n").rfind(b"\n") + 1]
    last = content[len(whole) :]
    assert len(last) > 50
    for kept in range(1, len(last)):
        path.write_bytes(whole + last[:kept])
        assert mend(path) == f"journal.log: dropped an incomplete last line of {kept} bytes"
        assert path.read_bytes() == whole
        assert mend(path) is None
    path.write_bytes(content)
    assert mend(path) is None
    assert path.read_bytes() == content


@pytest.mark.parametrize("kept", [1, 20, 50])
def test_a_study_goes_on_after_a_torn_line(study: Path, kept: int) -> None:
    path, table = study / "journal.log", (study / "curves.csv").read_text()
    content = path.read_bytes()
    path.write_bytes(content[: content.rstrip(b"\n").rfind(b"\n") + 1 + kept])
    opened = go_on(PLAN, study)
    assert opened.note == f"journal.log: dropped an incomplete last line of {kept} bytes"
    drive(opened.book)
    opened.close()
    assert (study / "curves.csv").read_text() == table
    assert len(json.loads(path.read_bytes().splitlines()[-1])) > 1


@pytest.mark.parametrize("torn", [b"x", b"{", b'{"op_code": 5'])
def test_a_journal_of_one_torn_line_begins_anew(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(torn)
    assert mend(path) == f"journal.log: dropped an incomplete last line of {len(torn)} bytes"
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    "damage", [b"", b"\0\0\0", b"[1, 2]", b'{"trial_id": 1}', b'{"op_code"', b"[" * 100_000]
)
def test_a_damaged_line_in_the_middle_is_refused(study: Path, damage: bytes) -> None:
    path = study / "journal.log"
    lines = path.read_bytes().splitlines()
    assert len(lines) > 10
    lines[4] = damage
    damaged = b"\n".join(lines) + b"\n"
    path.write_bytes(damaged)
    with pytest.raises(
        StudyFailed, match=rf"journal.log: line 5 of {len(lines)} is damaged; .*trials.csv"
    ):
        go_on(PLAN, study)
    assert path.read_bytes() == damaged
    os.close(own(study))  # and the study was given up again


def test_a_damaged_last_line_that_is_whole_is_refused(study: Path) -> None:
    path = study / "journal.log"
    path.write_bytes(path.read_bytes() + b"oops\n")
    with pytest.raises(StudyFailed, match=r"line \d+ of \d+ is damaged"):
        mend(path)


def test_lines_that_do_not_follow_from_each_other_are_refused(study: Path) -> None:
    path = study / "journal.log"
    path.write_text('{"op_code": 77, "worker_id": "x"}\n' + path.read_text())
    with pytest.raises(StudyFailed, match=r"journal.log is damaged: it cannot be replayed"):
        go_on(PLAN, study)


@pytest.mark.parametrize("gone", [True, False])
def test_a_journal_that_is_gone_is_not_begun_anew_over_its_tables(study: Path, gone: bool) -> None:
    path, tables = study / "journal.log", (study / "trials.csv").read_bytes()
    path.unlink() if gone else path.write_bytes(b"")
    with pytest.raises(StudyFailed, match=r"journal.log is missing or empty, though the study"):
        go_on(PLAN, study)
    assert (study / "trials.csv").read_bytes() == tables


def test_a_second_driver_is_refused_and_leaves_the_study_alone(tmp_path: Path) -> None:
    opened = begin(PLAN, tmp_path / "s")
    before = (tmp_path / "s" / "journal.log").read_bytes()
    with pytest.raises(UsageError, match="study s is being run by another process"):
        go_on(PLAN, tmp_path / "s")
    assert (tmp_path / "s" / "journal.log").read_bytes() == before
    opened.close()
    go_on(PLAN, tmp_path / "s").close()


def test_the_study_is_free_again_when_its_driver_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="is being run by another process"):
            own(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    os.close(own(tmp_path))


def test_processes_that_the_driver_starts_do_not_hold_the_study(tmp_path: Path) -> None:
    descriptor = own(tmp_path)
    assert not os.get_inheritable(descriptor)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        os.close(descriptor)
        os.close(own(tmp_path))
        child.communicate(b"\n")


def test_a_new_journal_is_one_study_to_be_maximized(tmp_path: Path) -> None:
    study, storage = open_journal(tmp_path / "journal.log")
    assert study.direction.name == "MAXIMIZE"
    assert study.study_name == "trellis"
    again, _ = open_journal(tmp_path / "journal.log")
    assert again.study_name == "trellis"
    assert len(storage.get_all_studies()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["journal.log"]  # no lock file is left


def test_the_inner_lock_is_always_had() -> None:
    lock = OwnedLock()
    assert lock.acquire()
    assert lock.acquire()
    lock.release()


def test_a_line_for_which_there_is_no_room_is_taken_back(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    message = (
        f"cannot write {tmp_path}/journal.log: File too large; all before is kept: make room in "
        f"{tmp_path}, then go on by --resume"
    )
    # The second time there is room, but what is in memory may be ahead of the file.
    assert (done.stdout.splitlines(), done.stderr) == ([message, "True"] * 2, "")
    assert mend(tmp_path / "journal.log") is None
    study, _ = open_journal(tmp_path / "journal.log")
    (trial,) = study.trials
    assert trial.user_attrs == {}


@pytest.mark.parametrize("taken_back", [True, False])
def test_a_line_that_is_interrupted_ends_the_writing(
    taken_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.log"
    _, storage = open_journal(path)
    whole = path.read_bytes()

    def interrupted(*_: object) -> None:
        path.write_bytes(whole + b'{"op_')
        raise KeyboardInterrupt

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", interrupted)
        if not taken_back:
            patch.setattr(os, "truncate", fails)
        with pytest.raises(KeyboardInterrupt):
            storage.set_study_user_attr(0, "a", 1)
    with pytest.raises(StudyFailed, match=r"journal.log could not be written to its end; go on"):
        storage.set_study_user_attr(0, "a", 1)
    assert path.read_bytes() == (whole if taken_back else whole + b'{"op_')
    assert (mend(path) is None) is taken_back
    assert path.read_bytes() == whole


def test_no_room_for_a_new_study_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JournalFileBackend, "append_logs", full)
    with pytest.raises(StudyFailed, match=r"^cannot write .*journal.log: No space left on device"):
        open_journal(tmp_path / "journal.log")


def test_a_journal_that_may_not_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"^cannot write .*/journal.log: No such file or direct"):
        own(tmp_path / "gone")

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UsageError, match=r"^cannot write .*/journal.log: Permission denied$"):
        own(tmp_path)


def test_lines_added_together_wait_for_the_disk_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.log"
    study, storage = open_journal(path)
    study.ask()
    before, synced = path.read_bytes(), []
    monkeypatch.setattr("os.fsync", synced.append)
    with storage.together():
        storage.set_trial_user_attr(0, "first", 1)
        storage.set_trial_intermediate_value(0, 1, 0.5)
        assert path.read_bytes() == before
    assert len(synced) == 1
    assert len(path.read_bytes().splitlines()) == len(before.splitlines()) + 2
    trial = storage.get_trial(0)
    assert (trial.user_attrs, trial.intermediate_values) == ({"first": 1}, {1: 0.5})
    assert open_journal(path)[0].trials[0].user_attrs == {"first": 1}


def test_an_error_takes_back_no_line_that_was_added_before_it(tmp_path: Path) -> None:
    study, storage = open_journal(tmp_path / "journal.log")
    study.ask()

    def broken() -> None:
        with storage.together():
            storage.set_trial_user_attr(0, "first", 1)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        broken()
    storage.set_trial_user_attr(0, "second", 2)  # on its own again
    kept = open_journal(tmp_path / "journal.log")[0].trials[0].user_attrs
    assert kept == {"first": 1, "second": 2}


def test_the_file_is_read_when_it_has_grown_and_not_when_a_trial_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = JournalFileBackend.read_logs

    def counted(self: JournalFileBackend, first: int) -> Any:
        read.append(first)
        return original(self, first)

    monkeypatch.setattr(JournalFileBackend, "read_logs", counted)
    study, storage = open_journal(tmp_path / "journal.log")
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    del read[:]
    storage.set_trial_user_attr(0, "epoch 1", 0.5)
    assert [storage.get_trial(0).user_attrs for _ in range(3)] == [{"epoch 1": 0.5}] * 3
    with storage.together():
        storage.set_trial_user_attr(0, "epoch 2", 0.6)
        storage.set_trial_user_attr(0, "epoch 3", 0.7)
    assert len(storage.get_trial(0).user_attrs) == 3
    assert len(study.get_trials()) == 1
    assert read == [2, 3]  # lines 0 and 1 made the study and the trial
