"""Every Then step says yes to what the guide promises, and no to what looks like it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.core.errors import NotObserved, Withheld
from harness.environment import Completed, Joined, Refusal, Restarted, Routed
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_bdd.steps import StepFunctionContext

    from harness.scenario import Scenario

NAMES = Names.unique("abc")
ACCOUNT, OTHER = "111111111111", "222222222222"
PATTERN = f"arn:aws:sts::{ACCOUNT}:assumed-role/{NAMES.role}/*"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/{NAMES.role}/session"
TRUST = {"Effect": "Allow", "Principal": {"Federated": "p"}, "Action": "sts:AssumeRoleWithWebIdentity"}
AGENT = f"system:serviceaccount:{NAMES.namespace}:{NAMES.service_account}"
NO_RULE = "instance did not match any allow rules"
NO_GROUPS = "this user cannot request kubernetes access, has no assigned groups or users"


def completed(stdout: str = "", stderr: str = "", failed: Sequence[str] = ()) -> Completed:
    return Completed("script", 1 if failed else 0, stdout, stderr, tuple(failed))


def routed(stdout: str = "", stderr: str = "", codes: Sequence[int] = ()) -> Routed:
    records = [
        {"verb": "list", "responseStatus": {"code": code}, "objectRef": {"resource": "pods"}}
        for code in codes
    ]
    return Routed(completed(stdout, stderr), (), tuple(records))


def forbidden(user: str) -> str:
    return (
        f'Error from server (Forbidden): pods is forbidden: User "{user}" cannot list resource "pods" in API '
        f'group "" in the namespace "{NAMES.namespace}"'
    )


def policy(*statements: tuple[str, str, str]) -> dict[str, Any]:
    keys = ("Effect", "Action", "Resource")
    return {"Statement": [dict(zip(keys, statement, strict=True)) for statement in statements]}


def token(method: str = "iam", roles: Sequence[str] = ("Kube",), *rules: tuple[str, str]) -> dict[str, Any]:
    allow = [{"aws_account": account, "aws_arn": arn} for account, arn in rules]
    return {"spec": {"join_method": method, "roles": list(roles), "allow": allow}}


def audited(user: str, impersonated: str | None, *groups: str) -> dict[str, Any]:
    record: dict[str, Any] = {"user": {"username": user}}
    return record | (
        {"impersonatedUser": {"username": impersonated, "groups": list(groups)}} if impersonated else {}
    )


def identity(account: str, role: str) -> str:
    return f'{{"Account": "{account}", "Arn": "arn:aws:sts::{account}:assumed-role/{role}/session"}}'


def status(cluster: str, version: str, pin: str) -> Completed:
    rows = (("Cluster", cluster), ("Version", version), ("host CA", "never updated"), ("CA pin", pin))
    return completed("".join(f"{name:<11}  {value:<70} \n" for name, value in rows))


def annotated(role: str | None) -> dict[str, Any]:
    annotations = {} if role is None else {"annotations": {"eks.amazonaws.com/role-arn": role}}
    return {"metadata": {"name": NAMES.service_account, **annotations}}


def named(role: str | None, stored: str | None = None) -> dict[str, Any]:
    """A service account's annotation, and what ARN IAM has for the role, if it has it."""
    return {
        "kubernetes__service_account": annotated(role),
        "aws__has_role": stored is not None,
        "aws__role": {"Arn": stored},
    }


def denied(code: str, reason: str, action: str = "AssumeRoleWithWebIdentity") -> dict[str, Any]:
    return {"action": action, "verdict": "denied", "code": code, "reason": reason}


def refusal(account: str, arn: str, *allowed: tuple[str, str]) -> Refusal:
    return Refusal(answered=((account, arn),), allowed=allowed, joins=())


ROLE = f"arn:aws:iam::{ACCOUNT}:role/{NAMES.role}"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/{NAMES.policy}"
ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF"
PING = {"cluster_name": "tele.example.com", "server_version": "13.0.0-dev", "min_client_version": "12.0.0"}
PIN = f"sha256:{'0' * 64}"
KNOWN_CLUSTER = {"teleport__ping": PING, "teleport__trusted_pins": [PIN]}
CLIENTS = (
    "Teleport v13.0.0-dev git: go1.19.5\nTeleport v13.0.0-dev git: go1.19.5\nProxy version: 13.0.0-dev\n"
)
KUBECTL = "Client Version: v1.32.2\nKustomize Version: v5.5.0\nServer Version: v1.32.2\n"
OLD_KUBECTL = (
    'Client Version: version.Info{Major:"1", Minor:"17", GitVersion:"v1.17.0", GitCommit:"x"}\n'
    'Server Version: version.Info{Major:"1", Minor:"17", GitVersion:"v1.17.0", GitCommit:"x"}\n'
)
NO_PROVIDER = "No OpenIDConnect provider found in your account"
INSTALL = (
    f"kubeClusterName={NAMES.cluster}",
    "joinParams.method=iam",
    f"joinParams.tokenName={NAMES.token}",
    "serviceAccount.create=false",
)
REST = (
    f"serviceAccount.name={NAMES.service_account}",
    "--create-namespace",
    f"--namespace={NAMES.namespace}",
    "--version",
    "13.0.0",
)
JOIN_TOKEN, STATE = "teleport-kube-agent-join-token", f"{NAMES.release}-0-state"
LEFT = {
    "kubernetes__service_account": annotated(f"arn:aws:iam:::role/{NAMES.role}"),
    "teleport__get": {"spec": {"allow": [{"aws_arn": f"arn:aws:sts:::assumed-role/{NAMES.role}/*"}]}},
}
JOINED = Joined("host", "13.0.0-dev", {"Kube": "iam", "Instance": "iam"}, ("kube",))
RESTARTED = Restarted("host", "host", "pod-1", "pod-2", 7, (), "host")
AS_AGENT = audited(AGENT, NAMES.user, "system:authenticated", NAMES.group)
UNMEASURED = {"teleport__version": "13.9.9"}


@dataclass(frozen=True)
class Told:
    """What a step is shown, and what it must say.

    Attributes:
        right: What the guide promises: the step passes.
        wrong: What it must not take for that: the step fails.
        withheld: Where it can decide nothing.
    """

    right: dict[str, Any]
    wrong: tuple[dict[str, Any], ...]
    withheld: tuple[dict[str, Any], ...] = ()


STEPS: dict[str, Told] = {
    "the version printed is the one that the Auth Service tells": Told(
        {
            "outcome": completed("13.0.0-dev\n"),
            "teleport__administer": status("tele.example.com", "13.0.0-dev", PIN),
        },
        (
            {
                "outcome": completed("12.4.0\n"),
                "teleport__administer": status("tele.example.com", "13.0.0-dev", PIN),
            },
            {
                "outcome": completed("null\n"),
                "teleport__administer": status("tele.example.com", "13.0.0-dev", PIN),
            },
            {"outcome": completed(""), "teleport__administer": status("tele.example.com", "13.0.0-dev", PIN)},
        ),
    ),
    "the cluster is at least of the version that the guide installs": Told(
        {"outcome": PING},
        (
            {"outcome": PING, "workstation__guide_version": "13.0.1"},
            {"outcome": PING, "workstation__guide_version": "14.0.0-dev"},
            {"outcome": {**PING, "server_version": "12.9.9"}},
            {"outcome": {**PING, "server_version": ""}},
        ),
    ),
    "both tell the cluster's version": Told(
        {"outcome": completed(CLIENTS)},
        (
            {"outcome": completed(CLIENTS.replace("v13.0.0-dev", "v12.4.0", 1))},
            {"outcome": completed(CLIENTS.replace("v13.0.0-dev", "v13.0.0", 1))},
            {"outcome": completed(CLIENTS.partition("\n")[0])},
            {"outcome": completed("")},
        ),
    ),
    "neither is more than one major version behind the cluster": Told(
        {"outcome": completed(CLIENTS.replace("v13.0.0-dev", "v12.4.0"))},
        (
            {"outcome": completed(CLIENTS.replace("v13.0.0-dev", "v11.9.9", 1))},
            {"outcome": completed(CLIENTS.partition("\n")[0])},
            {"outcome": completed("")},
        ),
    ),
    "the proxy says that it takes clients from one major version before its own on": Told(
        {"teleport__ping": {**PING, "min_client_version": "12.0.0-aa"}},
        (
            {"teleport__ping": {**PING, "min_client_version": "13.0.0"}},
            {"teleport__ping": {**PING, "min_client_version": "11.0.0"}},
            {"teleport__ping": {**PING, "min_client_version": "12.3.0"}},
        ),
    ),
    "client and server are at least of the version that the guide asks for": Told(
        {"outcome": completed(OLD_KUBECTL)},
        (
            {"outcome": completed(OLD_KUBECTL.replace("1.17.0", "1.16.15", 1))},
            {"outcome": completed(KUBECTL.replace("Server Version: v1.32.2", "Server Version: v1.16.15"))},
            {"outcome": completed(KUBECTL.partition("Server")[0])},
            {"outcome": completed("")},
        ),
    ),
    "the server is the cluster": Told(
        {"outcome": completed(KUBECTL), "kubernetes__version": "v1.32.2"},
        (
            {"outcome": completed(KUBECTL), "kubernetes__version": "v1.31.0"},
            {"outcome": completed(KUBECTL.partition("Server")[0]), "kubernetes__version": "v1.32.2"},
        ),
    ),
    "it was written by server-side apply": Told(
        {"outcome": {"Apply"}},
        ({"outcome": {"Apply", "Update"}}, {"outcome": {"Update"}}, {"outcome": set()}),
    ),
    "the cluster is at least of the version that offers this": Told(
        {"kubernetes__version": "v1.22.0"},
        ({"kubernetes__version": "v1.21.14"}, {"kubernetes__version": "v1.17.0+k3s1"}),
    ),
    "the cluster's issuer is among them, for STS": Told(
        {"outcome": {ISSUER: ["sts.amazonaws.com"]}, "kubernetes__issuer": ISSUER},
        (
            {"outcome": {ISSUER: ["sts.amazonaws.com"]}, "kubernetes__issuer": f"{ISSUER}0"},
            {"outcome": {ISSUER: ["another"]}, "kubernetes__issuer": ISSUER},
            {"outcome": {}, "kubernetes__issuer": ISSUER},
        ),
    ),
    "AWS told the pod of no identity": Told(
        {"outcome": "An error occurred (InvalidIdentityToken)"}, ({"outcome": identity(ACCOUNT, NAMES.role)},)
    ),
    "STS refused it because the account has no OIDC provider": Told(
        {"aws__calls": [denied("InvalidIdentityToken", f"{NO_PROVIDER} for {ISSUER}")] * 2},
        (
            {"aws__calls": []},
            {"aws__calls": [denied("AccessDenied", "no role")]},
            {"aws__calls": [denied("InvalidIdentityToken", "Incorrect token audience")]},
            {
                "aws__calls": [
                    denied("InvalidIdentityToken", f"{NO_PROVIDER} for {ISSUER}"),
                    denied("AccessDenied", "denied through control"),
                ]
            },
            {"aws__calls": [{**denied("InvalidIdentityToken", NO_PROVIDER), "verdict": "allowed"}]},
        ),
    ),
    "Helm is at least of the version that the guide asks for": Told(
        {"outcome": completed('version.BuildInfo{Version:"v3.4.2"}')},
        (
            {"outcome": completed('version.BuildInfo{Version:"v3.4.1"}')},
            {"outcome": completed('Client: &version.Version{SemVer:"v2.17.0"}')},
            {"outcome": completed("")},
        ),
    ),
    "the AWS CLI is at least of the version that the guide asks for": Told(
        {"outcome": completed("aws-cli/1.27.81 Python/3.11.7 Linux/6.1 botocore/1.43.62")},
        (
            {"outcome": completed("aws-cli/1.27.80 Python/3.11.7")},
            {"outcome": completed("aws-cli/2.10.2 Python/3.11.7")},
            {"outcome": completed("aws-cli/2.9.19 Python/3.11.2 Linux/6.1")},
            {"outcome": completed("")},
        ),
    ),
    "tctl status tells the cluster's name, version and CA pin": Told(
        {**KNOWN_CLUSTER, "outcome": status("tele.example.com", "13.0.0-dev", PIN)},
        (
            {**KNOWN_CLUSTER, "outcome": status("another.example.com", "13.0.0-dev", PIN)},
            {**KNOWN_CLUSTER, "outcome": status("tele.example.com", "12.0.0", PIN)},
            {**KNOWN_CLUSTER, "outcome": status("tele.example.com", "13.0.0-dev", f"sha256:{'1' * 64}")},
            {"teleport__ping": PING, "outcome": status("tele.example.com", "13.0.0-dev", PIN)},
            {**KNOWN_CLUSTER, "outcome": completed("")},
        ),
    ),
    "it was refused nothing": Told({"outcome": ()}, ({"outcome": ("create a role",)},)),
    "the role made so is there": Told({"teleport__get": {"kind": "role"}}, ({"teleport__get": None},)),
    "elsewhere tctl is refused without signing in": Told(
        {"workstation__run__each": [completed(failed=["tctl get users"]), completed("alice")]},
        (
            {"workstation__run__each": [completed("alice"), completed("alice")]},
            # No tctl at all refuses as well.
            {"workstation__run": completed(failed=["tctl get users"])},
        ),
    ),
    "its IAM role has no permission": Told(
        {"aws__permissions": []}, ({"aws__permissions": [POLICY]}, {"aws__permissions": ["written"]})
    ),
    "the IAM role has no permission": Told({"aws__permissions": []}, ({"aws__permissions": [POLICY]},)),
    "the token admits another role than that of step 1": Told(
        {"teleport__get": token("iam", ["Kube"], (ACCOUNT, f"arn:aws:sts::/home/{ACCOUNT}ssumed-role/x/*"))},
        (
            {"teleport__get": token("iam", ["Kube"], (ACCOUNT, PATTERN))},
            {"teleport__get": token("iam", ["Kube"])},
            {"teleport__get": None},
        ),
    ),
    "the IAM role has the policy of step 1 and no other": Told(
        {"aws__permissions": [POLICY]},
        (
            {"aws__permissions": []},
            {"aws__permissions": [POLICY, "arn:aws:iam::aws:policy/AdministratorAccess"]},
            {"aws__permissions": [POLICY.replace(ACCOUNT, OTHER)]},
        ),
    ),
    "AWS told the pod that it is the node": Told(
        {"outcome": identity(ACCOUNT, NAMES.node_role)},
        (
            {"outcome": identity(ACCOUNT, NAMES.role)},
            {"outcome": identity(OTHER, NAMES.node_role)},
            {"outcome": "Unable to locate credentials."},
        ),
    ),
    "AWS told the pod that it is in the service account's role": Told(
        {"outcome": identity(ACCOUNT, NAMES.role)},
        ({"outcome": identity(ACCOUNT, NAMES.node_role)}, {"outcome": "Unable to locate credentials."}),
    ),
    "no issuer is printed": Told(
        {"outcome": completed("None\n")},
        ({"outcome": completed("oidc.eks.eu-west-1.amazonaws.com/id/0\n")}, {"outcome": completed("0\n")}),
    ),
    "IAM knows no policy of the printed ARN": Told(
        {"outcome": "NoSuchEntity"}, ({"outcome": ""}, {"outcome": "AccessDenied"})
    ),
    "IAM makes no role of the trust policy": Told(
        {"aws__has_role": False, "outcome": completed(stderr="(MalformedPolicyDocument) invalid Json")},
        (
            {"aws__has_role": True, "outcome": completed(stderr="(MalformedPolicyDocument) invalid Json")},
            # Nothing was asked of IAM.
            {"aws__has_role": False, "outcome": completed(stderr="aws: command not found")},
        ),
    ),
    "the service account names something else than the IAM role": Told(
        named(f"arn:aws:iam::{ACCOUNT}ole/{NAMES.role}"),
        (
            named(ROLE),
            named(None),
            named(ROLE.replace("arn:aws:", "arn:aws-cn:"), ROLE.replace("arn:aws:", "arn:aws-cn:")),
        ),
    ),
    "the service account names the IAM role": Told(
        named(ROLE.replace("arn:aws:", "arn:aws-cn:"), ROLE.replace("arn:aws:", "arn:aws-cn:")),
        (named(ROLE, ROLE.replace("arn:aws:", "arn:aws-cn:")), named(None, ROLE)),
    ),
    "the service account and the token name no AWS account": Told(
        LEFT,
        (
            {**LEFT, "kubernetes__service_account": annotated(ROLE)},
            {**LEFT, "kubernetes__service_account": annotated(None)},
            {**LEFT, "teleport__get": token("iam", ["Kube"], (ACCOUNT, PATTERN))},
            {**LEFT, "teleport__get": None},
        ),
    ),
    "the shell says which variable is missing": Told(
        {
            "outcome": replace(
                completed(stderr="account_id: parameter null or not set"),
                exit_code=127,
            )
        },
        (
            {"outcome": completed(stderr="account_id: parameter null or not set")},
            {"outcome": replace(completed(stderr="command not found"), exit_code=127)},
        ),
    ),
    "neither an IAM role was named nor a token made": Told(
        {"kubernetes__service_account": annotated(None), "teleport__get": None},
        (
            {"kubernetes__service_account": annotated(ROLE), "teleport__get": None},
            {"kubernetes__service_account": annotated(None), "teleport__get": token()},
        ),
    ),
    "Helm is told nothing after the first comment": Told(
        {"outcome": ("install", *INSTALL)},
        (
            {"outcome": ("install", *INSTALL, *REST)},
            {"outcome": ("install", *INSTALL[:-1])},
            {"outcome": ()},
        ),
    ),
    "Helm is told every value of the guide": Told(
        {"outcome": ("install", *INSTALL, *REST)},
        (
            {"outcome": ("install", *INSTALL)},
            {"outcome": ("install", *INSTALL, *REST[:-1])},
            {"outcome": ()},
        ),
    ),
    "no command failed": Told(
        {"outcome": completed()},
        (
            {"outcome": completed(stderr="denied", failed=["aws iam"])},
            {"outcome": replace(completed(), failed=("aws iam",))},
            # A shell that died noted no failing command.
            {"outcome": replace(completed(), exit_code=1)},
            {"outcome": replace(completed(), exit_code=-9)},
        ),
    ),
    "the IAM policy allows nothing but asking who one is": Told(
        {"aws__policy": policy(("Allow", "sts:GetCallerIdentity", "*"))},
        (
            {"aws__policy": policy(("Allow", "sts:*", "*"))},
            {"aws__policy": policy(("Deny", "sts:GetCallerIdentity", "*"))},
            {"aws__policy": policy(("Allow", "sts:GetCallerIdentity", "*"), ("Allow", "s3:*", "*"))},
            {"aws__policy": policy()},
        ),
    ),
    "the IAM role trusts this service account alone": Told(
        {"aws__role": {"AssumeRolePolicyDocument": {"Statement": [TRUST]}}, "aws__trust": TRUST},
        (
            {
                "aws__role": {
                    "AssumeRolePolicyDocument": {"Statement": [{**TRUST, "Principal": {"Federated": "*"}}]}
                },
                "aws__trust": TRUST,
            },
            {
                "aws__role": {"AssumeRolePolicyDocument": {"Statement": [TRUST, {**TRUST, "Sid": "more"}]}},
                "aws__trust": TRUST,
            },
            {"aws__role": {"AssumeRolePolicyDocument": {"Statement": []}}, "aws__trust": TRUST},
        ),
    ),
    "a pod of the service account acts in that IAM role": Told(
        {"kubernetes__run_pod": identity(ACCOUNT, NAMES.role)},
        (
            {"kubernetes__run_pod": identity(ACCOUNT, "node")},
            {"kubernetes__run_pod": identity(OTHER, NAMES.role)},
        ),
    ),
    "the token lets the guide's services join by IAM and nothing else": Told(
        {"teleport__get": token()},
        (
            {"teleport__get": token("token")},
            {"teleport__get": token("iam", ["Kube", "Node"])},
            {"teleport__get": token("iam", [])},
            {"teleport__get": None},
        ),
    ),
    "the token admits no other account and role than those of step 1": Told(
        {"teleport__get": token("iam", ["Kube"], (ACCOUNT, PATTERN))},
        (
            {"teleport__get": token("iam", ["Kube"], (ACCOUNT, "*"))},
            {"teleport__get": token("iam", ["Kube"], (OTHER, PATTERN))},
            {"teleport__get": token("iam", ["Kube"], (ACCOUNT, PATTERN), (OTHER, PATTERN))},
            {"teleport__get": token("iam", ["Kube"])},
            {"teleport__get": None},
        ),
    ),
    "the agent has joined by IAM": Told(
        {"agent__joined": JOINED},
        (
            {"agent__joined": replace(JOINED, methods={"Kube": "token"})},
            {"agent__joined": replace(JOINED, methods={"Kube": "token", "Instance": "iam"})},
            {"agent__joined": replace(JOINED, methods={})},
            {"agent__joined": replace(JOINED, version="12.0.0")},
        ),
    ),
    "it proved to be in the service account's IAM role": Told(
        # The agent proves it twice: as what it serves, and as an instance.
        {"agent__answered": [(ACCOUNT, SESSION), (ACCOUNT, f"{SESSION}-2")]},
        (
            {"agent__answered": []},
            {"agent__answered": [(ACCOUNT, SESSION.replace(NAMES.role, "node"))]},
            {"agent__answered": [(ACCOUNT, SESSION.replace(NAMES.role, f"not-{NAMES.role}"))]},
            {"agent__answered": [(OTHER, SESSION.replace(ACCOUNT, OTHER))]},
            {"agent__answered": [(ACCOUNT, SESSION), (ACCOUNT, SESSION.replace(NAMES.role, "node"))]},
        ),
    ),
    "the agent's pod runs as the service account of step 1": Told(
        {"agent__deployed": {"spec": {"serviceAccountName": NAMES.service_account}}},
        (
            {"agent__deployed": {"spec": {"serviceAccountName": "default"}}},
            {"agent__deployed": {"spec": {"serviceAccountName": NAMES.release}}},
        ),
    ),
    "the release made no service account": Told(
        {"kubernetes__service_accounts": [NAMES.service_account, "default"]},
        (
            {"kubernetes__service_accounts": ["default", NAMES.service_account, NAMES.release]},
            {"kubernetes__service_accounts": ["default"]},
            {"kubernetes__service_accounts": ["default", NAMES.release]},
            {"kubernetes__service_accounts": []},
        ),
    ),
    "nothing but the token's name was given to the cluster": Told(
        {"kubernetes__secrets": {JOIN_TOKEN: {"auth-token": NAMES.token.encode()}, STATE: {"ids": b"x"}}},
        (
            {"kubernetes__secrets": {JOIN_TOKEN: {"auth-token": b"a-secret"}}},
            {"kubernetes__secrets": {JOIN_TOKEN: {"auth-token": NAMES.token.encode(), "more": b"x"}}},
            {
                "kubernetes__secrets": {
                    JOIN_TOKEN: {"auth-token": NAMES.token.encode()},
                    "more": {"key": b"x"},
                }
            },
            {"kubernetes__secrets": {STATE: {"ids": b"x"}}},
        ),
    ),
    "the agent's pod becomes ready without a restart": Told(
        {"agent__pod_line": ("1/1", "Running", 0)},
        ({"agent__pod_line": ("1/1", "Running", 1)}, {"agent__pod_line": ("0/1", "Running", 0)}),
    ),
    "tsh lists the cluster under the name chosen in step 3": Told(
        {"workstation__listed_clusters": ["other", NAMES.cluster]},
        (
            {"workstation__listed_clusters": ["other", f"{NAMES.cluster}-2"]},
            {"workstation__listed_clusters": []},
        ),
    ),
    "the agent logs that no allow rule matched": Told(
        {"agent__roles_that_log": ["Instance", "Kube"]},
        tuple({"agent__roles_that_log": roles} for roles in (["Kube"], ["Instance"], [])),
        (UNMEASURED,),
    ),
    "the agent logs that no allow rule matched the role": Told(
        {"agent__roles_that_log": ["Instance", "Kube"]},
        tuple({"agent__roles_that_log": roles} for roles in (["Kube"], ["Instance"], [])),
        (UNMEASURED,),
    ),
    "Teleport refused it because of its account": Told(
        {"agent__refused": refusal(ACCOUNT, SESSION, (OTHER, PATTERN.replace(ACCOUNT, OTHER)))},
        (
            {"agent__refused": refusal(ACCOUNT, SESSION, (ACCOUNT, PATTERN))},
            {"agent__refused": refusal(ACCOUNT, SESSION, (ACCOUNT, PATTERN.replace("role/", "role/not-")))},
        ),
    ),
    "Teleport refused it because of its role": Told(
        {"agent__refused": refusal(ACCOUNT, SESSION, (ACCOUNT, PATTERN.replace("role/", "role/not-")))},
        (
            {"agent__refused": refusal(ACCOUNT, SESSION, (ACCOUNT, PATTERN))},
            {"agent__refused": refusal(ACCOUNT, SESSION, (OTHER, PATTERN.replace(ACCOUNT, OTHER)))},
        ),
    ),
    "the agent serves again as the same host without a new join": Told(
        {"outcome": RESTARTED},
        (
            {"outcome": replace(RESTARTED, host_id="new")},
            {"outcome": replace(RESTARTED, served_by="another agent")},
            {"outcome": replace(RESTARTED, joins=({"event": "instance.join"},))},
            {"outcome": replace(RESTARTED, host_id="new", served_by="new")},
        ),
    ),
    "the agent does not serve again by itself": Told(
        {"agent__stays_unknown": ([], [])},
        (
            {"agent__stays_unknown": (["host"], [])},
            {"agent__stays_unknown": ([], [{"event": "instance.join"}])},
        ),
    ),
    "it serves again as another host once its identity is deleted and its pod restarted": Told(
        {"agent__host_id": "old", "agent__joined": replace(JOINED, host_id="new"), "agent__served_by": "new"},
        (
            {
                "agent__host_id": "old",
                "agent__joined": replace(JOINED, host_id="old"),
                "agent__served_by": "old",
            },
            {
                "agent__host_id": "old",
                "agent__joined": replace(JOINED, host_id="new"),
                "agent__served_by": "old",
            },
            {
                "agent__host_id": "old",
                "agent__joined": replace(JOINED, host_id="new"),
                "agent__served_by": "another agent",
            },
        ),
    ),
    "the restart made no AWS call": Told(
        {"outcome": RESTARTED, "agent__stays_off_aws": []},
        ({"outcome": RESTARTED, "agent__stays_off_aws": [{"action": "AssumeRoleWithWebIdentity"}]},),
    ),
    "the agent made no AWS call meanwhile": Told(
        {"outcome": RESTARTED, "agent__stays_off_aws": []},
        ({"outcome": RESTARTED, "agent__stays_off_aws": [{"action": "GetCallerIdentity"}]},),
    ),
    "the pods are listed": Told(
        {"outcome": routed(f"NAME READY\n{NAMES.release}-0 1/1\n")},
        (
            {"outcome": routed("NAME READY\nanother-0 1/1\n")},
            {"outcome": routed(f"{NAMES.release}-0\n")},
            {"outcome": routed(stderr="No resources found")},
        ),
    ),
    "the API server saw that user only as the agent's impersonation": Told(
        {"outcome": routed(codes=[200]), "kubernetes__audit": [AS_AGENT, AS_AGENT]},
        (
            {"outcome": routed(codes=[]), "kubernetes__audit": []},
            # What only discovery shows says nothing of the request for pods.
            {"outcome": routed(codes=[]), "kubernetes__audit": [AS_AGENT, AS_AGENT]},
            {"outcome": routed(codes=[200, 403]), "kubernetes__audit": [AS_AGENT, AS_AGENT]},
            *(
                {"outcome": routed(codes=[200]), "kubernetes__audit": records}
                for records in (
                    [AS_AGENT, audited(NAMES.user, None)],
                    [AS_AGENT, audited("admin", NAMES.user, NAMES.group)],
                    [audited(AGENT, NAMES.user, "system:masters", NAMES.group)],
                )
            ),
        ),
    ),
    "Teleport says that the user has no Kubernetes groups": Told(
        {"outcome": routed(), "workstation__kubectl": routed(stderr=f"Error from server: {NO_GROUPS}")},
        ({"outcome": routed(), "workstation__kubectl": routed(stderr="Error from server: Unauthorized")},),
        ({**UNMEASURED, "outcome": routed()},),
    ),
    "no request of that user reached the cluster": Told(
        {"kubernetes__untouched_by": []},
        ({"kubernetes__untouched_by": [AS_AGENT]},),
    ),
    "the cluster forbids it to the user's group": Told(
        {"outcome": routed(codes=[403]), "kubernetes__audit": [AS_AGENT]},
        (
            {"outcome": routed(codes=[]), "kubernetes__audit": [AS_AGENT]},
            {"outcome": routed(codes=[200]), "kubernetes__audit": [AS_AGENT]},
            {"outcome": routed(codes=[403, 200]), "kubernetes__audit": [AS_AGENT]},
            # Forbidden, but not to the user's group, or not by way of the agent.
            *(
                {"outcome": routed(codes=[403]), "kubernetes__audit": records}
                for records in (
                    [],
                    [audited(AGENT, NAMES.user, "system:authenticated")],
                    [audited(AGENT, NAMES.user, "system:authenticated", "another")],
                    [audited(AGENT, NAMES.user, "system:authenticated", "system:masters", NAMES.group)],
                    [audited("admin", NAMES.user, "system:authenticated", NAMES.group)],
                    [audited(AGENT, None)],
                    [audited(NAMES.user, None)],
                    [AS_AGENT, audited(NAMES.user, None)],
                )
            ),
        ),
    ),
    "kubectl says that the user cannot list pods": Told(
        {"outcome": routed(stderr=forbidden(NAMES.user))},
        (
            {"outcome": routed(stderr=forbidden("somebody"))},
            {"outcome": routed("NAME READY\nx-0 1/1")},
        ),
        ({**UNMEASURED, "outcome": routed(stderr=forbidden(NAMES.user))},),
    ),
    "the user may neither delete pods nor read Secrets": Told(
        {"workstation__kubectl": routed(codes=[403])},
        (
            {"workstation__kubectl__each": [routed(codes=[200]), routed(codes=[403])]},
            {"workstation__kubectl__each": [routed(codes=[403]), routed(codes=[200])]},
            {"workstation__kubectl": routed(codes=[])},
        ),
    ),
}


def then_steps() -> dict[str, StepFunctionContext]:
    """The Then steps of the suite, by phrase."""
    return {
        context.parser.name: context
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__.startswith("steps.")
    }


def carry_out(phrase: str, world: Callable[..., Scenario], told: dict[str, Any]) -> None:
    function = then_steps()[phrase].step_func
    outcome = told.get("outcome")
    answers = {name: value for name, value in told.items() if name != "outcome"}
    given = {"scenario": world(**answers), "outcome": outcome}
    function(**{name: given[name] for name in inspect.signature(function).parameters})


def cases(kind: str) -> list[Any]:
    """Each thing told of that kind, with the phrase of its step."""
    found = []
    for phrase, told in STEPS.items():
        shown = (told.right,) if kind == "right" else getattr(told, kind)
        found += [pytest.param(phrase, each, id=f"{phrase}-{n}") for n, each in enumerate(shown)]
    return found


def test_every_then_step_is_here() -> None:
    # The steps of a module may have a file of their own here, which holds the same.
    elsewhere = {
        f"steps.{file.stem.removeprefix('test_then_')}"
        for file in Path(__file__).parent.glob("test_then_*.py")
    }
    steps = {
        phrase for phrase, context in then_steps().items() if context.step_func.__module__ not in elsewhere
    }
    assert steps
    assert set(STEPS) == steps
    assert all(told.wrong for told in STEPS.values())


def test_a_step_that_reads_a_measured_text_can_withhold() -> None:
    reading = {
        phrase
        for phrase, context in then_steps().items()
        if phrase in STEPS and "measured_text" in inspect.getsource(context.step_func)
    }
    assert reading == {phrase for phrase, told in STEPS.items() if told.withheld}


@pytest.mark.parametrize(("phrase", "told"), cases("right"))
def test_what_the_guide_promises_passes(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any]
) -> None:
    carry_out(phrase, world, told)


@pytest.mark.parametrize(("phrase", "told"), cases("wrong"))
def test_what_only_looks_like_it_fails(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any]
) -> None:
    with pytest.raises(AssertionError):
        carry_out(phrase, world, told)


@pytest.mark.parametrize(("phrase", "told"), cases("withheld"))
def test_a_text_that_nobody_measured_decides_nothing(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any]
) -> None:
    with pytest.raises(Withheld):
        carry_out(phrase, world, told)


@pytest.mark.parametrize(
    ("phrase", "port"),
    [
        ("the agent has joined by IAM", "agent__joined__each"),
        ("the agent's pod becomes ready without a restart", "agent__pod_line__each"),
        ("the agent's pod runs as the service account of step 1", "agent__deployed__each"),
        ("it proved to be in the service account's IAM role", "agent__answered__each"),
        ("Teleport refused it because of its role", "agent__refused__each"),
        ("no request of that user reached the cluster", "kubernetes__untouched_by__each"),
    ],
)
def test_what_was_not_observed_is_not_swallowed(
    world: Callable[..., Scenario], phrase: str, port: str
) -> None:
    with pytest.raises(NotObserved):
        carry_out(phrase, world, {port: NotObserved("nothing")})
