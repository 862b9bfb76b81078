"""What one scenario owns: its names, the ports bound to them, and what it arranges and reads through them.

The methods are made of port calls only; they are the words that steps speak.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.core.errors import EnvironmentBroken
from harness.core.findings import note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from harness.environment import (
        JSON,
        Account,
        Agent,
        Cluster,
        Connectors,
        Description,
        Disruption,
        Impostor,
        Restarted,
        Roles,
        Teleport,
        Workstation,
    )

    Beside = Callable[["Names"], "Scenario"]

STS_AUDIENCE = "sts.amazonaws.com"
"""Audience of the web identity tokens that STS takes (claim s1.trust)."""

DENIED = "denied by the scenario"
"""What AWS answers where a scenario has it deny its role."""

DENIED_BY = "through control"
"""How the gateway's log tells such a denial from one that the request itself deserved."""

IDENTITY_IMAGE = "public.ecr.aws/aws-cli/aws-cli:latest"
"""Image of a pod that asks AWS who it is; in the lab a name for the local `aws`."""


@dataclass(frozen=True)
class Names:
    """Everything a scenario names; owned by it alone (design rule 7).

    Attributes are the guide's own words for these things.
    """

    namespace: str
    service_account: str
    policy: str
    role: str
    token: str
    release: str
    cluster: str
    user: str
    group: str
    access_role: str
    binding: str
    github: str
    saml: str
    oidc: str

    @property
    def node_role(self) -> str:
        """IAM role of a node; the guide names none."""
        return f"{self.role}-node"

    @classmethod
    def printed(cls) -> Names:
        """The guide's own names; for `@alone` scenarios."""
        return cls(
            namespace="teleport-agent",
            service_account="teleport-kube-agent-sa",
            policy="kube-iam-policy",
            role="kube-iam-role",
            token="kube-iam-token",  # noqa: S106  # the name of a join token is no secret (claim s2.name-not-secret)
            release="teleport-agent",
            cluster="iam-cluster",
            user="alice",
            group="viewers",
            access_role="kube-access",
            binding="viewers-crb",
            github="github",
            saml="mysaml",
            oidc="myoidc",
        )

    @classmethod
    def unique(cls, suffix: str) -> Names:
        """The guide's names made this scenario's own by a suffix of letters and digits."""
        printed = cls.printed()
        # The service account lives in the scenario's namespace: its printed name can stay.
        own = {
            name: f"{value}-{suffix}" for name, value in vars(printed).items() if name != "service_account"
        }
        return cls(service_account=printed.service_account, **own)

    def beside(self, *, cluster: str | None = None) -> Names:
        """Names of a second deployment for the same user: all its own, save for who is let in and how.

        Args:
            cluster: Name under which it registers; one of its own where not given.
        """
        own = ("namespace", "policy", "role", "token", "release", "cluster")
        second = {name: f"{vars(self)[name]}-2" for name in own}
        return replace(self, **{**second, "cluster": cluster or second["cluster"]})


def role_of(arn: str) -> str:
    """Role of `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`; any other ARN as it is, which is no role's."""
    _, found, session = arn.partition(":assumed-role/")
    return session.partition("/")[0] if found else arn


def identity_in(log: str) -> tuple[str, str]:
    """Account and role in the log of a pod that asked STS who it is.

    Raises:
        AssertionError: STS did not tell it.
    """
    try:
        answer: dict[str, Any] = json.loads(log)
    except ValueError:
        raise AssertionError(
            f"expected: a pod that STS tells who it is\nseen: {log.strip()[-500:]}"
        ) from None
    return answer["Account"], role_of(answer["Arn"])


def _nothing_beside(names: Names) -> Scenario:
    raise EnvironmentBroken(
        expected=f"a place for a second deployment, {names.release}",
        seen="this environment gives none",
        remedy="run the scenario in the lab",
    )


@dataclass(frozen=True)
class Scenario:
    """What one scenario is handed: ports bound to its names.

    Attributes:
        id: The scenario's fixed id.
        names: Everything it names.
        aws: The AWS account.
        kubernetes: The cluster, with an administrator's eyes.
        teleport: The Teleport cluster, with full permissions.
        agent: The agent that it deploys.
        workstation: The reader's own machine.
        roles: The reader's roles.
        connectors: Of identity providers.
        description: The environment it runs in.
        beside: Gives the same ports, bound to other names, in the same home.
        disruption: Of the environment, where it can be disrupted.
        impostor: Who asks to join in the agent's place.
        until_end: What lasts until the scenario ends, and is over before the rest of it is undone.
    """

    id: str
    names: Names
    aws: Account
    kubernetes: Cluster
    teleport: Teleport
    agent: Agent
    workstation: Workstation
    roles: Roles
    connectors: Connectors
    description: Description = field(repr=False)
    beside: Beside = field(repr=False, default=_nothing_beside)
    disruption: Disruption | None = field(repr=False, default=None)
    impostor: Impostor | None = field(repr=False, default=None)
    until_end: contextlib.ExitStack = field(repr=False, default_factory=contextlib.ExitStack)
    _disrupted: contextlib.ExitStack = field(repr=False, default_factory=contextlib.ExitStack)

    # Arrangements, through APIs

    def make_service_account(self) -> None:
        """What step 1 leaves behind: namespace, IAM role without any policy, annotated service account."""
        self.kubernetes.create_namespace()
        self.kubernetes.create_service_account(self.aws.create_role())

    def make_token(self, *, account_id: str | None = None, role: str | None = None) -> None:
        """What step 2 leaves behind: a joining token by IAM.

        Args:
            account_id: AWS account of its rule; the run's where not given. The ARN stays of the run's
                account: a product that looks at the ARN alone would admit the agent.
            role: IAM role of its rule; the scenario's where not given.
        """
        rule = {
            "aws_account": account_id or self.aws.account_id,
            "aws_arn": self.role_pattern(role=role),
        }
        self.teleport.create(
            {
                "kind": "token",
                "version": "v2",
                # Without an expiry 12 and 13 take half an hour (guide, edition 13).
                "metadata": {"name": self.names.token, "expires": "3000-01-01T00:00:00Z"},
                "spec": {"roles": ["Kube"], "join_method": "iam", "allow": [rule]},
            }
        )

    def make_joined_agent(self) -> None:
        """An agent that was deployed as the guide says and has joined by IAM."""
        self.make_service_account()
        self.make_token()
        self.agent.install()
        self.agent.joined()

    def make_signed_in_user(self, *roles: str) -> None:
        """A local user with these roles, signed in on the workstation."""
        self.teleport.create_user(roles)
        self.teleport.sign_in(with_roles=roles)

    def make_user_with_guide_role(self) -> None:
        """A signed-in user who had the guide's role already when signing in."""
        self.make_guide_role()
        self.make_signed_in_user("access", self.names.access_role)

    def make_bound_user(self) -> None:
        """A signed-in user with the guide's role, whose group the cluster binds."""
        self.make_user_with_guide_role()
        self.bind_group()

    def make_guide_role(self) -> None:
        """The role of the guide's kube-access.yaml (claim ts.role-created)."""
        self.teleport.create(self.workstation.file("kube-access.yaml"))

    def make_user_given_guide_role(self, *, sign_in_again: bool) -> None:
        """A user who signed in without Kubernetes groups and then got the guide's role (claim ts.local-user)."""
        self.make_signed_in_user("access")
        self.make_guide_role()
        self.teleport.grant(self.names.access_role)
        if sign_in_again:
            self.teleport.sign_in(with_roles=("access", self.names.access_role))

    def make_serving_agent(self) -> None:
        """A joined agent, and a signed-in user who can use it."""
        self.make_joined_agent()
        self.make_bound_user()

    def bind_group(self) -> None:
        """Applies the guide's viewers-bind.yaml and waits until RBAC knows it (claim ts.viewers-bound)."""
        self.kubernetes.apply(self.workstation.file("viewers-bind.yaml"))
        self.kubernetes.wait_allowed("list", "pods", [self.names.group])

    def deny_role(self) -> None:
        """Has AWS deny the agent's role everything, and sees that it does.

        Raises:
            EnvironmentBroken: A call for the role is not denied.
        """
        self.aws.deny(DENIED)
        call = self.agent.call_aws()
        if call["verdict"] != "denied" or DENIED_BY not in call["reason"]:
            raise EnvironmentBroken(
                expected="AWS to deny the agent's role from now on",
                seen=f"{call['action']}: {call['verdict']} {call['reason']}",
                remedy="see the gateway's log",
            )

    def remove_token(self) -> None:
        """Removes the joining token, which is there, and sees that it is gone."""
        self.token()
        self.teleport.remove(f"token/{self.names.token}", wait=True)

    # What happens to the environment

    def restart_node(self) -> Restarted:
        """The agent's node is stopped and started; what is known of the agent afterwards."""
        return self.agent.lose_node(self._disruption.node_away())

    def miss_teleport(self) -> Restarted:
        """Teleport is away for a while; what is known of the agent afterwards."""
        return self.agent.lose_teleport(self._disruption.teleport_away())

    def take_teleport_away(self) -> None:
        """Teleport is stopped, until `end_disruption` or the scenario ends."""
        self._disrupt(self._disruption.teleport_away())

    def lead_tunnel_to(self, address: str) -> None:
        """Teleport sends agents to this `host:port` for the reverse tunnel, until `end_disruption`."""
        self._disrupt(self._disruption.teleport_with_tunnel_at(address))

    def switch_kubernetes_off(self) -> None:
        """Teleport's proxy takes no requests of kubectl, until `end_disruption`."""
        self._disrupt(self._disruption.teleport_without_kubernetes())

    def _disrupt(self, away: AbstractContextManager[None]) -> None:
        self.until_end.enter_context(self._disrupted)
        self._disrupted.enter_context(away)

    def end_disruption(self) -> None:
        """Teleport runs as before."""
        self._disrupted.close()

    def lose_data_of_teleport(self) -> None:
        """Teleport comes back without its data, and the joining token is made anew.

        Raises:
            EnvironmentBroken: It knows the token of before.
        """
        self.until_end.enter_context(self._disruption.teleport_without_data())
        if self.teleport.get(f"token/{self.names.token}") is not None:
            raise EnvironmentBroken(
                expected="a Teleport without its data to know no token",
                seen=f"token {self.names.token}",
                remedy="it has its data still: nothing would be shown",
            )
        self.make_token()

    def served_anew(self) -> tuple[str, str, str]:
        """The agent starts without an identity, and serves a user made anew: host id before, now, and who served."""
        before = self.agent.host_id()
        self.agent.start_anew()
        joined = self.agent.joined()
        self.make_user_with_guide_role()
        return before, joined.host_id, self.agent.served_by()

    @property
    def somebody_else(self) -> Impostor:
        """Who asks to join in the agent's place."""
        if self.impostor is None:
            raise EnvironmentBroken(
                expected="an environment in which somebody else can ask to join",
                seen=f"{self.description.name}, which offers nothing of the kind",
                remedy="run the scenario in the lab",
            )
        return self.impostor

    @property
    def _disruption(self) -> Disruption:
        if self.disruption is None:
            raise EnvironmentBroken(
                expected="an environment whose parts can be stopped and started again",
                seen=f"{self.description.name}, which offers nothing of the kind",
                remedy="the scenario wants a tag @needs: for it",
            )
        return self.disruption

    # What the oracles show, in the guide's words

    def other_account_id(self) -> str:
        """An AWS account that is not the run's."""
        return f"{(int(self.aws.account_id) + 1) % 10**12:012d}"

    def role_pattern(self, *, role: str | None = None) -> str:
        """The `aws_arn` that step 2 prints, for this scenario's role."""
        return f"arn:aws:sts::{self.aws.account_id}:assumed-role/{role or self.names.role}/*"

    def allowed_by_policy(self) -> set[tuple[str, str, str]]:
        """Effect, action and resource of each statement of the IAM policy."""
        return {
            (statement["Effect"], statement["Action"], statement["Resource"])
            for statement in self.aws.policy()["Statement"]
        }

    def trusted_by_role(self) -> list[JSON]:
        """Statements of the IAM role's trust policy, as IAM stores them."""
        statements: list[JSON] = self.aws.role()["AssumeRolePolicyDocument"]["Statement"]
        return statements

    def trust_of_the_guide(self) -> list[JSON]:
        """The one statement that step 1 means the role to have (claim s1.trust)."""
        return [self.aws.trust(self.names.service_account)]

    def identity_of_a_pod(self) -> tuple[str, str]:
        """Account and role that STS tells a pod of the service account (claim s1.ready).

        Raises:
            AssertionError: STS did not tell it.
        """
        return identity_in(self.log_of_a_pod())

    def log_of_a_pod(self, node: Mapping[str, str] | None = None) -> str:
        """What a pod of the service account prints that asks STS who it is.

        Args:
            node: What a pod on a node with an identity finds there; by default a node has none.
        """
        arguments = ["sts", "get-caller-identity"]
        return self.kubernetes.run_pod("who-am-i", IDENTITY_IMAGE, arguments, environment=node)

    def token_admits_by(self) -> tuple[str, tuple[str, ...]]:
        """Join method and roles of the joining token."""
        spec = self.token()["spec"]
        return spec["join_method"], tuple(spec["roles"])

    def token_admits(self) -> tuple[tuple[str, str], ...]:
        """Account and ARN pattern of each allow rule of the joining token."""
        rules = self.token()["spec"]["allow"]
        return tuple((rule.get("aws_account", ""), rule.get("aws_arn", "")) for rule in rules)

    def token(self) -> JSON:
        """The joining token as Teleport has it.

        Raises:
            AssertionError: There is none.
        """
        found = self.teleport.get(f"token/{self.names.token}")
        if found is None:
            raise AssertionError(f"expected: token {self.names.token} in Teleport\nseen: none")
        return found

    def joined_by(self) -> tuple[set[str], str]:
        """Methods of the agent's joins, and the version of its registered server (design rule 2)."""
        joined = self.agent.joined()
        return set(joined.methods.values()), joined.version

    def identities_of_the_agent(self) -> set[tuple[str, str]]:
        """Account and role that STS answered to the Auth Service about the agent (claims s1.own-identity, s2.proof)."""
        answered = self.agent.answered()
        # Of a simulated Teleport nothing is found out about the product.
        if answered and not self.description.components["teleport"].simulated:
            note(
                "guide",
                "s2.proof",
                "the agent proves itself by a signed request for its identity; an identity document is of EC2 joining",
            )
        return {(account, role_of(arn)) for account, arn in answered}

    def account_of_the_agent(self) -> str:
        """Service account that the agent's pod runs as."""
        name: str = self.agent.deployed()["spec"]["serviceAccountName"]
        return name

    def given_to_join(self) -> str:
        """All that Secrets of the namespace hold, but the state that the agent wrote (claim how.no-secret).

        Another value than the token's name is told by its place: it may be a secret, and a failed check is shown.
        """
        secrets = self.kubernetes.secrets()
        secrets.pop(f"{self.names.release}-0-state", None)
        named = self.names.token.encode()
        held = (
            self.names.token if value.strip() == named else f"something else in key {key} of Secret {secret}"
            for secret, data in secrets.items()
            for key, value in data.items()
        )
        return ", ".join(sorted(held))

    def agent_user(self) -> str:
        """The agent's user name in Kubernetes."""
        return f"system:serviceaccount:{self.names.namespace}:{self.names.service_account}"

    def groups_of_the_user(self) -> tuple[str, ...]:
        """Groups that the agent has to impersonate for the scenario's user, sorted."""
        return tuple(sorted(("system:authenticated", self.names.group)))

    def seen_by_api_server(self, user: str | None = None) -> set[tuple[str, str, tuple[str, ...]]]:
        """Who asked, as whom, with which groups: every request of a user on the API server's audit log.

        Args:
            user: As Kubernetes has it; the Teleport user where not given.
        """
        return {
            (
                record["user"]["username"],
                record.get("impersonatedUser", {}).get("username", ""),
                tuple(sorted(record.get("impersonatedUser", {}).get("groups", ()))),
            )
            for record in self.kubernetes.audit(user or self.names.user)
        }

    def refusal_told_to_the_user(self, told_by_kubectl: str) -> str:
        """What Teleport answers to a request for pods, unmasked by kubectl's own discovery (#9642).

        Args:
            told_by_kubectl: What plain `kubectl get pods` told; a finding where it hides the reason.
        """
        path = f"/api/v1/namespaces/{self.names.namespace}/pods"
        told = self.workstation.kubectl("get", "--raw", path).completed.stderr
        shown = told_by_kubectl.strip().splitlines()
        # Of a simulated Teleport nothing is found out about the product.
        real = not self.description.components["teleport"].simulated
        if real and shown and shown[-1] not in told:
            note(
                "product",
                "ts.need-user-or-group",
                f"`kubectl get pods` tells the user {shown[-1]!r}; the reason shows only with `kubectl get --raw`",
            )
        return told

    def refused_to_the_user(self) -> tuple[str, ...]:
        """Which of deleting pods and reading Secrets Kubernetes forbids to the signed-in user."""
        pod = f"{self.names.release}-0"
        tried = {
            "delete pods": ("delete", "pod", pod, "--wait=false", "--namespace", self.names.namespace),
            "get secrets": ("get", "secrets", "--namespace", self.names.namespace),
        }
        return tuple(
            name
            for name, arguments in tried.items()
            if self.workstation.kubectl(*arguments).response_codes() == {403}
        )
