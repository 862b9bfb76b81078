"""Runs a plan of scenarios with pytest, in a process of its own that cannot take the command down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.adapters.processes import base_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CLONE = Path(__file__).resolve().parents[2]
KEPT = ("TERM", "NO_COLOR", "COLUMNS", "TZ")
"""The only variables of the user's that pytest gets: how its lines look."""

PATIENCE = 20.0
"""Seconds that pytest has to undo the running scenarios after a signal, before it is killed."""


@dataclass(frozen=True)
class Phase:
    """One pytest over one plan.

    Attributes:
        arguments: For pytest.
        run_id: The run's mark, so that clean-up finds pytest too.
        environment: `environment.json` to attach to.
        plan: The plan's file.
        results: File that finished scenarios are appended to.
    """

    arguments: Sequence[str]
    run_id: str
    environment: Path
    plan: Path
    results: Path

    def start(self) -> subprocess.Popen[bytes]:
        """Starts pytest; its lines go to this process's output."""
        home = self.environment.parent / "homes" / "pytest"
        home.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "pytest", "-q", *self.arguments],
            env={
                **{name: os.environ[name] for name in KEPT if name in os.environ},
                **base_environment(home, self.run_id),
                # The scenarios' steps are compiled once, not in each worker.
                "PYTHONPATH": str(CLONE),
                "CONFORMANCE_ENVIRONMENT": str(self.environment),
                "CONFORMANCE_PLAN": str(self.plan),
                "CONFORMANCE_RESULTS": str(self.results),
            },
            cwd=CLONE,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def run(phases: Iterable[Phase]) -> list[int]:
    """Runs phases side by side, each in an environment of its own.

    Args:
        phases: At least one. The next is asked for when the one before it has started, and may take its time.

    Returns:
        pytest's exit status of each; negative for the signal that ended it.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for phase in phases:
            processes.append(phase.start())  # noqa: PERF401  # those before one that does not start are ended
        return [process.wait() for process in processes]
    except BaseException:
        # All are told first, so that the running scenarios are undone and reported.
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        raise


def commit() -> str | None:
    """Commit of the suite's checkout, or None outside one."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(CLONE), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
