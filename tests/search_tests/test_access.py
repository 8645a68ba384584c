"""Who may come into a Ray that a study starts, asked over its open ports; and who may join one."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from search import access
from search.errors import UsageError
from tests.search_tests.bench import PATIENCE_S, Bench, make_bench
from tests.search_tests.ports import decode, listeners, processes

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
NONE, WRONG = None, "0" * 64
# A method of each of Ray's processes that speak gRPC: the head, the node, a trial's worker.
METHODS = ("NodeInfoGcsService/GetAllNodeInfo", "NodeManagerService/GetNodeStats")
METHODS += ("CoreWorkerService/GetCoreWorkerStats", "ObjectManagerService/Pull")


@dataclass
class Running:
    """A study in its first epoch."""

    process: subprocess.Popen[str]
    said: str
    results: Path

    @property
    def dashboard(self) -> str:
        found = re.search(r"Ray dashboard: (http://\S+) ", self.said)
        assert found
        return found[1]

    @property
    def token_file(self) -> Path:
        found = re.search(r"cat (\S+)\)", self.said)
        assert found
        return Path(found[1])

    @property
    def token(self) -> str:
        return self.token_file.read_text()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def running(bench: Bench) -> Iterator[Running]:
    bench.allow("a", 0)
    process = bench.start("--study", "a", "--fix", "behaviour=learn")
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("study: "):
            break
    assert "study: " in said, said
    found = Running(process, said, bench.results)
    session = found.token_file.parent / "ray" / "session_latest"
    # Ray's agent opens its ports last. Pytest's limit ends this.
    while not list(session.glob("dashboard_agent_listen_port_*")):
        assert process.poll() is None
        time.sleep(0.1)
    assert ask(f"{found.dashboard}/", NONE)[0] == 200  # which starts it
    yield found
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)


def ask(url: str, token: str | None, body: dict[str, str] | None = None) -> tuple[int, str]:
    """Return status and text of an HTTP request: POST with a body, else GET."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    content = json.dumps(body).encode() if body else None
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, content, headers), timeout=280
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_jobs_api_gives_nothing_without_the_token(running: Running, tmp_path: Path) -> None:
    jobs = f"{running.dashboard}/api/jobs/"
    mark = tmp_path / "was_here"
    for token, status, text in (
        (NONE, 401, "Unauthorized: Missing authentication token"),
        (WRONG, 403, "Forbidden: Invalid authentication token"),
    ):
        assert ask(jobs, token) == (status, text)
        assert ask(jobs, token, {"entrypoint": f"touch {mark}"}) == (status, text)
    status, listed = ask(jobs, running.token)
    assert status == 200
    # Nobody's job was taken: the only one is the study's own driver.
    assert [job["type"] for job in json.loads(listed)] == ["DRIVER"]
    assert not mark.exists()


@pytest.mark.parametrize(
    "path", ["/nodes?view=summary", "/api/v0/actors", "/api/v0/logs", "/api/version"]
)
def test_nothing_else_of_the_dashboard_is_told_either(running: Running, path: str) -> None:
    assert ask(running.dashboard + path, NONE)[0] == 401
    assert ask(running.dashboard + path, WRONG)[0] == 403


def test_the_page_itself_opens_and_asks_for_the_token(running: Running) -> None:
    assert ask(f"{running.dashboard}/", NONE)[0] == 200
    mode = ask(f"{running.dashboard}/api/authentication_mode", NONE)
    assert json.loads(mode[1]) == {"authentication_mode": "token"}
    assert ask(f"{running.dashboard}/api/authenticate", running.token, {"a": "post"})[0] == 200
    assert ask(f"{running.dashboard}/api/authenticate", WRONG, {"a": "post"})[0] == 403


@pytest.mark.skipif(sys.byteorder != "little", reason="/proc/net/tcp of another byte order")
def test_addresses_are_read_from_proc() -> None:
    assert decode("0100007F:1F90") == ("127.0.0.1", 8080)
    assert decode("00000000000000000000000000000000:0050") == ("::", 80)
    assert decode("0000000000000000FFFF00000100007F:0050") == ("127.0.0.1", 80)


@on_linux
def test_all_ports_are_open_to_this_machine_alone(running: Running) -> None:
    found = listeners(processes(running.process.pid, running.token_file))
    ports = {port for _, port in found}
    assert int(running.dashboard.rpartition(":")[2]) in ports
    # Head, node (2), dashboard, driver, worker; ports of a fixed number may be another Ray's.
    assert len(ports) >= 6, found
    assert {address for address, _ in found} == {"127.0.0.1"}


def call(channel: grpc.Channel, method: str, token: str | None) -> grpc.StatusCode:
    sent = [("authorization", f"Bearer {token}")] if token else None
    try:
        channel.unary_unary(f"/ray.rpc.{method}")(b"", timeout=100, metadata=sent)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@on_linux
def test_no_process_of_ray_answers_a_call_without_the_token(running: Running) -> None:
    asked = []
    for _, port in sorted(listeners(processes(running.process.pid, running.token_file))):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            for method in METHODS:
                if call(channel, method, running.token) != grpc.StatusCode.OK:
                    continue  # another process's method
                asked.append(method)
                for token in (NONE, WRONG):
                    answer = call(channel, method, token)
                    assert answer == grpc.StatusCode.UNAUTHENTICATED, (port, method)
    assert set(asked) == set(METHODS)


def test_nobody_else_can_read_the_token_or_what_ray_keeps(running: Running) -> None:
    token = running.token_file
    assert re.fullmatch("[0-9a-f]{64}", running.token)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    session = (token.parent / "ray" / "session_latest").resolve()
    assert session.is_relative_to(token.parent.resolve())
    assert list((session / "sockets").iterdir())


@on_linux
def test_the_token_is_told_nowhere(running: Running) -> None:
    secret = running.token.encode()
    assert secret.decode() not in running.said
    commands = [path / "cmdline" for path in processes(running.process.pid, running.token_file)]
    kept = files_below(running.token_file.parent) + files_below(running.results)
    assert len(commands) > 5
    assert {"study.json", "journal.log", "gcs_server.out", "token"} <= {path.name for path in kept}
    telling = [path for path in [*commands, *kept] if secret in content_of(path)]
    assert telling == [running.token_file]


def files_below(folder: Path) -> list[Path]:
    """Files, and no sockets; folders may vanish meanwhile."""
    paths = [Path(at, name) for at, _, names in os.walk(folder) for name in names]
    return [path for path in paths if path.is_file()]


def content_of(path: Path) -> bytes:
    """Nothing where a process has ended, or a file of Ray's has gone, since it was listed."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a token, and an environment that names none."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that what a test sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def put(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379"])
def test_no_cluster_is_joined_without_a_token(home: Path, address: str) -> None:
    place = re.escape(str(home / ".ray" / "auth_token"))
    with pytest.raises(
        UsageError, match=rf"^--address {address}: no token .*{place}: No such"
    ) as e:
        access.grant(address)
    assert "RAY_AUTH_TOKEN_PATH" in str(e.value)
    assert "\n" not in str(e.value)
    assert "RAY_AUTH_MODE" not in os.environ


def test_a_token_is_found_where_ray_looks_for_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home / ".ray" / "auth_token", "t")
    assert access.token_mistakes("auto") == []
    assert access.token_place() == home / ".ray" / "auth_token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "gone"))
    assert "gone: No such file" in access.token_mistakes("auto")[0]
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    assert access.token_mistakes("auto") == []
    access.grant("auto")
    assert os.environ["RAY_AUTH_MODE"] == "token"  # without it Ray would not send the token


@pytest.mark.parametrize("address", ["local", "auto", "10.0.0.1:6379", "head:1", "[::1]:6379"])
def test_what_may_be_an_address(address: str) -> None:
    assert access.address_mistakes(address) == []


NO_ADDRESS = ["", "foo", "10.0.0.1", "head:", ":6379", "a:0", "a:65536", "ray://head:10001"]


@pytest.mark.parametrize("address", [*NO_ADDRESS, "http://127.0.0.1:8265"])
def test_what_is_no_address(address: str) -> None:
    assert access.address_mistakes(address) == [
        f"--address {address}: must be local, auto or HOST:PORT, such as 10.0.0.1:6379"
    ]


@pytest.mark.parametrize(
    ("named", "usual", "place"),
    [
        (None, None, "/tmp"),
        (None, "/scratch", "/scratch"),
        (None, "/scratch/slurm/job-1234567", "/tmp"),
        (None, "/var/folders/ab/0123456789abcdefghijklmnopqrst/T/", "/tmp"),  # macOS
        (
            "/a/place/that/is/asked/for/by/its/name",
            "/scratch",
            "/a/place/that/is/asked/for/by/its/name",
        ),
    ],
)
def test_ray_s_sockets_can_be_bound_where_its_folder_is(
    named: str | None, usual: str | None, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    if named is not None:
        monkeypatch.setenv("RAY_TMPDIR", named)
    monkeypatch.setattr(tempfile, "tempdir", usual or "/tmp")  # what Python has found
    assert access._place() == place
    # What Ray 2.60 names it: 103 bytes are macOS's limit, 107 Linux's.
    session = "session_2026-11-28_12-00-00_123456_9999999"
    socket_path = f"{place}/trellis-x1y2z3a4/ray/{session}/sockets/plasma_store"
    assert len(socket_path) <= 103 or named


def test_a_folder_for_temporary_files_that_is_gone_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    assert Path(access._place()).is_dir()
    assert access.place_mistakes() == []


def test_a_folder_for_ray_that_is_gone_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "gone"))
    (line,) = access.place_mistakes()
    assert line.startswith(f"{tmp_path}/gone: no folder that can be written, for Ray's files; ")
    assert line.endswith("name one in RAY_TMPDIR")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_TMPDIR", "here")
    (tmp_path / "here").mkdir()
    assert access._place() == str(tmp_path / "here")
    assert access.place_mistakes() == []

    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setattr(tempfile, "gettempdir", none)
    (line,) = access.place_mistakes()
    assert line.endswith("No usable temporary directory found; name one in TMPDIR")


def test_a_user_without_a_home_gets_ray_s_folder_as_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # no HOME, no entry in passwd
    assert access.token_mistakes("local") == []
    (line,) = access.token_mistakes("auto")
    assert "no token to join it with (~/.ray/auth_token: No such file" in line
    monkeypatch.delenv("HOME", raising=False)
    access.grant("local")
    assert Path(os.environ["HOME"]) == access.private_folder()


def test_a_token_that_others_can_read_is_refused(home: Path) -> None:
    path = put(home / ".ray" / "auth_token", "t", 0o644)
    assert access.token_mistakes("auto") == [
        f"--address auto: others can read {path}; run chmod 600 {path}"
    ]


@pytest.mark.parametrize(("text", "what"), [("\n", "empty"), ("\udcff", "not text")])
def test_a_file_without_a_token_is_told(home: Path, text: str, what: str) -> None:
    path = put(home / ".ray" / "auth_token", "")
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert f"auth_token: {what})" in access.token_mistakes("auto")[0]


def test_the_command_refuses_a_cluster_without_a_token(bench: Bench, home: Path) -> None:
    done = bench.run("--study", "joined", "--address", "127.0.0.1:1")
    assert done.returncode == 2
    assert "--address 127.0.0.1:1: no token to join it with" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (bench.results / "joined").exists()


def test_a_local_ray_takes_no_token_or_mode_from_outside(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "known to others")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/known/to/others")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")
    access.grant("local")
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_TOKEN" not in os.environ
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(access.token_file())
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert access.token_file().parent == access.private_folder()


def test_the_private_folder_goes_with_its_process(home: Path) -> None:
    program = "from search import access; print(access.token_file())"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("/token\n")
    assert not Path(done.stdout.strip()).parent.exists()
