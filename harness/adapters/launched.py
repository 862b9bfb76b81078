"""Simulated programs that the harness asks the launcher for itself, as the thin client does for everybody else.

`tctl` beside the Auth Service is called hundreds of times in a run, and the client's own start costs as much as
what the program does (docs/decisions/0014). The protocol is that of `simulators/launcher/client.py`.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.adapters import processes
from harness.core.errors import EnvironmentBroken
from harness.environment import Completed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DESCRIPTION = "launcher.json"
"""Beside the programs of a folder: how they are asked for."""


@dataclass(frozen=True)
class Launched:
    """A program of the launcher whose first argument is the name of the one that is wanted.

    Attributes:
        address: The launcher's socket.
        program: Name of the program with the launcher.
        variables: What the wrapper scripts add to the environment.
    """

    address: str
    program: str
    variables: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Writes it down beside the wrapper scripts."""
        (folder / DESCRIPTION).write_text(json.dumps(asdict(self)))

    @classmethod
    def beside(cls, folder: Path) -> Launched | None:
        """What is written down in a folder of programs; None where they are programs of their own."""
        file = folder / DESCRIPTION
        return cls(**json.loads(file.read_text())) if file.exists() else None

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        within: float,
        stdin: str | None = None,
    ) -> Completed:
        """Runs a program to its end and records it as evidence, as `processes.run` does.

        Args:
            argv: The wrapper script and its arguments; never a secret among them.
            env: The whole environment of the program.
            cwd: Working directory.
            within: Seconds after which it is killed.
            stdin: Text for its standard input.

        Raises:
            EnvironmentBroken: The launcher does not answer, or the program did not end in time.
        """
        started = time.monotonic()
        # Files in place of pipes: nobody has to empty them while the program runs.
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            given.write((stdin or "").encode())
            given.seek(0)
            try:
                connection.settimeout(within)
                connection.connect(self.address)
                streams = [file.fileno() for file in (given, stdout, stderr)]
                exit_code = self._asked(connection, argv, {**env, **self.variables}, cwd, streams)
            except (OSError, ValueError) as error:
                # The launcher kills the fork of whoever goes away.
                raise EnvironmentBroken(
                    expected=f"`{' '.join(argv)}` to end within {within:g} s",
                    seen=f"{type(error).__name__}: {error}",
                    remedy="see the launcher's log among those of the environment",
                ) from error
            output = (_text(stdout.fileno()), _text(stderr.fileno()))
        processes.record(argv, None, exit_code, output, started=started, cwd=cwd)
        return Completed(script=" ".join(argv), exit_code=exit_code, stdout=output[0], stderr=output[1])

    def _asked(
        self,
        connection: socket.socket,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        streams: list[int],
    ) -> int:
        """The exit status; negative for the signal that ended it. Raises OSError or ValueError."""
        arguments = [Path(argv[0]).name, *argv[1:]]
        variables = [f"{name}={value}" for name, value in env.items()]
        parts = [str(cwd), str(len(arguments) + 1), self.program, *arguments, *variables]
        body = b"\0".join(os.fsencode(part) for part in parts)
        socket.send_fds(connection, [len(body).to_bytes(4, "big")], streams)
        connection.sendall(body)
        with connection.makefile("rb") as answer:
            pid, status = answer.readline(), answer.readline()
        if not pid.strip() or not status.strip():
            raise ValueError("the launcher ended, or could not start it")
        return int(status)


def _text(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace")
