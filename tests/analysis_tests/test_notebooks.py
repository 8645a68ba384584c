"""The notebooks: without output, calling the package alone, and running on an embedded study."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from analysis.notebook import Picture, chosen
from trainables.errors import TrellisError

from .studies import study

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "analysis" / "notebooks").glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    content = json.loads(path.read_text())
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def test_there_are_three() -> None:
    assert [path.stem for path in PATHS] == ["compare", "published", "tour"]


@EACH
def test_no_output_is_committed_and_there_are_5_to_10_cells(path: Path) -> None:
    assert all(cell["outputs"] == [] for cell in cells(path))
    assert all(cell["execution_count"] is None for cell in cells(path))
    assert 5 <= len(cells(path)) + len(cells(path, "markdown")) <= 10
    assert "TRELLIS_STUDIES" in "".join(cells(path, "markdown")[0]["source"])


@EACH
def test_they_only_call_the_package(path: Path) -> None:
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in cells(path)))
    nodes = list(ast.walk(tree))
    assert not [n for n in nodes if isinstance(n, ast.Import | ast.FunctionDef | ast.ClassDef)]
    found = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert len(found) >= 3
    assert {name.split(".")[0] for name in found} <= {"analysis", "search"}


def test_the_variable_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = study(tmp_path / "results" / "one"), study(tmp_path / "results" / "two")
    inside = tmp_path / "some" / "folder"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    monkeypatch.delenv("TRELLIS_STUDIES", raising=False)
    assert chosen(["one"]) == [one]  # found from a folder below
    monkeypatch.setenv("TRELLIS_STUDIES", os.pathsep.join(["two", str(one)]))
    assert chosen(["other"]) == [two, one]
    monkeypatch.setenv("TRELLIS_STUDIES", "results/one")  # from where the kernel was started
    assert chosen([]) == [one]
    monkeypatch.setenv("TRELLIS_STUDIES", "three")
    with pytest.raises(TrellisError, match="no study 'three'"):
        chosen([])


def test_a_figure_is_shown_as_png() -> None:
    assert Picture(Figure())._repr_png_().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small study of drawn leaves and a copy of it, as $TRELLIS_STUDIES names them."""
    results = tmp_path_factory.mktemp("results")
    words = ["--data", "embedded", "--preset", "quick", "--trials", "2", "--max-epochs", "2"]
    places = ["--study", "first", "--results-dir", str(results)]
    command = [sys.executable, "-m", "search.run", "lenet_beans", *words, *places]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=900)
    shutil.copytree(results / "first", results / "second")
    return os.pathsep.join(str(results / name) for name in ("first", "second"))


@pytest.mark.slow
@EACH
def test_they_run(path: Path, embedded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("TRELLIS_STUDIES", embedded)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    where = {"metadata": {"path": str(ROOT)}}
    patience = {"timeout": 900, "startup_timeout": 600, "iopub_timeout": 300}
    NotebookClient(notebook, kernel_name="python3", resources=where, **patience).execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert len(outputs) >= 3
    # Every cell shows something: text, a table or a picture.
    kinds = [[output.output_type for output in each] for each in outputs]
    assert all({"execute_result", "stream"} & set(each) for each in kinds), kinds
    shown = [output.data for each in outputs for output in each if "data" in output]
    pictures = {"tour": 2, "compare": 2, "published": 0}[path.stem]
    assert sum("image/png" in data for data in shown) == pictures
