"""A study on a Ray that somebody else has started: two nodes on this machine."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search_tests.bench import Bench, make_bench
from tests.search_tests.nodes import PATIENT

# Holds the cluster until its standard input is closed.
NODES = f"""{PATIENT}
import sys
from ray.cluster_utils import Cluster
here = {{"dashboard_agent_listen_port": 0}}  # the default is one fixed port of the machine
head = {{"num_cpus": 1, "dashboard_port": 0, **here}}
cluster = Cluster(initialize_head=True, head_node_args=head)
cluster.add_node(num_cpus=2, **here)
cluster.wait_for_nodes(600)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    token = folder / "token"
    token.touch(0o600)
    token.write_text("known to this cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))  # for the cluster and those who join it
        yield make_bench(folder)


@pytest.fixture(scope="module")
def address(bench: Bench) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", NODES],
        env={**bench.environment(), "RAY_AUTH_MODE": "token"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    line = next(line for line in process.stdout if line.startswith("127.") or ":" in line)
    yield line.strip()
    process.stdin.close()
    process.wait(timeout=300)


def test_a_study_joins_the_cluster_and_leaves_it_running(bench: Bench, address: str) -> None:
    held = ("--fix", "behaviour=learn", "--fix", "pause_s=0", "--max-epochs", "2")
    for name in ("first", "second"):
        done = bench.run("--study", name, "--address", address, "--trials", "3", *held)
        assert done.returncode == 0, done.stderr
        assert "3 trials at once, each with 1 CPU" in done.stderr  # 1 CPU here and 2 there
        assert len(Path(bench.results, name, "trials.csv").read_text().splitlines()) == 4


def test_more_than_any_node_has_is_told_instead_of_waiting(bench: Bench, address: str) -> None:
    done = bench.run("--study", "big", "--address", address, "--cpus-per-trial", "3")
    assert done.returncode == 2
    assert "--cpus-per-trial 3: the largest node has 2 CPUs" in done.stderr


def test_another_token_does_not_let_in(
    bench: Bench, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "token"
    other.touch(0o600)
    other.write_text("known to another cluster")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other))
    done = bench.run("--study", "stranger", "--address", address, "--trials", "1")
    assert done.returncode == 1
    assert f"its token is not that in {other}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "known to another cluster" not in done.stderr
    assert not (bench.results / "stranger").exists()


def test_no_ray_at_the_address_is_told_in_one_line(bench: Bench) -> None:
    done = bench.run("--study", "nowhere", "--address", "127.0.0.1:1", "--trials", "1")
    assert done.returncode == 1
    assert "no Ray at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
