"""What the gateway's image is made of: the packages that its program imports, in the versions of the lock.

After a change of the groups `gateway` and `gateway-moto` in pyproject.toml, or of uv.lock:

    uv lock && uv export --frozen --only-group gateway --no-annotate --no-header

and the same for the other group; below the comment at the head of each file.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "simulators" / "aws"
GROUPS = {"gateway": "gateway.txt", "gateway-moto": "moto.txt"}
BACKEND = PACKAGE / "backend.py"
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)", re.MULTILINE)
HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


@cache
def lock() -> dict[str, dict[str, Any]]:
    """Packages of the lock by name."""
    found = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    assert len({package["name"] for package in found}) == len(found)
    return {package["name"]: package for package in found}


def closure(group: str) -> set[str]:
    """Names of all packages that a group needs, whatever the platform."""
    (project,) = [package for package in lock().values() if "virtual" in package["source"]]
    waiting = [entry["name"] for entry in project["dev-dependencies"][group]]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [entry["name"] for entry in lock()[name].get("dependencies", [])]
    return found


def exported(group: str) -> str:
    return (PACKAGE / "image" / GROUPS[group]).read_text()


def imported(*paths: Path) -> set[str]:
    """Top-level modules that are imported, at whatever place, and are no part of Python or of the suite."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module).partition(".")[0])
    # For type checkers only.
    return names - sys.stdlib_module_names - {"simulators", "_typeshed"}


def distributions(modules: set[str]) -> set[str]:
    known = importlib.metadata.packages_distributions()
    return {known[module][0].lower().replace("_", "-") for module in modules}


def written(group: str) -> set[str]:
    """What pyproject.toml names in a group, without what it includes."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"][group]
    return {entry for entry in entries if isinstance(entry, str)}


@pytest.mark.parametrize("group", GROUPS)
def test_the_exported_packages_are_those_of_the_lock(group: str) -> None:
    pins = {match["name"]: match["version"] for match in PIN.finditer(exported(group))}
    assert pins == {name: lock()[name]["version"] for name in closure(group)}


@pytest.mark.parametrize("group", GROUPS)
def test_each_exported_package_has_all_hashes_of_the_lock_and_no_other(group: str) -> None:
    blocks = PIN.split(exported(group))[1:]
    for name, _, rest in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True):
        package = lock()[name]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert set(HASH.findall(rest)) == {file["hash"] for file in files}, name


@pytest.mark.parametrize("group", GROUPS)
def test_each_file_tells_how_it_is_renewed(group: str) -> None:
    assert f"uv export --frozen --only-group {group} --no-annotate --no-header" in exported(group)


def test_the_group_has_what_the_gateway_imports_and_nothing_else() -> None:
    sources = set(PACKAGE.rglob("*.py")) | {ROOT / "simulators" / "__init__.py"}
    # PyJWT and trustme verify and sign by cryptography, which for PyJWT is a choice.
    assert written("gateway") == distributions(imported(*(sources - {BACKEND}))) | {"cryptography"}


def test_the_other_group_has_what_the_backend_imports_too() -> None:
    # moto's server needs Flask, and says so only in an extra with much else.
    assert written("gateway-moto") == distributions(imported(BACKEND)) | {"flask", "flask-cors"}
