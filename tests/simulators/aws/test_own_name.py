"""A gateway that others reach by a name: in a container, listening on all of its addresses."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from simulators.aws import app
from simulators.aws.config import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.simulators.aws.conftest import Lab

NAME = "aws-gateway"


@pytest.fixture(scope="module")
def named(
    lab: Lab, write: Callable[..., Path], start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """A gateway of that name beside the shared one, before the same backend."""
    folder = tmp_path_factory.mktemp("named")
    written = write(folder, lab.backend.ready["url"], lab.authority, host=NAME)
    gateway = start(folder, "simulators.aws", str(written), ready=folder / "gateway.json")
    named = replace(lab, folder=folder, gateway=gateway, _clients={}, _pools={})
    yield named
    named.close()
    assert gateway.stop() == 0


def names_shown(lab: Lab, listener: str, server: str) -> set[str]:
    """Names in the certificate that a listener shows to who trusts the run's authority."""
    context = ssl.create_default_context(cafile=lab.ca_file)
    with (
        socket.create_connection(lab.address(listener), 10) as plain,
        context.wrap_socket(plain, server_hostname=server) as secure,
    ):
        return {str(name) for _, name in (secure.getpeercert() or {})["subjectAltName"]}


@pytest.mark.parametrize("listener", ["https", "webhook"])
def test_its_certificate_is_for_its_name_and_for_loopback(named: Lab, listener: str) -> None:
    for server in (NAME, "127.0.0.1", "localhost"):
        assert names_shown(named, listener, server) == {NAME, "127.0.0.1", "localhost"}


def test_aws_names_have_certificates_of_their_own_as_ever(named: Lab) -> None:
    assert names_shown(named, "https", "sts.amazonaws.com") == {"sts.amazonaws.com"}


def test_a_gateway_that_was_told_no_name_has_loopback_only(lab: Lab) -> None:
    assert names_shown(lab, "webhook", "127.0.0.1") == {"127.0.0.1", "localhost"}
    with pytest.raises(ssl.SSLError):
        names_shown(lab, "webhook", NAME)


def test_nodes_are_told_to_ask_it_by_its_name(named: Lab) -> None:
    role, path = named.role(), f"/node-identities/{named.unique('node')}"
    granted = named.control("PUT", path, {"role_arn": role, "region": "eu-west-1"})
    endpoint = urlsplit(granted.json["endpoint"])
    assert (endpoint.scheme, endpoint.hostname, endpoint.path) == ("http", NAME, "")
    assert endpoint.port not in {None, named.address("metadata")[1]}
    assert named.control("DELETE", path).status == 200


def test_the_proxy_does_not_take_its_name_for_a_host_of_aws(named: Lab) -> None:
    with socket.create_connection(named.address("proxy"), 10) as connection:
        connection.sendall(f"CONNECT {NAME}:443 HTTP/1.1\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")
    assert json.loads((named.folder / "calls.jsonl").read_text().splitlines()[-1])["host"] == NAME


@pytest.mark.parametrize(
    ("listening", "reached"),
    [("0.0.0.0:443", "127.0.0.1:443"), ("[::]:443", "127.0.0.1:443"), ("127.0.0.1:7", "127.0.0.1:7")],
)
def test_the_proxy_reaches_a_listener_on_all_addresses_by_loopback(listening: str, reached: str) -> None:
    assert str(app._from_here(Address.parse(listening))) == reached
