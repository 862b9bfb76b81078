"""Commands in containers, as `kubectl exec` and what stands between it and a kubelet ask for them.

By WebSocket (subprotocols v4 and v5) or by SPDY (v4), which is what kube-apiserver 1.32 and Teleport 13 speak to a
kubelet. A message of a WebSocket begins with a byte that says what the rest is: 0 standard input, 1 standard output,
2 standard error, 3 the end as a `metav1.Status`, and in v5 255 for "the channel named by the next byte ends". SPDY
has a stream each (k8s.io/apimachinery/pkg/util/remotecommand/constants.go of Kubernetes 1.32).
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from aiohttp import WSMsgType, web

from simulators.kubelet import processes
from simulators.kubelet.spdy import UPGRADE, Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulators.kubelet.objects import Object

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
SPDY_PROTOCOL = "v4.channel.k8s.io"
OPENING_SECONDS = 30.0
"""For the streams of SPDY, as with a real kubelet."""
STDIN, STDOUT, STDERR, STATUS = range(4)
CLOSE = 255
_WANTED = {STDIN: "input", STDOUT: "output", STDERR: "error"}
_STREAMS = {STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr", STATUS: "error"}


class Client(Protocol):
    """Who asked for the command."""

    def typed(self) -> AsyncIterator[bytes]:
        """Standard input, piece by piece; an empty one at its end. Over when the client leaves."""

    async def send(self, channel: int, data: bytes) -> None:
        """Send output, or the status."""

    async def close(self) -> None:
        """Nothing comes after this."""


class WebSocketClient:
    """A client that asked for a WebSocket.

    Args:
        socket: open.
    """

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def typed(self) -> AsyncIterator[bytes]:
        """See `Client`."""
        async for message in self._socket:
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                return
            data: bytes = message.data.encode() if message.type is WSMsgType.TEXT else message.data
            if data[:2] == bytes([CLOSE, STDIN]):
                yield b""
            elif data[0] == STDIN and data[1:]:
                yield data[1:]

    async def send(self, channel: int, data: bytes) -> None:
        """See `Client`."""
        await self._socket.send_bytes(bytes([channel]) + data)

    async def close(self) -> None:
        """See `Client`."""
        await self._socket.close()


class SpdyClient:
    """A client that asked for SPDY.

    Args:
        connection: with all its streams open.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def typed(self) -> AsyncIterator[bytes]:
        """See `Client`."""
        while True:
            stream, data = await self._connection.arrived.get()
            if stream == 0:
                return
            if stream == self._connection.streams.get(_STREAMS[STDIN]):
                yield data

    async def send(self, channel: int, data: bytes) -> None:
        """See `Client`."""
        stream = self._connection.streams.get(_STREAMS[channel])
        if stream is not None:
            await self._connection.send(stream, data)

    async def close(self) -> None:
        """See `Client`."""
        for name, stream in self._connection.streams.items():
            if name != _STREAMS[STDIN]:
                await self._connection.send(stream, b"", end=True)
        self._connection.close()


async def execute(request: web.Request, command: processes.Command) -> web.StreamResponse:
    """Run a command for a client; it is killed when the client leaves.

    Args:
        request: asks for an upgrade; `input`, `output` and `error` in its query say which streams are wanted.
        command: what to run.
    """
    if request.query.get("tty") == "1":
        return web.Response(
            status=400, text="the lab's kubelet runs commands without a terminal only (no --tty)"
        )
    wanted = {channel for channel, name in _WANTED.items() if request.query.get(name) == "1"}
    if request.headers.get("Upgrade", "").upper() == UPGRADE:
        return await _by_spdy(request, command, wanted)
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0)
    ready = socket.can_prepare(request)
    if not ready or ready.protocol is None:
        text = f"expected an upgrade to {UPGRADE} or to a WebSocket of {' or '.join(PROTOCOLS)}"
        return web.Response(status=400, text=text)
    await socket.prepare(request)
    await _run(WebSocketClient(socket), command, wanted)
    return socket


async def _by_spdy(request: web.Request, command: processes.Command, wanted: set[int]) -> web.StreamResponse:
    offered = [
        name.strip()
        for text in request.headers.getall("X-Stream-Protocol-Version", [])
        for name in text.split(",")
    ]
    if SPDY_PROTOCOL not in offered:
        text = (
            f"expected {SPDY_PROTOCOL} among the protocols of streams, seen: {', '.join(offered) or 'none'}"
        )
        return web.Response(status=403, text=text)
    connection = Connection(request)
    response = await connection.open(SPDY_PROTOCOL)
    try:
        async with asyncio.timeout(OPENING_SECONDS):
            await connection.opened(len(wanted) + 1)
    except TimeoutError:
        connection.close()
        return response
    await _run(SpdyClient(connection), command, wanted)
    return response


async def _run(client: Client, command: processes.Command, wanted: set[int]) -> None:
    printed: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()

    def take(channel: int) -> processes.Output:
        return lambda data: printed.put_nowait((channel, data)) if channel in wanted else None

    source, sink = os.pipe()
    try:
        process = await processes.start(command, take(STDOUT), take(STDERR), source)
    except processes.StartError as error:
        os.close(sink)
        await _tell(client, _not_started(str(error)))
        return
    finally:
        os.close(source)
    if STDIN not in wanted:
        os.close(sink)
        sink = -1
    sending = asyncio.create_task(_send(client, printed))
    reading = asyncio.create_task(_read(client, sink, process))
    try:
        code = await process.wait()
        printed.put_nowait((STATUS, b""))
        await sending
        await _tell(client, _ended(command.argv, code))
    finally:
        process.kill()
        for task in (sending, reading):
            task.cancel()
        await asyncio.gather(sending, reading, return_exceptions=True)


async def _send(client: Client, printed: asyncio.Queue[tuple[int, bytes]]) -> None:
    """Send what is printed until the status is due."""
    with suppress(ConnectionError):  # the client left, and then the command is killed
        while (piece := await printed.get())[0] != STATUS:
            await client.send(*piece)


async def _read(client: Client, sink: int, process: processes.Process) -> None:
    """Feed the command's input until the client leaves, which ends the command.

    Args:
        client: of the command.
        sink: where the input goes, closed at its end; -1 for nowhere.
        process: the command.
    """
    writer = await _writer(sink) if sink >= 0 else None
    try:
        async for data in client.typed():
            if writer and data:
                writer.write(data)
                with suppress(ConnectionError):  # the command reads no more
                    await writer.drain()
            elif writer:
                writer.close()
                writer = None
    finally:
        if writer:
            writer.close()
    process.kill()


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()),
        os.fdopen(descriptor, "wb", buffering=0),
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def _tell(client: Client, status: Object) -> None:
    with suppress(ConnectionError):
        await client.send(STATUS, json.dumps({"metadata": {}, **status}).encode())
        await client.close()


def _ended(argv: list[str], code: int) -> Object:
    """The end as containerd and a real kubelet tell it."""
    if code == 0:
        return {"status": "Success"}
    text = f"error executing command [{' '.join(argv)}], exit code {code}"
    return {
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {text}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _not_started(error: str) -> Object:
    text = f"error executing command in container: failed to exec in container: {error}"
    return {
        "status": "Failure",
        "message": f"Internal error occurred: {text}",
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    }
