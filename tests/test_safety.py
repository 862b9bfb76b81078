"""In the lab nothing of the user's is used or changed, and the real AWS is never reached.

The user here has everything that could lead astray: profiles and keys, kubeconfigs, sessions, proxies, in
files and variables. The real clients run in the environment that the workstation gives them, before the
real gateway.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import secrets
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.credentials
import botocore.exceptions
import botocore.parsers
import jwt
import psutil
import pytest

from harness.adapters import clients, daemons, processes, simulators
from harness.adapters.aws import Clients
from harness.adapters.certificates import Authority, SigningKey, signing_key
from harness.adapters.workstation import client_environment, install_programs
from harness.core.ledger import Ledger
from harness.core.recording import Recorder, recording
from harness.core.redaction import redactor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.environment import Completed

ACCOUNT = "424242424242"
REGION = "eu-west-1"
ISSUER = f"https://oidc.eks.{REGION}.amazonaws.com/id/{'A' * 32}"
KEY_ID, SECRET = "AKIASAFETY0000000001", "safety-administrator-secret-0123456789"
METADATA = "169.254.169.254"
"""Where clouds, AWS among them, tell a machine who it is."""

SUBJECT = "system:serviceaccount:agents:agent"

SENTINEL = "USERS-OWN"
"""In every file and variable of the user's; nothing that the suite starts may ever have seen it."""

USERS_FILES = {
    ".aws/credentials": f"[default]\naws_access_key_id={SENTINEL}\naws_secret_access_key={SENTINEL}\n"
    f"[{SENTINEL}]\naws_access_key_id={SENTINEL}\naws_secret_access_key={SENTINEL}\n",
    ".aws/config": f"[default]\nregion=us-west-2\nendpoint_url=https://{SENTINEL}.example.com\n",
    ".kube/config": f"apiVersion: v1\nkind: Config\ncurrent-context: {SENTINEL}\n",
    ".tsh/current-profile": SENTINEL,
    ".config/helm/repositories.yaml": f"repositories: [{{name: {SENTINEL}, url: https://{SENTINEL}}}]\n",
    ".netrc": f"machine sts.amazonaws.com login {SENTINEL} password {SENTINEL}\n",
}
USERS_VARIABLES = {
    "AWS_ACCESS_KEY_ID": SENTINEL,
    "AWS_SECRET_ACCESS_KEY": SENTINEL,
    "AWS_SESSION_TOKEN": SENTINEL,
    "AWS_PROFILE": f"{SENTINEL}-of-no-file",
    "AWS_REGION": "us-west-2",
    "AWS_CA_BUNDLE": f"/{SENTINEL}/ca.pem",
    "AWS_ENDPOINT_URL": f"https://{SENTINEL}.example.com",
    "AWS_ROLE_ARN": SENTINEL,
    "AWS_WEB_IDENTITY_TOKEN_FILE": f"/{SENTINEL}",
    "KUBECONFIG": f"/{SENTINEL}/config",
    "HELM_REPOSITORY_CONFIG": f"/{SENTINEL}/repositories.yaml",
    "HELM_NAMESPACE": SENTINEL,
    "TELEPORT_HOME": f"/{SENTINEL}/tsh",
    "TELEPORT_PROXY": f"{SENTINEL}.example.com",
    "HTTP_PROXY": f"http://{SENTINEL}.example.com:3128",
    "http_proxy": f"http://{SENTINEL}.example.com:3128",
    "HTTPS_PROXY": f"http://{SENTINEL}.example.com:3128",
    "https_proxy": f"http://{SENTINEL}.example.com:3128",
    "NO_PROXY": f"amazonaws.com,{SENTINEL}",
    "no_proxy": f"amazonaws.com,{SENTINEL}",
    "SSL_CERT_FILE": f"/{SENTINEL}/ca.pem",
    "REQUESTS_CA_BUNDLE": f"/{SENTINEL}/ca.pem",
    "PYTHONSTARTUP": f"/{SENTINEL}.py",
    "MY_TOKEN": SENTINEL,
}


class ApiServer(http.server.BaseHTTPRequestHandler):
    """Answers every request and notes it; only the run's own kubeconfig leads here."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        body = b'{"major": "1", "minor": "32"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


@dataclass
class Lab:
    """Gateway, moto and workstation of a run, and the user whose machine it is."""

    user: Path
    run_id: str
    folder: Path
    authority: Authority
    signing: SigningKey
    addresses: dict[str, str]
    env: dict[str, str]
    asked: list[str] = field(default_factory=list)

    def run(self, *argv: str) -> Completed:
        return processes.run(argv, env=self.env, cwd=Path(self.env["HOME"]))

    def services_env(self) -> dict[str, str]:
        """The environment of the run's Teleport and of its pods, as the lab makes it."""
        network = simulators.network_environment(self.addresses["proxy"], self.authority.pair.certificate)
        return processes.base_environment(Path(self.env["HOME"]), self.run_id) | network

    def calls(self) -> list[dict[str, Any]]:
        text = (self.folder / "aws" / "calls.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def aws(self) -> Clients:
        ca = self.authority.pair.certificate
        proxy = self.addresses["proxy"]
        return Clients(proxy=proxy, ca_file=ca, key_id=KEY_ID, secret=SECRET, region=REGION)


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's home, with all their variables in this very process."""
    home = tmp_path_factory.mktemp("user")
    for name, content in USERS_FILES.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name, value in USERS_VARIABLES.items():
            patch.setenv(name, value)
        yield home


@pytest.fixture(scope="module")
def api_server() -> Iterator[tuple[str, list[str]]]:
    handler = type("Handler", (ApiServer,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler.seen  # type: ignore[attr-defined]  # made above
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def lab(
    user: Path, api_server: tuple[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("run")
    keys, home, charts = folder / "keys", folder / "homes" / "services", folder / "charts"
    for each in (keys, home, charts):
        each.mkdir(parents=True)
    (charts / "index.yaml").write_text("apiVersion: v1\nentries: {}\n")
    kubeconfig = folder / "admin.kubeconfig"
    cluster = {"name": "run", "cluster": {"server": api_server[0]}}
    context = {"name": "run", "context": {"cluster": "run", "user": ""}}
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "run",
                "clusters": [cluster],
                "contexts": [context],
            }
        )
    )
    authority, signing = Authority(keys), signing_key(keys)
    run = secrets.token_hex(3)
    bin_ = Path(sys.executable).parent
    programs = install_programs(
        folder / "bin",
        {
            "aws": f'#!/bin/sh\nexec "{bin_}/aws" "$@"\n',
            "kubectl": bin_ / "kubectl",
            "helm": f'#!/bin/sh\nexec "{sys.executable}" -I "{clients.HELM_COMMAND}" "$@"\n',
        },
    )
    proxy = f"127.0.0.1:{daemons.free_port()}"
    try:
        addresses = simulators.start_gateway(
            folder / "aws",
            run=run,
            env=processes.base_environment(home, run),
            ledger=Ledger(folder / "ledger.jsonl"),
            authority=authority.pair,
            configuration={
                "proxy": proxy,
                "account": ACCOUNT,
                "key_id": KEY_ID,
                "secret": SECRET,
                "region": REGION,
                "issuer": ISSUER,
                "jwks": str(signing.jwks),
                "cluster": "kube-cluster",
                "routes": {},
                "charts": str(charts),
                "kubeconfig": str(kubeconfig),
            },
        )
        env = client_environment(
            folder / "homes" / "reader",
            run=run,
            programs=programs,
            proxy=proxy,
            ca_file=authority.pair.certificate,
            region=REGION,
            key_id=KEY_ID,
            secret=SECRET,
            kubeconfig=kubeconfig,
        )
        yield Lab(user, run, folder, authority, signing, addresses, env, api_server[1])
    finally:
        assert daemons.stop_all(run) == []


def succeeded(completed: Completed) -> str:
    assert completed.exit_code == 0, completed.stderr
    return completed.stdout


# The clients


def test_the_clients_use_the_runs_own_things_and_leave_the_users_alone(lab: Lab) -> None:
    before = files_below(lab.user)
    assert set(before) == set(USERS_FILES)
    identity = json.loads(succeeded(lab.run("aws", "sts", "get-caller-identity")))
    assert identity["Account"] == ACCOUNT
    succeeded(lab.run("kubectl", "get", "--raw", "/version"))
    assert lab.asked == ["/version"]
    succeeded(lab.run("helm", "repo", "add", "teleport", "https://charts.releases.teleport.dev"))
    assert any(call["host"] == "charts.releases.teleport.dev" for call in lab.calls())
    assert files_below(lab.user) == before
    assert b"charts.releases.teleport.dev" in (Path(lab.env["HELM_REPOSITORY_CONFIG"]).read_bytes())
    written = {name: data for name, data in files_below(lab.folder).items() if SENTINEL.encode() in data}
    assert written == {}


def test_a_client_sees_nothing_of_the_users(lab: Lab) -> None:
    assert SENTINEL in "".join(os.environ.values())  # what it could have seen
    seen = succeeded(lab.run("env"))
    assert SENTINEL not in seen
    assert str(lab.user) not in seen
    variables = dict(line.split("=", 1) for line in seen.splitlines())
    for name in (
        "HOME",
        "TELEPORT_HOME",
        "KUBECONFIG",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "HELM_CACHE_HOME",
        "HELM_CONFIG_HOME",
        "HELM_DATA_HOME",
        "HELM_REPOSITORY_CONFIG",
        "SSL_CERT_FILE",
    ):
        assert variables[name].startswith(str(lab.folder)), name
    assert not {"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_CA_BUNDLE"} & set(variables)
    # All that speaks of a proxy; a client that reads another spelling finds nothing of the user's either.
    assert {name: value for name, value in variables.items() if name.lower().endswith("_proxy")} == {
        "HTTPS_PROXY": f"http://{lab.addresses['proxy']}",
        "HTTP_PROXY": f"http://{lab.addresses['proxy']}",
        "NO_PROXY": "127.0.0.1,localhost",
    }


# The processes of a run


def test_no_process_of_the_run_has_anything_of_the_users(lab: Lab) -> None:
    found = daemons.marked(lab.run_id)
    assert len(found) >= 2  # gateway and moto
    for process in found:
        seen = "\n".join(f"{name}={value}" for name, value in process.environ().items())
        assert SENTINEL not in seen
        assert str(lab.user) not in seen
        assert process.environ()["HOME"].startswith(str(lab.folder))


def test_nothing_listens_beyond_loopback(lab: Lab) -> None:
    listening = [
        connection.laddr.ip
        for process in daemons.marked(lab.run_id)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 6  # moto and the gateway's five
    assert set(listening) == {"127.0.0.1"}


def test_no_secret_is_in_an_argv(lab: Lab) -> None:
    argvs = [" ".join(process.cmdline()) for process in daemons.marked(lab.run_id)]
    assert argvs
    assert not [argv for argv in argvs if SECRET in argv]


# The world outside


@pytest.mark.usefixtures("sealed")
def test_a_service_that_the_gateway_does_not_serve_is_refused(lab: Lab) -> None:
    completed = lab.run("aws", "s3api", "list-buckets")
    assert completed.exit_code != 0
    with pytest.raises(botocore.parsers.ResponseParserError, match="is not served here"):
        lab.aws().client("ec2").describe_instances()
    refused = {call["host"] for call in lab.calls() if call["verdict"] == "refused"}
    assert f"s3.{REGION}.amazonaws.com" in refused
    assert f"ec2.{REGION}.amazonaws.com" in refused


@pytest.mark.parametrize(
    "host", ["example.com", "teleport.dev", "sts.amazonaws.com.example.com", "127.0.0.1"]
)
def test_any_other_host_is_refused(lab: Lab, host: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"https": lab.env["HTTPS_PROXY"]}))
    with pytest.raises(urllib.error.URLError, match="403 Forbidden"):
        opener.open(f"https://{host}/", timeout=10)
    last = lab.calls()[-1]
    assert (last["host"], last["verdict"], last["service"]) == (host, "refused", "proxy")


PLAIN_REQUEST = """
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=10).close()
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode(), end="")
    error.close()
"""


@pytest.mark.parametrize("child", ["client", "Teleport"])
@pytest.mark.parametrize(
    "url", [f"http://{METADATA}/latest/api/token", "http://example.com/", "http://[::1]:9/"]
)
def test_a_request_in_plain_http_is_refused_too(lab: Lab, child: str, url: str) -> None:
    before = len(lab.calls())
    completed = processes.run(
        [sys.executable, "-IS", "-c", PLAIN_REQUEST, url],
        env=lab.env if child == "client" else lab.services_env(),
        cwd=Path(lab.env["HOME"]),
    )
    assert completed.stdout == "403 The AWS gateway refuses this: only CONNECT is served.\n", completed.stderr
    [call] = lab.calls()[before:]
    assert (call["service"], call["verdict"], call["action"]) == ("proxy", "refused", "GET")


def test_the_runs_own_addresses_are_reached_without_the_proxy(lab: Lab) -> None:
    before = len(lab.calls())
    for env in (lab.env, lab.services_env()):
        completed = processes.run(
            [sys.executable, "-IS", "-c", PLAIN_REQUEST, f"http://{lab.addresses['metadata']}/latest/"],
            env=env,
            cwd=Path(lab.env["HOME"]),
        )
        assert completed.stdout.startswith("404"), completed.stdout + completed.stderr
    assert not [call for call in lab.calls()[before:] if call["service"] == "proxy"]


def test_no_node_identity_without_a_grant(lab: Lab) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path in ("none/latest/meta-data/iam/security-credentials/", "latest/meta-data/"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(f"http://{lab.addresses['metadata']}/{path}", timeout=10)
        refused.value.close()
        assert refused.value.code == 404


# The harness's own process


@pytest.fixture
def sealed(user: Path) -> Iterator[None]:
    """This process as the command makes it, before it does anything."""
    before = dict(os.environ)
    processes.seal(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("sealed")
def test_the_harness_itself_finds_none_of_the_users_set_up(lab: Lab) -> None:
    own = {name for name, value in os.environ.items() if SENTINEL in value}
    assert own == {"MY_TOKEN"}  # which no library looks for
    assert boto3.session.Session().get_credentials() is None
    assert lab.aws().client("sts").get_caller_identity()["Account"] == ACCOUNT


def test_unsealed_it_would_find_it(lab: Lab) -> None:
    with pytest.raises(botocore.exceptions.ProfileNotFound):
        boto3.client("sts", region_name=REGION)
    found = botocore.credentials.EnvProvider().load()
    assert found
    assert found.access_key == SENTINEL


# What a run leaves behind


def service_account_token(lab: Lab) -> str:
    kid = json.loads(lab.signing.jwks.read_text())["keys"][0]["kid"]
    claims = {"iss": ISSUER, "sub": SUBJECT, "aud": ["sts.amazonaws.com"], "iat": 1, "exp": 4102444800}
    return jwt.encode(claims, lab.signing.private.read_text(), algorithm="RS256", headers={"kid": kid})


def make_role(lab: Lab) -> str:
    iam = lab.aws().client("iam")
    iam.create_open_id_connect_provider(
        Url=ISSUER, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40]
    )
    provider = ISSUER.removeprefix("https://")
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{provider}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{provider}:sub": SUBJECT, f"{provider}:aud": "sts.amazonaws.com"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return str(iam.create_role(RoleName="agent", AssumeRolePolicyDocument=policy)["Role"]["Arn"])


@pytest.mark.usefixtures("sealed")
def test_no_secret_is_in_evidence_or_logs(lab: Lab, tmp_path: Path) -> None:
    redactor.register(SECRET)
    token_file = Path(lab.env["HOME"]) / "token"
    token_file.write_text(service_account_token(lab))
    assume = (
        "aws sts assume-role-with-web-identity --role-session-name safety --no-sign-request "
        f"--role-arn {make_role(lab)} --web-identity-token file://{token_file}"
    )
    with recording(Recorder(tmp_path / "evidence", "s")):
        answer = json.loads(succeeded(lab.run("sh", "-c", assume)))["Credentials"]
        for path in (lab.env["AWS_SHARED_CREDENTIALS_FILE"], lab.authority.pair.key, token_file):
            succeeded(lab.run("cat", str(path)))
        succeeded(lab.run("env"))
    left = files_below(tmp_path / "evidence")
    assert len([name for name in left if name.startswith("00")]) == 5
    key = "".join(lab.authority.pair.key.read_text().splitlines()[1:-1])
    told = {
        "administrator": SECRET,
        "secret key": answer["SecretAccessKey"],
        "session token": answer["SessionToken"],
        "private key": key[10:60],
        "service account token": token_file.read_text().rpartition(".")[2],
    }
    # The private key's lines are broken in its file.
    gone = {name: data.replace(b"\\n", b"").replace(b"\n", b"") for name, data in left.items()}
    logs = {
        name: data for name, data in files_below(lab.folder / "aws").items() if "gateway.json" not in name
    }
    assert "calls.jsonl" in logs
    for what, secret in told.items():
        for form in (secret.encode(), base64.b64encode(secret.encode())):
            assert not [name for name, data in {**gone, **logs}.items() if form in data], what


def test_files_with_secrets_are_the_users_alone(lab: Lab) -> None:
    holding = [
        path for path in lab.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert {path.name for path in holding} == {"gateway.json", "credentials"}
    keys = [path for path in lab.folder.rglob("*.key") if path.is_file()]
    assert keys
    assert not [path for path in (*holding, *keys) if path.stat().st_mode & 0o077]
