"""What oracles show of the agent that a scenario deploys: release, pod, identity, log and join."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from packaging.version import Version

from harness.adapters.kubernetes_api import RefusedError
from harness.adapters.teleport import newest
from harness.core import recording
from harness.core.errors import NotObserved, TransientOracleError, Withheld
from harness.core.waiting import eventually
from harness.environment import Joined, Sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from harness.adapters.aws import Account
    from harness.adapters.kubernetes import Cluster
    from harness.adapters.kubernetes_api import KubernetesAPI
    from harness.adapters.sockets import Ends
    from harness.adapters.teleport import Teleport
    from harness.environment import JSON
    from harness.scenario import Names

    SocketsReader = Callable[[JSON], tuple[frozenset[int], Ends]]

JOIN_SECONDS = 60.0
"""Budget from `helm install` to the three facts of a join; 2 s idle, 5 s busy were seen on 13."""

READY_SECONDS = 60.0
"""Budget until the pod is ready: the chart's probe waits 5 s first."""

CHALLENGE_SECONDS = 60.0
"""Budget until STS answered the Auth Service about a refused agent; a failing agent retries."""

AUDITS_REFUSALS = Version("15.2.4")
"""First Teleport whose audit log has failed joins (facts: #40329; earlier branches got it in late patches)."""

CHALLENGE_HEADER = "x-teleport-challenge"
HOPELESS = frozenset({"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "CreateContainerError"})
"""Reasons to wait that do not pass by themselves within any budget of a scenario."""

_AWS = re.compile(r".+\.amazonaws\.com(\.cn)?:443")
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


class AgentReadings:
    """The part of `harness.environment.Agent` that only looks; `Agent` adds what is done to the agent."""

    def __init__(  # each is another part of the scenario
        self,
        *,
        names: Names,
        api: KubernetesAPI,
        cluster: Cluster,
        teleport: Teleport,
        account: Account,
        read_sockets: SocketsReader,
    ) -> None:
        """Binds the readings to a scenario.

        Args:
            names: The scenario's names.
            api: The API server with an administrator's rights.
            cluster: The scenario's cluster.
            teleport: The scenario's Teleport.
            account: The scenario's AWS account.
            read_sockets: Gives a pod's probed ports and its sockets.
        """
        self.names = names
        self._api = api
        self._read_sockets = read_sockets
        self._cluster = cluster
        self._teleport = teleport
        self._account = account

    @property
    def _pod_path(self) -> str:
        return f"/api/v1/namespaces/{self.names.namespace}/pods/{self.names.release}-0"

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

    def joined_as(self, roles: Collection[str]) -> Joined:
        """Waits for the three facts, and for a join as each of these system roles; the instance's may come last.

        Raises:
            NotObserved: One was missing to the end; with the agent's own last error.
        """
        self.joined()
        eventually(
            lambda: set(self._facts().methods),
            lambda seen: set(roles) <= seen,
            expected=f"an instance.join event of the agent as each of {', '.join(sorted(roles))}",
            within=JOIN_SECONDS,
            last_words=self.last_error,
        )
        return self.joined()

    def refused_as(self, roles: Collection[str]) -> list[str]:
        """Waits until Teleport's audit log shows refused joins as these system roles; all that it shows.

        Raises:
            Withheld: This version writes no such event (gravitational/teleport#40329).
            NotObserved: One was missing to the end.
        """
        if Version(self._teleport.version) < AUDITS_REFUSALS:
            raise Withheld(
                "oracle-missing", f"Teleport {self._teleport.version} does not audit refused joins"
            )
        return eventually(
            lambda: sorted({str(event["role"]) for event in self._joins() if not event.get("success")}),
            lambda seen: set(roles) <= set(seen),
            expected=f"failed instance.join events as each of {', '.join(sorted(roles))}",
            within=JOIN_SECONDS,
            last_words=self.last_error,
        )

    def configuration(self) -> JSON:
        """The agent's `teleport.yaml`, as the release has it.

        Raises:
            NotObserved: The release has none.
        """
        name = self.names.release
        found = self._api.get(f"/api/v1/namespaces/{self.names.namespace}/configmaps/{name}")
        if found is None:
            raise NotObserved(f"expected: ConfigMap {name}\nseen: none")
        configuration: JSON = yaml.safe_load(found["data"]["teleport.yaml"])
        read = {
            "proxy_server": configuration.get("teleport", {}).get("proxy_server"),
            "join_params": configuration.get("teleport", {}).get("join_params"),
            "enabled": [key for key, section in configuration.items() if _enabled(section)],
            "kube_cluster_name": configuration.get("kubernetes_service", {}).get("kube_cluster_name"),
        }
        recording.record_oracle("kubernetes", f"teleport.yaml of ConfigMap {name}", read)
        return configuration

    def chart_version(self) -> str:
        """Version of the chart that the release is of, as Helm keeps it in the cluster.

        Raises:
            NotObserved: Helm keeps none.
        """
        release = self.names.release
        kept = self._api.get(
            f"/api/v1/namespaces/{self.names.namespace}/secrets/sh.helm.release.v1.{release}.v1"
        )
        if kept is None:
            raise NotObserved(f"expected: Helm to keep release {release}\nseen: no such Secret")
        # Encoded by Helm, and once more by the API.
        packed = base64.b64decode(base64.b64decode(kept["data"]["release"]))
        version: str = json.loads(gzip.decompress(packed))["chart"]["metadata"]["version"]
        recording.record_oracle("helm", f"chart of release {release}", {"version": version})
        return version

    def sockets(self) -> Sockets:
        """Sockets of the agent's process, known by the port of its diagnostics.

        Raises:
            NotObserved: The pod tells of no such port, or no process listens there.
        """
        probed, ends = self._read_sockets(self.ready())
        dialled = frozenset(
            address
            for address in self._account.dialled(ends.connections)
            if address != self._api.address and not _AWS.fullmatch(address)
        )
        # Numbers of ports are another thing each time.
        told = {
            "listening": len(ends.listening),
            "of them probed": len(ends.listening & probed),
            "has dialled": sorted(dialled),
        }
        recording.record_oracle("processes", f"sockets of pod {self.names.release}-0", told)
        return Sockets(listening=ends.listening, probed=probed, dialled=dialled)

    def answered(self) -> list[tuple[str, str]]:
        """Account and ARN that STS answered to the Auth Service's replayed requests about this agent."""
        return answers(self._challenged())

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
        """Waits until the agent's pod runs, ready or not; returns it.

        Raises:
            NotObserved: It did not come, or its program does not start.
        """
        self._started()
        return self.pod()

    def _started(self, *, or_ended: bool = False) -> None:
        """Waits until the agent's program runs: what is read of its pod before that changes by the moment.

        Args:
            or_ended: Whether one that has ended will do.
        """

        def look() -> dict[str, Any]:
            return _summary(self._api.get(self._pod_path) or {})

        eventually(
            look,
            lambda pod: any(
                "running" in state or (or_ended and _ended(state)) for state in pod["containers"]
            ),
            expected=f"pod {self.names.release}-0 to run",
            within=READY_SECONDS,
            failed=lambda pod: (
                None if or_ended and any(map(_ended, pod["containers"])) else _waits_in_vain(pod)
            ),
        )

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

    def pod_line(self) -> tuple[str, str, int]:
        """Waits until the pod is ready; its columns READY, STATUS and RESTARTS (claim s3.pod-ready)."""
        status = self.ready()["status"]
        containers = status.get("containerStatuses", [])
        ready = sum(1 for container in containers if container.get("ready"))
        restarts = sum(int(container.get("restartCount", 0)) for container in containers)
        return f"{ready}/{len(containers)}", status["phase"], restarts

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
        self._started(or_ended=True)
        return eventually(
            self.log,
            lambda log: text in log,
            expected=f"the agent to log {text!r}",
            within=CHALLENGE_SECONDS,
            last_words=self.last_error,
        )

    def roles_that_log(self, text: str, roles: Collection[str]) -> list[str]:
        """Waits until the agent has logged a text of its attempt as each of these system roles; those seen.

        Its services try side by side, and another time each.

        Raises:
            NotObserved: One was missing to the end; with the agent's own last error.
        """
        self._started()

        def seen() -> list[str]:
            lines = [line for line in self.log().splitlines() if text in line and _TROUBLE.search(line)]
            return sorted(
                {found[1] for line in lines if (found := re.search(r"\b([A-Z][A-Za-z]+) failed to\b", line))}
            )

        return eventually(
            seen,
            lambda found: set(roles) <= set(found),
            expected=f"the agent to log {text!r} of its attempt as each of {', '.join(sorted(roles))}",
            within=CHALLENGE_SECONDS,
            last_words=self.last_error,
        )

    def last_error(self) -> str:
        """The last line of the agent's log that tells of trouble, or an empty text."""
        lines = self.troubles()
        return lines[-1].strip() if lines else ""

    def troubles(self) -> list[str]:
        """Lines of the agent's log that tell of trouble, oldest first."""
        return [line for line in self.log().splitlines() if _TROUBLE.search(line)]

    def _facts(self) -> _Facts:
        state = self._state()
        host_id = _host_id(state)
        joins = [event for event in self._joins() if event.get("host_id") == host_id and event.get("success")]
        # Each look at servers is a run of `tctl`: not before the others show that there may be one.
        server = newest(self._teleport.kube_servers(), host_id) if host_id and joins else None
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

    def _joined_so_far(self) -> Sequence[JSON]:
        """Joins that were granted; later versions record the refused ones too (teleport #40329)."""
        return [event for event in self._joins() if event.get("success")]

    def _challenged(self) -> Sequence[JSON]:
        return [
            call
            for call in self._account.calls()
            if call["action"] == "GetCallerIdentity"
            and call["verdict"] == "allowed"
            and CHALLENGE_HEADER in call["signed_headers"]
        ]


def _host_id(state: Mapping[str, bytes]) -> str:
    """The host id among the entries of a state Secret, or an empty text."""
    values = [value for key, value in state.items() if key.lstrip(".") == "host_uuid"]
    return values[0].decode().strip() if values else ""


def answers(calls: Sequence[JSON]) -> list[tuple[str, str]]:
    """Account and ARN of each answer to GetCallerIdentity."""
    return [(str(call["answer"]["account"]), str(call["answer"]["arn"])) for call in calls]


def is_ready(pod: JSON) -> bool:
    """Whether a pod is ready."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def _enabled(section: object) -> bool:
    return isinstance(section, dict) and str(section.get("enabled", "no")).lower() in {"yes", "true", "on"}


def _summary(pod: JSON) -> dict[str, Any]:
    """What waiting for a pod looks at; short enough to be shown as it is."""
    status = pod.get("status", {})
    metadata = pod.get("metadata", {})
    return {
        "uid": metadata.get("uid", ""),
        "deleted": "deletionTimestamp" in metadata,
        "phase": status.get("phase", "absent"),
        "ready": is_ready(pod),
        "containers": [container.get("state", {}) for container in status.get("containerStatuses", [])],
    }


def _ended(state: Mapping[str, Any]) -> bool:
    """Whether a container's program has run, and is waited for to be started again."""
    return "terminated" in state or state.get("waiting", {}).get("reason") == "CrashLoopBackOff"


def _waits_in_vain(pod: Mapping[str, Any]) -> str | None:
    """Why waiting for readiness is pointless, or None."""
    for container in pod["containers"]:
        waiting = container.get("waiting", {})
        if waiting.get("reason") in HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', '')}"
    return None
