"""Simulated Teleport as real processes behind the real gateway and moto, with a small Kubernetes API to talk to."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import http.client
import io
import itertools
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.config
import jwt
import pexpect
import pytest
import tenacity
import trustme
import urllib3
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from simulators.teleport import certificates
from simulators.teleport.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]
OBSERVATIONS = ROOT.parent / "shared" / "observations" / "teleport-13.0.0-dev"
HOST = "tele.example.com"
ACCOUNT = "210987654321"
REGION = "eu-west-1"
ISSUER = f"https://oidc.eks.{REGION}.amazonaws.com/id/TELEPORTTESTS"
SUBJECT = "system:serviceaccount:teleport-agent:teleport-kube-agent-sa"
BODY = "Action=GetCallerIdentity&Version=2011-06-15"
PASSWORD = "correct horse battery"
ENDS = {
    "succeed": b'{"metadata":{},"status":"Success"}',
    "exit": b'{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: 3",'
    b'"reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}',
    "break": b'{"metadata":{},"status":"Failure","message":"it broke","reason":"InternalError","code":500}',
}
"""Command -> the status in which it ends."""


def eventually(look: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Look until there is something; it."""
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(LookupError),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(0.02),
        reraise=True,
    ):
        with attempt:
            if found := look():
                return found
            raise LookupError("not yet")
    raise AssertionError("not reached")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8", **more}


@dataclass
class Started:
    """A running program and its log."""

    process: subprocess.Popen[bytes]
    path: Path

    @property
    def log(self) -> str:
        return self.path.read_text()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def logged(self, text: str) -> str:
        def look() -> str:
            assert self.process.poll() is None, self.log
            return self.log if text in self.log else ""

        return str(eventually(look))


def start(folder: Path, *arguments: str, env: dict[str, str]) -> Started:
    """Start `python -m …`."""
    path = folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return Started(process, path)


class Handler(BaseHTTPRequestHandler):
    """A Kubernetes API that keeps Secrets, records requests, and streams."""

    protocol_version = "HTTP/1.1"
    server: KubernetesApi

    def handle_one(self) -> None:
        path = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers.items()), self._groups(), body))
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            self._answer(401, {"kind": "Status", "message": "Unauthorized"})
        elif "/secrets" in path.path:
            self._secrets(path.path, body)
        elif path.path.endswith("selfsubjectaccessreviews"):
            self._answer(201, {"status": {"allowed": self.server.permitted}})
        elif "watch=true" in path.query:
            self._watch()
        elif path.path.endswith("/exec"):
            self._execute(path.query)
        elif path.path.endswith("/pods/run"):
            containers = [{"name": "first", "image": "one:1"}, {"name": "second", "image": "two:2"}]
            self._answer(200, {"spec": {"nodeName": "node-1", "containers": containers}})
        else:
            self._answer(200, {"kind": "PodList", "items": [{"metadata": {"name": "teleport-agent-0"}}]})

    do_GET = handle_one  # noqa: N815  # names of the base class
    do_POST = handle_one  # noqa: N815  # the same
    do_PATCH = handle_one  # noqa: N815  # the same
    do_DELETE = handle_one  # noqa: N815  # the same

    def _groups(self) -> list[str]:
        return self.headers.get_all("Impersonate-Group", [])

    def _secrets(self, path: str, body: bytes) -> None:
        secrets, name = self.server.secrets, path.rpartition("/")[2]
        if self.server.refusing:
            self._answer(403, {"message": f'secrets "{name}" is forbidden'})
        elif self.command == "PATCH":
            secrets[name] = json.loads(body)
            secrets[name]["metadata"]["resourceVersion"] = str(len(self.server.seen))
            self._answer(200, secrets[name])
        elif name == "secrets":
            self._answer(200, {"items": list(secrets.values())})
        elif name not in secrets:
            self._answer(404, {"message": f'secrets "{name}" not found'})
        elif self.command == "DELETE":
            self._answer(200, secrets.pop(name))
        else:
            self._answer(200, secrets[name])

    def _watch(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b'10\r\n{"type":"ADDED"}\r\n')
        self.wfile.flush()
        self.server.watching.wait(20)

    def _execute(self, query: str) -> None:
        """Give back the first message as standard output, and end with the status that the command names."""
        command = parse_qs(query)["command"][0]
        if command == "forbidden":
            self._answer(403, {"kind": "Status", "message": "pods is forbidden: no"})
            return
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        accepted = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
        self.send_header("Sec-WebSocket-Accept", accepted)
        self.send_header("Sec-WebSocket-Protocol", self.headers["Sec-WebSocket-Protocol"])
        self.end_headers()
        self.close_connection = True
        _, length, *mask = self.rfile.read(6)
        sent = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(length & 127)))
        for message in (b"\x01" + sent[1:], b"\x03" + ENDS[command]):
            self.wfile.write(struct.pack(">BBH", 0x82, 126, len(message)) + message)
        self.wfile.write(b"\x88\x00")

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class's name
        """Tests read `seen`."""


class KubernetesApi(ThreadingHTTPServer):
    """See Handler."""

    daemon_threads = True

    def __init__(self, certificate: trustme.LeafCert) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.secrets: dict[str, Any] = {}
        self.seen: list[tuple[str, str, dict[str, str], list[str], bytes]] = []
        self.watching = threading.Event()
        self.permitted = True
        self.refusing = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is nothing to report."""


@dataclass
class Lab:
    """Everything that the tests share; they keep apart by names of their own."""

    folder: Path
    authority: trustme.CA
    key: rsa.RSAPrivateKey
    addresses: dict[str, str]
    teleport: str
    configuration: Path
    kubernetes: KubernetesApi
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def audit_log(self) -> Path:
        return self.configuration.parent / "data" / "log" / "events.log"

    def unique(self, name: str) -> str:
        return f"{name}-{next(self.numbers)}"

    def env(self, home: Path | None = None, **more: str) -> dict[str, str]:
        proxy = f"http://{self.addresses['proxy']}"
        return environment(home or self.folder, HTTPS_PROXY=proxy, SSL_CERT_FILE=self.ca_file, **more)

    def spawn(self, *arguments: str, env: dict[str, str] | None = None) -> Any:
        """A program as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "simulators.teleport", *arguments],
            cwd=ROOT,
            env=env or self.env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def run(self, *arguments: str, env: dict[str, str] | None = None, stdin: str = "") -> Any:
        """A program within this process, as the launcher will run it: ten times as fast."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            status = main(arguments, env or self.env(), self.folder)
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())

    def tctl(self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Any:
        return self.run("tctl", "-c", str(self.configuration), *arguments, stdin=stdin, env=env)

    def get(self, reference: str) -> Any:
        return json.loads(self.tctl("get", reference, "--format=json").stdout)

    def create(self, kind: str, name: str, spec: Any, version: str = "v2", **metadata: Any) -> None:
        resource = {"kind": kind, "version": version, "metadata": {"name": name, **metadata}, "spec": spec}
        done = self.tctl("create", "-f", stdin=json.dumps(resource))
        assert done.returncode == 0, done.stderr

    def token(self, role: str, **changes: Any) -> str:
        """A joining token for an IAM role; its name."""
        name = self.unique("token")
        rule = {"aws_account": ACCOUNT, "aws_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/*"}
        metadata = {"expires": changes.pop("expires", "3000-01-01T00:00:00Z")}
        spec = {"roles": ["Kube"], "join_method": "iam", "allow": [{**rule, **changes.pop("rule", {})}]}
        self.create("token", name, {**spec, **changes}, **metadata)
        return name

    def audit(self, event: str, **wanted: Any) -> list[dict[str, Any]]:
        records = [json.loads(line) for line in self.audit_log.read_text().splitlines()]
        return [
            record
            for record in records
            if record["event"] == event and all(record.get(name) == value for name, value in wanted.items())
        ]

    # AWS

    def aws(self, service: str, keys: dict[str, str] | None = None, **options: Any) -> Any:
        keys = keys or {"AccessKeyId": "AKIAADMIN00000000001", "SecretAccessKey": "admin-secret"}
        create: Any = boto3.client
        return create(
            service,
            region_name=REGION,
            aws_access_key_id=keys.get("AccessKeyId"),
            aws_secret_access_key=keys.get("SecretAccessKey"),
            verify=self.ca_file,
            config=botocore.config.Config(proxies={"https": f"http://{self.addresses['proxy']}"}, **options),
        )

    def role(self) -> str:
        """An IAM role that the service account may take; its name."""
        name, issuer = self.unique("role"), ISSUER.removeprefix("https://")
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{issuer}:sub": SUBJECT}},
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam = self.aws("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        iam.close()
        return name

    def service_account_token(self) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": SUBJECT, "aud": ["sts.amazonaws.com"], "iat": now, "exp": now + 600}
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "current"})

    def session(self, role: str) -> dict[str, str]:
        sts = self.aws("sts", {}, signature_version=botocore.UNSIGNED)
        answer = sts.assume_role_with_web_identity(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}",
            RoleSessionName="session-1",
            WebIdentityToken=self.service_account_token(),
        )
        sts.close()
        return dict(answer["Credentials"])

    def calls(self, role: str) -> list[dict[str, Any]]:
        answer = urllib3.request("GET", f"http://{self.addresses['control']}/calls?role={role}")
        return list(answer.json()["calls"])

    # Joining without an agent

    def call(self, method: str, given: Any = None, identity: str = "") -> tuple[int, Any]:
        return self.https("POST", f"/simulated/{method}", json.dumps(given or {}), identity=identity)

    def join(self, session: dict[str, str], **changes: Any) -> tuple[int, Any]:
        """What an agent sends; changes named headers, host, body and unsigned are the request's, others the join's."""
        challenge = self.call("challenge")[1]
        host = changes.pop("host", f"sts.{REGION}.amazonaws.com")
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "X-Teleport-Challenge": challenge,
            **changes.pop("headers", {}),
        }
        unsigned = changes.pop("unsigned", {})
        body = changes.pop("body", BODY)
        request = AWSRequest(
            "POST", f"https://{host}/", data=body.encode(), headers={**headers, "Host": host}
        )
        keys = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
        for name in unsigned:
            del request.headers[name]
        SigV4Auth(keys, "sts", REGION).add_auth(request)
        sent = {**dict(request.headers.items()), **({"X-Teleport-Challenge": challenge} if unsigned else {})}
        given = {
            "challenge": challenge,
            "host_id": "11111111-1111-1111-1111-111111111111",
            "node": "teleport-agent-0",
            "role": "Kube",
            "method": "iam",
            "public_key": certificates.public_key(certificates.private_key()),
            "sts": {"host": host, "headers": sent, "body": base64.b64encode(body.encode()).decode()},
            **changes,
        }
        return self.call("join", given)

    # The proxy

    def https(
        self,
        method: str,
        path: str,
        body: str | None = None,
        *,
        identity: str = "",
        name: str = HOST,
        **headers: str,
    ) -> tuple[int, Any]:
        """A request to the proxy by server name; status and JSON."""
        with contextlib.closing(self.connection(identity, name)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def connection(self, identity: str = "", name: str = HOST) -> http.client.HTTPConnection:
        authority = (
            None if name == HOST else (self.configuration.parent / "data/authorities/host.pem").read_text()
        )
        context = ssl.create_default_context(cadata=authority, cafile=None if authority else self.ca_file)
        if identity:
            path = self.folder / f"{self.unique('identity')}.pem"
            path.write_text(identity)
            context.load_cert_chain(path)
        host, _, port = self.teleport.rpartition(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=context)
        connection.sock = context.wrap_socket(
            socket.create_connection((host, int(port))), server_hostname=name
        )
        return connection

    # Users and agents

    def home(self) -> Path:
        home = self.folder / self.unique("home")
        home.mkdir()
        return home

    def user(self, *roles: str) -> tuple[str, Path]:
        """A signed-in user; name and home."""
        name = self.unique("alice")
        done = self.tctl("users", "add", name, f"--roles={','.join(roles)}", "--format=json")
        assert done.returncode == 0, done.stderr
        status, answer = self.set_password(json.loads(done.stdout)["metadata"]["name"])
        assert status == 200, answer
        home = self.home()
        assert self.sign_in(name, home) == 0
        return name, home

    def set_password(self, invitation: str, csrf: str = "c" * 64) -> tuple[int, Any]:
        body = {"token": invitation, "password": base64.b64encode(PASSWORD.encode()).decode()}
        headers = {"X-CSRF-Token": csrf, "Cookie": f"__Host-grv_csrf={'c' * 64}"}
        return self.https("PUT", "/v1/webapi/users/password/token", json.dumps(body), **headers)

    def sign_in(self, name: str, home: Path, password: str = PASSWORD) -> int:
        """`tsh login` on a terminal; its exit status."""
        argv = ["-m", "simulators.teleport", "tsh", "login", f"--proxy={HOST}:443", f"--user={name}"]
        child = pexpect.spawn(
            sys.executable, argv, env=self.env(home), cwd=str(ROOT), timeout=20, encoding="utf-8"
        )
        child.expect(f"password for Teleport user {name}:")
        child.sendline(password)
        child.expect(pexpect.EOF)
        child.close()
        assert password not in str(child.before)
        return int(child.exitstatus or 0)

    def tsh(self, home: Path, *arguments: str) -> Any:
        return self.run("tsh", *arguments, env=self.env(home, KUBECONFIG=str(home / "kubeconfig")))

    def kubectl(
        self, home: Path, cluster: str, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, Any]:
        """What kubectl does after `tsh kube login`: the plugin's certificate, and the server name `kube.HOST`."""
        identity = self.kubernetes_identity(home, cluster)
        return self.https(method, path, identity=identity, name=f"kube.{HOST}", **headers)

    def kubernetes_identity(self, home: Path, cluster: str) -> str:
        done = self.tsh(
            home, "kube", "credentials", f"--kube-cluster={cluster}", f"--teleport-cluster={HOST}"
        )
        assert done.returncode == 0, done.stderr
        status = json.loads(done.stdout)["status"]
        return str(status["clientCertificateData"] + status["clientKeyData"])

    def pod(self, role: str, token: str, cluster: str, **more: str) -> dict[str, str]:
        """The environment of an agent's container, its volumes in folders; also its files."""
        name = self.unique("teleport-agent")
        folder = self.folder / name
        mounts = {
            "/etc/teleport": {"teleport.yaml": yaml.safe_dump(agent_configuration(cluster))},
            "/etc/teleport-secrets": {"auth-token": f"{token}\n"},
            "/var/run/secrets/kubernetes.io/serviceaccount": {
                "token": "service-account-token",
                "ca.crt": Path(self.ca_file).read_text(),
            },
            "/var/run/secrets/eks.amazonaws.com/serviceaccount": {"token": self.service_account_token()},
            "/var/lib/teleport": {},
        }
        places = {}
        for number, (target, files) in enumerate(mounts.items()):
            place = folder / str(number)
            place.mkdir(parents=True)
            places[target] = str(place)
            for file, text in files.items():
                (place / file).write_text(text)
        host, port = self.kubernetes.server_address[:2]
        return self.env(
            folder,
            HOSTNAME=f"{name}-0",
            TELEPORT_REPLICA_NAME=f"{name}-0",
            KUBE_NAMESPACE="teleport-agent",
            RELEASE_NAME=name,
            KUBERNETES_SERVICE_HOST=str(host),
            KUBERNETES_SERVICE_PORT=str(port),
            AWS_REGION=REGION,
            AWS_ROLE_ARN=f"arn:aws:iam::{ACCOUNT}:role/{role}",
            AWS_WEB_IDENTITY_TOKEN_FILE="/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
            AWS_EC2_METADATA_DISABLED="true",
            CONFORMANCE_MOUNTS=json.dumps(places),
            **more,
        )

    def agent(self, pod: dict[str, str], diagnostics: str = "") -> Started:
        arguments = ["teleport", "start", "-c", "/etc/teleport/teleport.yaml"]
        arguments += [f"--diag-addr={diagnostics}"] if diagnostics else []
        return start(self.folder, "simulators.teleport", *arguments, env=pod)

    def servers(self, cluster: str) -> list[dict[str, Any]]:
        found = self.get("kube_server") or []
        return [server for server in found if server["metadata"]["name"] == cluster]


def agent_configuration(cluster: str) -> dict[str, Any]:
    """What the chart renders for role kube."""
    return {
        "version": "v3",
        "teleport": {
            "join_params": {"method": "iam", "token_name": "/etc/teleport-secrets/auth-token"},
            "proxy_server": f"{HOST}:443",
            "log": {"severity": "INFO", "output": "stderr"},
        },
        "kubernetes_service": {"enabled": True, "kube_cluster_name": cluster},
        **{name: {"enabled": False} for name in ("app_service", "db_service", "auth_service")},
        **{name: {"enabled": False} for name in ("ssh_service", "proxy_service")},
    }


def server_configuration(folder: Path, web: str) -> dict[str, Any]:
    """What the lab writes for Auth and Proxy Service."""
    return {
        "version": "v3",
        "teleport": {"nodename": "teleport", "data_dir": str(folder / "data")},
        "auth_service": {
            "enabled": "yes",
            "cluster_name": HOST,
            "listen_addr": f"127.0.0.1:{free_port()}",
            "proxy_listener_mode": "multiplex",
            "authentication": {"type": "local", "second_factor": "off"},
        },
        "ssh_service": {"enabled": "no"},
        "proxy_service": {
            "enabled": "yes",
            "web_listen_addr": web,
            "public_addr": [f"{HOST}:443"],
            "https_keypairs": [{"cert_file": str(folder / "web.pem"), "key_file": str(folder / "web.key")}],
        },
    }


def gateway_configuration(folder: Path, backend: str, teleport: str) -> dict[str, Any]:
    """A gateway that serves AWS and routes to Teleport."""
    user = {
        "access_key_id": "AKIAADMIN00000000001",
        "secret_access_key": "admin-secret",
        "account": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:user/admin",
        "user_id": "AIDA0",
    }
    cluster = {
        "name": "kube-cluster",
        "account": ACCOUNT,
        "region": REGION,
        "issuer": ISSUER,
        "jwks": str(folder / "jwks.json"),
        "version": "1.32",
        "endpoint": "https://127.0.0.1:6443",
        "certificate_authority": base64.b64encode(b"pem").decode(),
    }
    return {
        "run": "a1b2c3",
        "listen": dict.fromkeys(("proxy", "https", "control", "metadata", "webhook"), "127.0.0.1:0"),
        "certificate_authority": {"certificate": str(folder / "ca.pem"), "key": str(folder / "ca.key")},
        "backend": backend,
        "administrators": [user],
        "accounts": [ACCOUNT],
        "clusters": [cluster],
        "routes": {f"{HOST}:443": teleport},
        "call_log": str(folder / "calls.jsonl"),
        "ready": str(folder / "gateway.json"),
    }


def written(path: Path, program: Started) -> Any:
    """What a program wrote to say that it is ready."""

    def look() -> Any:
        assert program.process.poll() is None, program.log
        return path.is_file() and json.loads(path.read_text())

    return eventually(look, 30)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """moto, the gateway, simulated Teleport and the Kubernetes API, once for all tests."""
    folder = tmp_path_factory.mktemp("teleport")
    authority, key = trustme.CA(), rsa.generate_private_key(65537, 2048)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.private_key_pem.write_to_path(folder / "ca.key")
    published = {
        **json.loads(RSAAlgorithm.to_jwk(key.public_key())),
        "kid": "current",
        "alg": "RS256",
        "use": "sig",
    }
    (folder / "jwks.json").write_text(json.dumps({"keys": [published]}))
    serving = authority.issue_cert(HOST, f"*.{HOST}", "127.0.0.1")
    serving.private_key_pem.write_to_path(folder / "web.key")
    (folder / "web.pem").write_bytes(b"".join(blob.bytes() for blob in serving.cert_chain_pems))
    kubernetes = KubernetesApi(authority.issue_cert("127.0.0.1"))
    threading.Thread(target=kubernetes.serve_forever, daemon=True).start()
    teleport = f"127.0.0.1:{free_port()}"
    plain = environment(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(kubernetes.server_close)
        stack.callback(kubernetes.shutdown)
        stack.callback(kubernetes.watching.set)
        backend = start(folder, "simulators.aws.backend", "--ready", str(folder / "backend.json"), env=plain)
        stack.callback(backend.stop)
        url = written(folder / "backend.json", backend)["url"]
        (folder / "aws.json").write_text(json.dumps(gateway_configuration(folder, url, teleport)))
        gateway = start(folder, "simulators.aws", str(folder / "aws.json"), env=plain)
        stack.callback(gateway.stop)
        addresses = written(folder / "gateway.json", gateway)
        configuration = folder / "teleport.yaml"
        configuration.write_text(yaml.safe_dump(server_configuration(folder, teleport)))
        lab = Lab(folder, authority, key, addresses, teleport, configuration, kubernetes)
        arguments = ["teleport", "start", "-c", str(configuration)]
        server = start(folder, "simulators.teleport", *arguments, env=lab.env())
        stack.callback(server.stop)
        server.logged("Web proxy service")
        iam = lab.aws("iam")
        iam.create_open_id_connect_provider(
            Url=ISSUER, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40]
        )
        iam.close()
        yield lab


@dataclass
class Joined:
    """A running agent and what belongs to it."""

    cluster: str
    role: str
    token: str
    pod: dict[str, str]
    program: Started
    host_id: str


@pytest.fixture(scope="session")
def joined(lab: Lab) -> Iterator[Joined]:
    """An agent that joined, for tests that leave it as it is."""
    role, cluster = lab.role(), lab.unique("iam-cluster")
    token = lab.token(role)
    pod = lab.pod(role, token, cluster)
    program = lab.agent(pod)
    try:
        program.logged("is starting via proxy reverse tunnel")
        [server] = eventually(lambda: lab.servers(cluster))
        yield Joined(cluster, role, token, pod, program, server["spec"]["host_id"])
    finally:
        program.stop()


@pytest.fixture(scope="session")
def viewer(lab: Lab) -> tuple[str, Path]:
    """A signed-in user whose role has group viewers; name and home."""
    role = lab.unique("kube-access")
    allow = {"kubernetes_labels": {"*": "*"}, "kubernetes_groups": ["viewers"]}
    lab.create("role", role, {"allow": allow, "deny": {}}, version="v5")
    return lab.user("access", role)


@pytest.fixture(scope="session")
def outsider(lab: Lab) -> tuple[str, Path]:
    """A signed-in user whose role has no Kubernetes groups; name and home."""
    return lab.user("access")


@pytest.fixture(scope="session")
def later() -> Callable[[float], str]:
    """Writes the time that many seconds from now."""

    def write(seconds: float) -> str:
        return f"{dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"

    return write


@pytest.fixture(scope="session")
def observed() -> Callable[[str], Any]:
    """Reads an observation of the real program; skips where the observations are not at hand."""

    def read(name: str) -> Any:
        path = OBSERVATIONS / name
        if not path.is_file():
            pytest.skip("the observations of real Teleport are not beside this clone")
        text = path.read_text()
        return json.loads(text) if name.endswith(".json") else text

    return read


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    """`eventually`."""
    return eventually


@pytest.fixture(autouse=True)
def no_machine_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's AWS settings and proxies out of the clients."""
    for name in [name for name in os.environ if name.upper().startswith("AWS_") or "PROXY" in name.upper()]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
