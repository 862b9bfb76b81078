"""What is seen of an agent that does not start, or that ends again and again: each missing sign is red."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import agent as agents
from harness.adapters import agent_controls, agent_failures, agent_readings
from harness.adapters.agent import Agent
from harness.adapters.chart import Chart
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = Names.unique("t1")
HOST = "11111111-aaaa"
TOLD = "MountVolume.SetUp failed: no such Secret"
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}
STARTING = {"waiting": {"reason": "ContainerCreating"}}


def pod(state: dict[str, Any], restarts: int = 0) -> dict[str, Any]:
    status = {"name": "teleport", "ready": False, "restartCount": restarts, "state": state}
    return {"metadata": {"uid": "new"}, "status": {"phase": "Pending", "containerStatuses": [status]}}


def event(message: str, *, about: str = f"{NAMES.release}-0", kind: str = "Warning") -> dict[str, Any]:
    return {"type": kind, "reason": "FailedMount", "message": message, "involvedObject": {"name": about}}


def join(role: str = "Kube") -> dict[str, Any]:
    return {
        "event": "instance.join",
        "host_id": HOST,
        "token_name": NAMES.token,
        "method": "iam",
        "role": role,
        "success": True,
    }


@dataclass
class World:
    """Every port that is read from."""

    pod: dict[str, Any] | None = None
    happened: list[dict[str, Any]] = field(default_factory=list)
    joins: list[dict[str, Any]] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    deaf: bool = False
    log: str = ""
    on_look: Callable[[], None] = lambda: None

    def get(self, path: str) -> Any:
        if path.endswith("/events"):
            return {"items": self.happened}
        assert path.endswith(f"/pods/{NAMES.release}-0")
        return self.pod

    def text(self, _: str, path: str) -> str:
        assert path.endswith("/log?container=teleport")
        return self.log

    def secret(self, _: str) -> Any:
        return {"data": {".host_uuid": HOST.encode(), ".ids.kube.current": b"key"}}

    def audit(self, name: str) -> list[dict[str, Any]]:
        if name == "role.created":
            return [] if self.deaf else [{"name": role} for role in self.created]
        self.on_look()
        return list(self.joins)

    def create(self, resource: dict[str, Any]) -> None:
        self.created.append(resource["metadata"]["name"])

    def kube_servers(self) -> list[dict[str, Any]]:
        return [{"metadata": {"expires": "2027"}, "spec": {"host_id": HOST, "version": "13"}}]

    def mend(self) -> None:
        self.joins.append(join())


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "JOIN_SECONDS": 0.2,
        "READY_SECONDS": 0.2,
        "CHALLENGE_SECONDS": 0.2,
        "SHOWN_SECONDS": 0.2,
        "STILL_SECONDS": 0.1,
    }.items():
        for module in (agents, agent_controls, agent_failures, agent_readings):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def agent(world: World, tmp_path: Path, env: dict[str, str]) -> Agent:
    ports: dict[str, Any] = dict.fromkeys(("api", "cluster", "teleport", "account", "workstation"), world)
    chart = Chart(tmp_path / "teleport-kube-agent-13.4.2.tgz", "13.4.2", "13.4.3")
    return Agent(names=NAMES, env=env, chart=chart, proxy_address="tele.example.com:443", **ports)


class TestEvents:
    """Kubernetes' warnings about the agent."""

    @pytest.mark.parametrize("about", [NAMES.release, f"{NAMES.release}-0"])
    def test_a_warning_about_pod_or_stateful_set_is_told(
        self, agent: Agent, world: World, about: str
    ) -> None:
        world.happened = [event("something else"), event(TOLD, about=about)]
        assert agent.events(TOLD) == f"FailedMount: something else\nFailedMount: {TOLD}"

    @pytest.mark.parametrize(
        "happened", [event(TOLD, about="another-0"), event(TOLD, kind="Normal"), event("something else")]
    )
    def test_nothing_else_is(self, agent: Agent, world: World, happened: dict[str, Any]) -> None:
        world.happened = [happened]
        with pytest.raises(NotObserved, match="no such Secret"):
            agent.events(TOLD)


class TestNeverStarts:
    """An agent of which no container starts."""

    @pytest.mark.parametrize("seen", [None, pod(STARTING)])
    def test_what_waits_until_mended_and_joins_then(
        self, agent: Agent, world: World, seen: dict[str, Any] | None
    ) -> None:
        world.pod = seen
        assert agent.never_starts_until(world.mend) == []

    @pytest.mark.parametrize("state", [{"running": {}}, {"terminated": {}}])
    def test_one_that_starts_is_seen(self, agent: Agent, world: World, state: dict[str, Any]) -> None:
        world.pod = pod(state)
        with pytest.raises(NotObserved, match="no container"):
            agent.never_starts_until(world.mend)

    def test_one_that_joins_is_seen(self, agent: Agent, world: World) -> None:
        world.joins.append(join())
        with pytest.raises(NotObserved, match="no join"):
            agent.never_starts_until(world.mend)

    def test_one_that_does_not_join_though_mended_is_no_failure_of_the_watch(self, agent: Agent) -> None:
        with pytest.raises(NotObserved, match=r"instance\.join"):
            agent.never_starts_until(lambda: None)

    def test_where_the_audit_log_is_deaf_nothing_is_known(self, agent: Agent, world: World) -> None:
        world.deaf = True
        with pytest.raises(EnvironmentBroken):
            agent.never_starts_until(world.mend)


class TestEnds:
    """An agent that ends again and again, and may have joined before."""

    def test_what_ends_until_mended_and_joins_then(self, agent: Agent, world: World) -> None:
        world.joins.append(join())
        world.pod = pod(BACK_OFF, 1)
        assert agent.ends_until(world.mend) == []
        assert len(world.joins) == 2

    @pytest.mark.parametrize("seen", [None, pod({"running": {}}, 1), pod(BACK_OFF), pod({"terminated": {}})])
    def test_what_is_not_started_again_or_runs_is_not_that(
        self, agent: Agent, world: World, seen: dict[str, Any] | None
    ) -> None:
        world.pod = seen
        with pytest.raises(NotObserved, match="CrashLoopBackOff"):
            agent.ends_until(world.mend)

    def test_a_join_meanwhile_is_seen(self, agent: Agent, world: World) -> None:
        world.pod = pod(BACK_OFF, 1)
        looks: list[int] = []

        def later() -> None:
            looks.append(1)
            if len(looks) == 3:
                world.joins.append(join())

        world.on_look = later
        with pytest.raises(NotObserved, match="no other"):
            agent.ends_until(world.mend)

    def test_one_that_does_not_join_though_mended_is_seen(self, agent: Agent, world: World) -> None:
        world.joins.append(join())
        world.pod = pod(BACK_OFF, 1)
        with pytest.raises(NotObserved, match="once the cause is mended"):
            agent.ends_until(lambda: None)


class TestUnregistered:
    """An agent that joins again and again, and registers nothing until mended."""

    @pytest.fixture(autouse=True)
    def not_registered(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.registered: list[str] = []
        servers = world.kube_servers
        monkeypatch.setattr(world, "kube_servers", lambda: servers() if self.registered else [])

    def mend(self) -> None:
        self.registered.append(HOST)

    def test_what_registers_nothing_until_mended(self, agent: Agent, world: World) -> None:
        world.joins = [join(), join("Instance"), join()]
        assert agent.unregistered_until(self.mend) == []
        # The audit log was seen to work.
        assert world.created != []

    def test_what_joined_once_may_be_about_to_register(self, agent: Agent, world: World) -> None:
        world.joins = [join(), join("Instance")]
        with pytest.raises(NotObserved, match="to join once more"):
            agent.unregistered_until(self.mend)

    def test_a_registration_meanwhile_is_seen(self, agent: Agent, world: World) -> None:
        world.joins = [join(), join()]
        self.mend()
        with pytest.raises(NotObserved, match="no kube_server"):
            agent.unregistered_until(self.mend)

    def test_one_that_does_not_register_though_mended_shows_nothing(self, agent: Agent, world: World) -> None:
        world.joins = [join(), join()]
        with pytest.raises(EnvironmentBroken, match="the control after it failed"):
            agent.unregistered_until(lambda: None)


class TestLogOfAnAgentThatEnded:
    """Its last words can be read, though it does not run."""

    @pytest.mark.parametrize("state", [BACK_OFF, {"terminated": {"exitCode": 1}}, {"running": {}}])
    def test_the_log_is_read(self, agent: Agent, world: World, state: dict[str, Any]) -> None:
        world.pod, world.log = pod(state), "ERROR: initialization failed\n"
        assert "initialization failed" in agent.logs("initialization failed")

    def test_one_that_never_started_has_none(self, agent: Agent, world: World) -> None:
        world.pod, world.log = pod({"waiting": {"reason": "ErrImagePull"}}), "initialization failed"
        with pytest.raises(NotObserved, match="ErrImagePull"):
            agent.logs("initialization failed")


class TestTryInstall:
    """Helm is asked, and may refuse."""

    @pytest.mark.parametrize(("exit_code", "words"), [(1, "Error: proxyAddr is required"), (0, "")])
    def test_what_helm_made_of_it_is_told(
        self, agent: Agent, tmp_path: Path, env: dict[str, str], exit_code: int, words: str
    ) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        helm = folder / "helm"
        helm.write_text(f'#!/bin/sh\necho "$@"\necho "{words}" >&2\nexit {exit_code}\n')
        helm.chmod(0o755)
        agent._env["PATH"] = f"{folder}:{env['PATH']}"
        told = agent.try_install({"proxyAddr": ""})
        assert (told.exit_code, told.stderr.strip()) == (exit_code, words)
        assert "--set proxyAddr= " in told.stdout
        assert f"--set kubeClusterName={NAMES.cluster}" in told.stdout
