"""Step 1 in other ways than the AWS CLI's in bash: eksctl, zsh, a new shell, another partition, a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, then, when

from harness import premises
from harness.scenario import identity_in
from steps.guide import STEP_1, STEP_2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.environment import Completed
    from harness.scenario import Scenario

IN_CHINA = "cn-north-1"
NEW_SHELL = ("s1.annotate", "s2.token", "s2.create")
ROLE = ("s1.account-id", "s1.trust", "s1.annotate")


@given("a service account without an IAM role")
def plain_service_account(scenario: Scenario) -> None:
    premises.make_service_account_without_role(scenario)


@given("a node with an IAM role of its own", target_fixture="node")
def node(scenario: Scenario) -> Mapping[str, str]:
    return scenario.aws.create_node()


@given("an EKS cluster without an OIDC provider", target_fixture="cluster")
def cluster_without_provider(scenario: Scenario) -> str:
    return scenario.aws.create_cluster_without_issuer()


@given("a machine with eksctl, in an account where it can work")
def eksctl_there(scenario: Scenario) -> None:
    premises.require_eksctl(scenario)


@given("the IAM policy of step 1")
def policy_there(scenario: Scenario) -> None:
    scenario.aws.create_policy()


@given("an AWS account in China")
def in_china(scenario: Scenario) -> None:
    scenario.aws.move_to(IN_CHINA)


@when("a pod of the service account on that node asks AWS who it is", target_fixture="outcome")
def ask_on_node(scenario: Scenario, node: Mapping[str, str]) -> str:
    return scenario.log_of_a_pod(node)


@when("the reader asks for the issuer of that cluster as printed", target_fixture="outcome")
def ask_issuer(scenario: Scenario, cluster: str) -> Completed:
    return scenario.workstation.guide("s1.oidc-issuer", instead={"kube-cluster": cluster})


@when("the reader runs eksctl as it should read", target_fixture="outcome")
def run_eksctl(scenario: Scenario) -> Completed:
    return scenario.workstation.guide("s1.eksctl", corrected=True)


@when("what eksctl is told as printed is done", target_fixture="outcome")
def eksctl_as_printed(scenario: Scenario) -> str:
    return premises.follow_eksctl(scenario, corrected=False)


@when("what eksctl is told as it should read is done")
def eksctl_corrected(scenario: Scenario) -> None:
    premises.follow_eksctl(scenario, corrected=True)


@when("the reader goes on from the variables of step 1 as printed, in zsh", target_fixture="outcome")
def zsh_as_printed(scenario: Scenario) -> Completed:
    return scenario.workstation.guide(  # noqa: S604  # the workstation's own parameter, with a fixed value
        "s1.trust",
        "s1.annotate",
        shell="zsh",
        variables=premises.variables_of_step_1(scenario),
    )


@when("the reader runs the AWS CLI commands of step 1 as they should read, in zsh", target_fixture="outcome")
def zsh_corrected(scenario: Scenario) -> Completed:
    return scenario.workstation.guide(  # noqa: S604  # the workstation's own parameter, with a fixed value
        *STEP_1,
        shell="zsh",
        corrected=True,
    )


@when(
    "the reader annotates the account and makes the token in a new shell as printed", target_fixture="outcome"
)
def new_shell_as_printed(scenario: Scenario) -> Completed:
    return scenario.workstation.guide(*NEW_SHELL)


@when(
    "the reader annotates the account and makes the token in a new shell as it should read",
    target_fixture="outcome",
)
def new_shell_corrected(scenario: Scenario) -> Completed:
    return scenario.workstation.guide(*NEW_SHELL, corrected=True)


@when("the reader makes the role and annotates the account as printed", target_fixture="outcome")
def partition_as_printed(scenario: Scenario) -> Completed:
    variables = premises.variables_of_step_1(scenario, region=IN_CHINA)
    return scenario.workstation.guide("s1.trust", "s1.annotate", variables=variables)


@when("the reader makes the role and annotates the account as they should read", target_fixture="outcome")
def partition_corrected(scenario: Scenario) -> Completed:
    variables = premises.variables_of_step_1(scenario, region=IN_CHINA)
    return scenario.workstation.guide(*ROLE, corrected=True, variables=variables)


@when("the reader makes the token of step 2 as printed, in zsh", target_fixture="outcome")
def token_as_printed_in_zsh(scenario: Scenario) -> Completed:
    return scenario.workstation.guide(  # noqa: S604  # the workstation's own parameter, with a fixed value
        *STEP_2, shell="zsh", variables=premises.variables_of_step_1(scenario)
    )


@when("the reader makes the token of step 2 as it should read, in zsh", target_fixture="outcome")
def token_corrected_in_zsh(scenario: Scenario) -> Completed:
    return scenario.workstation.guide(  # noqa: S604  # the workstation's own parameter, with a fixed value
        *STEP_2,
        shell="zsh",
        corrected=True,
        variables=premises.variables_of_step_1(scenario) | {"partition": "aws"},
    )


@then("the token admits another role than that of step 1")
def token_mangled(scenario: Scenario) -> None:
    assert premises.roles_admitted_beside(scenario) != ()


@then("its IAM role has no permission")
@then("the IAM role has no permission")
def no_permission(scenario: Scenario) -> None:
    assert scenario.aws.permissions() == []


@then("the IAM role has the policy of step 1 and no other")
def own_policy(scenario: Scenario) -> None:
    assert scenario.aws.permissions() == [premises.policy_arn(scenario)]


@then("AWS told the pod that it is the node")
def is_node(scenario: Scenario, outcome: str) -> None:
    assert identity_in(outcome) == (scenario.aws.account_id, scenario.names.node_role)


@then("AWS told the pod that it is in the service account's role")
def is_own_role(scenario: Scenario, outcome: str) -> None:
    assert identity_in(outcome) == (scenario.aws.account_id, scenario.names.role)


@then("no issuer is printed")
def no_issuer(outcome: Completed) -> None:
    assert premises.issuer_printed(outcome.stdout) == ""


@then("IAM knows no policy of the printed ARN")
def no_such_policy(outcome: str) -> None:
    assert outcome == "NoSuchEntity"


@then("IAM makes no role of the trust policy")
def no_role(scenario: Scenario, outcome: Completed) -> None:
    assert (scenario.aws.has_role(), "MalformedPolicyDocument" in outcome.stderr) == (False, True)


@then("the service account names something else than the IAM role")
def named_wrongly(scenario: Scenario) -> None:
    named, meant = premises.named_and_meant(scenario)
    assert named not in {"", meant}


@then("the service account names the IAM role")
def named_rightly(scenario: Scenario) -> None:
    named, meant = premises.named_and_meant(scenario)
    assert named == meant


@then("the service account and the token name no AWS account")
def no_account(scenario: Scenario) -> None:
    role = scenario.names.role
    rule = ("", f"arn:aws:sts:::assumed-role/{role}/*")
    assert premises.left_by_a_new_shell(scenario) == (f"arn:aws:iam:::role/{role}", (rule,))


@then("the shell says which variable is missing")
def variable_missing(outcome: Completed) -> None:
    assert (outcome.exit_code != 0, "account_id" in outcome.stderr or "partition" in outcome.stderr) == (
        True,
        True,
    )


@then("neither an IAM role was named nor a token made")
def nothing_left(scenario: Scenario) -> None:
    token = scenario.teleport.get(f"token/{scenario.names.token}")
    assert (premises.annotated_role(scenario), token) == ("", None)
