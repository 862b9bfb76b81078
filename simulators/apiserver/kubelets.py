"""What the server has from kubelets, over mutual TLS: the logs of pods, and commands in them."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from simulators.apiserver.kinds import of
from simulators.apiserver.status import StatusError, bad_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from simulators.apiserver.audit import Record
    from simulators.apiserver.config import Config
    from simulators.apiserver.objects import Object
    from simulators.apiserver.store import Store

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_NOT_PASSED = {"container", "insecureSkipTLSVerifyBackend", "timeout"}
_CONNECT_SECONDS = 10
_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""Parameter of a client -> that of the kubelet."""
_STATUS_CHANNEL = b"\x03"
_SWITCHED = 101
_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class Kubelets:
    """The kubelets of the cluster's nodes.

    Args:
        config: certificates for the calls.
        store: of the nodes.
        session: for the calls.
    """

    def __init__(self, config: Config, store: Store, session: aiohttp.ClientSession) -> None:
        self._store = store
        self._session = session
        self._tls = ssl.create_default_context(cafile=config.kubelet_ca)
        self._tls.load_cert_chain(config.kubelet_client_certificate, config.kubelet_client_key)

    async def log(self, pod: Object, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """A container's log, piece by piece; the first one tells that there is one.

        Args:
            pod: whose log.
            query: of the request; what it asks for goes to the kubelet.

        Raises:
            StatusError: there is none, or the node does not answer.
        """
        container = _container(pod, query.get("container", ""))
        node = pod["spec"].get("nodeName")
        if not node:
            yield b""
            return
        meta = pod["metadata"]
        passed = urlencode([(key, value) for key, value in query.items() if key not in _NOT_PASSED])
        place = f"containerLogs/{meta['namespace']}/{meta['name']}/{container}?{passed}"
        url = f"{self._address(node)}/{place}"
        limits = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS)
        try:
            async with self._session.get(url, ssl=self._tls, timeout=limits) as response:
                if response.status != 200:
                    raise _refusal(response.status, await response.text(), meta["name"])
                yield b""
                async for piece in response.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, OSError) as error:
            text = f'Get "{url}": {error}'
            raise StatusError(500, "InternalError", f"Internal error occurred: {text}") from error

    async def execute(self, request: web.Request, pod: Object, record: Record) -> web.StreamResponse:
        """Run a command in a pod, its streams between the client's WebSocket and the kubelet's.

        As by kube-apiserver 1.32.2, the client's is open before the kubelet is asked: what the kubelet refuses is
        told on the status channel.

        Args:
            request: of a client.
            pod: where to.
            record: of the request.

        Raises:
            StatusError: there is no such container, the pod is on no node, or no WebSocket is asked for.
        """
        meta, query = pod["metadata"], request.query
        container = _container(pod, query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {meta['name']} does not have a host assigned")
        passed = [("command", part) for part in query.getall("command", [])]
        passed += [(name, "1") for key, name in _STREAMS.items() if query.get(key) in {"1", "true"}]
        url = f"{self._address(pod['spec']['nodeName'])}/exec/{meta['namespace']}/{meta['name']}/{container}"
        socket = web.WebSocketResponse(protocols=_PROTOCOLS, max_msg_size=0)
        socket.headers["Audit-Id"] = record.id
        ready = socket.can_prepare(request)
        if not ready or ready.protocol is None:
            seen = request.headers.get("Upgrade", "no upgrade")
            text = f"the simulated API server runs commands over WebSockets of {' or '.join(_PROTOCOLS)} only"
            raise bad_request(f"{text}, seen: {seen}")
        await socket.prepare(request)
        record.started(_SWITCHED)
        try:
            await self._connect(socket, f"{url}?{urlencode(passed)}", ready.protocol)
        finally:
            record.complete(_SWITCHED, None)
        return socket

    async def _connect(self, client: web.WebSocketResponse, url: str, protocol: str) -> None:
        """Let a client speak with a kubelet until one of them ends it."""
        try:
            async with self._session.ws_connect(
                url, ssl=self._tls, protocols=[protocol], max_msg_size=0
            ) as kubelet:
                await _relay(client, kubelet)
        except aiohttp.WSServerHandshakeError:
            async with self._session.get(
                url, ssl=self._tls
            ) as refusal:  # without an upgrade: only to be told why
                why = f"unable to upgrade connection: {await refusal.text()}"
        except (aiohttp.ClientError, OSError) as error:
            why = f"error dialing backend: {error}"
        else:
            await client.close()
            return
        error_body = StatusError(500, "InternalError", f"Internal error occurred: {why}").body()
        await client.send_bytes(_STATUS_CHANNEL + json.dumps(error_body).encode())
        await client.close()

    def _address(self, name: str) -> str:
        node = self._store.get(of("nodes"), "", name) or {}
        status = node.get("status", {})
        addresses = [a["address"] for a in status.get("addresses") or [] if a["type"] == "InternalIP"]
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
        if not addresses or not port:
            text = f"no preferred addresses found; known addresses: {status.get('addresses') or []}"
            raise StatusError(500, "InternalError", f"Internal error occurred: {text}")
        return f"https://{addresses[0]}:{port}"


async def _relay(client: _Socket, kubelet: _Socket) -> None:
    """Pass messages both ways until one side ends."""

    async def passed(source: _Socket, sink: _Socket) -> None:
        with suppress(ConnectionError):
            async for message in source:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await sink.send_str(message.data)
                elif message.type is aiohttp.WSMsgType.BINARY:
                    await sink.send_bytes(message.data)

    ways = [asyncio.create_task(passed(client, kubelet)), asyncio.create_task(passed(kubelet, client))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


def _container(pod: Object, asked: str) -> str:
    spec, name = pod["spec"], pod["metadata"]["name"]
    names = [container["name"] for container in spec["containers"]]
    first = [container["name"] for container in spec.get("initContainers") or []]
    if not asked:
        asked = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    if not asked:
        if len(names) == 1:
            return str(names[0])
        choice = f"choose one of: [{' '.join(names)}]"
        if first:
            choice += f" or one of the init containers: [{' '.join(first)}]"
        raise bad_request(f"a container name must be specified for pod {name}, {choice}")
    if asked not in names + first:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    return asked


def _refusal(status: int, text: str, name: str) -> StatusError:
    """The kubelet's refusal as kube-apiserver passes it on."""
    if status == 400:
        return bad_request(text.strip())
    if status == 404:
        message = f"the server could not find the requested resource ( pods/log {name})"
        return StatusError(404, "NotFound", message, {"name": name, "kind": "pods/log"})
    message = f'an error on the server ("{text.strip()}") has prevented the request from succeeding'
    return StatusError(status, "InternalError", message)
