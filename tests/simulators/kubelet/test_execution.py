"""Commands in containers, as the API server asks for them."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import websocket  # comes with the client of Kubernetes

from simulators.kubelet.spdy import DICTIONARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulators.kubelet.conftest import Lab, Make

STREAMS = "input=1&output=1&error=1"


class Ended:
    """What came of a command, channel by channel."""

    def __init__(self) -> None:
        self.printed = b""
        self.errors = b""
        self.status: dict[str, Any] = {}

    def take(self, data: bytes) -> None:
        match data[0]:
            case 1:
                self.printed += data[1:]
            case 2:
                self.errors += data[1:]
            case 3:
                self.status = json.loads(data[1:])


class Spdy:
    """A client of the kubelet that speaks SPDY, as kube-apiserver and Teleport do."""

    def __init__(self, lab: Lab, path: str, protocols: str = "v5.channel.k8s.io, v4.channel.k8s.io") -> None:
        tls = ssl.create_default_context(cafile=str(lab.folder / "ca.pem"))
        tls.load_cert_chain(lab.folder / "caller.pem")
        port = json.loads((lab.folder / "ready").read_text())["port"]
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket = tls.wrap_socket(plain, server_hostname="127.0.0.1")
        self.file = self.socket.makefile("rb")
        head = f"POST {path} HTTP/1.1\r\nHost: kubelet\r\nContent-Length: 0\r\nConnection: Upgrade\r\n"
        head += f"Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocols}\r\n\r\n"
        self.socket.sendall(head.encode())
        self.head = b"".join(iter(self.file.readline, b"\r\n")).decode()
        self.deflate = zlib.compressobj(zdict=DICTIONARY)

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def control(self, kind: int, content: bytes) -> None:
        self.socket.sendall(struct.pack(">HHI", 0x8003, kind, len(content)) + content)

    def open(self, number: int, name: str) -> None:
        """Open a stream; number and type."""
        texts = b"".join(struct.pack(">I", len(t)) + t for t in (b"streamtype", name.encode()))
        block = self.deflate.compress(struct.pack(">I", 1) + texts) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.control(1, struct.pack(">IIH", number, 0, 0) + block)

    def send(self, number: int, data: bytes, *, end: bool = False) -> None:
        self.socket.sendall(struct.pack(">II", number, (int(end) << 24) + len(data)) + data)

    def frames(self) -> Iterator[tuple[int, int, bytes]]:
        """What the kubelet sends: 0 and a control frame's type, or a stream's number and its flags; content."""
        while head := self.file.read(8):
            first, second = struct.unpack(">II", head)
            content = self.file.read(second & 0xFFFFFF)
            yield (0, first & 0xFFFF, content) if first >> 31 else (first, second >> 24, content)


def execute(
    lab: Lab, pod: str, *argv: str, sent: tuple[bytes, ...] = (), protocol: str = "v5", streams: str = STREAMS
) -> Ended:
    """Run a command in a pod's container main."""
    port = json.loads((lab.folder / "ready").read_text())["port"]
    command = urlencode([("command", part) for part in argv])
    connection = websocket.create_connection(
        f"wss://127.0.0.1:{port}/exec/default/{pod}/main?{streams}&{command}",
        timeout=10,
        subprotocols=[f"{protocol}.channel.k8s.io"],
        sslopt={"ca_certs": str(lab.folder / "ca.pem"), "certfile": str(lab.folder / "caller.pem")},
        http_no_proxy=["127.0.0.1"],
    )
    ended = Ended()
    with closing(connection):
        for data in sent:
            connection.send_binary(data)
        while not ended.status:
            message = connection.recv()
            assert isinstance(message, bytes)
            ended.take(message)
    return ended


@pytest.fixture
def sleeper(lab: Lab, make: type[Make]) -> str:
    pod = lab.pod(make.sh("exec sleep 600", env=[{"name": "OWN", "value": "own"}]))
    lab.until(lambda: lab.running(pod))
    return pod


def test_streams_are_apart_and_the_end_is_told(lab: Lab, sleeper: str) -> None:
    ended = execute(lab, sleeper, "sh", "-c", "echo $OWN; echo failed >&2")
    assert (ended.printed, ended.errors, ended.status["status"]) == (b"own\n", b"failed\n", "Success")


def test_the_end_of_the_input_is_passed_on(lab: Lab, sleeper: str) -> None:
    ended = execute(lab, sleeper, "cat", sent=(b"\x00one ", b"\x00two", b"\xff\x00", b"\x00late"))
    assert (ended.printed, ended.status["status"]) == (b"one two", "Success")


def test_a_client_of_v4_sends_lines(lab: Lab, sleeper: str) -> None:
    ended = execute(lab, sleeper, "sh", "-c", "read it; echo $it", sent=(b"\x00line\n",), protocol="v4")
    assert (ended.printed, ended.status["status"]) == (b"line\n", "Success")


def test_without_input_there_is_none_and_without_output_neither(lab: Lab, sleeper: str) -> None:
    ended = execute(lab, sleeper, "sh", "-c", "cat; echo out; echo err >&2", streams="error=1")
    assert (ended.printed, ended.errors, ended.status["status"]) == (b"", b"err\n", "Success")


@pytest.mark.parametrize(("script", "code"), [("exit 3", "3"), ("kill -9 $$", "137")])
def test_the_exit_code_is_told_as_by_a_real_kubelet(lab: Lab, sleeper: str, script: str, code: str) -> None:
    status = execute(lab, sleeper, "sh", "-c", script).status
    assert (status["reason"], status["details"]) == (
        "NonZeroExitCode",
        {"causes": [{"reason": "ExitCode", "message": code}]},
    )
    text = f"error executing command [sh -c {script}], exit code {code}"
    assert status["message"] == f"command terminated with non-zero exit code: {text}"


def test_a_program_that_is_not_there_is_told(lab: Lab, sleeper: str) -> None:
    status = execute(lab, sleeper, "nothing-like-it").status
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert 'exec: "nothing-like-it": executable file not found in $PATH' in status["message"]


def test_spdy_has_a_stream_for_each_channel(lab: Lab, sleeper: str) -> None:
    query = f"{STREAMS}&command=sh&command=-c&command=cat;+echo+failed+>%262;+exit+3"
    with closing(Spdy(lab, f"/exec/default/{sleeper}/main?{query}")) as client:
        assert client.head.startswith("HTTP/1.1 101 ")
        assert "X-Stream-Protocol-Version: v4.channel.k8s.io" in client.head
        for number, name in ((1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")):
            client.open(number, name)
        client.control(6, b"ping")
        client.send(3, b"in" * 40_000)
        client.send(3, b"put", end=True)
        seen = dict.fromkeys((1, 5, 7), b"")
        ends, answers = set(), []
        for number, detail, content in client.frames():
            if number:
                seen[number] += content
                ends |= {number} if detail else set()
            else:
                answers.append((detail, content[:4]))
    assert answers[:4] == [(2, struct.pack(">I", number)) for number in (1, 3, 5, 7)], (
        "each stream is answered"
    )
    assert answers[4:] == [(6, b"ping"), (7, struct.pack(">I", 7))]
    assert (seen[5], seen[7], ends) == (b"in" * 40_000 + b"put", b"failed\n", {1, 5, 7})
    assert json.loads(seen[1])["details"]["causes"][0]["message"] == "3"


def test_a_command_ends_with_its_client_of_spdy(lab: Lab, sleeper: str) -> None:
    followed = lab.folder / f"followed-by-{sleeper}"
    followed.write_text("line\n")
    query = f"output=1&command=tail&command=-f&command={followed}"
    with closing(Spdy(lab, f"/exec/default/{sleeper}/main?{query}")) as client:
        client.open(1, "error")
        client.open(3, "stdout")
        assert (3, 0, b"line\n") in client.frames()
        assert lab.marked(str(followed))
    lab.until(lambda: not lab.marked(str(followed)))


def test_spdy_of_another_age_is_refused(lab: Lab, sleeper: str) -> None:
    path = f"/exec/default/{sleeper}/main?output=1&command=true"
    with closing(Spdy(lab, path, "v3.channel.k8s.io")) as client:
        assert client.head.startswith("HTTP/1.1 403 ")


def test_what_cannot_be_run_is_refused(lab: Lab, sleeper: str, make: type[Make]) -> None:
    over = lab.pod(make.sh("true"), restartPolicy="Never")
    lab.until(lambda: lab.phase(over) == "Succeeded")
    answers = {
        "/exec/default/nobody/main": (404, 'pod "nobody" not found'),
        f"/exec/default/{sleeper}/other": (404, "is not found in pod"),
        f"/exec/default/{over}/main": (500, 'container not found ("main")'),
        f"/exec/default/{sleeper}/main?command=true": (
            400,
            "expected an upgrade to SPDY/3.1 or to a WebSocket",
        ),
        f"/exec/default/{sleeper}/main?command=true&tty=1": (400, "without a terminal only"),
    }
    for path, (status, text) in answers.items():
        with lab.call(path) as response:
            assert (response.status, text in response.read().decode()) == (status, True), path


def test_a_command_sees_the_volumes_and_processes_of_its_container(isolated: Lab, make: type[Make]) -> None:
    isolated.api.put("secrets", "keys", make.secret(k="hidden"))
    mounts = [{"name": "keys", "mountPath": "/etc/keys-of-test"}]
    volumes = [{"name": "keys", "secret": {"secretName": "keys"}}]
    pod = isolated.pod(make.sh("exec sleep 600", volumeMounts=mounts), volumes=volumes)
    isolated.until(lambda: isolated.running(pod))
    ended = execute(isolated, pod, "cat", "/etc/keys-of-test/k", "-", sent=(b"\x00+", b"\xff\x00"))
    assert (ended.printed, ended.status["status"]) == (b"hidden+", "Success")
    assert execute(isolated, pod, "sh", "-c", "kill -0 1").status["status"] == "Success"
