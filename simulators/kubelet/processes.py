"""Processes of containers: started through a small program, watched, signalled, and read."""

from __future__ import annotations

import asyncio
import json
import marshal
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulators.kubelet.objects import Isolation, Mount

SANDBOX = Path(__file__).with_name("sandbox.py")
BARE = Path(__file__).with_name("bare.py")
LAST_OUTPUT_SECONDS = 1.0

Output = Callable[[bytes], None]
"""Takes a process's output as it comes."""


class StartError(Exception):
    """A program could not be started; the text says why."""


@dataclass(frozen=True)
class Command:
    """What to start, and where.

    Args:
        argv: program and arguments.
        environment: all of it.
        cwd: working directory.
        isolation: mount-namespace or none.
        root: an empty folder, for mount-namespace.
        hostname: what the process sees as its host's name, for mount-namespace.
        mounts: for mount-namespace.
        enter: process id of a container to join instead; None for a new one.
    """

    argv: list[str]
    environment: dict[str, str]
    cwd: str = "/"
    isolation: Isolation = "none"
    root: str = ""
    hostname: str = ""
    mounts: list[Mount] = field(default_factory=list)
    enter: int | None = None


class Process:
    """A running process and its descendants."""

    def __init__(self, process: asyncio.subprocess.Process, pid: int, pump: asyncio.Future[Any]) -> None:
        self._process = process
        self._pump = pump
        self.pid = pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, as a container runtime does; nothing if it has ended."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End the program and its descendants at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end; what the program left behind ends with it.

        Returns:
            Exit code, 128 plus the number of the signal that ended it.
        """
        code = await self._process.wait()
        self.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._pump, LAST_OUTPUT_SECONDS)
        return code if code >= 0 else 128 - code


async def start(
    command: Command, output: Output, errors: Output | None = None, stdin: int | None = None
) -> Process:
    """Start a process and return once its program runs.

    Args:
        command: what to start.
        output: takes what it prints.
        errors: takes its standard error; without it `output` does.
        stdin: descriptor of its standard input, which stays the caller's; None for an empty one.

    Raises:
        StartError: it cannot be started.
    """
    status, status_end = os.pipe()
    outputs = [output] if errors is None else [output, errors]
    pipes = [os.pipe() for _ in outputs]
    ends = [end for _, end in pipes]
    spec = asdict(command) | {"parent": os.getpid(), "status": status_end, "stdin": stdin}
    program, told = SANDBOX, json.dumps(spec).encode()
    if command.isolation == "none":
        program, told = BARE, marshal.dumps(spec)
    pump = asyncio.gather(*(_pump(pipe[0], taker) for pipe, taker in zip(pipes, outputs, strict=True)))
    try:
        with tempfile.TemporaryFile() as file:  # it has no name that others could open
            file.write(told)
            file.seek(0)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(program),
                env=command.environment,
                stdin=file,
                stdout=ends[0],
                stderr=ends[-1],
                pass_fds=[status_end] if stdin is None else [status_end, stdin],
                start_new_session=True,
            )
    finally:
        for end in (status_end, *ends):
            os.close(end)
    reports = bytearray()
    await _pump(status, reports.extend)
    pid = process.pid
    for line in reports.splitlines():
        report = json.loads(line)
        if "error" in report:
            await Process(process, pid, pump).wait()
            raise StartError(report["error"])
        pid = report["pid"]
    return Process(process, pid, pump)


async def run(command: Command, seconds: float) -> tuple[int, str]:
    """Run a command to its end.

    Args:
        command: what to run.
        seconds: it may take; then it is killed.

    Returns:
        Exit code and output.

    Raises:
        StartError: it cannot be started.
        TimeoutError: it took too long.
    """
    printed = bytearray()
    process = await start(command, printed.extend)
    try:
        code = await asyncio.wait_for(process.wait(), seconds)
    finally:
        process.kill()
    return code, printed.decode(errors="replace")


async def check(isolation: Isolation, root: Path) -> str | None:
    """Try whether containers can be started on this machine.

    Args:
        isolation: wanted.
        root: an empty folder.

    Returns:
        None, or one line that says what to do.
    """
    try:
        await run(Command(["true"], {}, isolation=isolation, root=str(root), hostname="check"), 10)
    except StartError as error:
        return str(error)
    return None


async def _pump(descriptor: int, output: Output) -> None:
    """Read a pipe to its end."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        while data := await reader.read(1 << 16):
            output(data)
    finally:
        transport.close()
