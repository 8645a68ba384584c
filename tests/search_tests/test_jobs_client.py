"""Files of a job's study, as a server in the place of the dashboard hands them out."""

import io
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from search import access, jobs_client
from search.errors import UsageError
from search.jobs_client import Cluster

JOB = SimpleNamespace(driver_node_id="node", submission_id="job-1")
WHOLE = b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
BROKEN = b"5\r\nhello\r\n"


class Answers(BaseHTTPRequestHandler):
    """Answers in chunks, then hangs up."""

    protocol_version = "HTTP/1.1"
    status, body = 200, WHOLE

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(self.body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    httpd = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    found: Any = object.__new__(Cluster)
    found.url = f"http://127.0.0.1:{httpd.server_port}"

    def get(path: str, **settings: Any) -> requests.Response:
        return requests.get(found.url + path, **{**settings, "timeout": 60})

    monkeypatch.setattr(found, "_get", get)
    yield found
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize("known", [None, "10.0.0.1", "127.0.0.1,10.0.0.1"])
def test_a_proxy_never_gets_the_token(
    known: str | None, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, known or "")
        if known is None:
            monkeypatch.delenv(name)
    proxy = HTTPServer(("127.0.0.1", 0), Answers)  # would answer, if it were asked
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    proxy.server_close()  # whoever goes there now is refused
    access.past_proxies(cluster.url)
    assert requests.get(cluster.url, timeout=60).content == b"hello!"
    assert requests.utils.get_environ_proxies("http://10.9.9.9/"), "others go by the proxy still"
    assert (known or "") in os.environ["no_proxy"]


def test_a_file_is_read_to_its_end(cluster: Cluster) -> None:
    read = io.BytesIO()
    cluster.read(JOB, "best.pt", read)
    assert read.getvalue() == b"hello!"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [(200, BROKEN, "no Ray answers there: "), (404, WHOLE, "what answers is no Ray dashboard")],
)
def test_half_a_file_and_none_are_one_line(
    cluster: Cluster, status: int, body: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "status", status)
    monkeypatch.setattr(Answers, "body", body)
    with pytest.raises(UsageError) as caught:
        cluster.read(JOB, "best.pt", io.BytesIO())
    (line,) = caught.value.mistakes
    assert line.startswith(f"--cluster {cluster.url}: {told}")


def test_a_disk_that_is_full_is_not_the_clusters_fault(cluster: Cluster) -> None:
    error = OSError(28, "No space left on device")

    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise error

    with pytest.raises(OSError, match="No space left on device") as caught:
        cluster.read(JOB, "best.pt", Full())
    assert caught.value is error


def test_one_answer_that_fails_is_no_end_of_a_job(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, answers = [0.0], [UsageError(["502"]), False, UsageError(["timed out"]), True]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda s: now.append(now.pop() + 40))

    def job(name: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, UsageError):
            raise answer
        return SimpleNamespace(status=SimpleNamespace(is_terminal=lambda: answer), name=name)

    monkeypatch.setattr(jobs_client, "time", clock)
    monkeypatch.setattr(cluster, "job", job)
    assert cluster.wait("job-1").name == "job-1"
    answers[:] = [UsageError([f"{number}"]) for number in range(9)]
    with pytest.raises(UsageError, match=r"^2$"):  # 80 s without an answer
        cluster.wait("job-1")
