import subprocess
import sys
from types import ModuleType

import pytest

from trainables import vision


def test_models_and_transforms_work_whatever_torch_is_installed() -> None:
    code = (
        "from trainables.vision import import_torchvision\n"
        "torchvision = import_torchvision()\n"
        "assert import_torchvision() is torchvision\n"
        "import torch\n"
        "from torchvision.models import inception_v3\n"
        "from torchvision.transforms import v2\n"
        "with torch.device('meta'):\n"
        "    model = inception_v3(weights=None, init_weights=False)\n"
        "assert v2.functional.horizontal_flip(torch.tensor([[[1, 2]]])).tolist() == [[[2, 1]]]\n"
        "print(sum(p.numel() for p in model.fc.parameters()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2049000\n"  # 2048 * 1000 + 1000


def test_an_import_that_succeeds_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ModuleType("torchvision")
    monkeypatch.setattr(vision, "_kept", [])  # other tests of this process may have needed it
    monkeypatch.setattr(vision.importlib, "import_module", lambda _: whole)
    assert vision.import_torchvision() is whole
    assert vision._kept == []


def test_another_failure_is_not_covered_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> ModuleType:
        raise RuntimeError("out of file handles")

    monkeypatch.setattr(vision, "_kept", [])
    monkeypatch.setattr(vision.importlib, "import_module", fail)
    with pytest.raises(RuntimeError, match="out of file handles"):
        vision.import_torchvision()
    assert vision._kept == []
