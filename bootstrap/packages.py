"""Where uv comes from, and how it fills a folder with the locked packages."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from bootstrap.failures import SetupFailedError, explain
from bootstrap.user_configuration import installer_environment, with_pip_configuration

# 0.9 is the oldest uv that is known to read this lock and to make relocatable environments.
OLDEST_UV = (0, 9)
REQUIREMENTS = Path(__file__).with_name("uv-requirements.txt")


class Runner(NamedTuple):
    """Starts the installers.

    Attributes:
        environment: their environment variables.
        clone: their working directory, the repository's root.
        lock: file descriptor of the lock on first uses. They inherit it: when this process is killed,
            the lock lasts until the installer it has left behind ends too.
    """

    environment: Mapping[str, str]
    clone: Path
    lock: int

    def run(self, *argv: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run an installer to its end without input; its two outputs come back as one text."""
        return subprocess.run(
            [str(word) for word in argv],
            cwd=self.clone,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            pass_fds=(self.lock,),
        )

    def must(self, what: str, *argv: str | Path, **variables: str) -> str:
        """Run an installer that has to succeed, and return what it wrote.

        Raises:
            SetupFailedError: it did not; `what` says what was expected of it.
        """
        done = self.run(*argv, **variables)
        if done.returncode != 0:
            raise explain(what, done.stdout)
        return done.stdout


def base_python() -> str:
    """Return the path of the Python under this one where this one is a virtual environment's."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def make_runner(clone: Path, lock: int) -> Runner:
    """Prepare the runner from the caller's own environment."""
    own = installer_environment(os.environ)
    return Runner(with_pip_configuration(own, base_python()), clone, lock)


def pinned_uv() -> str:
    """Return the version of uv that is installed where there is none."""
    match = re.search(r"^uv==([\d.]+)", REQUIREMENTS.read_text(), re.MULTILINE)
    if match is None:
        raise SetupFailedError(
            expected=f"a line uv==VERSION in {REQUIREMENTS}", seen="none", remedy="restore it: git checkout"
        )
    return match[1]


def uv_on_path(runner: Runner) -> Path | None:
    """Return the user's own uv, where there is one that runs and is new enough."""
    found = shutil.which("uv", path=runner.environment.get("PATH"))
    if found is None:
        return None
    try:
        answer = runner.run(found, "--version")
    except OSError:
        return None
    match = re.match(r"uv (\d+)\.(\d+)", answer.stdout)
    if answer.returncode != 0 or match is None or (int(match[1]), int(match[2])) < OLDEST_UV:
        return None
    return Path(found).absolute()


def install_uv(runner: Runner, partial: Path) -> None:
    """Make a virtual environment with the pinned uv, by pip and with hashes.

    Args:
        runner: starts pip.
        partial: the folder to make; the uv is at `bin/uv` in it.

    Raises:
        SetupFailedError: pip is not there or failed.
    """
    if find_spec("ensurepip") is None or find_spec("venv") is None:
        raise SetupFailedError(
            expected="uv on PATH, or a Python with venv and ensurepip to install it",
            seen=f"neither ({base_python()})",
            remedy="install uv (https://docs.astral.sh/uv/) or your system's python3-venv, "
            "or set CONFORMANCE_PYTHON to another Python",
        )
    runner.must("Python to make a virtual environment", base_python(), "-I", "-m", "venv", partial)
    runner.must(
        f"pip to install uv {pinned_uv()}",
        partial / "bin" / "python",
        *(
            "-I",
            "-m",
            "pip",
            "install",
            "--no-input",
            "--no-user",
            "--no-deps",
            "--disable-pip-version-check",
        ),
        *("--no-compile", "--only-binary", ":all:", "--require-hashes", "-r", REQUIREMENTS),
    )


def install_packages(runner: Runner, uv: Path, partial: Path) -> None:
    """Fill a folder with the locked packages; it can be renamed afterwards.

    Args:
        runner: starts uv.
        uv: path of uv.
        partial: the folder to make.

    Raises:
        SetupFailedError: uv failed, or the lock does not fit pyproject.toml.
    """
    common = ("--no-progress", "--color", "never")
    runner.must(
        "uv to make a virtual environment",
        uv,
        "venv",
        *common,
        "--relocatable",
        "--python",
        base_python(),
        partial,
    )
    python = partial / "bin" / "python"
    here = {"UV_PROJECT_ENVIRONMENT": str(partial), "UV_PYTHON_DOWNLOADS": "never"}
    check = (uv, "lock", *common, "--check", "--offline", "--python", python)
    if runner.run(*check, **here).returncode == 0:
        runner.must(
            "uv to install the locked packages",
            *(uv, "sync", *common, "--locked", "--no-install-project", "--no-build", "--python", python),
            **here,
        )
        return
    # To uv a lock made with one index is stale with another, and a lock names PyPI's own files. So with
    # a mirror the locked versions and hashes are exported and looked up in the mirror.
    plain = {name: value for name, value in runner.environment.items() if not name.startswith("UV_")}
    stale = runner._replace(environment=plain).run(*check, "--no-config", "--no-cache", **here)
    if stale.returncode != 0:
        raise SetupFailedError(
            expected="a uv.lock that fits pyproject.toml",
            seen="`uv lock --check` finds it out of date",
            remedy="restore both (git status), or run `uv lock` where pyproject.toml was meant to change",
        )
    exported = partial / "requirements.txt"
    runner.must(
        "uv to list the locked packages",
        *(
            uv,
            "export",
            *common,
            "--quiet",
            "--frozen",
            "--no-emit-project",
            "--python",
            python,
            "-o",
            exported,
        ),
        **here,
    )
    runner.must(
        "uv to install the locked packages from your index",
        *(
            uv,
            "pip",
            "sync",
            *common,
            "--require-hashes",
            "--only-binary",
            ":all:",
            "--python",
            python,
            exported,
        ),
        **here,
    )
