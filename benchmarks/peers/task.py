"""What one tool is asked to do in one run, and the space it searches: the same for all of them."""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One search of one tool. Plain values only: it goes to the tool's process as JSON.

    `images` holds a folder per split and in it a folder per class (`torchvision`'s ImageFolder),
    `epochs` is the most a trial may have, `cores` the trials at once (a tool that runs one at a
    time gives it all of them). Where `gpus` is not 0 the PyTorch peers train on a GPU. `fixed`
    holds hyperparameters, as `--fix` does. `records` is the file of `benchmarks.peers.records`;
    `folder` is for what the tool writes. `arguments` are the data and weights as the command line
    of `search.run` names them. `precision` is float32 or bfloat16 for all tools, or "": each as
    it is by default, the peers in float32.
    """

    experiment: str
    images: str
    trials: int
    epochs: int
    cores: int
    seed: int
    folder: str
    records: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    arguments: tuple[str, ...] = ()
    gpus: int = 0
    precision: str = ""

    def write(self, path: Path) -> None:
        """Write the task as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: str | Path) -> "Task":
        """Read what `write` wrote."""
        read = json.loads(Path(path).read_text())
        return cls(**{**read, "arguments": tuple(read["arguments"])})

    @property
    def first(self) -> Config:
        """The published configuration with what is fixed: where every tool may begin."""
        return self.space(_Answers(self.flat_first))

    @property
    def flat_first(self) -> Config:
        """The same for a tool without conditions: names that are not in force, too."""
        return {**_space_module(self.experiment).DEFAULTS, **self.fixed}

    @property
    def space(self) -> Callable[[Any], Config]:
        """The experiment's own space with what is fixed: define-by-run, over an Optuna trial."""
        whole: Callable[[Any], Config] = _space_module(self.experiment).space
        return lambda trial: whole(Held(trial, self.fixed))


class Held:
    """A trial whose fixed hyperparameters are never drawn."""

    def __init__(self, trial: Any, fixed: Mapping[str, Any]) -> None:
        """Answer from `fixed`, and ask `trial` for the rest."""
        self._trial = trial
        self._fixed = fixed

    def __getattr__(self, suggest: str) -> Callable[..., Any]:
        """Return one of suggest_categorical, suggest_float and suggest_int."""
        asked = getattr(self._trial, suggest)

        def answer(name: str, *given: Any, **named: Any) -> Any:
            return self._fixed[name] if name in self._fixed else asked(name, *given, **named)

        return answer


class _Answers:
    """A trial that takes every value from a mapping."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, suggest: str) -> Callable[..., Any]:
        return lambda name, *given, **named: self._values[name]


def chosen(task: Task, values: Mapping[str, Any]) -> Config:
    """Return the configuration that drawn values make: only names that are in force.

    For tools without conditional hyperparameters, which draw all of them always.
    """
    return task.space(_Answers({**task.fixed, **values}))


def _space_module(experiment: str) -> Any:
    return importlib.import_module(f"spaces.{experiment}")
