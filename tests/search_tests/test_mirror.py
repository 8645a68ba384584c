"""A study that lies in a store: mirrored, fetched again, trained where its folder is not seen."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import pytest

from search import mirror as mirrors
from search import study, trial_files
from search.book import Book
from search.errors import StudyFailed
from search.fetched import fetched, studies
from search.interrupts import EndEarly
from search.lease import Lease
from search.mirror import Mirror
from search.plan import Plan
from search.remote import Remote, StoreFailed
from search.study import OpenStudy
from search.take_in import take_in
from search.trial_files import TrialFiles
from tests.search_tests.stores import s3
from tests.search_tests.toy import EXPERIMENT, drive, events, manifest

PLAN = Plan(trials=6, max_epochs=4, seed=3)


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3() as environment:
        yield environment


@pytest.fixture
def remote(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Remote:
    for name, value in {**server, "TRELLIS_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(mirrors, "_PAUSE_S", 0.01)
    monkeypatch.setattr(trial_files, "_PAUSE_S", 0.01)
    monkeypatch.setattr(trial_files, "_SHARE", 1e9)  # every checkpoint is put
    return Remote(f"s3://bucket/{uuid4().hex}/mine")


def begun(
    remote: Remote, folder: Path, elsewhere: bool = False, said: list[str] | None = None
) -> tuple[Mirror, OpenStudy]:
    """Begin a study, or go on with the one that the store has."""
    lease, there = Lease(remote), remote.entry("study.json") is not None
    lease.take()
    known = take_in(remote, folder)[0] if there else {}
    hear = (said if said is not None else []).append
    mirror = Mirror(folder, remote, lease, hear, elsewhere, known)
    let_rounds_wait(mirror)
    how = study.go_on if there else study.begin
    return mirror, how(EXPERIMENT, PLAN, folder, manifest(PLAN), mirror=mirror)


def let_rounds_wait(mirror: Mirror) -> None:
    """Let a test's own round, beside the mirror's thread, wait for its round, and it for that."""
    busy, plain = threading.Lock(), mirror._round

    def one_at_a_time() -> bool:
        with busy:
            return plain()

    vars(mirror)["_round"] = one_at_a_time


def forget(mirror: Mirror, opened: OpenStudy) -> None:
    """End as a kill does: nothing more is written, the lease is of a dead process."""
    mirror._over.set()
    if mirror._thread.ident is not None:
        mirror._thread.join()
    mirror.remote.remove(mirror._lease._name)
    opened.close()


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".driver")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def stored(remote: Remote) -> dict[str, bytes | None]:
    return {name: remote.read(name) for name in remote.entries()}


def results(folder: Path) -> list[object]:
    """What came out, times aside."""
    lines = [line.split(",") for line in (folder / "trials.csv").read_text().splitlines()]
    wall = lines[0].index("wall_s")
    rows = [[*line[:wall], *line[wall + 1 :]] for line in lines]
    best = json.loads((folder / "best.json").read_text())
    return [rows, (folder / "curves.csv").read_text(), best, (folder / "best.pt").read_text()]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("calm") / "mine"
    opened = study.begin(EXPERIMENT, PLAN, folder, manifest(PLAN))
    drive(opened.book)
    opened.close()
    return results(folder)


def test_a_study_lies_whole_in_the_store(
    remote: Remote, tmp_path: Path, calm: list[object]
) -> None:
    mirror, opened = begun(remote, tmp_path / "mine")
    mirror.start()
    drive(opened.book)
    opened.close()
    mirror.close()
    assert stored(remote) == content(tmp_path / "mine")
    assert {"study.json", "journal.log", "best.pt", "trials.csv"} <= stored(remote).keys()
    assert results(tmp_path / "mine") == calm


class Cut(Exception):
    """The process ends here."""


def cut_after(puts: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let so many files be put, then none; return the names of those put."""
    put, names = Remote.put, list[str]()

    def counted(self: Remote, name: str, source: BinaryIO, size: int) -> None:
        if not name.startswith("driver-"):
            if len(names) >= puts:
                raise Cut
            names.append(name)
        put(self, name, source, size)

    monkeypatch.setattr(Remote, "put", counted)
    return names


def test_weights_come_before_the_journal_and_tables_after_it(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = cut_after(1000, monkeypatch)
    mirror, opened = begun(remote, tmp_path / "mine")
    number = some(steps(opened.book), 7)
    mirror._round()
    opened.close()
    assert names[0] == "study.json"
    at = names.index("journal.log")
    assert {"trials/0/best.pt", f"trials/{number}/best.pt"} <= set(names[:at])
    assert {"trials.csv", "curves.csv", "best.json"} <= set(names[at:])
    weights, checkpoint = (f"trials/{number}/{name}.pt" for name in ("best", "checkpoint"))
    assert names.index(weights) < names.index(checkpoint)
    mirror._lease.release()


def steps(book: Book) -> Iterator[int]:
    """Train one trial at a time; yield its number after every epoch that is reported."""
    while (given := book.next()) is not None:
        for event in events(given, book.folder.trial(given.number), PLAN.max_epochs):
            if "outcome" in event:
                book.end(given.number, event["outcome"], event["error"])
                break
            stops = book.report(given.number, event)
            yield given.number
            if stops:
                break


def some(coming: Iterator[int], epochs: int) -> int:
    """Train so many epochs; return the number of the last one's trial."""
    return [next(coming) for _ in range(epochs)][-1]


@pytest.mark.parametrize(
    "puts",
    [n if n in (3, 9, 13) else pytest.param(n, marks=pytest.mark.slow) for n in range(1, 18)],
)
def test_whatever_was_put_before_a_kill_another_machine_goes_on(
    puts: int,
    remote: Remote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calm: list[object],
) -> None:
    mirror, opened = begun(remote, tmp_path / "first")
    with monkeypatch.context() as patch:
        cut_after(puts, patch)
        names = cut_after(puts, patch)
        with pytest.raises(Cut):
            search_and_put(mirror, opened.book)
    forget(mirror, opened)
    assert len(names) == puts
    journal = (remote.read("journal.log") or b"").decode()
    for seed in seeds(remote.read("trials.csv")):  # no table tells of more than the journal
        assert seed in journal
    mirror, opened = begun(remote, tmp_path / "second")
    mirror.start()
    drive(opened.book)
    opened.close()
    mirror.close()
    assert results(tmp_path / "second") == calm
    assert stored(remote) == content(tmp_path / "second")


def search_and_put(mirror: Mirror, book: Book) -> None:
    coming = steps(book)
    for epochs in (2, 3, 4, 2):
        some(coming, epochs)
        mirror._round()


def seeds(table: bytes | None) -> list[str]:
    if table is None:
        return []
    header, *rows = [line.split(",") for line in table.decode().splitlines()]
    return [row[header.index("seed")] for row in rows]


def test_what_a_killed_driver_had_not_put_yet_is_kept_on_its_machine(
    remote: Remote, tmp_path: Path, calm: list[object]
) -> None:
    folder = tmp_path / "mine"
    mirror, opened = begun(remote, folder)
    coming = steps(opened.book)
    some(coming, 4)
    mirror._round()
    some(coming, 5)
    trials = len(opened.book.records)
    forget(mirror, opened)
    assert trials > len((remote.read("trials.csv") or b"").splitlines()) - 1
    mirror, opened = begun(remote, folder)
    assert len(opened.book.records) == trials
    mirror.start()
    drive(opened.book)
    opened.close()
    mirror.close()
    assert results(folder) == calm
    assert stored(remote) == content(folder)


def test_what_is_behind_the_store_is_fetched_anew(remote: Remote, tmp_path: Path) -> None:
    mirror, opened = begun(remote, tmp_path / "mine")
    some(steps(opened.book), 3)
    mirror._round()
    forget(mirror, opened)
    shutil.copytree(tmp_path / "mine", tmp_path / "old")
    mirror, opened = begun(remote, tmp_path / "other")
    drive(opened.book)
    opened.close()
    mirror._round()
    mirror._lease.release()
    known, note = take_in(remote, tmp_path / "old")
    assert note == f"{tmp_path / 'old'} was behind {remote.uri}: it is fetched anew"
    assert content(tmp_path / "old") == stored(remote)
    assert known.keys() == stored(remote).keys()
    assert take_in(remote, tmp_path / "old") == ({}, "")


@pytest.mark.parametrize(
    "key",
    ["trials/../elsewhere", "trials/../../../precious/elsewhere", "../../precious/x", "/../x"],
)
def test_a_key_that_leads_out_of_the_study_touches_nothing_here(
    key: str, remote: Remote, tmp_path: Path
) -> None:
    import boto3

    folder, precious = tmp_path / "a" / "mine", tmp_path / "precious"
    (folder / "trials").mkdir(parents=True)
    precious.mkdir()
    for path in (folder / "study.json", folder / "journal.log", precious / "thesis.txt"):
        path.write_text("{}")
    remote.write("study.json", b"{}")
    root = remote.uri.removeprefix("s3://bucket/")
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    client.put_object(Bucket="bucket", Key=f"{root}/{key}", Body=b"x")  # as anyone may there
    before = content(tmp_path)
    with pytest.raises(StoreFailed, match=r"mine: holds '.*', which is no name of a study's file"):
        take_in(remote, folder)
    with pytest.raises(StoreFailed, match=r"mine: holds '.*', which is no name of a study's file"):
        fetched(remote.uri.removesuffix("/mine"), "mine")
    assert content(tmp_path) == before


def test_a_file_that_goes_before_it_is_fetched_is_left_out(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("study.json", "journal.log", "trials/1/best.pt"):
        remote.write(name, b"{}")
    fetch = Remote.fetch

    def going(self: Remote, name: str, path: Path) -> bool:
        if name == "trials/1/best.pt":
            self.remove(name)
        return fetch(self, name, path)

    monkeypatch.setattr(Remote, "fetch", going)
    known, _ = take_in(remote, tmp_path / "mine")
    assert set(known) == {"study.json", "journal.log"}


def test_a_store_out_of_reach_is_told_of_once_and_all_is_there_later(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "EVERY_S", 0.02)
    said: list[str] = []
    mirror, opened = begun(remote, tmp_path / "mine", said=said)
    mirror.start()
    with monkeypatch.context() as patch:
        failures: list[int] = []

        def broken(self: Remote, name: str, source: BinaryIO, size: int) -> None:
            failures.append(size)
            raise StoreFailed("s3://x: no network")

        patch.setattr(Remote, "put", broken)
        drive(opened.book)
        while len(failures) < 3:
            mirror.changed()
    while len(said) < 2:
        mirror.changed()
    opened.close()
    mirror.close()
    assert said == [
        "cannot write to s3://x: no network; trying again, trials go on",
        f"{remote.uri} can be written to again",
    ]
    assert stored(remote) == content(tmp_path / "mine")


def test_a_store_that_is_away_for_a_moment_does_not_end_a_study_at_its_beginning(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, failures = Remote.put, []

    def away(self: Remote, name: str, source: BinaryIO, size: int) -> None:
        if len(failures) < 3:
            failures.append(name)
            raise StoreFailed("s3://x: no network")
        plain(self, name, source, size)

    mirror, opened = begun(remote, tmp_path / "mine")
    monkeypatch.setattr(Remote, "put", away)
    mirror.start()
    assert failures == ["study.json"] * 3
    assert remote.entry("study.json") is not None
    opened.close()
    mirror.close()


def test_an_end_without_the_store_says_what_is_here_alone(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, opened = begun(remote, tmp_path / "mine")
    mirror.start()
    monkeypatch.setattr(mirrors, "PATIENCE_S", 0.05)
    with monkeypatch.context() as patch:

        def broken(*_: object) -> None:
            raise StoreFailed("s3://x: no network")

        patch.setattr(Remote, "put", broken)
        drive(opened.book)
        opened.close()
        with pytest.raises(
            StudyFailed, match=r"no network; [3-9] files of the study are in .*mine"
        ):
            mirror.close()
    assert (tmp_path / "mine" / "best.pt").exists()


@pytest.mark.parametrize(
    "end", [KeyboardInterrupt(), EndEarly("terminated", asked_for=False)], ids=type
)
def test_who_does_not_wait_for_the_store_is_told_what_is_here_alone(
    end: BaseException,
    remote: Remote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    mirror, opened = begun(remote, tmp_path / "mine", said=said)
    mirror.start()

    def impatient(*_: object) -> None:
        raise end

    monkeypatch.setattr(mirrors, "patiently", impatient)
    drive(opened.book)
    opened.close()
    with pytest.raises(type(end)):
        mirror.close()
    assert f"files of the study are in {tmp_path / 'mine'} alone" in said[-1]
    mirror.close()  # it was: nothing more is tried


def test_a_driver_whose_study_was_taken_over_stops_and_puts_nothing(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "EVERY_S", 0.02)
    monkeypatch.setattr("search.lease.RENEW_S", 0.0)
    mirror, opened = begun(remote, tmp_path / "mine")
    mirror.start()
    while mirror._thread.is_alive():  # a renewal under way may put it once more
        remote.remove(mirror._lease._name)  # as another does that finds it old
        mirror._thread.join(0.2)
    before = stored(remote)
    with pytest.raises(StudyFailed, match=r"another driver took .* over"):
        drive(opened.book)
    opened.close()
    with pytest.raises(StudyFailed, match=r"another driver took .* over"):
        mirror.close()
    assert stored(remote) == before


def job(mirror: Mirror) -> dict[str, object]:
    return {"folder": str(mirror.folder), "store": mirror.for_workers}


def test_a_worker_that_sees_the_drivers_folder_works_in_it(remote: Remote, tmp_path: Path) -> None:
    mirror, opened = begun(remote, tmp_path / "mine", elsewhere=True)
    mirror.start()
    files = TrialFiles(job(mirror), 0)
    files.begin()
    files.path.mkdir(parents=True)
    (files.path / "best.pt").write_text("x")
    files.keep()
    files.end()
    assert (tmp_path / "mine" / "trials" / "0" / "best.pt").read_text() == "x"
    opened.close()
    mirror.close()


def test_a_trial_elsewhere_moves_by_way_of_the_store(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, opened = begun(remote, tmp_path / "mine", elsewhere=True)
    mirror.start()
    given = opened.book.next()
    assert given is not None
    known = job(mirror)

    def on_node(name: str) -> TrialFiles:
        monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / name))
        files = TrialFiles({**known, "folder": "/nowhere/mine"}, given.number)
        files.begin()
        return files

    first = on_node("node1")
    coming = events(given, first.path, PLAN.max_epochs)
    for _ in range(2):
        row = next(coming)
        first.keep()
        opened.book.report(given.number, row)
    (first.path / "doing.txt").write_text("store activations: 5 of 9")
    first.keep()
    mirror._round()  # what the driver shows of trials comes along
    doing = mirror.folder / "trials" / "0" / "doing.txt"
    assert doing.read_text() == "store activations: 5 of 9"
    assert not (mirror.folder / "trials" / "0" / "best.pt").exists()
    second = on_node("node2")  # the first is lost
    assert (second.path / "checkpoint.pt").read_text() == "2"
    assert (second.path / "best.pt").read_text() == "[0, 2]"
    for event in list(coming)[:-1]:
        opened.book.report(given.number, event)
    shutil.copytree(first.path, second.path, dirs_exist_ok=True)
    second.keep(last=True)
    opened.book.end(given.number, "completed")
    second.end()
    assert not second.path.exists()
    assert (mirror.folder / "best.pt").read_text() == "[0, 4]"
    opened.close()
    mirror.close()
    assert stored(remote) == content(mirror.folder)
    assert not any(name.startswith("trials/") for name in stored(remote))


def test_a_trial_that_comes_back_from_elsewhere_goes_on_from_there(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, opened = begun(remote, tmp_path / "mine", elsewhere=True)
    given = opened.book.next()
    assert given is not None
    mirror.start()
    here = mirror.folder / "trials" / "0"
    known, coming = job(mirror), events(given, here, PLAN.max_epochs)
    next(coming)
    mirror._round()
    away = TrialFiles({**known, "folder": "/nowhere/mine"}, 0)
    away.begin()
    assert (away.path / "checkpoint.pt").read_text() == "1"
    (away.path / "checkpoint.pt").write_text("7")
    away.keep()
    next(coming)  # a late write of the one that is lost does not reach the store
    mirror._round()
    assert remote.read("trials/0/checkpoint.pt") == b"7"
    forget(mirror, opened)
    mirror, opened = begun(remote, mirror.folder, elsewhere=True)
    assert (here / "checkpoint.pt").read_text() == "7"
    assert remote.entry("trials/0/elsewhere") is None
    TrialFiles(job(mirror), 0).begin()
    assert (here / "checkpoint.pt").read_text() == "7"
    opened.close()
    mirror._lease.release()


def test_notes_of_trials_elsewhere_cost_no_request_each(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    mirror, opened = begun(remote, tmp_path / "mine", elsewhere=True, said=said)
    mirror._round()
    for number in range(20):
        for name in ("elsewhere", "doing.txt", "log.txt", "process.json"):
            remote.write(f"trials/{number}/{name}", b"x")
    mirror._round()
    notes = [path for path in (mirror.folder / "trials").rglob("*") if path.is_file()]
    assert len(notes) == 60
    asked, entry = list[str](), Remote.entry

    def counted(self: Remote, name: str) -> Any:
        asked.append(name)
        return entry(self, name)

    puts = cut_after(1000, monkeypatch)
    monkeypatch.setattr(Remote, "entry", counted)
    mirror._round()
    mine = mirror.folder / "trials" / "77"  # of a trial that is here
    mine.mkdir()
    (mine / "log.txt").write_text("y")
    mirror._round()
    assert [name for name in asked if name.startswith("trials/")] == ["trials/77/elsewhere"]
    assert puts == ["trials/77/log.txt"]
    (mine / "log.txt").write_text("more")
    assert mirror._left().startswith("1 files of the study are in ")  # and not 61
    opened.close()
    mirror._lease.release()


@pytest.mark.parametrize("call", ["entries", "read"])
def test_notes_of_a_trial_that_ends_in_a_round_do_not_come_back(
    call: str, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends when the store's files are listed, or when a note has come from there."""
    mirror, opened = begun(remote, tmp_path / "mine", elsewhere=True)
    given = opened.book.next()
    assert given is not None
    for name in ("elsewhere", "doing.txt", "log.txt", "process.json"):
        remote.write(f"trials/{given.number}/{name}", b"x")
    mirror._round()
    notes = ["doing.txt", "log.txt", "process.json"]
    place = mirror.folder / "trials" / str(given.number)
    assert sorted(path.name for path in place.iterdir()) == notes
    remote.write(f"trials/{given.number}/log.txt", b"its last words")
    plain, ended = getattr(Remote, call), list[str]()

    def then_ended(self: Remote, under: str = "") -> Any:
        found = plain(self, under)
        if under.startswith("trials") and not ended:
            opened.book.end(given.number, "infeasible")
            ended.append(under)
        return found

    monkeypatch.setattr(Remote, call, then_ended)
    for _ in range(3):
        mirror._round()
    assert ended == [{"entries": "trials", "read": f"trials/{given.number}/log.txt"}[call]]
    assert not place.exists()
    assert not any(name.startswith("trials/") for name in stored(remote))
    opened.close()
    mirror._lease.release()


def test_a_trial_that_is_taken_elsewhere_in_a_round_is_not_put(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, opened = begun(remote, tmp_path / "mine", elsewhere=True)
    here = mirror.folder / "trials" / "0"
    here.mkdir(parents=True)
    (here / "checkpoint.pt").write_text("1")
    mirror._round()
    (here / "checkpoint.pt").write_text("older")
    entries = Remote.entries

    def then_taken(self: Remote, under: str = "") -> Any:
        found = entries(self, under)
        remote.write("trials/0/elsewhere", b"")
        remote.write("trials/0/checkpoint.pt", b"newer")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "entries", then_taken)
        mirror._round()
    assert remote.read("trials/0/checkpoint.pt") == b"newer"
    opened.close()
    mirror._lease.release()


def test_reading_fetches_tables_and_only_what_has_changed(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, opened = begun(remote, tmp_path / "mine")
    mirror.start()
    drive(opened.book)
    opened.close()
    mirror.close()
    place = remote.uri.removesuffix("/mine")
    assert studies(place) == ["mine"]
    assert fetched(place, "none") is None
    folder = fetched(place, "mine", weights=False)
    assert folder is not None
    expected = content(tmp_path / "mine")
    assert content(folder) == {n: c for n, c in expected.items() if n != "best.pt"}
    fetches: list[str] = []
    fetch = Remote.fetch

    def counted(self: Remote, name: str, path: Path) -> bool:
        fetches.append(name)
        return fetch(self, name, path)

    monkeypatch.setattr(Remote, "fetch", counted)
    remote.write("trials.csv", b"new")
    assert fetched(place, "mine") == folder
    assert fetches == ["best.pt", "trials.csv"]
    assert (folder / "trials.csv").read_bytes() == b"new"


def test_a_copy_loses_what_the_store_has_no_more(remote: Remote, tmp_path: Path) -> None:
    there = ("study.json", "trials.csv", "best.pt", "confirm.json", "confirm/trials.csv")
    for name in there:
        remote.write(name, b"{}")
    place = remote.uri.removesuffix("/mine")
    folder = fetched(place, "mine")
    assert folder is not None
    (folder / "figures").mkdir()
    for name in ("report.html", "figures/1.png"):  # a reader's own
        (folder / name).touch()
    for name in ("best.pt", "confirm.json", "confirm/trials.csv"):
        remote.remove(name)
    fetched(place, "mine")
    left = ["figures/1.png", "report.html", "study.json", "trials.csv"]
    assert sorted(content(folder)) == left


class NoLease:
    """Nobody else wants the folder."""

    def renew(self) -> None:
        pass


def on_disk(tmp_path: Path, files: dict[str, str]) -> tuple[Mirror, Remote]:
    """Return the mirror of a folder with such files, and where it puts them."""
    (tmp_path / "store").mkdir()
    for name, text in files.items():
        replace(tmp_path / "mine" / name, text)
    remote = Remote((tmp_path / "store").as_uri() + "/mine")
    lease: Any = NoLease()
    return Mirror(tmp_path / "mine", remote, lease, print, False, {}), remote


def replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(text)
    aside.replace(path)


def test_no_journal_tells_of_a_best_model_that_could_not_be_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"study.json": "{}", "journal.log": "{}\n", "trials.csv": "x\n"}
    files |= {"best.json": '{"trial": 3}', "best.pt": "weights"}
    mirror, remote = on_disk(tmp_path, files)
    plain = mirrors.upload
    with monkeypatch.context() as broken:
        broken.setattr(
            mirrors, "upload", lambda *given: given[1].name != "best.pt" and plain(*given)
        )
        assert not mirror._round()
    assert remote.read("journal.log") is None
    assert remote.read("trials.csv") is None
    assert mirror._round()
    assert remote.read("best.pt") == b"weights"
    assert remote.read("journal.log") == b"{}\n"


def test_weights_that_change_while_they_are_put_come_before_what_tells_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epoch 6 is a new best while the files of epoch 5 go over a slow connection."""
    mirror, remote = on_disk(
        tmp_path,
        {
            "study.json": "{}",
            "journal.log": '{"epochs": 5}\n',
            "trials/0/best.pt": "weights of epoch 5",
            "trials/0/checkpoint.pt": "after epoch 5",
        },
    )
    plain, put = mirrors.upload, []

    def slow(remote: Remote, path: Path, name: str, stamp: Any) -> bool:
        if name == "trials/0/best.pt" and name not in put:
            replace(path, "weights of epoch 6")
        put.append(name)
        return plain(remote, path, name, stamp)

    monkeypatch.setattr(mirrors, "upload", slow)
    assert mirror._round()
    assert put == ["study.json", *["trials/0/best.pt"] * 2, "trials/0/checkpoint.pt"]
    assert remote.read("trials/0/best.pt") == b"weights of epoch 6"
    assert remote.read("journal.log") == b'{"epochs": 5}\n'
