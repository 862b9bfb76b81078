"""A gateway and its backend as real processes, shared by all tests of this folder, and clients for them."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import boto3
import botocore.config
import jwt
import pytest
import tenacity
import trustme
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]
ACCOUNT = "210987654321"
OTHER_ACCOUNT = "109876543210"
ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/LABISSUER"
SUBJECT = "system:serviceaccount:teleport-agent:teleport-kube-agent-sa"
IDENTITY_BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
SENTINEL = "SENTINEL"


@dataclass
class Response:
    """A raw answer."""

    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class User:
    """An administrator's keys."""

    access_key_id: str
    secret_access_key: str
    account: str

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:user/admin"


ADMIN = User("AKIAADMIN00000000001", f"{SENTINEL}-admin-secret", ACCOUNT)
OTHER_ADMIN = User("AKIAADMIN00000000002", f"{SENTINEL}-other-secret", OTHER_ACCOUNT)


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def jwks(keys: dict[str, rsa.RSAPrivateKey]) -> str:
    published = [
        {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "alg": "RS256", "use": "sig"}
        for kid, key in keys.items()
    ]
    return json.dumps({"keys": published})


@dataclass
class Program:
    """A started program: what it announced, and how it ends."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]
    stderr: Path

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def start_program(folder: Path, *arguments: str, ready: Path) -> Program:
    """Start `python -m …` from a clean environment and wait until it says that it is ready."""
    stderr = folder / f"{arguments[0]}.stderr"
    with stderr.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stderr=errors,
        )
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(FileNotFoundError),
        stop=tenacity.stop_after_delay(30),
        wait=tenacity.wait_fixed(0.01),
        reraise=True,
    ):
        with attempt:
            assert process.poll() is None, stderr.read_text()
            return Program(process, json.loads(ready.read_text()), stderr)
    raise AssertionError("not reached")


def write_config(folder: Path, backend: str, authority: trustme.CA, **changes: Any) -> Path:
    """Write a whole configuration, with `changes` to its top level."""
    certificate, key = folder / "ca.pem", folder / "ca.key"
    authority.cert_pem.write_to_path(certificate)
    authority.private_key_pem.write_to_path(key)
    cluster = {
        "name": "kube-cluster",
        "account": ACCOUNT,
        "region": "eu-west-1",
        "issuer": ISSUER,
        "jwks": str(folder / "jwks.json"),
        "version": "1.32",
        "endpoint": "https://127.0.0.1:6443",
        "certificate_authority": base64.b64encode(b"pem").decode(),
    }
    config = {
        "run": "a1b2c3",
        "listen": dict.fromkeys(("proxy", "https", "control", "metadata", "webhook"), "127.0.0.1:0"),
        "certificate_authority": {"certificate": str(certificate), "key": str(key)},
        "backend": backend,
        "administrators": [
            {
                "access_key_id": user.access_key_id,
                "secret_access_key": user.secret_access_key,
                "account": user.account,
                "arn": user.arn,
                "user_id": f"AIDA{user.account}",
            }
            for user in (ADMIN, OTHER_ADMIN)
        ],
        "accounts": [ACCOUNT, OTHER_ACCOUNT],
        "clusters": [cluster, {**cluster, "name": "no-issuer", "issuer": None, "jwks": None}],
        "routes": {},
        "chart_repository": {"host": "charts.releases.teleport.dev", "folder": str(folder / "charts")},
        "webhook": {
            "kubeconfig": str(folder / "kubeconfig"),
            "region": "eu-west-1",
            "audience": "sts.amazonaws.com",
            "expiration": 86400,
        },
        "call_log": str(folder / "calls.jsonl"),
        "ready": str(folder / "gateway.json"),
        **changes,
    }
    path = folder / "config.json"
    path.touch(0o600)
    path.write_text(json.dumps(config))
    return path


@dataclass
class Lab:
    """The running gateway and everything that a test wants of it."""

    folder: Path
    gateway: Program
    backend: Program
    authority: trustme.CA
    key: rsa.RSAPrivateKey
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _pools: dict[str, Any] = field(default_factory=dict)
    _clients: dict[Any, Any] = field(default_factory=dict)

    @property
    def proxy(self) -> str:
        return f"http://{self.gateway.ready['proxy']}"

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    def address(self, listener: str) -> tuple[str, int]:
        host, port = self.gateway.ready[listener].split(":")
        return host, int(port)

    def unique(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers)}"

    # Clients

    def send(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Send a request as it is: https:// through the proxy, http:// directly."""
        if url.startswith("https:"):
            pool = self._pools.setdefault("proxy", urllib3.ProxyManager(self.proxy, ca_certs=self.ca_file))
        else:
            pool = self._pools.setdefault("direct", urllib3.PoolManager())
        answer = pool.request(
            method, url, headers=headers or {}, body=body, retries=False, timeout=20.0, redirect=False
        )
        return Response(answer.status, answer.headers, answer.data)

    def control(self, method: str, path: str, body: Any = None) -> Response:
        content = None if body is None else json.dumps(body).encode()
        return self.send(
            method,
            f"http://{self.gateway.ready['control']}{path}",
            {"Content-Type": "application/json"},
            content,
        )

    def client(self, service: str, keys: Any = ADMIN, region: str = "eu-west-1", **options: Any) -> Any:
        """A boto3 client that reaches the gateway as every client does: by the proxy."""
        identity = keys if isinstance(keys, User) else tuple(sorted(keys.items()))
        index = (service, str(identity), region, tuple(sorted(options.items())))
        if index not in self._clients:
            if isinstance(keys, User):
                keys = {"AccessKeyId": keys.access_key_id, "SecretAccessKey": keys.secret_access_key}
            # boto3 has an overload for each of AWS's services, and none for a name from elsewhere.
            create: Any = boto3.client
            self._clients[index] = create(
                service,
                region_name=region,
                aws_access_key_id=keys.get("AccessKeyId"),
                aws_secret_access_key=keys.get("SecretAccessKey"),
                aws_session_token=keys.get("SessionToken"),
                verify=self.ca_file,
                config=botocore.config.Config(
                    proxies={"https": self.proxy}, retries={"total_max_attempts": 1}, **options
                ),
            )
        return self._clients[index]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        for pool in self._pools.values():
            pool.clear()

    # AWS

    def provider(self, account: User = ADMIN, client_ids: tuple[str, ...] = ("sts.amazonaws.com",)) -> str:
        """Register the cluster's issuer with an account, once."""
        iam = self.client("iam", account)
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_open_id_connect_provider(
                Url=ISSUER, ClientIDList=list(client_ids), ThumbprintList=["a" * 40]
            )
        return f"arn:aws:iam::{account.account}:oidc-provider/{ISSUER.removeprefix('https://')}"

    def trust(self, **changes: Any) -> dict[str, Any]:
        """The trust policy of the guide, with `changes` to its only statement."""
        key = ISSUER.removeprefix("https://")
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{key}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{key}:aud": "sts.amazonaws.com", f"{key}:sub": SUBJECT}},
            **changes,
        }
        return {"Version": "2012-10-17", "Statement": [statement]}

    def role(self, trust: Any = None, **options: Any) -> str:
        """Create a role of the account with a name of its own; gives its ARN."""
        self.provider()
        document = trust if isinstance(trust, str) else json.dumps(trust or self.trust())
        created = self.client("iam").create_role(
            RoleName=self.unique("role"), AssumeRolePolicyDocument=document, **options
        )
        return str(created["Role"]["Arn"])

    def token(self, key: rsa.RSAPrivateKey | None = None, kid: str = "current", **claims: Any) -> str:
        """A service account's token, with `claims` changed; None removes a claim."""
        now = int(time.time())
        content = {
            "iss": ISSUER,
            "sub": SUBJECT,
            "aud": ["sts.amazonaws.com"],
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            **claims,
        }
        present = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(present, key or self.key, algorithm="RS256", headers={"kid": kid})

    def assume(self, role: str, token: str | None = None, **options: Any) -> Any:
        """Call AssumeRoleWithWebIdentity as an AWS SDK does; gives the whole answer."""
        sts = self.client("sts", {}, signature_version=botocore.UNSIGNED)
        return sts.assume_role_with_web_identity(
            RoleArn=role,
            RoleSessionName="session-1",
            WebIdentityToken=self.token() if token is None else token,
            **options,
        )

    def session(self, role: str | None = None) -> dict[str, str]:
        """Credentials of a new role session."""
        return dict(self.assume(role or self.role())["Credentials"])

    # Teleport

    def teleport_request(
        self, keys: dict[str, str], host: str = "sts.us-east-1.amazonaws.com", **options: Any
    ) -> dict[str, str]:
        """The headers of GetCallerIdentity as a Teleport agent signs them."""
        headers = {
            "Accept": "application/json",
            "Content-Length": str(len(IDENTITY_BODY)),
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "Host": host,
            "X-Teleport-Challenge": "rpKyPxsgrqyzBIXw9NFSsJxTcGGHDmMPfBsFBnFPcJY",
        }
        return sign(keys, host, {**headers, **options.pop("headers", {})}, **options)

    def call(self, role: str, after: int = 0) -> list[dict[str, Any]]:
        """The log's records of a role, given by name or ARN."""
        name = role.rpartition("/")[2]
        answer = self.control("GET", f"/calls?{urlencode({'after': after, 'role': name})}")
        return list(answer.json["calls"])

    def last_call(self) -> dict[str, Any]:
        return dict(self.control("GET", "/calls").json["calls"][-1])


def sign(
    keys: dict[str, str],
    host: str,
    headers: dict[str, str],
    *,
    body: bytes = IDENTITY_BODY,
    region: str = "us-east-1",
    service: str = "sts",
    moved: float = 0.0,
    target: str = "/",
    method: str = "POST",
) -> dict[str, str]:
    """Sign with botocore, by a clock that is `moved` seconds off; gives the headers to send."""
    request = AWSRequest(method, f"https://{host}{target}", data=body, headers=headers)
    credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys.get("SessionToken"))
    # What add_auth does, by another clock.
    signer: Any = SigV4Auth(credentials, service, region)
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=moved)
    request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    return dict(request.headers.items())


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The shared gateway; tests keep apart by role names of their own."""
    folder = tmp_path_factory.mktemp("gateway")
    authority, key = trustme.CA(), rsa_key()
    (folder / "jwks.json").write_text(jwks({"current": key}))
    charts = folder / "charts"
    charts.mkdir()
    (charts / "index.yaml").write_text("apiVersion: v1\nentries: {}\n")
    (charts / "chart-1.0.0.tgz").write_bytes(b"\x1f\x8b not really")
    (folder / "outside.yaml").write_text("outside")
    backend = start_program(
        folder,
        "simulators.aws.backend",
        "--ready",
        str(folder / "backend.json"),
        ready=folder / "backend.json",
    )
    with contextlib.ExitStack() as stack:
        stack.callback(backend.stop)
        config = write_config(folder, backend.ready["url"], authority)
        gateway = start_program(folder, "simulators.aws", str(config), ready=folder / "gateway.json")
        stack.callback(gateway.stop)
        lab = Lab(folder, gateway, backend, authority, key)
        stack.callback(lab.close)
        yield lab


@pytest.fixture(scope="session")
def start() -> Callable[..., Program]:
    """`start_program`, for tests that want a process of their own."""
    return start_program


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """`write_config`, for tests that want a configuration of their own."""
    return write_config


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's AWS settings and proxies out of the clients."""
    for name in [name for name in os.environ if name.upper().startswith("AWS_") or "PROXY" in name.upper()]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture
def session_role(lab: Lab) -> tuple[str, dict[str, str]]:
    """A role of the test's own and credentials of a session of it."""
    role = lab.role()
    return role, lab.session(role)
