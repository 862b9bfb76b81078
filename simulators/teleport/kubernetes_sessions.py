"""`kubectl exec` through the Proxy Service: the streams of a command, and the audit records of its session.

The records have fields and order of Teleport 13.0.0-dev, seen with the real one, save `participants`, which it gives
as null. It speaks SPDY, the simulated one the WebSockets that `kubectl` prefers since 1.31; so the API server sees
the verb get of pods/exec here, and create there.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from simulators.teleport import times
from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulators.teleport.audit import Audit
    from simulators.teleport.tunnel import Stream, Tunnel

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STATUS_CHANNEL = 3


def socket_for(request: web.Request) -> tuple[web.WebSocketResponse, str]:
    """The WebSocket that a request asks for, not yet open, and its subprotocol.

    Raises:
        TeleportError: it asks for something else.
    """
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0)
    ready = socket.can_prepare(request)
    if not ready or ready.protocol is None:
        seen = request.headers.get("Upgrade", "no upgrade")
        text = f"expected a WebSocket of {' or '.join(PROTOCOLS)}, seen: {seen}; nothing else is simulated"
        raise TeleportError("BadParameter", text)
    return socket, ready.protocol


async def relay(
    request: web.Request,
    socket: web.WebSocketResponse,
    tunnel: Tunnel,
    stream: Stream,
    status: dict[str, Any],
) -> None:
    """Open the client's WebSocket and pass messages both ways until one side ends.

    Args:
        request: of the client.
        socket: of the client.
        tunnel: to the agent.
        stream: of the command.
        status: takes the command's end, a Status, also where the client is gone as soon as it knows.
    """
    await socket.prepare(request)

    async def down() -> None:
        async for piece in stream.body():
            if piece[0] == STATUS_CHANNEL:
                status.update(json.loads(piece[1:]))
            await socket.send_bytes(piece)

    async def up() -> None:
        async for message in socket:
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                text = message.type is WSMsgType.TEXT
                await tunnel.send(stream, message.data.encode() if text else message.data)

    ways = [asyncio.create_task(down()), asyncio.create_task(up())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        ended, _ = await asyncio.gather(*ways, return_exceptions=True)
    if isinstance(ended, TeleportError):
        status.update(_failure(ended.message))
        await _tell(socket, ended.message)
    with suppress(ConnectionError):
        await socket.close()


async def refuse(
    request: web.Request, socket: web.WebSocketResponse, answer: Mapping[str, Any], status: dict[str, Any]
) -> None:
    """Open the client's WebSocket only to tell why nothing comes of it.

    Args:
        request: of the client.
        socket: of the client.
        answer: of the agent, with `status` and `refusal`.
        status: as for `relay`.
    """
    status.update({**_failure(answer["refusal"]), "refused": str(answer["status"])})
    await socket.prepare(request)
    await _tell(socket, answer["refusal"])
    with suppress(ConnectionError):
        await socket.close()


def _failure(message: str) -> dict[str, Any]:
    return {"status": "Failure", "message": message, "reason": "InternalError", "code": 500}


async def _tell(socket: web.WebSocketResponse, message: str) -> None:
    told = _failure(f"Internal error occurred: error executing command in container: {message}")
    cause = {"causes": [{"message": message}]}
    with suppress(ConnectionError):
        text = json.dumps({"metadata": {}, **told, "details": cause})
        await socket.send_bytes(bytes([STATUS_CHANNEL]) + text.encode())


class Session:
    """The audit records of one command.

    Args:
        audit: where to.
        command: its words.
        who: user, remote address, impersonated users and groups, server id and cluster, as for a `kube.request`.
        place: fields of the pod, as the audit log has them.
    """

    def __init__(
        self, audit: Audit, command: Sequence[str], who: Mapping[str, Any], place: Mapping[str, Any]
    ) -> None:
        self._audit = audit
        self._command = list(command)
        self._began = time.time_ns()
        self._user = {"user": who["user"], "login": who["user"]}
        self._session = {"sid": str(uuid.uuid4())}
        self._connection = {"addr_remote": who["remote"], "proto": "kube"}
        self._server = {
            "namespace": "default",
            "server_id": who["server_id"],
            "server_hostname": audit.cluster,
        }
        self._pod = {
            "kubernetes_cluster": who["cluster"],
            "kubernetes_users": who["users"],
            "kubernetes_groups": sorted(who["groups"]),
            **place,
        }
        self._told = {"initial_command": self._command, "session_recording": "node"}

    def start(self) -> None:
        """Write `session.start`."""
        parts = self._user | self._session | self._server | self._connection | self._pod | self._told
        self._audit.emit("session.start", **parts)

    def end(self, status: Mapping[str, Any]) -> None:
        """Write `exec` and `session.end`.

        Args:
            status: the command's end; empty where the client left before.
        """
        code, error = _outcome(status)
        self._audit.emit(
            "exec failed" if error else "exec",
            **self._user | self._connection | self._session | self._server,
            command=" ".join(self._command),
            exitCode=code,
            exitError=error,
            **self._pod,
        )
        self._audit.emit(
            "session.end",
            **self._user | self._session | self._connection | self._server,
            enhanced_recording=False,
            interactive=False,
            session_start=times.written(nanoseconds=self._began),
            session_stop=times.written(),
            **self._pod | self._told,
        )


def _outcome(status: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Exit code and error, as the audit log has them."""
    if not status:
        return None, "context canceled"
    if status["status"] == "Success":
        return None, None
    if status.get("reason") == "NonZeroExitCode":
        code = str(status["details"]["causes"][0]["message"])
        return code, f"command terminated with exit code {code}"
    return status.get("refused"), str(status["message"])
