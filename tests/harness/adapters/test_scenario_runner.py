"""Running pytest over a plan: what it is given, and how it is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import daemons, processes, scenario_runner
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOTE = """
import json, os, signal, sys, time
folder = os.path.dirname(os.environ["CONFORMANCE_RESULTS"])
def note(name, value):
    with open(os.path.join(folder, name + ".new"), "w") as file:
        json.dump(value, file)
    os.rename(os.path.join(folder, name + ".new"), os.path.join(folder, name))
"""
QUICK = (
    NOTE + "note('seen', {'argv': sys.argv[1:], 'env': dict(os.environ), 'cwd': os.getcwd()})\nsys.exit(5)\n"
)
POLITE = (
    NOTE
    + """
def end(*_):
    note("undone", True)
    sys.exit(2)
signal.signal(signal.SIGTERM, end)
note("pid", os.getpid())
time.sleep(60)
"""
)
DEAF = NOTE + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nnote('pid', os.getpid())\ntime.sleep(60)\n"


class Interrupted(Exception):
    """Stands for what the command's signal handler raises."""


@pytest.fixture
def start(
    tmp_path: Path, run_id: str, program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], int]:
    def run(text: str) -> int:
        monkeypatch.setattr(sys, "executable", str(program(tmp_path / "bin", "python", text)))
        phase = scenario_runner.Phase(
            ["-n", "2"],
            run_id=run_id,
            environment=tmp_path / "lab" / "environment.json",
            plan=tmp_path / "plan.json",
            results=tmp_path / "results.jsonl",
        )
        [status] = scenario_runner.run([phase])
        return status

    return run


def noted(tmp_path: Path, name: str) -> Any:
    return json.loads((tmp_path / name).read_text())


def test_pytest_gets_plan_environment_and_nothing_of_the_users(
    start: Callable[[str], int], tmp_path: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "KUBECONFIG", "PYTEST_ADDOPTS", "HTTPS_PROXY", "EDITOR"):
        monkeypatch.setenv(name, "the user's")
    monkeypatch.setenv("NO_COLOR", "1")
    assert start(QUICK) == 5
    seen = noted(tmp_path, "seen")
    assert seen["argv"] == ["-P", "-m", "pytest", "-q", "-n", "2"]
    assert seen["cwd"] == str(scenario_runner.CLONE)
    env = seen["env"]
    assert "the user's" not in env.values()
    assert env["CONFORMANCE_ENVIRONMENT"] == str(tmp_path / "lab" / "environment.json")
    assert env["CONFORMANCE_PLAN"] == str(tmp_path / "plan.json")
    assert env["CONFORMANCE_RESULTS"] == str(tmp_path / "results.jsonl")
    assert env["PYTHONPATH"] == str(scenario_runner.CLONE)
    assert env[processes.MARK] == run_id
    assert env["NO_COLOR"] == "1"
    # Its home is a folder of the run.
    assert env["HOME"].startswith(str(tmp_path / "lab"))
    assert os.path.isdir(env["HOME"])  # noqa: PTH112  # a text from the child


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[None]:
    """Interrupts `run` once the child is up."""
    previous = signal.getsignal(signal.SIGUSR1)

    def handler(*_: object) -> None:
        raise Interrupted

    signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    assert main is not None

    def wait() -> None:
        eventually((tmp_path / "pid").exists, bool, expected="the child to be up", within=10, interval=0.01)
        signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()
    signal.signal(signal.SIGUSR1, previous)


def test_when_interrupted_pytest_may_undo_first(
    start: Callable[[str], int], interrupted: None, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        start(POLITE)
    assert noted(tmp_path, "undone") is True


def test_one_that_does_not_end_is_killed(
    start: Callable[[str], int],
    interrupted: None,
    tmp_path: Path,
    run_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scenario_runner, "PATIENCE", 0.2)
    with pytest.raises(Interrupted):
        start(DEAF)
    assert daemons.marked(run_id) == []


def test_the_signal_that_ended_pytest_is_told(start: Callable[[str], int]) -> None:
    assert start("#!/bin/sh\nkill -SEGV $$\n") == -signal.SIGSEGV


def test_the_commit_is_that_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario_runner, "CLONE", tmp_path)
    assert scenario_runner.commit() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.com"]
    for line in ("init -q", "commit -q --allow-empty -m first"):
        subprocess.run([*git, *line.split()], check=True, env={**os.environ, "HOME": str(tmp_path)})
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert scenario_runner.commit() == head.strip()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert scenario_runner.commit() is None
