"""Parts of a kind environment stopped and started: what is there again, whatever became of the block."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import containers, kind_cluster, kind_disruption, teleport_container
from harness.adapters.kind_disruption import KindDisruption
from harness.adapters.kubernetes_api import RefusedError
from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError

if TYPE_CHECKING:
    from collections.abc import Callable

NODES, PODS = "/api/v1/nodes", "/api/v1/pods"


def pod(name: str, container: str, *, namespace: str = "kube-system", ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"containerID": container}],
        },
    }


def node(*, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": "control-plane"},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


class World:
    """A node and a Teleport that stop and start, and an API server that tells what a test wants."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.before = [pod("dns", "1"), pod("agent", "a", namespace="x"), pod("slow", "s", ready=False)]
        self.after: list[Any] = [[pod("dns", "2")]]
        """What is told of pods once the node was started; an exception is raised, the last is told for ever."""
        self.node = node()
        self.dead = False

    def get(self, path: str) -> Any:
        if "start node" not in self.happened:
            return {"items": self.before}
        if path == NODES:
            return {"items": [self.node]}
        assert path == PODS
        told = self.after.pop(0) if len(self.after) > 1 else self.after[0]
        if isinstance(told, Exception):
            raise told
        return {"items": told}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()

    class Container:
        def __init__(self, _client: object, name: str) -> None:
            self.name = name

        def stop(self) -> None:
            made.happened.append(f"stop {self.name}")

        def start(self) -> None:
            made.happened.append(f"start {self.name}")

        def must_be_alive(self) -> None:
            if made.dead:
                raise EnvironmentBroken(expected="a node", seen="exit status 137", remedy="-")

    class Client:
        def close(self) -> None:
            made.happened.append("close")

    def answering(container: Container, log: Path, address: str, ca_file: Path) -> str:
        assert (log.name, address, ca_file.name) == ("teleport.log", "127.0.0.1:4443", "ca.pem")
        made.happened.append(f"{container.name} answers")
        return "13.0.0"

    monkeypatch.setattr(containers, "connect", Client)
    monkeypatch.setattr(containers, "Container", Container)
    monkeypatch.setattr(kind_cluster, "isolate", lambda name: made.happened.append(f"isolate {name}"))
    monkeypatch.setattr(teleport_container, "wait_until_answering", answering)
    return made


@pytest.fixture
def disruption(world: World) -> KindDisruption:
    api: Any = world
    return KindDisruption(
        teleport="teleport",
        address="127.0.0.1:4443",
        log=Path("teleport.log"),
        ca_file=Path("ca.pem"),
        node="node",
        api=api,
    )


TELEPORT = ["stop teleport", "start teleport", "teleport answers", "close"]
NODE = ["stop node", "start node", "isolate node", "close"]


@pytest.mark.parametrize(("part", "does"), [("teleport_away", TELEPORT), ("node_away", NODE)])
def test_it_is_away_for_the_block_and_back_whatever_became_of_that(
    disruption: KindDisruption, world: World, part: str, does: list[str]
) -> None:
    with getattr(disruption, part)():
        assert world.happened == does[:1]
    assert world.happened == does
    world.happened.clear()
    with pytest.raises(NotObserved, match="the scenario failed"), getattr(disruption, part)():
        raise NotObserved("the scenario failed")
    assert world.happened == does


def test_a_cluster_is_back_once_other_containers_of_its_pods_are_ready(
    disruption: KindDisruption, world: World
) -> None:
    # An API server that starts refuses everybody; then it tells what it knew before, and pods that are not ready.
    world.after = [
        TransientOracleError("it did not answer"),
        RefusedError("GET", 403, "nodes is forbidden"),
        [pod("dns", "1")],
        [pod("dns", "2", ready=False)],
        [],
        [pod("dns", "2")],
    ]
    with disruption.node_away():
        pass
    assert len(world.after) == 1


def lagging(world: World) -> None:
    world.after = [[pod("dns", "1")]]


def unready(world: World) -> None:
    world.node = node(ready=False)


@pytest.mark.parametrize(("spoil", "seen"), [(lagging, "kube-system/dns"), (unready, "control-plane")])
def test_a_cluster_that_does_not_come_back_breaks_the_environment(
    disruption: KindDisruption,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[World], None],
    seen: str,
) -> None:
    monkeypatch.setattr(kind_disruption, "BACK_SECONDS", 0.1)
    spoil(world)
    with pytest.raises(EnvironmentBroken, match="to be as before") as raised, disruption.node_away():
        pass
    assert seen in raised.value.seen
    assert "conformance down" in raised.value.remedy


def test_a_node_that_ends_again_is_told_at_once(disruption: KindDisruption, world: World) -> None:
    world.dead = True
    with pytest.raises(EnvironmentBroken, match="exit status 137"), disruption.node_away():
        pass
