"""The HTTPS proxy: the only way out for the lab's programs, and it leads to the lab.

AWS's host names end at this gateway, routes lead to the lab's own servers, everything else is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

from .calls import Call, CallLog
from .config import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .decisions import Decisions

_LONGEST_HEAD = 16 * 1024
_HEAD_SECONDS = 30
_CHUNK = 64 * 1024
_REQUEST_LINE = re.compile(r"(?P<method>[A-Z]{1,20}) (?P<target>\S{1,2000}) HTTP/1\.[01]", re.ASCII)


class Routes:
    """Where CONNECT targets lead that are tunnelled as they are, and who is connected to what.

    Args:
        routes: Target `host:port` to address `host:port`.
    """

    def __init__(self, routes: dict[str, str]) -> None:
        self._routes: dict[str, Address] = {}
        self._open: dict[object, tuple[str, str]] = {}
        for target, address in routes.items():
            self.put(target, address)

    def put(self, target: str, address: str) -> None:
        """Add or change a route.

        Raises:
            ValueError: One of the two is no `host:port`.
        """
        self._routes[str(Address.parse(target))] = Address.parse(address)

    def remove(self, target: str) -> bool:
        """Remove a route; False when there was none."""
        return self._routes.pop(str(Address.parse(target)), None) is not None

    def find(self, target: Address) -> Address | None:
        """Give the address that a target leads to."""
        return self._routes.get(str(target))

    @contextlib.contextmanager
    def opened(self, client: str, target: Address) -> Iterator[None]:
        """Note a connection for as long as it is open.

        Args:
            client: The client's end, `host:port`.
            target: What the client asked for, a route or not.
        """
        # A port is used again while the connection before is still being closed.
        connection = object()
        self._open[connection] = (client, str(target))
        try:
            yield
        finally:
            del self._open[connection]

    def open(self) -> dict[str, str]:
        """Give the open connections: the client's end `host:port` to the target that it asked for."""
        return dict(self._open.values())


class Proxy:
    """Serves CONNECT requests.

    Args:
        routes: The targets tunnelled as they are.
        https: Where this gateway terminates TLS.
        other_hosts: Gives the served host names that are not AWS's.
        log: Gets a record for every refusal.
        decisions: What is decided and how.
    """

    def __init__(
        self,
        *,
        routes: Routes,
        https: Address,
        other_hosts: Callable[[], frozenset[str]],
        log: CallLog,
        decisions: Decisions,
    ) -> None:
        self._routes = routes
        self._https = https
        self._other_hosts = other_hosts
        self._log = log
        self._decisions = decisions
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection on."""
        task = asyncio.create_task(self.serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Break all connections off."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side is done."""
        with contextlib.suppress(
            OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError
        ):
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._serve(head.decode("latin-1"), reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _serve(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = _REQUEST_LINE.fullmatch(head.partition("\r\n")[0])
        if request is None or request["method"] != "CONNECT":
            self._refuse(writer, "", request["method"] if request else "", "only CONNECT is served")
            return
        try:
            target = Address.parse(request["target"])
        except ValueError:
            self._refuse(writer, "", "CONNECT", "the target is not host:port")
            return
        served = self._decisions.host_served(target.host, target.port, self._other_hosts())
        leads_to = self._routes.find(target) or (self._https if served else None)
        if leads_to is None:
            self._refuse(writer, target.host, "CONNECT", f"{target} is neither AWS nor a route")
            return
        try:
            up_reader, up_writer = await asyncio.open_connection(leads_to.host, leads_to.port)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        host, port = (writer.get_extra_info("peername") or ("unknown", 0))[:2]
        with self._routes.opened(str(Address(host, port)), target):
            await _tunnel((reader, writer), (up_reader, up_writer))

    def _refuse(self, writer: asyncio.StreamWriter, host: str, action: str, reason: str) -> None:
        self._log.add(
            Call(
                host=host,
                service="proxy",
                action=action,
                verdict="refused",
                code="403",
                reason=reason,
            )
        )
        body = f"The AWS gateway refuses this: {reason}.\n".encode()
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)


async def start(proxy: Proxy, listen: Address) -> asyncio.Server:
    """Start listening.

    Args:
        proxy: What serves the connections.
        listen: Where.

    Raises:
        OSError: The address cannot be bound.
    """
    return await asyncio.start_server(proxy.accept, listen.host, listen.port, limit=_LONGEST_HEAD)


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _tunnel(client: _Stream, server: _Stream) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(client[0], server[1]))
            group.create_task(_pump(server[0], client[1]))
    except* OSError:
        pass
    finally:
        server[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    # Half-close: the other direction may still have something to say.
    if writer.can_write_eof():
        writer.write_eof()
