"""SPDY/3.1 as API servers and Teleport speak it to a kubelet: several streams over one upgraded connection.

Frames and the dictionary of compressed headers are those of the draft "SPDY Protocol - Draft 3.1". Without what no
client of a kubelet uses: flow control, priorities, streams of the server's own. No kept library speaks it.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

UPGRADE = "SPDY/3.1"
SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
_CONTROL = 0x8003
_FIN = 1
_HEAD = 8
_LONGEST_PIECE = 1 << 16
_NAMES = (
    "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,accept-ranges,age,"
    "allow,authorization,cache-control,connection,content-base,content-encoding,content-language,content-length,"
    "content-location,content-md5,content-range,content-type,date,etag,expect,expires,from,host,if-match,"
    "if-modified-since,if-none-match,if-range,if-unmodified-since,last-modified,location,max-forwards,pragma,"
    "proxy-authenticate,proxy-authorization,range,referer,retry-after,server,te,trailer,transfer-encoding,"
    "upgrade,user-agent,vary,via,warning,www-authenticate,method,get,status,200 OK,version,HTTP/1.1,url,public,"
    "set-cookie,keep-alive,origin"
)
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    "Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
    "charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(n)) + n.encode() for n in _NAMES.split(",")) + _REST.encode()


class Connection:
    """The server's end of an upgraded connection; what the client sends is fed to it.

    Attributes:
        streams: type of each stream that the client opened (header `streamtype`) -> its number.
        arrived: number and data of a stream; empty data at its end, number 0 when the client is gone.
    """

    def __init__(self, request: web.Request) -> None:
        self.streams: dict[str, int] = {}
        self.arrived: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._request = request
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._changed = asyncio.Event()
        self._writer: AbstractStreamWriter | None = None

    async def open(self, protocol: str) -> web.StreamResponse:
        """Answer the request with the upgrade.

        Args:
            protocol: chosen among those of the client.
        """
        headers = {"Connection": "Upgrade", "Upgrade": UPGRADE, "X-Stream-Protocol-Version": protocol}
        response = web.StreamResponse(status=101, headers=headers)
        self._request.protocol.set_parser(self)  # type: ignore[arg-type]  # fed as aiohttp's own reader is
        self._request.protocol.keep_alive(False)
        self._writer = await response.prepare(self._request)
        return response

    async def opened(self, count: int) -> None:
        """Wait until the client has opened that many streams, or is gone."""
        while len(self.streams) < count:
            self._changed.clear()
            await self._changed.wait()

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send data of a stream, and with `end` that it was the last."""
        for start in range(0, len(data), _LONGEST_PIECE):
            piece = data[start : start + _LONGEST_PIECE]
            self._write(struct.pack(">II", stream, len(piece)) + piece)
        if end:
            self._write(struct.pack(">II", stream, _FIN << 24))
        if self._writer:
            await self._writer.drain()

    def close(self) -> None:
        """Tell the client that no more comes, and hang up once all is sent."""
        self._control(GOAWAY, struct.pack(">II", max(self.streams.values(), default=0), 0))
        if self._request.transport:
            self._request.transport.close()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take what the client sent; called by aiohttp, as are the two below."""
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            first, second = struct.unpack_from(">II", self._buffer)
            end = _HEAD + (second & 0xFFFFFF)
            if len(self._buffer) < end:
                break
            content = bytes(self._buffer[_HEAD:end])
            del self._buffer[:end]
            if first >> 16 == _CONTROL:
                self._controlled(first & 0xFFFF, content)
            else:
                self._received(first, content, ended=bool(second >> 24 & _FIN))
        return False, b""

    def feed_eof(self) -> None:
        """The client is gone."""
        self.arrived.put_nowait((0, b""))

    def set_exception(self, *_: object) -> None:
        """The connection broke."""
        self.feed_eof()

    def _received(self, stream: int, data: bytes, *, ended: bool) -> None:
        if data:
            self.arrived.put_nowait((stream, data))
        if ended:
            self.arrived.put_nowait((stream, b""))

    def _controlled(self, kind: int, content: bytes) -> None:
        if kind == PING:
            self._control(PING, content)
        elif kind == SYN_STREAM:
            (stream,) = struct.unpack_from(">I", content)
            headers = _headers(self._inflate.decompress(content[10:]))
            self.streams[headers.get("streamtype", "")] = stream
            none = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            self._control(SYN_REPLY, struct.pack(">I", stream) + none)
            self._changed.set()
        elif kind == GOAWAY:
            self.feed_eof()

    def _control(self, kind: int, content: bytes) -> None:
        self._write(struct.pack(">HHI", _CONTROL, kind, len(content)) + content)

    def _write(self, data: bytes) -> None:
        if self._request.transport:
            self._request.transport.write(data)


def _headers(block: bytes) -> dict[str, str]:
    (count,) = struct.unpack_from(">I", block)
    texts, at = [], 4
    for _ in range(2 * count):
        (size,) = struct.unpack_from(">I", block, at)
        texts.append(block[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return dict(zip(texts[::2], texts[1::2], strict=True))
