"""Parts of a kind environment stopped and started again: Teleport's container, and the cluster's node."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from harness.adapters import containers, kind_cluster, pod_identity_webhook, teleport_container
from harness.adapters.agent_readings import is_ready
from harness.adapters.kubernetes_api import RefusedError
from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from harness.adapters.containers import Container
    from harness.adapters.kubernetes_api import KubernetesAPI

BACK_SECONDS = 180.0
"""Budget for the cluster to be as it was once its node runs again: API server, DNS, webhook; 17 s were seen."""

OWN_NAMESPACES = frozenset({"kube-system", "local-path-storage", pod_identity_webhook.NAMESPACE})
"""Namespaces of what makes the cluster work; the others are scenarios'."""


class KindDisruption:
    """`harness.environment.Disruption` over containers."""

    def __init__(
        self, *, teleport: str, address: str, log: Path, ca_file: Path, node: str, api: KubernetesAPI
    ) -> None:
        """Binds to an environment.

        Args:
            teleport: Name of Teleport's container.
            address: Loopback `host:port` of the proxy.
            log: What Teleport writes.
            ca_file: The run's certificate authority.
            node: Name of the node's container.
            api: The API server with an administrator's rights.
        """
        self._teleport = teleport
        self._address = address
        self._log = log
        self._ca_file = ca_file
        self._node = node
        self._api = api

    @contextlib.contextmanager
    def teleport_away(self) -> Iterator[None]:
        """Auth and Proxy Service are stopped; started again with their data, and waited for.

        Raises:
            EnvironmentBroken: They did not stop, or did not come back.
        """

        def wait(container: Container) -> None:
            teleport_container.wait_until_answering(container, self._log, self._address, self._ca_file)

        with _away(self._teleport, wait):
            yield

    @contextlib.contextmanager
    def node_away(self) -> Iterator[None]:
        """The node is stopped; started again without a way out, and waited for with all that ran on it.

        Raises:
            EnvironmentBroken: It did not stop, or did not come back as it was.
        """
        before = self._ready_pods()

        def wait(container: Container) -> None:
            # Docker gives a container that starts its way out anew.
            kind_cluster.isolate(self._node)
            self._wait_until_back(container, before)

        with _away(self._node, wait):
            yield

    def _wait_until_back(self, container: Container, before: Mapping[str, frozenset[str]]) -> None:
        """Waits until the node is ready, and every pod that was, with other containers: what is told first is old."""

        def missing() -> list[str]:
            # Without it the API does not answer, which passes for a moment's trouble until time is up.
            container.must_be_alive()
            try:
                nodes = (self._api.get("/api/v1/nodes") or {}).get("items", [])
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

    def _ready_pods(self) -> dict[str, frozenset[str]]:
        """Ids of the containers of each pod of the cluster's own that is ready: DNS, webhook, control plane."""
        pods: list[dict[str, Any]] = (self._api.get("/api/v1/pods") or {}).get("items", [])
        return {
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": frozenset(
                str(status.get("containerID", "")) for status in pod["status"]["containerStatuses"]
            )
            for pod in pods
            if pod["metadata"]["namespace"] in OWN_NAMESPACES and is_ready(pod)
        }


@contextlib.contextmanager
def _away(name: str, wait: Callable[[Container], None]) -> Iterator[None]:
    """Stops a container for a block, whatever becomes of it; starts it and waits for what it does."""
    client = containers.connect()
    with contextlib.closing(client):
        container = containers.Container(client, name)
        try:
            container.stop()
            yield
        finally:
            container.start()
            wait(container)
