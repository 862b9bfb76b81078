"""`teleport kube-state delete`, which the chart's hook runs after `helm uninstall`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.teleport.cluster_api import ApiError, ClusterApi, within_cluster
from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.teleport.decisions import Decisions


async def delete(environ: Mapping[str, str], decisions: Decisions) -> None:
    """Delete the state Secrets of a release in the pod's namespace.

    Args:
        environ: with KUBE_NAMESPACE and RELEASE_NAME.
        decisions: of the program.

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
    api = ClusterApi(environ)
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    try:
        for secret in (await api.call("GET", secrets)).get("items", []):
            name = secret["metadata"]["name"]
            if decisions.state_removed(name, environ.get("RELEASE_NAME", "")):
                await api.call("DELETE", f"{secrets}/{name}")
    except ApiError as error:
        raise TeleportError("AccessDenied", str(error)) from error
    finally:
        await api.close()
