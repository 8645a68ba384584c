"""The project's own files: the lock, the rule of dependence, sizes, targets, a fast start."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("analysis", "search", "spaces", "trainables")
RAY_FILES = {
    "search/connection.py",
    "search/controller.py",
    "search/dashboard.py",
    "search/follower.py",
    "search/jobs_client.py",
    "search/jobs_scale.py",
    "search/local.py",
    "search/metrics.py",
    "search/nodes.py",
    "search/on_request.py",
    "search/runner.py",
    "search/searcher.py",
    "search/stopper.py",
    "search/tolerance.py",
    "search/worker.py",
}
# Print tables of `analysis`; no other file of `search` knows it, or its pandas, which takes a
# driver time and memory.
TABLE_FILES = {
    "search/judgement.py",
    "search/overview.py",
    "search/predict.py",
    "search/studies_text.py",
    "search/tables.py",
    "search/telling.py",
}
# What each package may import of ours.
ALLOWED = {
    "analysis": {"analysis", "search", "trainables"},
    "search": {"analysis", "search", "spaces", "trainables"},
    "spaces": {"spaces"},
    "trainables": {"trainables"},
}
# Tests, benchmarks and tools may import anything of ours.
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]


def locked() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    parsed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    by_name: dict[str, Requirement] = {canonicalize_name(each.name): each for each in parsed}
    assert len(by_name) == len(parsed), "a package stands twice in requirements.lock"
    return by_name


def direct() -> list[Requirement]:
    project = PROJECT["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["dev"]
    return [Requirement(line) for line in lines + PROJECT["build-system"]["requires"]]


def imports(path: Path) -> set[str]:
    """Every module imported anywhere in the file, functions included, as an absolute name."""
    package = path.relative_to(ROOT).parent.parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def package_files(package: str) -> Iterator[Path]:
    return (path for path in FILES if path.relative_to(ROOT).parts[0] == package)


def test_lock_holds_exact_public_versions() -> None:
    assert len(locked()) > 100
    for requirement in locked().values():
        pins = list(requirement.specifier)
        assert [pin.operator for pin in pins] == ["=="], requirement
        assert Version(pins[0].version).local is None, requirement
        assert "*" not in pins[0].version, requirement


def test_lock_is_inside_the_ranges_of_pyproject() -> None:
    pins = locked()
    assert len(direct()) > 20
    for requirement in direct():
        pin = next(iter(pins[canonicalize_name(requirement.name)].specifier))
        assert requirement.specifier.contains(pin.version), f"{requirement} has {pin}"


def test_every_package_that_is_imported_is_declared() -> None:
    """Also what others bring today; an extra's package is imported where it is asked for."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    of = packages_distributions()
    found = set().union(*map(roots, FILES)) - set(sys.stdlib_module_names) - {*PACKAGES}
    assert {"ray", "torch", "optuna"} <= found
    lacking = {n for n in found if not declared & {canonicalize_name(d) for d in of.get(n, [])}}
    assert lacking == set()


def test_lock_has_no_tensorflow_and_leaves_cuda_to_torch() -> None:
    tensorflow = {name for name in locked() if name.startswith(("tensorflow", "tf-", "keras"))}
    assert tensorflow == {"tensorflow-datasets", "tensorflow-metadata"}
    assert not [name for name in locked() if name.startswith(("nvidia", "cuda", "triton"))]


def test_lock_marks_what_only_linux_has() -> None:
    marker = locked()["array-record"].marker
    assert marker is not None
    assert marker.evaluate({"sys_platform": "linux"})
    assert not marker.evaluate({"sys_platform": "darwin"})


@pytest.mark.skipif(sys.platform != "linux", reason="array-record is installed on Linux only")
def test_lock_is_what_the_lock_tool_finds_installed() -> None:
    command = [sys.executable, "tools/lock.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "requirements.lock").read_text()


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_the_rule_of_dependence_allows(package: str) -> None:
    files = list(package_files(package))
    assert files
    forbidden = set(PACKAGES) - ALLOWED[package] | {"benchmarks", "tests", "tools", "tensorflow"}
    broken = {str(path.relative_to(ROOT)): roots(path) & forbidden for path in files}
    assert not {name: found for name, found in broken.items() if found}


def test_analysis_is_imported_by_a_few_files_of_the_search_only() -> None:
    files = {str(path.relative_to(ROOT)): path for path in package_files("search")}
    assert len(files) > 5
    assert {name for name, path in files.items() if "analysis" in roots(path)} == TABLE_FILES


def test_trainables_know_neither_ray_nor_optuna() -> None:
    files = list(package_files("trainables"))
    assert len(files) > 2
    assert not [str(path) for path in files if roots(path) & {"ray", "optuna"}]


def test_ray_is_imported_by_a_few_files_only() -> None:
    assert len(FILES) > 5
    users = {name for name, path in zip(NAMES, FILES, strict=True) if "ray" in roots(path)}
    assert users <= RAY_FILES


def test_analysis_starts_no_cluster() -> None:
    modules = {name.removesuffix(".py").replace("/", ".") for name in RAY_FILES}
    files = list(package_files("analysis"))
    assert files
    assert not [str(path) for path in files if imports(path) & modules]


def test_imports_are_read_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import ray.tune\nfrom . import errors\ndef f():\n    from ..spaces import lenet_beans\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    found = imports(ROOT / "search" / "deep" / "module.py")
    assert {"ray.tune", "search.deep.errors", "search.spaces.lenet_beans"} <= found


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_module_says_what_it_is_for_in_under_300_lines(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert (ast.get_docstring(ast.parse(text)) or "").strip()


def test_no_decorator_stands_twice() -> None:
    decorated = {
        f"{name}:{node.lineno}": [ast.unparse(each) for each in node.decorator_list]
        for name, path in zip(NAMES, FILES, strict=True)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.decorator_list
    }
    assert len(decorated) > 100
    assert [place for place, found in decorated.items() if len(set(found)) < len(found)] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_lists_every_target() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^make (\w+) ", done.stdout, re.MULTILINE))
    wanted = {"install", "search", "test", "slow", "lint", "format", "lock", "clean", "help"}
    assert wanted <= listed


SCRIPTS = [".ci/run", *sorted(f"tools/{path.name}" for path in (ROOT / "tools").glob("*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_executable_bash(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)


def python_found(python: Path) -> subprocess.CompletedProcess[str]:
    """Run tools/find_python.sh with one candidate."""
    return subprocess.run(
        ["tools/find_python.sh"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_out_of_range_is_refused_with_the_way_on(tmp_path: Path) -> None:
    fake = tmp_path / "python3.13"
    fake.write_text("#!/bin/sh\nexit 1\n")  # as a version check that fails, or a dead shim
    fake.chmod(0o755)
    done = python_found(fake)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(r"no usable Python among: .*python3\.13.*PYTHON=", done.stderr)


def test_a_python_whose_path_has_spaces_is_found(tmp_path: Path) -> None:
    python = tmp_path / "a python" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    done = python_found(python)
    assert (done.returncode, done.stdout) == (0, f"{python}\n"), done.stderr


@pytest.mark.parametrize(("where", "code"), [("a [b] c", 0), ("a [b] d", 1)])
def test_an_environment_is_used_where_it_was_made(tmp_path: Path, where: str, code: int) -> None:
    """Copied elsewhere, its scripts name a Python that is not its own."""
    root = tmp_path / "a [b] c"
    (root / ".venv" / "bin").mkdir(parents=True)
    shutil.copytree(ROOT / "tools", root / "tools")
    made = tmp_path / where / ".venv"
    (root / ".venv" / "pyvenv.cfg").write_text(f"command = python3 -m venv {made}\n")
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    done = subprocess.run(["tools/install.sh", "--usable"], cwd=root, check=False)
    assert done.returncode == code


@pytest.mark.parametrize(("asked", "code"), [("", 0), (sys.executable, 0), ("another", 1)])
def test_an_environment_of_another_python_than_asked_for_is_made_anew(
    tmp_path: Path, asked: str, code: int
) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / ".venv" / "pyvenv.cfg").write_text(f"command = python3 -m venv {tmp_path}/.venv\n")
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    if asked == "another":
        other = tmp_path / "python3.12"
        other.write_text("#!/bin/sh\necho 3.12.99 /opt\n")
        other.chmod(0o755)
        asked = str(other)
    done = subprocess.run(
        ["tools/install.sh", "--usable"],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": asked},
        check=False,
    )
    assert done.returncode == code


def test_a_package_that_was_cut_off_is_installed_again(tmp_path: Path) -> None:
    packages = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages"
    for name in ("whole-1.dist-info", "half-2.dist-info"):
        (packages / name).mkdir(parents=True)
        (packages / name / "METADATA").touch()
    (packages / "whole-1.dist-info" / "INSTALLER").write_text("pip")
    script = (ROOT / "tools" / "install.sh").read_text()
    function = re.search(r"^remove_halves\(\) \{\n.*?^\}\n", script, re.MULTILINE | re.DOTALL)
    assert function
    words = f"venv=.venv\n{function[0]}remove_halves\n"
    subprocess.run(["bash", "-euo", "pipefail", "-c", words], cwd=tmp_path, check=True)
    assert [each.name for each in packages.iterdir()] == ["whole-1.dist-info"]
    # And where there is no environment yet.
    shutil.rmtree(tmp_path / ".venv")
    subprocess.run(["bash", "-euo", "pipefail", "-c", words], cwd=tmp_path, check=True)


def test_an_installing_that_is_silent_shows_that_it_goes_on(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3" / "site-packages"
    for name in ("one-1.dist-info", "two-2.dist-info", "two"):
        (packages / name).mkdir(parents=True)
    progress = subprocess.Popen(
        [ROOT / "tools" / "pip_progress.sh", tmp_path, "0.3"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert progress.stdin
    assert progress.stderr
    told = progress.stderr
    for line, wanted in (
        ("Collecting one==1", ["1  Collecting one==1", "1  still at it: Collecting one==1"]),
        ("  Downloading one-1.whl (99 MB)", ["1  still at it: Collecting one==1"]),
        (
            "Installing collected packages: one, two",
            ["1  Installing them all (a minute or two)", "installing them all: 2 are there"],
        ),
    ):
        progress.stdin.write(f"{line}\n")
        progress.stdin.flush()
        for text in wanted:
            while (found := told.readline().strip()) != text:  # waiting for it may tell more
                assert found.startswith(("0  still", "1  still", "installing them all: 2"))
    progress.stdin.close()
    assert progress.wait(60) == 0


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a git checkout"
)
def test_no_path_of_one_machine_is_committed() -> None:
    # Also where another user owns the checkout, as in a container.
    words = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
    names = [name.decode() for name in done.stdout.split(b"\0") if name]
    assert len(names) > 10
    # Written in two parts, so that this file does not hold what it looks for.
    pattern = re.compile(rb"(?<![\w.~])/" + rb"(root|tmp/w|work|opt/wheels|opt/pypi)\b")
    texts = {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}
    assert not [name for name, text in texts.items() if pattern.search(text)]


@pytest.mark.parametrize(
    ("module", "option"),
    [
        ("search.run", "--trials"),
        ("analysis.table", "--by"),
        ("search.predict", "--json"),
        ("search.studies", "remove"),
        ("search.confirm", "--top"),
        ("search.submit", "--cluster"),
        ("analysis.report", "STUDY"),
        ("analysis.compare", "STUDY"),
        ("analysis.published", "--results-dir"),
        ("analysis.robustness", "--test"),
        ("analysis.layers", "--fix"),
    ],
)
def test_help_loads_nothing_heavy(module: str, option: str) -> None:
    code = f"""if True:
        import json, runpy, sys
        sys.argv = ["{module}", "--help"]
        try:
            runpy.run_module("{module}", run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            status = stop.code or 0
        heavy = {{"torch", "torchvision", "ray", "tensorflow_datasets"}} & set(sys.modules)
        print(json.dumps([status, sorted(heavy)]), file=sys.stderr)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []]
    assert option in done.stdout
