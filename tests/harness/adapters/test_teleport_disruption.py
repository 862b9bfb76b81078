"""Teleport stopped, without its data or with another configuration: as before whatever became of the block."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from harness.adapters import daemons, lab_disruption, teleport_server
from harness.adapters.lab_disruption import LabDisruption
from harness.adapters.processes import MARK
from harness.adapters.teleport_disruption import TeleportDisruption
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEFORE = {
    "version": "v3",
    "auth_service": {"enabled": "yes", "proxy_listener_mode": "multiplex"},
    "proxy_service": {"enabled": "yes", "web_listen_addr": "127.0.0.1:3080"},
}
RUNS = "import signal, sys; print(*sys.argv[1:], flush=True); signal.pause()"


class Server:
    """What ran when it was stopped, and what it was started with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Any] = []
        (folder / "teleport.yaml").write_text(yaml.safe_dump(BEFORE))

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.started.append(yaml.safe_load((self.folder / "teleport.yaml").read_text()))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def disruption(server: Server) -> TeleportDisruption:
    return TeleportDisruption(away=server.away, log=server.folder / "teleport.log")


def test_the_tunnel_is_elsewhere_for_the_block(server: Server, disruption: TeleportDisruption) -> None:
    with disruption.teleport_with_tunnel_at("127.0.0.1:9"):
        (with_tunnel,) = server.started
        assert with_tunnel["auth_service"] == {"enabled": "yes", "proxy_listener_mode": "separate"}
        proxy = with_tunnel["proxy_service"]
        assert proxy["tunnel_public_addr"] == "127.0.0.1:9"
        assert proxy["web_listen_addr"] == "127.0.0.1:3080"
        own = {proxy[key] for key in ("listen_addr", "tunnel_listen_addr", "kube_listen_addr")}
        assert len(own) == 3
        assert disruption.left() != []
    assert server.started[-1] == BEFORE
    assert disruption.left() == []


def test_the_proxy_serves_no_kubernetes_for_the_block(server: Server, disruption: TeleportDisruption) -> None:
    with disruption.teleport_without_kubernetes():
        assert server.started == [{**BEFORE, "version": "v1"}]
    assert server.started[-1] == BEFORE


def test_the_configuration_is_as_before_whatever_becomes_of_the_block(
    server: Server, disruption: TeleportDisruption
) -> None:
    with pytest.raises(NotObserved, match="red"), disruption.teleport_without_kubernetes():
        raise NotObserved("red")
    assert server.started[-1] == BEFORE
    assert [path.name for path in server.folder.iterdir()] == ["teleport.yaml"]


class TestLab:
    """A lab's Teleport, here another program: stopped, and started as it was."""

    @pytest.fixture
    def lab(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabDisruption]:
        monkeypatch.setattr(teleport_server, "ping", lambda *_: {"server_version": "13"})
        self.log = tmp_path / "teleport.log"
        ledger = Ledger(tmp_path / "ledger.jsonl")
        env = {MARK: "abcdef", "GIVEN": "with it"}
        argv = [sys.executable, "-c", RUNS, "one", "two"]
        started = daemons.start("teleport", argv, env=env, cwd=tmp_path, log=self.log, ledger=ledger)
        self.wait_for("one two\n")
        yield LabDisruption(address="127.0.0.1:1", log=self.log, ca_file=tmp_path / "ca.pem", ledger=ledger)
        with contextlib.suppress(psutil.NoSuchProcess):
            self.running().kill()
        if started.process is not None:
            started.process.wait()

    def wait_for(self, text: str) -> None:
        daemon = daemons.Daemon("teleport", self.running().pid, self.log)
        daemons.wait_until(
            lambda: self.log.read_text() == text, daemon=daemon, what="its first words", within=10
        )

    def running(self) -> psutil.Process:
        return psutil.Process(int(self.log.with_suffix(".pid").read_text()))

    def test_it_is_away_for_the_block_and_runs_as_it_was(self, lab: LabDisruption) -> None:
        before = self.running()
        with lab.teleport_away():
            assert not before.is_running() or before.status() == psutil.STATUS_ZOMBIE
        after = self.running()
        assert after.pid != before.pid
        assert after.cmdline()[-2:] == ["one", "two"]
        assert after.environ()["GIVEN"] == "with it"
        assert after.cwd() == str(self.log.parent)
        # One that is left behind is found by the run's mark, by which it is ended.
        assert after.environ()[MARK] == "abcdef"
        self.wait_for("one two\none two\n")

    def test_it_is_back_whatever_became_of_the_block(self, lab: LabDisruption) -> None:
        with pytest.raises(NotObserved, match="red"), lab.teleport_away():
            raise NotObserved("red")
        assert self.running().is_running()

    def test_one_that_does_not_answer_any_more_breaks_the_environment(
        self, lab: LabDisruption, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(teleport_server, "ping", lambda *_: None)
        monkeypatch.setattr(lab_disruption.teleport_server, "READY_SECONDS", 0.2)
        with pytest.raises(EnvironmentBroken, match="to answer again"), lab.teleport_away():
            pass

    def test_one_that_is_gone_already_is_told(self, lab: LabDisruption) -> None:
        self.running().kill()
        os.waitpid(self.running().pid, 0)
        with pytest.raises(EnvironmentBroken, match="teleport to keep running"), lab.teleport_away():
            pytest.fail("nothing was stopped")

    def test_its_node_is_not_stopped(self, lab: LabDisruption) -> None:
        with pytest.raises(EnvironmentBroken, match="a node that can be stopped"), lab.node_away():
            pytest.fail("nothing was stopped")

    def test_what_a_killed_process_left_is_told(self, lab: LabDisruption) -> None:
        lab.must_be_over()
        self.log.with_name("data-kept").mkdir()
        with pytest.raises(EnvironmentBroken, match="runs without its data"):
            lab.must_be_over()
