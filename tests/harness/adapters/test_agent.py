"""What is concluded of an agent from what the other ports show: each missing fact is red."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import agent as agents
from harness.adapters import agent_controls, agent_readings
from harness.adapters.agent import Agent
from harness.adapters.chart import Chart
from harness.adapters.kubernetes_api import RefusedError
from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError
from harness.environment import Completed, Routed
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = Names.unique("t1")
HOST, OTHER = "11111111-aaaa", "22222222-bbbb"
ACCOUNT = "210987654321"
ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/{NAMES.role}/1700000000"
POD = f"/api/v1/namespaces/{NAMES.namespace}/pods/{NAMES.release}-0"
KEYS = {".ids.kube.current": b"key", ".ids.instance.current": b"key", ".ca": b"ca"}


def pod(uid: str, *, ready: bool = True, **waiting: str) -> dict[str, Any]:
    state = {"waiting": waiting} if waiting else {"running": {}}
    return {
        "metadata": {"uid": uid, "name": f"{NAMES.release}-0"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {"name": "teleport", "containerID": uid, "ready": ready, "restartCount": 2, "state": state}
            ],
        },
    }


def server(host_id: str, expires: str = "2026-01-01T00:10:00Z") -> dict[str, Any]:
    return {
        "metadata": {"expires": expires},
        "spec": {"host_id": host_id, "version": "13.4.3", "cluster": {"metadata": {"name": NAMES.cluster}}},
    }


def join(host_id: str = HOST, **changes: Any) -> dict[str, Any]:
    return {
        "event": "instance.join",
        "host_id": host_id,
        "token_name": NAMES.token,
        "method": "iam",
        "role": "Kube",
        "success": True,
        **changes,
    }


def own_call(session: str, **changes: Any) -> dict[str, Any]:
    """A call of the harness's own, as the gateway logs it."""
    return challenge(
        action="AssumeRoleWithWebIdentity", signed_headers=[], user_agent=f"Boto3/1 {session}", **changes
    )


def challenge(**changes: Any) -> dict[str, Any]:
    return {
        "action": "GetCallerIdentity",
        "verdict": "allowed",
        "signed_headers": ["host", "x-teleport-challenge"],
        "user_agent": "",
        "answer": {"account": ACCOUNT, "arn": ARN},
        **changes,
    }


@dataclass
class World:
    """What the ports show, and what happens when the agent's adapter does something."""

    host_id: str = HOST
    keys: dict[str, bytes] = field(default_factory=lambda: dict(KEYS))
    servers: list[dict[str, Any]] = field(default_factory=lambda: [server(HOST)])
    events: list[dict[str, Any]] = field(default_factory=lambda: [join()])
    aws: list[dict[str, Any]] = field(default_factory=list)
    pod: dict[str, Any] | None = field(default_factory=lambda: pod("old"))
    token: dict[str, Any] = field(default_factory=dict)
    agent_log: str | Exception = "INFO ready\nERRO [KUBE] could not join: access denied\nDEBU bye\n"
    created: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    served_by: str = HOST
    routes: bool = True
    on_delete: Callable[[], None] = lambda: None
    on_create: Callable[[dict[str, Any]], None] = lambda _: None
    on_join_query: Callable[[], None] = lambda: None
    on_calls: Callable[[], None] = lambda: None
    on_assume: Callable[[str], None] = lambda _: None
    sessions: list[str] = field(default_factory=list)
    namespaces: list[Any] = field(default_factory=list)
    """What looks at the namespace show, one after another; then it is gone."""

    # KubernetesAPI

    def text(self, method: str, path: str) -> str:
        if isinstance(self.agent_log, Exception):
            raise self.agent_log
        return self.agent_log

    def call(self, method: str, path: str, body: Any = None) -> Any:
        assert path.endswith(f"/serviceaccounts/{NAMES.service_account}/token")
        assert body["spec"]["audiences"] == ["sts.amazonaws.com"]
        return {"status": {"token": "a web identity token"}}

    def delete(self, path: str, *, grace: int | None = None) -> None:
        self.deleted.append(path)
        self.on_delete()

    # Cluster

    def secret(self, name: str) -> Any:
        assert name == f"{NAMES.release}-0-state"
        host = {".host_uuid": self.host_id.encode()} if self.host_id else {}
        return {"data": {**host, **self.keys}} if host or self.keys else None

    # Teleport

    def kube_servers(self) -> Any:
        return self.servers

    def audit(self, event: str) -> Any:
        if event == "instance.join":
            self.on_join_query()
        return [record for record in self.events if record["event"] == event]

    def create(self, resource: dict[str, Any]) -> None:
        self.created.append(resource)
        if resource["kind"] == "role":
            self.events.append({"event": "role.created", "name": resource["metadata"]["name"]})
        self.on_create(resource)

    # Account

    def calls(self, *, after: int = 0) -> Any:
        self.on_calls()
        # As the gateway numbers them: from 1, those of other roles too.
        return [{**call, "seq": number} for number, call in enumerate(self.aws, start=1)][after:]

    def mark(self) -> int:
        return len(self.aws)

    def assume_role(self, web_identity_token: str) -> str:
        assert web_identity_token == "a web identity token"
        self.sessions.append(f"conformance-{len(self.sessions)}")
        self.on_assume(self.sessions[-1])
        return self.sessions[-1]

    # Workstation

    def kubectl(self, *arguments: str, routed: bool = False) -> Routed:
        events = ({"event": "kube.request", "server_id": self.served_by},) if self.routes else ()
        return Routed(Completed("kubectl", 0 if self.routes else 1, "", ""), teleport=events, kubernetes=())


class KubernetesPort:
    """`World` as the API; a class of its own, because Teleport has a `get` too."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.text, self.call, self.delete = world.text, world.call, world.delete

    def get(self, path: str) -> Any:
        if path.endswith("/pods"):
            return {"items": [self._world.pod] if self._world.pod else []}
        if path == f"/api/v1/namespaces/{NAMES.namespace}":
            return self._world.namespaces.pop(0) if self._world.namespaces else None
        assert path == POD
        return self._world.pod


class TeleportPort:
    """`World` as Teleport."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.kube_servers, self.audit, self.create = world.kube_servers, world.audit, world.create

    def get(self, reference: str) -> Any:
        assert reference == f"token/{NAMES.token}"
        return self._world.token or None


def set_budget(monkeypatch: pytest.MonkeyPatch, name: str, seconds: float) -> None:
    """Sets it wherever the adapter has it."""
    modules = [module for module in (agents, agent_controls, agent_readings) if hasattr(module, name)]
    assert modules, f"no budget {name}"
    for module in modules:
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "JOIN_SECONDS": 0.12,
        "READY_SECONDS": 0.12,
        "CHALLENGE_SECONDS": 0.12,
        "WATCH_SECONDS": 0.1,
        "AFTERWARDS_SECONDS": 0.1,
        "SHOWN_SECONDS": 0.2,
        "BACK_OFF_SECONDS": 0.12,
        "TRIES_SECONDS": 0.12,
        "RECONNECT_SECONDS": 0.12,
    }.items():
        set_budget(monkeypatch, name, seconds)


@pytest.fixture
def patient(hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For what has to be looked at more than once, however busy the machine."""
    for name in (
        *("JOIN_SECONDS", "READY_SECONDS", "CHALLENGE_SECONDS"),
        *("BACK_OFF_SECONDS", "TRIES_SECONDS", "RECONNECT_SECONDS"),
    ):
        set_budget(monkeypatch, name, 20.0)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def agent(world: World, tmp_path: Path, env: dict[str, str]) -> Agent:
    # Each port in its place has no more than the agent's adapter uses.
    ports: dict[str, Any] = {
        "api": KubernetesPort(world),
        "cluster": world,
        "teleport": TeleportPort(world),
        "account": world,
        "workstation": world,
    }
    return Agent(
        names=NAMES,
        env=env,
        chart=Chart(tmp_path / "teleport-kube-agent-13.4.2.tgz", "13.4.2", "13.4.3"),
        proxy_address="tele.example.com:443",
        **ports,
    )


class TestJoined:
    """The three facts of a join."""

    def test_three_facts_of_one_host_id_are_a_join(self, agent: Agent, world: World) -> None:
        world.servers.append(server(OTHER, "2027-01-01T00:00:00Z"))
        world.events += [join(role="Instance"), join(OTHER, method="token", role="Node")]
        seen = agent.joined()
        assert seen.host_id == HOST
        assert seen.version == "13.4.3"
        assert seen.methods == {"Kube": "iam", "Instance": "iam"}
        assert seen.identity_keys == (".ids.instance.current", ".ids.kube.current")

    def test_a_join_by_another_method_is_told_as_it_is(self, agent: Agent, world: World) -> None:
        world.events[:] = [join(method="token")]
        assert agent.joined().methods == {"Kube": "token"}

    @pytest.mark.parametrize(
        "lacking",
        [
            {"servers": []},
            {"servers": [server(OTHER)]},
            {"events": []},
            {"events": [join(OTHER)]},
            {"events": [join(token_name="another")]},
            {"events": [join(success=False)]},
            {"keys": {}},
            {"keys": {".ids.instance.current": b"key"}},
            {"keys": {".ids.kube.replacement": b"key"}},
            {"host_id": ""},
            {"host_id": OTHER},
        ],
        ids=str,
    )
    def test_without_one_of_them_there_is_no_join(
        self, agent: Agent, world: World, lacking: dict[str, Any]
    ) -> None:
        vars(world).update(lacking)
        with pytest.raises(NotObserved, match="all of one host id") as caught:
            agent.joined()
        # The agent's own last error tells why.
        assert "ERRO [KUBE] could not join: access denied" in str(caught.value)
        assert "DEBU bye" not in str(caught.value)

    def test_a_join_is_waited_for(self, agent: Agent, world: World, patient: None) -> None:
        joins, world.events[:] = list(world.events), []
        looks: list[int] = []

        def later() -> None:
            looks.append(1)
            if len(looks) == 2:
                world.events.extend(joins)

        world.on_join_query = later
        assert agent.joined().host_id == HOST
        assert len(looks) == 2


class TestRefused:
    """A refusal: its cause, and what shows that the watch could see a join."""

    @pytest.fixture(autouse=True)
    def refusing(self, world: World) -> None:
        """An agent that tries again and again, and joins as soon as its token is mended."""
        world.servers, world.events, world.keys = [], [], {}
        world.token = {
            "kind": "token",
            "metadata": {"name": NAMES.token},
            "spec": {"join_method": "iam", "allow": [{"aws_account": "109876543210", "aws_arn": ARN}]},
        }
        world.on_calls = lambda: world.aws.append(challenge())
        world.on_create = lambda resource: self.mend(world, resource)

    def mend(self, world: World, resource: dict[str, Any]) -> None:
        if resource["kind"] == "token":
            assert resource["spec"]["join_method"] == "iam"
            (rule,) = resource["spec"]["allow"]
            assert rule == {"aws_account": ACCOUNT, "aws_arn": f"{ARN.rpartition('/')[0]}/*"}
            joins = [join(), join(role="Instance")]
            world.servers, world.events, world.keys = [server(HOST)], [*world.events, *joins], dict(KEYS)

    def test_what_sts_answered_stands_beside_the_rule(self, agent: Agent, patient: None) -> None:
        seen = agent.refused()
        assert seen.answered == ((ACCOUNT, ARN),)
        assert seen.allowed == (("109876543210", ARN),)
        assert seen.joins == ()
        assert seen.cause == "account"

    @pytest.mark.parametrize(
        "call",
        [
            None,
            challenge(verdict="denied"),
            challenge(action="AssumeRoleWithWebIdentity"),
            challenge(signed_headers=["host"]),
        ],
        ids=str,
    )
    def test_without_an_answer_of_sts_nothing_was_refused(
        self, agent: Agent, world: World, call: dict[str, Any] | None
    ) -> None:
        world.on_calls = lambda: world.aws.append(call) if call else None
        with pytest.raises(NotObserved, match="the Auth Service to ask STS about an agent in role") as caught:
            agent.refused()
        assert "access denied" in str(caught.value)

    def test_an_agent_that_does_not_try_again_is_not_refused_for_good(
        self, agent: Agent, world: World
    ) -> None:
        world.aws, world.on_calls = [challenge()], lambda: None
        with pytest.raises(NotObserved, match="the agent to try again"):
            agent.refused()

    def test_a_join_during_the_watch_is_red(self, agent: Agent, world: World, patient: None) -> None:
        world.on_join_query = lambda: world.events.append(join())
        with pytest.raises(NotObserved, match=f"no instance.join with token {NAMES.token}"):
            agent.refused()
        # Red before any mending.
        assert [resource["kind"] for resource in world.created] == ["role"]

    def test_anothers_join_is_no_join_of_this_agent(self, agent: Agent, world: World, patient: None) -> None:
        world.events.append(join(OTHER, token_name="another"))
        assert agent.refused().joins == ()

    def test_where_the_mended_token_shows_no_join_either_nothing_is_known(
        self, agent: Agent, world: World
    ) -> None:
        world.on_create = lambda _: None
        with pytest.raises(EnvironmentBroken, match="the control after it failed"):
            agent.refused()

    def test_where_the_mended_token_lets_one_service_in_nothing_is_known(
        self, agent: Agent, world: World
    ) -> None:
        def mend(resource: dict[str, Any]) -> None:
            self.mend(world, resource)
            world.events = [event for event in world.events if event.get("role") != "Instance"]

        world.on_create = mend
        with pytest.raises(EnvironmentBroken, match="the control after it failed"):
            agent.refused()

    def test_where_the_audit_log_is_dead_nothing_is_known(
        self, agent: Agent, world: World, patient: None
    ) -> None:
        world.on_create = lambda resource: world.events.clear()
        with pytest.raises(EnvironmentBroken, match="the control before it failed"):
            agent.refused()


class TestOutUntil:
    """An agent that is kept out until something is mended."""

    @pytest.fixture(autouse=True)
    def kept_out(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """It tells of trouble at each look, and joins as soon as it is mended."""
        world.servers, world.events, world.keys = [], [], {}
        lines: list[str] = []

        def told(method: str, path: str) -> str:
            if world.agent_log or not lines:
                lines.append(f"ERRO [PROC:1] attempt {len(lines)} failed")
            return "\n".join(lines)

        monkeypatch.setattr(world, "text", told)

    def let_in(self, world: World) -> None:
        world.servers, world.events, world.keys = [server(HOST)], [*world.events, join()], dict(KEYS)

    def test_it_stays_out_and_joins_when_mended(self, agent: Agent, world: World, patient: None) -> None:
        assert agent.out_until(lambda: self.let_in(world)) == []

    def test_a_join_during_the_watch_is_red(self, agent: Agent, world: World, patient: None) -> None:
        world.on_join_query = lambda: world.events.append(join())
        with pytest.raises(NotObserved, match=f"no instance.join with token {NAMES.token}"):
            agent.out_until(lambda: self.let_in(world))

    def test_a_join_as_another_role_counts_only_where_it_must_not_be(
        self, agent: Agent, world: World, patient: None
    ) -> None:
        world.events.append(join(role="Instance"))
        assert agent.out_until(lambda: self.let_in(world), roles={"Kube"}) == []
        with pytest.raises(NotObserved):
            agent.out_until(lambda: self.let_in(world))

    def test_an_agent_that_does_not_try_again_is_not_out_for_good(self, agent: Agent, world: World) -> None:
        world.agent_log = ""
        with pytest.raises(NotObserved, match="the agent to try again"):
            agent.out_until(lambda: self.let_in(world))

    def test_where_mending_shows_no_join_either_nothing_is_known(self, agent: Agent, patient: None) -> None:
        with pytest.raises(EnvironmentBroken, match="the control after it failed"):
            agent.out_until(lambda: None)


class TestRestart:
    """What shows that the successor of a deleted pod works."""

    @pytest.fixture(autouse=True)
    def restarting(self, world: World) -> None:
        world.aws = [challenge(), challenge()]
        world.on_delete = lambda: self.restart(world)

    def restart(self, world: World, *, renewed: str = HOST) -> None:
        world.pod = pod("new")
        # Looked at once after the pod is gone, to know what is old; renewed on the next look.
        old, fresh = world.servers, [*world.servers, server(renewed, "2026-01-01T00:20:00Z")]
        looks: list[int] = []

        class Servers(list[dict[str, Any]]):
            def __iter__(self) -> Any:
                looks.append(1)
                return iter(old if len(looks) == 1 else fresh)

        world.servers = Servers()

    def test_what_shows_that_the_successor_works_is_told(
        self, agent: Agent, world: World, patient: None
    ) -> None:
        seen = agent.restart()
        assert world.deleted == [POD]
        assert (seen.pod_before, seen.pod) == ("old", "new")
        assert (seen.host_id_before, seen.host_id, seen.served_by) == (HOST, HOST, HOST)
        assert seen.mark == 2
        assert seen.joins == ()

    def test_joins_since_then_are_told_and_those_before_are_not(
        self, agent: Agent, world: World, patient: None
    ) -> None:
        def restart() -> None:
            self.restart(world)
            world.events.append(join(role="again"))

        world.on_delete = restart
        assert [event["role"] for event in agent.restart().joins] == ["again"]

    def test_who_served_is_told_as_it_is(self, agent: Agent, world: World, patient: None) -> None:
        world.served_by = OTHER
        assert agent.restart().served_by == OTHER

    def test_a_pod_that_stays_is_red(self, agent: Agent, world: World) -> None:
        world.on_delete = lambda: None
        with pytest.raises(NotObserved, match=f"pod {NAMES.release}-0 to go"):
            agent.restart()

    def test_a_successor_that_never_comes_is_red(self, agent: Agent, world: World) -> None:
        def gone() -> None:
            world.pod = None

        world.on_delete = gone
        with pytest.raises(NotObserved, match="to be ready"):
            agent.restart()

    def test_a_server_that_is_not_renewed_is_red(self, agent: Agent, world: World) -> None:
        def restart() -> None:
            world.pod = pod("new")

        world.on_delete = restart
        with pytest.raises(NotObserved, match="to be renewed after the pod's start"):
            agent.restart()

    def test_a_renewed_server_of_another_host_is_not_this_agents(self, agent: Agent, world: World) -> None:
        world.on_delete = lambda: self.restart(world, renewed=OTHER)
        with pytest.raises(NotObserved, match="to be renewed after the pod's start"):
            agent.restart()

    def test_where_nothing_is_routed_any_more_it_is_red(self, agent: Agent, world: World) -> None:
        world.routes = False
        with pytest.raises(NotObserved, match="kubectl to be routed to the agent again"):
            agent.restart()


class Away:
    """Something that an agent does without; notes when it goes and comes, and what happens then."""

    def __init__(self, back: Callable[[], None], gone: Callable[[], None] = lambda: None) -> None:
        self.happened: list[str] = []
        self._back, self._gone = back, gone

    def __enter__(self) -> None:
        self.happened.append("gone")
        self._gone()

    def __exit__(self, *_: object) -> None:
        self.happened.append("back")
        self._back()


class TestLoseNode:
    """What shows that an agent works again once its node does."""

    def back(self, world: World, *, uid: str = "new", ready: bool = True, **waiting: str) -> Away:
        def back() -> None:
            TestRestart().restart(world)
            world.pod = pod(uid, ready=ready, **waiting)

        return Away(back)

    def test_another_pod_works_again(self, agent: Agent, world: World, patient: None) -> None:
        away = self.back(world)
        seen = agent.lose_node(away)
        assert away.happened == ["gone", "back"]
        assert (seen.pod_before, seen.pod) == ("old", "new")
        assert (seen.host_id_before, seen.host_id, seen.served_by) == (HOST, HOST, HOST)
        assert world.deleted == []

    @pytest.mark.parametrize("state", [{"uid": "old"}, {"ready": False}], ids=str)
    def test_a_pod_that_was_not_evicted_or_is_not_ready_does_not_count(
        self, agent: Agent, world: World, state: dict[str, Any]
    ) -> None:
        with pytest.raises(NotObserved, match=r"another pod .* to be started and ready"):
            agent.lose_node(self.back(world, **state))

    def test_a_container_that_waits_for_its_next_start_is_waited_for(
        self, agent: Agent, world: World
    ) -> None:
        away = self.back(world, ready=False, reason="CrashLoopBackOff")
        with pytest.raises(NotObserved, match=r"waited: 0\.1"):
            agent.lose_node(away)

    def test_a_join_since_then_is_told(self, agent: Agent, world: World, patient: None) -> None:
        away = self.back(world)
        away._gone = lambda: world.events.append(join(role="again"))
        assert [event["role"] for event in agent.lose_node(away).joins] == ["again"]


class TestLoseTeleport:
    """What shows that an agent works again once Teleport does."""

    @pytest.fixture(autouse=True)
    def a_short_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        set_budget(monkeypatch, "AWAY_SECONDS", 0.05)

    def away(self, world: World, *, tells: bool = True, goes_on: bool = True) -> Away:
        lines = world.agent_log

        class Troubled(str):
            """A log that gets longer, at once or for good."""

            looks = 0
            __slots__ = ()

            def splitlines(self, keepends: bool = False) -> list[str]:
                Troubled.looks += 1
                more = Troubled.looks if goes_on else 1
                return [*str(lines).splitlines(keepends), *["WARN no connection"] * more]

        def gone() -> None:
            if tells:
                world.agent_log = Troubled()

        return Away(lambda: TestRestart().restart(world), gone)

    def test_one_that_tried_in_vain_and_works_again_is_told(
        self, agent: Agent, world: World, patient: None
    ) -> None:
        away = self.away(world)
        seen = agent.lose_teleport(away)
        assert away.happened == ["gone", "back"]
        assert (seen.host_id_before, seen.host_id, seen.served_by) == (HOST, HOST, HOST)
        assert seen.joins == ()

    @pytest.mark.parametrize("told", [{"tells": False}, {"goes_on": False}], ids=str)
    def test_where_the_agent_did_not_try_again_nothing_was_away(
        self, agent: Agent, world: World, told: dict[str, bool]
    ) -> None:
        away = self.away(world, **told)
        with pytest.raises(NotObserved, match="the agent to tell of trouble"):
            agent.lose_teleport(away)
        # It is back all the same.
        assert away.happened == ["gone", "back"]

    def test_one_that_serves_nobody_afterwards_is_red(
        self, agent: Agent, world: World, patient: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        away = self.away(world)
        set_budget(monkeypatch, "JOIN_SECONDS", 0.12)
        world.routes = False
        with pytest.raises(NotObserved, match="kubectl to be routed to the agent again"):
            agent.lose_teleport(away)


class TestStaysUnknown:
    """An agent whom Teleport does not know any more, and who neither registers nor joins by itself."""

    @pytest.fixture(autouse=True)
    def a_short_while(self, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        set_budget(monkeypatch, "AWAY_SECONDS", 0.05)
        set_budget(monkeypatch, "FORGOTTEN_SECONDS", 0.5)
        TestLoseTeleport().away(world).__enter__()
        world.servers, world.events = [], []

    def test_nothing_is_seen_though_the_watch_could(self, agent: Agent, world: World, patient: None) -> None:
        assert agent.stays_unknown() == ([], [])
        # Before and after the watch.
        assert [made["kind"] for made in world.created] == ["role", "role"]

    def test_one_that_does_not_try_is_red(self, agent: Agent, world: World) -> None:
        world.agent_log = "INFO all is well"
        with pytest.raises(NotObserved, match="the agent to tell of trouble"):
            agent.stays_unknown()

    @pytest.mark.parametrize("does", ["registers", "joins"])
    def test_one_that_serves_by_itself_is_red(
        self, agent: Agent, world: World, patient: None, does: str
    ) -> None:
        # With the identity that it has, it needs no join; with a new one it is not registered at once.
        world.servers, world.events = ([server(HOST)], []) if does == "registers" else ([], [join(OTHER)])
        with pytest.raises(NotObserved, match=r"no kube_server of .*, and no instance\.join"):
            agent.stays_unknown()

    def test_where_the_audit_log_shows_nothing_nothing_is_known(
        self, agent: Agent, world: World, monkeypatch: pytest.MonkeyPatch, patient: None
    ) -> None:
        set_budget(monkeypatch, "SHOWN_SECONDS", 0.1)
        world.on_create = lambda _: world.events.clear()
        with pytest.raises(EnvironmentBroken, match=r"the control before it failed: .*the audit log to show"):
            agent.stays_unknown()

    def test_where_it_shows_nothing_any_more_nothing_is_known(
        self, agent: Agent, world: World, monkeypatch: pytest.MonkeyPatch, patient: None
    ) -> None:
        set_budget(monkeypatch, "SHOWN_SECONDS", 0.1)

        def create(_: dict[str, Any]) -> None:
            if len(world.created) > 1:
                world.events.pop()

        world.on_create = create
        with pytest.raises(EnvironmentBroken, match=r"the control after it failed: .*the audit log to show"):
            agent.stays_unknown()


class TestStartAnew:
    """Identity and pod deleted."""

    STATE = f"/api/v1/namespaces/{NAMES.namespace}/secrets/{NAMES.release}-0-state"

    def test_the_identity_goes_before_the_pod(self, agent: Agent, world: World, patient: None) -> None:
        def replaced() -> None:
            if world.deleted[-1] == POD:
                world.pod = pod("new")

        world.on_delete = replaced
        agent.start_anew()
        assert world.deleted == [self.STATE, POD]

    def test_a_pod_that_is_not_ready_is_red(self, agent: Agent, world: World) -> None:
        def replaced() -> None:
            if world.deleted[-1] == POD:
                world.pod = pod("new", ready=False)

        world.on_delete = replaced
        with pytest.raises(NotObserved, match="to be ready"):
            agent.start_anew()


@pytest.mark.usefixtures("patient")
class TestStaysOffAws:
    """A restart without any AWS call."""

    @pytest.fixture(autouse=True)
    def joined(self, world: World) -> None:
        world.aws = [challenge(), challenge()]
        world.on_delete = lambda: TestRestart().restart(world)
        world.on_assume = lambda session: world.aws.append(own_call(session))

    def test_no_call_is_seen_though_the_watch_could(self, agent: Agent, world: World) -> None:
        restarted = agent.restart()
        assert agent.stays_off_aws(restarted) == []
        assert len(world.aws) == 3  # the canary

    def test_a_call_of_the_restart_is_red(self, agent: Agent, world: World) -> None:
        restarted = agent.restart()
        world.aws.append(challenge(action="AssumeRoleWithWebIdentity"))
        with pytest.raises(NotObserved, match=f"no AWS call of role {NAMES.role} since the restart began"):
            agent.stays_off_aws(restarted)

    def test_where_the_canary_does_not_show_nothing_is_known(self, agent: Agent, world: World) -> None:
        world.on_assume = lambda _: None
        with pytest.raises(EnvironmentBroken, match=r"the control after it failed: .*on the gateway's log"):
            agent.stays_off_aws(agent.restart())

    def test_where_another_call_is_seen_and_not_the_canary_nothing_is_known(
        self, agent: Agent, world: World
    ) -> None:
        world.on_assume = lambda session: world.aws.append(own_call(f"not-{session[:-1]}"))
        with pytest.raises(EnvironmentBroken, match=r"the control after it failed: .*on the gateway's log"):
            agent.stays_off_aws(agent.restart())

    def test_where_the_mark_lies_beyond_all_that_is_to_come_nothing_is_known(
        self, agent: Agent, world: World
    ) -> None:
        restarted = replace(agent.restart(), mark=10_000)
        world.aws.append(challenge())  # which the watch can not see
        with pytest.raises(EnvironmentBroken, match=r"number 4 is not in the log after number 10000"):
            agent.stays_off_aws(restarted)

    def test_where_all_calls_came_after_the_mark_nothing_is_known(self, agent: Agent, world: World) -> None:
        restarted = replace(agent.restart(), mark=0)
        with pytest.raises(EnvironmentBroken, match="the control before it failed") as caught:
            agent.stays_off_aws(restarted)
        assert "no call of the role up to number 0" in str(caught.value)
        assert world.sessions == []

    def test_where_no_call_was_ever_seen_nothing_is_known(self, agent: Agent, world: World) -> None:
        world.aws = []
        with pytest.raises(EnvironmentBroken, match="the calls of the agent's first join"):
            agent.stays_off_aws(agent.restart())


class TestCallAws:
    """One call for the agent's role, known again on the log."""

    def test_the_record_is_that_of_this_very_call(self, agent: Agent, world: World) -> None:
        world.aws = [own_call("conformance-0")]  # an earlier one, before the mark

        def assume(session: str) -> None:
            world.aws += [challenge(), own_call(session, verdict="denied"), own_call("conformance-9")]

        world.on_assume = assume
        made = agent.call_aws()
        assert (made["seq"], made["verdict"]) == (3, "denied")
        assert world.sessions[0] in made["user_agent"]

    def test_it_is_waited_for(self, agent: Agent, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        set_budget(monkeypatch, "SHOWN_SECONDS", 20.0)
        looks: list[int] = []

        def later() -> None:
            looks.append(1)
            if len(looks) == 2:
                world.aws.append(own_call(world.sessions[-1]))

        world.on_calls = later
        assert agent.call_aws()["seq"] == 1

    def test_one_that_the_log_never_shows_is_told(self, agent: Agent, world: World) -> None:
        world.on_assume = lambda _: world.aws.append(challenge())
        with pytest.raises(NotObserved, match="the harness's call in session conformance-0"):
            agent.call_aws()


def test_answered_is_what_sts_said_to_the_auth_service(agent: Agent, world: World) -> None:
    node = {"account": "109876543210", "arn": ARN.replace(NAMES.role, "node")}
    world.aws = [
        own_call("conformance-0"),
        challenge(),
        challenge(verdict="denied"),
        challenge(signed_headers=["host"]),
        challenge(answer=node),
    ]
    assert agent.answered() == [(ACCOUNT, ARN), (node["account"], node["arn"])]
    world.aws = []
    assert agent.answered() == []


class TestPod:
    """Readiness of the pod."""

    def test_ready_is_what_the_condition_says(self, agent: Agent, world: World) -> None:
        assert agent.ready()["metadata"]["uid"] == "old"
        assert agent.pod_line() == ("1/1", "Running", 2)

    @pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff"])
    def test_what_can_not_come_any_more_is_red_at_once(
        self, agent: Agent, world: World, monkeypatch: pytest.MonkeyPatch, reason: str
    ) -> None:
        set_budget(monkeypatch, "READY_SECONDS", 60.0)
        world.pod = pod("old", ready=False, reason=reason, message="back-off 10s restarting failed container")
        with pytest.raises(NotObserved, match=f"{reason}: back-off 10s") as caught:
            agent.ready()
        assert "access denied" in str(caught.value)

    def test_one_that_waits_for_something_passing_is_waited_for(self, agent: Agent, world: World) -> None:
        world.pod = pod("old", ready=False, reason="ContainerCreating")
        with pytest.raises(NotObserved, match=r"waited: 0\.1"):
            agent.ready()

    @pytest.mark.parametrize("deleted", [True, False])
    def test_the_old_pod_does_not_count(self, agent: Agent, world: World, deleted: bool) -> None:
        world.pod = pod("old")
        if deleted:
            world.pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        with pytest.raises(NotObserved, match="to be ready"):
            agent.ready(other_than="" if deleted else "old")

    def test_no_pod_is_red(self, agent: Agent, world: World) -> None:
        world.pod = None
        with pytest.raises(NotObserved, match="no such pod"):
            agent.pod()


class TestLog:
    """The log of the agent."""

    @pytest.mark.parametrize(
        "failure",
        [RefusedError("GET log", 400, "container is waiting to start"), TransientOracleError("503")],
    )
    def test_where_there_is_none_to_read_it_is_empty(
        self, agent: Agent, world: World, failure: Exception
    ) -> None:
        world.agent_log = failure
        assert agent.log() == ""
        assert agent.last_error() == ""

    def test_a_text_is_waited_for(self, agent: Agent, world: World) -> None:
        assert "INFO ready" in agent.logs("access denied")
        with pytest.raises(NotObserved, match="the agent to log 'no such text'"):
            agent.logs("no such text")

    def test_each_role_that_logs_a_text_is_waited_for(self, agent: Agent, world: World) -> None:
        said = (
            "2026-01-01 ERRO [PROC:1] {} failed to establish connection to cluster: no rule, no rule. pid:1"
        )
        registering = "2026-01-01 INFO [AUTH] Failed to register {} using global STS endpoint error:[no rule"
        services = ["Instance", "Kube"]
        world.agent_log = "\n".join(said.format(service) for service in services)
        assert agent.roles_that_log("no rule", services) == services
        for lines in (
            [said.format("Kube")],
            # An attempt that is not over yet, and one that failed for another reason.
            [said.format("Kube"), registering.format("Instance")],
            [said.format("Kube"), said.format("Instance").replace("no rule", "no route")],
        ):
            world.agent_log = "\n".join(lines)
            with pytest.raises(NotObserved, match="attempt as each of Instance, Kube"):
                agent.roles_that_log("no rule", services)

    def test_no_log_is_asked_for_before_the_agent_runs(self, agent: Agent, world: World) -> None:
        world.pod = pod("old", ready=False, reason="ContainerCreating")
        for wait in (lambda: agent.logs("access denied"), lambda: agent.roles_that_log("denied", ["Kube"])):
            with pytest.raises(NotObserved, match=f"pod {NAMES.release}-0 to run"):
                wait()

    def test_the_last_line_of_trouble_is_the_last_error(self, agent: Agent, world: World) -> None:
        world.agent_log = (
            '{"level":"INFO"}\n2026-01-01 WARN first\n2026-01-01 ERROR second pid:1\nINFO ERRORS: 0\n'
        )
        assert agent.last_error() == "2026-01-01 ERROR second pid:1"


class TestHelm:
    """The release."""

    HELM = '#!/bin/sh\nprintf \'%s\\n\' "$@" >>"$HOME/helm"\n[ ! -e "$HOME/fail" ] || { echo \'Error: no\'; exit 1; }\n'

    @pytest.fixture
    def helm(
        self, agent: Agent, tmp_path: Path, env: dict[str, str], program: Callable[..., Path]
    ) -> Callable[[], list[str]]:
        folder = program(tmp_path / "bin", "helm", self.HELM).parent
        agent._env["PATH"] = f"{folder}:{agent._env['PATH']}"
        return lambda: (tmp_path / "home" / "helm").read_text().splitlines()

    def test_installing_gives_the_guides_values_and_those_that_differ(
        self, agent: Agent, helm: Callable[[], list[str]], tmp_path: Path
    ) -> None:
        agent.install({"kubeClusterName": "another", "extra": "1"})
        words = helm()
        assert words[:3] == ["install", NAMES.release, str(tmp_path / "teleport-kube-agent-13.4.2.tgz")]
        settings = {words[n + 1] for n, word in enumerate(words) if word == "--set"}
        assert settings == {
            "kubeClusterName=another",
            "extra=1",
            "roles=kube",
            "proxyAddr=tele.example.com:443",
            "joinParams.method=iam",
            f"joinParams.tokenName={NAMES.token}",
            "serviceAccount.create=false",
            f"serviceAccount.name={NAMES.service_account}",
        }
        assert words[-3:] == ["--create-namespace", "--namespace", NAMES.namespace]

    @pytest.mark.parametrize("hooks", [True, False])
    def test_what_is_rendered_without_the_cluster_is_applied(
        self,
        agent: Agent,
        helm: Callable[[], list[str]],
        tmp_path: Path,
        program: Callable[..., Path],
        *,
        hooks: bool,
    ) -> None:
        program(tmp_path / "bin", "helm", self.HELM.replace("exit 1; }", "exit 1; }; echo rendered"))
        program(tmp_path / "bin", "kubectl", '#!/bin/sh\necho "$*: $(cat)"\n')
        told = agent.apply_rendered({"extra": "1"}, hooks=hooks)
        words = helm()
        assert words[:2] == ["template", NAMES.release]
        assert "extra=1" in words
        assert "--create-namespace" not in words
        assert ("--no-hooks" in words) is not hooks
        assert told.stdout == (
            f"apply --validate=false --namespace {NAMES.namespace} --filename -: rendered\n"
        )

    def test_uninstalling_gives_hooks_their_time(self, agent: Agent, helm: Callable[[], list[str]]) -> None:
        agent.uninstall()
        assert helm() == ["uninstall", NAMES.release, "--namespace", NAMES.namespace, "--timeout=90s"]

    def test_a_failing_helm_is_told(
        self, agent: Agent, helm: Callable[[], list[str]], tmp_path: Path
    ) -> None:
        (tmp_path / "home" / "fail").touch()
        # The chart is the product's: a failure is a verdict, no breakdown.
        for name, act in (("install", agent.install), ("uninstall", agent.uninstall)):
            with pytest.raises(NotObserved, match=f"helm {name} to succeed\nseen: exit status 1: Error: no"):
                act()

    def test_clearing_waits_until_the_namespace_is_gone(
        self, agent: Agent, world: World, patient: None
    ) -> None:
        world.namespaces = [{"status": {"phase": "Terminating"}}] * 2
        agent.clear()
        assert world.namespaces == []
        assert world.deleted[-1] == f"/api/v1/namespaces/{NAMES.namespace}"

    def test_a_namespace_that_stays_is_told(self, agent: Agent, world: World) -> None:
        world.namespaces = [{"status": {"phase": "Terminating"}}] * 1000
        with pytest.raises(NotObserved, match=f"namespace {NAMES.namespace} of an earlier run to go"):
            agent.clear()

    def test_undoing_needs_neither_helm_nor_the_product(self, agent: Agent, world: World) -> None:
        agent.undo()
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        assert world.deleted == [
            f"/apis/apps/v1/namespaces/{NAMES.namespace}/statefulsets/{NAMES.release}",
            f"{rbac}/clusterroles/{NAMES.release}",
            f"{rbac}/clusterrolebindings/{NAMES.release}",
            f"{rbac}/clusterrolebindings/{NAMES.binding}",
            POD,
            f"/api/v1/namespaces/{NAMES.namespace}",
        ]


def test_a_pod_that_is_not_there_yet_is_waited_for(agent: Agent, world: World) -> None:
    world.pod = None
    with pytest.raises(NotObserved, match="pod teleport-agent"):
        agent.deployed()
    world.pod = pod("old", ready=False, reason="ContainerCreating")
    with pytest.raises(NotObserved, match="to run"):
        agent.deployed()
    world.pod = pod("old", ready=False, reason="ImagePullBackOff")
    with pytest.raises(NotObserved, match="ImagePullBackOff"):
        agent.deployed()
    world.pod = pod("old", ready=False)
    assert agent.deployed()["metadata"]["uid"] == "old"


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([HOST, HOST, OTHER, HOST], [HOST, HOST, OTHER]),
        ([OTHER, HOST], [OTHER, HOST]),
        ([HOST] * 100, [HOST] * agents.TIMES_ASKED),
        (["a third"] * 100, ["a third"] * agents.TIMES_ASKED),
    ],
)
def test_agents_are_asked_until_each_has_answered_or_often_enough(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, drawn: list[str], expected: list[str]
) -> None:
    answers = iter(drawn)
    monkeypatch.setattr(agent, "served_by", lambda: next(answers))
    assert agent.answering({HOST, OTHER}) == expected
