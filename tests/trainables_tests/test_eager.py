"""Training and predicting memory leave torch's compiler alone, and compute the same without it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
import sys
import torch
from search.catalog import find
from trainables import device, mnist_cnn
from trainables.budget import Budget
from trainables.data import Split
from trainables.shapes import published
from trainables.training import run_stages
from dataclasses import replace
import numpy as np

draw = np.random.default_rng(0)
class Tiny(type(published("mnist"))):
    def split(self, name, size, progress=None):
        images = draw.integers(0, 256, (20, 28, 28, 1), dtype=np.uint8)
        return Split(images, np.arange(20) % 10)

data = Tiny(**{**vars(published("mnist")), "sizes": {"train": 20, "validation": 20}})
budget = Budget(1, device="cpu", threads=1, precision="float32", memory_mb=2000.0)
"""
TRAIN = """
result, = mnist_cnn.epochs(dict(find("mnist_cnn").defaults()), data, budget)
print(result.train_loss.hex(), result.val_loss.hex())
"""
LOADED = """
print(type(sys.modules.get("torch._dynamo")).__name__, "torch._dynamo.eval_frame" in sys.modules)
"""
# Both ask every module for its file; the second while torch imports a package that needs that.
LOOK = """
import inspect
device.set_up(budget)
print(len(inspect.stack()))
torch.testing.assert_close(torch.ones(1), torch.ones(1))
"""
COMPILE = """
device.set_up(budget)
@torch.compiler.disable(recursive=False)
def one():
    return 1
assert one() == 1
double = torch.compile(lambda x: 2 * x, backend="eager")
print(double(torch.ones(2)).tolist())
import torch._dynamo.config
print(torch._dynamo.config.__name__, torch._dynamo is sys.modules["torch._dynamo"])
import torch._dynamo.convert_frame as user
assert user.config is torch._dynamo.config
"""


def run(code: str) -> list[str]:
    """Run code in a process of its own: what is imported there is not what tests import."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_trial_imports_no_compiler_and_trains_the_same() -> None:
    losses, loaded = run(TRAIN + LOADED)
    assert loaded == "StandIn False"
    same, real = run("import torch._dynamo\n" + TRAIN + LOADED)
    assert real == "module True"
    assert losses == same


@pytest.mark.slow
def test_who_compiles_gets_the_compiler() -> None:
    doubled, config, loaded = run(COMPILE + LOADED)
    assert doubled == "[2.0, 2.0]"
    assert config == "torch._dynamo.config True"
    assert loaded == "module True"


def test_looking_at_all_modules_does_not_bring_the_compiler() -> None:
    assert run(LOOK + LOADED) == ["1", "StandIn False"]
    assert run(LOOK + COMPILE)[1:] == ["[2.0, 2.0]", "torch._dynamo.config True"]
