"""What is read of an agent's services, of its release and of its sockets, and how it is stopped."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness.adapters import agent as agents
from harness.adapters import agent_readings, sockets
from harness.adapters.agent import Agent
from harness.adapters.agent_readings import AgentReadings
from harness.core.errors import NotObserved, Withheld
from harness.environment import Sockets
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NAMES = Names.unique("t1")
HOST = "11111111-aaaa"
STATE = {".host_uuid": HOST.encode(), ".ids.kube.current": b"key"}
CONFIGURATION = {"kubernetes_service": {"enabled": True}}


def joins(*roles: str, success: bool = True) -> list[dict[str, Any]]:
    return [
        {"token_name": NAMES.token, "host_id": HOST, "role": role, "method": "iam", "success": success}
        for role in roles
    ]


@dataclass
class World:
    """Every port that is read from."""

    version: str = "17.0.0"
    events: list[dict[str, Any]] = field(default_factory=list)
    objects: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=lambda: {f"{NAMES.release}-0-state": {"data": STATE}})
    deleted: list[str] = field(default_factory=list)
    led: dict[str, frozenset[str]] = field(default_factory=dict)
    address: str = "127.0.0.1:6443"
    on_query: Callable[[], None] = lambda: None

    def audit(self, event: str) -> list[dict[str, Any]]:
        assert event == "instance.join"
        self.on_query()
        return list(self.events)

    def kube_servers(self) -> list[dict[str, Any]]:
        return [{"metadata": {"expires": "2027"}, "spec": {"host_id": HOST, "version": self.version}}]

    def dialled(self, connections: Iterable[tuple[str, str]]) -> frozenset[str]:
        return frozenset().union(*(self.led[other] for _, other in connections))

    def get(self, path: str) -> Any:
        return self.objects.get(path.rpartition("/")[2])

    def text(self, *_: str) -> str:
        return "ERRO access denied"

    def delete(self, path: str) -> None:
        self.deleted.append(path.rpartition("/namespaces/")[2])
        self.objects.pop(path.rpartition("/")[2], None)

    def secret(self, name: str) -> Any:
        return self.secrets.get(name)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    for module in (agents, agent_readings):
        for name in ("JOIN_SECONDS", "READY_SECONDS"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, 0.2)
    return World()


@pytest.fixture
def agent(world: World) -> AgentReadings:
    port: Any = world
    return AgentReadings(
        names=NAMES, api=port, cluster=port, teleport=port, account=port, read_sockets=sockets.of_pod
    )


class TestServices:
    """Joins and refusals by system role."""

    def test_the_join_that_comes_last_is_waited_for(self, agent: AgentReadings, world: World) -> None:
        world.events = joins("Kube")
        looks: list[int] = []

        def later() -> None:
            looks.append(1)
            if len(looks) == 3:
                world.events += joins("Instance")

        world.on_query = later
        assert agent.joined_as({"Kube", "Instance"}).methods == {"Kube": "iam", "Instance": "iam"}

    def test_a_refused_join_is_none(self, agent: AgentReadings, world: World) -> None:
        world.events = joins("Kube") + joins("App", success=False)
        with pytest.raises(NotObserved, match="as each of App, Kube"):
            agent.joined_as({"Kube", "App"})

    def test_refusals_are_told_apart_from_joins(self, agent: AgentReadings, world: World) -> None:
        world.events = joins("Kube") + joins("App", "Discovery", success=False)
        assert agent.refused_as({"App"}) == ["App", "Discovery"]
        with pytest.raises(NotObserved, match="as each of Kube"):
            agent.refused_as({"Kube"})

    def test_where_refusals_are_not_audited_nothing_can_be_said(
        self, agent: AgentReadings, world: World
    ) -> None:
        world.version = "13.0.0-dev"
        with pytest.raises(Withheld, match="does not audit"):
            agent.refused_as({"App"})


class TestRelease:
    """What Helm left in the cluster."""

    def test_the_configuration_is_the_releases(self, agent: AgentReadings, world: World) -> None:
        world.objects[NAMES.release] = {"data": {"teleport.yaml": yaml.safe_dump(CONFIGURATION)}}
        assert agent.configuration() == CONFIGURATION
        world.objects.clear()
        with pytest.raises(NotObserved, match=f"ConfigMap {NAMES.release}"):
            agent.configuration()

    def test_the_charts_version_is_what_helm_keeps(self, agent: AgentReadings, world: World) -> None:
        kept = json.dumps({"chart": {"metadata": {"version": "13.4.3"}}}).encode()
        packed = base64.b64encode(base64.b64encode(gzip.compress(kept))).decode()
        world.objects[f"sh.helm.release.v1.{NAMES.release}.v1"] = {"data": {"release": packed}}
        assert agent.chart_version() == "13.4.3"
        world.objects.clear()
        with pytest.raises(NotObserved, match=f"release {NAMES.release}"):
            agent.chart_version()


def test_sockets_are_those_of_who_listens_for_the_pods_probes(
    agent: AgentReadings, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[frozenset[int]] = []
    ends = sockets.Ends(frozenset({5, 6}), frozenset({("127.0.0.1:7", "127.0.0.1:8")}))

    def of_listener(ports: frozenset[int]) -> sockets.Ends:
        asked.append(ports)
        return ends

    monkeypatch.setattr(sockets, "of_listener", of_listener)
    pod = {
        "metadata": {"uid": "u", "annotations": {"conformance/host-ports": '{"diag": 5}'}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    world.objects[f"{NAMES.release}-0"] = pod
    # AWS and the Kubernetes API are no place from which Teleport would come.
    aws = ("sts.eu-west-1.amazonaws.com:443", "sts.cn-north-1.amazonaws.com.cn:443")
    others = ("tele.example.com:443", "sts.amazonaws.com.example.com:443", "sts.amazonaws.com:8443")
    world.led = {"127.0.0.1:8": frozenset({world.address, *aws, *others})}
    assert agent.sockets() == Sockets(frozenset({5, 6}), frozenset({5}), frozenset(others))
    assert asked == [frozenset({5})]


def test_a_stopped_agent_has_neither_owner_nor_pod(world: World, env: dict[str, str]) -> None:
    port: Any = world
    world.objects = {NAMES.release: {}, f"{NAMES.release}-0": {}}
    Agent(
        names=NAMES,
        api=port,
        cluster=port,
        teleport=port,
        account=port,
        workstation=port,
        env=env,
        chart=SimpleNamespace(),  # type: ignore[arg-type]  # it is not read
        proxy_address="",
    ).stop()
    assert world.deleted == [
        f"{NAMES.namespace}/statefulsets/{NAMES.release}",
        f"{NAMES.namespace}/pods/{NAMES.release}-0",
    ]
    assert world.objects == {}
