"""What the prerequisites and the other ways of step 1 arrange through the ports, and what they find."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from harness.core.errors import NotApplicable, Withheld
from harness.core.findings import FindingsOfScenario, current_findings
from harness.environment import Completed
from harness.premises import (
    administer,
    follow_eksctl,
    issuer_printed,
    left_by_a_new_shell,
    lost_to_helm,
    make_service_account_without_provider,
    named_and_meant,
    require_eksctl,
    roles_admitted_beside,
    sign_in_and_ask_status,
    state_written_by,
    variables_of_step_1,
    versions_of_clients,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

ACCOUNT = "111111111111"
PORTS = ("aws", "kubernetes", "teleport", "agent", "workstation")


def arranged(scenario: Scenario) -> list[Any]:
    """Collects from now on what is asked of all ports, in order."""
    all_ports = Mock()
    for name in PORTS:
        all_ports.attach_mock(getattr(scenario, name), name)
    return all_ports.mock_calls


def names_called(calls: list[Any]) -> list[str]:
    return [name for name, _, _ in calls]


EKSCTL = ["create", "iamserviceaccount", "--name", "sa", "--attach-policy-arn", "arn:p", "--role-name", "r"]


def found(act: Callable[[], object]) -> list[tuple[str, str]]:
    """Whose findings an act leaves, and about what."""
    findings = FindingsOfScenario("s")
    token = current_findings.set(findings)
    try:
        act()
    finally:
        current_findings.reset(token)
    return [(finding.of, finding.claim) for finding in findings.noted]


def test_what_eksctl_is_told_is_done(world: Callable[..., Scenario]) -> None:
    scenario = world(workstation__told=EKSCTL, aws__create_role="arn:role", aws__attach_policy="")
    calls = arranged(scenario)
    assert found(lambda: follow_eksctl(scenario, corrected=True)) == []
    assert calls == [
        call.workstation.told("eksctl", "s1.eksctl", corrected=True),
        call.kubernetes.create_namespace(),
        call.aws.create_role(name="r", service_account="sa"),
        call.aws.attach_policy("arn:p"),
        call.kubernetes.create_service_account("arn:role", labels={"app.kubernetes.io/managed-by": "eksctl"}),
    ]


def test_eksctl_leaves_no_account_where_iam_refuses(world: Callable[..., Scenario]) -> None:
    scenario = world(workstation__told=EKSCTL, aws__attach_policy="NoSuchEntity")
    calls = arranged(scenario)
    assert found(lambda: follow_eksctl(scenario, corrected=False)) == [("guide", "s1.eksctl")]
    assert "kubernetes.create_service_account" not in names_called(calls)
    assert follow_eksctl(world(workstation__told=EKSCTL, aws__attach_policy="x"), corrected=False) == "x"


def test_a_role_without_provider_is_of_another_account(world: Callable[..., Scenario]) -> None:
    scenario = world()
    make_service_account_without_provider(scenario)
    scenario.kubernetes.create_service_account.assert_called_once_with(  # type: ignore[attr-defined]  # a mock
        "arn:aws:iam::111111111112:role/kube-iam-role-abc"
    )


def test_a_reader_knows_account_and_provider(world: Callable[..., Scenario]) -> None:
    scenario = world(kubernetes__issuer="https://oidc.example/id/X")
    known = {"account_id": ACCOUNT, "oidc_provider": "oidc.example/id/X"}
    assert variables_of_step_1(scenario) == known
    assert variables_of_step_1(scenario, region="cn-north-1") == {**known, "AWS_DEFAULT_REGION": "cn-north-1"}


def test_what_tctl_was_refused_beside_the_auth_service(world: Callable[..., Scenario]) -> None:
    fine, refused = Completed("", 0, "", ""), Completed("", 1, "", "access denied")
    assert administer(world(teleport__administer=fine)) == ()
    scenario = world(teleport__administer__each=[fine, refused])
    assert administer(scenario) == ("read users, roles and tokens",)


def test_who_signs_in_then_runs_what_is_printed(world: Callable[..., Scenario]) -> None:
    scenario = world()
    calls = arranged(scenario)
    sign_in_and_ask_status(scenario)
    assert calls == [
        call.teleport.sign_in(with_roles=("access", "editor")),
        call.workstation.guide("pre.login"),
    ]


@pytest.mark.parametrize(
    ("simulated", "operations", "noted"),
    [
        (False, ["Apply"], [("guide", "pre.kubernetes-version")]),
        (True, ["Apply"], []),
        (False, ["Update"], []),
    ],
)
def test_how_the_state_was_written(
    world: Callable[..., Scenario], simulated: bool, operations: list[str], noted: list[tuple[str, str]]
) -> None:
    entries = [{"operation": operation} for operation in operations]
    scenario = world(kubernetes__secret={"metadata": {"managedFields": entries}})
    components = scenario.description.components
    teleport = replace(components["teleport"], simulated=simulated)
    scenario = replace(scenario, description=replace(scenario.description, components={"teleport": teleport}))
    assert state_written_by(scenario) == set(operations)
    assert found(lambda: state_written_by(scenario)) == noted
    assert state_written_by(world(kubernetes__secret=None)) == set()


def test_defects_of_the_guide_are_findings(world: Callable[..., Scenario]) -> None:
    account = {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:x"}}}
    token: dict[str, Any] = {"spec": {"allow": []}}
    scenario = world(kubernetes__service_account=account, aws__has_role=False, teleport__get=token)
    assert found(lambda: named_and_meant(scenario)) == [("guide", "s1.annotate")]
    assert found(lambda: left_by_a_new_shell(scenario)) == [("guide", "s1.account-id")]
    assert found(lambda: issuer_printed("None\n")) == [("guide", "s1.oidc-empty")]
    assert found(lambda: lost_to_helm(scenario, [])) == [("guide", "s3.install")]
    assert found(lambda: issuer_printed("")) == []
    same = world(kubernetes__service_account=account, aws__has_role=True, aws__role={"Arn": "arn:x"})
    assert found(lambda: named_and_meant(same)) == []


def test_a_download_that_was_not_made_is_told(world: Callable[..., Scenario]) -> None:
    assert found(lambda: versions_of_clients(world())) == [("environment", "pre.clients")]


def test_eksctl_needs_cloudformation(world: Callable[..., Scenario]) -> None:
    scenario = world()
    with pytest.raises(Withheld, match="CloudFormation"):
        require_eksctl(scenario)
    scenario = world(workstation__require__each=NotApplicable("tool-absent", "no eksctl"))
    with pytest.raises(NotApplicable):
        require_eksctl(scenario)
    able = replace(scenario.description, capabilities=frozenset({"cloudformation"}))
    require_eksctl(replace(world(), description=able))


def test_what_else_a_token_admits_is_a_finding(world: Callable[..., Scenario]) -> None:
    meant = f"arn:aws:sts::{ACCOUNT}:assumed-role/kube-iam-role-abc/*"
    rules = [{"aws_account": ACCOUNT, "aws_arn": arn} for arn in (meant, "arn:x")]
    scenario = world(teleport__get={"spec": {"allow": rules}})
    assert roles_admitted_beside(scenario) == ("arn:x",)
    assert found(lambda: roles_admitted_beside(scenario)) == [("guide", "s2.token")]
