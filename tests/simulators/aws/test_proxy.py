"""The proxy: AWS ends here, routes lead on, everything else is refused. And what it serves beside AWS."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import tenacity
import urllib3.exceptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulators.aws.conftest import Lab

CHARTS = "https://charts.releases.teleport.dev"


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that is not HTTP: it answers with what it was sent, when the sender is done."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, connection.makefile("rb") as received:
                        connection.sendall(b"echo " + received.read())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def ask(lab: Lab, head: bytes, rest: bytes = b"") -> bytes:
    """Write to the proxy as it is, and read until it closes."""
    with socket.create_connection(lab.address("proxy"), 10) as connection:
        connection.sendall(head)
        if rest:
            answer = connection.recv(1000)
            assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n"
            connection.sendall(rest)
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as received:
            return received.read()


@pytest.mark.parametrize(
    "target",
    [
        "example.com:443",
        "amazonaws.com.evil.example:443",
        "evilamazonaws.com:443",
        "sts.amazonaws.com:80",
        "169.254.169.254:443",
        "127.0.0.1:22",
        "[::1]:443",
        "nonsense",
    ],
)
def test_unknown_targets_are_refused_and_logged(lab: Lab, target: str) -> None:
    before = lab.control("GET", "/calls").json["last"]
    answer = ask(lab, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    (record,) = lab.control("GET", f"/calls?after={before}").json["calls"]
    assert (record["action"], record["verdict"]) == ("CONNECT", "refused")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_other_than_connect_are_refused_and_logged(lab: Lab, method: str) -> None:
    before = lab.control("GET", "/calls").json["last"]
    answer = ask(lab, f"{method} http://sts.amazonaws.com/ HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    (record,) = lab.control("GET", f"/calls?after={before}").json["calls"]
    assert (record["action"], record["verdict"]) == (method, "refused")


def test_a_route_is_a_tunnel_while_it_exists(lab: Lab, echo: str) -> None:
    connect = b"CONNECT Tele.example.com:3080 HTTP/1.1\r\n\r\n"
    assert ask(lab, connect).startswith(b"HTTP/1.1 403 ")
    assert lab.control("PUT", "/routes/tele.example.com:3080", {"target": echo}).status == 200
    assert ask(lab, connect, b"hello") == b"echo hello"
    assert ask(lab, connect.replace(b"3080", b"443")).startswith(b"HTTP/1.1 403 ")
    assert lab.control("DELETE", "/routes/tele.example.com:3080").status == 200
    assert ask(lab, connect).startswith(b"HTTP/1.1 403 ")
    assert lab.control("DELETE", "/routes/tele.example.com:3080").status == 404


def test_who_is_connected_to_what_is_told_while_it_is(lab: Lab, echo: str) -> None:
    lab.control("PUT", "/routes/tele.example.com:443", {"target": echo})
    with socket.create_connection(lab.address("proxy"), 10) as connection:
        connection.sendall(b"CONNECT Tele.example.com:443 HTTP/1.1\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        own = ":".join(map(str, connection.getsockname()))
        assert lab.control("GET", "/connections").json["connections"][own] == "tele.example.com:443"
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as received:
            received.read()
    for attempt in tenacity.Retrying(stop=tenacity.stop_after_delay(30), wait=tenacity.wait_fixed(0.01)):
        with attempt:
            assert own not in lab.control("GET", "/connections").json["connections"]


def test_bytes_sent_together_with_the_request_are_not_lost(lab: Lab, echo: str) -> None:
    lab.control("PUT", "/routes/eager.example.com:443", {"target": echo})
    with socket.create_connection(lab.address("proxy"), 10) as connection:
        connection.sendall(b"CONNECT eager.example.com:443 HTTP/1.1\r\n\r\nearly")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as received:
            assert received.read().endswith(b"\r\n\r\necho early")


def test_a_route_to_nobody_is_a_bad_gateway(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"127.0.0.1:{server.getsockname()[1]}"
    lab.control("PUT", "/routes/gone.example.com:443", {"target": free})
    assert ask(lab, b"CONNECT gone.example.com:443 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(("path", "body"), [("no-port", {"target": "127.0.0.1:1"}), ("a:1", {"target": "b"})])
def test_a_wrong_route_is_explained(lab: Lab, path: str, body: dict[str, str]) -> None:
    answer = lab.control("PUT", f"/routes/{path}", body)
    assert (answer.status, "host:port" in answer.json["error"]) == (400, True)


def test_certificates_are_only_for_served_names(lab: Lab) -> None:
    """The HTTPS listener itself, as network aliases reach it."""
    context = ssl.create_default_context(cafile=lab.ca_file)
    for name in ("sts.eu-west-1.amazonaws.com", "charts.releases.teleport.dev"):
        with (
            socket.create_connection(lab.address("https"), 10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            certificate = secure.getpeercert() or {}
            assert certificate["subjectAltName"] == (("DNS", name),)
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(lab.address("https"), 10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        # Without verification, so that only the gateway can be the one that refuses.
        blind.wrap_socket(plain, server_hostname="example.com")


def test_the_https_listener_serves_aws_without_the_proxy(lab: Lab) -> None:
    context = ssl.create_default_context(cafile=lab.ca_file)
    plain = socket.create_connection(lab.address("https"), 10)
    connection = http.client.HTTPSConnection("sts.amazonaws.com", context=context)
    with contextlib.closing(connection):
        connection.sock = context.wrap_socket(plain, server_hostname="sts.amazonaws.com")
        connection.request("POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15")
        answer = connection.getresponse()
        assert (answer.status, b"MissingAuthenticationToken" in answer.read()) == (403, True)


def test_a_client_without_the_runs_authority_is_not_served(lab: Lab) -> None:
    with (
        urllib3.ProxyManager(lab.proxy) as stranger,
        pytest.raises(urllib3.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        stranger.request("GET", "https://sts.amazonaws.com/", retries=False)


def test_the_chart_repository_serves_its_folder(lab: Lab) -> None:
    index = lab.send("GET", f"{CHARTS}/index.yaml")
    assert (index.status, index.headers["Content-Type"], index.text) == (
        200,
        "text/yaml",
        "apiVersion: v1\nentries: {}\n",
    )
    assert lab.last_call()["action"] == "GET /index.yaml"
    chart = lab.send("GET", f"{CHARTS}/chart-1.0.0.tgz")
    assert (chart.status, chart.headers["Content-Type"]) == (200, "application/gzip")
    assert chart.body == b"\x1f\x8b not really"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/absent.tgz"),
        ("GET", "/"),
        ("GET", "/..%2foutside.yaml"),
        ("GET", "/%2e%2e/outside.yaml"),
        ("PUT", "/index.yaml"),
    ],
)
def test_the_chart_repository_serves_nothing_else(lab: Lab, method: str, path: str) -> None:
    assert lab.send(method, f"{CHARTS}{path}").status == 404
    assert lab.last_call()["verdict"] == "refused"
