"""Print requirements.lock: the exact version of everything that pyproject.toml's ranges need.

Reads the packages installed beside the Python that runs it; `make lock` runs it in a fresh
environment. One file serves every supported Python and platform: a package that only some of
them need carries a marker.
"""

import sys
import tomllib
from importlib import metadata
from itertools import product
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12")
PLATFORMS = ("linux", "darwin")
# What a CUDA build of torch brings, and pins, itself: a CPU build has no use for it.
BROUGHT_BY_TORCH = ("cuda-", "nvidia-", "triton")
HEADER = """\
# The exact versions that `make install` installs; for Python 3.11 and 3.12, Linux and macOS.
# Made from the ranges in pyproject.toml by `make lock`: do not edit.
# torch names no build: the package index decides, and a CUDA build brings its own libraries.
"""

Environment = tuple[str, str]  # (Python, platform), of PYTHONS and PLATFORMS


def lock_text() -> str:
    """Return the text of requirements.lock for the packages installed now.

    Raises:
        SystemExit: a needed package is not installed; all of them are named.
    """
    needs = {each: closure(each) for each in product(PYTHONS, PLATFORMS)}
    names = sorted(set().union(*needs.values()))
    if missing := [name for name in names if version(name) is None]:
        raise SystemExit(f"not installed: {', '.join(missing)}; run `make lock`")
    lines = [
        f"{name}=={version(name)}{marker({e for e in needs if name in needs[e]})}\n"
        for name in names
    ]
    return HEADER + "".join(lines)


def closure(environment: Environment) -> set[str]:
    """Return the names of all packages that the project and its checks need there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    direct = project["project"]["dependencies"] + project["build-system"]["requires"]
    direct += project["project"]["optional-dependencies"]["dev"]
    todo = [(Requirement(line), "") for line in direct]
    seen: set[tuple[str, str]] = set()  # (package, extra), extra "" for the package itself
    while todo:
        requirement, extra = todo.pop()
        if not wanted(requirement, environment, extra):
            continue
        name = canonicalize_name(requirement.name)
        new = {(name, each) for each in {"", *requirement.extras}} - seen
        seen |= new
        todo += [(need, each) for _, each in new for need in requires(name)]
    return {name for name, _ in seen}


def wanted(requirement: Requirement, environment: Environment, extra: str) -> bool:
    """Tell whether the requirement holds in the environment, asked for with `extra`."""
    if requirement.name.startswith(BROUGHT_BY_TORCH):
        return False
    python, platform = environment
    values = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform,
        "platform_system": platform.capitalize(),
        "platform_machine": "arm64" if platform == "darwin" else "x86_64",
        "extra": extra,
    }
    return requirement.marker is None or requirement.marker.evaluate(values)


def requires(name: str) -> list[Requirement]:
    """Return what the installed package says that it needs; nothing where it is not there."""
    try:
        return [Requirement(line) for line in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:
        return []


def version(name: str) -> str | None:
    """Return the installed version without the name of a local build (2.13.0+cpu: 2.13.0)."""
    try:
        return Version(metadata.version(name)).public
    except metadata.PackageNotFoundError:
        return None


def marker(environments: set[Environment]) -> str:
    """Return the marker, with its separator, that holds in just these environments."""
    pythons = {python for python, _ in environments}
    platforms = {platform for _, platform in environments}
    if set(product(pythons, platforms)) != environments:
        raise SystemExit(f"no marker for {sorted(environments)}: teach tools/lock.py to write one")
    parts = [f'python_version == "{each}"' for each in pythons if len(pythons) < len(PYTHONS)]
    parts += [f'sys_platform == "{each}"' for each in platforms if len(platforms) < len(PLATFORMS)]
    return f" ; {' and '.join(parts)}" if parts else ""


if __name__ == "__main__":
    sys.stdout.write(lock_text())
