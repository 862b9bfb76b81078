"""Garbage collection: objects go with their owners, in the background, before them, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.controllers.loop import Key, writer
from simulators.apiserver.kinds import RESOURCES, Resource, of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.objects import Object
    from simulators.apiserver.registry import Registry
    from simulators.apiserver.store import Change

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
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
        """What the change may have left without owners, and owners that wait for what they own."""
        meta = change.object["metadata"]
        if change.kind != "DELETED":
            held = meta.get("deletionTimestamp") and meta.get("finalizers")
            return [_key(change.resource, change.object)] if held or meta.get("ownerReferences") else []
        owned = [_key(resource, obj) for resource, obj in self._owned_by(meta["uid"])]
        owners = [reference["uid"] for reference in meta.get("ownerReferences") or []]
        return owned + [key for uid in owners for key in self._waiting(uid)]

    def _waiting(self, uid: str) -> Iterator[Key]:
        """The object of that uid, when it is held until it owns nothing any more."""
        for resource in RESOURCES:
            for obj in self._registry.store.find(resource):
                if obj["metadata"]["uid"] == uid and _FOREGROUND in (obj["metadata"].get("finalizers") or []):
                    yield _key(resource, obj)

    async def sync(self, key: Key) -> float | None:
        """Look at one object: is it garbage, or is it waiting for what it owns?"""
        plural, namespace, name = key
        resource = of(plural)
        obj = self._registry.store.get(resource, namespace, name)
        if obj is None:
            return None
        meta = obj["metadata"]
        finalizers = meta.get("finalizers") or []
        if meta.get("deletionTimestamp"):
            if _ORPHAN in finalizers:
                await self._orphan(resource, obj)
            elif _FOREGROUND in finalizers:
                await self._delete_owned(resource, obj)
            return None
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

    def _owned_by(self, uid: str) -> Iterator[tuple[Resource, Object]]:
        for resource in RESOURCES:
            for obj in self._registry.store.find(resource):
                if any(o["uid"] == uid for o in obj["metadata"].get("ownerReferences") or []):
                    yield resource, obj

    async def _orphan(self, resource: Resource, owner: Object) -> None:
        uid = owner["metadata"]["uid"]

        def disown(obj: Object) -> Object:
            left = [o for o in obj["metadata"].get("ownerReferences") or [] if o["uid"] != uid]
            metadata = {**obj["metadata"], "ownerReferences": left}
            return {**obj, "metadata": metadata}

        for kind, obj in list(self._owned_by(uid)):
            await self._change(kind, obj, disown)
        await self._release(resource, owner, _ORPHAN)

    async def _delete_owned(self, resource: Resource, owner: Object) -> None:
        left = False
        for kind, obj in list(self._owned_by(owner["metadata"]["uid"])):
            meta = obj["metadata"]
            if not meta.get("deletionTimestamp"):
                options = {"propagationPolicy": "Foreground" if self._owns(meta["uid"]) else "Background"}
                gone, _ = self._registry.delete(kind, meta.get("namespace", ""), meta["name"], options)
                left = left or not gone
            else:
                left = True
        if not left:
            await self._release(resource, owner, _FOREGROUND)

    def _owns(self, uid: str) -> bool:
        return next(self._owned_by(uid), None) is not None

    async def _release(self, resource: Resource, obj: Object, finalizer: str) -> None:
        def release(found: Object) -> Object:
            left = [f for f in found["metadata"].get("finalizers") or [] if f != finalizer]
            return {**found, "metadata": {**found["metadata"], "finalizers": left}}

        await self._change(resource, obj, release)

    async def _change(self, resource: Resource, obj: Object, edit: Callable[[Object], Object]) -> None:
        meta = obj["metadata"]
        place = (meta.get("namespace", ""), meta["name"])
        await self._registry.change(resource, *place, edit, writer("generic-garbage-collector"))


def _key(resource: Resource, obj: Object) -> Key:
    return resource.plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
