"""search.submit: what it refuses, what it sends, and whole jobs on a real cluster."""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from search import jobs_entry, jobs_scale
from search.errors import StudyFailed, UsageError
from search.jobs_fetch import fetch
from search.jobs_options import Submission, check, submit_parser
from search.jobs_package import package
from search.manifest import git_commit
from search.options import build_parser as run_parser
from search.request import check as check_request
from search.resuming import resume_command
from search.submit import _fetch, main
from tests.search_tests import nodes
from tests.search_tests.bench import PATIENCE_S, Bench, make_bench
from tests.search_tests.nodes import Nodes

URL = "http://127.0.0.1:8265"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a token")


def checked(*words: str) -> Submission:
    return check(submit_parser().parse_args(words), words)


def refused(*words: str) -> tuple[str, ...]:
    with pytest.raises(UsageError) as error:
        checked(*words)
    return error.value.mistakes


def test_all_mistakes_are_told_together_before_anything_is_sent() -> None:
    words = ("lenet_beans", "--cluster", "127.0.0.1:8265", "--trials", "0", "--fix", "kernel=3")
    more = ("--address", "10.0.0.1:6379", "--cluster-results-dir", "there", "--resume")
    mistakes = refused(*words, *more, "--cluster-gpus", "some")
    text = "\n".join(mistakes)
    for part in (
        "--trials 0: must be a whole number of at least 1",
        "--fix kernel=3: no hyperparameter 'kernel'",
        "--cluster 127.0.0.1:8265: must be the URL of a Ray dashboard, such as http://",
        "--address 10.0.0.1:6379: a job runs on the Ray of its own cluster",
        "--resume needs --study NAME",
        "--cluster-results-dir there: must be an absolute path on the cluster, or a URI",
        "--cluster-gpus some: must be a whole number of at least 1",
    ):
        assert part in text, text
    assert len(mistakes) == 7


def test_the_cluster_and_an_experiment_must_be_given() -> None:
    assert "no experiment is given" in refused("--cluster", URL)[0]
    assert "--cluster URL is missing" in refused("lenet_beans")[0]


@pytest.mark.parametrize("url", ["http://", "ftp://a:1", "http://a:x", "http://a:1/jobs", "auto"])
def test_a_url_that_is_no_dashboards_is_refused(url: str) -> None:
    (mistake,) = refused("lenet_beans", "--cluster", url)
    assert mistake.startswith(f"--cluster {url}: must be the URL of a Ray dashboard")


def test_a_missing_token_is_told_for_the_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    (mistake,) = refused("lenet_beans", "--cluster", URL)
    assert mistake.startswith(f"--cluster {URL}: no token to join it with ({tmp_path}/none")


def test_words_of_the_search_are_passed_on_as_they_stand_and_ours_are_not(tmp_path: Path) -> None:
    asked = checked(
        *("--cluster", URL, "lenet_beans", "--trials", "3", "--fix", "kernel_size=3"),
        *("--results-dir", str(tmp_path), "--detach", "--fix=filters=6/16/120"),
        *("--data", "folder:/on/the/cluster", "--study", "mine", "--cluster-cpus", "8"),
    )
    assert asked.words == (
        *("lenet_beans", "--trials", "3", "--fix", "kernel_size=3", "--fix=filters=6/16/120"),
        *("--data", "folder:/on/the/cluster"),
    )
    assert (asked.study, asked.results, asked.detach) == ("mine", tmp_path, True)
    assert asked.job.startswith("mine-")
    assert (asked.cluster_cpus, asked.cluster_gpus) == (8, 0)


def test_following_is_the_default_and_may_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--cluster", URL, "lenet_beans")
    for asked in (checked(*words), checked(*words, "--follow")):
        assert (asked.detach, asked.words) == (False, ("lenet_beans",))
    with pytest.raises(SystemExit) as ended:
        checked(*words, "--follow", "--detach")
    assert ended.value.code == 2
    assert "--detach: not allowed with argument --follow" in capsys.readouterr().err


def test_what_lies_on_the_cluster_is_not_looked_for_here(tmp_path: Path) -> None:
    words = ("inception_beans", "--cluster", URL, "--weights", "/there/weights.pth")
    more = ("--study", "there", "--resume", "--results-dir", str(tmp_path))
    assert checked(*words, *more).words[-1] == "--resume"


def test_a_study_that_is_here_already_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.json").write_text("{}")
    (tmp_path / "mine" / "trials.csv").write_text("")
    words = ("lenet_beans", "--cluster", URL, "--study", "mine", "--results-dir", str(tmp_path))
    assert "--study mine: exists already" in refused(*words)[0]


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


def test_nothing_at_the_url_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--cluster", "http://127.0.0.1:1"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("search.submit: --cluster http://127.0.0.1:1: no Ray answers there: ")
    assert text.count("\n") == 1


class Pages(BaseHTTPRequestHandler):
    """A web server that is no Ray's, or one with another version."""

    pages: dict[str, bytes]

    def do_GET(self) -> None:
        body = self.pages.get(self.path.partition("?")[0])
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"nothing")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    httpd = HTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def version(ray_version: str) -> bytes:
    parts = {"version": "4", "ray_version": ray_version, "ray_commit": "", "session_name": ""}
    return json.dumps(parts).encode()


def python_is(found: str) -> bytes:
    return json.dumps({"data": {"pythonVersion": found}}).encode()


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ({}, "404"),
        ({"/api/version": b"<html>"}, "what answers is no Ray dashboard"),
        ({"/api/version": version("2.9.0")}, "has Ray 2.9.0, and this is "),
        (
            {"/api/version": b"@", "/api/v0/cluster_metadata": python_is("3.9.1")},
            "has Python 3.9.1; a study needs 3.11 or 3.12",
        ),
    ],
)
def test_what_is_no_ray_of_ours_is_one_line(
    server: str, pages: dict[str, bytes], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    Pages.pages = {
        path: version(ray.__version__) if body == b"@" else body for path, body in pages.items()
    }
    assert main(["lenet_beans", "--cluster", server]) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"search.submit: --cluster {server}: ")
    assert told in text
    assert text.count("\n") == 1


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
    request = check_request(run_parser().parse_args(["lenet_beans", "--data", "embedded"]))
    told = resume_command(replace(request, way_on=jobs_entry.way_on(asked)))
    assert told == " ".join(jobs_entry.way_on(asked))


def test_waiting_for_nodes_tells_what_is_there_and_gives_up() -> None:
    found = iter([{"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 4.0, "GPU": 2.0}])
    told: list[str] = []
    jobs_scale._wait(lambda: next(found, {"CPU": 4.0, "GPU": 2.0}), {"GPU": 2}, told.append, 60)
    assert told == ["waiting for the cluster to scale up: 0 of 2 GPUs"]
    with pytest.raises(StudyFailed, match="did not scale up: 0 of 2 GPUs after 0 s"):
        jobs_scale._wait(lambda: {}, {"GPU": 2}, told.append, 0)


# Real jobs, on one cluster of two nodes.


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = make_bench(tmp_path_factory.mktemp("bench"))
    # As large as a network of 25 million parameters; random, so that nothing can squeeze it.
    path = made.root / "trainables" / "formula.py"
    text = path.read_text()
    old = '(budget.folder / "best.pt").write_text(f"{budget.folder.name} {epoch}")'
    assert old in text
    new = old.replace("write_text(", "write_bytes(").replace(
        'f"{budget.folder.name} {epoch}"', "os.urandom(100_000_000)"
    )
    path.write_text(text.replace(old, new))
    return made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    import tempfile

    with (
        tempfile.TemporaryDirectory(prefix="tn-", ignore_cleanup_errors=True) as folder,
        nodes.running(Path(folder)) as started,
    ):
        yield started


def start(bench: Bench, cluster: Nodes, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "search.submit", *words, "--cluster", cluster.url]
    environment = {**cluster.environment, "PYTHONPATH": str(bench.root)}
    environment.pop("RAY_AUTH_TOKEN", None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=bench.root, env=environment, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def submit(bench: Bench, cluster: Nodes, *words: str) -> "subprocess.CompletedProcess[str]":
    process = start(bench, cluster, *words)
    out, err = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def study(bench: Bench, name: str, *more: str) -> list[str]:
    held = ("--fix", "behaviour=learn", "--fix", "pause_s=0", "--max-epochs", "2")
    places = ("--cluster-results-dir", str(bench.results), "--results-dir", str(here(bench)))
    data = () if "--resume" in more else ("--data", f"folder:{bench.images}")
    return ["formula", "--study", name, *data, *held, *places, *more]


def here(bench: Bench) -> Path:
    return bench.results.with_name("here")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_job_searches_and_its_study_comes_back_whole(bench: Bench, cluster: Nodes) -> None:
    done = submit(bench, cluster, *study(bench, "whole", "--trials", "2", "--cluster-cpus", "2"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"study: {here(bench) / 'whole'}\n"
    assert "2 trials at once, each with 1 CPU" in done.stderr
    there, fetched = bench.results / "whole", here(bench) / "whole"
    names = {"study.json", "journal.log", "trials.csv", "curves.csv", "best.json", "best.pt"}
    assert names <= {path.name for path in fetched.iterdir()}
    assert all(digest(fetched / name) == digest(there / name) for name in names)
    assert (fetched / "best.pt").stat().st_size == 100_000_000
    assert len((fetched / "trials.csv").read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_jobs_own_exit_code_and_words_come_back(bench: Bench, cluster: Nodes) -> None:
    done = submit(bench, cluster, *study(bench, "whole-2", "--cpus-per-trial", "3"))
    assert done.returncode == 2
    assert "--cpus-per-trial 3: the largest node has 1 CPUs" in done.stderr
    assert "has written no study: nothing to fetch" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_leaves_the_job_stop_ends_it_and_it_goes_on_by_resume(
    bench: Bench, cluster: Nodes
) -> None:
    bench.allow("long", 1)
    process = start(bench, cluster, *study(bench, "long", "--trials", "1"))
    assert process.stderr is not None
    seen = ""
    while "study: " not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    bench.wait_for("long", 1, process)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "goes on without you" in rest
    job = next(line.split()[1] for line in seen.splitlines() if line.startswith("job "))
    assert f"search.submit stop {job} --cluster {cluster.url}" in rest

    status = submit(bench, cluster, "status", job)
    assert status.stdout.startswith(f"{job}  running ")
    assert "trials: 1 running" in status.stdout
    stopped = submit(bench, cluster, "stop", job)
    assert stopped.returncode == 0, stopped.stderr
    assert "--study long --resume" in stopped.stderr
    logs = submit(bench, cluster, "logs", job)
    assert "terminated: everything is kept" in logs.stdout

    bench.let_go("long")
    resumed = submit(bench, cluster, *study(bench, "long", "--resume", "--trials", "1"))
    assert resumed.returncode == 0, resumed.stderr
    assert bench.trained("long") == ["0 1", "0 2"]  # no epoch twice
    rows = (here(bench) / "long" / "trials.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["completed"]
    assert "had ended" in submit(bench, cluster, "stop", job).stderr


@pytest.mark.slow
def test_a_detached_job_is_followed_and_fetched_later(bench: Bench, cluster: Nodes) -> None:
    done = submit(bench, cluster, *study(bench, "apart", "--trials", "1", "--detach"))
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    followed = submit(bench, cluster, "logs", job, "--follow")
    assert followed.returncode == 0
    assert "1 trials: 1 completed" in followed.stdout
    assert not (here(bench) / "apart").exists()
    fetched = submit(bench, cluster, "fetch", job, "--results-dir", str(here(bench)))
    assert fetched.returncode == 0, fetched.stderr
    assert (here(bench) / "apart" / "best.json").exists()
    (here(bench) / "apart" / "journal.log").write_text("went on here\n")
    again = submit(bench, cluster, "fetch", job, "--results-dir", str(here(bench)))
    assert again.returncode == 2
    assert "went on here by itself; give another --results-dir" in again.stderr
    unknown = submit(bench, cluster, "logs", "no-such-job")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "no-such-job: no such job on" in unknown.stderr


@pytest.mark.slow
def test_a_wrong_token_is_one_line(bench: Bench, cluster: Nodes, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.touch(0o600)
    wrong.write_text("of another cluster")
    environment = cluster.environment | {"RAY_AUTH_TOKEN_PATH": str(wrong)}
    done = submit(bench, Nodes(cluster.address, cluster.url, environment), "status")
    assert done.returncode == 2
    assert done.stderr.startswith(f"search.submit: --cluster {cluster.url}: Authentication failed")
    assert done.stderr.count("\n") == 1


class Job:
    """What Ray tells of a job."""

    def __init__(self, study: str) -> None:
        self.submission_id = "job-1"
        self.metadata = {"trellis_study": study}
        self.driver_node_id = "node"


class Tempting:
    """A cluster that must not be asked for a file."""

    def files(self, details: Job) -> list[str]:
        raise AssertionError(details.metadata)


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a/b", "", "..", "x\x00y", "a" * 101, "é"])
def test_a_study_whose_name_leads_elsewhere_is_not_fetched(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"job job-1: study .*: must be a plain name"):
        fetch(Tempting(), Job(name), tmp_path, print)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("place", ["s3://bucket/x", "gs://bucket"])
def test_a_study_is_fetched_into_a_folder_alone(place: str) -> None:
    nothing: Any = None
    with pytest.raises(UsageError, match=f"--results-dir {place}: fetch takes a folder here"):
        _fetch(nothing, argparse.Namespace(job="raysubmit_1", results_dir=place))
