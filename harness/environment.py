"""Ports: what an environment is, and what a scenario is handed.

The members of a `Scenario` are Protocols. Every environment (lab, kind, existing) brings adapters
that fulfil them; steps and scenarios see nothing else. Members are bound to the scenario's names, so
calls take few arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.scenario import Scenario

JSON = Mapping[str, Any]


@dataclass(frozen=True)
class Component:
    """One replaceable piece of an environment, as it was seen running.

    Attributes:
        kind: What it is, in words (`teleport`, `AWS gateway over moto`).
        version: As the running component itself reports it.
        simulated: Whether it stands in for the product; such a run never counts as conformance.
        detail: What a reader of the report should know of it (what it does not do).
    """

    kind: str
    version: str
    simulated: bool
    detail: str = ""


@dataclass(frozen=True)
class Description:
    """What an environment consists of and can show.

    Attributes:
        name: `lab`, `kind` or `existing`.
        run: Id of the run that owns the environment (six hexadecimal digits).
        components: `aws`, `kubernetes`, `kubelet`, `teleport`, `chart`, `clients`.
        capabilities: What `@needs:` tags may ask for.
        guide_edition: The edition that goes with the Teleport version, or the overriding one.
        additions: What the harness adds to the guide's own set-up (CA, proxy, webhook), for the report.
    """

    name: str
    run: str
    components: Mapping[str, Component]
    capabilities: frozenset[str]
    guide_edition: str
    additions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completed:
    """What a command of the workstation left behind.

    Attributes:
        script: The text that was run.
        exit_code: Exit status; negative for a signal.
        stdout: Standard output, whole.
        stderr: Standard error, whole.
        failed: Commands of a pasted script that ended with another status than 0.
    """

    script: str
    exit_code: int
    stdout: str
    stderr: str
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joined:
    """The three facts of "joined by IAM" (design rule 2), as seen.

    Attributes:
        host_id: The agent's host id, the same in all three places.
        version: Version that the `kube_server` reports.
        methods: Join method of each `instance.join` event of that host, by role.
        identity_keys: Identity keys of the state Secret.
    """

    host_id: str
    version: str
    methods: Mapping[str, str]
    identity_keys: tuple[str, ...]


@dataclass(frozen=True)
class Restarted:
    """What is known of an agent after a restart (design rule 2).

    Attributes:
        host_id_before: Host id before the restart.
        host_id: Host id of the `kube_server` renewed after the new pod started.
        pod_before: uid of the pod before.
        pod: uid of the pod that is ready now.
        mark: Sequence number of the AWS gateway's log when the restart began.
        joins: `instance.join` events of that host id since the restart.
        served_by: `server_id` of a routed call made and audited since.
    """

    host_id_before: str
    host_id: str
    pod_before: str
    pod: str
    mark: int
    joins: tuple[JSON, ...]
    served_by: str


@dataclass(frozen=True)
class Refusal:
    """Why Teleport refused a join, from oracles (design rule 5).

    Attributes:
        answered: Principals that STS answered to the Auth Service's replayed requests: (account, ARN).
        allowed: The token's allow rules: (account, ARN pattern).
        joins: `instance.join` events of this agent: none, or the refusal is not one.
    """

    answered: tuple[tuple[str, str], ...]
    allowed: tuple[tuple[str, str], ...]
    joins: tuple[JSON, ...]

    @property
    def cause(self) -> str:
        """Why no rule admits what STS answered: `account`, `arn`, or `none` where a rule does.

        A rule admits who has its account and matches its ARN; what a rule leaves out, anyone has. In its ARN
        `*` stands for any text, slashes too, and `?` for one character. Where STS answered nothing, the rule
        was not the cause.
        """
        same_account = [
            (pattern, arn)
            for allowed, pattern in self.allowed
            for account, arn in self.answered
            if allowed in {"", account}
        ]
        if any(not pattern or _matches(pattern, arn) for pattern, arn in same_account) or not self.answered:
            return "none"
        return "arn" if same_account else "account"


def _matches(pattern: str, arn: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), arn))


@dataclass(frozen=True)
class Routed:
    """One call of kubectl that went through Teleport, and who saw it.

    Attributes:
        completed: What kubectl printed.
        teleport: `kube.request` audit events of this user since the call began.
        kubernetes: Records of the API server's audit log with this user impersonated or acting.
    """

    completed: Completed
    teleport: tuple[JSON, ...]
    kubernetes: tuple[JSON, ...]

    def pod_names(self) -> tuple[str, ...]:
        """First column of what `kubectl get pods` printed."""
        return tuple(line.split()[0] for line in self.completed.stdout.splitlines()[1:] if line.strip())

    def response_codes(self) -> set[int]:
        """HTTP statuses that the API server's audit log has for this call, discovery left out."""
        return {
            int(record["responseStatus"]["code"])
            for record in self.kubernetes
            if record.get("objectRef", {}).get("resource")
        }


class Account(Protocol):
    """The AWS account of the run, seen from one scenario."""

    account_id: str
    region: str

    def create_role(self, *, name: str | None = None, service_account: str | None = None) -> str:
        """Creates an IAM role that the scenario's service account may assume; returns its ARN."""

    def trust(self, service_account: str) -> JSON:
        """The trust policy statement of step 1 for a service account of the scenario's namespace."""

    def policy(self) -> JSON:
        """The document of the scenario's IAM policy."""

    def role(self) -> JSON:
        """The scenario's IAM role as IAM stores it (trust policy parsed)."""

    def calls(self, *, after: int = 0) -> Sequence[JSON]:
        """The gateway's log of calls that name the scenario's role, oldest first."""

    def mark(self) -> int:
        """Sequence number of the newest call of all, to ask for later ones."""

    def deny(self, reason: str) -> None:
        """From now on every call of, or for, the scenario's role is denied."""

    def delay(self, by: float) -> None:
        """From now on every call of, or for, the scenario's role takes `by` seconds longer."""

    def shift_clock(self, by: float) -> None:
        """Moves AWS's clock, for the scenario's role only, by seconds."""


class Cluster(Protocol):
    """The Kubernetes cluster, seen from one scenario with an administrator's eyes."""

    def apply(self, manifest: JSON) -> None:
        """Creates an object, or brings it to this state."""

    def create_namespace(self) -> None:
        """Creates the scenario's namespace."""

    def create_service_account(self, role_arn: str) -> None:
        """Creates the agent's service account, annotated with the IAM role."""

    def service_account(self) -> JSON:
        """The agent's service account as the API has it."""

    def service_accounts(self) -> Sequence[str]:
        """Names of the service accounts of the scenario's namespace."""

    def run_pod(self, name: str, image: str, args: Sequence[str]) -> str:
        """Runs a pod as the agent's service account to its end; returns its log."""

    def pods(self) -> Sequence[JSON]:
        """Pods of the scenario's namespace."""

    def secret(self, name: str) -> JSON | None:
        """A Secret of the scenario's namespace, or None."""

    def allowed(self, verb: str, resource: str, groups: Sequence[str]) -> bool:
        """Whether RBAC lets these groups do that in the scenario's namespace."""

    def wait_allowed(self, verb: str, resource: str, groups: Sequence[str]) -> None:
        """Waits until RBAC lets these groups do that."""

    def audit(self, user: str) -> Sequence[JSON]:
        """Records of the API server's audit log in which this user acts or is impersonated."""

    def untouched_by(self, user: str) -> Sequence[JSON]:
        """Watches that no request of this user reaches the API server; those seen: none."""


class Teleport(Protocol):
    """The Teleport cluster, seen from one scenario with full permissions."""

    version: str

    def create(self, resource: JSON) -> None:
        """Creates a resource, or replaces it."""

    def get(self, reference: str) -> JSON | None:
        """A resource by `kind/name`, or None."""

    def remove(self, reference: str, *, wait: bool = False) -> None:
        """Removes a resource by `kind/name`; with `wait`, sees that it is gone."""

    def create_user(self, roles: Sequence[str]) -> None:
        """Creates the scenario's local user, with a password of its own."""

    def grant(self, role: str) -> None:
        """Adds a role to the scenario's user, by `tctl users update`."""

    def sign_in(self, *, with_roles: Sequence[str]) -> None:
        """Signs the scenario's user in with tsh, on the workstation, until the certificate has these roles."""

    def kube_servers(self) -> Sequence[JSON]:
        """`kube_server` resources of the scenario's Kubernetes cluster name."""

    def audit(self, event: str) -> Sequence[JSON]:
        """Audit events of that type, oldest first."""


class Agent(Protocol):
    """The agent that the scenario deploys."""

    def install(self, values: Mapping[str, str] | None = None) -> None:
        """Installs the chart with the guide's values, `values` in their place."""

    def joined(self) -> Joined:
        """Waits for the three facts of "joined by IAM"."""

    def refused(self) -> Refusal:
        """Waits until STS answered the Auth Service, then watches that no join follows."""

    def restart(self) -> Restarted:
        """Deletes the agent's pod and waits for what shows that its successor works."""

    def answered(self) -> Sequence[tuple[str, str]]:
        """Account and ARN that STS answered to the Auth Service's replayed requests about this agent."""

    def call_aws(self) -> JSON:
        """One AWS call for the agent's role, made by the harness: its record in the gateway's log."""

    def stays_off_aws(self, restarted: Restarted) -> Sequence[JSON]:
        """Watches that a restart made no AWS call; the calls seen: none."""

    def uninstall(self) -> None:
        """Uninstalls the release."""

    def log(self) -> str:
        """Log of the agent's pod."""

    def logs(self, text: str) -> str:
        """Waits until the agent's log holds a text; the log."""

    def pod_line(self) -> tuple[str, str, int]:
        """Waits until the pod is ready: its READY, STATUS and RESTARTS columns."""

    def pod(self) -> JSON:
        """The agent's pod as the API has it."""

    def deployed(self) -> JSON:
        """Waits until the agent's pod is there, ready or not; returns it."""

    def ready(self) -> JSON:
        """Waits until the agent's pod is ready; returns it."""

    def host_id(self) -> str:
        """The host id in the state Secret."""


class Workstation(Protocol):
    """The reader's own machine: a shell with aws, kubectl, helm, tctl and tsh."""

    def run(self, script: str, *, shell: str = "bash") -> Completed:
        """Runs a script in the scenario's own home."""

    def guide(self, *claims: str, shell: str = "bash", corrected: bool = False) -> Completed:
        """Runs the edition's code blocks of these claims in one shell, as printed or as they should read."""

    def file(self, name: str) -> dict[str, Any]:
        """A YAML file that the guide has its reader make in an editor, with the scenario's names."""

    def listed_clusters(self) -> Sequence[str]:
        """Waits until `tsh kube ls` lists the scenario's cluster; all that it lists."""

    def kubectl(self, *arguments: str) -> Routed:
        """Runs kubectl through Teleport as the scenario's user, with what both audit logs saw."""


class Environment(Protocol):
    """A place where scenarios run."""

    description: Description

    def open(self, scenario_id: str, *, alone: bool) -> AbstractContextManager[Scenario]:
        """Gives a scenario its names and ports; on leaving, removes what it made, newest first."""
