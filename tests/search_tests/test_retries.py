"""What becomes of trials whose worker died, hung, or was killed for memory."""

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from search import kills
from search.book import Book
from search.errors import StudyFailed
from search.kills import Kills
from search.plan import Plan
from search.retries import Death, Retries
from search.watch import Watch
from tests.search_tests.toy import begin, row

DIED = Death("the worker process died")
NODE = Death("its node was lost", node=True)
MEMORY = Death("killed by the kernel", memory=True)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    opened = begin(Plan(trials=6, max_epochs=4, seed=5, sampler="random"), tmp_path / "s")
    yield opened.book
    opened.close()


def handed(book: Book) -> int:
    given = book.next()
    assert given is not None
    return given.number


def test_a_lost_worker_s_trial_comes_again_before_all_others_and_at_last_fails(
    book: Book,
) -> None:
    retries = Retries(book)
    assert [handed(book), handed(book)] == [0, 1]
    for left, way in ((1, "begins again"), (2, "goes on from its last checkpoint")):
        told = retries.died(0, DIED, others=1)
        assert told == f"trial 0: the worker process died; it {way} (retry {left} of 2)"
        assert not retries.alone
        assert handed(book) == 0
        book.report(0, row(1, 0.5))  # which the second death comes after
    assert retries.died(0, DIED, others=1) is None
    record = book.records[0]
    assert (record.status, record.error) == ("failed", "the worker process died, retries included")
    assert handed(book) == 2
    assert book.records[1].status == "running"


def test_a_gpu_that_others_fill_ends_the_study_and_no_trial(book: Book) -> None:
    retries, outside = Retries(book), Death("other programs hold it", outside=True)
    for left in (1, 2):
        assert handed(book) == 0
        assert f"(retry {left} of 2)" in str(retries.died(0, outside, others=1))
    assert handed(book) == 0
    told = r"^trial 0: other programs hold it$"
    with pytest.raises(StudyFailed, match=told):  # and does not take all other trials, too
        retries.died(0, outside, others=1)
    assert book.records[0].status == "running"


def test_lost_nodes_do_not_count_against_a_trial_that_comes_further(book: Book) -> None:
    retries = Retries(book)
    handed(book)
    for epoch in (1, 2, 3):
        book.report(0, row(epoch, 0.5))
        told = retries.died(0, NODE, others=0)
        assert told == "trial 0: its node was lost; it goes on from its last checkpoint"
        assert handed(book) == 0
    for left in (1, 2):  # one that loses every node in the same epoch is another matter
        assert f"(retry {left} of 2)" in str(retries.died(0, NODE, others=0))
        assert handed(book) == 0
    assert retries.died(0, NODE, others=0) is None
    assert book.records[0].error == "its node was lost, retries included"


def test_a_trial_that_memory_killed_alone_is_infeasible_at_once(book: Book) -> None:
    retries = Retries(book)
    assert handed(book) == 0
    assert retries.died(0, MEMORY, others=0) is None
    record = book.records[0]
    assert (record.status, record.error) == ("infeasible", "out of memory: killed by the kernel")
    assert not retries.alone


def test_a_trial_that_memory_killed_beside_others_is_tried_once_more_alone(book: Book) -> None:
    retries = Retries(book)
    assert [handed(book), handed(book)] == [0, 1]
    told = retries.died(1, MEMORY, others=1)
    assert told == "trial 1: killed by the kernel; it is tried once more with no other beside it"
    assert retries.alone
    assert book.records[1].status == "running"
    assert handed(book) == 1
    retries.died(1, MEMORY, others=0)
    assert book.records[1].status == "infeasible"
    assert not retries.alone


def test_of_two_that_memory_killed_together_each_is_tried_alone(book: Book) -> None:
    retries = Retries(book)
    assert [handed(book), handed(book)] == [0, 1]
    assert "with no other beside it" in str(retries.died(0, MEMORY, others=1))
    assert "with no other beside it" in str(retries.died(1, MEMORY, others=0))  # 0 is out already
    assert {book.records[n].status for n in (0, 1)} == {"running"}
    first = handed(book)
    assert retries.died(first, MEMORY, others=0) is None
    assert book.records[first].status == "infeasible"
    assert retries.alone  # the other's turn
    second = handed(book)
    assert {first, second} == {0, 1}
    assert retries.died(second, MEMORY, others=0) is None
    assert book.records[second].status == "infeasible"
    assert not retries.alone


def test_a_trial_that_ends_well_when_alone_lets_the_others_in_again(book: Book) -> None:
    retries = Retries(book)
    handed(book), handed(book)
    retries.died(1, MEMORY, others=1)
    retries.ended(1)
    assert not retries.alone


def test_a_trial_that_fails_when_alone_lets_the_others_in_again(book: Book) -> None:
    retries = Retries(book)
    assert [handed(book), handed(book)] == [0, 1]
    retries.died(0, MEMORY, others=1)
    assert retries.alone
    for _ in range(3):  # two retries, then it has failed
        assert handed(book) == 0
        retries.died(0, DIED, others=0)
    assert book.records[0].status == "failed"
    assert not retries.alone


def test_a_trial_that_hung_is_not_tried_again(book: Book) -> None:
    retries = Retries(book)
    handed(book)
    assert retries.died(0, Death("killed: no new epoch for 9 s", hung=True), others=3) is None
    assert (book.records[0].status, book.records[0].error) == (
        "failed",
        "killed: no new epoch for 9 s",
    )


def test_an_ended_trial_is_not_handed_out_again(book: Book) -> None:
    number = handed(book)
    book.end(number, "failed", "x")
    book.again(number)
    assert handed(book) == 1


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel's counter that stands at 4."""
    file = tmp_path / "memory.events"
    file.write_text("low 0\noom 9\noom_kill 4\noom_group_kill 0\n")
    monkeypatch.setattr(kills, "counter", lambda: file)
    return file


def here_only(node: str, file: str) -> int | None:
    raise AssertionError("it is this host's")


def test_every_kill_that_was_counted_explains_one_death(counted: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "0", tmp_path / "1"
    for folder in (one, other):
        kills.note(folder, "node")
    noted = json.loads((one / "process.json").read_text())
    assert (noted["process"], noted["host"]) == (os.getpid(), socket.gethostname())
    assert (noted["kills"], noted["counter"]) == (4, str(counted))
    told = Kills(here_only, "node")
    assert not told.explain(one)
    counted.write_text("oom_kill 5\n")
    assert told.explain(one)
    assert not told.explain(other)  # that one kill is explained: the other died of itself
    counted.write_text("oom_kill 6\n")
    assert told.explain(other)


@pytest.mark.parametrize(("there", "memory"), [(5, True), (4, False), (None, False)])
def test_a_death_on_another_node(
    there: int | None,
    memory: bool,
    counted: Path,
    tmp_path: Path,
) -> None:
    kills.note(tmp_path, "n1")  # of a host of the same name
    asked = []

    def elsewhere(node: str, file: str) -> int | None:
        asked.append((node, file))
        return there

    assert Kills(elsewhere, "n0").explain(tmp_path) is memory
    assert asked == [("n1", str(counted))]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"host": "h"}', "\0"])
def test_without_a_note_nobody_knows(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "process.json").write_text(text)
    assert not Kills(here_only, "n").explain(tmp_path)


def test_where_there_is_no_counter_nobody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "counter", lambda: None)
    kills.note(tmp_path, "n")
    assert not Kills(here_only, "n").explain(tmp_path)


@pytest.mark.parametrize(
    ("own", "files", "found"),
    [
        ("0::/user/a\n", ("cg/user/a/memory.events", "cg/memory.events", "vm"), "cg/user/a/"),
        ("0::/outside\n", ("cg/memory.events", "vm"), "cg/"),
        ("0::/\n", ("vm",), "vm"),  # the root group has no counter
        ("4:memory:/x\n1:cpu:/\n", ("cg/memory.events", "vm"), "vm"),
        ("4:memory:/x\n0::/\n", ("cg/memory/x/memory.oom_control", "vm"), "cg/memory/x/"),
        ("4:memory:/far/x\n", ("cg/memory/memory.oom_control", "vm"), "cg/memory/"),
        ("4:memory:/far/y\n", ("cg/memory/memory.oom_control", "vm"), "vm"),  # in a group below
        ("2:cpu,memory:/x\n", ("cg/memory/x/memory.oom_control",), "cg/memory/x/"),
        ("2:memory2:/x\n", ("cg/memory/x/memory.oom_control",), None),
        ("0::/\n", (), None),
        (None, ("vm",), "vm"),  # not Linux, or an old one
    ],
)
def test_the_counter_of_a_process(
    own: str | None, files: tuple[str, ...], found: str | None, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("nr_free 3\noom_kill 0\n")
    if own is not None:
        (tmp_path / "own").write_text(own)
        if "memory" in own:
            (tmp_path / "cg" / "memory").mkdir(parents=True, exist_ok=True)
            members = f"1\n{os.getpid()}\n" if own.endswith("/far/x\n") else "1\n"
            (tmp_path / "cg" / "memory" / "cgroup.procs").write_text(members)
    file = kills.counter(tmp_path / "cg", tmp_path / "own", tmp_path / "vm")
    expected = None if found is None else tmp_path / found
    if found is not None and found.endswith("/"):
        events = "memory.oom_control" if "memory" in found else "memory.events"
        expected = tmp_path / found / events
    assert file == expected


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(book: Book, monkeypatch: pytest.MonkeyPatch) -> Clock:
    handed(book), handed(book)
    return Clock(monkeypatch)


def looks(watch: Watch, clock: Clock, until: float) -> list[str]:
    """Look every 5 seconds until then; return what hung at last."""
    found: list[str] = []
    while clock.now < until:
        clock.now += 5
        found = watch.hung({"a": 0, "b": 1})
    return found


def test_a_trial_hangs_from_its_last_epoch_on(book: Book, clock: Clock) -> None:
    watch = Watch(book, 100)
    assert watch.hung({"a": 0, "b": 1}) == []
    assert looks(watch, clock, 1050) == []
    book.report(1, row(1, 0.5))
    assert looks(watch, clock, 1100) == []
    assert looks(watch, clock, 1105) == ["a"]
    assert looks(watch, clock, 1155) == ["a"]  # b: seen at 1055 with its epoch
    assert looks(watch, clock, 1160) == ["a", "b"]


def test_work_before_an_epoch_is_a_sign_of_life(book: Book, clock: Clock) -> None:
    watch = Watch(book, 100)
    watch.hung({"a": 0, "b": 1})
    folder = book.folder.trial(0)
    folder.mkdir(parents=True)
    for done in range(4):
        (folder / "doing.txt").write_text(f"frozen layers: {done} of 4")
        assert "a" not in looks(watch, clock, clock.now + 80)
    assert "a" in looks(watch, clock, clock.now + 110)


def test_epochs_done_again_are_signs_of_life(book: Book, clock: Clock) -> None:
    watch = Watch(book, 100)
    for epoch in (1, 2, 3):
        book.report(0, row(epoch, 0.5))
    assert watch.hung({"a": 0, "b": 1}) == []
    for epoch in (1, 2, 3):  # its checkpoint was lost
        clock.now += 60
        book.report(0, row(epoch, 0.5))
        assert "a" not in watch.hung({"a": 0, "b": 1})
    assert "a" in looks(watch, clock, clock.now + 110)


def test_the_driver_s_own_pause_does_not_count(book: Book, clock: Clock) -> None:
    watch = Watch(book, 100)
    assert looks(watch, clock, 1050) == []
    clock.now += 5000  # Ctrl-Z, or a machine that slept
    assert watch.hung({"a": 0, "b": 1}) == []
    assert looks(watch, clock, 6095) == []
    assert looks(watch, clock, 6110) == ["a", "b"]


def test_a_trial_that_is_started_again_has_its_full_time(book: Book, clock: Clock) -> None:
    watch = Watch(book, 100)
    assert looks(watch, clock, 1110) == ["a", "b"]
    assert watch.hung({"c": 0}) == []
    clock.now += 9
    assert watch.hung({"c": 0, "a": 1}) == []
