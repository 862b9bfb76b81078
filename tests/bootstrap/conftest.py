"""A small clone with the real command and bootstrap, and a fake uv whose behaviour is set by files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = str(getattr(sys, "_base_executable", sys.executable))
SITE_PACKAGES = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"

# What of the command's call arrives at the harness.
CLI = """
import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], "folder": os.getcwd(), "isolated": sys.flags.isolated,
                  "variables": sorted(os.environ), "prefix": sys.prefix}))
"""

# `venv` makes what uv makes, as far as Python is concerned; `sync` two programs, one of them a script.
FAKE_UV = """#!/bin/sh
place={place}
printf '%s\\n' "$*" >>"$place/calls"
case "$1" in
  --version) echo "uv $(cat "$place/version") (fake)" ;;
  venv)
    for folder; do :; done
    mkdir -p "$folder/bin" "$folder/{site_packages}"
    ln -s {python} "$folder/bin/python"
    printf 'home = %s\\n' {home} >"$folder/pyvenv.cfg" ;;
  lock)
    case "$*" in
      *--no-config*) if [ -e "$place/lock-is-stale" ]; then exit 1; fi ;;
      *) if [ -e "$place/other-index" ]; then exit 1; fi ;;
    esac ;;
  export) ;;
  sync | pip)
    echo "$UV_PROJECT_ENVIRONMENT" >>"$place/synced"
    while [ -e "$place/hold" ]; do sleep 0.02; done
    if [ -e "$place/fails" ]; then cat "$place/fails"; exit 2; fi
    for name in aws kubectl; do
      {{ echo '#!/bin/sh'; cat "$place/program" 2>/dev/null; }} >"$UV_PROJECT_ENVIRONMENT/bin/$name"
      chmod +x "$UV_PROJECT_ENVIRONMENT/bin/$name"
    done ;;
esac
"""


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def until(condition: Callable[[], object], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


@dataclass
class FakeUv:
    """A uv that does what the files in its folder say."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.set("version", "0.13.9")
        text = FAKE_UV.format(
            place=self.folder, site_packages=SITE_PACKAGES, python=PYTHON, home=Path(PYTHON).parent
        )
        self.program = write_program(self.folder / "bin" / "uv", text)

    def set(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def unset(self, name: str) -> None:
        (self.folder / name).unlink()

    def lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def calls(self, command: str) -> list[str]:
        return [line for line in self.lines("calls") if line.split()[0] == command]


@dataclass
class Clone:
    """A copy of what the command needs, in a folder with a space in its name."""

    folder: Path
    uv: FakeUv
    variables: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def command(self) -> Path:
        return self.folder / "conformance"

    def environments(self) -> list[Path]:
        return sorted((self.folder / ".conformance" / "environments").glob("*"))

    def environment(self) -> Path:
        (one,) = self.environments()
        return one

    def start(self, *arguments: str, command: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(command or self.command), *arguments],
            env={**self.variables, **variables},
            cwd=self.folder.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def call(self, *arguments: str, command: Path | None = None, **variables: str) -> tuple[int, str, str]:
        process = self.start(*arguments, command=command, **variables)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def must(self, *arguments: str, command: Path | None = None, **variables: str) -> dict[str, Any]:
        status, output, errors = self.call(*arguments, command=command, **variables)
        assert status == 0, errors
        seen: dict[str, Any] = json.loads(output)
        return seen


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Lets children be interrupted: what a shell runs in the background ignores SIGINT, and hands that on."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def uv(tmp_path: Path) -> FakeUv:
    return FakeUv(tmp_path / "uv")


@pytest.fixture
def clone(tmp_path: Path, uv: FakeUv) -> Iterator[Clone]:
    folder = tmp_path / "a clone"
    shutil.copytree(ROOT / "bootstrap", folder / "bootstrap", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "conformance", folder)
    (folder / "uv.lock").write_text("a lock\n")
    (folder / "pyproject.toml").write_text("a project\n")
    (folder / "harness").mkdir()
    (folder / "harness" / "__init__.py").touch()
    (folder / "harness" / "cli.py").write_text(CLI)
    home = tmp_path / "home"
    home.mkdir()
    made = Clone(
        folder,
        uv,
        {
            "PATH": os.pathsep.join([str(uv.program.parent), "/usr/bin", "/bin"]),
            "HOME": str(home),
            "CONFORMANCE_PYTHON": PYTHON,
        },
    )
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


@pytest.fixture
def program() -> Callable[[Path, str], Path]:
    return write_program


@pytest.fixture
def wait_until() -> Callable[..., None]:
    return until
