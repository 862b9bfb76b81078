"""The join service's client, against a service that speaks HTTP/2 as gRPC does."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import pytest
import trustme

from harness.adapters import join_service
from harness.core.errors import TransientOracleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "tele.example.com"
CERTIFICATES = b"\x12\x03abc"
"""A message whose second field has three bytes."""


def frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class Service:
    """Answers one call: a challenge, then what it was told to say."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.says: list[tuple[str, bytes]] = [("data", CERTIFICATES)]
        self.alpn: str | None = None
        self.headers: dict[str, str] = {}
        self.received = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        plain, _ = self._listening.accept()
        with self._context.wrap_socket(plain, server_side=True) as tls:
            self.alpn = tls.selected_alpn_protocol()
            connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            connection.initiate_connection()
            tls.sendall(connection.data_to_send())
            while data := tls.recv(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self.headers = {key.decode(): value.decode() for key, value in event.headers}
                        connection.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
                        # In two parts, as a network may deliver it.
                        challenge = frame(b"\x0a\x05hello")
                        connection.send_data(1, challenge[:3])
                        connection.send_data(1, challenge[3:])
                    elif isinstance(event, h2.events.DataReceived):
                        self.received += event.data
                        self._say(connection)
                tls.sendall(connection.data_to_send())

    def _say(self, connection: h2.connection.H2Connection) -> None:
        for kind, content in self.says:
            if kind == "data":
                connection.send_data(1, frame(content))
            elif kind == "refuse":
                trailers = [("grpc-status", "7"), ("grpc-message", content.decode())]
                connection.send_headers(1, trailers, end_stream=True)
            elif kind == "reset":
                connection.reset_stream(1)
            else:
                connection.close_connection()

    def end(self) -> None:
        self._listening.close()
        self._thread.join(5)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


@pytest.fixture
def service(authority: trustme.CA) -> Iterator[Service]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    context.set_alpn_protocols([join_service.ALPN])
    made = Service(context)
    yield made
    made.end()


def answered(challenge: str) -> tuple[list[bytes], bytes]:
    return [b"host", b"", challenge.encode() * 30], b"signed"


def test_a_challenge_is_answered_and_certificates_are_given(service: Service, ca_file: Path) -> None:
    join_service.join(service.address, ca_file, NAME, answered)
    assert service.alpn == join_service.ALPN
    assert service.headers[":path"] == "/proto.JoinService/RegisterUsingIAMMethod"
    assert (service.headers["content-type"], service.headers["te"]) == ("application/grpc", "trailers")
    # Field 1: message with fields 1 and 3, the empty one left out, lengths above 127 in two bytes; then field 2.
    request = b"\x0a\x04host" + b"\x1a\x96\x01" + b"hello" * 30
    assert service.received == frame(b"\x0a\x9f\x01" + request + b"\x12\x06signed")


def test_certificates_count_although_the_service_ends_the_call(service: Service, ca_file: Path) -> None:
    service.says = [("data", CERTIFICATES), ("reset", b"")]
    join_service.join(service.address, ca_file, NAME, answered)


def test_a_refusal_is_told_in_its_words(service: Service, ca_file: Path) -> None:
    service.says = [("refuse", b'no%20rule%3A "x"')]
    with pytest.raises(join_service.Refused, match=r'^no rule: "x"$'):
        join_service.join(service.address, ca_file, NAME, answered)


def test_an_answer_without_certificates_is_none(service: Service, ca_file: Path) -> None:
    service.says = [("data", b"")]
    with pytest.raises(join_service.Refused, match="without certificates"):
        join_service.join(service.address, ca_file, NAME, answered)


@pytest.mark.parametrize("way", ["close", "reset"])
def test_what_breaks_off_is_no_refusal(service: Service, ca_file: Path, way: str) -> None:
    service.says = [(way, b"")]
    with pytest.raises(TransientOracleError, match="join service"):
        join_service.join(service.address, ca_file, NAME, answered)


def test_nobody_there_is_no_refusal(ca_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(TransientOracleError):
        join_service.join(f"127.0.0.1:{port}", ca_file, NAME, answered)
