"""The three cluster files: valid by Ray's own schema, and true to what this project needs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
UP = ("cluster.yaml", "cluster-onprem.yaml")
ALL = (*UP, "cluster-kuberay.yaml")


# Kubernetes' own words, which would be explained by themselves.
PLAIN = {"kind", "name", "spec", "template", "containers", "mode", "requests", "limits"}
PLAIN |= {"groupName", "num-cpus"}  # the line above their parent says it


def keys(node: Any) -> Iterator[tuple[str, int]]:
    """Yield each key of a block with the number of its line, but for those inside braces."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        for key, value in node.value:
            yield key.value, key.start_mark.line
            yield from keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from keys(each)


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / name).read_text()))


def prepared(name: str) -> dict[str, Any]:
    """What `ray up` makes of the file, with its defaults, once its own checks have passed."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = dict(prepare_config(read(name)))
    validate_config(config)
    return config


def test_ray_finds_the_aws_file_valid_and_scales_spot_gpus_from_none() -> None:
    config = prepared("cluster.yaml")
    head, worker = (config["available_node_types"][name] for name in ("head", "worker"))
    assert config["head_node_type"] == "head"
    assert head["resources"] == {"CPU": 0}
    assert (worker["min_workers"], worker["max_workers"], config["max_workers"]) == (0, 4, 4)
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert config["idle_timeout_minutes"] == 5


def test_ray_finds_the_file_for_own_machines_valid() -> None:
    config = prepared("cluster-onprem.yaml")
    (node,) = config["available_node_types"].values()
    assert (node["min_workers"], node["max_workers"]) == (2, 2)
    assert config["provider"]["type"] == "local"


def test_rays_check_sees_a_mistake() -> None:
    import jsonschema
    from ray.autoscaler._private.util import validate_config

    config = prepared("cluster.yaml") | {"idle_minutes": 5}
    with pytest.raises(jsonschema.ValidationError, match="idle_minutes"):
        validate_config(config)


@pytest.mark.parametrize("name", UP)
def test_every_node_gets_the_lock_and_the_token_and_asks_for_it(name: str) -> None:
    config = prepared(name)
    assert config["file_mounts"]["~/.ray/auth_token"].endswith(".ray/auth_token")
    assert (ROOT / config["file_mounts"]["~/trellis/requirements.lock"]).is_file()
    for part in ("head_setup_commands", "worker_setup_commands"):  # the common ones merged in
        commands = "\n".join(config[part])
        assert "chmod 600 ~/.ray/auth_token" in commands
        assert "pip install -q -r ~/trellis/requirements.lock" in commands
    for part in ("head_start_ray_commands", "worker_start_ray_commands"):
        start = config[part][-1]
        assert "RAY_AUTH_MODE=token" in start
        assert "RAY_AUTH_TOKEN_PATH=$HOME/.ray/auth_token" in start
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    assert "TRELLIS_RESULTS=/mnt/trellis/results" in config["head_start_ray_commands"][-1]


def test_the_rayjob_has_what_kuberays_reference_requires() -> None:
    job = read("cluster-kuberay.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,46}[a-z0-9])?", job["metadata"]["name"])
    cluster = job["spec"]["rayClusterSpec"]
    head, (group,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    for part in (head, group):
        (container,) = part["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} <= set(container)
        assert all(isinstance(value, str) for value in part["rayStartParams"].values())
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in part["template"]["spec"]["volumes"]}
    assert group["groupName"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (0, 0, 4)
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["authOptions"] == {"mode": "token"}
    assert job["spec"]["shutdownAfterJobFinishes"] is True


def test_the_rayjob_has_the_ray_of_the_lock_and_a_command_line_that_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "from KubeRay's secret")
    from search.jobs_entry import build_parser
    from search.options import build_parser as run_parser
    from search.request import check

    job = read("cluster-kuberay.yaml")["spec"]
    lock = (ROOT / "requirements.lock").read_text()
    assert f"\nray=={job['rayClusterSpec']['rayVersion']}\n" in lock
    *program, module = job["entrypoint"].split()[:3]
    assert (program, module) == (["python", "-m"], "search.jobs_entry")
    words = job["entrypoint"].split()[3:]
    asked = build_parser().parse_args(words)
    assert asked.gpus == job["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"]
    arguments = run_parser().parse_args([*asked.words[1:], "--address", "auto"])
    assert check(arguments).experiment.name == "lenet_beans"


@pytest.mark.parametrize("name", ALL)
def test_every_key_has_its_comment(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    found = list(keys(yaml.compose((ROOT / name).read_text())))
    assert len(found) > 15
    bare = [key for key, line in found if not lines[line - 1].strip().startswith("#")]
    assert set(bare) <= PLAIN
    assert len(bare) < len(found) / 2


@pytest.mark.parametrize("name", ALL)
def test_what_is_to_be_filled_in_cannot_be_overlooked(name: str) -> None:
    text = (ROOT / name).read_text()
    assert text.count("FILL IN") >= 3
    if name != "cluster-onprem.yaml":  # there, addresses that belong to nobody
        assert "FILL-IN" in text


def test_the_lock_pins_the_ray_that_the_files_were_checked_with() -> None:
    import ray

    lines = (ROOT / "requirements.lock").read_text().splitlines()
    (pin,) = [Requirement(line) for line in lines if line.startswith("ray==")]
    assert pin.specifier.contains(ray.__version__)
