"""The kubelet: follows the pods of the API, takes unbound ones on, and runs those of its node."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from typing import TYPE_CHECKING

import aiohttp

from simulators.kubelet import processes
from simulators.kubelet.api import Api, ApiError, UnreachableError, connect
from simulators.kubelet.events import Recorder
from simulators.kubelet.node import Heart
from simulators.kubelet.pods import Node, PodWorker
from simulators.kubelet.server import serving

if TYPE_CHECKING:
    from pathlib import Path

    from simulators.kubelet.config import Config
    from simulators.kubelet.decisions import Decisions
    from simulators.kubelet.objects import Object

log = logging.getLogger(__name__)

PODS = "/api/v1/pods"
GONE = 410
RETRY_SECONDS = (0.2, 5.0)


class CannotRunError(Exception):
    """This machine does not let the kubelet work; the text is one line for the user."""


class Kubelet:
    """All pods of one node.

    Args:
        node: what the pods share.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bindings: dict[str, asyncio.Task[None]] = {}

    def workers(self) -> list[PodWorker]:
        """The pods it runs, or has run and not seen deleted."""
        return list(self._workers.values())

    async def follow(self) -> None:
        """List and watch pods, for ever; survives expired watches and an API server that restarts."""
        pause = RETRY_SECONDS[0]
        while True:
            try:
                listing = await self._node.api.call("GET", PODS)
                self._replace(listing["items"])
                pause = RETRY_SECONDS[0]
                await self._watch(listing["metadata"]["resourceVersion"])
            except (ApiError, UnreachableError) as error:
                if not (isinstance(error, ApiError) and error.status == GONE):
                    log.warning("pods: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_SECONDS[1])

    async def _watch(self, version: str) -> None:
        while True:
            async for kind, pod in self._node.api.watch(PODS, version):
                version = pod["metadata"]["resourceVersion"]
                if kind == "DELETED":
                    self._vanish(pod["metadata"]["uid"])
                elif kind != "BOOKMARK":
                    self._take(pod)

    def _replace(self, pods: list[Object]) -> None:
        for uid in set(self._workers) - {pod["metadata"]["uid"] for pod in pods}:
            self._vanish(uid)
        for pod in pods:
            self._take(pod)

    def _take(self, pod: Object) -> None:
        uid, spec = pod["metadata"]["uid"], pod["spec"]
        deleting = "deletionTimestamp" in pod["metadata"]
        if not spec.get("nodeName"):
            if not deleting and not spec.get("schedulingGates") and uid not in self._bindings:
                self._bindings[uid] = asyncio.create_task(self._bind(pod))
            return
        if spec["nodeName"] != self._node.config.node:
            return
        if uid in self._workers:
            self._workers[uid].update(pod)
            return
        over = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
        if over and not deleting:
            return
        self._workers[uid] = PodWorker(self._node, pod)
        self._tasks[uid] = asyncio.create_task(self._workers[uid].run())

    def _vanish(self, uid: str) -> None:
        self._bindings.pop(uid, None)
        worker = self._workers.pop(uid, None)
        if worker:
            worker.vanish()
            task = self._tasks[uid]
            task.add_done_callback(lambda _: self._tasks.pop(uid, None))

    async def _bind(self, pod: Object) -> None:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding"
        target = {"apiVersion": "v1", "kind": "Node", "name": self._node.config.node}
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "uid": meta["uid"]},
            "target": target,
        }
        try:
            await self._node.api.insist("POST", path, body)
            text = f"Successfully assigned {meta['namespace']}/{meta['name']} to {target['name']}"
            self._node.recorder.record(pod, "Scheduled", text)
        except ApiError as error:
            self._bindings.pop(meta["uid"], None)
            if error.status not in {404, 409}:
                log.warning("%s: %s", path, error)

    async def shut_down(self) -> None:
        """End the processes of all pods."""
        for worker in self._workers.values():
            worker.shut_down()
        if self._tasks:
            await asyncio.wait(self._tasks.values())


async def run(config: Config, decisions: Decisions) -> None:
    """Be a node until SIGTERM or SIGINT.

    Args:
        config: of the node.
        decisions: of the kubelet.

    Raises:
        CannotRunError: containers cannot be started on this machine.
        ApiError: the API server refuses the Node.
        OSError: a port or file cannot be used.
    """
    await _prepare(config)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    fresh = aiohttp.TCPConnector(force_close=True)  # a probe never uses a connection again
    async with connect(config.kubeconfig) as api, aiohttp.ClientSession(connector=fresh) as session:
        recorder = Recorder(api, config.node)
        kubelet = Kubelet(Node(config, api, decisions, recorder, session))
        async with serving(config, kubelet.workers) as port:
            work = asyncio.create_task(_serve(config, api, kubelet, recorder, port))
            told = asyncio.create_task(ended.wait())
            await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
            for task in (work, told):
                task.cancel()
            await asyncio.wait({work, told})
            await kubelet.shut_down()
            if not work.cancelled():
                work.result()  # raises what ended it before its time


async def _serve(config: Config, api: Api, kubelet: Kubelet, recorder: Recorder, port: int) -> None:
    heart = Heart(api, config.node, port)
    await heart.register()
    _announce(config.ready, {"port": port, "pid": os.getpid()})
    async with asyncio.TaskGroup() as group:
        for work in (recorder.run(), heart.beat(), kubelet.follow()):
            group.create_task(work)


async def _prepare(config: Config) -> None:
    root = config.folder / "check"
    root.mkdir(parents=True, exist_ok=True)
    config.folder.chmod(0o700)
    if problem := await processes.check(config.isolation, root):
        raise CannotRunError(problem)
    root.rmdir()


def _announce(path: Path, content: Object) -> None:
    staging = path.with_name(path.name + ".new")
    staging.write_text(json.dumps(content))
    staging.replace(path)
