"""Trials on GPUs that only Ray believes in: who gets which share, by the predicted memory."""

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.search_tests.bench import PATIENCE_S, Bench, make_bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Later than the function of that name in the module, so this one counts.
MACHINE = """

def this_machine() -> Machine:
    return Machine(16, 2, gpu_mb=16384.0)
"""
# A dense layer of 16,000 x 16,000 weights takes 977 MiB four times over with Adam, and lowered
# copies: one of two on a GPU of 16 GiB. One of 100 x 100 could be one of eight.
STAGES = """

def stages(config, data, budget):
    import torch
    from torch import nn
    from trainables.evaluation import Examples
    from trainables.training import Stage

    side = 100 if config["height"] < 0.5 else 16_000

    def build(device):
        model = nn.Linear(side, side, device=device)
        pixels = torch.empty((8, side), dtype=torch.uint8, device=device)
        examples = Examples(pixels, torch.empty(8, dtype=torch.int64, device=device))
        optimizer = torch.optim.Adam(model.parameters())
        return Stage("x", 1, model, optimizer, examples, examples, 4, lambda batch: batch.float())

    return [build]


def note(config, budget, what):
    told = {
        "what": what,
        "time": time.time(),
        "trial": budget.folder.name,
        "large": config["height"] >= 0.5,
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "device": budget.device,
        "memory_mb": budget.memory_mb,
        "process": os.getpid(),
    }
    with (budget.folder.parents[1] / "given.log").open("a") as file:
        file.write(json.dumps(told) + "\\n")
"""
BEGIN = "    budget.folder.mkdir(parents=True, exist_ok=True)\n"
END = "\n\n\ndef misbehave"
PLAN = ("--max-epochs", "2", "--stopper", "none", "--fix", "pause_s=2", "--sampler", "random")
PLAN += ("--fix", "behaviour=learn")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    found = make_bench(tmp_path_factory.mktemp("bench"))
    resources, trainable = found.root / "search/resources.py", found.root / "trainables/formula.py"
    resources.write_text(resources.read_text() + MACHINE)
    cpus = '"num_cpus": usable_cpus(),'
    replace(found.root / "search/connection.py", cpus, '"num_cpus": 16, "num_gpus": 2,')
    replace(trainable, BEGIN, f'{BEGIN}    note(config, budget, "begin")\n')
    replace(trainable, END, f'\n    note(config, budget, "end"){END}')
    trainable.write_text(trainable.read_text() + STAGES)
    return found


def told(bench: Bench, study: str) -> list[dict[str, Any]]:
    lines = (bench.results / study / "given.log").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_shares_follow_the_predicted_memory(bench: Bench) -> None:
    bench.allow("auto", 0)
    process = bench.start("--study", "auto", "--trials", "6", *PLAN)
    given_log = bench.results / "auto" / "given.log"
    # Three on two GPUs, none of which ends before all have begun: two are on one GPU.
    while not given_log.exists() or len(told(bench, "auto")) < 3:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    bench.let_go("auto")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    assert "6 trials at once, each with 1 CPU and the share of a GPU that its" in output
    given = told(bench, "auto")
    begun = [each for each in given if each["what"] == "begin"]
    assert len(begun) == len(given) / 2 == 6
    # 15,360 MiB for trials: a half, or a third, as three of six are meant for each of two GPUs;
    # less 600 for a context, four fifths of that.
    shares = {(each["large"], round(each["memory_mb"])) for each in begun}
    assert shares == {(True, 5664), (False, 3616)}
    assert {each["device"] for each in begun} == {"cuda"}
    assert {each["gpu"] for each in begun} <= {"0", "1"}
    taken: defaultdict[str, float] = defaultdict(float)
    most: defaultdict[str, int] = defaultdict(int)
    running: defaultdict[str, int] = defaultdict(int)
    for each in sorted(given, key=lambda line: float(line["time"])):
        sign = 1 if each["what"] == "begin" else -1
        taken[each["gpu"]] += sign * (0.5 if each["large"] else 0.3333)
        running[each["gpu"]] += sign
        most[each["gpu"]] = max(most[each["gpu"]], running[each["gpu"]])
        assert taken[each["gpu"]] <= 1
    assert max(most.values()) >= 2  # of several on one GPU


@pytest.mark.parametrize(
    ("words", "gpus", "device"),
    [
        (("--gpus-per-trial", "0", "--concurrent", "4"), {""}, "cpu"),
        (("--gpus-per-trial", "0.5"), {"0", "1"}, "cuda"),
    ],
)
def test_a_share_that_is_asked_for(
    words: tuple[str, ...], gpus: set[str], device: str, bench: Bench
) -> None:
    name = f"asked-{device}"
    done = bench.run("--study", name, "--trials", "8", *PLAN, *words)
    assert done.returncode == 0, done.stderr
    begun = [each for each in told(bench, name) if each["what"] == "begin"]
    assert len(begun) == 8
    # One share for all, so a worker that is done is used again.
    assert len({each["process"] for each in begun}) < 8
    assert {each["device"] for each in begun} == {device}
    assert {each["gpu"] for each in begun} <= gpus  # a trial on the CPU sees none
    assert {each["memory_mb"] for each in begun} == {5664 if device == "cuda" else None}
