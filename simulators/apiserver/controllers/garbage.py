"""Garbage collection: objects go once their owners are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.kinds import RESOURCES, of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulators.apiserver.controllers.loop import Key
    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.objects import Object
    from simulators.apiserver.registry import Registry
    from simulators.apiserver.store import Change

_KINDS = {(resource.api_version, resource.kind): resource for resource in RESOURCES}


class Garbage:
    """The collector.

    Args:
        registry: of the cluster.
        decisions: of the controllers.
    """

    def __init__(self, registry: Registry, decisions: Decisions) -> None:
        self._registry = registry
        self._decisions = decisions

    def initial(self) -> Iterable[Key]:
        """Nothing: nothing is owned in a new cluster."""
        return []

    def due(self, change: Change) -> Iterable[Key]:
        """What the change may have left without owners."""
        meta = change.object["metadata"]
        if change.kind == "DELETED":
            owned = self._registry.store.owned_by(meta["uid"])
            return [(resource.plural, namespace, name) for resource, namespace, name in owned]
        key = (change.resource.plural, meta.get("namespace", ""), meta["name"])
        return [key] if meta.get("ownerReferences") else []

    async def sync(self, key: Key) -> float | None:
        """Look at one object: is it garbage?"""
        plural, namespace, name = key
        resource = of(plural)
        obj = self._registry.store.get(resource, namespace, name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None
        meta = obj["metadata"]
        references = meta.get("ownerReferences") or []
        owners = [reference["uid"] for reference in references]
        existing = {reference["uid"] for reference in references if self._exists(reference, namespace)}
        if self._decisions.garbage_collected(owners, existing):
            options = {"propagationPolicy": "Background", "preconditions": {"uid": meta["uid"]}}
            self._registry.delete(resource, namespace, name, options)
        return None

    def _exists(self, reference: Object, namespace: str) -> bool:
        resource = _KINDS.get((reference["apiVersion"], reference["kind"]))
        if resource is None:
            return False
        owner = self._registry.store.get(
            resource, namespace if resource.namespaced else "", reference["name"]
        )
        return owner is not None and owner["metadata"]["uid"] == reference["uid"]
