"""Make an environment beside its place, prove it, and rename it when it is whole."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bootstrap import start
from bootstrap.failures import SetupFailedError, explain
from bootstrap.packages import (
    Runner,
    base_python,
    install_packages,
    install_uv,
    make_runner,
    pinned_uv,
    uv_on_path,
)
from bootstrap.platforms import refuse_unsupported

_PROGRAM_SECONDS = 120


def make_or_exit(clone: str, environment: str) -> None:
    """Make the environment, or end the process with one line that says why not.

    Args:
        clone: absolute path of the repository's root.
        environment: absolute path of the environment's folder.

    Raises:
        SystemExit: 2 when it could not be made, 3 when it was interrupted.
    """
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        make(Path(clone), Path(environment))
    except SetupFailedError as failure:
        _tell(str(failure))
        raise SystemExit(2) from None
    except OSError as error:
        _tell(str(explain(f"files and programs of the set-up in {clone}", f"error: {error}")))
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        _tell("interrupted while setting up; nothing half-made was left")
        raise SystemExit(3) from None
    finally:
        signal.signal(signal.SIGTERM, previous)


def make(clone: Path, environment: Path) -> None:
    """Make the environment; where another process is at it, wait for that one instead.

    Raises:
        SetupFailedError: it could not be made; nothing half-made is left.
    """
    refuse_unsupported()
    folder = clone / ".conformance"
    environment.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(folder / "setup.lock") as lock:
        if start.is_whole(str(environment)):
            return
        began = time.monotonic()
        version = ".".join(map(str, sys.version_info[:3]))
        _tell(f"first use with this Python and lock: making an environment for Python {version} in {folder}")
        _remove_leftovers(folder, environment)
        runner = make_runner(clone, lock)
        uv = uv_on_path(runner) or _own_uv(runner, folder)
        _tell(f"installing the locked packages (about 750 MB) with {uv}")
        with _made_beside(environment) as partial:
            install_packages(runner, uv, partial)
            _put_clone_on_path(partial)
        try:
            _prove(environment)
        except SetupFailedError:
            shutil.rmtree(environment)
            raise
        (environment / start.MARKER).touch()
        _remember_python(folder)
        _tell(f"ready after {time.monotonic() - began:.1f} s")


@contextmanager
def _only_one(path: Path) -> Iterator[int]:
    """Hold the lock on first uses in this clone, and say so where that means waiting."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _tell("another process is making the environment; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_leftovers(folder: Path, environment: Path) -> None:
    """Remove what killed first uses have left. Who holds the lock knows that none of it is in use."""
    leftovers = [*folder.glob("uv-*.partial-*"), *environment.parent.glob("*.partial-*"), environment]
    for leftover in leftovers:
        if leftover.exists():
            shutil.rmtree(leftover)


@contextmanager
def _made_beside(final: Path) -> Iterator[Path]:
    """Hand out a folder beside the final one; rename it at the end, remove it on any failure."""
    partial = final.with_name(f"{final.name}.partial-{os.getpid()}")
    try:
        yield partial
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _own_uv(runner: Runner, folder: Path) -> Path:
    """Return the pinned uv in a folder of its own, installed there the first time."""
    home = folder / f"uv-{pinned_uv()}"
    uv = home / "bin" / "uv"
    if not uv.exists():
        _tell(f"no uv 0.9 or newer on PATH: installing uv {pinned_uv()} with pip")
        with _made_beside(home) as partial:
            install_uv(runner, partial)
    return uv


def _put_clone_on_path(environment: Path) -> None:
    """Let every Python of the environment import the clone, whatever its variables and working directory."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    # Relative, as the environment lies in the clone and both may be moved: up to lib, the environment,
    # environments, .conformance and the clone.
    (packages / "conformance-clone.pth").write_text("../../../../../..\n")


def _prove(environment: Path) -> None:
    """Start what the suite starts later; the rename may have broken a script's first line.

    Raises:
        SetupFailedError: a program does not start.
    """
    programs = environment / "bin"
    for program, *arguments in (
        ("python", "-I", "-c", "import harness"),
        ("aws", "--version"),
        ("kubectl", "version", "--client"),
    ):
        what = f"{program} of the new environment to start"
        try:
            done = subprocess.run(
                [str(programs / program), *arguments],
                env={"PATH": os.defpath, "HOME": str(environment)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_PROGRAM_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise explain(what, f"error: {error}") from error
        if done.returncode != 0:
            raise explain(what, done.stdout)


def _remember_python(folder: Path) -> None:
    """Note which Python made the environment, so that the command need not look for one again."""
    beside = folder / f"python.partial-{os.getpid()}"
    beside.write_text(f"{base_python()}\n")
    beside.rename(folder / "python")


def _tell(text: str) -> None:
    sys.stderr.write(f"conformance: {text}\n")
    sys.stderr.flush()


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
