"""Events about pods, written in order and in the background: no pod waits for them."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulators.kubelet.api import MERGE, Api, ApiError, UnreachableError
from simulators.kubelet.objects import Object, timestamp

if TYPE_CHECKING:
    from simulators.kubelet.objects import Object

log = logging.getLogger(__name__)


class Recorder:
    """Writes events; equal ones of a pod are counted on one object, as a real kubelet does.

    Args:
        api: where they go.
        node: name of the node, the events' source.
    """

    def __init__(self, api: Api, node: str) -> None:
        self._api = api
        self._node = node
        self._queue: asyncio.Queue[Object] = asyncio.Queue()
        self._written: dict[tuple[str, ...], tuple[str, int]] = {}

    def record(
        self, pod: Object, reason: str, message: str, *, warning: bool = False, container: str = ""
    ) -> None:
        """Queue one event.

        Args:
            pod: what it is about.
            reason: one word, as kubectl shows it.
            message: one sentence, without secrets.
            warning: type Warning instead of Normal.
            container: name, when it is about one container.
        """
        meta = pod["metadata"]
        about = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        about["namespace"] = meta["namespace"]
        if container:
            about["fieldPath"] = f"spec.containers{{{container}}}"
        now = timestamp(datetime.now(UTC))
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{meta['name']}.{time.time_ns():x}", "namespace": meta["namespace"]},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "source": {"component": "kubelet", "host": self._node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._queue.put_nowait(event)

    async def run(self) -> None:
        """Write what is queued, for ever; an event that the API refuses is dropped."""
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except (ApiError, UnreachableError) as error:
                log.warning("event %s not written: %s", event["reason"], error)

    async def _write(self, event: Object) -> None:
        about = event["involvedObject"]
        key = (about["uid"], about.get("fieldPath", ""), event["reason"], event["message"])
        path = f"/api/v1/namespaces/{about['namespace']}/events"
        if key in self._written:
            name, count = self._written[key]
            change = {"count": count + 1, "lastTimestamp": event["lastTimestamp"]}
            await self._api.call("PATCH", f"{path}/{name}", change, MERGE)
            self._written[key] = (name, count + 1)
        else:
            await self._api.call("POST", path, event)
            self._written[key] = (event["metadata"]["name"], 1)
