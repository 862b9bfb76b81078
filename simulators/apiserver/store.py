"""All objects in memory, with versions, and the changes for those who watch.

Objects in the store are never changed in place: whoever changes one puts a new one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.apiserver.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.objects import Object

HISTORY = 10_000
"""Changes that are remembered; who asks for older ones has to list anew (410)."""


@dataclass(frozen=True)
class Change:
    """One write.

    Args:
        version: resourceVersion that the write made.
        kind: ADDED, MODIFIED or DELETED.
        resource: of the object.
        object: as it is now; for a deletion as it was, with the version of the deletion.
        previous: as it was before; None for a new object.
    """

    version: int
    kind: str
    resource: Resource
    object: Object
    previous: Object | None


class Store:
    """The objects of the cluster.

    Args:
        history: how many changes are remembered.
    """

    def __init__(self, history: int = HISTORY) -> None:
        self.version = 1
        self._objects: dict[str, dict[str, dict[str, Object]]] = {}
        self._owned: dict[str, dict[tuple[str, str, str], Resource]] = {}
        self._changes: deque[Change] = deque(maxlen=history)
        self._listeners: set[asyncio.Queue[Change]] = set()

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object of that name, or None."""
        return self._of(resource, namespace).get(name)

    def find(self, resource: Resource, namespace: str = "") -> list[Object]:
        """The objects of a resource by namespace and name; of all namespaces unless one is given."""
        places = [namespace] if namespace else sorted(self._objects.get(resource.plural, {}))
        found = [self._of(resource, place) for place in places]
        return [within[name] for within in found for name in sorted(within)]

    def owned_by(self, uid: str) -> list[tuple[Resource, str, str]]:
        """Resource, namespace and name of the objects that name an owner.

        Args:
            uid: of the owner.
        """
        return [(resource, *key[1:]) for key, resource in self._owned.get(uid, {}).items()]

    def put(self, resource: Resource, obj: Object) -> Object:
        """Write an object, new or changed; returns it with its new version."""
        namespace, name = _key(obj)
        within = self._of(resource, namespace)
        previous = within.get(name)
        kind = "MODIFIED" if previous else "ADDED"
        stored = self._versioned(obj)
        within[name] = stored
        self._tell(Change(self.version, kind, resource, stored, previous))
        return stored

    def remove(self, resource: Resource, obj: Object) -> Object:
        """Take an object out; returns it with the version of its removal."""
        namespace, name = _key(obj)
        previous = self._of(resource, namespace).pop(name)
        gone = self._versioned(previous)
        self._tell(Change(self.version, "DELETED", resource, gone, previous))
        return gone

    def since(self, version: int) -> list[Change]:
        """The changes after a version.

        Raises:
            StatusError: they are no longer remembered (410).
        """
        oldest = self._changes[0].version - 1 if self._changes else self.version
        if version < oldest:
            text = f"too old resource version: {version} ({oldest})"
            raise StatusError(410, "Expired", text)
        return [change for change in self._changes if change.version > version]

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[Change]]:
        """A queue of all changes from now on."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def _of(self, resource: Resource, namespace: str) -> dict[str, Object]:
        return self._objects.setdefault(resource.plural, {}).setdefault(namespace, {})

    def _versioned(self, obj: Object) -> Object:
        self.version += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}

    def _tell(self, change: Change) -> None:
        self._note_owners(change)
        self._changes.append(change)
        for queue in self._listeners:
            queue.put_nowait(change)

    def _note_owners(self, change: Change) -> None:
        key = (change.resource.plural, *_key(change.object))
        for owner in _owners(change.previous):
            self._owned.get(owner, {}).pop(key, None)
            if not self._owned.get(owner):
                self._owned.pop(owner, None)
        for owner in () if change.kind == "DELETED" else _owners(change.object):
            self._owned.setdefault(owner, {})[key] = change.resource


def _owners(obj: Object | None) -> list[str]:
    return [owner["uid"] for owner in obj["metadata"].get("ownerReferences") or []] if obj else []


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
