"""search.submit: what answers at a URL, and whole jobs on a real cluster."""

import argparse
import hashlib
import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import jobs_entry
from search.errors import UsageError
from search.jobs_client import Cluster
from search.jobs_fetch import fetch
from search.jobs_options import check, submit_parser
from search.submit import _fetch, _to_the_end, main
from tests.search_tests import nodes
from tests.search_tests.bench import PATIENCE_S, Bench, make_bench
from tests.search_tests.nodes import Nodes


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a token")


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


@pytest.mark.parametrize(
    ("code", "words", "fetches"),
    [
        (0, "--study mine", True),
        (1, "--study mine", True),
        (130, "--study mine", True),
        (2, "--study mine", False),  # such as a name that the cluster has already
        (3, "--study mine --resume", False),
        (0, "--study mine --resume --dry-run", False),
    ],
)
def test_only_a_job_with_a_study_of_its_own_has_something_to_fetch(
    code: int,
    words: str,
    fetches: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    details = SimpleNamespace(status="SUCCEEDED", driver_exit_code=code, entrypoint=words)
    cluster: Any = SimpleNamespace(follow=lambda *_: details)
    job: Any = SimpleNamespace(job="job-1", results=tmp_path)
    monkeypatch.setattr("search.jobs_fetch.fetch", lambda *_: tmp_path / "mine")
    assert _to_the_end(cluster, job) == code
    assert (capsys.readouterr().out == f"study: {tmp_path / 'mine'}\n") is fetches


@pytest.mark.parametrize(
    ("place", "told"), [("results", False), ("my results", True), ("s3://bucket/r", False)]
)
def test_the_way_to_fetch_a_job_and_its_way_on_have_the_place_the_study_goes_to(
    place: str,
    told: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["lenet_beans", "--cluster", "http://h:1", "--study", "mine", "--results-dir", place]
    submission = check(submit_parser().parse_args(typed), typed)
    sent: list[dict[str, Any]] = []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    cluster = Cluster.__new__(Cluster)
    client = SimpleNamespace(submit_job=lambda **job: sent.append(job))
    cluster.__dict__.update(url="http://h:1", _client=client, follow=interrupted)
    cluster.submit(submission, Path("code"))
    assert _to_the_end(cluster, submission) == 130
    words = ["--results-dir", str(tmp_path / place)] if told else []
    fetch_it = ["search.submit", "fetch", submission.job, "--cluster", "http://h:1", *words]
    assert shlex.split(capsys.readouterr().err.splitlines()[-1])[2:] == fetch_it
    entry = shlex.split(sent[0]["entrypoint"])[4:]
    way_on = jobs_entry.way_on(jobs_entry.build_parser().parse_args(entry))
    again = submit_parser().parse_args(way_on[3:])
    assert again.results_dir == (words[1] if told else place)


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
    assert "nothing to fetch" not in done.stderr  # it was not tried
    assert not (here(bench) / "whole-2").exists()
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
    # The epoch is over once it is noted, after the writing of 100 MB of weights.
    while not (bench.results / "long" / "trials" / "0" / "done.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
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


@pytest.mark.parametrize("place", ["s3://bucket/x", "gs://bucket"])
def test_a_study_is_fetched_into_a_folder_alone(place: str) -> None:
    nothing: Any = None
    with pytest.raises(UsageError, match="--results-dir: fetch takes a folder here, not a store"):
        _fetch(nothing, argparse.Namespace(job="raysubmit_1", results_dir=place))
