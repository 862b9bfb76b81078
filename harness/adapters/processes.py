"""The process runner: every program that the harness starts, starts here.

One of the two choke points of evidence: what ran, with what exit status and output, goes to the
recorder of the running scenario. Child environments are built from empty (design rule 10); what the
user has in HOME, AWS_*, KUBECONFIG or HELM_* never reaches a child.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from harness.core import recording
from harness.core.errors import EnvironmentBroken
from harness.environment import Completed

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from pathlib import Path


MARK = "CONFORMANCE_RUN"
"""Environment variable that every process of a run carries; clean-up kills by it."""

SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")


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
        record(argv, shown_as, -signal.SIGKILL, (stdout, stderr), started=started, cwd=cwd)
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
    record(argv, shown_as, process.returncode, (stdout, stderr), started=started, cwd=cwd)
    return Completed(script=title, exit_code=process.returncode, stdout=stdout, stderr=stderr)


def piped(first: Sequence[str], second: Sequence[str], *, env: Mapping[str, str], within: float) -> Completed:
    """Runs a program with its output going to another's input; where one fails, what both said is told.

    Args:
        first: Program and arguments of the one that writes.
        second: Of the one that reads.
        env: The whole environment of both.
        within: Seconds after which both are killed.

    Raises:
        EnvironmentBroken: One could not be started, or they did not end in time.
    """
    title = f"{' '.join(first)} | {' '.join(second)}"
    processes: list[subprocess.Popen[bytes]] = []

    def start(argv: Sequence[str], stdin: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            list(argv),
            env=dict(env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        processes.append(process)
        return process

    try:
        writer = start(first, subprocess.DEVNULL)
        reader = start(second, writer.stdout)
        if writer.stdout is not None:
            writer.stdout.close()  # or the writer would not be told that the reader has gone
        printed, told = reader.communicate(timeout=within)
        _, failed = writer.communicate(timeout=within)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentBroken(
            expected=f"`{title}` to end within {within:g} s", seen=str(error), remedy="run it by hand"
        ) from error
    finally:
        for process in processes:
            if process.poll() is None:
                _kill_group(process.pid)
                process.communicate()
    worst = reader.returncode or writer.returncode
    # Whichever failed first, the other has something to say of it.
    text = "\n".join(
        part for part in (failed.decode(errors="replace"), told.decode(errors="replace")) if part
    )
    return Completed(script=title, exit_code=worst, stdout=printed.decode(errors="replace"), stderr=text)


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


def record(
    argv: Sequence[str],
    shown_as: str | None,
    exit_code: int,
    output: tuple[str, str],
    *,
    started: float,
    cwd: Path,
) -> None:
    """Records a program that ended, for whoever starts one in another way.

    Args:
        argv: Program and arguments.
        shown_as: What to show in place of the arguments.
        exit_code: What it ended with.
        output: What it wrote to standard output and standard error.
        started: When it was started, on the monotonic clock.
        cwd: Where it ran.
    """
    recording.record_command(
        list(argv) if shown_as is None else [argv[0], shown_as],
        exit_code=exit_code,
        stdout=output[0],
        stderr=output[1],
        seconds=time.monotonic() - started,
        cwd=cwd,
    )


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


_network_before: dict[str, str] = {}


def users_network() -> dict[str, str]:
    """The user's proxies and authorities, sealed or not: for what is fetched from the internet, and for that only."""
    names = [name for name in os.environ if _is_network(name)]
    return _network_before | {name: os.environ[name] for name in names}


def _is_network(name: str) -> bool:
    return name.upper() in FOREIGN_NAMES or name.startswith("SSL_CERT_")


def seal(environ: MutableMapping[str, str]) -> None:
    """Takes the user's own AWS, Kubernetes, Helm and Teleport set-up out of an environment.

    For the harness's own process and its pytest: their libraries look at these variables by themselves.

    Args:
        environ: Changed in place (`os.environ`).
    """
    for name in list(environ):
        if name.startswith(FOREIGN) or name.upper() in FOREIGN_NAMES:
            value = environ.pop(name)
            if environ is os.environ and _is_network(name):
                _network_before[name] = value
    environ["AWS_CONFIG_FILE"] = environ["AWS_SHARED_CREDENTIALS_FILE"] = environ["KUBECONFIG"] = os.devnull
    environ["AWS_EC2_METADATA_DISABLED"] = "true"
