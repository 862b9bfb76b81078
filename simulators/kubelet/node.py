"""The Node object and its lease: what tells the control plane that this node is alive."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from datetime import UTC, datetime
from typing import Any

from simulators.kubelet.api import STRATEGIC, Api, ApiError, UnreachableError
from simulators.kubelet.objects import ADDRESS, Object, timestamp

log = logging.getLogger(__name__)

LEASE_SECONDS = 40
BEAT_SECONDS = 10.0
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
NOT_APPLIED = (
    "pods are local processes: securityContext, resources, network namespaces, nodeSelector, affinity, "
    "taints, postStart, ephemeral containers, activeDeadlineSeconds and sidecars are not applied; "
    "the ports of all pods are on the host's loopback address"
)


def node_object(name: str) -> Object:
    """The Node as it is registered.

    Args:
        name: of the node.
    """
    system, machine = platform.system().lower(), platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": system,
        "kubernetes.io/arch": architecture,
    }
    annotations = {"conformance/not-applied": NOT_APPLIED}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
    }


def node_status(port: int, since: datetime) -> Object:
    """The Node's status.

    Args:
        port: of the kubelet API.
        since: when the node became ready.
    """
    size = {"cpu": str(os.cpu_count() or 1), "memory": "8Gi", "pods": "110"}
    times = {"lastHeartbeatTime": timestamp(datetime.now(UTC)), "lastTransitionTime": timestamp(since)}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "lab kubelet is ready"}
    machine: dict[str, Any] = node_object("")["metadata"]["labels"]
    return {
        # No address of type Hostname: the API server would prefer it, and it resolves nowhere.
        "addresses": [{"type": "InternalIP", "address": ADDRESS}],
        "capacity": size,
        "allocatable": size,
        "conditions": [ready | times],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "kubeletVersion": "v0.0.0-lab",
            "containerRuntimeVersion": "local://processes",
            "operatingSystem": machine["kubernetes.io/os"],
            "architecture": machine["kubernetes.io/arch"],
            "kernelVersion": platform.release(),
            "osImage": platform.platform(),
            **dict.fromkeys(["kubeProxyVersion", "machineID", "systemUUID", "bootID"], ""),
        },
    }


class Heart:
    """Keeps a Node registered and ready.

    Args:
        api: the API server.
        name: of the node.
        port: of the kubelet API.
    """

    def __init__(self, api: Api, name: str, port: int) -> None:
        self._api = api
        self._name = name
        self._port = port
        self._since = datetime.now(UTC)

    async def register(self) -> None:
        """Create the Node if it is not there, and say that it is ready; waits for the API server.

        Raises:
            ApiError: the API server refuses.
        """
        try:
            await self._api.insist("POST", "/api/v1/nodes", node_object(self._name))
        except ApiError as error:
            if error.status != 409:
                raise
        change = {"status": node_status(self._port, self._since)}
        await self._api.insist("PATCH", f"/api/v1/nodes/{self._name}/status", change, STRATEGIC)

    async def beat(self) -> None:
        """Renew the lease and the status, for ever; a Node that was deleted is registered again."""
        while True:
            try:
                await self.register()
                await self._renew_lease()
            except (ApiError, UnreachableError) as error:
                log.warning("node %s: %s", self._name, error)
            await asyncio.sleep(BEAT_SECONDS)

    async def _renew_lease(self) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": "kube-node-lease"},
            "spec": spec,
        }
        try:
            await self._api.call("PATCH", f"{LEASES}/{self._name}", {"spec": spec}, STRATEGIC)
        except ApiError as error:
            if error.status != 404:
                raise
            await self._api.call("POST", LEASES, lease)
