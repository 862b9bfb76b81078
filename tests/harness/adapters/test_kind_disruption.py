"""Parts of a kind environment stopped and started: what is there again, whatever became of the block."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import (
    containers,
    docker_engine,
    kind_cluster,
    kind_disruption,
    teleport_container,
)
from harness.adapters.kind_disruption import KindDisruption
from harness.adapters.kubernetes_api import MERGE, RefusedError
from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError

if TYPE_CHECKING:
    from collections.abc import Callable

NODES, PODS = "/api/v1/nodes", "/api/v1/pods"
AGENT = "/api/v1/namespaces/x/pods/agent"


def pod(name: str, container: str, *, namespace: str = "kube-system", ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"{name}-{container}"},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"containerID": container}],
        },
    }


def node(*, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": "control-plane"},
        "spec": {},
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
        self.fails: list[EnvironmentBroken] = []
        """What becomes of Teleport's next start."""
        self.agent: Any = self.before[1]
        """What is told of the agent's pod alone; None once it is gone."""
        self.on_eviction: Callable[[], None] = self.evicted

    def evicted(self) -> None:
        self.agent = None

    def call(self, method: str, path: str, body: Any, *, content_type: str = "") -> Any:
        if path.endswith("/eviction"):
            assert (method, path) == ("POST", f"{AGENT}/eviction")
            assert body["metadata"] == {"name": "agent", "namespace": "x"}
            self.happened.append("evict agent")
            return self.on_eviction()
        assert (method, path, content_type) == ("PATCH", f"{NODES}/control-plane", MERGE)
        self.happened.append("cordon" if body["spec"]["unschedulable"] else "uncordon")
        return None

    def get(self, path: str) -> Any:
        if path == NODES:
            return {"items": [self.node]}
        if path == AGENT:
            return self.agent
        assert path == PODS
        if "start node" not in self.happened:
            return {"items": self.before}
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
        if made.fails:
            raise made.fails.pop()
        assert (log.name, address, ca_file.name) == ("teleport.log", "127.0.0.1:4443", "ca.pem")
        made.happened.append(f"{container.name} answers")
        return "13.0.0"

    monkeypatch.setattr(docker_engine, "connect", Client)
    monkeypatch.setattr(containers, "Container", Container)
    monkeypatch.setattr(kind_cluster, "isolate", lambda name: made.happened.append(f"isolate {name}"))
    monkeypatch.setattr(teleport_container, "wait_until_answering", answering)
    return made


@pytest.fixture
def disruption(world: World, tmp_path: Path) -> KindDisruption:
    api: Any = world
    return KindDisruption(
        teleport="teleport",
        address="127.0.0.1:4443",
        log=tmp_path / "teleport.log",
        ca_file=Path("ca.pem"),
        node="node",
        api=api,
    )


TELEPORT = ["stop teleport", "start teleport", "teleport answers", "close"]
NODE = ["cordon", "evict agent", "stop node", "start node", "isolate node", "close", "uncordon"]


@pytest.mark.parametrize(("part", "does"), [("teleport_away", TELEPORT), ("node_away", NODE)])
def test_it_is_away_for_the_block_and_back_whatever_became_of_that(
    disruption: KindDisruption, world: World, part: str, does: list[str]
) -> None:
    with getattr(disruption, part)():
        assert world.happened == does[: does.index(f"stop {part.partition('_')[0]}") + 1]
    assert world.happened == does
    world.happened.clear()
    world.agent = world.before[1]
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


def test_a_pod_that_may_not_be_evicted_is_told_and_the_node_uncordoned(
    disruption: KindDisruption, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind_disruption, "DRAIN_SECONDS", 0.1)

    def refuse() -> None:
        raise TransientOracleError("429: it would violate the pod's disruption budget")

    world.on_eviction = refuse
    with pytest.raises(EnvironmentBroken, match="drained") as raised, disruption.node_away():
        pytest.fail("the node was not drained")
    assert "agent: 429: it would violate the pod's disruption budget" in raised.value.seen
    assert "PodDisruptionBudget" in raised.value.remedy
    assert set(world.happened) == {"cordon", "evict agent", "uncordon"}
    assert world.happened[-1] == "uncordon"


def test_a_pod_is_evicted_until_it_is_gone_and_told_to_end_once(
    disruption: KindDisruption, world: World
) -> None:
    busy = [TransientOracleError("429: a budget that allows it in a moment")]

    def evict() -> None:
        if busy:
            raise busy.pop()
        metadata = {**world.agent["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
        looks = iter([{"metadata": metadata}, {"metadata": metadata}])
        monkey = world.get
        # The successor of a StatefulSet's pod has its name.
        successor = {"metadata": {**metadata, "uid": "another"}}
        world.get = lambda path: next(looks, successor) if path == AGENT else monkey(path)  # type: ignore[method-assign]

    world.on_eviction = evict
    with disruption.node_away():
        assert world.happened.count("evict agent") == 2


def test_what_is_refused_for_another_reason_is_told_at_once(disruption: KindDisruption, world: World) -> None:
    def refuse() -> None:
        raise RefusedError("POST", 500, "two budgets select the pod")

    world.on_eviction = refuse
    with pytest.raises(RefusedError, match="two budgets"), disruption.node_away():
        pass
    assert world.happened == ["cordon", "evict agent", "uncordon"]


def test_a_pod_that_has_gone_by_itself_needs_no_eviction(disruption: KindDisruption, world: World) -> None:
    def gone() -> None:
        raise RefusedError("POST", 404, "no such pod")

    world.on_eviction = gone
    with disruption.node_away():
        pass
    assert world.happened.count("evict agent") == 1


def test_a_node_that_does_not_come_back_is_told_and_not_that_it_is_cordoned(
    disruption: KindDisruption, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.dead = True
    call = world.call

    def silent(method: str, path: str, body: Any, *, content_type: str = "") -> Any:
        if method == "PATCH" and not body["spec"]["unschedulable"]:
            raise TransientOracleError("nobody answers")
        return call(method, path, body, content_type=content_type)

    monkeypatch.setattr(world, "call", silent)
    with pytest.raises(EnvironmentBroken, match="exit status 137"), disruption.node_away():
        pass


WITHOUT = ["stop teleport", "start teleport", "teleport answers", "close"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Teleport's folder; what it writes when it starts without one is another."""
    made = tmp_path / "data"
    made.mkdir()
    (made / "users").write_text("alice")
    return made


def test_teleport_runs_without_its_data_for_the_block_and_has_it_again(
    disruption: KindDisruption, world: World, data: Path
) -> None:
    with disruption.teleport_without_data():
        assert world.happened == WITHOUT
        assert not data.exists()
        data.mkdir()
        (data / "users").write_text("nobody")
        world.happened.clear()
    assert world.happened == WITHOUT
    assert (data / "users").read_text() == "alice"
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_it_has_its_data_again_whatever_becomes_of_the_block(
    disruption: KindDisruption, world: World, data: Path
) -> None:
    with pytest.raises(NotObserved, match="the scenario failed"), disruption.teleport_without_data():
        raise NotObserved("the scenario failed")
    assert (data / "users").read_text() == "alice"
    assert world.happened == WITHOUT * 2


def test_it_has_its_data_again_where_it_does_not_start_without(
    disruption: KindDisruption, world: World, data: Path
) -> None:
    world.fails = [EnvironmentBroken(expected="an answer", seen="exit status 1", remedy="-")]
    with pytest.raises(EnvironmentBroken, match="exit status 1"), disruption.teleport_without_data():
        pytest.fail("it did not start")
    assert (data / "users").read_text() == "alice"
    assert world.happened[-2:] == ["teleport answers", "close"]


def cordoned(world: World, data: Path) -> None:
    world.node["spec"]["unschedulable"] = True


def set_aside(world: World, data: Path) -> None:
    data.rename(data.with_name("data-kept"))


@pytest.mark.parametrize(
    ("leave", "seen"), [(cordoned, "control-plane is cordoned"), (set_aside, "runs without its data")]
)
def test_what_a_killed_run_left_is_told(
    disruption: KindDisruption, world: World, data: Path, leave: Callable[[World, Path], None], seen: str
) -> None:
    disruption.must_be_over()
    leave(world, data)
    with pytest.raises(EnvironmentBroken, match=seen):
        disruption.must_be_over()


def test_while_it_is_away_it_is_not_over(disruption: KindDisruption, world: World, data: Path) -> None:
    with disruption.teleport_without_data(), pytest.raises(EnvironmentBroken, match="data-kept"):
        disruption.must_be_over()
    disruption.must_be_over()
