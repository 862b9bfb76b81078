"""The process that is forked: takes requests on a Unix socket, forks, and tells how each fork ended."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import selectors
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from importlib.abc import InspectLoader
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import CodeType

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
UNKNOWN_PROGRAM = 127
ENDING_SECONDS = 3.0
"""How long forks may take to end after SIGTERM when the launcher ends."""


@dataclass(frozen=True)
class Request:
    """What a client asks for.

    Attributes:
        cwd: Working directory.
        program: Name of the program.
        arguments: Its arguments.
        environment: Its whole environment.
        streams: Standard input, output and error, as file descriptors of this process.
    """

    cwd: str
    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    streams: tuple[int, ...]

    @classmethod
    def receive(cls, connection: socket.socket) -> Request:
        """Reads a request.

        Raises:
            ValueError: The client sent something else, or went away.
        """
        head, streams, _, _ = socket.recv_fds(connection, 4, 3)
        try:
            parts = _parts(connection, head, streams)
            end = 2 + int(parts[1])
            program, *arguments = parts[2:end]
        except ValueError:
            for stream in streams:
                os.close(stream)
            raise
        environment = dict(part.partition("=")[::2] for part in parts[end:])
        return cls(parts[0], program, tuple(arguments), environment, tuple(streams))


class Launcher:
    """Forks programs for clients, one process group each."""

    def __init__(self, path: Path, programs: Mapping[str, str]) -> None:
        """Listens.

        Args:
            path: Of the socket; only this user can connect to it.
            programs: Name of a program -> module that is run as `__main__`.
        """
        # Found before the fork: looking for them costs half of what a fork that does nothing costs.
        self._programs = {name: _found(module) for name, module in programs.items()}
        self._socket = socket.socket(socket.AF_UNIX)
        before = os.umask(0o077)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(before)
        self._socket.listen(64)
        self._selector = selectors.DefaultSelector()
        self._forks: dict[int, socket.socket] = {}
        self._ending = False

    def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then ends what runs."""
        wake, waker = socket.socketpair()
        for end in (wake, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._selector.register(self._socket, selectors.EVENT_READ, self._accept)
        self._selector.register(wake, selectors.EVENT_READ, lambda: self._reap(wake))
        while not self._ending:
            for key, _ in self._selector.select():
                key.data()
        self._end_forks()

    def _end(self, *_: object) -> None:
        self._ending = True

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        connection.settimeout(10)
        try:
            request = Request.receive(connection)
        except (OSError, ValueError):
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            self._become(request)
        for stream in request.streams:
            os.close(stream)
        self._forks[pid] = connection
        # A client that goes away takes its program with it.
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._left(pid, connection))
        with contextlib.suppress(OSError):
            connection.sendall(b"%d\n" % pid)

    def _left(self, pid: int, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    def _reap(self, wake: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while wake.recv(4096):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            connection = self._forks.pop(pid)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(connection)
            with contextlib.suppress(OSError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            connection.close()

    def _become(self, request: Request) -> NoReturn:
        """Is the fork: becomes the program, and never returns."""
        code = 1
        try:
            os.setsid()
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._selector.close()
            self._socket.close()
            for own, stream in enumerate(request.streams):
                os.dup2(stream, own)
                os.close(stream)
            os.chdir(request.cwd)
            os.environ.clear()
            os.environ.update(request.environment)
            code = run_program(self._programs, request)
        except BaseException:  # noqa: BLE001  # whatever it is, the fork must not go on as a launcher
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _end_forks(self) -> None:
        self._socket.close()
        for pid in self._forks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self._wait_for_forks()
        for pid in self._forks:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def _wait_for_forks(self) -> None:
        """Waits until all forks ended, for as long as they may take."""
        signal.signal(signal.SIGALRM, lambda *_: self._forks_are_late())
        signal.setitimer(signal.ITIMER_REAL, ENDING_SECONDS)
        try:
            while self._forks:
                pid, _ = os.waitpid(-1, 0)
                self._forks.pop(pid, None)
        except (TimeoutError, ChildProcessError):
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @staticmethod
    def _forks_are_late() -> None:
        raise TimeoutError


def _parts(connection: socket.socket, head: bytes, streams: list[int]) -> list[str]:
    """The parts of a request: working directory, count of the next ones, program and arguments, environment.

    Raises:
        ValueError: The client sent something else, or went away.
    """
    if len(head) != 4 or len(streams) != 3:
        raise ValueError("the client sent no request")
    wanted = int.from_bytes(head, "big")
    body = b""
    while len(body) < wanted:
        part = connection.recv(wanted - len(body))
        if not part:
            raise ValueError("the client went away")
        body += part
    return [os.fsdecode(part) for part in body.split(b"\0")]


@dataclass(frozen=True)
class Program:
    """A module to run as `python -m` would.

    Attributes:
        spec: Of the module, `__main__` in a package.
        code: Its compiled code.
    """

    spec: ModuleSpec
    code: CodeType

    @classmethod
    def find(cls, module: str) -> Program:
        """Finds a module or a package with a `__main__`; only packages are imported.

        Raises:
            ImportError: There is none.
        """
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{module}.__main__")
        loader = spec and spec.loader
        code = loader.get_code(spec.name) if spec and isinstance(loader, InspectLoader) else None
        if spec is None or code is None:
            raise ImportError(f"no code of {module}")
        return cls(spec, code)

    def run(self) -> None:
        """Becomes `__main__`."""
        main = ModuleType("__main__")
        main.__spec__, main.__loader__, main.__package__ = self.spec, self.spec.loader, self.spec.parent
        main.__file__ = self.spec.origin
        sys.modules["__main__"] = main
        exec(self.code, main.__dict__)  # noqa: S102  # the suite's own module


def _found(module: str) -> Program | str:
    """The program of a module, or why there is none, for whoever asks for it."""
    try:
        return Program.find(module)
    except ImportError as error:
        return f"no program of {module}: {error}"


def run_program(programs: Mapping[str, Program | str], request: Request) -> int:
    """Runs a program's module as `__main__`; its exit status."""
    program = programs.get(request.program)
    if program is None:
        sys.stderr.write(f"no such program: {request.program}; there are: {', '.join(sorted(programs))}\n")
        return UNKNOWN_PROGRAM
    if isinstance(program, str):
        sys.stderr.write(f"{program}\n")
        return 1
    sys.argv = [request.program, *request.arguments]
    try:
        program.run()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    return 0
