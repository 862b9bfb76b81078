"""One pod, from its volumes to its removal from the API."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.kubelet.api import MERGE, STRATEGIC, Api, ApiError
from simulators.kubelet.containers import Container, Surroundings
from simulators.kubelet.environment import Environment
from simulators.kubelet.objects import Condition, Object, Waiting, find
from simulators.kubelet.status import PodState, conditions, keep_times, phase, render
from simulators.kubelet.volumes import VolumeError, Volumes, reader

if TYPE_CHECKING:
    import aiohttp

    from simulators.kubelet.config import Config
    from simulators.kubelet.decisions import Decisions
    from simulators.kubelet.events import Recorder

log = logging.getLogger(__name__)

HOST_PORTS = "conformance/host-ports"
SHUTDOWN_GRACE = 2.0


@dataclass(frozen=True)
class Node:
    """What all pods of the node share.

    Args:
        config: of the node.
        api: the API server.
        decisions: of the kubelet.
        recorder: writes events.
        session: for probes.
    """

    config: Config
    api: Api
    decisions: Decisions
    recorder: Recorder
    session: aiohttp.ClientSession


class PodWorker:
    """Runs one pod and keeps its status in the API.

    Args:
        node: what it shares with the others.
        pod: as the API has it.
    """

    def __init__(self, node: Node, pod: Object) -> None:
        meta, spec = pod["metadata"], pod["spec"]
        self.pod = pod
        self.uid: str = meta["uid"]
        self._node = node
        self._path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self._folder = node.config.folder / self.uid
        self._policy: str = spec.get("restartPolicy", "Always")
        self._volumes = Volumes(node.api, pod, self._folder / "volumes", node.decisions)
        self._leave = asyncio.Event()
        self._vanished = asyncio.Event()
        self._changed = asyncio.Event()
        self._shutting_down = False
        self._ports: dict[str, int] = {}
        self._published: Object = {}
        self._conditions: dict[str, Condition] = {}
        grace = node.decisions.grace_period(spec.get("terminationGracePeriodSeconds"), None)
        around = self._surroundings()
        once = "Never" if self._policy == "Never" else "OnFailure"
        self._init = [Container(c, once, grace, around) for c in spec.get("initContainers") or []]
        self._main = [Container(c, self._policy, grace, around) for c in spec["containers"]]
        if self._init:
            for container in self._init + self._main:
                container.status.state = Waiting("PodInitializing")
        self._state = PodState([c.status for c in self._init], [c.status for c in self._main])

    def _surroundings(self) -> Surroundings:
        node, meta = self._node, self.pod["metadata"]

        def note(reason: str, message: str, warning: bool, container: str) -> None:
            node.recorder.record(self.pod, reason, message, warning=warning, container=container)

        def current(name: str) -> Object:
            spec = self.pod["spec"]
            found = find([*(spec.get("initContainers") or []), *spec["containers"]], name)
            if found is None:
                raise LookupError(f"the pod's specification lost its container {name}")
            return found

        read = reader(node.api, meta["namespace"])
        return Surroundings(
            config=node.config,
            decisions=node.decisions,
            folder=self._folder,
            volumes=self._volumes,
            environment=Environment(node.config, node.api.server, self.pod, read),
            session=node.session,
            note=note,
            changed=self._changed.set,
            moved=self._moved,
            current=current,
            label=f"{meta['name']}_{meta['namespace']}({self.uid})",
        )

    def update(self, pod: Object) -> None:
        """Take a newer version of the pod from the API."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._leave.set()
        self._changed.set()  # readiness gates may have changed

    def vanish(self) -> None:
        """The pod is gone from the API: end it at once."""
        self._vanished.set()
        self._leave.set()

    def shut_down(self) -> None:
        """The kubelet ends: end the pod's processes and leave the API alone."""
        self._shutting_down = True
        self._leave.set()

    def container(self, name: str) -> Container:
        """One of its containers.

        Raises:
            LookupError: it has none of that name.
        """
        for container in self._init + self._main:
            if container.name == name:
                return container
        raise LookupError(f'container "{name}" is not found in pod "{self.pod["metadata"]["name"]}"')

    async def run(self) -> None:
        """Run the pod to its end, and delete it from the API when that is wanted."""
        if self.pod["metadata"].get("deletionTimestamp"):
            self._leave.set()
        publisher = asyncio.create_task(self._publish_for_ever())
        life = asyncio.create_task(self._live())
        for task in (publisher, life):
            task.add_done_callback(self._tell_failure)
        await self._leave.wait()
        await self._stop(life)
        publisher.cancel()
        await asyncio.wait({publisher})
        if not self._vanished.is_set() and not self._shutting_down:
            await self._leave_api()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _live(self) -> None:
        sidecars = [c["name"] for c in self.pod["spec"].get("initContainers") or [] if c.get("restartPolicy")]
        if sidecars:
            text = f"init containers with a restartPolicy are not supported by the lab's kubelet: {sidecars}"
            self._node.recorder.record(self.pod, "Unsupported", text, warning=True)
            return
        if not await self._set_up_volumes():
            return
        keeper = asyncio.create_task(self._volumes.keep_current())
        try:
            for container in self._init:
                end = await container.run()
                if self._leave.is_set() or end is None or end.exit_code:
                    return
                container.status.ready = True
                self._changed.set()
            self._state.initialized = True
            for container in self._main:
                container.status.state = Waiting("ContainerCreating")
            self._changed.set()
            await asyncio.gather(*(container.run() for container in self._main))
        finally:
            keeper.cancel()

    def _tell_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.error("pod %s broke the kubelet", self.pod["metadata"]["name"], exc_info=error)
            text = f"the kubelet failed on this pod: {error!r}"
            self._node.recorder.record(self.pod, "KubeletError", text, warning=True)

    async def _set_up_volumes(self) -> bool:
        """Whether the volumes are there; false when the pod is to leave before they are."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        failures = 0
        self._changed.set()
        while not self._leave.is_set():
            try:
                await self._volumes.set_up()
            except VolumeError as error:
                failures += 1
                self._node.recorder.record(self.pod, "FailedMount", str(error), warning=True)
                delay = self._node.decisions.setup_delay(failures)
                await asyncio.wait({asyncio.ensure_future(self._leave.wait())}, timeout=delay)
            else:
                return True
        return False

    async def _stop(self, life: asyncio.Task[None]) -> None:
        meta, containers = self.pod["metadata"], self._init + self._main
        self._state.leaving = not self._shutting_down
        spec_seconds = self.pod["spec"].get("terminationGracePeriodSeconds")
        grace = self._node.decisions.grace_period(spec_seconds, meta.get("deletionGracePeriodSeconds"))
        if self._shutting_down:
            grace = min(grace, SHUTDOWN_GRACE)
        stops = asyncio.create_task(self._stop_containers(grace))
        vanished = asyncio.create_task(self._vanished.wait())
        await asyncio.wait({stops, vanished}, return_when=asyncio.FIRST_COMPLETED)
        vanished.cancel()
        for container in containers:
            container.kill()
        await asyncio.wait({stops, life})

    async def _stop_containers(self, grace: float) -> None:
        await asyncio.gather(*(container.stop(grace) for container in self._init + self._main))

    def _moved(self, ports: dict[str, int]) -> None:
        self._ports |= ports
        self._changed.set()

    async def _publish_for_ever(self) -> None:
        annotated: dict[str, int] = {}
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._ports != annotated:
                annotated = dict(self._ports)
                change = {"metadata": {"annotations": {HOST_PORTS: json.dumps(annotated)}}}
                await self._patch(self._path, change, MERGE)
            await self._publish()

    async def _publish(self) -> None:
        current = phase(self._state, self._policy)
        self._conditions = keep_times(conditions(self._state, current, self.pod), self._conditions)
        status = render(self._state, current, self._conditions)
        if status != self._published:
            self._published = status
            change = {"metadata": {"uid": self.uid}, "status": status}
            await self._patch(f"{self._path}/status", change, STRATEGIC)

    async def _patch(self, path: str, change: Object, kind: str) -> None:
        try:
            await self._node.api.insist("PATCH", path, change, kind)
        except ApiError as error:  # gone, or a new pod of the same name: nothing to tell any more
            if error.status not in {404, 409}:
                log.warning("%s: %s", path, error)

    async def _leave_api(self) -> None:
        """Tell how the pod ended, then remove it from the API."""
        await self._publish()
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        try:
            await self._node.api.insist("DELETE", self._path, options)
        except ApiError as error:
            if error.status not in {404, 409}:
                log.warning("%s not deleted: %s", self._path, error)
