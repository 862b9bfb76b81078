"""A namespace that is to be deleted is emptied first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.controllers.loop import Key, writer
from simulators.apiserver.kinds import RESOURCES, of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulators.apiserver.objects import Object
    from simulators.apiserver.registry import Registry
    from simulators.apiserver.store import Change

_NAMESPACES = of("namespaces")
_WITHIN = [resource for resource in RESOURCES if resource.namespaced]


class Namespaces:
    """Empties and removes namespaces.

    Args:
        registry: of the cluster.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def initial(self) -> Iterable[Key]:
        """Nothing: a new cluster deletes no namespace."""
        return []

    def due(self, change: Change) -> Iterable[Key]:
        """The namespace that changed, or lost something."""
        meta = change.object["metadata"]
        if change.resource is _NAMESPACES:
            return [(meta["name"],)]
        return [(meta["namespace"],)] if change.kind == "DELETED" and "namespace" in meta else []

    async def sync(self, key: Key) -> float | None:
        """Delete what is in a terminating namespace, and let the namespace go once nothing is left."""
        store, (name,) = self._registry.store, key
        namespace = store.get(_NAMESPACES, "", name)
        if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
            return None
        for resource in _WITHIN:
            for obj in store.find(resource, name):
                if not obj["metadata"].get("deletionTimestamp"):
                    options = {"propagationPolicy": "Background"}
                    self._registry.delete(resource, name, obj["metadata"]["name"], options)
        if not any(store.find(resource, name) for resource in _WITHIN):
            as_controller = writer("namespace-controller")
            await self._registry.change(_NAMESPACES, "", name, _released, as_controller, part="finalize")
        return None


def _released(namespace: Object) -> Object:
    finalizers = [f for f in namespace["spec"].get("finalizers") or [] if f != "kubernetes"]
    return {**namespace, "spec": {**namespace["spec"], "finalizers": finalizers}}
