"""The control plane's adapter against programs that take its place: good ones, and ones that fail."""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from harness.adapters import control_plane, daemons
from harness.adapters.certificates import Authority, SigningKey, signing_key
from harness.core.errors import EnvironmentBroken, MissingComponents
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.core.ledger import Ledger

ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/TEST"

NOTE = """
import json, os, sys, time
name = os.path.basename(sys.argv[0])
with open(name + ".argv", "w") as file:
    json.dump(sys.argv[1:], file)
with open(name + ".env", "w") as file:
    json.dump(dict(os.environ), file)
"""
LASTING = NOTE + "print(name, 'is up', flush=True)\ntime.sleep(60)\n"
SERVING = (
    NOTE
    + """
import http.server, ssl
options = dict(argument[2:].split("=", 1) for argument in sys.argv[1:] if "=" in argument)

class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        Handler.asked += 1
        # A real one is not ready at first.
        ready = Handler.asked > 2
        answers = {"/readyz": "ok" if ready else "[-]etcd failed", "/version": %r}
        self.send_response(200 if ready else 500)
        self.end_headers()
        self.wfile.write(answers[self.path].encode())

    def log_message(self, *_):
        pass

try:
    server = http.server.HTTPServer((options["bind-address"], int(options["secure-port"])), Handler)
except OSError as error:
    sys.exit(f"failed to create listener: {error}")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(options["tls-cert-file"], options["tls-private-key-file"])
context.load_verify_locations(options["client-ca-file"])
context.verify_mode = ssl.CERT_REQUIRED
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
)
VERSION = '{"gitVersion": "v1.32.2"}'


class Plane:
    """A folder of programs, and what starts them."""

    def __init__(
        self, tmp_path: Path, authority: Authority, signing: SigningKey, make: Callable[..., Path]
    ) -> None:
        self.programs = tmp_path / "programs"
        self.folder = tmp_path / "kubernetes"
        self.authority = authority
        self.make = make
        self.signing = signing
        self.replace("etcd", LASTING)
        self.replace("kube-apiserver", SERVING % VERSION)
        self.replace("kube-controller-manager", LASTING)

    def replace(self, name: str, text: str) -> None:
        self.make(self.programs, name, text)

    def start(self, env: dict[str, str], ledger: Ledger) -> control_plane.ControlPlane:
        return control_plane.start(
            self.programs,
            self.folder,
            authority=self.authority,
            signing=self.signing,
            issuer=ISSUER,
            env=env,
            ledger=ledger,
        )

    def noted(self, name: str) -> Any:
        """What a program wrote down about its own start."""
        file = self.folder / name
        text = eventually(
            lambda: file.read_text() if file.exists() else "",
            lambda seen: seen.endswith(("]", "}")),
            expected=f"{name} to be noted",
            within=10,
            interval=0.01,
        )
        return json.loads(text)

    def arguments(self, name: str) -> dict[str, str]:
        """The options that a program was given; those without a value are `true`."""
        argv: list[str] = self.noted(f"{name}.argv")
        return {
            option.removeprefix("--"): value or "true"
            for option, _, value in (argument.partition("=") for argument in argv)
        }


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return signing_key(tmp_path_factory.mktemp("signing"))


@pytest.fixture
def plane(tmp_path: Path, authority: Authority, signing: SigningKey, program: Callable[..., Path]) -> Plane:
    return Plane(tmp_path, authority, signing, program)


def test_three_programs_that_are_there_are_enough(plane: Plane) -> None:
    control_plane.require_programs(plane.programs)


def test_a_folder_as_envtest_has_it_lacks_the_controller_manager(plane: Plane) -> None:
    (plane.programs / "kube-controller-manager").unlink()
    with pytest.raises(MissingComponents, match="no kube-controller-manager there") as caught:
        control_plane.require_programs(plane.programs)
    assert "kube-apiserver there" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_folder_that_is_not_there_lacks_all_three(tmp_path: Path) -> None:
    with pytest.raises(
        MissingComponents, match="no etcd and no kube-apiserver and no kube-controller-manager"
    ):
        control_plane.require_programs(tmp_path / "nowhere")


def test_it_starts_and_tells_what_the_running_server_says(
    plane: Plane, env: dict[str, str], ledger: Ledger, run_id: str
) -> None:
    started = plane.start(env, ledger)
    assert started.version == "v1.32.2"
    assert started.audit_log == plane.folder / "audit.log"
    assert [entry.what["name"] for entry in reversed(ledger.open_entries())] == [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
    ]
    assert len(daemons.marked(run_id)) == 3
    for name in control_plane.PROGRAMS:
        # A shell or Python may add what it sets for itself.
        added = plane.noted(f"{name}.env").items() - env.items()
        assert {variable for variable, _ in added} <= {"LC_CTYPE", "PWD", "SHLVL", "_"}


def test_everything_is_on_loopback(plane: Plane, env: dict[str, str], ledger: Ledger, run_id: str) -> None:
    started = plane.start(env, ledger)
    etcd, api = plane.arguments("etcd"), plane.arguments("kube-apiserver")
    for option in (
        "listen-client-urls",
        "advertise-client-urls",
        "listen-peer-urls",
        "initial-advertise-peer-urls",
    ):
        assert etcd[option].startswith("http://127.0.0.1:")
    assert etcd["data-dir"].startswith(str(plane.folder))
    assert api["etcd-servers"] == etcd["listen-client-urls"]
    assert api["bind-address"] == api["advertise-address"] == "127.0.0.1"
    assert started.server == f"https://127.0.0.1:{api['secure-port']}"
    listening = {
        connection.laddr.ip
        for process in daemons.marked(run_id)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_the_api_server_is_the_oracle_and_the_issuer_that_the_suite_needs(
    plane: Plane, env: dict[str, str], ledger: Ledger
) -> None:
    plane.start(env, ledger)
    api = plane.arguments("kube-apiserver")
    assert api["audit-log-path"] == str(plane.folder / "audit.log")
    policy = yaml.safe_load((plane.folder / "audit-policy.yaml").read_text())
    # Metadata of every request: less would blind the oracle, more would put Secrets into a file.
    assert policy["rules"] == [{"level": "Metadata"}]
    assert api["service-account-issuer"] == ISSUER
    assert ISSUER in api["api-audiences"].split(",")
    assert api["service-account-signing-key-file"] == str(plane.signing.private)
    assert api["service-account-key-file"] == str(plane.signing.public)
    # RBAC as it is: nothing that lets everyone in.
    assert set(api["authorization-mode"].split(",")) == {"Node", "RBAC"}
    assert "anonymous-auth" not in api
    assert "insecure-port" not in api


def test_the_controller_manager_makes_tokens_and_acts_as_itself(
    plane: Plane, env: dict[str, str], ledger: Ledger
) -> None:
    plane.start(env, ledger)
    options = plane.arguments("kube-controller-manager")
    assert options["bind-address"] == "127.0.0.1"
    assert options["use-service-account-credentials"] == "true"
    assert options["service-account-private-key-file"] == str(plane.signing.private)


def test_a_kubeconfig_leads_to_the_server_and_is_the_users_alone(
    plane: Plane, env: dict[str, str], ledger: Ledger
) -> None:
    started = plane.start(env, ledger)
    for path in (started.kubeconfig, started.kubelet_kubeconfig):
        assert path.stat().st_mode & 0o077 == 0
        document = json.loads(path.read_text())
        assert document["clusters"][0]["cluster"]["server"] == started.server
        user = document["users"][0]["user"]
        context = ssl.create_default_context(cafile=str(plane.authority.pair.certificate))
        context.load_cert_chain(user["client-certificate"], user["client-key"])


@pytest.mark.parametrize("victim", ["etcd", "kube-apiserver"])
def test_one_that_dies_is_told_at_once_with_its_last_words(
    plane: Plane, env: dict[str, str], ledger: Ledger, victim: str
) -> None:
    # An API server without etcd lives and never gets ready.
    plane.replace("kube-apiserver", LASTING)
    plane.replace(victim, "#!/bin/sh\necho 'panic: corrupted data' >&2\nexit 2\n")
    began = time.monotonic()
    with pytest.raises(EnvironmentBroken, match="panic: corrupted data") as caught:
        plane.start(env, ledger)
    assert time.monotonic() - began < 5 < control_plane.READY_SECONDS
    assert caught.value.expected == f"{victim} to keep running"
    assert "exit status 2" in caught.value.seen


def test_one_that_hangs_is_told_when_its_time_is_over(
    plane: Plane, env: dict[str, str], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_plane, "READY_SECONDS", 1.2)
    plane.replace("kube-apiserver", LASTING)
    with pytest.raises(EnvironmentBroken, match="kube-apiserver runs and does not answer") as caught:
        plane.start(env, ledger)
    assert "kube-apiserver is up" in caught.value.seen
    assert caught.value.expected == "kube-apiserver ready within 1.2 s"


def test_one_that_never_gets_ready_is_not_taken_for_ready(
    plane: Plane, env: dict[str, str], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_plane, "READY_SECONDS", 0.8)
    plane.replace("kube-apiserver", (SERVING % VERSION).replace("asked > 2", "asked > 9999"))
    with pytest.raises(EnvironmentBroken, match="kube-apiserver ready within"):
        plane.start(env, ledger)


def test_a_port_that_is_taken_is_told(
    plane: Plane, env: dict[str, str], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(daemons, "free_port", lambda: taken.getsockname()[1])
        with pytest.raises(EnvironmentBroken, match="Address already in use") as caught:
            plane.start(env, ledger)
    assert caught.value.expected == "kube-apiserver to keep running"


@pytest.mark.parametrize("answer", ["not JSON", "{}", "[]", ""])
def test_a_server_that_tells_no_version_is_not_taken_for_kubernetes(
    plane: Plane, env: dict[str, str], ledger: Ledger, answer: str
) -> None:
    plane.replace("kube-apiserver", SERVING % answer)
    with pytest.raises(EnvironmentBroken, match="/version to tell the version of kube-apiserver"):
        plane.start(env, ledger)


def test_a_program_that_may_not_run_is_told(plane: Plane, env: dict[str, str], ledger: Ledger) -> None:
    (plane.programs / "kube-apiserver").chmod(0o644)
    with pytest.raises(EnvironmentBroken, match="Permission denied"):
        plane.start(env, ledger)
