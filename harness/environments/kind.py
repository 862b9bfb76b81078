"""The kind environment as scenarios see it: the lab's seams over containers and a cluster of kind."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from harness.adapters import (
    aws_containers,
    containers,
    daemons,
    docker_engine,
    kind_cluster,
    run_containers,
    teleport_container,
)
from harness.adapters.kind_disruption import KindDisruption
from harness.adapters.kubernetes import Cluster
from harness.adapters.node_sockets import NodeSockets
from harness.adapters.teleport_server import HOST
from harness.core.errors import EnvironmentBroken
from harness.environments import lab

if TYPE_CHECKING:
    from pathlib import Path

    from harness.scenario import Names


def container_prefix(run: str) -> str:
    """Beginning of the names of a run's containers and of its cluster."""
    return f"conformance-{run}"


class Kind(lab.Lab):
    """`harness.environment.Environment` over a provisioned kind environment."""

    def must_be_alive(self) -> None:
        """Checks that every container and node still runs, and that the node has no way out.

        Raises:
            EnvironmentBroken: One does not run, or is another.
        """
        daemons.must_all_be_alive(self._state.folder)
        run, known = self._state.run, self._state.identities
        run_containers.must_all_be_alive(run, container_prefix(run))
        there = run_containers.identities(run, container_prefix(run))
        if there != known:
            changed = sorted(name for name in known | there if known.get(name) != there.get(name))
            raise EnvironmentBroken(
                expected="the containers that this environment was made of",
                seen=f"others, or none, of the names {', '.join(changed)}",
                remedy=f"somebody changed it: end it (./conformance down {self._state.name}) and make a new one",
            )
        client = docker_engine.connect()
        with contextlib.closing(client):
            node = containers.Container(client, f"{container_prefix(run)}-control-plane")
            # The user, or the engine, may have started it again.
            kind_cluster.keep_isolated(node, self._state.path("kubeconfig").parent)
        self._disruption().must_be_over()

    def _administrator(self, home: Path) -> teleport_container.ContainerAdministrator:  # noqa: ARG002  # it has no home
        """`tctl` inside Teleport's container."""
        made = self._state
        name = f"{container_prefix(made.run)}-{teleport_container.NAME}"
        return teleport_container.ContainerAdministrator(name, made.path("teleport_configuration"))

    def _sockets(self) -> NodeSockets:
        """Sockets of a pod, read on its node."""
        prefix = container_prefix(self._state.run)

        def names() -> dict[str, str]:
            addresses = run_containers.addresses(self._state.run)
            called = {
                f"{addresses[f'{prefix}-{teleport_container.NAME}']}:443": f"{HOST}:443",
                f"{addresses[f'{prefix}-{aws_containers.NAME}']}:443": "sts.amazonaws.com:443",
            }
            service = self._api.get("/api/v1/namespaces/default/services/kubernetes") or {}
            return {**called, f"{service['spec']['clusterIP']}:443": self._api.address}

        return NodeSockets(f"{prefix}-control-plane", names)

    def _disruption(self) -> KindDisruption:
        """Teleport's container and the node, stopped and started."""
        made, prefix = self._state, container_prefix(self._state.run)
        return KindDisruption(
            teleport=f"{prefix}-{teleport_container.NAME}",
            address=made.addresses["teleport"],
            log=made.path("teleport_log"),
            ca_file=made.path("ca"),
            node=f"{prefix}-control-plane",
            api=self._api,
        )

    def _cluster(self, names: Names) -> Cluster:
        """The cluster, which gives containers the run's authority by a Secret only."""
        return Cluster(
            self._api, self._state.path("kubernetes_audit"), names, authority=self._state.path("ca")
        )
