"""Events that controllers write about what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.kinds import of
from simulators.apiserver.objects import Object, Writer, random_suffix, timestamp

if TYPE_CHECKING:
    from simulators.apiserver.registry import Registry

_EVENTS = of("events")


class Recorder:
    """Writes events; equal ones are counted on one object.

    Args:
        registry: of the cluster.
        writer: as whom.
        component: name of the controller.
    """

    def __init__(self, registry: Registry, writer: Writer, component: str) -> None:
        self._registry = registry
        self._writer = writer
        self._component = component

    async def record(self, about: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Write one event.

        Args:
            about: the object.
            reason: one word.
            message: one sentence.
            warning: type Warning instead of Normal.
        """
        meta, now = about["metadata"], timestamp()
        involved = {"kind": about["kind"], "apiVersion": about["apiVersion"]}
        involved |= {key: meta[key] for key in ("namespace", "name", "uid")}
        same = {"involvedObject": involved, "reason": reason, "message": message}
        for known in self._registry.store.find(_EVENTS, meta["namespace"]):
            if all(known.get(key) == value for key, value in same.items()):
                count = known["count"] + 1
                self._registry.store.put(_EVENTS, {**known, "count": count, "lastTimestamp": now})
                return
        body = same | {
            "metadata": {"name": f"{meta['name']}.{random_suffix(16)}"},
            "type": "Warning" if warning else "Normal",
            "source": {"component": self._component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._registry.create(_EVENTS, meta["namespace"], body, self._writer)
