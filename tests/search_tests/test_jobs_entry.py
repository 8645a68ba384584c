"""What a job runs on the cluster: where it finds its Ray, and how its user goes on."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from search import connection, jobs_entry
from search.errors import StudyFailed
from search.jobs_options import submit_parser
from search.options import build_parser as run_parser
from search.request import check
from search.resuming import resume_command

URL = "http://127.0.0.1:8265"
RAY = "10.0.0.1:6379"


def test_the_way_to_our_own_ray_is_read_from_the_processes_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")
    own = str(os.getpid())
    for process, words, parent in (
        (own, b"python\0-m\0search.jobs_entry\0", "70"),
        ("70", b"ray::JobSupervisor\0", "60"),
        ("60", b"raylet\0--gcs-address=10.0.0.1:6379\0", "1"),
    ):
        (tmp_path / process).mkdir()
        (tmp_path / process / "cmdline").write_bytes(words)
        (tmp_path / process / "stat").write_text(f"{process} (a ) name) S {parent} 1 1")
    assert jobs_entry.own_ray(tmp_path) == "10.0.0.1:6379"
    (tmp_path / "60" / "cmdline").write_bytes(b"sh\0")
    assert jobs_entry.own_ray(tmp_path) == "10.0.0.9:6379"


def test_studies_lie_where_asked_else_where_the_cluster_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRELLIS_RESULTS", "/shared")
    assert jobs_entry.place_of("/asked") == "/asked"

    assert jobs_entry.place_of(None) == "/shared"
    monkeypatch.delenv("TRELLIS_RESULTS")
    assert jobs_entry.place_of(None) == str(Path.home() / "trellis-results")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ([], []),
        (["--results", "/mnt/r"], ["--cluster-results-dir", "/mnt/r"]),
        (["--results", "s3://bucket/r"], ["--results-dir", "s3://bucket/r"]),
        (["--fetched-to", "/data/r"], ["--results-dir", "/data/r"]),
    ],
)
def test_a_job_says_how_its_user_goes_on(place: list[str], words: list[str]) -> None:
    """The user has neither its folder nor its Ray."""
    ours = ["--job", "mine-1", "--study", "mine", *place]
    run = ["--", "lenet_beans", "--trials", "3"]
    asked = jobs_entry.build_parser().parse_args([*ours, "--cluster", URL, *run])
    start = ("python", "-m", "search.submit", "lenet_beans", "--study", "mine", "--resume")
    assert jobs_entry.way_on(asked) == (*start, *words, "--cluster", URL)
    submit_parser().parse_args(jobs_entry.way_on(asked)[3:])
    assert jobs_entry.way_on(jobs_entry.build_parser().parse_args([*ours, *run])) == ()


def test_the_way_on_asks_for_the_nodes_again() -> None:
    """By then, a cluster that scales from none has none."""

    def way_on(*nodes: str) -> tuple[str, ...]:
        words = ["--job", "mine-1", "--study", "mine", "--cluster", URL, *nodes]
        asked = jobs_entry.build_parser().parse_args([*words, "--", "lenet_beans"])
        return jobs_entry.way_on(asked)[7:]

    place = ("--cluster", URL)
    assert way_on("--cpus", "0", "--gpus", "0") == place
    assert way_on("--cpus", "8") == (*place, "--cluster-cpus", "8")
    both = way_on("--cpus", "8", "--gpus", "2")
    assert both == (*place, "--cluster-cpus", "8", "--cluster-gpus", "2")
    submit_parser().parse_args(both)


def test_the_command_to_go_on_has_what_the_job_was_given_anew() -> None:
    request = check(run_parser().parse_args(["lenet_beans", "--data", "embedded"]))
    way_on = ("python", "-m", "search.submit", "lenet_beans", "--study", "mine", "--resume")
    plain = replace(request, way_on=way_on)
    assert resume_command(plain) == " ".join(way_on)
    given = replace(
        plain,
        trial_timeout_s=5400,
        anew=("--data-dir", "/there/data"),
        tensorboard=True,
        mlflow="sqlite:///runs.db",
    )
    more = "--trial-timeout 5400s --data-dir /there/data --tensorboard --mlflow sqlite:///runs.db"
    assert resume_command(given) == f"{' '.join(way_on)} {more}"
    # search.confirm's own command has its own of all this.
    confirm = ("python", "-m", "search.confirm", "mine")
    assert resume_command(replace(given, again=confirm)) == " ".join(confirm)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A job of one study, on a Ray that is not asked for; its study stays where it is."""
    monkeypatch.setattr(jobs_entry, "_unfit", lambda: "")
    monkeypatch.setattr(jobs_entry, "own_ray", lambda: RAY)
    monkeypatch.setattr(jobs_entry, "share", lambda *_: None)
    monkeypatch.setattr(connection, "prepare", lambda _: None)
    monkeypatch.setattr(sys, "argv", [])
    ours = ["--job", "mine-1", "--study", "mine", "--results", "/r", "--cpus", "8", "--gpus", "2"]
    return [*ours, "--", "lenet_beans", "--trials", "3"]


def test_a_job_runs_its_study_on_the_nodes_it_asked_for_and_ends_with_its_code(
    job: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[object] = []

    @contextmanager
    def brought_up(*given: object) -> Iterator[None]:
        happened.append(given[:3])
        yield
        happened.append("over")

    def run(words: Sequence[str], way_on: tuple[str, ...]) -> int:
        happened.append(" ".join(words))
        return 130

    monkeypatch.setattr(jobs_entry, "brought_up", brought_up)
    monkeypatch.setattr(connection, "prepare", happened.append)  # before Ray is imported
    monkeypatch.setattr("search.run.main", run)
    assert jobs_entry.main(job) == 130
    words = f"lenet_beans --trials 3 --study mine --results-dir /r --address {RAY}"
    assert happened == [RAY, (RAY, 8, 2), words, "over"]


def test_nodes_that_do_not_come_are_one_line(
    job: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def brought_up(*_: object) -> Iterator[None]:
        raise StudyFailed("the cluster did not scale up: 0 of 2 GPUs after 3600 s")
        yield

    monkeypatch.setattr(jobs_entry, "brought_up", brought_up)
    assert jobs_entry.main(job) == 1
    told = "search.submit: the cluster did not scale up: 0 of 2 GPUs after 3600 s\n"
    assert capsys.readouterr().err == told
