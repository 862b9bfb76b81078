"""Where an agent keeps its host id and identities: a Secret named after its pod, or its data folder.

Keys and annotations as measured (observations, state-secret.json); the Secret is written by server-side apply.
"""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from simulators.teleport import times
from simulators.teleport.cluster_api import ApiError, ClusterApi, within_cluster
from simulators.teleport.files import mounted, write_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST_ID = ".host_uuid"
APPLY = "application/apply-patch+yaml"


def identity_key(role: str) -> str:
    """Where the identity of a role is kept."""
    return f".ids.{role.lower()}.current"


def identity_items(role: str, key: str, certificate: str, authority: str) -> dict[str, str]:
    """What is kept of a join.

    Args:
        role: joined as.
        key: private key, PEM.
        certificate: PEM.
        authority: of the cluster's hosts, PEM.
    """
    identity = {
        "kind": "identity",
        "version": "v2",
        "metadata": {"name": "current"},
        "spec": {"key": key, "tls_cert": certificate, "tls_ca_certs": [authority]},
    }
    rotation = {
        "current_id": "",
        "started": times.NEVER,
        "last_rotated": times.NEVER,
        "schedule": dict.fromkeys(("update_clients", "update_servers", "standby"), times.NEVER),
    }
    state = {"kind": "state", "version": "v2", "metadata": {"name": "state"}, "spec": {"rotation": rotation}}
    return {
        identity_key(role): json.dumps(identity),
        f".states.{role.lower()}.state": json.dumps(state),
    }


class Storage(Protocol):
    """What an agent remembers."""

    async def read(self) -> dict[str, str]:
        """Everything that is kept.

        Raises:
            ApiError: it may not be read.
        """

    async def write(self, items: Mapping[str, str]) -> None:
        """Keep something beside what is kept.

        Raises:
            ApiError: it may not be written.
        """


class SecretStorage:
    """Storage in a Secret.

    Args:
        api: of the cluster.
        environ: with TELEPORT_REPLICA_NAME, KUBE_NAMESPACE and perhaps RELEASE_NAME.
    """

    def __init__(self, api: ClusterApi, environ: Mapping[str, str]) -> None:
        self._api = api
        self._replica = environ["TELEPORT_REPLICA_NAME"]
        self._namespace = environ["KUBE_NAMESPACE"]
        self._release = environ.get("RELEASE_NAME", "")
        self._name = f"{self._replica}-state"

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}/secrets/{self._name}"

    async def read(self) -> dict[str, str]:
        """Everything in the Secret; nothing while there is none."""
        found = await self._secret()
        data = (found or {}).get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    async def write(self, items: Mapping[str, str]) -> None:
        """Apply the Secret with these keys beside those that it has."""
        found = await self._secret()
        metadata = (found or {}).get("metadata", {})
        data = dict((found or {}).get("data") or {})
        data |= {key: base64.b64encode(value.encode()).decode() for key, value in items.items()}
        annotations = metadata.get("annotations") if found else self._annotations()
        kept = {"name": self._name, "namespace": self._namespace, "annotations": annotations or {}}
        if found:
            kept["resourceVersion"] = metadata["resourceVersion"]
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": kept, "data": data}
        await self._api.call("PATCH", f"{self._path}?fieldManager={self._replica}", document, APPLY)

    async def _secret(self) -> dict[str, dict[str, str]] | None:
        try:
            return await self._api.call("GET", self._path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _annotations(self) -> dict[str, str]:
        if not self._release:
            return {}
        return {
            "meta.helm.sh/release-name": self._release,
            "meta.helm.sh/release-namespace": self._namespace,
            "helm.sh/resource-policy": "keep",
        }


class FolderStorage:
    """Storage in the data folder.

    Args:
        data: the folder, as the configuration names it.
        environ: of the process.
    """

    def __init__(self, data: str, environ: Mapping[str, str]) -> None:
        self._path = mounted(f"{data}/proc/simulated-state.json", environ)

    async def read(self) -> dict[str, str]:
        """Everything in the file; nothing while there is none."""
        return dict(json.loads(self._path.read_text())) if self._path.is_file() else {}

    async def write(self, items: Mapping[str, str]) -> None:
        """Write the file with these keys beside those that it has."""
        write_secret(self._path, json.dumps(await self.read() | dict(items)))


def storage(data: str, environ: Mapping[str, str], api: ClusterApi | None) -> Storage:
    """Where this agent keeps things.

    Args:
        data: data folder.
        environ: of the process.
        api: of the cluster; None outside of one.
    """
    named = environ.get("TELEPORT_REPLICA_NAME") and environ.get("KUBE_NAMESPACE")
    if api and named and within_cluster(environ):
        return SecretStorage(api, environ)
    return FolderStorage(data, environ)
