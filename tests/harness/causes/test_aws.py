"""What is wrong in each set-up of the family `aws`, and that mending is what the guide says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.causes import course
from harness.causes.aws import CAUSES, denied_to_teleport
from harness.failures.table import failure_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

ISSUER = "oidc.example.com/id/1"
PRINTED = {
    "Effect": "Allow",
    "Principal": {"Federated": f"arn:aws:iam::111111111111:oidc-provider/{ISSUER}"},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {
        "StringEquals": {
            f"{ISSUER}:aud": "sts.amazonaws.com",
            f"{ISSUER}:sub": "system:serviceaccount:n:teleport-kube-agent-sa",
        }
    },
}
TRUST = {
    "trust-audience-differs": "Condition",
    "trust-principal-differs": "Principal",
    "trust-operator-differs": "Condition",
    "trust-action-differs": "Action",
}


@pytest.mark.parametrize("name", TRUST)
def test_a_trust_policy_is_wrong_in_one_place_and_mended_as_printed(
    world: Callable[..., Scenario], name: str
) -> None:
    scenario: Any = world(aws__trust=PRINTED, aws__create_role="arn:aws:iam::111111111111:role/r")
    CAUSES[name].make(scenario)
    (wrong,), _ = scenario.aws.set_trust.call_args
    assert [key for key in PRINTED if wrong[key] != PRINTED[key]] == [TRUST[name]]
    CAUSES[name].mend(scenario)
    assert scenario.aws.set_trust.call_args.args == (PRINTED,)


def test_without_an_issuer_nothing_names_one(world: Callable[..., Scenario]) -> None:
    scenario: Any = world(aws__trust=PRINTED, aws__create_role="arn:aws:iam::111111111111:role/r")
    CAUSES["issuer-empty"].make(scenario)
    (wrong,), _ = scenario.aws.set_trust.call_args
    assert ISSUER not in str(wrong)
    assert set(wrong["Condition"]["StringEquals"]) == {"None:aud", "None:sub"}


def test_zsh_eats_what_was_seen(world: Callable[..., Scenario]) -> None:
    scenario: Any = world()
    CAUSES["annotation-eaten-by-zsh"].make(scenario)
    (account,), _ = scenario.kubernetes.apply.call_args
    role = scenario.names.role
    assert account["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": f"arn:aws:iam::111111111111ole/{role}"
    }


def test_keys_reach_the_pod_by_a_secret(world: Callable[..., Scenario]) -> None:
    scenario: Any = world(
        aws__keys_of_a_user={"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two"},
        aws__create_role="arn:aws:iam::111111111111:role/r",
    )
    CAUSES["static-keys"].make(scenario)
    (secret,), _ = scenario.kubernetes.apply.call_args
    assert secret["stringData"] == {"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two"}
    values = CAUSES["static-keys"].values(scenario)
    assert not {"one", "two"} & set(values.values())
    assert values["extraEnv[1].valueFrom.secretKeyRef.name"] == secret["metadata"]["name"]


def test_what_is_late_is_done_after_the_deployment(world: Callable[..., Scenario]) -> None:
    scenario: Any = world()
    scenario.kubernetes.create_service_account.side_effect = lambda _: scenario.agent.deployed.assert_called()
    course.deploy(scenario, failure_named("annotation-after-install"))
    scenario.kubernetes.create_service_account.assert_called_once()
    scenario.agent.install.assert_called_once()


def test_who_was_told_once_was_not_denied(world: Callable[..., Scenario]) -> None:
    denied = {"action": "GetCallerIdentity", "verdict": "denied", "code": "X"}
    told = {"action": "GetCallerIdentity", "verdict": "allowed", "code": ""}
    assert denied_to_teleport(world(aws__calls=[denied])) == {"X"}
    assert denied_to_teleport(world(aws__calls=[denied, told])) == set()
