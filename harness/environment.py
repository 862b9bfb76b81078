"""Ports: what an environment is, and what a scenario is handed.

The members of a `Scenario` are Protocols. Every environment (lab, kind, existing) brings adapters
that fulfil them; steps and scenarios see nothing else. Members are bound to the scenario's names, so
calls take few arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

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


OTHER_AGENT = "other-agent"
"""Component that is an agent of another major: its kind is the image's name, its version the tag."""


@dataclass(frozen=True)
class SimulatedText:
    """A text that a simulated Teleport shows where the real one would show its own.

    Attributes:
        name: What went wrong, or what it is about.
        text: The words, with `{name}` for what differs.
        provenance: `measured` (seen from the real program), `read` (in its source or documentation) or `inferred`.
    """

    name: str
    text: str
    provenance: str


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
        texts: What a simulated Teleport says in the real one's place; empty with a real one.
    """

    name: str
    run: str
    components: Mapping[str, Component]
    capabilities: frozenset[str]
    guide_edition: str
    additions: tuple[str, ...] = ()
    texts: tuple[SimulatedText, ...] = ()


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


Provider = Literal["github", "saml", "oidc"]
"""Kind of an identity provider's connector."""

MEMBERS: Mapping[Provider, Mapping[str, str]] = MappingProxyType(
    {
        "github": {"organization": "octocats", "team": "admins"},
        "saml": {"name": "groups", "value": "my-group"},
        # The field of OIDC is `claim`, not `name` as in the guide's example.
        "oidc": {"claim": "groups", "value": "my-group"},
    }
)
"""Whom the guide's example maps to roles: members of a team, of an attribute's value, of a claim's value."""


@dataclass(frozen=True)
class Mapped(Completed):
    """What mapping a role in a connector left behind.

    Attributes:
        held: Secrets that the file with the connector held, as dotted paths in it.
    """

    held: tuple[str, ...] = ()


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

    def requests(self) -> set[tuple[str, str, int]]:
        """Verb, resource and HTTP status of each request on the API server's audit log, discovery left out."""
        return {
            (str(record["verb"]), str(record["objectRef"]["resource"]), int(record["responseStatus"]["code"]))
            for record in self.kubernetes
            if record.get("objectRef", {}).get("resource")
        }

    def response_codes(self) -> set[int]:
        """HTTP statuses that the API server's audit log has for this call, discovery left out."""
        return {
            int(record["responseStatus"]["code"])
            for record in self.kubernetes
            if record.get("objectRef", {}).get("resource")
        }


@dataclass(frozen=True)
class Sockets:
    """Sockets of an agent's process.

    Attributes:
        listening: Ports that it listens on.
        probed: Ports of its diagnostics, for the kubelet's probes.
        dialled: Addresses `host:port` that it has dialled, as it named them; but the Kubernetes API's, and AWS's.
    """

    listening: frozenset[int]
    probed: frozenset[int]
    dialled: frozenset[str]


class Account(Protocol):
    """The AWS account of the run, seen from one scenario."""

    account_id: str
    region: str

    def create_role(
        self, *, name: str | None = None, service_account: str | None = None, path: str = "/"
    ) -> str:
        """Creates an IAM role that the scenario's service account may assume; returns its ARN."""

    def trust(self, service_account: str) -> JSON:
        """The trust policy statement of step 1 for a service account of the scenario's namespace."""

    def set_trust(self, statement: JSON) -> None:
        """Sets the trust policy of the scenario's role to this one statement."""

    def policy(self) -> JSON:
        """The document of the scenario's IAM policy."""

    def has_role(self) -> bool:
        """Whether IAM has the scenario's role."""

    def move_to(self, region: str) -> None:
        """Has IAM of another partition, that of this region, meant by all that follows."""

    def create_policy(self) -> str:
        """Creates the IAM policy that step 1 prints; returns its ARN."""

    def attach_policy(self, arn: str) -> str:
        """Attaches a policy to the scenario's role; the code with which IAM refused, or an empty text."""

    def permissions(self) -> Sequence[str]:
        """ARNs of the policies attached to the scenario's role, and names of those written into it."""

    def oidc_providers(self) -> Mapping[str, Sequence[str]]:
        """The account's OIDC providers: issuer, with `https://`, to the audiences registered."""

    def create_node(self, *, for_pods: bool = True) -> Mapping[str, str]:
        """Makes a node with an IAM role of its own; environment of a pod that runs on it."""

    def told_of_node(self) -> Sequence[str]:
        """Roles that STS answered when it was asked who signs with the node's identity."""

    def keys_of_a_user(self) -> Mapping[str, str]:
        """Access key of an IAM user of the account, as the variables that AWS's programs read: secret."""

    def create_cluster_without_issuer(self) -> str:
        """Makes an EKS cluster that has no OIDC issuer; returns its name."""

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

    def cut(self, action: str) -> None:
        """From now on nobody is answered who asks this of, or for, the scenario's role."""

    def calm(self) -> None:
        """Ends denial, delay, cut and wrong clock."""


class Cluster(Protocol):
    """The Kubernetes cluster, seen from one scenario with an administrator's eyes."""

    def apply(self, manifest: JSON) -> None:
        """Creates an object, or brings it to this state."""

    def delete(self, kind: str, name: str) -> None:
        """Deletes an object of the scenario's namespace."""

    def change(self, kind: str, name: str, changes: Sequence[JSON]) -> None:
        """Changes an object of the scenario's namespace by a JSON Patch."""

    def create_namespace(self) -> None:
        """Creates the scenario's namespace."""

    def create_service_account(
        self, role_arn: str | None, *, labels: Mapping[str, str] | None = None
    ) -> None:
        """Creates the agent's service account, annotated with the IAM role; with None, without any."""

    def service_account(self) -> JSON:
        """The agent's service account as the API has it."""

    def service_accounts(self) -> Sequence[str]:
        """Names of the service accounts of the scenario's namespace."""

    def run_pod(
        self, name: str, image: str, args: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> str:
        """Runs a pod as the agent's service account to its end; returns its log."""

    def version(self) -> str:
        """Version that the API server tells, as in `v1.32.2`."""

    def issuer(self) -> str:
        """Issuer of service account tokens, as the API server tells it."""

    def pods(self) -> Sequence[JSON]:
        """Pods of the scenario's namespace."""

    def secret(self, name: str) -> JSON | None:
        """A Secret of the scenario's namespace, or None."""

    def secrets(self) -> dict[str, dict[str, bytes]]:
        """Every Secret of the namespace but Helm's records of releases: name to its decoded values."""

    def allowed(self, verb: str, resource: str, groups: Sequence[str]) -> bool:
        """Whether RBAC lets these groups do that in the scenario's namespace."""

    def wait_allowed(
        self, verb: str, resource: str, groups: Sequence[str], *, user: str | None = None
    ) -> None:
        """Waits until RBAC lets these groups, or this user, do that."""

    def audit(self, user: str) -> Sequence[JSON]:
        """Records of the API server's audit log in which this user acts or is impersonated."""

    def untouched_by(self, user: str) -> Sequence[JSON]:
        """Watches that no request of this user reaches the API server; those seen: none."""


class Teleport(Protocol):
    """The Teleport cluster, seen from one scenario with full permissions."""

    version: str

    def ping(self) -> JSON:
        """What the proxy answers now to `GET /v1/webapi/ping`."""

    def administer(self, *arguments: str, resource: JSON | None = None) -> Completed:
        """Runs `tctl` beside the Auth Service, without signing in; a resource goes to its standard input."""

    def trusted_pins(self) -> Sequence[str]:
        """Pins of the authorities that `tsh` was given at sign-in, computed from their certificates."""

    def create(self, resource: JSON) -> None:
        """Creates a resource, or replaces it."""

    def get(self, reference: str) -> JSON | None:
        """A resource by `kind/name`, or None."""

    def becomes(self, reference: str, ready: Callable[[JSON], bool]) -> JSON:
        """Waits until a resource is as it shall be; the Auth Service shows a change up to a second late."""

    def remove(self, reference: str, *, wait: bool = False) -> None:
        """Removes a resource by `kind/name`; with `wait`, sees that it is gone."""

    def adopt(self, reference: str) -> None:
        """Has a resource that the reader is going to make removed with the scenario."""

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

    def logs(self, text: str) -> str:
        """Waits until the Auth Service's log holds a text, since the scenario began; what it holds since."""


class Agent(Protocol):
    """The agent that the scenario deploys."""

    def install(self, values: Mapping[str, str] | None = None) -> None:
        """Installs the chart with the guide's values, `values` in their place."""

    def try_install(self, values: Mapping[str, str]) -> Completed:
        """As `install`, whatever Helm makes of it; what it left behind."""

    def apply_rendered(self, values: Mapping[str, str] | None = None, *, hooks: bool) -> Completed:
        """Renders the chart without the cluster, as GitOps tools do, and applies it; what kubectl left behind.

        Args:
            values: In place of the guide's.
            hooks: Whether its hooks are applied, too.
        """

    def events(self, text: str) -> str:
        """Waits until Kubernetes' warnings about the agent's pod or StatefulSet hold a text; all of them."""

    def unregistered_until(self, mend: Callable[[], None]) -> Sequence[str]:
        """Watches that the agent joins in vain, and registers once `mend` was called; hosts registered before that."""

    def never_starts_until(self, mend: Callable[[], None]) -> Sequence[JSON]:
        """Watches that no container of the agent starts, and has it join once `mend` was called; what did before."""

    def ends_until(self, mend: Callable[[], None]) -> Sequence[JSON]:
        """Watches that the agent ends again and again, and has it join once `mend` was called; joins before that."""

    def joined(self) -> Joined:
        """Waits for the three facts of "joined by IAM"."""

    def joined_as(self, roles: Collection[str]) -> Joined:
        """Waits for the three facts, and for a join as each of these system roles."""

    def refused_as(self, roles: Collection[str]) -> Sequence[str]:
        """Waits until Teleport's audit log shows refused joins as these system roles; all that it shows."""

    def configuration(self) -> JSON:
        """The agent's `teleport.yaml`, as the release has it."""

    def chart_version(self) -> str:
        """Version of the chart that the release is of, as Helm keeps it in the cluster."""

    def sockets(self) -> Sockets:
        """Sockets of the agent's process (capability `agent-sockets`)."""

    def answering(self, hosts: Collection[str]) -> Sequence[str]:
        """Host ids of the agents that answer the signed-in user, who asks until each of these has answered."""

    def lose_node(self, away: AbstractContextManager[None]) -> Restarted:
        """Has the agent's node away for a block, and waits for what shows that the agent works again on it."""

    def lose_teleport(self, away: AbstractContextManager[None]) -> Restarted:
        """Has Teleport away until the agent tried in vain, and waits for what shows that it works again."""

    def stays_unknown(self) -> tuple[Sequence[str], Sequence[JSON]]:
        """Watches that the agent tries and neither registers nor joins; hosts registered and joins: none."""

    def start_anew(self) -> None:
        """Deletes the agent's identity and its pod, so that another pod starts without one."""

    def stop(self) -> None:
        """Ends the agent for good, what it registered left behind."""

    def served_by(self) -> str:
        """Host id of the agent that answers a call of the signed-in user; tried until one does."""

    def again(self) -> None:
        """Deletes the agent's pod, so that another one is made; waits for nothing but that it goes."""

    def upgrade(self, values: Mapping[str, str]) -> None:
        """Upgrades the release to the guide's values, these in their place."""

    def out_until(self, mend: Callable[[], None], *, roles: Collection[str] = ...) -> Sequence[JSON]:
        """Watches that the agent tries again and does not join, and joins once `mend` was called; joins before that.

        Args:
            mend: What takes away what keeps it out.
            roles: System roles as which it must not join; those of an agent for Kubernetes where not given.
        """

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

    def roles_that_log(self, text: str, roles: Collection[str]) -> Sequence[str]:
        """Waits until the agent has logged a text of its attempt as each of these system roles; those seen."""

    def pod_line(self) -> tuple[str, str, int]:
        """Waits until the pod is ready: its READY, STATUS and RESTARTS columns."""

    def pod(self) -> JSON:
        """The agent's pod as the API has it."""

    def deployed(self) -> JSON:
        """Waits until the agent's pod runs, ready or not; returns it."""

    def ready(self) -> JSON:
        """Waits until the agent's pod is ready; returns it."""

    def host_id(self) -> str:
        """The host id in the state Secret."""


class Workstation(Protocol):
    """The reader's own machine: a shell with aws, kubectl, helm, tctl and tsh."""

    guide_version: str
    """What the guide's site fills in as the version to install."""

    proxy_address: str
    """`host:port` of the Teleport proxy, as the guide's PROXY."""

    def require(self, *tools: str) -> None:
        """Ends the scenario as not applicable where a tool that the guide uses is absent."""

    def run(self, script: str, *, shell: str = "bash") -> Completed:
        """Runs a script in the scenario's own home."""

    def guide(  # a reader may deviate in each of these
        self,
        *claims: str,
        shell: str = "bash",
        corrected: bool = False,
        variables: Mapping[str, str] | None = None,
        instead: Mapping[str, str] | None = None,
    ) -> Completed:
        """Runs the edition's code blocks of these claims in one shell, as printed or as they should read."""

    def told(self, program: str, *claims: str, corrected: bool = False) -> Sequence[str]:
        """What the shell passes to a program in these code blocks, the program itself not run."""

    def file(self, name: str) -> dict[str, Any]:
        """A YAML file that the guide has its reader make in an editor, with the scenario's names."""

    def save(self, name: str) -> None:
        """Makes that file in the reader's home."""

    def kubeconfig(self) -> JSON:
        """The reader's kubeconfig, as the file has it."""

    def point_elsewhere(self) -> str:
        """Sets kubectl to a cluster that does not answer; the name of the context before."""

    def clusters(self) -> Sequence[str]:
        """The clusters that `tsh kube ls` lists now."""

    def unlisted(self, mend: Callable[[], None]) -> Sequence[str]:
        """Watches that `tsh kube ls` does not list the scenario's cluster, and does once `mend` was called."""

    def listed_clusters(self) -> Sequence[str]:
        """Waits until `tsh kube ls` lists the scenario's cluster; all that it lists."""

    def pods_shown(self) -> Sequence[str]:
        """Waits until kubectl lists pods of the scenario's namespace through Teleport; their names."""

    def kubectl(self, *arguments: str, routed: bool = False) -> Routed:
        """Runs kubectl through Teleport as the scenario's user, with what both audit logs saw.

        Args:
            *arguments: Of kubectl.
            routed: Whether Teleport must route the call though it may be refused, so that its log shows it.
        """


class Roles(Protocol):
    """What the reader's roles allow in Kubernetes, and how the guide has them looked at and made."""

    kubernetes_user: str
    """A Kubernetes user that a role of the scenario allows."""

    def make_editor(self, *others: str) -> None:
        """Signs in a user who may edit resources, with a role that allows a Kubernetes group and user."""

    def make_kubernetes_user(self) -> None:
        """Signs in a user whose role allows a Kubernetes user and no group, and lets that one view the cluster."""

    def make_reader(self) -> None:
        """Signs in a user who may edit resources and has made the guide's kube-access.yaml in an editor."""

    def save_binding(self) -> None:
        """The guide's viewers-bind.yaml, made in an editor."""

    def ask(self, *, corrected: bool = False) -> Completed:
        """Asks for the current roles, their groups and their users, as printed or as it should read."""

    def take_on(self, *, shell: str = "bash") -> Completed:
        """Makes the role of kube-access.yaml and adds it to the reader's own, as printed."""

    def bind(self) -> Completed:
        """Applies viewers-bind.yaml, as printed."""

    def told(self) -> tuple[Sequence[str], Sequence[str]]:
        """Kubernetes users and groups that the reader's certificate has."""

    def promised(self, printed: str) -> tuple[Sequence[str], tuple[Sequence[str], Sequence[str]]]:
        """Groups and users printed for the reader, beside those of the certificate; a finding where it has none."""

    def told_after_signing_in_again(self) -> tuple[Sequence[str], Sequence[str]]:
        """The same, once signing in gives the guide's role beside those of before."""

    def created(self) -> Mapping[str, object]:
        """What the guide's role allows in Teleport."""

    def printed(self) -> Mapping[str, object]:
        """What kube-access.yaml allows."""

    def allowed_to_group(self) -> Sequence[str]:
        """What the guide's group may do in Kubernetes of listing and deleting pods and reading Secrets."""


class Connectors(Protocol):
    """Connectors of identity providers."""

    def create(self, kind: Provider) -> None:
        """Makes the connector that the guide takes for given, the guide's role, and a reader who may edit both."""

    def map_role(self, kind: Provider) -> Mapped:
        """Maps the guide's role in a connector, as printed for that kind."""

    def mapped(self, kind: Provider) -> Sequence[tuple[Mapping[str, str], Sequence[str]]]:
        """The connector's mapping as Teleport has it: each team, attribute or claim, and its roles."""

    def named_wrongly(self, mapped: Mapped) -> Sequence[str]:
        """Secrets that the file held, where the one that the guide names is not among them; a finding."""

    def sign_in(self) -> Sequence[str]:
        """Signs in a member of a mapped team, attribute or claim by the identity provider; the roles given."""


@dataclass(frozen=True)
class Answered:
    """What came of a request to join.

    Attributes:
        host_id: Of the host that it was asked for; no other has it.
        words: With which it was refused; empty where certificates were given.
        asked: Calls on the gateway's log by which STS, or a host in its place, was asked who signed it.
    """

    host_id: str
    words: str
    asked: tuple[JSON, ...]


class Impostor(Protocol):
    """Somebody who has what the agent signs, and asks to join with it."""

    def ask(self, forgery: str) -> Answered:
        """Asks Teleport once for the certificates of a host.

        Args:
            forgery: A failure of the table, which says what the request is; `genuine` for the agent's own.
        """

    def take_role(self, *, genuine: bool) -> JSON:
        """Asks AWS once for the scenario's role, with a web identity of the agent's; the gateway's record of it.

        Args:
            genuine: Whether it has the signature that the cluster gave it.
        """


class Disruption(Protocol):
    """What an environment can stop of its own; it runs as before when the block ends, whatever became of it."""

    def teleport_away(self) -> AbstractContextManager[None]:
        """Auth and Proxy Service are stopped; started again, with their data (capability `stop-teleport`)."""

    def teleport_without_data(self) -> AbstractContextManager[None]:
        """Auth and Proxy Service run, and have lost all that they knew; then again with it (`stop-teleport`)."""

    def teleport_with_tunnel_at(self, address: str) -> AbstractContextManager[None]:
        """They send agents to this `host:port` for the reverse tunnel; then as before (`stop-teleport`)."""

    def teleport_without_kubernetes(self) -> AbstractContextManager[None]:
        """The Proxy Service takes no requests of kubectl; then as before (`stop-teleport`)."""

    def node_away(self) -> AbstractContextManager[None]:
        """The agent's node is drained and stopped; started again and uncordoned (capability `restart-node`)."""


class Environment(Protocol):
    """A place where scenarios run."""

    description: Description

    def open(self, scenario_id: str, *, alone: bool) -> AbstractContextManager[Scenario]:
        """Gives a scenario its names and ports; on leaving, removes what it made, newest first.

        Args:
            scenario_id: Of the scenario.
            alone: Whether it gets the printed names, which one scenario at a time has; it waits for its turn.
        """
