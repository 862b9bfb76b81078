"""Parts of a kind environment stopped and started again: Teleport's container, and the cluster's node."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from harness.adapters import (
    containers,
    docker_engine,
    kind_cluster,
    pod_identity_webhook,
    teleport_container,
)
from harness.adapters.agent_readings import is_ready
from harness.adapters.kubernetes_api import MERGE, RefusedError
from harness.adapters.teleport_disruption import TeleportDisruption
from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from harness.adapters.containers import Container
    from harness.adapters.kubernetes_api import KubernetesAPI

BACK_SECONDS = 180.0
"""Budget for the cluster to be as it was once its node runs again: API server, DNS, webhook; 17 s were seen."""

DRAIN_SECONDS = 60.0
"""Budget for the pods of a drained node to be gone; an agent took 2 s to end, and Kubernetes gives it 30."""

OWN_NAMESPACES = frozenset({"kube-system", "local-path-storage", pod_identity_webhook.NAMESPACE})
"""Namespaces of what makes the cluster work; the others are scenarios'."""


class KindDisruption(TeleportDisruption):
    """`harness.environment.Disruption` over containers."""

    def __init__(
        self, *, teleport: str, address: str, log: Path, ca_file: Path, node: str, api: KubernetesAPI
    ) -> None:
        """Binds to an environment.

        Args:
            teleport: Name of Teleport's container.
            address: Loopback `host:port` of the proxy.
            log: What Teleport writes, beside its folder `data`.
            ca_file: The run's certificate authority.
            node: Name of the node's container.
            api: The API server with an administrator's rights.
        """
        super().__init__(away=lambda: _away(teleport, self._wait_for_teleport), log=log)
        self._address = address
        self._log = log
        self._ca_file = ca_file
        self._node = node
        self._api = api

    def left(self) -> list[str]:
        """What a process left behind that was killed in the middle of a disruption, in words."""
        cordoned = [f"{node['metadata']['name']} is cordoned" for node in self._nodes() if _is_cordoned(node)]
        return cordoned + super().left()

    def _wait_for_teleport(self, container: Container) -> None:
        teleport_container.wait_until_answering(container, self._log, self._address, self._ca_file)

    @contextlib.contextmanager
    def node_away(self) -> Iterator[None]:
        """The node is drained and stopped; started again without a way out, waited for and uncordoned.

        What is waited for is all that ran on it of the cluster's own; other pods were evicted, and are new ones.

        Raises:
            EnvironmentBroken: It could not be drained, did not stop, or did not come back as it was.
        """
        before = self._ready_pods()

        def wait(container: Container) -> None:
            # Docker gives a container that starts its way out anew.
            kind_cluster.isolate(self._node)
            self._wait_until_back(container, before)

        with self._drained(), _away(self._node, wait):
            yield

    @contextlib.contextmanager
    def _drained(self) -> Iterator[None]:
        """The node takes no pods for a block, and scenarios' pods are evicted before it, as `kubectl drain` does."""
        nodes = [str(node["metadata"]["name"]) for node in self._nodes()]
        try:
            for node in nodes:
                self._cordon(node, cordoned=True)
            self._evict()
            yield
        finally:
            # A node that did not come back is told of already; of a cordoned one the next scenario is told.
            with contextlib.suppress(TransientOracleError):
                for node in nodes:
                    self._cordon(node, cordoned=False)

    def _cordon(self, node: str, *, cordoned: bool) -> None:
        self._api.call(
            "PATCH",
            f"/api/v1/nodes/{node}",
            {"spec": {"unschedulable": True if cordoned else None}},
            content_type=MERGE,
        )

    def _evict(self) -> None:
        """Evicts the pods that are not the cluster's own, and waits until they are gone.

        Raises:
            EnvironmentBroken: One stayed.
        """
        pods = {
            f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}": pod
            for pod in self._pods()
            if pod["metadata"]["namespace"] not in OWN_NAMESPACES
        }

        def left() -> list[str]:
            return [
                f"{path.rpartition('/')[2]}: {why}"
                for path, pod in pods.items()
                if (why := self._why_still_there(path, pod))
            ]

        try:
            eventually(
                left,
                lambda names: not names,
                expected="pods of the drained node to be evicted and gone",
                within=DRAIN_SECONDS,
            )
        except NotObserved as error:
            raise EnvironmentBroken(
                expected="the node to be drained, as `kubectl drain` does it",
                seen=str(error),
                remedy="does a PodDisruptionBudget or a finalizer keep the pod? Remove it, or drain no node",
            ) from error

    def _why_still_there(self, path: str, pod: Mapping[str, Any]) -> str | None:
        """Asks once more for a pod's eviction; why it is still there, None once it is gone."""
        metadata = pod["metadata"]
        found = self._api.get(path)
        if found is None or found["metadata"]["uid"] != metadata["uid"]:
            return None
        if "deletionTimestamp" in found["metadata"]:
            return "it is ending"
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        }
        try:
            self._api.call("POST", f"{path}/eviction", eviction)
        except TransientOracleError as error:
            # So it says that a PodDisruptionBudget forbids it (429).
            return str(error)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise
        return "it was told to end"

    def _wait_until_back(self, container: Container, before: Mapping[str, frozenset[str]]) -> None:
        """Waits until the node is ready, and every pod that was, with other containers: what is told first is old."""

        def missing() -> list[str]:
            # Without it the API does not answer, which passes for a moment's trouble until time is up.
            container.must_be_alive()
            try:
                nodes = self._nodes()
                now = self._ready_pods()
            except RefusedError as error:
                # An API server that starts knows no permissions at first, not even an administrator's.
                raise TransientOracleError(str(error)) from error
            back = {name for name, known in before.items() if now.get(name) and not now[name] & known}
            return [
                *(node["metadata"]["name"] for node in nodes if not is_ready(node)),
                *sorted(before.keys() - back),
            ]

        try:
            eventually(
                missing,
                lambda names: not names,
                expected="node and pods of the cluster to be ready again",
                within=BACK_SECONDS,
            )
        except NotObserved as error:
            raise EnvironmentBroken(
                expected="the cluster to be as before, now that its node runs again",
                seen=str(error),
                remedy="end this environment (./conformance down) and make a new one",
            ) from error

    def _nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = (self._api.get("/api/v1/nodes") or {}).get("items", [])
        return nodes

    def _pods(self) -> list[dict[str, Any]]:
        pods: list[dict[str, Any]] = (self._api.get("/api/v1/pods") or {}).get("items", [])
        return pods

    def _ready_pods(self) -> dict[str, frozenset[str]]:
        """Ids of the containers of each pod of the cluster's own that is ready: DNS, webhook, control plane."""
        return {
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": frozenset(
                str(status.get("containerID", "")) for status in pod["status"]["containerStatuses"]
            )
            for pod in self._pods()
            if pod["metadata"]["namespace"] in OWN_NAMESPACES and is_ready(pod)
        }


def _is_cordoned(node: Mapping[str, Any]) -> bool:
    return bool(node.get("spec", {}).get("unschedulable"))


@contextlib.contextmanager
def _away(name: str, wait: Callable[[Container], None]) -> Iterator[None]:
    """Stops a container for a block, whatever becomes of it; starts it and waits for what it does."""
    client = docker_engine.connect()
    with contextlib.closing(client):
        container = containers.Container(client, name)
        try:
            container.stop()
            yield
        finally:
            container.start()
            wait(container)
