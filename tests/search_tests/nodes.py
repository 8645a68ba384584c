"""A real Ray on this machine: a head and a worker, one CPU each, on loopback, behind a token."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Before a script that starts nodes: Ray gives each of them half a minute, a busy machine more.
PATIENT = """
import os
import time
os.environ["RAY_gcs_server_port_wait_time_s"] = "600"
os.environ["RAY_DASHBOARD_STARTUP_TIMEOUT_S"] = "600"
from ray._private import services
get, wait = services.get_node, services.wait_for_node

def get_node(*given):
    for _ in range(6000):
        try:
            return get(*given)
        except RuntimeError:
            time.sleep(0.1)
    return get(*given)

services.get_node = get_node
services.wait_for_node = lambda address, name, timeout: wait(address, name, 600)
"""
# Holds the cluster until its standard input is closed, so that it never outlives the tests.
SCRIPT = f"""{PATIENT}
import sys
from ray._common.utils import get_default_ray_temp_dir
from ray.cluster_utils import Cluster
# Ray notes the address of the head there, and makes no folder for it.
os.makedirs(get_default_ray_temp_dir(), exist_ok=True)
here = {{
    "num_cpus": 1,
    "node_ip_address": "127.0.0.1",
    "dashboard_agent_listen_port": 0,  # the default is one fixed port of the machine
}}
cluster = Cluster(
    initialize_head=True,
    # Each node with a folder of its own: in a common one, the second would unpack a job's code
    # over what the first runs from.
    head_node_args={{
        **here,
        "temp_dir": f"{{sys.argv[1]}}/head",
        "include_dashboard": True,
        "dashboard_host": "127.0.0.1",
        "dashboard_port": 0,
    }},
)
cluster.add_node(**here, temp_dir=f"{{sys.argv[1]}}/worker")
cluster.wait_for_nodes(600)
print(f"ready {{cluster.address}} http://{{cluster.head_node.webui_url}}", flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@dataclass(frozen=True)
class Nodes:
    """`environment` lets a process in: the token, and this Python first on the path."""

    address: str
    url: str
    environment: dict[str, str]


@contextmanager
def running(folder: Path) -> Iterator[Nodes]:
    """Start the two nodes; end them, by their own process, when the block ends.

    Args:
        folder: For the token and Ray's files; short, since Ray's sockets lie in it.
    """
    token = folder / "token"
    token.touch(0o600)
    token.write_text(secrets.token_hex(16))
    # As on a cluster whose nodes activate their environment before `ray start`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        # Ray takes 127.0.0.1 for the machine's outer address, which nothing here listens on.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if line.startswith("ready ")), "")
        assert line, "the nodes ended before they were ready"
        _, address, url = line.split()
        yield Nodes(address, url, environment)
    finally:
        process.stdin.close()
        process.wait(timeout=300)
