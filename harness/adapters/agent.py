"""The agent that a scenario deploys with Helm: what is done to it, and what is seen to follow."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.adapters import processes, sockets
from harness.adapters.agent_controls import (
    SERVICES,
    SHOWN_SECONDS,
    CanaryCall,
    CanaryRole,
    Mended,
    MendedToken,
)
from harness.adapters.agent_failures import AgentFailures
from harness.adapters.agent_readings import (
    CHALLENGE_SECONDS,
    JOIN_SECONDS,
    READY_SECONDS,
    answers,
    is_ready,
)
from harness.adapters.teleport import newest
from harness.core.errors import NotObserved
from harness.core.waiting import eventually, stays
from harness.environment import Refusal, Restarted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

    from harness.adapters.agent_readings import SocketsReader
    from harness.adapters.aws import Account
    from harness.adapters.chart import Chart
    from harness.adapters.kubernetes import Cluster
    from harness.adapters.kubernetes_api import KubernetesAPI
    from harness.adapters.teleport import Teleport
    from harness.adapters.workstation import Workstation
    from harness.environment import JSON, Completed
    from harness.scenario import Names

WATCH_SECONDS = 2.0
"""How long a refused agent is watched after its next attempt was refused as well."""

AFTERWARDS_SECONDS = 1.0
"""How long AWS calls are watched for after a restart, on top of the restart itself."""

UNINSTALL_SECONDS = 90.0
"""Budget for `helm uninstall` with its hook Job; 6 s were seen."""

BACK_OFF_SECONDS = 120.0
"""Budget for the agent's next pod to be ready after its node is back, whatever back-off the kubelet is in."""

AWAY_SECONDS = 15.0
"""How long Teleport is away at least: an agent tells within a second or three that its connections ended."""

TRIES_SECONDS = 60.0
"""Budget for it to tell that it could not connect again either; 20 s were seen."""

FORGOTTEN_SECONDS = 120.0
"""The same where Teleport is back and does not know it any more; 44 s were seen."""

RECONNECT_SECONDS = 180.0
"""Budget for an agent that did without Teleport to renew its server: it waits longer from try to try; 40 s were
seen after 25 s without."""

TIMES_ASKED = 20
"""How often a user asks, to be answered by each of several agents."""

TOKEN_AUDIENCE = "sts.amazonaws.com"  # noqa: S105  # an audience is no secret


@dataclass(frozen=True)
class _Before:
    """What is known of an agent before something happens to it."""

    host_id: str
    pod: str
    mark: int
    joins: int


class Agent(AgentFailures):
    """`harness.environment.Agent`: release, pod, identity and join of one scenario's agent."""

    def __init__(  # each is another part of the scenario
        self,
        *,
        names: Names,
        api: KubernetesAPI,
        cluster: Cluster,
        teleport: Teleport,
        account: Account,
        workstation: Workstation,
        env: Mapping[str, str],
        chart: Chart,
        proxy_address: str,
        read_sockets: SocketsReader = sockets.of_pod,
        away_seconds: float | None = None,
    ) -> None:
        """Binds an agent to a scenario.

        Args:
            names: The scenario's names.
            api: The API server with an administrator's rights.
            cluster: The scenario's cluster.
            teleport: The scenario's Teleport.
            account: The scenario's AWS account.
            workstation: The scenario's workstation, for routed calls.
            env: The workstation's environment, for `helm`.
            chart: The chart under test.
            proxy_address: The chart's `proxyAddr`.
            read_sockets: Gives a pod's probed ports and its sockets; by default, those of the lab's pods.
            away_seconds: How long Teleport is away at least; `AWAY_SECONDS` where not given.
        """
        super().__init__(
            names=names,
            api=api,
            cluster=cluster,
            teleport=teleport,
            account=account,
            read_sockets=read_sockets,
        )
        self._workstation = workstation
        self._env = dict(env)
        self._chart = chart
        self._proxy_address = proxy_address
        self._away_seconds = away_seconds

    def values(self) -> dict[str, str]:
        """The guide's `--set` values for this scenario's names (claim s3.install, role kube only)."""
        return {
            "kubeClusterName": self.names.cluster,
            "roles": "kube",
            "proxyAddr": self._proxy_address,
            "joinParams.method": "iam",
            "joinParams.tokenName": self.names.token,
            "serviceAccount.create": "false",
            "serviceAccount.name": self.names.service_account,
        }

    def install(self, values: Mapping[str, str] | None = None) -> None:
        """Installs the chart with the guide's values, `values` in their place.

        Raises:
            NotObserved: Helm failed.
        """
        self._helm(self._install_command(values or {}))

    def try_install(self, values: Mapping[str, str]) -> Completed:
        """As `install`, whatever Helm makes of it; what it left behind."""
        argv = self._install_command(values)
        return self._run_helm(argv)

    def apply_rendered(self, values: Mapping[str, str] | None = None, *, hooks: bool) -> Completed:
        """Renders the chart without the cluster, as GitOps tools do, and applies it; what kubectl left behind.

        Args:
            values: In place of the guide's.
            hooks: Whether its hooks are applied as if they were objects like any other.

        Raises:
            NotObserved: Helm failed.
        """
        # What installing takes, but for the namespace's making.
        argv = ["helm", "template", *self._install_command(values or {})[2:]]
        argv.remove("--create-namespace")
        rendered = self._helm([*argv, *([] if hooks else ["--no-hooks"])])
        return processes.run(
            # The simulated API server has no schemas of what it does not know.
            ["kubectl", "apply", "--validate=false", "--namespace", self.names.namespace, "--filename", "-"],
            env=self._env,
            cwd=self._chart.archive.parent,
            stdin=rendered.stdout,
        )

    def _install_command(self, values: Mapping[str, str]) -> list[str]:
        settings = [
            part for key, value in {**self.values(), **values}.items() for part in ("--set", f"{key}={value}")
        ]
        argv = ["helm", "install", self.names.release, str(self._chart.archive), *settings]
        return [*argv, "--create-namespace", "--namespace", self.names.namespace]

    def uninstall(self) -> None:
        """Uninstalls the release, its hooks run.

        Raises:
            NotObserved: Helm failed.
        """
        self._helm(
            [
                "helm",
                "uninstall",
                self.names.release,
                "--namespace",
                self.names.namespace,
                f"--timeout={UNINSTALL_SECONDS:.0f}s",
            ]
        )

    def upgrade(self, values: Mapping[str, str]) -> None:
        """Upgrades the release to the guide's values, `values` in their place.

        Raises:
            NotObserved: Helm failed.
        """
        settings = [
            part for key, value in {**self.values(), **values}.items() for part in ("--set", f"{key}={value}")
        ]
        argv = ["helm", "upgrade", self.names.release, str(self._chart.archive), *settings]
        self._helm([*argv, "--namespace", self.names.namespace])

    def again(self) -> None:
        """Deletes the agent's pod, so that another one is made.

        Raises:
            NotObserved: It does not go.
        """
        known = self.pod()["metadata"]["uid"]
        self._api.delete(self._pod_path)
        eventually(
            lambda: (self._api.get(self._pod_path) or {}).get("metadata", {}).get("uid"),
            lambda uid: uid != known,
            expected=f"pod {self.names.release}-0 to go",
            within=READY_SECONDS,
        )

    def out_until(self, mend: Callable[[], None], *, roles: Collection[str] = SERVICES) -> Sequence[JSON]:
        """Watches that the agent tries again and does not join, and joins once `mend` was called.

        What shows that the watching could see a join (design rule 4): before it, the audit log holds an event that
        this scenario caused; after it, mending lets this very agent join, seen by the same query.

        Args:
            mend: Takes away what keeps the agent out.
            roles: System roles as which it does not join.

        Returns:
            Joins as these before it was called: none.

        Raises:
            NotObserved: The agent told of no other attempt, or joined.
            EnvironmentBroken: It did not join afterwards: nothing shows that the watching could have seen it.
        """
        told = eventually(
            self.troubles,
            lambda lines: len(lines) > 0,
            expected="the agent to tell of trouble",
            within=CHALLENGE_SECONDS,
        )
        eventually(
            self.troubles,
            lambda lines: len(lines) > len(told),
            expected="the agent to try again, and to tell of trouble again",
            within=CHALLENGE_SECONDS,
            last_words=self.last_error,
        )
        return stays(
            lambda: [event for event in self._joined_so_far() if event.get("role") in roles],
            lambda seen: len(seen) == 0,
            expected=f"no instance.join with token {self.names.token}",
            budget=WATCH_SECONDS,
            control=Mended(self, self._teleport, mend),
        )

    def refused(self) -> Refusal:
        """Waits until STS answered the Auth Service about this agent, then watches that no join follows.

        What shows that the watching could see a join (design rule 4): before it, the audit log holds an
        event that this scenario caused; after it, the token's rule is set to what STS answered, and the same
        query shows this very agent's join.

        Raises:
            NotObserved: STS was never asked, or a join followed.
            EnvironmentBroken: The watching was blind.
        """
        first = eventually(
            self._challenged,
            lambda calls: len(calls) > 0,
            expected=f"the Auth Service to ask STS about an agent in role {self.names.role}",
            within=CHALLENGE_SECONDS,
            last_words=self.last_error,
        )
        # Once is a refusal, twice is one that does not go away by itself: the tries of 13 came 3 and 13 s apart.
        challenged = eventually(
            self._challenged,
            lambda calls: len(calls) > len(first),
            expected="the agent to try again, and the Auth Service to ask STS again",
            within=CHALLENGE_SECONDS,
            last_words=self.last_error,
        )
        token = self._teleport.get(f"token/{self.names.token}") or {}
        rules = token.get("spec", {}).get("allow", [])
        answered = tuple(sorted(set(answers(challenged))))
        joins = stays(
            self._joined_so_far,
            lambda seen: len(seen) == 0,
            expected=f"no instance.join with token {self.names.token}",
            budget=WATCH_SECONDS,
            control=MendedToken(self, self._teleport, answered),
        )
        return Refusal(
            answered=answered,
            allowed=tuple((str(rule.get("aws_account", "")), str(rule.get("aws_arn", ""))) for rule in rules),
            joins=tuple(joins),
        )

    def restart(self) -> Restarted:
        """Deletes the agent's pod and waits for what shows that its successor works (design rule 2).

        Raises:
            NotObserved: The new pod did not become ready, or the server or a routed call did not follow.
        """
        before = self._before()
        self.again()
        expiry = self._expiry(before.host_id)
        return self._works_again(before, expiry, self.ready(other_than=before.pod))

    def lose_node(self, away: AbstractContextManager[None]) -> Restarted:
        """Has the agent's node away for a block, and waits for what shows that the agent works again on it.

        Its pod was evicted before: it is another one.

        Raises:
            NotObserved: It was not started again and ready, or the server or a routed call did not follow.
        """
        before = self._before()
        expiry = self._expiry(before.host_id)
        with away:
            pass
        # What is started before cluster DNS answers ends, and Kubernetes then takes its time: no sign of hopelessness.
        pod = eventually(
            lambda: self._api.get(self._pod_path) or {},
            lambda seen: is_ready(seen) and seen["metadata"]["uid"] != before.pod,
            expected=f"another pod {self.names.release}-0 to be started and ready",
            within=BACK_OFF_SECONDS,
            last_words=self.last_error,
        )
        return self._works_again(before, expiry, pod)

    def lose_teleport(self, away: AbstractContextManager[None]) -> Restarted:
        """Has Teleport away until the agent tried in vain, and waits for what shows that it works again.

        Raises:
            NotObserved: The agent told nothing of it, is not ready, or the server or a routed call did not follow.
        """
        before = self._before()
        expiry = self._expiry(before.host_id)
        known = len(self.troubles())
        with away:
            self._tries_in_vain(known)
        return self._works_again(before, expiry, self.ready(), within=RECONNECT_SECONDS)

    def stays_unknown(self) -> tuple[Sequence[str], Sequence[JSON]]:
        """Watches that an agent tries again and neither registers nor joins by itself.

        What shows that the watching could see a join (design rule 4): before and after it, the audit log holds an
        event that this scenario caused.

        Returns:
            Host ids of registered servers, and joins: none.

        Raises:
            NotObserved: The agent did not try, or it registered or joined.
            EnvironmentBroken: The watching was blind.
        """

        def known() -> tuple[list[str], list[JSON]]:
            servers = self._teleport.kube_servers()
            return [str(server["spec"]["host_id"]) for server in servers], list(self._joined_so_far())

        self._tries_in_vain(len(self.troubles()), within=FORGOTTEN_SECONDS)
        return stays(
            known,
            lambda seen: not any(seen),
            expected=f"no kube_server of {self.names.cluster}, and no instance.join with token {self.names.token}",
            budget=WATCH_SECONDS,
            control=CanaryRole(self, self._teleport),
        )

    def start_anew(self) -> None:
        """Deletes the agent's identity and its pod, and waits until another pod is ready.

        Raises:
            NotObserved: The pod did not go, or no other one became ready.
        """
        known = str(self.pod()["metadata"]["uid"])
        self._api.delete(f"/api/v1/namespaces/{self.names.namespace}/secrets/{self.names.release}-0-state")
        self.again()
        self.ready(other_than=known)

    def _tries_in_vain(self, known: int, *, within: float | None = None) -> None:
        """Waits until the agent tells of trouble that it did not have at once, when its connections ended.

        Args:
            known: Lines of its log that told of trouble before.
            within: Seconds until it must have; `TRIES_SECONDS` where not given.
        """
        began = time.monotonic()
        away_seconds = self._away_seconds or AWAY_SECONDS
        told, counted = 0.0, known

        def seconds_until_told() -> float:
            nonlocal told, counted
            if (seen := len(self.troubles())) != counted:
                told, counted = time.monotonic() - began, seen
            return told

        eventually(
            seconds_until_told,
            lambda seconds: seconds > away_seconds,
            expected=f"the agent to tell of trouble {away_seconds:g} s after Teleport went away",
            within=within or TRIES_SECONDS,
            last_words=self.last_error,
        )

    def _before(self) -> _Before:
        """What is known of the agent before something happens to it."""
        pod = self.pod()
        return _Before(
            host_id=self.host_id(),
            pod=str(pod["metadata"]["uid"]),
            mark=self._account.mark(),
            joins=len(self._joined_so_far()),
        )

    def _expiry(self, host_id: str) -> str:
        known = newest(self._teleport.kube_servers(), host_id)
        return str(known["metadata"]["expires"]) if known else ""

    def _works_again(
        self, before: _Before, expiry: str, pod: JSON, *, within: float | None = None
    ) -> Restarted:
        """Waits until the agent has renewed its server, and served a call."""
        server = eventually(
            lambda: self._renewed(expiry),
            lambda found: found is not None,
            expected=f"kube_server of {self.names.cluster} to be renewed after the pod's start",
            within=within or JOIN_SECONDS,
            last_words=self.last_error,
        )
        served_by = self.served_by()
        return Restarted(
            host_id_before=before.host_id,
            host_id=str(server["spec"]["host_id"]) if server else "",
            pod_before=before.pod,
            pod=pod["metadata"]["uid"],
            mark=before.mark,
            joins=tuple(self._joined_so_far()[before.joins :]),
            served_by=served_by,
        )

    def stays_off_aws(self, restarted: Restarted) -> Sequence[JSON]:
        """Watches that a restart made no AWS call; the calls seen: none.

        What shows that the watching could see one (design rule 4): the gateway's log holds the calls of this
        role from when the agent joined, and a canary made afterwards for the same role appears in it.

        Raises:
            NotObserved: There was a call since the restart began.
            EnvironmentBroken: The watching was blind.
        """
        return stays(
            lambda: self._account.calls(after=restarted.mark),
            lambda calls: len(calls) == 0,
            expected=f"no AWS call of role {self.names.role} since the restart began",
            budget=AFTERWARDS_SECONDS,
            control=CanaryCall(self, self._account, restarted.mark),
        )

    def stop(self) -> None:
        """Ends the agent for good, what it registered left behind.

        Raises:
            NotObserved: Its pod did not go.
        """
        owner = f"/apis/apps/v1/namespaces/{self.names.namespace}/statefulsets/{self.names.release}"
        for path in (owner, self._pod_path):
            self._api.delete(path)
        eventually(
            lambda: self._api.get(self._pod_path) is None,
            bool,
            expected=f"pod {self.names.release}-0 to go",
            within=READY_SECONDS,
        )

    def call_aws(self) -> JSON:
        """One AWS call for the scenario's role, made by the harness: its record in the gateway's log.

        Raises:
            NotObserved: The log never showed it.
        """
        answer = self._api.call(
            "POST",
            f"/api/v1/namespaces/{self.names.namespace}/serviceaccounts/{self.names.service_account}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": [TOKEN_AUDIENCE], "expirationSeconds": 600},
            },
        )
        mark = self._account.mark()
        session = self._account.assume_role(answer["status"]["token"])
        found = eventually(
            lambda: [call for call in self._account.calls(after=mark) if session in call["user_agent"]],
            lambda calls: len(calls) > 0,
            expected=f"the harness's call in session {session} on the gateway's log",
            within=SHOWN_SECONDS,
        )
        return found[0]

    def clear(self) -> None:
        """Removes what an earlier scenario may have left under these names, and waits until it is gone.

        Raises:
            NotObserved: The namespace did not go.
        """
        self.undo()
        namespace = f"/api/v1/namespaces/{self.names.namespace}"
        eventually(
            lambda: self._api.get(namespace) is None,
            bool,
            expected=f"namespace {self.names.namespace} of an earlier run to go",
            within=READY_SECONDS,
        )

    def undo(self) -> None:
        """Removes the release without its hooks, its pod at once, and the namespace.

        Scenarios about uninstalling uninstall themselves; undoing must not depend on the product.
        """
        namespace, release = self.names.namespace, self.names.release
        for path in (
            f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{release}",
            f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{release}",
            f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{release}",
            f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{self.names.binding}",
        ):
            self._api.delete(path)
        for pod in (self._api.get(f"/api/v1/namespaces/{namespace}/pods") or {}).get("items", []):
            self._api.delete(f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}", grace=1)
        self._api.delete(f"/api/v1/namespaces/{namespace}")

    def _renewed(self, expiry: str) -> Mapping[str, Mapping[str, object]] | None:
        server = newest(self._teleport.kube_servers(), self.host_id())
        return server if server and str(server["metadata"]["expires"]) > expiry else None

    def served_by(self) -> str:
        """`server_id` of a call routed now; the path is tried until an agent's tunnel is up.

        Raises:
            NotObserved: No call was routed in time.
        """
        routed = eventually(
            lambda: self._workstation.kubectl("get", "--raw", "/version"),
            lambda seen: seen.completed.exit_code == 0 and len(seen.teleport) > 0,
            expected="kubectl to be routed to the agent again",
            within=JOIN_SECONDS,
            last_words=self.last_error,
        )
        return str(routed.teleport[-1].get("server_id", ""))

    def answering(self, hosts: Collection[str]) -> list[str]:
        """Host ids of the agents that answer, in that order; asked until each of these has, or often enough.

        Teleport draws an agent for each request (lib/kube/proxy/forwarder.go): one of two is missed in
        `TIMES_ASKED` calls once in half a million times.

        Args:
            hosts: Host ids of agents that ought to answer.

        Raises:
            NotObserved: No call was routed in time.
        """
        seen: list[str] = []
        while len(seen) < TIMES_ASKED and not set(hosts) <= set(seen):
            seen.append(self.served_by())
        return seen

    def _helm(self, argv: Sequence[str]) -> Completed:
        completed = self._run_helm(argv)
        if completed.exit_code != 0:
            # A chart that does not install is the product's fault, not the environment's.
            raise NotObserved(
                f"expected: helm {argv[1]} to succeed\nseen: exit status {completed.exit_code}: "
                f"{(completed.stderr or completed.stdout).strip()[-800:]}"
            )
        return completed

    def _run_helm(self, argv: Sequence[str]) -> Completed:
        return processes.run(
            argv, env=self._env, cwd=self._chart.archive.parent, within=UNINSTALL_SECONDS + 30
        )
