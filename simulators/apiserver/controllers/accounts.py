"""Each namespace gets the service account `default` and the ConfigMap with the cluster's authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.admission import ROOT_CA
from simulators.apiserver.controllers.loop import Key, writer
from simulators.apiserver.kinds import of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulators.apiserver.objects import Object
    from simulators.apiserver.registry import Registry
    from simulators.apiserver.store import Change

_MADE = {"serviceaccounts": "default", "configmaps": ROOT_CA}


class Accounts:
    """Makes both, again when they were deleted or changed.

    Args:
        registry: of the cluster.
        root_ca: PEM.
    """

    def __init__(self, registry: Registry, root_ca: str) -> None:
        self._registry = registry
        self._data = {"ca.crt": root_ca}

    def initial(self) -> Iterable[Key]:
        """All namespaces."""
        return [(found["metadata"]["name"],) for found in self._registry.store.find(of("namespaces"))]

    def due(self, change: Change) -> Iterable[Key]:
        """The namespace, when it or what is made in it changed."""
        meta, plural = change.object["metadata"], change.resource.plural
        if plural == "namespaces":
            return [(meta["name"],)]
        return [(meta["namespace"],)] if meta["name"] == _MADE.get(plural) else []

    async def sync(self, key: Key) -> float | None:
        """Make what is missing."""
        store, (namespace,) = self._registry.store, key
        found = store.get(of("namespaces"), "", namespace)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return None
        accounts, maps = of("serviceaccounts"), of("configmaps")
        if store.get(accounts, namespace, "default") is None:
            body: Object = {"metadata": {"name": "default"}}
            await self._registry.create(accounts, namespace, body, writer("service-account-controller"))
        published = store.get(maps, namespace, ROOT_CA)
        as_publisher = writer("root-ca-cert-publisher")
        if published is None:
            note = {
                "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver"
            }
            body = {"metadata": {"name": ROOT_CA, "annotations": note}, "data": self._data}
            await self._registry.create(maps, namespace, body, as_publisher)
        elif published.get("data") != self._data:
            data = self._data
            await self._registry.change(maps, namespace, ROOT_CA, lambda o: o | {"data": data}, as_publisher)
        return None
