"""What a scenario arranges through its ports, and what it reads from them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from harness.adapters import clients
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.findings import FindingsOfScenario, current_findings
from harness.environment import Completed, Joined, Refusal, Routed
from harness.scenario import DENIED, DENIED_BY, IDENTITY_IMAGE, Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.scenario import Scenario

ACCOUNT = "111111111111"
PORTS = ("aws", "kubernetes", "teleport", "agent", "workstation")


def arranged(scenario: Scenario) -> list[Any]:
    """Collects from now on what is asked of all ports, in order."""
    all_ports = Mock()
    for name in PORTS:
        all_ports.attach_mock(getattr(scenario, name), name)
    return all_ports.mock_calls


def token_made(scenario: Scenario, **options: str) -> dict[str, Any]:
    """The joining token as it was handed to Teleport."""
    scenario.make_token(**options)
    [created] = scenario.teleport.create.call_args.args  # type: ignore[attr-defined]  # a mock
    resource: dict[str, Any] = created
    return resource


def names_called(calls: list[Any]) -> list[str]:
    return [name for name, _, _ in calls]


# Names


def test_unique_names_share_nothing_but_the_service_account() -> None:
    one, two, printed = (vars(names) for names in (Names.unique("aaa"), Names.unique("bbb"), Names.printed()))
    assert {name for name in one if one[name] == two[name]} == {"service_account"}
    assert {name for name in one if one[name] == printed[name]} == {"service_account"}
    assert all(value.startswith(printed[name]) for name, value in one.items())


def test_unique_names_are_fit_for_all_they_name() -> None:
    # A Kubernetes label has 63 characters, an IAM role's name 64, and the chart adds to the release.
    assert max(map(len, vars(Names.unique("a1b2c3")).values())) <= 40


# Arrangements


def test_a_service_account_gets_the_role_that_was_made(world: Callable[..., Scenario]) -> None:
    scenario = world(aws__create_role="arn:role")
    calls = arranged(scenario)
    scenario.make_service_account()
    assert calls == [
        call.kubernetes.create_namespace(),
        call.aws.create_role(),
        call.kubernetes.create_service_account("arn:role"),
    ]


@pytest.mark.parametrize(
    ("options", "account", "role"),
    [
        ({}, ACCOUNT, "kube-iam-role-abc"),
        ({"account_id": "2" * 12}, "2" * 12, "kube-iam-role-abc"),
        ({"role": "another"}, ACCOUNT, "another"),
    ],
)
def test_a_token_admits_one_account_and_role(
    world: Callable[..., Scenario], options: dict[str, str], account: str, role: str
) -> None:
    scenario = world()
    created = token_made(scenario, **options)
    assert (created["kind"], created["metadata"]["name"]) == ("token", scenario.names.token)
    # The ARN is of the run's own account, whatever the account.
    assert created["spec"] == {
        "roles": ["Kube"],
        "join_method": "iam",
        "allow": [{"aws_account": account, "aws_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/*"}],
    }


@pytest.mark.parametrize(
    ("differing", "key"),
    [({"account_id": "2" * 12}, "aws_account"), ({"role": "another"}, "aws_arn")],
)
def test_a_wrong_token_differs_from_an_admitting_one_in_one_thing_alone(
    world: Callable[..., Scenario], differing: dict[str, str], key: str
) -> None:
    admitting, wrong = token_made(world()), token_made(world(), **differing)
    [admitted], [refused] = admitting["spec"].pop("allow"), wrong["spec"].pop("allow")
    assert wrong == admitting
    assert {name for name in admitted | refused if admitted.get(name) != refused.get(name)} == {key}


def test_an_agent_is_deployed_after_its_account_and_token(world: Callable[..., Scenario]) -> None:
    scenario = world()
    calls = arranged(scenario)
    scenario.make_joined_agent()
    assert names_called(calls)[-3:] == ["teleport.create", "agent.install", "agent.joined"]
    assert "kubernetes.create_service_account" in names_called(calls)


def test_a_role_given_later_counts_after_signing_in_again(world: Callable[..., Scenario]) -> None:
    for again, expected in (
        (False, [("access",)]),
        (True, [("access",), ("access", "kube-access-abc")]),
    ):
        scenario = world(workstation__file={"kind": "role"})
        calls = arranged(scenario)
        scenario.make_user_given_guide_role(sign_in_again=again)
        signed_in = [options["with_roles"] for name, _, options in calls if name == "teleport.sign_in"]
        assert signed_in == expected
        order = names_called(calls)
        assert order.index("teleport.sign_in") < order.index("teleport.grant")
        assert call.teleport.grant("kube-access-abc") in calls
        assert call.teleport.create({"kind": "role"}) in calls


def test_a_bound_user_has_the_role_before_signing_in(world: Callable[..., Scenario]) -> None:
    scenario = world(workstation__file={"kind": "from the guide"})
    calls = arranged(scenario)
    scenario.make_bound_user()
    assert calls == [
        call.workstation.file("kube-access.yaml"),
        call.teleport.create({"kind": "from the guide"}),
        call.teleport.create_user(("access", "kube-access-abc")),
        call.teleport.sign_in(with_roles=("access", "kube-access-abc")),
        call.workstation.file("viewers-bind.yaml"),
        call.kubernetes.apply({"kind": "from the guide"}),
        call.kubernetes.wait_allowed("list", "pods", ["viewers-abc"]),
    ]


def test_a_serving_agent_has_joined_and_has_a_user(world: Callable[..., Scenario]) -> None:
    scenario = world(workstation__file={})
    calls = arranged(scenario)
    scenario.make_serving_agent()
    order = names_called(calls)
    assert order.index("agent.joined") < order.index("teleport.sign_in") < order.index("kubernetes.apply")


def call_of_the_role(verdict: str, reason: str = "") -> dict[str, Any]:
    return {"seq": 1, "action": "AssumeRoleWithWebIdentity", "verdict": verdict, "reason": reason}


def test_a_denied_role_is_seen_to_be_denied(world: Callable[..., Scenario]) -> None:
    scenario = world(agent__call_aws=call_of_the_role("denied", f"denied for role r {DENIED_BY}"))
    calls = arranged(scenario)
    scenario.deny_role()
    assert calls == [call.aws.deny(DENIED), call.agent.call_aws()]


@pytest.mark.parametrize(
    "seen",
    [
        call_of_the_role("allowed"),
        call_of_the_role("allowed", f"something {DENIED_BY}"),
        call_of_the_role("denied", "the trust policy does not allow this"),
        call_of_the_role("refused", "not served here"),
    ],
    ids=lambda seen: f"{seen['verdict']} {seen['reason']}",
)
def test_a_role_that_is_not_denied_for_that_reason_breaks_the_environment(
    world: Callable[..., Scenario], seen: dict[str, Any]
) -> None:
    with pytest.raises(EnvironmentBroken) as caught:
        world(agent__call_aws=seen).deny_role()
    assert f"{seen['verdict']} {seen['reason']}" in caught.value.seen


def test_a_denial_that_the_log_does_not_show_is_no_denial(world: Callable[..., Scenario]) -> None:
    with pytest.raises(NotObserved, match="not on the log"):
        world(agent__call_aws__each=NotObserved("not on the log")).deny_role()


def test_a_token_that_is_there_is_removed_and_seen_to_be_gone(world: Callable[..., Scenario]) -> None:
    scenario = world(teleport__get={"kind": "token"})
    calls = arranged(scenario)
    scenario.remove_token()
    reference = "token/kube-iam-token-abc"
    assert calls == [call.teleport.get(reference), call.teleport.remove(reference, wait=True)]


def test_a_token_that_was_not_there_cannot_be_removed(world: Callable[..., Scenario]) -> None:
    scenario = world(teleport__get=None)
    calls = arranged(scenario)
    with pytest.raises(AssertionError, match="token kube-iam-token-abc in Teleport"):
        scenario.remove_token()
    assert names_called(calls) == ["teleport.get"]


def test_a_token_that_stays_is_not_swallowed(world: Callable[..., Scenario]) -> None:
    with pytest.raises(NotObserved, match="still there"):
        world(teleport__get={}, teleport__remove__each=NotObserved("still there")).remove_token()


def test_an_agent_does_without_its_node_or_teleport_as_the_environment_has_them_away(
    world: Callable[..., Scenario],
) -> None:
    scenario = world(
        agent__lose_node="works again",
        agent__lose_teleport="serves again",
        disruption__node_away="no node",
        disruption__teleport_away="no Teleport",
    )
    calls = arranged(scenario)
    assert (scenario.restart_node(), scenario.miss_teleport()) == ("works again", "serves again")
    assert calls == [call.agent.lose_node("no node"), call.agent.lose_teleport("no Teleport")]


def test_a_teleport_without_its_data_lasts_until_the_scenario_ends(world: Callable[..., Scenario]) -> None:
    happened: list[str] = []

    @contextlib.contextmanager
    def without() -> Iterator[None]:
        happened.append("lost")
        yield
        happened.append("back")

    scenario = world(teleport__get=None, disruption__teleport_without_data=without())
    calls = arranged(scenario)
    scenario.lose_data_of_teleport()
    assert happened == ["lost"]
    assert names_called(calls) == ["teleport.get", "teleport.create"]
    assert calls[1].args[0]["kind"] == "token"
    scenario.until_end.close()
    assert happened == ["lost", "back"]


def test_a_teleport_that_knows_the_token_has_its_data(world: Callable[..., Scenario]) -> None:
    scenario = world(
        teleport__get={"kind": "token"}, disruption__teleport_without_data=contextlib.nullcontext()
    )
    with pytest.raises(EnvironmentBroken, match="to know no token"):
        scenario.lose_data_of_teleport()


def test_an_agent_that_starts_anew_serves_a_user_made_anew(world: Callable[..., Scenario]) -> None:
    joined = Joined(host_id="new", version="13.0.0", methods={}, identity_keys=())
    scenario = world(agent__host_id="old", agent__joined=joined, agent__served_by="new")
    calls = arranged(scenario)
    assert scenario.served_anew() == ("old", "new", "new")
    assert [name for name in names_called(calls) if name in ("agent.start_anew", "teleport.sign_in")] == [
        "agent.start_anew",
        "teleport.sign_in",
    ]
    assert names_called(calls)[:3] == ["agent.host_id", "agent.start_anew", "agent.joined"]
    assert names_called(calls)[-1] == "agent.served_by"


@pytest.mark.parametrize(
    ("port", "disrupt"),
    [
        ("teleport_away", lambda scenario: scenario.take_teleport_away()),
        ("teleport_with_tunnel_at", lambda scenario: scenario.lead_tunnel_to("127.0.0.1:9")),
        ("teleport_without_kubernetes", lambda scenario: scenario.switch_kubernetes_off()),
    ],
)
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "not ended"])
def test_a_disruption_lasts_until_it_is_ended_or_the_scenario_is(
    world: Callable[..., Scenario], port: str, disrupt: Callable[[Scenario], None], *, ended: bool
) -> None:
    happened: list[str] = []

    @contextlib.contextmanager
    def during() -> Iterator[None]:
        happened.append("begun")
        yield
        happened.append("over")

    scenario = world(**{f"disruption__{port}": during()})
    disrupt(scenario)
    assert happened == ["begun"]
    if ended:
        scenario.end_disruption()
        assert happened == ["begun", "over"]
    scenario.until_end.close()
    assert happened == ["begun", "over"]


def test_where_nothing_can_be_disrupted_the_environment_is_to_blame(world: Callable[..., Scenario]) -> None:
    scenario = replace(world(), disruption=None)
    for disrupt in (
        scenario.restart_node,
        scenario.miss_teleport,
        scenario.lose_data_of_teleport,
        scenario.take_teleport_away,
        scenario.switch_kubernetes_off,
    ):
        with pytest.raises(EnvironmentBroken, match="lab, which offers nothing of the kind"):
            disrupt()
    assert names_called(arranged(scenario)) == []


# Readings


@pytest.mark.parametrize(("account", "other"), [(ACCOUNT, "111111111112"), ("9" * 12, "0" * 12)])
def test_another_account_is_an_account(world: Callable[..., Scenario], account: str, other: str) -> None:
    assert world(aws__account_id=account).other_account_id() == other


def test_a_pod_of_the_service_account_is_asked_who_it_is(world: Callable[..., Scenario]) -> None:
    answer = {"Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"}
    scenario = world(kubernetes__run_pod=json.dumps(answer))
    calls = arranged(scenario)
    assert scenario.identity_of_a_pod() == (ACCOUNT, "r")
    assert calls == [
        call.kubernetes.run_pod("who-am-i", IDENTITY_IMAGE, ["sts", "get-caller-identity"], environment=None)
    ]


def test_the_pods_image_is_the_one_that_the_lab_knows() -> None:
    assert IDENTITY_IMAGE == clients.AWS_CLI_IMAGE


def test_who_was_seen_by_the_api_server(world: Callable[..., Scenario]) -> None:
    scenario = world(
        kubernetes__audit=[
            {"user": {"username": "agent"}, "impersonatedUser": {"username": "u", "groups": ["b", "a"]}},
            {"user": {"username": "agent"}, "impersonatedUser": {"username": "u", "groups": ["a", "b"]}},
            {"user": {"username": "u"}},
        ]
    )
    calls = arranged(scenario)
    assert scenario.seen_by_api_server() == {("agent", "u", ("a", "b")), ("u", "", ())}
    assert calls == [call.kubernetes.audit("alice-abc")]
    scenario.seen_by_api_server("kubernetes-bob")
    assert calls[1:] == [call.kubernetes.audit("kubernetes-bob")]


def test_the_refusal_is_read_without_discovery(world: Callable[..., Scenario]) -> None:
    scenario = world(workstation__kubectl=Routed(Completed("", 1, "", "no"), (), ()))
    calls = arranged(scenario)
    assert scenario.refusal_told_to_the_user("no") == "no"
    path = "/api/v1/namespaces/teleport-agent-abc/pods"
    assert calls == [call.workstation.kubectl("get", "--raw", path)]


def test_what_is_refused_is_tried_in_the_agents_namespace(world: Callable[..., Scenario]) -> None:
    def answer(code: int) -> Routed:
        record = {"responseStatus": {"code": code}, "objectRef": {"resource": "r"}}
        return Routed(Completed("", 1, "", ""), (), (record,))

    scenario = world(workstation__kubectl__each=[answer(200), answer(403)])
    calls = arranged(scenario)
    assert scenario.refused_to_the_user() == ("get secrets",)
    assert [arguments[:2] for _, arguments, _ in calls] == [("delete", "pod"), ("get", "secrets")]
    assert all(arguments[-1] == "teleport-agent-abc" for _, arguments, _ in calls)


# Values that ports give


@pytest.mark.parametrize(
    ("answered", "allowed", "cause"),
    [
        (("1", "arn:aws:sts::1:assumed-role/a/s"), ("1", "arn:aws:sts::1:assumed-role/a/*"), "none"),
        (("1", "arn:aws:sts::1:assumed-role/a/s"), ("1", "arn:aws:sts::1:assumed-role/b/*"), "arn"),
        (("1", "arn:aws:sts::1:assumed-role/a/s"), ("2", "arn:aws:sts::1:assumed-role/a/*"), "account"),
        (("1", "arn:aws:sts::1:assumed-role/ab/s"), ("1", "arn:aws:sts::1:assumed-role/a?/s"), "none"),
        (("1", "arn:aws:sts::1:assumed-role/a/s"), ("1", "arn:aws:sts::1:assumed-role/a."), "arn"),
    ],
)
def test_the_cause_of_a_refusal(answered: tuple[str, str], allowed: tuple[str, str], cause: str) -> None:
    assert Refusal((answered,), (allowed,), ()).cause == cause


def test_discovery_is_no_answer_to_a_call() -> None:
    records = (
        {"responseStatus": {"code": 200}, "objectRef": {}},
        {"responseStatus": {"code": 403}, "objectRef": {"resource": "pods"}},
    )
    assert Routed(Completed("", 1, "", ""), (), records).response_codes() == {403}


def test_a_reason_that_kubectl_hides_is_a_finding(world: Callable[..., Scenario]) -> None:
    scenario = world(workstation__kubectl=Routed(Completed("", 1, "", "the reason"), (), ()))
    findings = FindingsOfScenario("access.no-groups")
    token = current_findings.set(findings)
    try:
        scenario.refusal_told_to_the_user("the reason\n")
        assert findings.noted == []
        scenario.refusal_told_to_the_user("noise\nNotFound\n")
    finally:
        current_findings.reset(token)
    assert [(finding.of, finding.claim) for finding in findings.noted] == [
        ("product", "ts.need-user-or-group")
    ]
    assert "'NotFound'" in findings.noted[0].text
