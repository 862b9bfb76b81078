"""The suite's own checks: what `./conformance test` and continuous integration run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLONE = Path(__file__).parents[2]

# Everything else of the caller's stays out: a credential, a cluster or an option for pytest in a variable
# would make the checks say something else on every machine. PIP_CERT is a path: without it nobody whose package
# index has a certificate of its own could build the AWS gateway's image in the tests that need Docker.
_KEPT = ("PATH", "TMPDIR", "TERM", "NO_COLOR", "TZ", "CI", "PIP_CERT")


def run_checks(extra: Sequence[str], *, python: Path | None = None, clone: Path = CLONE) -> int:
    """Run linters, type checker, import contracts and tests; all of them, whatever fails.

    A check that passes is one line; one that fails shows its output. pytest comes last and shows its
    output as it goes.

    Args:
        extra: arguments for pytest, after the suite's own, so that they win.
        python: the Python whose checkers run; this one where not given.
        clone: the repository's root.

    Returns:
        0 when every check passed, else 1.
    """
    python = python or Path(sys.executable)
    failed = []
    with tempfile.TemporaryDirectory(prefix="conformance-checks-") as home:
        environment = _environment(os.environ, python, home)
        for name, argv in _static_checks(python).items():
            if not _passes(name, argv, environment, clone):
                failed.append(name)
        _say("pytest")
        # What a machine cannot exercise is told with its reason.
        argv = [str(python), "-m", "pytest", "-n", "2", "-rs", *extra]
        if (
            subprocess.run(argv, env=environment, cwd=clone, stdin=subprocess.DEVNULL, check=False).returncode
            != 0
        ):
            failed.append("pytest")
    if failed:
        # pytest's last line may be green.
        _say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _static_checks(python: Path) -> dict[str, list[str]]:
    return {
        "ruff check": [str(python), "-m", "ruff", "check", "."],
        "ruff format": [str(python), "-m", "ruff", "format", "--check", "--diff", "."],
        "mypy": [str(python), "-m", "mypy"],
        "import-linter": [str(python.parent / "lint-imports"), "--no-logo"],
    }


def _passes(name: str, argv: list[str], environment: Mapping[str, str], clone: Path) -> bool:
    began = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            env=environment,
            cwd=clone,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        passed, output = done.returncode == 0, done.stdout
    except OSError as error:
        passed, output = False, f"{error}\n"
    _say(f"{name}: {'passed' if passed else 'failed'} in {time.monotonic() - began:.1f} s")
    if not passed:
        sys.stdout.write(output)
        sys.stdout.flush()
    return passed


def _environment(user: Mapping[str, str], python: Path, home: str) -> dict[str, str]:
    """Build the checkers' variables from empty, with a home of their own."""
    kept = {name: user[name] for name in _KEPT if name in user}
    path = os.pathsep.join([str(python.parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "HOME": home, "LANG": "C.UTF-8"}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
