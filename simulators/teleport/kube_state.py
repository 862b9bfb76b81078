"""`teleport kube-state delete`, which the chart's hook runs after `helm uninstall`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simulators.teleport.cluster_api import ApiError, ClusterApi, within_cluster
from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Mapping


async def delete(environ: Mapping[str, str]) -> None:
    """Delete the state Secrets of a release in the pod's namespace.

    The pattern is open at both ends, as Teleport's is (tool/teleport/common/kube_state.go): uninstalling `agent`
    deletes `teleport-agent-0-state` too (measured).

    Args:
        environ: with KUBE_NAMESPACE and RELEASE_NAME.

    Raises:
        TeleportError: a variable is missing, this is no pod, or the API server refused.
    """
    namespace = environ.get("KUBE_NAMESPACE")
    if not namespace:
        raise TeleportError("BadParameter", "invalid namespace provided")
    if not within_cluster(environ):
        needed = "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
        message = f"unable to load in-cluster configuration, {needed}"
        raise TeleportError("BadParameter", message)
    pattern = re.compile(f"{environ.get('RELEASE_NAME', '')}-[0-9]+-state")
    api = ClusterApi(environ)
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    try:
        for secret in (await api.call("GET", secrets)).get("items", []):
            name = secret["metadata"]["name"]
            if pattern.search(name):
                await api.call("DELETE", f"{secrets}/{name}")
    except ApiError as error:
        raise TeleportError("AccessDenied", str(error)) from error
    finally:
        await api.close()
