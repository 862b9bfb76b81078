"""The agent that a scenario deploys with Helm, and what oracles know of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.adapters import processes
from harness.adapters.agent_controls import SHOWN_SECONDS, CanaryCall, MendedToken
from harness.adapters.kubernetes_api import RefusedError
from harness.adapters.teleport import newest
from harness.core import recording
from harness.core.errors import NotObserved, TransientOracleError
from harness.core.waiting import eventually, stays
from harness.environment import Joined, Refusal, Restarted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.adapters.aws import Account
    from harness.adapters.chart import Chart
    from harness.adapters.kubernetes import Cluster
    from harness.adapters.kubernetes_api import KubernetesAPI
    from harness.adapters.teleport import Teleport
    from harness.adapters.workstation import Workstation
    from harness.environment import JSON
    from harness.scenario import Names

JOIN_SECONDS = 60.0
"""Budget from `helm install` to the three facts of a join; 2 s idle, 5 s busy were seen on 13."""

READY_SECONDS = 60.0
"""Budget until the pod is ready: the chart's probe waits 5 s first."""

CHALLENGE_SECONDS = 60.0
"""Budget until STS answered the Auth Service about a refused agent; a failing agent retries."""

WATCH_SECONDS = 2.0
"""How long a refused agent is watched after its next attempt was refused as well."""

AFTERWARDS_SECONDS = 1.0
"""How long AWS calls are watched for after a restart, on top of the restart itself."""

UNINSTALL_SECONDS = 90.0
"""Budget for `helm uninstall` with its hook Job; 6 s were seen."""

CHALLENGE_HEADER = "x-teleport-challenge"
TOKEN_AUDIENCE = "sts.amazonaws.com"  # noqa: S105  # an audience is no secret
HOPELESS = frozenset({"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "CreateContainerError"})
"""Reasons to wait that do not pass by themselves within any budget of a scenario."""

_TROUBLE = re.compile(r"\b(ERRO|WARN|ERROR|WARNING)\b")


@dataclass(frozen=True)
class _Facts:
    """What the oracles of a join show at one look."""

    host_id: str
    keys: tuple[str, ...]
    server: Mapping[str, object] | None
    version: str
    methods: Mapping[str, str]

    def complete(self) -> bool:
        keys = any(key.endswith(".ids.kube.current") for key in self.keys)
        return bool(self.host_id) and keys and self.server is not None and bool(self.methods)


class Agent:
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
        """
        self.names = names
        self._api = api
        self._cluster = cluster
        self._teleport = teleport
        self._account = account
        self._workstation = workstation
        self._env = dict(env)
        self._chart = chart
        self._proxy_address = proxy_address

    @property
    def _pod_path(self) -> str:
        return f"/api/v1/namespaces/{self.names.namespace}/pods/{self.names.release}-0"

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
        settings = [
            part
            for key, value in {**self.values(), **(values or {})}.items()
            for part in ("--set", f"{key}={value}")
        ]
        argv = ["helm", "install", self.names.release, str(self._chart.archive), *settings]
        self._helm([*argv, "--create-namespace", "--namespace", self.names.namespace])

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

    def joined(self) -> Joined:
        """Waits for the three facts of "joined by IAM" (design rule 2).

        Raises:
            NotObserved: One was missing to the end; with the agent's own last error.
        """
        facts = eventually(
            self._facts,
            _Facts.complete,
            expected=(
                f"kube_server of {self.names.cluster}, an instance.join event and the identity keys in "
                f"Secret {self.names.release}-0-state, all of one host id"
            ),
            within=JOIN_SECONDS,
            last_words=self.last_error,
        )
        return Joined(
            host_id=facts.host_id,
            version=facts.version,
            methods=facts.methods,
            identity_keys=tuple(key for key in facts.keys if ".ids." in key),
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
        answered = tuple(sorted(set(_answers(challenged))))
        joins = stays(
            self._joins,
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
        before = self.pod()
        host_id_before = self.host_id()
        mark = self._account.mark()
        joins_before = len(self._joins())
        self._api.delete(self._pod_path)
        uid_before = before["metadata"]["uid"]
        eventually(
            lambda: (self._api.get(self._pod_path) or {}).get("metadata", {}).get("uid"),
            lambda uid: uid != uid_before,
            expected=f"pod {self.names.release}-0 to go",
            within=READY_SECONDS,
        )
        known = newest(self._teleport.kube_servers(), host_id_before)
        expiry = str(known["metadata"]["expires"]) if known else ""
        pod = self.ready(other_than=uid_before)
        server = eventually(
            lambda: self._renewed(expiry),
            lambda found: found is not None,
            expected=f"kube_server of {self.names.cluster} to be renewed after the pod's start",
            within=JOIN_SECONDS,
            last_words=self.last_error,
        )
        served_by = self._served_by()
        return Restarted(
            host_id_before=host_id_before,
            host_id=str(server["spec"]["host_id"]) if server else "",
            pod_before=uid_before,
            pod=pod["metadata"]["uid"],
            mark=mark,
            joins=tuple(self._joins()[joins_before:]),
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
            expected=f"no AWS call of role {self.names.role} since its pod was deleted",
            budget=AFTERWARDS_SECONDS,
            control=CanaryCall(self, self._account, restarted.mark),
        )

    def pod(self) -> JSON:
        """The agent's pod as the API has it.

        Raises:
            NotObserved: There is none.
        """
        found = self._api.get(self._pod_path)
        recording.record_oracle("kubernetes", f"pod {self.names.release}-0", (found or {}).get("status"))
        if found is None:
            raise NotObserved(f"expected: pod {self.names.release}-0\nseen: no such pod")
        return found

    def deployed(self) -> JSON:
        """Waits until the agent's pod is there, ready or not; returns it.

        Raises:
            NotObserved: It did not come.
        """
        eventually(
            lambda: self._api.get(self._pod_path) is not None,
            bool,
            expected=f"pod {self.names.release}-0",
            within=READY_SECONDS,
        )
        return self.pod()

    def ready(self, *, other_than: str = "") -> JSON:
        """Waits until the agent's pod is ready; returns it.

        Args:
            other_than: uid of a pod that does not count.

        Raises:
            NotObserved: It did not become ready, or its program keeps ending.
        """

        def look() -> JSON:
            return _summary(self._api.get(self._pod_path) or {})

        eventually(
            look,
            lambda pod: pod["ready"] and not pod["deleted"] and pod["uid"] != other_than,
            expected=f"pod {self.names.release}-0 to be ready",
            within=READY_SECONDS,
            failed=_waits_in_vain,
            last_words=self.last_error,
        )
        return self.pod()

    def host_id(self) -> str:
        """The host id in the state Secret; empty while there is none."""
        return _host_id(self._state())

    def log(self) -> str:
        """Log of the agent's pod; empty while there is none to read."""
        try:
            text = self._api.text("GET", f"{self._pod_path}/log?container=teleport")
        except (RefusedError, TransientOracleError) as error:
            recording.record_oracle("kubernetes", f"log of pod {self.names.release}-0", str(error))
            return ""
        recording.record_oracle("kubernetes", f"log of pod {self.names.release}-0", text)
        return text

    def logs(self, text: str) -> str:
        """Waits until the agent's log holds a text; returns the log.

        Raises:
            NotObserved: It did not come; with the agent's own last error.
        """
        return eventually(
            self.log,
            lambda log: text in log,
            expected=f"the agent to log {text!r}",
            within=CHALLENGE_SECONDS,
            last_words=self.last_error,
        )

    def pod_line(self) -> tuple[str, str, int]:
        """Waits until the pod is ready; its columns READY, STATUS and RESTARTS (claim s3.pod-ready)."""
        status = self.ready()["status"]
        containers = status.get("containerStatuses", [])
        ready = sum(1 for container in containers if container.get("ready"))
        restarts = sum(int(container.get("restartCount", 0)) for container in containers)
        return f"{ready}/{len(containers)}", status["phase"], restarts

    def last_error(self) -> str:
        """The last line of the agent's log that tells of trouble, or an empty text."""
        lines = [line for line in self.log().splitlines() if _TROUBLE.search(line)]
        return lines[-1].strip() if lines else ""

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

    def _facts(self) -> _Facts:
        state = self._state()
        host_id = _host_id(state)
        server = newest(self._teleport.kube_servers(), host_id) if host_id else None
        joins = [event for event in self._joins() if event.get("host_id") == host_id and event.get("success")]
        return _Facts(
            host_id=host_id,
            keys=tuple(sorted(state)),
            server=server,
            version=str(server["spec"]["version"]) if server else "",
            methods={str(event["role"]): str(event["method"]) for event in joins},
        )

    def _state(self) -> Mapping[str, bytes]:
        """Keys and values of the state Secret; none while there is no such Secret."""
        secret = self._cluster.secret(f"{self.names.release}-0-state") or {"data": {}}
        data: Mapping[str, bytes] = secret["data"]
        return data

    def _joins(self) -> Sequence[JSON]:
        return [
            event
            for event in self._teleport.audit("instance.join")
            if event.get("token_name") == self.names.token
        ]

    def _challenged(self) -> Sequence[JSON]:
        return [
            call
            for call in self._account.calls()
            if call["action"] == "GetCallerIdentity"
            and call["verdict"] == "allowed"
            and CHALLENGE_HEADER in call["signed_headers"]
        ]

    def _renewed(self, expiry: str) -> Mapping[str, Mapping[str, object]] | None:
        server = newest(self._teleport.kube_servers(), self.host_id())
        return server if server and str(server["metadata"]["expires"]) > expiry else None

    def _served_by(self) -> str:
        """`server_id` of a call routed now; the path is tried until the agent's tunnel is up again."""
        routed = eventually(
            lambda: self._workstation.kubectl("get", "--raw", "/version"),
            lambda seen: seen.completed.exit_code == 0 and len(seen.teleport) > 0,
            expected="kubectl to be routed to the agent again",
            within=JOIN_SECONDS,
            last_words=self.last_error,
        )
        return str(routed.teleport[-1].get("server_id", ""))

    def _helm(self, argv: Sequence[str]) -> None:
        completed = processes.run(
            argv, env=self._env, cwd=self._chart.archive.parent, within=UNINSTALL_SECONDS + 30
        )
        if completed.exit_code != 0:
            # A chart that does not install is the product's fault, not the environment's.
            raise NotObserved(
                f"expected: helm {argv[1]} to succeed\nseen: exit status {completed.exit_code}: "
                f"{(completed.stderr or completed.stdout).strip()[-800:]}"
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

    def answered(self) -> list[tuple[str, str]]:
        """Account and ARN that STS answered to the Auth Service's replayed requests about this agent."""
        return _answers(self._challenged())


def _host_id(state: Mapping[str, bytes]) -> str:
    """The host id among the entries of a state Secret, or an empty text."""
    values = [value for key, value in state.items() if key.lstrip(".") == "host_uuid"]
    return values[0].decode().strip() if values else ""


def _answers(calls: Sequence[JSON]) -> list[tuple[str, str]]:
    """Account and ARN of each answer to GetCallerIdentity."""
    return [(str(call["answer"]["account"]), str(call["answer"]["arn"])) for call in calls]


def _summary(pod: JSON) -> dict[str, Any]:
    """What waiting for a pod looks at; short enough to be shown as it is."""
    status = pod.get("status", {})
    metadata = pod.get("metadata", {})
    return {
        "uid": metadata.get("uid", ""),
        "deleted": "deletionTimestamp" in metadata,
        "phase": status.get("phase", "absent"),
        "ready": any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])),
        "containers": [container.get("state", {}) for container in status.get("containerStatuses", [])],
    }


def _waits_in_vain(pod: Mapping[str, Any]) -> str | None:
    """Why waiting for readiness is pointless, or None."""
    for container in pod["containers"]:
        waiting = container.get("waiting", {})
        if waiting.get("reason") in HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', '')}"
    return None
