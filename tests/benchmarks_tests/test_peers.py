"""The comparison with peers: one space for all, records, sums, table and figure by hand."""

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import optuna
import pytest

from benchmarks.peers import __main__ as command
from benchmarks.peers import machine, records, runs, watching, with_keras_tuner, with_trellis
from benchmarks.peers.figure import best_so_far, curves, draw
from benchmarks.peers.images import export
from benchmarks.peers.records import Record
from benchmarks.peers.runs import Run
from benchmarks.peers.summary import slowest, spread, table, target, told_target, write_csv
from benchmarks.peers.task import Task, chosen
from search.catalog import find
from search.domains import domains
from trainables.data import DataSpec
from trainables.errors import TrellisError

from .peer_data import tiny_task

EXPERIMENTS = ("lenet_beans", "inception_beans", "mnist_cnn", "cifar10_net")


def task(experiment: str = "lenet_beans", **fixed: Any) -> Task:
    return Task(experiment, "images", 5, 4, 2, 1, "work", "records", fixed)


def run(tool: str, seed: int, wall_s: float, *better: tuple[float, float]) -> Run:
    found = tuple(Record(at, "t", 1, value) for at, value in better)
    return Run(tool, seed, wall_s, 10.0, 200.0, "PSS", False, 4, 12, found)


# Ours reaches 0.6 at 20 and 30 s; the peer, which is slower, ends with it.
RUNS = [
    run("trellis", 0, 50, (10, 0.5), (20, 0.7)),
    run("trellis", 1, 60, (10, 0.4), (30, 0.6)),
    run("optuna", 0, 100, (20, 0.3), (60, 0.6)),
    run("optuna", 1, 110, (30, 0.2), (80, 0.6)),
]


def keep(tool: str, asked: Task, folder: Path, kept: Run) -> None:
    place = runs.place_of(tool, asked, folder)
    place.mkdir()
    (place / "run.json").write_text(json.dumps(asdict(kept)))


def test_a_task_is_read_as_it_was_written(tmp_path: Path) -> None:
    before = replace(task(image_size=64), arguments=("--data", "embedded"))
    before.write(tmp_path / "task.json")
    assert Task.read(tmp_path / "task.json") == before


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_space_is_ours(experiment: str) -> None:
    ours = find(experiment)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(20):
        drawn = study.ask()
        config = task(experiment).space(drawn)
        assert config == ours.space()(optuna.trial.FixedTrial(drawn.params))
    assert task(experiment).first == ours.space()(optuna.trial.FixedTrial(ours.defaults()))


def test_what_is_fixed_is_never_drawn() -> None:
    held = task(image_size=64, regularizer="l2", strength=0.5)
    trial = optuna.create_study().ask()
    config = held.space(trial)
    assert (config["image_size"], config["strength"]) == (64, 0.5)
    assert not {"image_size", "regularizer", "strength"} & set(trial.params)
    assert held.first["strength"] == 0.5


def test_a_flat_draw_leaves_out_what_is_not_in_force() -> None:
    given = task(image_size=64)
    flat = {**given.first, "regularizer": "none", "strength": 0.01}
    assert "strength" not in chosen(given, flat)
    assert chosen(given, flat | {"regularizer": "l1"})["strength"] == 0.01
    assert chosen(given, {n: v for n, v in flat.items() if n != "image_size"}) == given.first


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_syne_tune_draws_from_the_same_domains(experiment: str) -> None:
    pytest.importorskip("syne_tune", reason="the peers are not installed: `make bench`")
    from benchmarks.peers.with_syne_tune import config_space

    found = config_space(task(experiment))
    known = domains(find(experiment).space(), find(experiment).defaults())
    assert set(found) == set(known)
    first = {name: task(experiment).flat_first[name] for name in found}
    assert all(known[name].contains(value) for name, value in first.items())
    assert chosen(task(experiment), first) == task(experiment).first
    state = np.random.RandomState(0)
    for name, domain in found.items():
        values = [domain.sample(random_state=state) for _ in range(50)]
        assert all(known[name].contains(value) for value in values), name


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_keras_tuner_draws_from_the_same_domains(
    experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras_tuner = pytest.importorskip("keras_tuner", reason="the peers are not installed")
    known = domains(find(experiment).space(), find(experiment).defaults())
    seen = set()
    for _ in range(5):
        hp = keras_tuner.HyperParameters()
        config = task(experiment).space(with_keras_tuner.Drawn(hp))
        seen |= set(config)
        for each in hp.space:
            values = [each.random_sample() for _ in range(20)]
            assert all(known[each.name].contains(value) for value in values), each.name
    assert seen


def test_hyperband_s_configurations() -> None:
    # keras_tuner at 20 epochs: 12, 6 and 4 (ceil(1 + log3(20)) = 4); at 4: 5 and 3; at 9: 9, 5, 3.
    assert with_keras_tuner.brackets(20) == [12, 6, 4]
    assert with_keras_tuner.brackets(4) == [5, 3]
    assert with_keras_tuner.brackets(9) == [9, 5, 3]
    # At 32: ceil(1 + log3(32)) = 5; 5 / 4 * 27, 5 / 3 * 9, 5 / 2 * 3 and 5.
    assert with_keras_tuner.brackets(32) == [34, 15, 8, 5]


def test_records_come_back_in_order_and_without_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    assert records.read(path, 0.0) == []
    path.write_text('[107.5, "b", 1, 0.5]\n[105.0, "a", 1, 0.25]\n[108.0, "a", 2, 0.4]\n[109')
    found = records.read(path, 100.0)
    assert found == [Record(5, "a", 1, 0.25), Record(7.5, "b", 1, 0.5), Record(8, "a", 2, 0.4)]
    assert records.improvements(found) == found[:2]


def test_appended_records_carry_the_time_of_day(tmp_path: Path) -> None:
    began = time.time()
    records.append(tmp_path / "r", "trial", 3, 0.75)
    (found,) = records.read(tmp_path / "r", began)
    assert (found.trial, found.epoch, found.val_accuracy) == ("trial", 3, 0.75)
    assert found.seconds >= 0


def test_one_configuration_has_one_name() -> None:
    assert records.key({"a": 1, "b": "x"}) == records.key({"b": "x", "a": 1})
    assert records.key({"a": 1}) != records.key({"a": 2})


def test_rows_of_our_curves_are_noted_once(tmp_path: Path) -> None:
    curves_csv, path = tmp_path / "curves.csv", tmp_path / "records"
    assert with_trellis.note_new(curves_csv, 0, str(path)) == 0
    curves_csv.write_text("trial,epoch,val_accuracy\n0,1,0.25\n1,1,0.5\n0,2,0.")
    seen = with_trellis.note_new(curves_csv, 0, str(path))
    assert seen == 2
    curves_csv.write_text("trial,epoch,val_accuracy\n0,1,0.25\n1,1,0.5\n0,2,0.375\n")
    assert with_trellis.note_new(curves_csv, seen, str(path)) == 3
    found = [(each.trial, each.epoch, each.val_accuracy) for each in records.read(path, 0)]
    assert sorted(found) == [("0", 1, 0.25), ("0", 2, 0.375), ("1", 1, 0.5)]


def test_our_command_line_is_one_that_search_run_takes() -> None:
    from search.options import build_parser

    given = replace(task(image_size=64), arguments=("--data", "embedded"))
    words = with_trellis.command(given)
    lower = build_parser().parse_args(
        with_trellis.command(replace(given, precision="bfloat16"))[3:]
    )
    parsed = build_parser().parse_args(words[3:])
    assert words[1:3] == ["-m", "search.run"]
    assert (parsed.experiment, parsed.trials, parsed.max_epochs) == ("lenet_beans", "5", "4")
    assert (parsed.precision, lower.precision) == (None, "bfloat16")
    assert (parsed.fix, parsed.data, parsed.concurrent) == (["image_size=64"], "embedded", "2")


def test_exported_files_are_the_stored_ones(tmp_path: Path, shared_dir: Path) -> None:
    from PIL import Image

    from trainables.data.sources import open_source

    spec = DataSpec("mnist", "tfds", str(shared_dir / "tensorflow_datasets"))
    source = open_source(spec)
    stored, label = next(source.encoded("validation"))  # type: ignore[attr-defined]
    pixels, same = next(iter(source.images("validation")))
    (tmp_path / "image").write_bytes(stored)
    assert label == same
    assert np.array_equal(np.asarray(Image.open(tmp_path / "image")), pixels[:, :, 0])


def test_export_writes_a_folder_per_class_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data = tiny_task(tmp_path, "lenet_beans")

    class Few:
        classes, sizes, fingerprint = ("b", "a"), {"train": 3, "validation": 2}, "0123456789abcdef"
        opened = 0

        def images(self, split: str) -> Any:
            self.opened += 1
            arrays = data.splits[split]
            return ((arrays.images[n], n % 2) for n in range(self.sizes[split]))

    few = Few()
    monkeypatch.setattr("benchmarks.peers.images.open_source", lambda spec, progress: few)
    for _ in range(2):
        folder = export(DataSpec("beans", "embedded"), tmp_path)
        assert folder == tmp_path / "beans-0123456789ab"
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
        assert files[:3] == ["train/a/000001.png", "train/b/000000.png", "train/b/000002.png"]
        assert few.opened == 2


def test_a_command_is_watched_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child goes on until its second of CPU and its memory were seen, however busy we are."""
    seen = tmp_path / "seen"
    look, memory = watching.Family.memory, []

    def looked(family: watching.Family) -> tuple[float, str]:
        memory.append(look(family))
        if sum(family.cpu.values()) >= 0.9 and memory[-1][0] >= 57:
            seen.touch()
        return memory[-1]

    monkeypatch.setattr(watching.Family, "memory", looked)
    child = "import pathlib, time\nheld = bytearray(60_000_000)\n"
    child += "held[::4096] = b'x' * len(held[::4096])\n"
    child += "end = time.process_time() + 1\nwhile time.process_time() < end: pass\n"
    child += f"while not pathlib.Path({str(seen)!r}).exists(): time.sleep(0.05)\n"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    usage = watching.watch([sys.executable, "-c", parent], tmp_path / "log", 240)
    assert (usage.exit_code, usage.timed_out) == (0, False)
    assert 0.9 <= usage.cpu_s < 60
    assert usage.peak_mb == max(mb for mb, _ in memory)
    assert usage.memory == memory[-1][1] in ("PSS", "RSS")


def test_a_command_is_ended_with_its_children_at_the_limit(tmp_path: Path) -> None:
    parent = "import subprocess, sys\nprint(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
    parent += "import time\ntime.sleep(600)"
    for limit_s in (2, 16, 128):  # a busy machine may need seconds to start the child
        usage = watching.watch([sys.executable, "-c", parent], tmp_path / "log", limit_s)
        assert usage.timed_out
        if child := (tmp_path / "log").read_text():
            break
    # Gone, or a zombie: dead, and whoever adopted it has not looked yet.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        state = Path("/proc", child.strip(), "stat").read_text().rpartition(")")[2].split()[0]
        assert state == "Z"


def test_a_tool_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(runs.TOOLS, "nothing", "Nothing")
    with pytest.raises(TrellisError, match=r"nothing ended with 1: .*No module named.*log\.txt"):
        runs.run("nothing", task(), tmp_path, 60)


def test_a_run_is_kept_and_found_again(tmp_path: Path) -> None:
    keep("optuna", task(), tmp_path, RUNS[2])
    assert runs.run("optuna", task(), tmp_path, 60) == RUNS[2]


def test_a_run_of_another_task_machine_or_code_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("optuna", task(), tmp_path, RUNS[2])
    keep("trellis", task(), tmp_path, RUNS[0])
    for other in (replace(task(), trials=6), replace(task(), seed=2), task(image_size=64)):
        assert runs.kept("optuna", other, tmp_path) is None
    assert runs.kept("ray_tune", task(), tmp_path) is None
    # Paths inside the folder are none of the task's own.
    assert runs.kept("optuna", replace(task(), folder="x", records="y"), tmp_path) == RUNS[2]
    with monkeypatch.context() as changed:
        changed.setattr(runs, "facts", lambda cores: "Machine: another")
        assert runs.kept("optuna", task(), tmp_path) is None
    with monkeypatch.context() as changed:
        changed.setattr(runs, "digests", lambda root, packages=(): {"search/book.py": "0"})
        assert runs.kept("trellis", task(), tmp_path) is None
    # What was kept of the others is still there.
    assert runs.kept("optuna", task(), tmp_path) == RUNS[2]
    assert runs.kept("trellis", task(), tmp_path) == RUNS[0]


def test_the_code_of_a_peer_is_its_own_and_the_spaces() -> None:
    ours, theirs = runs.code_of("trellis"), runs.code_of("optuna")
    assert {"search/book.py", "trainables/training.py", "spaces/mnist_cnn.py"} <= set(ours)
    assert {"benchmarks/peers/stock.py", "spaces/mnist_cnn.py"} <= set(theirs)
    assert not {"search/book.py", "benchmarks/peers/figure.py"} & set(theirs)


@pytest.mark.parametrize(("limit_s", "again"), [(30, False), (100, False), (101, True)])
def test_a_run_that_its_time_limit_ended_is_run_again_with_a_longer_one(
    limit_s: float, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = replace(RUNS[2], timed_out=True, wall_s=100.0)
    keep("optuna", task(), tmp_path, kept)

    def watched(*_: Any) -> Any:
        raise RuntimeError("run again")

    monkeypatch.setattr(runs, "watch", watched)
    if again:
        with pytest.raises(RuntimeError, match="run again"):
            runs.run("optuna", task(), tmp_path, limit_s)
    else:
        assert runs.run("optuna", task(), tmp_path, limit_s) == kept


def test_a_run_without_an_epoch_in_its_time_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def watched(words: Any, log: Path, limit_s: float, environment: Any, cores: Any) -> Any:
        given.append(cores)
        log.write_text("still starting")
        return watching.Usage(wall_s=limit_s, exit_code=-15, timed_out=limit_s == 60)

    monkeypatch.setattr(runs, "watch", watched)
    found = runs.run("optuna", task(), tmp_path, 60)
    assert (found.final, found.epochs, found.time_to(0.1)) == (-math.inf, 0, math.inf)
    assert runs.run("optuna", task(), tmp_path, 60) == found, "kept"
    with pytest.raises(TrellisError, match="optuna ended with -15: still starting"):
        runs.run("optuna", task(), tmp_path, 61)
    with pytest.raises(TrellisError, match="optuna ended with -15: still starting"):
        runs.run("optuna", replace(task(), gpus=1), tmp_path, 61)
    # Of a GPU's machine all cores: its trials load images by processes.
    assert given == [2, 2, None]


def test_a_tool_without_an_epoch_is_told_of_and_not_drawn(tmp_path: Path) -> None:
    nothing = replace(RUNS[2], tool="ray_tune", wall_s=900.0, improvements=(), timed_out=True)
    found = [*RUNS, nothing]
    assert (slowest(found), target(found)) == ("optuna", 0.6)
    line = next(each for each in table(found).splitlines() if "Ray Tune" in each)
    assert line.startswith("| Ray Tune (1 ended by the time limit) | 1 | none | 900 | never |  |")
    write_csv(tmp_path / "peers.csv", [nothing])
    assert (tmp_path / "peers.csv").read_text().splitlines() == ["tool,seed,seconds,val_accuracy"]
    draw(found, "lenet_beans", tmp_path / "peers.svg")
    assert "none" in table([nothing])
    assert told_target([nothing]) == "Target: none, for want of epochs within the time limit."
    draw([nothing], "lenet_beans", tmp_path / "peers.svg")


def test_a_command_gets_no_more_cores_than_it_is_given(tmp_path: Path) -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system has no such setting")
    own = os.sched_getaffinity(0)
    words = [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]
    for cores, wanted in ((1, sorted(own)[:1]), (None, sorted(own)), (4096, sorted(own))):
        watching.watch(words, tmp_path / "log", 240, cores=cores)
        assert (tmp_path / "log").read_text() == f"{wanted}\n"
        assert os.sched_getaffinity(0) == own


def test_runs_of_tools_that_were_not_asked_for_stay_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def done(words: Any, log: Path, *_: Any) -> Any:
        log.write_text("")
        asked = Task.read(words[-1])
        accuracy = 0.75 if words[2].endswith("trellis") else 0.5
        records.append(asked.records, "t", 1, accuracy)
        return watching.Usage(wall_s=9.0)

    monkeypatch.setattr(runs, "watch", done)
    monkeypatch.setattr("benchmarks.peers.images.export", lambda *_: tmp_path)
    words = ["--quick", "--data", "embedded", "--to", str(tmp_path), "--tools"]
    assert command.main([*words, "optuna"]) == 0
    assert command.main([*words, "trellis"]) == 0
    text = (tmp_path / "peers.md").read_text()
    assert "| Trellis | 1 | 0.7500 |" in text
    assert "| Optuna | 1 | 0.5000 |" in text
    assert "- Optuna, seed 0: 20" in text
    # Another task has a table of its own, and leaves these.
    assert command.main([*words, "trellis", "--precision", "float32"]) == 0
    text = (tmp_path / "peers.md").read_text()
    assert "float32 for all" in text
    assert "Optuna" not in text
    capsys.readouterr()
    assert command.main([*words, "trellis"]) == 0
    assert "| Optuna | 1 | 0.5000 |" in capsys.readouterr().out


def test_trials_of_ours_that_failed_are_counted(tmp_path: Path) -> None:
    rows = "trial,status\n0,completed\n1,failed\n2,stopped\n3,failed\n"
    (tmp_path / "trials.csv").write_text(rows)
    assert with_trellis.failed(tmp_path / "trials.csv") == 2


def test_an_accuracy_in_float32_is_the_same_accuracy() -> None:
    def reached(of: float, target: float) -> float:
        return replace(RUNS[0], improvements=(Record(1.0, "0", 1, of),)).time_to(target)

    for right in (105, 106):  # of 133 images: one is rounded up, the other down
        single = float(np.float32(right / 133))
        assert single != right / 133
        assert reached(right / 133, single) == reached(single, right / 133) == 1.0
        assert reached(right / 133, (right + 1) / 133) == math.inf


def test_time_to_an_accuracy() -> None:
    assert [each.time_to(0.6) for each in RUNS] == [20, 30, 60, 80]
    assert RUNS[1].time_to(0.61) == math.inf


def test_target_is_what_the_slowest_ends_with() -> None:
    assert slowest(RUNS) == "optuna"
    assert target(RUNS) == 0.6
    assert told_target(RUNS) == "Target: 0.6000, what Optuna ends with, which takes longest."
    cut = [replace(each, timed_out=each.tool == "optuna") for each in RUNS]
    assert told_target(cut).startswith("Target: 0.6000, what Optuna had when it was ended: in an")
    # Trellis, ended a moment later, sets no target.
    late = [replace(each, wall_s=1e6) if each.tool == "trellis" else each for each in RUNS]
    assert slowest(late) == "optuna"
    assert slowest([each for each in late if each.tool == "trellis"]) == "trellis"


def test_csv_has_a_row_per_improvement_and_the_end(tmp_path: Path) -> None:
    write_csv(tmp_path / "peers.csv", RUNS[:1])
    assert (tmp_path / "peers.csv").read_text().splitlines() == [
        "tool,seed,seconds,val_accuracy",
        "trellis,0,10.000,0.5",
        "trellis,0,20.000,0.7",
        "trellis,0,50.000,0.7",
    ]


def test_table_by_hand() -> None:
    head, _, ours, other = table(RUNS).splitlines()
    assert "seconds to 0.6000" in head
    # Medians: 25 s to the target against 70 s, so 2.8 times faster; 4 trials in 50 and 60 s are
    # 288 and 240 an hour.
    wanted = (
        "| Trellis | 2 | 0.6500 (0.6000 to 0.7000) | 55 (50 to 60) | 25 (20 to 30) | 2.80 | 4 |"
    )
    assert ours.startswith(wanted)
    assert "| 264 (240 to 288) | 12 | 200 MiB PSS | 10 |" in ours
    assert other.startswith("| Optuna | 2 | 0.6000 | 105 (100 to 110) | 70 (60 to 80) | 0.36 |")


def test_spread_says_never() -> None:
    assert spread([1.0, math.inf, math.inf], "{:.0f}") == "never (1 to never)"
    assert spread([2.0, 2.0], "{:.1f}") == "2.0"


def test_best_so_far_by_hand() -> None:
    found = best_so_far(RUNS[0], np.array([9.0, 10.0, 19.0, 20.0, 99.0]))
    assert math.isnan(found[0])
    assert found[1:].tolist() == [0.5, 0.5, 0.7, 0.7]


def test_curves_by_hand() -> None:
    seconds, values = curves(RUNS[:2])
    assert seconds.tolist() == [10, 20, 30, 60]
    assert values[0].tolist() == [0.4, 0.4, 0.6, 0.6]
    assert values[1] == pytest.approx([0.45, 0.55, 0.65, 0.65])
    assert values[2].tolist() == [0.5, 0.7, 0.7, 0.7]


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # words as words
        draw(RUNS, "lenet_beans", tmp_path / "peers.svg")
    text = (tmp_path / "peers.svg").read_text()
    assert text.startswith("<?xml")
    assert "lenet_beans" in text


def test_all_mistakes_of_a_command_line_together(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["inception_beans", "--tools", "trellis", "--fix", "nothing=1"]
    assert command.main(words) == 2
    told = capsys.readouterr().err
    assert "needs --weights" in told
    assert "no hyperparameter 'nothing'" in told
    assert command.main(["--precision", "bfloat16"]) == 2
    assert "keras_tuner has float32 here; name --tools without it" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--trials", "--max-epochs", "--seeds", "--cores"])
def test_numbers_below_1_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They would run nothing, and print the table of an older run as theirs."""
    with pytest.raises(SystemExit, match="2"):
        command.main(["lenet_beans", option, "-1"])
    told = capsys.readouterr().err
    assert f"argument {option}: must be a whole number from 1, but got '-1'" in told


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_tool_does_every_experiment(
    experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "missing_packages", lambda tools: [])
    options = command.parser().parse_args([experiment, "--weights", "state.pt"])
    command.settle(options)
    assert options.tools == ["trellis", "ray_tune", "optuna", "syne_tune", "keras_tuner"]


def test_quick_is_small() -> None:
    options = command.parser().parse_args(["mnist_cnn", "--quick", "--tools", "trellis"])
    assert command.settle(options) == {"kernel_size": 3, "filters": "32/64"}
    assert (options.trials, options.max_epochs, options.seeds) == (8, 4, 1)
    given = command.parser().parse_args(["mnist_cnn", "--tools", "trellis", "--data", "embedded"])
    command.settle(given)
    (first, *others) = command.tasks(given, {}, Path("images"))
    assert (first.trials, first.epochs, len(others)) == (24, 15, 2)
    assert first.arguments == ("--data", "embedded")


def test_facts_tell_machine_and_versions() -> None:
    text = machine.facts(2)
    assert text.startswith("Machine: ")
    assert f"optuna {optuna.__version__}" in text
    assert ", load " in machine.moment()


def test_a_gpu_that_torch_cannot_compute_on_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: f"GPU {number}")
    monkeypatch.setattr("trainables.cuda.can_compute", lambda: False)
    assert (machine.gpus(), machine.gpu_names()) == (0, [])
    monkeypatch.setattr("trainables.cuda.can_compute", lambda: True)
    assert (machine.gpus(), machine.gpu_names()) == (2, ["GPU 0", "GPU 1"])
    assert machine.facts(2).startswith("Machine: GPU 0, GPU 1, ")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine.NEEDS, "optuna", ("no_such_package",))
    (line,) = machine.missing_packages(["optuna", "trellis"])
    assert line.startswith("--tools optuna: no_such_package not installed; use `make bench`")


def test_help_needs_no_torch() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "benchmarks.peers", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout
    assert "torch" not in done.stderr
