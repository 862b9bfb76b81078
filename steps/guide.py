"""What the reader of the guide types, and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, then, when

from harness import premises
from harness.guide.script import prints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.environment import Completed
    from harness.scenario import Scenario

STEP_1 = (
    "s1.policy",
    "s1.namespace",
    "s1.service-account",
    "s1.account-id",
    "s1.oidc-issuer",
    "s1.trust",
    "s1.annotate",
)
STEP_2 = ("s2.token", "s2.create")
STEP_3 = ("s3.repo", "s3.install")


@when("the reader runs the AWS CLI commands of step 1 as printed", target_fixture="outcome")
def step_1(scenario: Scenario) -> Completed:
    return scenario.workstation.guide(*STEP_1)


@when("the reader makes the token of step 2 as printed", target_fixture="outcome")
def step_2(scenario: Scenario) -> Completed:
    return scenario.workstation.guide("s1.account-id", *STEP_2)


@when("the reader follows steps 1 to 3 as they should read", target_fixture="outcome")
def steps_1_to_3(scenario: Scenario) -> Completed:
    return scenario.workstation.guide(*STEP_1, *STEP_2, *STEP_3, corrected=True)


@given("an edition with comments between the lines of the install command")
def commented_lines(scenario: Scenario) -> None:
    prints(scenario.description.guide_edition, "s3.install", " # use the existing service account # \\")


@when("the shell reads the install command as printed", target_fixture="outcome")
def read_as_printed(scenario: Scenario) -> Sequence[str]:
    return scenario.workstation.told("helm", "s3.install")


@when("the shell reads the install command as it should read", target_fixture="outcome")
def read_corrected(scenario: Scenario) -> Sequence[str]:
    return scenario.workstation.told("helm", "s3.install", corrected=True)


@then("Helm is told nothing after the first comment")
def lost(scenario: Scenario, outcome: Sequence[str]) -> None:
    assert premises.lost_to_helm(scenario, outcome) == premises.options_after_comment(scenario)


@then("Helm is told every value of the guide")
def nothing_lost(scenario: Scenario, outcome: Sequence[str]) -> None:
    assert premises.lost_to_helm(scenario, outcome) == set()


@then("no command failed")
def no_command_failed(outcome: Completed) -> None:
    assert (outcome.failed, outcome.exit_code) == ((), 0), outcome.stderr


@then("the IAM policy allows nothing but asking who one is")
def policy(scenario: Scenario) -> None:
    assert scenario.allowed_by_policy() == {("Allow", "sts:GetCallerIdentity", "*")}


@then("the IAM role trusts this service account alone")
def trust(scenario: Scenario) -> None:
    assert scenario.trusted_by_role() == scenario.trust_of_the_guide()


@then("a pod of the service account acts in that IAM role")
def pod_identity(scenario: Scenario) -> None:
    assert scenario.identity_of_a_pod() == (scenario.aws.account_id, scenario.names.role)


@then("the token lets the guide's services join by IAM and nothing else")
def token_method(scenario: Scenario) -> None:
    assert scenario.token_admits_by() == ("iam", premises.token_roles(scenario))


@then("the token admits no other account and role than those of step 1")
def token_rule(scenario: Scenario) -> None:
    assert scenario.token_admits() == ((scenario.aws.account_id, scenario.role_pattern()),)
