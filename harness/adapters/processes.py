"""The process runner: every program that the harness starts, starts here.

One of the two choke points of evidence: what ran, with what exit status and output, goes to the
recorder of the running scenario. Child environments are built from empty (design rule 10); what the
user has in HOME, AWS_*, KUBECONFIG or HELM_* never reaches a child.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from harness.core import recording
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.waiting import eventually
from harness.environment import Completed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence

    from harness.core.ledger import Entry, Ledger

MARK = "CONFORMANCE_RUN"
"""Environment variable that every process of a run carries; clean-up kills by it."""

SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")

STOP_SECONDS = 4.0
"""How long a process may take to end after SIGTERM before it is killed."""

KILLED_SECONDS = 5.0
"""How long a process may take to end after SIGKILL."""

ROUNDS = 3
"""How often clean-up looks for processes of a run: one that is told to end may start another first."""

_handles: list[subprocess.Popen[bytes]] = []  # Python warns of a handle that goes before its process does


def base_environment(home: Path, run: str, path: Sequence[Path] = ()) -> dict[str, str]:
    """The environment of a child, built from empty.

    Args:
        home: Folder of the run that serves as HOME; all the user's dot files are out of sight.
        run: Run id, by which clean-up finds the process.
        path: Folders before the system's in PATH.
    """
    return {
        "HOME": str(home),
        "PATH": os.pathsep.join(
            [*map(str, path), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        ),
        "LANG": "C.UTF-8",
        "TMPDIR": str(home),
        MARK: run,
    }


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    within: float = 60.0,
    stdin: str | None = None,
    shown_as: str | None = None,
) -> Completed:
    """Runs a program to its end and records it as evidence.

    Args:
        argv: Program and arguments; never a secret among them.
        env: The whole environment of the child.
        cwd: Working directory.
        within: Seconds after which it is killed.
        stdin: Text for its standard input.
        shown_as: The text to keep as `Completed.script`; the joined argv where not given.

    Raises:
        EnvironmentBroken: The program could not be started or did not end in time.
    """
    started = time.monotonic()
    title = shown_as if shown_as is not None else " ".join(argv)
    try:
        process = subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentBroken(
            expected=f"{argv[0]} to start",
            seen=str(error),
            remedy="check that the file is there, executable and made for this machine",
        ) from error
    try:
        stdout, stderr = process.communicate(stdin, timeout=within)
    except subprocess.TimeoutExpired:
        _kill_group(process.pid)
        stdout, stderr = _printed_until_killed(process)
        _record(argv, shown_as, -signal.SIGKILL, (stdout, stderr), started=started, cwd=cwd)
        last = (stderr or stdout).strip().splitlines()
        raise EnvironmentBroken(
            expected=f"`{title}` to end within {within:g} s",
            seen=f"it was still running; its last line: {last[-1] if last else '(nothing printed)'}",
            remedy="see the evidence of this scenario for its whole output",
        ) from None
    except BaseException:
        _kill_group(process.pid)
        process.wait()
        raise
    _record(argv, shown_as, process.returncode, (stdout, stderr), started=started, cwd=cwd)
    return Completed(script=title, exit_code=process.returncode, stdout=stdout, stderr=stderr)


def checked(completed: Completed, *, expected: str) -> Completed:
    """The completed command, if it succeeded.

    Raises:
        EnvironmentBroken: It did not; for arrangements, where a failure is not the product's verdict.
    """
    if completed.exit_code != 0:
        last_words = (completed.stderr or completed.stdout).strip()
        raise EnvironmentBroken(
            expected=expected,
            seen=f"exit status {completed.exit_code}: {last_words[-800:]}",
            remedy=f"run it by hand to see more: {completed.script}",
        )
    return completed


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
        return None if psutil.pid_exists(self.pid) else "it is gone"

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
    return Daemon(name=name, pid=process.pid, log=log, process=process)


def marked(run_id: str) -> list[psutil.Process]:
    """Processes that carry the run's mark in their environment, this one and its parents excepted."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in own and process.environ().get(MARK) == run_id:
                found.append(process)
    return found


def stop_all(run_id: str, *, first: Iterable[str] = (), patience: float = STOP_SECONDS) -> list[str]:
    """Ends every process of a run: SIGTERM, then SIGKILL.

    Args:
        run_id: The run whose mark the processes carry.
        first: Names of programs (last path part) that end before the others (the kubelet before
            its API server, so that pods end while they still can say so).
        patience: Seconds between SIGTERM and SIGKILL.

    Returns:
        What still runs afterwards, described; empty when all is gone.
    """
    wanted = set(first)
    early = [p for p in marked(run_id) if wanted & {Path(part).name for part in _command_line(p)}]
    _end(early, patience)
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


def _record(
    argv: Sequence[str],
    shown_as: str | None,
    exit_code: int,
    output: tuple[str, str],
    *,
    started: float,
    cwd: Path,
) -> None:
    recording.record_command(
        list(argv) if shown_as is None else [argv[0], shown_as],
        exit_code=exit_code,
        stdout=output[0],
        stderr=output[1],
        seconds=time.monotonic() - started,
        cwd=cwd,
    )


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


def _printed_until_killed(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a killed program printed; a child in a session of its own may hold its pipes open for ever."""
    try:
        return process.communicate(timeout=1)
    except subprocess.TimeoutExpired as error:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()
        stdout, stderr = (
            bytes(part or b"").decode(errors="replace") for part in (error.stdout, error.stderr)
        )
        return stdout, stderr


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


FOREIGN = ("AWS_", "HELM_", "KUBE", "TELEPORT_", "PYTHON", "SSL_CERT_", "PYTEST_")
"""Beginnings of names of variables that name the user's own set-up."""

FOREIGN_NAMES = frozenset(
    {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
)


def seal(environ: MutableMapping[str, str]) -> None:
    """Takes the user's own AWS, Kubernetes, Helm and Teleport set-up out of an environment.

    For the harness's own process and its pytest: their libraries look at these variables by themselves.

    Args:
        environ: Changed in place (`os.environ`).
    """
    for name in list(environ):
        if name.startswith(FOREIGN) or name.upper() in FOREIGN_NAMES:
            del environ[name]
    environ["AWS_CONFIG_FILE"] = environ["AWS_SHARED_CREDENTIALS_FILE"] = environ["KUBECONFIG"] = os.devnull
    environ["AWS_EC2_METADATA_DISABLED"] = "true"
