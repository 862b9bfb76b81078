"""A simulated API server as a program of its own, and what speaks to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tenacity
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Object = dict[str, Any]
ROOT = Path(__file__).parents[3]
ISSUER = "https://oidc.example/id/1"
BIN = Path(sys.executable).parent
MERGE = "application/merge-patch+json"


def until(read: Callable[[], Any], seconds: float = 10) -> Any:
    """Poll until something is true, and give it; on a time-out show what was seen last."""

    def give_up(state: tenacity.RetryCallState) -> Any:
        assert state.outcome is not None
        pytest.fail(
            f"not seen within {seconds} s; last: {state.outcome.exception() or state.outcome.result()!r}"
        )

    return tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda seen: not seen) | tenacity.retry_if_exception_type(LookupError),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(0.02),
        retry_error_callback=give_up,
    )(read)


class Client:
    """Speaks to a server as one user."""

    def __init__(self, server: str, tls: ssl.SSLContext, headers: dict[str, str]) -> None:
        self._address = server.removeprefix("https://")
        self._tls = tls
        self._headers = headers

    def acting_as(self, user: str, *groups: str) -> Client:
        """The same credentials, impersonating."""
        acting = self._headers | {"Impersonate-User": user}
        return Client(self._address, self._tls, acting | ({"Impersonate-Group": groups[0]} if groups else {}))

    def open(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        """One request; the connection and the answer, not yet read."""
        host, _, port = self._address.partition(":")
        connection = http.client.HTTPSConnection(host, int(port), context=self._tls, timeout=20)
        sent = {"Content-Type": "application/json"} | self._headers
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, sent)
        return connection, connection.getresponse()

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """One request; status and text of the answer."""
        connection, response = self.open(method, path, body, **headers)
        try:
            return response.status, response.read().decode()
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Object]:
        """One request; status and content of the answer."""
        status, text = self.raw(method, path, body, **headers)
        return status, json.loads(text)

    def do(self, method: str, path: str, body: Any = None, **headers: str) -> Object:
        """One request that has to succeed."""
        status, found = self.call(method, path, body, **headers)
        assert status < 300, found
        return found

    def get(self, path: str) -> Object:
        """An object; a LookupError where there is none."""
        status, found = self.call("GET", path)
        if status == 404:
            raise LookupError(found["message"])
        assert status == 200, found
        return found

    def merge(self, path: str, change: Object) -> Object:
        """A merge patch that has to succeed."""
        return self.do("PATCH", path, change, Content_Type=MERGE)

    def lines(self, path: str) -> Iterator[Object]:
        """The events of a watch; the connection ends with the generator."""
        connection, response = self.open("GET", path)
        assert response.status == 200
        try:
            for line in response:
                yield json.loads(line)
        finally:
            response.close()
            connection.close()


class Server:
    """A running server with its certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.audit_log = folder / "audit.log"
        self.log = folder / "server.log"
        self.config = self._configuration()
        (folder / "config.json").write_text(json.dumps(self.config))
        with self.log.open("wb") as log:
            argv = [sys.executable, "-m", "simulators.apiserver", str(folder / "config.json")]
            self.process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
        try:
            self.url = until(self._ready)["server"]
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.admin = self.client("admin", "system:masters")

    def _ready(self) -> Object | None:
        assert self.process.poll() is None, self.log.read_text()
        path = self.folder / "ready.json"
        return json.loads(path.read_text()) if path.exists() else None

    def _configuration(self) -> Object:
        folder = self.folder
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / "sa.key").write_bytes(private)
        (folder / "sa.pub").write_bytes(public)
        serving, kubelet = self.pair("server", "127.0.0.1"), self.pair("kubelet-client")
        return {
            "run": "test",
            "listen": "127.0.0.1:0",
            "serving_certificate": str(serving[0]),
            "serving_key": str(serving[1]),
            "client_ca": str(folder / "ca.pem"),
            "issuer": ISSUER,
            "signing_key": str(folder / "sa.key"),
            "public_key": str(folder / "sa.pub"),
            "audiences": ["https://kubernetes.default.svc", ISSUER],
            "audit_log": str(self.audit_log),
            "kubelet_ca": str(folder / "ca.pem"),
            "kubelet_client_certificate": str(kubelet[0]),
            "kubelet_client_key": str(kubelet[1]),
            "root_ca": str(folder / "ca.pem"),
            "ready": str(folder / "ready.json"),
        }

    def pair(self, name: str, *hosts: str, organization: str | None = None) -> tuple[Path, Path]:
        """A certificate and its key, as files."""
        leaf = self.authority.issue_cert(
            *(hosts or (name,)), common_name=name, organization_name=organization
        )
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        return certificate, key

    def client(self, user: str = "", group: str | None = None, *, token: str = "") -> Client:
        """A client with a certificate, a token, or neither."""
        tls = ssl.create_default_context(cafile=self.folder / "ca.pem")
        if user:
            tls.load_cert_chain(*self.pair(user, organization=group))
        return Client(self.url, tls, {"Authorization": f"Bearer {token}"} if token else {})

    def kubeconfig(self, user: str = "admin", group: str = "system:masters") -> Path:
        """A kubeconfig with a client certificate."""
        certificate, key = self.pair(user, organization=group)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "c",
                    "cluster": {"server": self.url, "certificate-authority": str(self.folder / "ca.pem")},
                }
            ],
            "users": [
                {"name": "u", "user": {"client-certificate": str(certificate), "client-key": str(key)}}
            ],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = self.folder / f"{user}.kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def audited(self) -> list[Object]:
        """The lines of the audit log."""
        return [json.loads(line) for line in self.audit_log.read_text().splitlines()]

    def stop(self) -> int:
        """End it; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests; each has a namespace of its own."""
    running = Server(tmp_path_factory.mktemp("apiserver"))
    yield running
    running.stop()
    assert "Traceback" not in running.log.read_text(), running.log.read_text()


@pytest.fixture(scope="session")
def admin(server: Server) -> Client:
    return server.admin


@pytest.fixture
def namespace(admin: Client) -> Iterator[str]:
    """A namespace with its default service account."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    admin.do("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    until(lambda: admin.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"))
    yield name
    admin.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def poll() -> Callable[..., Any]:
    return until


@pytest.fixture
def run_client(tmp_path: Path, server: Server) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program as an administrator's, with nothing of the user's around it."""

    def run(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = {
            "HOME": str(tmp_path),
            "PATH": f"{BIN}:{os.defpath}",
            "KUBECONFIG": str(server.kubeconfig()),
        }
        return subprocess.run(
            argv, env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )

    return run
