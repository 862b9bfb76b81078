"""The process runner against programs that die, hang, ignore signals and hide."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.adapters import daemons, processes
from harness.core.errors import EnvironmentBroken
from harness.core.redaction import redactor
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.core.ledger import Ledger
    from tests.harness.adapters.conftest import Evidence

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
# A grandchild in a session of its own, which outlives its parent and keeps the parent's pipes open.
ESCAPING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    with open(sys.argv[1], "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)
while not (os.path.exists(sys.argv[1]) and os.path.getsize(sys.argv[1])):
    time.sleep(0.01)
print("escaped", flush=True)
if len(sys.argv) == 2:
    time.sleep(60)
"""
# Told to end, it starts another first, as a kubelet does that runs a pod's preStop hook.
HEIR = """
import os, signal, sys, time
def end(*_):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(60)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    time.sleep(60)
"""


def says(log: Path, text: str) -> None:
    eventually(
        lambda: log.exists() and text in log.read_text(), bool, expected=text, within=10, interval=0.01
    )


def goes(pid: int) -> bool:
    def is_gone() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return eventually(is_gone, bool, expected=f"process {pid} to go", within=2, interval=0.01)


def test_the_environment_of_a_child_holds_nothing_of_the_callers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("EDITOR", "ed")
    made = processes.base_environment(tmp_path, "abc123", [tmp_path / "first"])
    completed = processes.run(["env"], env=made, cwd=tmp_path)
    seen = dict(line.split("=", 1) for line in completed.stdout.splitlines())
    assert seen == made
    assert made.keys() == {"HOME", "PATH", "LANG", "TMPDIR", processes.MARK}
    assert made["HOME"] == str(tmp_path)
    assert made["PATH"].split(os.pathsep)[:2] == [str(tmp_path / "first"), "/usr/local/bin"]


class TestRun:
    """A program that is run to its end."""

    def test_status_and_output_are_kept_apart(self, env: dict[str, str], tmp_path: Path) -> None:
        completed = processes.run(
            ["sh", "-c", "cat; echo oops >&2; pwd; exit 7"], env=env, cwd=tmp_path, stdin="from stdin\n"
        )
        assert completed.exit_code == 7
        assert completed.stdout == f"from stdin\n{tmp_path}\n"
        assert completed.stderr == "oops\n"
        assert completed.script == "sh -c cat; echo oops >&2; pwd; exit 7"

    def test_standard_input_is_empty_where_none_is_given(self, env: dict[str, str], tmp_path: Path) -> None:
        assert processes.run(["cat"], env=env, cwd=tmp_path).stdout == ""

    def test_a_signal_is_a_negative_status(self, env: dict[str, str], tmp_path: Path) -> None:
        assert processes.run(["sh", "-c", "kill -9 $$"], env=env, cwd=tmp_path).exit_code == -9

    def test_output_that_is_no_text_is_kept(self, env: dict[str, str], tmp_path: Path) -> None:
        assert processes.run(["printf", r"a\377b"], env=env, cwd=tmp_path).stdout == "a\ufffdb"

    def test_it_is_evidence_without_its_secrets(
        self, env: dict[str, str], tmp_path: Path, evidence: Evidence
    ) -> None:
        secret = secrets.token_urlsafe(20)
        redactor.register(secret)
        processes.run(["sh", "-c", "cat; exit 3"], env=env, cwd=tmp_path, stdin=f"it is {secret}.")
        (command,) = evidence.commands()
        assert command["argv"] == ["sh", "-c", "cat; exit 3"]
        assert command["exit_code"] == 3
        assert command["stdout"].startswith("it is ")
        assert secret not in evidence.text()

    def test_a_script_is_shown_as_it_was_pasted(
        self, env: dict[str, str], tmp_path: Path, evidence: Evidence
    ) -> None:
        completed = processes.run(
            ["sh", "-c", "echo 1"], env=env, cwd=tmp_path, shown_as="echo 1  # as pasted"
        )
        assert completed.script == "echo 1  # as pasted"
        assert evidence.commands()[0]["argv"] == ["sh", "echo 1  # as pasted"]

    def test_a_program_that_is_not_there_is_told(self, env: dict[str, str], tmp_path: Path) -> None:
        with pytest.raises(EnvironmentBroken, match="No such file") as caught:
            processes.run([str(tmp_path / "nothing")], env=env, cwd=tmp_path)
        assert "executable" in caught.value.remedy

    def test_a_file_that_may_not_be_executed_is_told(self, env: dict[str, str], tmp_path: Path) -> None:
        file = tmp_path / "plain"
        file.write_text("#!/bin/sh\n")
        with pytest.raises(EnvironmentBroken, match="Permission denied"):
            processes.run([str(file)], env=env, cwd=tmp_path)

    def test_a_file_that_is_no_program_for_this_machine_is_told(
        self, env: dict[str, str], tmp_path: Path, program: Callable[..., Path]
    ) -> None:
        file = program(tmp_path, "foreign", "#!")
        file.write_bytes(b"\x7fELF of another machine")
        with pytest.raises(EnvironmentBroken, match="made for this machine"):
            processes.run([str(file)], env=env, cwd=tmp_path)

    def test_one_that_hangs_is_killed_with_its_children(
        self, env: dict[str, str], tmp_path: Path, evidence: Evidence
    ) -> None:
        script = "sleep 60 & echo $! >child; echo started; echo trouble >&2; wait"
        with pytest.raises(EnvironmentBroken, match=r"its last line: trouble") as caught:
            processes.run(["sh", "-c", script], env=env, cwd=tmp_path, within=0.4)
        assert "to end within 0.4 s" in caught.value.expected
        assert goes(int((tmp_path / "child").read_text()))
        (command,) = evidence.commands()
        assert (command["exit_code"], command["stdout"], command["stderr"]) == (-9, "started\n", "trouble\n")

    def test_one_that_hangs_is_told_though_an_escaped_child_holds_its_output(
        self, env: dict[str, str], tmp_path: Path, program: Callable[..., Path]
    ) -> None:
        escaping = program(tmp_path, "escaping", ESCAPING)
        began = time.monotonic()
        with pytest.raises(EnvironmentBroken, match="its last line: escaped"):
            processes.run([str(escaping), "pid"], env=env, cwd=tmp_path, within=1)
        assert time.monotonic() - began < 10

    def test_checked_lets_success_pass_and_tells_the_last_words_of_a_failure(
        self, env: dict[str, str], tmp_path: Path
    ) -> None:
        good = processes.run(["true"], env=env, cwd=tmp_path)
        assert processes.checked(good, expected="it") is good
        bad = processes.run(["sh", "-c", "echo on stdout; exit 4"], env=env, cwd=tmp_path)
        with pytest.raises(EnvironmentBroken, match="exit status 4: on stdout") as caught:
            processes.checked(bad, expected="the arrangement to succeed")
        assert caught.value.expected == "the arrangement to succeed"


class TestDaemon:
    """A program that runs on."""

    def start(
        self, argv: list[str], env: dict[str, str], tmp_path: Path, ledger: Ledger, name: str = "the daemon"
    ) -> daemons.Daemon:
        return daemons.start(name, argv, env=env, cwd=tmp_path, log=tmp_path / f"{name}.log", ledger=ledger)

    def test_it_is_in_the_ledger_before_it_runs(
        self, env: dict[str, str], tmp_path: Path, ledger: Ledger, run_id: str
    ) -> None:
        with pytest.raises(EnvironmentBroken, match="the daemon to start from"):
            self.start([str(tmp_path / "missing")], env, tmp_path, ledger)
        (entry,) = ledger.open_entries()
        assert entry.kind == "process"
        assert entry.what == {"name": "the daemon", "run": run_id, "program": str(tmp_path / "missing")}

    def test_one_that_dies_is_told_at_once_with_its_last_words(
        self, env: dict[str, str], tmp_path: Path, ledger: Ledger
    ) -> None:
        script = (
            "for n in 1 2 3 4 5 6 7; do echo line $n; done; echo 'bind: address already in use' >&2; exit 3"
        )
        daemon = self.start(["sh", "-c", script], env, tmp_path, ledger)
        began = time.monotonic()
        with pytest.raises(EnvironmentBroken, match="exit status 3") as caught:
            daemons.wait_until(lambda: False, daemon=daemon, what="it to serve", within=60)
        assert time.monotonic() - began < 5
        assert caught.value.expected == "the daemon to keep running"
        assert "address already in use" in caught.value.seen
        assert "line 2" not in caught.value.seen
        assert str(daemon.log) in caught.value.remedy

    def test_one_that_hangs_is_told_when_its_time_is_over(
        self, env: dict[str, str], tmp_path: Path, ledger: Ledger
    ) -> None:
        daemon = self.start(["sh", "-c", "echo thinking; exec sleep 60"], env, tmp_path, ledger)
        says(daemon.log, "thinking")
        with pytest.raises(EnvironmentBroken, match="runs and does not answer") as caught:
            daemons.wait_until(lambda: False, daemon=daemon, what="it to serve", within=0.2)
        assert caught.value.expected == "it to serve within 0.2 s"
        assert "thinking" in caught.value.seen
        daemon.must_be_alive()

    def test_one_that_serves_is_waited_for(self, env: dict[str, str], tmp_path: Path, ledger: Ledger) -> None:
        daemon = self.start(["sh", "-c", "touch ready; exec sleep 60"], env, tmp_path, ledger)
        daemons.wait_until((tmp_path / "ready").exists, daemon=daemon, what="it", within=10)
        assert daemon.exited() is None

    def test_readiness_of_another_does_not_cover_for_one_that_died(
        self, env: dict[str, str], tmp_path: Path, ledger: Ledger
    ) -> None:
        daemon = self.start(["false"], env, tmp_path, ledger)
        eventually(daemon.exited, bool, expected="it to die", within=5, interval=0.01)
        with pytest.raises(
            EnvironmentBroken, match=r"exit status 1; its last words:\n\(it printed nothing\)"
        ):
            daemons.wait_until(lambda: True, daemon=daemon, what="it to serve", within=5)

    def test_one_that_it_needs_and_that_dies_is_told_at_once(
        self, env: dict[str, str], tmp_path: Path, ledger: Ledger
    ) -> None:
        daemon = self.start(["sleep", "60"], env, tmp_path, ledger)
        needed = self.start(["sh", "-c", "echo no space left; exit 1"], env, tmp_path, ledger, "etcd")
        with pytest.raises(EnvironmentBroken, match="no space left") as caught:
            daemons.wait_until(lambda: False, daemon=daemon, what="it", within=60, needs=[needed])
        assert caught.value.expected == "etcd to keep running"

    def test_another_process_can_look_after_it_by_its_number(self, tmp_path: Path) -> None:
        assert daemons.Daemon("this", os.getpid(), tmp_path / "log").exited() is None
        free = next(pid for pid in range(2**22, 1, -1) if not psutil.pid_exists(pid))
        gone = daemons.Daemon("gone", free, tmp_path / "log")
        with pytest.raises(EnvironmentBroken, match=r"it is gone; its last words:\n\(no log: "):
            gone.must_be_alive()


class TestStopping:
    """Ending everything of a run."""

    def start(
        self, argv: list[str], env: dict[str, str], tmp_path: Path, ledger: Ledger, said: str
    ) -> daemons.Daemon:
        log = tmp_path / f"{Path(argv[0]).name}.log"
        daemon = daemons.start(argv[0], argv, env=env, cwd=tmp_path, log=log, ledger=ledger)
        says(log, said)
        return daemon

    def test_one_that_ignores_sigterm_is_killed(
        self, env: dict[str, str], tmp_path: Path, ledger: Ledger, run_id: str, program: Callable[..., Path]
    ) -> None:
        stubborn = self.start([str(program(tmp_path, "stubborn", STUBBORN))], env, tmp_path, ledger, "deaf")
        assert [process.pid for process in daemons.marked(run_id)] == [stubborn.pid]
        assert daemons.stop_all(run_id, patience=0.1) == []
        assert goes(stubborn.pid)
        assert daemons.marked(run_id) == []

    def test_a_grandchild_in_a_session_of_its_own_is_found_by_its_mark(
        self, env: dict[str, str], tmp_path: Path, ledger: Ledger, run_id: str, program: Callable[..., Path]
    ) -> None:
        escaping = str(program(tmp_path, "escaping", ESCAPING))
        daemon = self.start([escaping, "pid", "and end"], env, tmp_path, ledger, "escaped")
        eventually(daemon.exited, bool, expected="the parent to end", within=5)
        grandchild = int((tmp_path / "pid").read_text())
        assert [process.pid for process in daemons.marked(run_id)] == [grandchild]
        (entry,) = ledger.open_entries()
        daemons.undo_process(entry)
        assert goes(grandchild)

    def test_what_is_started_while_ending_ends_too(
        self, env: dict[str, str], tmp_path: Path, ledger: Ledger, run_id: str, program: Callable[..., Path]
    ) -> None:
        self.start([str(program(tmp_path, "heir", HEIR))], env, tmp_path, ledger, "ready")
        assert daemons.stop_all(run_id, patience=2) == []
        assert daemons.marked(run_id) == []

    def test_another_run_and_this_very_process_are_spared(
        self,
        *,
        env: dict[str, str],
        tmp_path: Path,
        ledger: Ledger,
        run_id: str,
        monkeypatch: pytest.MonkeyPatch,
        program: Callable[..., Path],
    ) -> None:
        # The other's id begins with this one's: ids are compared whole.
        other = {**env, processes.MARK: f"{run_id}0"}
        spared = self.start(["sh", "-c", "echo here; exec sleep 60"], other, tmp_path, ledger, "here")
        # The kernel's record of a process's variables is that of its start, so one is started for this.
        script = program(
            tmp_path,
            "own",
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path.cwd())!r})\n"
            f"from harness.adapters import daemons\nprint(daemons.stop_all({run_id!r}), 'and alive')\n",
        )
        completed = processes.run([str(script)], env=env, cwd=tmp_path)
        assert completed.stdout == "[] and alive\n", completed.stderr
        assert spared.exited() is None
        assert daemons.stop_all(f"{run_id}0", patience=1) == []

    def test_what_can_not_be_ended_is_told(
        self, env: dict[str, str], tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        daemon = self.start(["sh", "-c", "echo here; exec sleep 61"], env, tmp_path, ledger, "here")
        (entry,) = ledger.open_entries()
        with monkeypatch.context() as patched:
            patched.setattr(daemons, "_end", lambda *_: None)  # as if it hung in the kernel
            with pytest.raises(EnvironmentBroken, match=rf"process {daemon.pid} sleep 61"):
                daemons.undo_process(entry)
        daemons.undo_process(entry)


def test_sealing_takes_out_what_names_the_users_own_set_up() -> None:
    environ = {
        "AWS_PROFILE": "production",
        "AWS_CONFIG_FILE": "mine",
        "KUBECONFIG": "mine",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "HELM_NAMESPACE": "x",
        "TELEPORT_HOME": "mine",
        "SSL_CERT_FILE": "mine",
        "PYTHONPATH": "mine",
        "PYTEST_ADDOPTS": "-x",
        "https_proxy": "http://proxy",
        "NO_PROXY": "*",
        "REQUESTS_CA_BUNDLE": "mine",
        "PATH": "/bin",
        "HOME": "/home/u",
    }
    processes.seal(environ)
    assert environ == {
        "PATH": "/bin",
        "HOME": "/home/u",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "KUBECONFIG": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_a_free_port_can_be_bound_on_loopback() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", daemons.free_port()))
        taken.listen()
        assert daemons.free_port() != taken.getsockname()[1]


def test_output_of_one_program_is_the_input_of_another() -> None:
    env = {"PATH": "/usr/bin:/bin"}
    done = processes.piped(["printf", "a b"], ["tr", "a-z", "A-Z"], env=env, within=30)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "A B", "")


@pytest.mark.parametrize(
    ("first", "second", "code", "told"),
    [
        (
            "echo no such image >&2; exit 3",
            "cat; echo empty archive >&2; exit 1",
            1,
            "no such image\n\nempty",
        ),
        ("echo no such image >&2; exit 3", "cat", 3, "no such image"),
        ("echo whole", "cat >/dev/null; echo disk full >&2; exit 2", 2, "disk full"),
    ],
)
def test_what_both_said_is_told_where_one_fails(first: str, second: str, code: int, told: str) -> None:
    done = processes.piped(
        ["sh", "-c", first], ["sh", "-c", second], env={"PATH": "/usr/bin:/bin"}, within=30
    )
    assert done.exit_code == code
    assert done.stderr.startswith(told)


@pytest.mark.parametrize("second", [["sleep", "60"], ["/none"]])
def test_a_pipe_that_does_not_end_or_begin_leaves_nothing(second: list[str]) -> None:
    mark = secrets.token_hex(4)
    env = {"PATH": "/usr/bin:/bin", processes.MARK: mark}
    with pytest.raises(EnvironmentBroken, match="sleep 61"):
        processes.piped(["sleep", "61"], second, env=env, within=0.2)
    assert daemons.marked(mark) == []
