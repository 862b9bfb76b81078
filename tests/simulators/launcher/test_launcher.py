"""The launcher through its own client: streams, status, signals, and that nothing outlives anything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLONE = Path(__file__).resolve().parents[3]
CLIENT = CLONE / "simulators" / "launcher" / "client.py"

DRIVER = """
import sys
from pathlib import Path
from simulators.launcher.server import Launcher
launcher = Launcher(Path(sys.argv[1]), {"probe": "probe", "absent": "no.such.module"})
Path(sys.argv[2]).write_text("ready")
launcher.run()
"""

PROBE = """
import os, signal, sys, time
def main():
    what = sys.argv[1]
    if what == "echo":
        print(sys.stdin.read().upper(), end="")
        print("also here", file=sys.stderr)
        print(os.getcwd(), os.environ.get("MARK"), os.environ.get("LAUNCHER_ONLY"), sys.argv[2:])
    elif what == "exit":
        sys.exit(int(sys.argv[2]))
    elif what == "text":
        sys.exit("a reason")
    elif what == "raise":
        raise RuntimeError("broken")
    elif what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "wait":
        def end(*_):
            os.write(1, b"told to end\\n")
            sys.exit(7)
        signal.signal(signal.SIGTERM, end)
        print(os.getpid(), flush=True)
        while True:
            signal.pause()
    elif what == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), flush=True)
        while True:
            signal.pause()
if __name__ == "__main__":
    main()
"""


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A launcher that knows one probing program."""
    (tmp_path / "probe.py").write_text(PROBE)
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "socket"), str(tmp_path / "ready")],
        env={"PYTHONPATH": f"{CLONE}{os.pathsep}{tmp_path}", "LAUNCHER_ONLY": "yes", "PATH": "/usr/bin:/bin"},
    )
    until((tmp_path / "ready").exists)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def ask(launcher: subprocess.Popen[bytes], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a client."""

    def start(
        *arguments: str, env: dict[str, str] | None = None, cwd: Path = tmp_path
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(CLIENT), str(tmp_path / "socket"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env or {"MARK": "x"},
            cwd=cwd,
            text=True,
        )

    return start


def test_streams_environment_and_folder_are_the_clients(
    ask: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    client = ask("probe", "echo", "a b", "", "ü", env={"MARK": "mine"}, cwd=there)
    output, errors = client.communicate("hello\n", timeout=10)
    assert output == f"HELLO\n{there} mine None ['a b', '', 'ü']\n"
    assert errors == "also here\n"
    assert client.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("probe", "exit", "0"), 0, ""),
        (("probe", "exit", "42"), 42, ""),
        (("probe", "text"), 1, "a reason"),
        (("probe", "raise"), 1, "RuntimeError: broken"),
        (("probe", "kill"), 128 + signal.SIGKILL, ""),
        (("absent",), 1, "no.such.module"),
        (("unknown",), 127, "no such program: unknown; there are: absent, probe"),
    ],
)
def test_the_end_of_the_program_is_the_clients(
    ask: Callable[..., subprocess.Popen[str]], arguments: tuple[str, ...], status: int, told: str
) -> None:
    client = ask(*arguments)
    _, errors = client.communicate(timeout=10)
    assert client.returncode == status
    assert told in errors


def test_a_signal_is_passed_on(ask: Callable[..., subprocess.Popen[str]]) -> None:
    client = ask("probe", "wait")
    assert client.stdout is not None
    pid = int(client.stdout.readline())
    client.send_signal(signal.SIGTERM)
    output, _ = client.communicate(timeout=10)
    assert (client.returncode, output) == (7, "told to end\n")
    assert not psutil.pid_exists(pid)


def test_a_killed_client_takes_its_program_with_it(ask: Callable[..., subprocess.Popen[str]]) -> None:
    client = ask("probe", "stubborn")
    assert client.stdout is not None
    pid = int(client.stdout.readline())
    client.kill()
    client.communicate(timeout=10)
    until(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_launcher(
    launcher: subprocess.Popen[bytes], ask: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    clients = [ask("probe", what) for what in ("wait", "stubborn")]
    pids = [int(client.stdout.readline()) for client in clients if client.stdout is not None]
    launcher.send_signal(number)
    launcher.wait(10)
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    for client in clients:
        client.communicate(timeout=10)
        assert client.returncode != 0


def test_programs_run_side_by_side(ask: Callable[..., subprocess.Popen[str]]) -> None:
    waiting = ask("probe", "wait")
    assert waiting.stdout is not None
    waiting.stdout.readline()  # it is ready for the signal
    quick = ask("probe", "exit", "3")
    quick.communicate(timeout=10)
    assert quick.returncode == 3
    assert waiting.poll() is None
    waiting.terminate()
    waiting.communicate(timeout=10)
    assert waiting.returncode == 7


def test_no_launcher_is_told(tmp_path: Path) -> None:
    client = subprocess.run(
        [sys.executable, "-I", "-S", str(CLIENT), str(tmp_path / "nothing"), "probe"],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert client.returncode == 125
    assert f"no program from the launcher at {tmp_path / 'nothing'}" in client.stderr


def test_the_socket_is_for_its_user_only(launcher: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert launcher.poll() is None
    assert (tmp_path / "socket").stat().st_mode & 0o077 == 0


def test_a_client_that_says_nothing_does_no_harm(
    launcher: subprocess.Popen[bytes], ask: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(str(tmp_path / "socket"))
        rude.sendall(b"abcd")
    client = ask("probe", "exit", "5")
    client.communicate(timeout=10)
    assert client.returncode == 5
    assert launcher.poll() is None


def test_it_serves_other_programs_in_place_of_the_simulators(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    own = [sys.executable, "-m", "simulators.launcher", "--socket", str(tmp_path / "s"), "--ready"]
    process = subprocess.Popen(
        [*own, str(tmp_path / "ready"), "--program", "mine=probe", "--import", "probe"],
        env={"PYTHONPATH": f"{CLONE}{os.pathsep}{tmp_path}", "PATH": "/usr/bin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until((tmp_path / "ready").exists)
        asked = [sys.executable, "-I", "-S", str(CLIENT), str(tmp_path / "s")]
        done = subprocess.run([*asked, "mine", "exit", "3"], check=False, timeout=20)
        other = subprocess.run(
            [*asked, "teleport", "version"], check=False, timeout=20, capture_output=True, text=True
        )
    finally:
        process.terminate()
        _, told = process.communicate(timeout=20)
    assert done.returncode == 3
    assert (other.returncode, "there are: mine" in other.stderr) == (127, True)
    # Nobody may take what it starts for simulated.
    assert told.startswith(
        "launcher of the conformance suite: starts programs that are not simulated: mine\n"
    )
