"""Words of the prerequisites and of step 1 in its other ways: eksctl, zsh, a new shell, another partition.

As in `Scenario`, each is made of port calls only; they take the scenario because they are many.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from harness.core.errors import Withheld
from harness.core.findings import note
from harness.guide.editions import TOKEN_ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.environment import Completed
    from harness.scenario import Scenario


def make_service_account_without_role(scenario: Scenario) -> None:
    """Namespace and service account before step 1 names it an IAM role."""
    scenario.kubernetes.create_namespace()
    scenario.kubernetes.create_service_account(None)


def make_service_account_without_provider(scenario: Scenario) -> None:
    """A service account with a role of an account that has no OIDC provider (claim pre.oidc-provider)."""
    scenario.kubernetes.create_namespace()
    scenario.kubernetes.create_service_account(role_arn(scenario, account_id=scenario.other_account_id()))


def follow_eksctl(scenario: Scenario, *, corrected: bool) -> str:
    """Does through APIs what eksctl does when told what step 1 tells it (claim s1.eksctl).

    A role that trusts the service account, the policy attached, then the service account. eksctl leaves
    no account behind where its stack with the role fails.

    Args:
        scenario: Whose names and ports are used.
        corrected: Told as it should read, or as printed.

    Returns:
        The code with which IAM refused the policy, or an empty text.
    """
    told = scenario.workstation.told("eksctl", "s1.eksctl", corrected=corrected)
    option = dict(pairwise(told))
    scenario.kubernetes.create_namespace()
    role = scenario.aws.create_role(name=option["--role-name"], service_account=option["--name"])
    refused = scenario.aws.attach_policy(option["--attach-policy-arn"])
    if refused:
        note("guide", "s1.eksctl", f"IAM refuses {option['--attach-policy-arn']}: {refused}")
    else:
        scenario.kubernetes.create_service_account(role, labels={"app.kubernetes.io/managed-by": "eksctl"})
    return refused


def make_user(scenario: Scenario) -> None:
    """A local user who may edit resources, not signed in."""
    scenario.teleport.create_user(("access", "editor"))


def sign_in_and_ask_status(scenario: Scenario) -> Completed:
    """Signs that user in, as the prerequisites print it, and runs `tctl status` (claim pre.login).

    `tsh login` stands in the printed text once more and finds the user signed in: it reads a password
    from a terminal only.
    """
    scenario.teleport.sign_in(with_roles=("access", "editor"))
    return scenario.workstation.guide("pre.login")


def administer(scenario: Scenario) -> tuple[str, ...]:
    """Uses `tctl` beside the Auth Service without signing in; what it was refused (pre.tctl-on-auth-host)."""
    role = {
        "kind": "role",
        "version": "v5",
        "metadata": {"name": scenario.names.access_role},
        "spec": {"allow": {"logins": ["nobody"]}},
    }
    tried = {
        "create a role": scenario.teleport.administer("create", resource=role),
        "read users, roles and tokens": scenario.teleport.administer("get", "users,roles,tokens"),
    }
    return tuple(name for name, completed in tried.items() if completed.exit_code != 0)


def tctl_elsewhere(scenario: Scenario) -> tuple[str, str]:
    """What becomes of `tctl get users` on the reader's machine before and after signing in as an editor."""

    def asked() -> str:
        return "refused" if scenario.workstation.run("tctl get users\n").failed else "answered"

    before = asked()
    roles = ("access", "editor")
    scenario.teleport.create_user(roles)
    scenario.teleport.sign_in(with_roles=roles)
    return before, asked()


def token_roles(scenario: Scenario) -> tuple[str, ...]:
    """The roles that the edition's token of step 2 allows (claim s2.token)."""
    return TOKEN_ROLES[scenario.description.guide_edition]


def options_after_comment(scenario: Scenario) -> set[str]:
    """What edition 13's install command says after its first comment (claim s3.install)."""
    names = scenario.names
    return {
        f"serviceAccount.name={names.service_account}",
        "--create-namespace",
        f"--namespace={names.namespace}",
        scenario.workstation.guide_version,
    }


def lost_to_helm(scenario: Scenario, told: Sequence[str]) -> set[str]:
    """What of the guide's install command did not reach Helm; a finding where there is such.

    Args:
        scenario: Whose names are meant.
        told: Helm's arguments.
    """
    meant = {
        f"kubeClusterName={scenario.names.cluster}",
        "joinParams.method=iam",
        f"joinParams.tokenName={scenario.names.token}",
        "serviceAccount.create=false",
    } | options_after_comment(scenario)
    lost = meant - set(told)
    if lost:
        note("guide", "s3.install", f"helm install is not told {', '.join(sorted(lost))}")
    return lost


def role_arn(scenario: Scenario, *, account_id: str | None = None) -> str:
    """ARN of the scenario's role, in another account where one is given."""
    return f"arn:aws:iam::{account_id or scenario.aws.account_id}:role/{scenario.names.role}"


def policy_arn(scenario: Scenario) -> str:
    """ARN of the IAM policy of step 1."""
    return f"arn:aws:iam::{scenario.aws.account_id}:policy/{scenario.names.policy}"


def variables_of_step_1(scenario: Scenario, *, region: str | None = None) -> dict[str, str]:
    """What a reader's shell knows before the trust policy: account and provider of step 1.

    Args:
        scenario: Whose account and cluster are meant.
        region: The region that the reader's AWS CLI is set to.
    """
    provider = scenario.kubernetes.issuer().removeprefix("https://")
    known = {"account_id": scenario.aws.account_id, "oidc_provider": provider}
    return known | ({"AWS_DEFAULT_REGION": region} if region else {})


def annotated_role(scenario: Scenario) -> str:
    """The role that the service account names, or an empty text (claim s1.annotate)."""
    annotations = scenario.kubernetes.service_account()["metadata"].get("annotations") or {}
    return str(annotations.get("eks.amazonaws.com/role-arn", ""))


def named_and_meant(scenario: Scenario) -> tuple[str, str]:
    """The role that the service account names, and the one that step 1 means; a finding where they differ."""
    named = annotated_role(scenario)
    meant = str(scenario.aws.role()["Arn"]) if scenario.aws.has_role() else role_arn(scenario)
    if named != meant:
        note("guide", "s1.annotate", f"the service account names {named!r} where {meant!r} is meant")
    return named, meant


def left_by_a_new_shell(scenario: Scenario) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Role of the service account and rules of the token, after commands without their variables."""
    left = annotated_role(scenario), scenario.token_admits()
    if not scenario.description.components["teleport"].simulated:
        note("guide", "s1.account-id", f"without account_id, no command fails and this is left: {left}")
    return left


def issuer_printed(output: str) -> str:
    """The issuer that `aws eks describe-cluster` printed, or an empty text (claim s1.oidc-empty)."""
    printed = output.strip()
    if printed != "None":
        return printed
    note("guide", "s1.oidc-empty", "without an issuer the output is the word None, and not empty")
    return ""


def versions_of_clients(scenario: Scenario) -> Completed:
    """Asks tctl and tsh for their versions (claim pre.clients)."""
    note(
        "environment",
        "pre.clients",
        "tctl and tsh are those that the environment was given: the guide's download was not made",
    )
    return scenario.workstation.run("tctl version\ntsh version\n")


def require_eksctl(scenario: Scenario) -> None:
    """Ends the scenario where eksctl is absent, or the environment's AWS lacks what it works with.

    Raises:
        NotApplicable: There is no eksctl.
        Withheld: There is no CloudFormation.
    """
    scenario.workstation.require("eksctl")
    if "cloudformation" not in scenario.description.capabilities:
        raise Withheld("capability-missing", "eksctl works by CloudFormation, which AWS lacks here")


def refused_by_sts(scenario: Scenario) -> set[tuple[str, str]]:
    """Code and reason of each AssumeRoleWithWebIdentity for the role that AWS denied."""
    return {
        (call["code"], call["reason"].partition(" for ")[0])
        for call in scenario.aws.calls()
        if (call["action"], call["verdict"]) == ("AssumeRoleWithWebIdentity", "denied")
    }


def state_written_by(scenario: Scenario) -> set[str]:
    """Operations by which the agent's state Secret was written (`Apply`: server-side apply)."""
    secret = scenario.kubernetes.secret(f"{scenario.names.release}-0-state") or {"metadata": {}}
    found = {str(entry["operation"]) for entry in secret["metadata"].get("managedFields", ())}
    # Of a simulated Teleport nothing is found out about what the product needs.
    if "Apply" in found and not scenario.description.components["teleport"].simulated:
        note(
            "guide",
            "pre.kubernetes-version",
            "Kubernetes 1.17.0 is asked for, and the agent writes its state by server-side apply (1.22)",
        )
    return found


def cluster_as_known(scenario: Scenario) -> set[tuple[str, str, str]]:
    """Name and version that the proxy tells, with each pin of the authorities that tsh trusts."""
    told = scenario.teleport.ping()
    pins = scenario.teleport.trusted_pins()
    return {(told["cluster_name"], told["server_version"], pin) for pin in pins}


def roles_admitted_beside(scenario: Scenario) -> tuple[str, ...]:
    """ARN patterns of the token that are not the one step 2 means; a finding where there are such."""
    patterns = tuple(pattern for _, pattern in scenario.token_admits() if pattern != scenario.role_pattern())
    for pattern in patterns:
        note("guide", "s2.token", f"the token admits {pattern!r} where {scenario.role_pattern()!r} is meant")
    return patterns
