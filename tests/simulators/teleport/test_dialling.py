"""What the agent says where it does not get to its proxy, and which calls go around the HTTPS proxy."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
import trustme

from simulators.teleport import dialling
from simulators.teleport.texts import Imitation
from simulators.teleport.transport import Outbound

if TYPE_CHECKING:
    from pathlib import Path

THIRTEEN = Imitation(13)


async def error_of(url: str, context: ssl.SSLContext) -> Exception:
    async with aiohttp.ClientSession() as session:
        with pytest.raises((aiohttp.ClientConnectorError, UnicodeError)) as raised:
            await session.get(url, ssl=context)
    return raised.value


def told(url: str, address: str) -> str:
    return dialling.told(asyncio.run(error_of(url, ssl.create_default_context())), address, THIRTEEN)


def test_a_port_where_nothing_listens() -> None:
    async def free() -> int:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return port

    address = f"127.0.0.1:{asyncio.run(free())}"
    assert f"dial tcp {address}: connect: connection refused" in told(f"https://{address}", address)


def test_a_name_that_is_none() -> None:
    address = "tele..example.com:443"
    assert "lookup tele..example.com: no such host" in told(f"https://{address}", address)


def test_an_authority_that_is_not_trusted() -> None:
    async def seen() -> Exception:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await error_of(f"https://127.0.0.1:{port}", ssl.create_default_context())

    found = dialling.told(asyncio.run(seen()), "127.0.0.1:443", THIRTEEN)
    assert "authentication handshake failed: x509: certificate signed by unknown authority" in found


def test_another_error_keeps_its_own_words() -> None:
    assert dialling.told(aiohttp.ClientError("broken"), "h:443", THIRTEEN) == "broken"


@pytest.mark.parametrize(
    ("host", "spared", "proxied"),
    [
        ("tele.example.com", "127.0.0.1,localhost", True),
        ("127.0.0.1", "127.0.0.1,localhost", False),
        ("localhost", "127.0.0.1, localhost", False),
        ("tele.example.com", "", True),
        ("a.tele.example.com", "tele.example.com", True),
    ],
)
def test_hosts_of_no_proxy_are_called_directly(host: str, spared: str, proxied: bool, tmp_path: Path) -> None:
    outbound = Outbound({"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": spared, "HOME": str(tmp_path)})
    assert bool(outbound.towards(host)) is proxied
    assert outbound.towards(host) in ({}, outbound.proxied)
