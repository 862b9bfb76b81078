"""SIGTERM and Ctrl-C end a run by tear-down, and the workers are told at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

PROCESS = """
import os, signal, subprocess, sys
from harness.report.interrupt import tear_down_on_signals
worker = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) if WORKERS else None
tear_down_on_signals(controls_workers=WORKERS, is_worker=IS_WORKER)
try:
    os.kill(os.getpid(), SIGNAL)
    signal.pause()
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGTERM)
    print("torn down", worker.wait(10) if worker else "")
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("second Ctrl-C")
"""


def run(signal: str, *, workers: bool, is_worker: bool) -> list[str]:
    script = PROCESS.replace("WORKERS", str(workers)).replace("IS_WORKER", str(is_worker))
    script = script.replace("SIGNAL", f"signal.{signal}")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_workers_are_told_and_a_later_sigterm_does_not_disturb(signal: str) -> None:
    assert run(signal, workers=True, is_worker=False) == ["torn down -15", "second Ctrl-C"]


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_a_worker_hears_only_the_first_signal(signal: str) -> None:
    assert run(signal, workers=False, is_worker=True) == ["torn down "]
