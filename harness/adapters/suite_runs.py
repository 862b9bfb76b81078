"""Runs the suite itself, as a process of its own: a run more within a command that makes many."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CLONE = Path(__file__).resolve().parents[2]
OURS = ("CONFORMANCE_", "KUBEBUILDER_ASSETS")
"""Beginnings of variables that would be settings; a run within a command has them as options."""

ENDING_SECONDS = 60.0
"""Budget for a run to undo what it made after a signal."""


class SuiteRuns:
    """Runs of `./conformance run`, several side by side, that end with whoever started them."""

    def __init__(self) -> None:
        """Starts with none."""
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def run(self, arguments: Sequence[str], folder: Path) -> int:
        """Runs it to its end; its exit code.

        Args:
            arguments: Of `run`.
            folder: For its report; what it prints goes to `output.log` there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        with (folder / "output.log").open("wb") as output:
            with self._lock:
                if self._ended:
                    return 3
                process = subprocess.Popen(
                    [sys.executable, "-m", "harness.cli", "run", *arguments, f"--report-dir={folder}"],
                    # A file of settings in the caller's folder is settled into the arguments already.
                    cwd=folder,
                    env=environment | {"PYTHONPATH": str(CLONE)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process)
            code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code

    def end(self) -> None:
        """Ends those that run, and lets none begin; each undoes what it made."""
        with self._lock:
            self._ended = True
            running = tuple(self._running)
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
