"""Watches: the changes of a collection as they come, one JSON line each."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.apiserver.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.objects import Object
    from simulators.apiserver.store import Change, Store

INITIAL_END = "k8s.io/initial-events-end"
LONGEST_SECONDS = 1800


@dataclass(frozen=True)
class Wish:
    """What a watcher wants to see.

    Args:
        resource: of the collection.
        namespace: empty for all.
        version: resourceVersion after which changes are wanted; 0 begins with what is there.
        fits: whether an object is selected.
        shape: an object as the watcher wants it.
        seconds: after which the watch ends.
        initial: begin with what is there and mark the end of that (`sendInitialEvents`).
        bookmarks: tell the last version at the end.
    """

    resource: Resource
    namespace: str
    version: int
    fits: Callable[[Object], bool]
    shape: Callable[[Object], Object]
    seconds: float
    initial: bool
    bookmarks: bool


async def watch(store: Store, wish: Wish, response: web.StreamResponse) -> None:
    """Send what a watcher wants until its time is over or it leaves.

    Args:
        store: of the cluster.
        wish: what it wants.
        response: prepared.
    """
    with store.listening() as changes:
        seen = store.version
        try:
            first = b"".join(_first(store, wish))
        except StatusError as error:
            await response.write(_line("ERROR", error.body()))
            return
        if first:
            await response.write(first)
        with suppress(TimeoutError):
            async with asyncio.timeout(wish.seconds):
                while True:
                    change = await changes.get()
                    seen = change.version
                    line = _changed(change, wish)
                    if line:
                        await response.write(line)
        if wish.bookmarks:
            await response.write(_bookmark(wish, seen))


def _first(store: Store, wish: Wish) -> Iterator[bytes]:
    """Lines for what happened before the watch began."""
    if wish.initial or wish.version == 0:
        for obj in store.find(wish.resource, wish.namespace):
            if wish.fits(obj):
                yield _line("ADDED", wish.shape(obj))
        if wish.initial:
            yield _bookmark(wish, store.version, {INITIAL_END: "true"})
        return
    for change in store.since(wish.version):
        line = _changed(change, wish)
        if line:
            yield line


def _changed(change: Change, wish: Wish) -> bytes:
    """The line for a change as this watcher sees it; empty when it does not."""
    if change.resource is not wish.resource:
        return b""
    if wish.namespace and change.object["metadata"].get("namespace") != wish.namespace:
        return b""
    was = change.previous is not None and wish.fits(change.previous)
    now = change.kind != "DELETED" and wish.fits(change.object)
    if not was and not now:
        return b""
    kind = "MODIFIED" if was and now else "ADDED" if now else "DELETED"
    return _line(kind, wish.shape(change.object))


def _bookmark(wish: Wish, version: int, annotations: dict[str, str] | None = None) -> bytes:
    metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    identity = {"kind": wish.resource.kind, "apiVersion": wish.resource.api_version}
    return _line("BOOKMARK", identity | {"metadata": metadata})


def _line(kind: str, obj: Object) -> bytes:
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"
