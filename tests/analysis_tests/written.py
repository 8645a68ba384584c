"""Studies written by hand: trials and curves as the readers give them."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.figures import style
from analysis.frames import read_curves, read_trials

HEAD = (
    "trial,status,epochs,best_epoch,val_accuracy,val_loss,train_accuracy,parameters,"
    "trainable_parameters,wall_s,peak_memory_mb,seed,error"
)
CURVES = (
    "trial,epoch,stage,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,epoch_s\n"
)
# kernel_size: choices; rate: a range on a log scale, which trial 3 lacks; filters: text.
NAMES = ("kernel_size", "rate", "filters")
SPACE = {"kernel_size": "3, 5, 7", "rate": "0.0001 to 0.1 (log scale)", "filters": "3/8, 12/32"}
TRIALS = (
    (0, "completed", 4, 0.70, 40.0, 500, "", 5, 0.001, "12/32"),
    (1, "stopped", 2, 0.50, 10.0, 400, "", 3, 0.01, "3/8"),
    (2, "completed", 4, 0.80, 60.0, 768, "", 3, 0.1, "12/32"),
    (3, "stopped", 1, 0.60, 20.0, 300, "", 3, "", "3/8"),
    (4, "infeasible", 1, 0.99, 5.0, 300, "diverged: epoch 2", 7, 0.1, "3/8"),
    (5, "failed", 0, "", 1.0, "", "ValueError: no", 7, 0.1, "3/8"),
    (6, "running", 1, 0.95, "", 200, "", 7, 0.1, "3/8"),
)


def trials_text(rows: Any = TRIALS, names: tuple[str, ...] = NAMES) -> str:
    lines = [",".join([HEAD, *(f"config.{name}" for name in names)])]
    for number, status, epochs, accuracy, wall, memory, error, *config in rows:
        best = min(epochs, 1) or ""
        lines.append(
            f"{number},{status},{epochs},{best},{accuracy},0.5,{accuracy},10,9,{wall},{memory},"
            f"{number},{error}," + ",".join(map(str, config))
        )
    return "\n".join(lines) + "\n"


def curves_text(rows: list[tuple[int, int, str, float, float, float]]) -> str:
    """Rows of (trial, epoch, stage, train_accuracy, val_accuracy, epoch_s)."""
    return CURVES + "".join(
        f"{trial},{epoch},{stage},0.5,{train},0.6,{val},0.01,{seconds}\n"
        for trial, epoch, stage, train, val, seconds in rows
    )


# Two epochs each of trials 0 to 3.
FOUR_CURVES = curves_text(
    [(n, e, "train", 0.5 + e / 10, 0.4 + e / 20, 2.0) for n in (0, 1, 2, 3) for e in (1, 2)]
)


def folder(tmp_path: Path, trials: str, curves: str, **manifest: Any) -> Path:
    root = tmp_path / manifest.pop("name", "written")
    root.mkdir(parents=True)
    data = {"kind": "tfds", "dataset": "beans", "location": "/nowhere", "real": True,
            "fingerprint": "f00d", "classes": ["x", "y"],
            "sizes": {"train": 6, "validation": 100, "test": 2}}  # fmt: skip
    told = {"experiment": "lenet_beans", "data": data, "space": SPACE, "command": ["python"],
            "budget": {"trials": 7, "max_epochs": 4, "rungs": [1, 2]}}  # fmt: skip
    (root / "study.json").write_text(json.dumps(told | manifest))
    (root / "trials.csv").write_text(trials)
    (root / "curves.csv").write_text(curves)
    return root


def frames(
    tmp_path: Path, curves: list[tuple[int, int, str, float, float, float]] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    root = folder(tmp_path, trials_text(), curves_text(curves or []))
    return read_trials(root), read_curves(root)


def without_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reports make their drawings and not render them: that takes most of their time."""

    def touch(_figure: object, _svg: str, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".png").touch()

    monkeypatch.setattr(style, "svg_of", lambda _: "<svg></svg>")
    monkeypatch.setattr(style, "write", touch)
