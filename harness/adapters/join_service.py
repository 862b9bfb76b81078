"""Teleport's join service as an agent of 12 and 13 speaks to it: gRPC by HTTP/2 at the proxy's web port.

An agent's own program makes nothing but genuine requests, and no Python library of gRPC lets its ALPN be chosen.
The few messages that there are have a handful of fields, encoded here as api/proto/teleport/legacy/client/proto
(joinservice.proto) and api/proto/teleport/legacy/types (RegisterUsingTokenRequest) have them.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events

from harness.adapters import direct
from harness.core.errors import TransientOracleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ALPN = "teleport-proxy-grpc"
"""What a client of the proxy's gRPC names in the TLS handshake (lib/srv/alpnproxy/common)."""

METHOD = "/proto.JoinService/RegisterUsingIAMMethod"

SECONDS = 30.0
"""Budget for an answer; the Auth Service asks STS in between, and ends the stream itself after a minute."""

_CHALLENGE, _CERTIFICATES = 1, 2
_OK = "0"


class Refused(Exception):
    """The join service refused; the text is its message."""


def join(
    address: str, ca_file: Path, name: str, answered: Callable[[str], tuple[Sequence[bytes], bytes]]
) -> None:
    """One attempt to join; returns where certificates were given.

    Args:
        address: Loopback `host:port` of the proxy.
        ca_file: The only authority trusted.
        name: The proxy's name.
        answered: Challenge to what answers it: fields of RegisterUsingTokenRequest, the first at number 1, and
            the signed request for STS.

    Raises:
        Refused: It was refused.
        TransientOracleError: The proxy was not reached, or broke off.
    """
    host, _, port = address.rpartition(":")
    context = direct.chain_only(ca_file)
    context.set_alpn_protocols([ALPN])
    try:
        with (
            socket.create_connection((host, int(port)), timeout=SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name) as tls,
        ):
            stream = _Stream(tls, name)
            challenge = _field(next(stream.messages()), _CHALLENGE).decode()
            fields, signed = answered(challenge)
            request = b"".join(_encoded(number, value) for number, value in enumerate(fields, start=1))
            stream.send(_encoded(1, request) + _encoded(2, signed))
            if not _field(next(stream.messages()), _CERTIFICATES):
                raise Refused("an answer without certificates")
    except (OSError, StopIteration) as error:
        raise TransientOracleError(f"Teleport's join service at {address}: {error or 'ended'}") from error


class _Stream:
    """One call that goes both ways."""

    def __init__(self, tls: socket.socket, name: str) -> None:
        self._tls = tls
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._connection.initiate_connection()
        self._id = self._connection.get_next_available_stream_id()
        self._received = b""
        self._ended = False
        self._connection.send_headers(
            self._id,
            [
                (":method", "POST"),
                (":scheme", "https"),
                (":path", METHOD),
                (":authority", name),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "conformance"),
            ],
        )
        self._flush()

    def send(self, message: bytes) -> None:
        """Sends the last message; nothing is sent after it."""
        frame = b"\0" + len(message).to_bytes(4, "big") + message
        self._connection.send_data(self._id, frame)
        self._flush()

    def messages(self) -> Iterator[bytes]:
        """Messages as they come. Raises Refused where the call ends with an error."""
        while True:
            if len(self._received) >= 5 and len(self._received) >= 5 + _size(self._received):
                end = 5 + _size(self._received)
                message, self._received = self._received[5:end], self._received[end:]
                yield message
                continue
            data = b"" if self._ended else self._tls.recv(65536)
            if not data:
                return
            for event in self._connection.receive_data(data):
                self._take(event)
            self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            self._received += event.data
            self._connection.acknowledge_received_data(event.flow_controlled_length, self._id)
        elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            told = {_text(key): _text(value) for key, value in event.headers}
            if told.get("grpc-status", _OK) != _OK:
                raise Refused(unquote(told.get("grpc-message", "")))
        elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
            # The service ends a call so that was not ended by its client, too: after its last message.
            self._ended = True

    def _flush(self) -> None:
        self._tls.sendall(self._connection.data_to_send())


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _size(received: bytes) -> int:
    return int.from_bytes(received[1:5], "big")


def _encoded(number: int, value: bytes) -> bytes:
    """A field of type bytes, string or message; one that is empty is left out."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value if value else b""


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _field(message: bytes, wanted: int) -> bytes:
    """The field of that number of a message whose fields all have a length; empty where it has none."""
    at = 0
    while at < len(message):
        key, at = _read(message, at)
        size, at = _read(message, at)
        if key >> 3 == wanted:
            return message[at : at + size]
        at += size
    return b""


def _read(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
