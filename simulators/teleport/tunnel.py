"""The reverse tunnel: many HTTP exchanges at once over one connection that the agent opened.

Frames of a WebSocket. Text frames are JSON: `{"stream", "open": {method, target, headers, user, groups}}` from the
proxy; `{"stream", "head": {status, headers, server}}`, `{"stream", "failed": text}` and `{"heartbeat": {...}}` from
the agent. Binary frames are a stream's data: four bytes of its number, one of flags (END, RESET), then content.
A request's body comes in one frame with END. Where its head names a `protocol`, it asks for a WebSocket of that
subprotocol, and each frame of data after that is one message of it, both ways. Streams do not wait for each other: a
watch blocks nobody.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import WSMsgType

from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

HEADER = struct.Struct(">IB")
DATA, END, RESET = 0, 1, 2
HEARTBEAT_SECONDS = 15.0
"""WebSocket pings: after two of these without an answer the other side counts as gone."""

BEARERS = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that concern one connection only (RFC 9110 7.6.1)."""


SendHead = Callable[[dict[str, Any]], Awaitable[None]]
SendData = Callable[[bytes], Awaitable[None]]
Forward = Callable[[dict[str, Any], bytes, asyncio.Queue[bytes], SendHead, SendData], Awaitable[None]]
"""Takes a request (head, body, later messages) to the API server, and sends the answer by the other two."""


class Socket(Protocol):
    """What both ends of a WebSocket offer."""

    async def send_str(self, data: str) -> None:
        """Send a text frame."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """The frames that arrive, until it is closed."""


@dataclass
class Stream:
    """One exchange as the proxy sees it.

    Attributes:
        number: within its tunnel.
        arrived: heads (dict), data (bytes), None at the end, or what went wrong.
    """

    number: int
    arrived: asyncio.Queue[dict[str, Any] | bytes | TeleportError | None] = field(
        default_factory=asyncio.Queue
    )

    async def head(self) -> dict[str, Any]:
        """Status and headers of the answer.

        Raises:
            TeleportError: the agent or its API server did not answer.
        """
        found = await self.arrived.get()
        if isinstance(found, TeleportError):
            raise found
        if not isinstance(found, dict):
            raise TeleportError("ConnectionProblem", "the agent answered without a head")
        return found

    async def body(self) -> AsyncIterator[bytes]:
        """The answer's body as it comes.

        Raises:
            TeleportError: it broke off.
        """
        while (piece := await self.arrived.get()) is not None:
            if isinstance(piece, TeleportError):
                raise piece
            if isinstance(piece, bytes):
                yield piece


class Tunnel:
    """The proxy's end.

    Args:
        socket: that the agent opened.
        host_id: of the agent, by its certificate.
        gone: the error for streams whose agent is gone.
    """

    def __init__(self, socket: Socket, host_id: str, gone: TeleportError) -> None:
        self._socket = socket
        self.host_id = host_id
        self._gone = gone
        self._numbers = itertools.count(1)
        self._streams: dict[int, Stream] = {}

    async def open(self, head: Mapping[str, Any], body: bytes) -> Stream:
        """Send a request down to the agent.

        Args:
            head: method, target, headers, user and groups.
            body: of the request.

        Raises:
            TeleportError: the agent is gone.
        """
        stream = Stream(next(self._numbers))
        self._streams[stream.number] = stream
        try:
            await self._socket.send_str(json.dumps({"stream": stream.number, "open": head}))
            await self._socket.send_bytes(HEADER.pack(stream.number, END) + body)
        except (ConnectionError, RuntimeError) as error:
            raise self._gone from error
        return stream

    async def send(self, stream: Stream, message: bytes) -> None:
        """Send a message of a WebSocket down to the agent.

        Args:
            stream: of the WebSocket.
            message: of the client.
        """
        await self._socket.send_bytes(HEADER.pack(stream.number, DATA) + message)

    async def close(self, stream: Stream) -> None:
        """Forget a stream; the agent is told, should it still be sending."""
        if self._streams.pop(stream.number, None) is not None:
            try:
                await self._socket.send_bytes(HEADER.pack(stream.number, RESET))
            except (ConnectionError, RuntimeError):
                return  # gone: nobody is sending

    async def serve(self, heartbeat: Callable[[dict[str, Any]], None]) -> None:
        """Take what the agent sends until the connection ends.

        Args:
            heartbeat: takes each heartbeat.
        """
        try:
            async for message in self._socket:
                if message.type == WSMsgType.TEXT:
                    self._told(json.loads(message.data), heartbeat)
                elif message.type == WSMsgType.BINARY:
                    number, flag = HEADER.unpack_from(message.data)
                    self._received(number, flag, message.data[HEADER.size :])
        finally:
            for stream in self._streams.values():
                stream.arrived.put_nowait(self._gone)
            self._streams.clear()

    def _told(self, told: dict[str, Any], heartbeat: Callable[[dict[str, Any]], None]) -> None:
        if "heartbeat" in told:
            heartbeat(told["heartbeat"])
            return
        stream = self._streams.get(told["stream"])
        if stream and "head" in told:
            stream.arrived.put_nowait(told["head"])
        elif stream:
            stream.arrived.put_nowait(TeleportError("ConnectionProblem", told["failed"]))

    def _received(self, number: int, flag: int, data: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if data:
            stream.arrived.put_nowait(data)
        if flag == END:
            del self._streams[number]
            stream.arrived.put_nowait(None)


class AgentEnd:
    """The agent's end.

    Args:
        socket: to the proxy.
        forward: takes a request to the API server.
    """

    def __init__(
        self,
        socket: Socket,
        forward: Forward,
    ) -> None:
        self._socket = socket
        self._forward = forward
        self._heads: dict[int, dict[str, Any]] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._messages: dict[int, asyncio.Queue[bytes]] = {}

    async def heartbeat(self, told: Mapping[str, Any]) -> None:
        """Announce the Kubernetes cluster."""
        await self._socket.send_str(json.dumps({"heartbeat": told}))

    async def serve(self) -> None:
        """Answer requests until the connection ends."""
        try:
            async for message in self._socket:
                if message.type == WSMsgType.TEXT:
                    told = json.loads(message.data)
                    self._heads[told["stream"]] = told["open"]
                elif message.type == WSMsgType.BINARY:
                    number, flag = HEADER.unpack_from(message.data)
                    self._received(number, flag, message.data[HEADER.size :])
        finally:
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _received(self, number: int, flag: int, data: bytes) -> None:
        if flag == RESET:
            if number in self._running:
                self._running[number].cancel()
            return
        if flag == DATA:
            if number in self._messages:
                self._messages[number].put_nowait(data)
            return
        self._messages[number] = asyncio.Queue()
        task = asyncio.create_task(self._answer(number, self._heads.pop(number), data))
        self._running[number] = task
        task.add_done_callback(lambda _: self._forget(number))

    def _forget(self, number: int) -> None:
        self._running.pop(number, None)
        self._messages.pop(number, None)

    async def _answer(self, number: int, head: dict[str, Any], body: bytes) -> None:
        async def send_head(answer: dict[str, Any]) -> None:
            await self._socket.send_str(json.dumps({"stream": number, "head": answer}))

        async def send_data(data: bytes) -> None:
            await self._socket.send_bytes(HEADER.pack(number, DATA) + data)

        try:
            await self._forward(head, body, self._messages[number], send_head, send_data)
            await self._socket.send_bytes(HEADER.pack(number, END))
        except TeleportError as error:
            await self._socket.send_str(json.dumps({"stream": number, "failed": error.message}))
        except (ConnectionError, RuntimeError):
            return  # the tunnel is gone, and the proxy tells its clients


def passed_on(headers: Iterable[tuple[str, str]], *left_out: str) -> list[tuple[str, str]]:
    """Headers without those of one connection.

    Args:
        headers: name and value.
        left_out: further names, in lower case.
    """
    dropped = BEARERS | set(left_out)
    return [(name, value) for name, value in headers if name.lower() not in dropped]
