"""Programs that run as long as their environment: started, watched, and ended by the run's mark."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from harness.adapters.processes import MARK
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.files import write_atomically
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.core.ledger import Entry, Ledger

KILLED_SECONDS = 5.0
"""How long a process may take to end after SIGKILL."""

STOP_SECONDS = 4.0
"""How long a process may take to end after SIGTERM before it is killed."""

ROUNDS = 3
"""How often clean-up looks for processes of a run: one that is told to end may start another first."""

_handles: list[subprocess.Popen[bytes]] = []  # Python warns of a handle that goes before its process does


@dataclass
class Daemon:
    """A program that runs as long as its environment.

    Attributes:
        name: What the user calls it.
        pid: Process id.
        log: File with its standard output and error.
        process: The handle, where this very process started it.
    """

    name: str
    pid: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def last_words(self, lines: int = 6) -> str:
        """The last lines of its log."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError as error:
            return f"(no log: {error})"
        return "\n".join(text.strip().splitlines()[-lines:]) or "(it printed nothing)"

    def exited(self) -> str | None:
        """How it ended, or None while it runs."""
        if self.process is not None:
            code = self.process.poll()
            return None if code is None else f"exit status {code}"
        try:
            ended = psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            ended = True
        return "it is gone" if ended else None

    def must_be_alive(self) -> None:
        """Checks that it still runs.

        Raises:
            EnvironmentBroken: It ended; with its last words.
        """
        ended = self.exited()
        if ended is not None:
            raise EnvironmentBroken(
                expected=f"{self.name} to keep running",
                seen=f"{ended}; its last words:\n{self.last_words()}",
                remedy=f"the whole log is {self.log}",
            )


def start(
    name: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    ledger: Ledger,
) -> Daemon:
    """Starts a daemon of the run, entered in the ledger first.

    Raises:
        EnvironmentBroken: The program could not be started.
    """
    ledger.will_create("process", name=name, run=env[MARK], program=argv[0])
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(argv),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            _handles.append(process)
    except OSError as error:
        raise EnvironmentBroken(
            expected=f"{name} to start from {argv[0]}",
            seen=str(error),
            remedy="check that the file is there, executable and made for this machine",
        ) from error
    write_atomically(log.with_suffix(".pid"), str(process.pid))
    return Daemon(name=name, pid=process.pid, log=log, process=process)


def stop(log: Path) -> Callable[[Ledger], Daemon]:
    """Ends a daemon, whoever started it; returns what starts it again as it was.

    Args:
        log: File with its standard output and error.

    Raises:
        EnvironmentBroken: It was gone already, or does not end.
    """
    known = Daemon(log.stem, int(log.with_suffix(".pid").read_text()), log)
    known.must_be_alive()
    process = psutil.Process(known.pid)
    argv, env, cwd = process.cmdline(), process.environ(), Path(process.cwd())
    _end([process], STOP_SECONDS)
    if _runs(process):
        raise EnvironmentBroken(
            expected=f"{known.name} to end",
            seen=f"process {known.pid} runs on after SIGKILL",
            remedy=f"the whole log is {log}",
        )

    def again(ledger: Ledger) -> Daemon:
        daemon = start(known.name, argv, env=env, cwd=cwd, log=log, ledger=ledger)
        if daemon.process is not None:
            # It outlives whoever started it, a worker for instance, which is not to be warned of that.
            daemon.process.returncode = 0
        return replace(daemon, process=None)

    return again


def must_all_be_alive(folder: Path) -> None:
    """Checks that every daemon still runs whose log lies in a folder of this folder.

    Raises:
        EnvironmentBroken: One ended; with its last words.
    """
    for pid in folder.glob("*/*.pid"):
        Daemon(pid.stem, int(pid.read_text()), pid.with_suffix(".log")).must_be_alive()


def marked(run_id: str) -> list[psutil.Process]:
    """Processes that carry the run's mark in their environment, this one and its parents excepted."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in own and process.environ().get(MARK) == run_id:
                found.append(process)
    return found


def stop_all(run_id: str, *, patience: float = STOP_SECONDS) -> list[str]:
    """Ends every process of a run: SIGTERM, then SIGKILL.

    Args:
        run_id: The run whose mark the processes carry.
        patience: Seconds between SIGTERM and SIGKILL.

    Returns:
        What still runs afterwards, described; empty when all is gone.
    """
    for _ in range(ROUNDS):
        if not (found := marked(run_id)):
            break
        _end(found, patience)
    _handles[:] = [handle for handle in _handles if handle.poll() is None]
    return [f"process {process.pid} {' '.join(_command_line(process))[:120]}" for process in marked(run_id)]


def undo_process(entry: Entry) -> None:
    """Ledger undo: ends all processes of the run that the entry names.

    Raises:
        EnvironmentBroken: Something could not be ended.
    """
    left = stop_all(str(entry.what["run"]))
    if left:
        raise EnvironmentBroken(
            expected=f"all processes of run {entry.what['run']} to end",
            seen="; ".join(left),
            remedy="end them by hand",
        )


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    ready: Callable[[], bool],
    *,
    daemon: Daemon,
    what: str,
    within: float,
    interval: float = 0.05,
    needs: Sequence[Daemon] = (),
) -> None:
    """Waits until a daemon serves; told at once, with its last words, when it dies.

    Args:
        ready: Whether it serves.
        daemon: The one that is waited for.
        what: What is waited for, in words.
        within: Seconds until it must serve.
        interval: Seconds between the first two looks.
        needs: Daemons without which it will never serve.

    Raises:
        EnvironmentBroken: It, or one that it needs, died, or it is not ready in time.
    """
    concerned = (*needs, daemon)
    try:
        eventually(
            ready,
            bool,
            expected=what,
            within=within,
            failed=lambda _ready: next(filter(None, (one.exited() for one in concerned)), None),
            interval=interval,
            last_words=daemon.last_words,
        )
    except NotObserved as error:
        # A daemon of the environment says nothing about the product, whatever became of it.
        for one in concerned:
            one.must_be_alive()
        raise EnvironmentBroken(
            expected=f"{what} within {within:g} s",
            seen=f"{daemon.name} runs and does not answer; its last words:\n{daemon.last_words()}",
            remedy=f"the whole log is {daemon.log}; a slow machine may need a second try",
        ) from error


def _command_line(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _end(processes: list[psutil.Process], patience: float) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in _alive_after(patience, processes):
        with contextlib.suppress(psutil.Error):
            process.kill()
    _alive_after(KILLED_SECONDS, processes)


def _alive_after(patience: float, processes: list[psutil.Process]) -> list[psutil.Process]:
    """Which of these run on, after at most so many seconds."""

    def alive() -> list[psutil.Process]:
        return [process for process in processes if _runs(process)]

    with contextlib.suppress(NotObserved):
        eventually(alive, lambda left: not left, expected="processes to end", within=patience, interval=0.02)
    return alive()


def _runs(process: psutil.Process) -> bool:
    # Orphans stay zombies in a container whose first process does not collect them: they have ended.
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
