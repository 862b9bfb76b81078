"""What stands in for real programs: scripts made on the spot, small HTTP(S) servers, and a run's own folder."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import secrets
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from harness.adapters import daemons, docker_engine, processes, simulators
from harness.adapters.certificates import Authority, SigningKey, signing_key
from harness.core.ledger import Ledger
from harness.core.recording import Recorder, recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Request:
    """What a small server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """A small server on loopback; what it answers can be changed while it runs."""

    url: str
    address: str
    answer: Callable[[Request], tuple[int, Any]]
    requests: list[Request] = field(default_factory=list)


@dataclass
class Evidence:
    """The evidence of the test's own scenario."""

    recorder: Recorder

    def text(self) -> str:
        """Everything that was written down."""
        return "".join(file.read_text() for file in sorted(self.recorder.folder.iterdir()))

    def commands(self) -> list[dict[str, Any]]:
        """What was run, oldest first."""
        files = [self.recorder.folder / entry["file"] for entry in self.recorder.entries()]
        documents: list[dict[str, Any]] = [json.loads(file.read_text()) for file in files]
        return [document for document in documents if document["kind"] == "command"]


@pytest.fixture(autouse=True)
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the machine's own AWS, Kubernetes and proxy settings out of the libraries."""
    changed = dict(os.environ)
    processes.seal(changed)
    for name in os.environ.keys() - changed.keys():
        monkeypatch.delenv(name)
    for name, value in changed.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def run_id() -> Iterator[str]:
    """A run of the test's own, whose processes end with it."""
    made = secrets.token_hex(6)
    yield made
    daemons.stop_all(made, patience=0.2)


@pytest.fixture
def env(tmp_path: Path, run_id: str) -> dict[str, str]:
    """Environment of the children."""
    home = tmp_path / "home"
    home.mkdir()
    return processes.base_environment(home, run_id)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority; making one takes a while."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def evidence(tmp_path: Path) -> Iterator[Evidence]:
    """Records the test as if it were a scenario."""
    with recording(Recorder(tmp_path / "evidence", "test")) as recorder:
        yield Evidence(recorder)


@pytest.fixture
def program() -> Callable[..., Path]:
    """Makes a program: `program(folder, name, text)`; Python unless the text says otherwise."""

    def make(folder: Path, name: str, text: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        # Isolated and without site-packages it starts in a fraction of the time.
        path.write_text(text if text.startswith("#!") else f"#!{sys.executable} -IS\n{text}")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def serve(authority: Authority, request: pytest.FixtureRequest) -> Iterator[Callable[..., Site]]:
    """Starts small servers: `serve(answer, tls=True)`; `answer` gets a Request, returns (status, body)."""
    with contextlib.ExitStack() as stack:

        def start(answer: Callable[[Request], tuple[int, Any]], *, tls: bool = False) -> Site:
            site = Site(url="", address="", answer=answer)
            server = _server(site)
            stack.callback(server.server_close)
            site.address = f"127.0.0.1:{server.server_address[1]}"
            site.url = f"{'https' if tls else 'http'}://{site.address}"
            if tls:
                pair = authority.issue(f"site-{server.server_address[1]}", "127.0.0.1", "tele.example.com")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(pair.certificate, pair.key)
                # The handshake is the handling thread's affair: a client that breaks it off stops nobody.
                server.socket = context.wrap_socket(
                    server.socket, server_side=True, do_handshake_on_connect=False
                )
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return site

        yield start


def _server(site: Site) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers every method in the same way."""

        def handle(self) -> None:
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                super().handle()

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            asked = Request(self.command, self.path, dict(self.headers.items()), body)
            site.requests.append(asked)
            status, answer = site.answer(asked)
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.do_GET
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


@dataclass(frozen=True)
class AWS:
    """The run's AWS: the gateway over moto as processes, started as the lab starts them."""

    addresses: dict[str, str]
    account_id: str
    key_id: str
    secret: str
    issuer: str
    authority: Authority
    signing: SigningKey
    ledger: Ledger
    folder: Path

    def token(self, subject: str) -> str:
        """A service account's token for AWS."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": subject,
            "aud": ["sts.amazonaws.com"],
            "iat": now,
            "exp": now + 600,
        }
        kid = json.loads(self.signing.jwks.read_text())["keys"][0]["kid"]
        return jwt.encode(claims, self.signing.private.read_bytes(), algorithm="RS256", headers={"kid": kid})


def gateway_configuration(aws: AWS, **changes: Any) -> dict[str, Any]:
    """What `start_gateway` is told, with `changes`."""
    return {
        "proxy": "127.0.0.1:0",
        "account": aws.account_id,
        "key_id": aws.key_id,
        "secret": aws.secret,
        "region": "eu-west-1",
        "issuer": aws.issuer,
        "jwks": str(aws.signing.jwks),
        "cluster": "kube-cluster",
        "routes": {},
        "charts": str(aws.folder),
        "kubeconfig": str(aws.folder / "kubeconfig"),
        **changes,
    }


@pytest.fixture(scope="session")
def configure() -> Callable[..., dict[str, Any]]:
    """`gateway_configuration`, for tests that start a gateway of their own."""
    return gateway_configuration


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[AWS]:
    """A gateway for all tests of a worker; they keep apart by names of their own."""
    folder = tmp_path_factory.mktemp("aws")
    run = secrets.token_hex(6)
    made = AWS(
        addresses={},
        account_id="210987654321",
        key_id="AKIACONFORMANCE00001",
        secret=secrets.token_urlsafe(30),
        issuer="https://oidc.eks.eu-west-1.amazonaws.com/id/ADAPTERS",
        authority=authority,
        signing=signing_key(folder),
        ledger=Ledger(folder / "ledger.jsonl"),
        folder=folder,
    )
    try:
        addresses = simulators.start_gateway(
            folder / "gateway",
            run=run,
            env=processes.base_environment(folder, run),
            ledger=made.ledger,
            authority=authority.pair,
            configuration=gateway_configuration(made),
        )
        made.addresses.update(addresses)
        yield made
    finally:
        daemons.stop_all(run, patience=2)


class Strict:
    """Has what a test gives it; anything else that is asked of it fails the test."""

    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by pytest, of what a test is parametrized with
            raise AttributeError(name)
        pytest.fail(f"unexpected call of {name}")


class Calls(list[Any]):
    """Notes calls, and answers or raises what it was given, one after another; the last for ever."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)

    def __call__(self, *positional: Any, **named: Any) -> Any:
        self.append((positional, named))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def strict() -> type[Strict]:
    """Makes something that has what a test gives it, and nothing else."""
    return Strict


@pytest.fixture
def calls() -> type[Calls]:
    """Makes a function that notes its calls."""
    return Calls


@pytest.fixture
def engine_is(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Strict]:
    """Makes `connect` find a Docker engine of these parts."""

    def engine_is(**parts: Any) -> Strict:
        client = Strict(ping=Calls(True), close=Calls(None), **{"api": Strict(), **parts})
        monkeypatch.setattr(docker_engine.docker, "from_env", lambda **_: client)
        # Else it would look for a real engine first.
        monkeypatch.setattr(docker_engine, "_knock", lambda _where: None)
        return client

    return engine_is
