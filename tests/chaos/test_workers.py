"""Workers that die, hang or run out of memory, and a node that is lost: the study goes on."""

import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.killing import doubled, table, tables
from tests.search_tests.bench import PATIENCE_S, Bench
from tests.search_tests.nodes import PATIENT

pytestmark = pytest.mark.slow
LOST = "the worker process died, retries included"
HUNG = "killed: no new epoch for 90 s (--trial-timeout)"
EXPECTED = {
    "learn": ("completed", ""),
    "die": ("failed", LOST),
    "die_once": ("completed", ""),
    "segfault": ("failed", LOST),
    "segfault_once": ("completed", ""),
    "hang": ("failed", HUNG),
    "stop": ("failed", HUNG),  # a process that not even a signal to end reaches
    "hog": ("completed", ""),  # these two only where they are asked to
    "hog_once": ("completed", ""),
    "cuda": (
        "infeasible",
        "out of memory: OutOfMemoryError: CUDA out of memory. Tried to allocate 3.00 GiB.",
    ),
    "warn": ("completed", ""),
    "weigh": ("completed", ""),
    "nan": ("infeasible", "diverged: epoch 1: val_loss is nan"),
}


@pytest.mark.timeout(1200)
def test_every_way_in_which_a_worker_can_end(bench: Bench, tally: Counter[str]) -> None:
    words = ("--sweep", "behaviour", "--max-epochs", "3", "--trial-timeout", "90s")
    done = bench.run("--study", "workers", *words)
    assert done.returncode == 0, done.stderr
    trials = table(bench.results / "workers" / "trials.csv")
    found = {row["config.behaviour"]: (row["status"], row["error"]) for row in trials}
    assert found == EXPECTED
    tally["workers lost"] += sum(EXPECTED[name][1] in (LOST, HUNG) for name in found) + 2
    assert doubled(bench.results / "workers") == 0
    number = {row["config.behaviour"]: row["trial"] for row in trials}
    assert f"trial {number['warn']}: a checkpoint cannot be used" in done.stderr
    for name in ("die_once", "segfault_once"):
        told = "the worker process died; it goes on from its last checkpoint (retry 1 of 2)"
        assert f"trial {number[name]}: {told}" in done.stderr
        # The retry went on from the checkpoint: every epoch once.
        mine = [line for line in bench.trained("workers") if line.split()[0] == number[name]]
        assert mine == [f"{number[name]} {epoch}" for epoch in (1, 2, 3)]
    assert "Traceback" not in done.stderr


# Holds a head without CPUs and two nodes of two; loses one when told to.
NODES = f"""{PATIENT}
import sys
from ray.cluster_utils import Cluster
here = {{"dashboard_agent_listen_port": 0}}  # the default is one fixed port of the machine
head = {{"num_cpus": 0, "dashboard_port": 0, **here}}  # the default is one port of the machine
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=2, **here) for _ in range(2)]
cluster.wait_for_nodes(600)
print("ready " + cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("lost", flush=True)
cluster.shutdown()
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[str]"]:
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as folder:
        token = Path(folder, "token")
        token.touch(0o600)
        token.write_text(secrets.token_hex(16))
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", NODES], text=True, **streams)  # type: ignore[call-overload]
        yield process
        process.stdin.close()
        process.wait(timeout=300)


@pytest.mark.timeout(1200)
def test_a_node_is_lost_without_grace(
    bench: Bench, cluster: "subprocess.Popen[str]", tally: Counter[str]
) -> None:
    assert cluster.stdout is not None
    assert cluster.stdin is not None
    ready = next(line for line in cluster.stdout if line.startswith("ready "))
    held = ("--fix", "behaviour=learn", "--fix", "pause_s=0.5", "--stopper", "none")
    plan = ("--trials", "5", "--max-epochs", "6", "--address", ready.split()[1])
    bench.allow("node", 0)
    process = bench.start("--study", "node", *plan, *held)
    while len(list(bench.results.glob("node/trials/*"))) < 4:  # at once, on both nodes
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    bench.allow("node", 9)
    bench.wait_for("node", 9, process)
    cluster.stdin.write("lose one\n")
    cluster.stdin.flush()
    assert next(line for line in cluster.stdout if line.startswith("lost"))
    bench.let_go("node")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    assert "4 trials at once" in output
    assert "it goes on from its last checkpoint" in output
    trials, curves = tables(bench.results / "node")
    assert [(row["status"], row["epochs"]) for row in trials] == [("completed", "6")] * 5
    assert len(curves) == 30
    assert doubled(bench.results / "node") == 0
    tally["nodes lost"] += 1
