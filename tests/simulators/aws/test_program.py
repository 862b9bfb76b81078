"""The two programs as programs: their start, their end, and what they say to a wrong configuration."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import psutil
import pytest
import trustme

from simulators.aws.config import ConfigurationError, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulators.aws.conftest import Lab


_FORM = (
    b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=s1&WebIdentityToken=t"
    b"&RoleArn=arn:aws:iam::210987654321:role/held"
)
HELD = b"POST / HTTP/1.1\r\nHost: sts.amazonaws.com\r\nContent-Length: %d\r\n\r\n%b" % (len(_FORM), _FORM)


@pytest.fixture
def written(tmp_path: Path, write: Callable[..., Path]) -> Path:
    return write(tmp_path, "http://127.0.0.1:1", trustme.CA())


def change(path: Path, keys: list[Any], value: Any) -> None:
    document = json.loads(path.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["backend"], None, "configuration: key 'backend' is missing"),
        (["bakend"], "x", "configuration: unknown key 'bakend'; the known ones are run, "),
        (["listen", "proxy"], "nowhere", "configuration.listen.proxy is not host:port: 'nowhere'"),
        (["listen", "proxy"], "127.0.0.1:65536", "configuration.listen.proxy is not host:port"),
        (["listen"], 7, "configuration.listen: expected an object, got a JSON int"),
        (["accounts"], "x", "configuration.accounts: expected a list, got a JSON str"),
        (["accounts", 0], "123", "configuration has an account id that is not twelve digits: '123'"),
        (
            ["accounts"],
            ["210987654321"],
            "has administrator arn:aws:iam::109876543210:user/admin of an account",
        ),
        (["administrators", 0, "secret_access_key"], 5, "secret_access_key: expected a text, got a JSON int"),
        (
            ["clusters", 0, "issuer"],
            "http://x",
            "configuration.clusters[0] has an issuer that is no https://",
        ),
        (
            ["clusters", 0, "jwks"],
            "jwks.json",
            "clusters[0].jwks: expected an absolute path, got 'jwks.json'",
        ),
        (["webhook", "expiration"], True, "configuration.webhook.expiration: expected a whole number"),
        (["routes", "tele.example.com"], "127.0.0.1:1", "is not host:port: 'tele.example.com'"),
        (["routes"], [], "configuration.routes: expected an object, got a JSON list"),
        (["backend"], "localhost", "configuration has a backend that is no URL: 'localhost'"),
        (["host"], "gateway:443", "configuration has a host that is no lower-case host name or address: 'g"),
        (["host"], "Gateway", "configuration has a host that is no lower-case host name or address: 'G"),
        (["certificate_authority", "key"], "/absent/ca.key", "no such file: /absent/ca.key"),
    ],
)
def test_a_wrong_configuration_is_told_in_one_line(
    written: Path, keys: list[Any], value: Any, said: str
) -> None:
    change(written, keys, value)
    with pytest.raises(ConfigurationError) as caught:
        load(written)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "SENTINEL" not in str(caught.value)


@pytest.mark.parametrize(("content", "said"), [("{", "not JSON"), ("[]", "expected an object")])
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        load(path)
    with pytest.raises(ConfigurationError, match="No such file"):
        load(tmp_path / "absent.json")


def test_a_whole_configuration_is_read_and_hides_its_secrets(written: Path) -> None:
    config = load(written)
    assert config.clusters[0].issuer == "https://oidc.eks.eu-west-1.amazonaws.com/id/LABISSUER"
    assert config.clusters[1].issuer is None
    assert str(config.listen.proxy) == "127.0.0.1:0"
    assert config.administrators[0].secret_access_key.startswith("SENTINEL")
    assert "SENTINEL" not in repr(config)


def test_the_program_exits_2_with_one_line(written: Path, start: Callable[..., Any]) -> None:
    other = trustme.CA()
    other.private_key_pem.write_to_path(written.parent / "ca.key")
    with pytest.raises(AssertionError) as caught:
        start(written.parent, "simulators.aws", str(written), ready=written.parent / "gateway.json")
    said = (written.parent / "simulators.aws.stderr").read_text()
    assert said in str(caught.value)
    assert said.startswith("aws gateway: configuration.certificate_authority: no certificate and key in PEM")
    assert said.count("\n") == 1


def test_a_taken_port_is_told_in_one_line(written: Path, lab: Lab, start: Callable[..., Any]) -> None:
    change(written, ["listen", "proxy"], lab.gateway.ready["proxy"])
    with pytest.raises(AssertionError):
        start(written.parent, "simulators.aws", str(written), ready=written.parent / "gateway.json")
    said = (written.parent / "simulators.aws.stderr").read_text()
    assert "address already in use" in said
    assert said.count("\n") == 1
    assert not (written.parent / "gateway.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_also_with_open_connections(
    written: Path, lab: Lab, start: Callable[..., Any], number: signal.Signals
) -> None:
    gateway = start(written.parent, "simulators.aws", str(written), ready=written.parent / "gateway.json")
    assert gateway.ready["pid"] == gateway.process.pid
    assert set(gateway.ready) == {"proxy", "https", "control", "metadata", "webhook", "pid"}
    process = psutil.Process(gateway.process.pid)
    listening = {
        f"{entry.laddr.ip}:{entry.laddr.port}"
        for entry in process.net_connections()
        if entry.status == psutil.CONN_LISTEN
    }
    assert listening == {value for name, value in gateway.ready.items() if name != "pid"}
    assert all(address.startswith("127.0.0.1:") for address in listening)
    own = type(lab)(written.parent, gateway, lab.backend, lab.authority, lab.key)
    with socket.create_connection(own.address("proxy"), 10) as connection, contextlib.closing(own):
        connection.sendall(b"CONNECT sts.amazonaws.com:443 HTTP/1.1\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        assert own.control("PUT", "/roles/held/disruption", {"delay": 600}).status == 200
        context = ssl.create_default_context(cafile=own.ca_file)
        with context.wrap_socket(connection, server_hostname="sts.amazonaws.com") as secure:
            secure.sendall(HELD)
            assert own.control("GET", "/healthz").status == 200
            gateway.process.send_signal(number)
            assert gateway.process.wait(10) == 0
    (about,) = gateway.stderr.read_text().splitlines()
    # Which emulator it is, the gateway is not told.
    assert about == "simulated AWS: the conformance suite's gateway in front of an AWS emulator"


def test_a_backend_that_is_not_there_is_an_answer_too(
    written: Path, start: Callable[..., Any], lab: Lab
) -> None:
    gateway = start(written.parent, "simulators.aws", str(written), ready=written.parent / "gateway.json")
    own = type(lab)(written.parent, gateway, lab.backend, lab.authority, lab.key)
    try:
        with pytest.raises(botocore.exceptions.ClientError, match="ServiceUnavailable"):
            own.client("iam").get_role(RoleName="any")
        assert own.last_call()["reason"] == "backend: ClientConnectorError"
        assert own.client("sts").get_caller_identity()["Account"] == "210987654321"
    finally:
        own.close()
        assert gateway.stop() == 0


@pytest.mark.parametrize("listen", [[], ["--listen", "127.0.0.2:0"]])
def test_the_backend_announces_itself_and_ends_cleanly(
    tmp_path: Path, start: Callable[..., Any], listen: list[str]
) -> None:
    ready = tmp_path / "backend.json"
    backend = start(tmp_path, "simulators.aws.backend", "--ready", str(ready), *listen, ready=ready)
    assert backend.ready["pid"] == backend.process.pid
    assert backend.ready["url"].startswith("http://127.0.0.2:" if listen else "http://127.0.0.1:")
    assert backend.stop() == 0
    (about,) = backend.stderr.read_text().splitlines()
    assert about.startswith("simulated AWS: moto ")
