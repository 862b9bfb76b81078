"""Starting the simulators: what they are told, and what the user is told when one does not start."""

from __future__ import annotations

import base64
import json
import socket
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import daemons, simulators
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.adapters.certificates import Authority
    from harness.core.ledger import Ledger
    from tests.harness.adapters.conftest import AWS

READY = """
import json, os, sys, time
document = json.load(open(sys.argv[3]))
with open(document["ready"] + ".new", "w") as ready:
    json.dump({"argv": sys.argv[1:], "env": dict(os.environ)}, ready)
os.rename(document["ready"] + ".new", document["ready"])
time.sleep(60)
"""
DEAD = "#!/bin/sh\necho 'unshare: operation not permitted' >&2\nexit 1\n"


def test_the_gateway_tells_where_it_listens_and_only_on_loopback(aws: AWS) -> None:
    assert aws.addresses.keys() == {"proxy", "https", "control", "metadata", "webhook"}
    assert all(address.startswith("127.0.0.1:") for address in aws.addresses.values())
    assert len(set(aws.addresses.values())) == 5
    with urllib.request.urlopen(f"http://{aws.addresses['control']}/calls", timeout=5) as answer:  # loopback
        assert "calls" in json.load(answer)
    assert [entry.what["name"] for entry in reversed(aws.ledger.open_entries())] == [
        "simulators.aws.backend",
        "simulators.aws",
    ]


def test_the_gateways_secrets_are_in_a_file_of_the_users_alone(aws: AWS) -> None:
    configuration = aws.folder / "gateway" / "gateway.json"
    assert configuration.stat().st_mode & 0o077 == 0
    assert aws.secret in configuration.read_text()
    for log in (aws.folder / "gateway").glob("*.log"):
        assert aws.secret not in log.read_text()
    run = str(aws.ledger.open_entries()[0].what["run"])
    assert all(aws.secret not in " ".join(process.cmdline()) for process in daemons.marked(run))


def test_a_port_that_is_taken_is_told_at_once(
    *,
    aws: AWS,
    configure: Callable[..., dict[str, Any]],
    tmp_path: Path,
    env: dict[str, str],
    run_id: str,
    ledger: Ledger,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(
            EnvironmentBroken, match=r"address already in use|Address already in use"
        ) as caught:
            simulators.start_gateway(
                tmp_path / "gateway",
                run=run_id,
                env=env,
                ledger=ledger,
                authority=aws.authority.pair,
                configuration=configure(aws, proxy=address),
            )
    assert time.monotonic() - began < 20 < simulators.START_SECONDS
    assert caught.value.expected == "simulators.aws to keep running"


class TestKubelet:
    """The kubelet, by a program in its place."""

    def start(
        self, tmp_path: Path, env: dict[str, str], run_id: str, ledger: Ledger, authority: Authority
    ) -> Path:
        folder = tmp_path / "kubelet"
        simulators.start_kubelet(
            folder,
            run=run_id,
            env=env,
            ledger=ledger,
            authority=authority,
            kubeconfig=tmp_path / "kubelet.kubeconfig",
            images=[{"name": "*teleport*", "entrypoint": ["teleport"], "path": "programs"}],
            environment={"HTTPS_PROXY": "http://127.0.0.1:1"},
        )
        return folder

    def test_it_is_told_what_it_needs_by_file(
        self,
        *,
        tmp_path: Path,
        env: dict[str, str],
        run_id: str,
        ledger: Ledger,
        authority: Authority,
        program: Callable[..., Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(self.python(tmp_path, program, READY)))
        folder = self.start(tmp_path, env, run_id, ledger, authority)
        told = json.loads((folder / "kubelet.json").read_text())
        assert (told["run"], told["node"]) == (run_id, "lab-node")
        assert told["listen"] == "127.0.0.1:0"
        assert told["isolation"] == "mount-namespace"
        assert told["environment"] == {"HTTPS_PROXY": "http://127.0.0.1:1"}
        assert told["client_ca"] == str(authority.pair.certificate)
        ready = json.loads((folder / "kubelet.ready").read_text())
        assert ready["argv"] == ["-m", "simulators.kubelet", str(folder / "kubelet.json")]
        # What the node adds to containers is not the kubelet's own environment.
        assert "HTTPS_PROXY" not in ready["env"]

    def test_one_that_dies_is_told_with_its_last_words(
        self,
        *,
        tmp_path: Path,
        env: dict[str, str],
        run_id: str,
        ledger: Ledger,
        authority: Authority,
        program: Callable[..., Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(self.python(tmp_path, program, DEAD)))
        with pytest.raises(EnvironmentBroken, match="unshare: operation not permitted"):
            self.start(tmp_path, env, run_id, ledger, authority)

    def test_one_that_hangs_is_told_when_its_time_is_over(
        self,
        *,
        tmp_path: Path,
        env: dict[str, str],
        run_id: str,
        ledger: Ledger,
        authority: Authority,
        program: Callable[..., Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        hanging = self.python(tmp_path, program, "#!/bin/sh\necho waiting for the API\nexec sleep 60\n")
        monkeypatch.setattr(sys, "executable", str(hanging))
        monkeypatch.setattr(simulators, "START_SECONDS", 0.3)
        with pytest.raises(EnvironmentBroken, match="runs and does not answer") as caught:
            self.start(tmp_path, env, run_id, ledger, authority)
        assert caught.value.expected == "simulators.kubelet ready within 0.3 s"

    def python(self, tmp_path: Path, program: Callable[..., Path], text: str) -> Path:
        return program(tmp_path / "bin", "python", text)


class TestIsolation:
    """The check that pods can have namespaces."""

    def test_a_machine_that_lets_them_passes(
        self,
        tmp_path: Path,
        env: dict[str, str],
        program: Callable[..., Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        text = '#!/bin/sh\n[ "$*" = "-m simulators.kubelet --check" ]\n'
        monkeypatch.setattr(sys, "executable", str(program(tmp_path / "bin", "python", text)))
        simulators.check_isolation(env=env)

    def test_one_that_does_not_is_told_in_the_kubelets_words(
        self,
        tmp_path: Path,
        env: dict[str, str],
        program: Callable[..., Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(program(tmp_path / "bin", "python", DEAD)))
        with pytest.raises(EnvironmentBroken, match="mount namespaces for the lab's pods") as caught:
            simulators.check_isolation(env=env)
        assert caught.value.seen == "unshare: operation not permitted"


def test_the_network_of_a_child_is_the_gateway_and_the_runs_authority_alone(tmp_path: Path) -> None:
    assert simulators.network_environment("127.0.0.1:9", tmp_path / "ca.pem") == {
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_the_webhook_fails_closed_and_spares_the_system(authority: Authority) -> None:
    made = simulators.webhook_configuration("127.0.0.1:1234", authority.pair.certificate)
    (webhook,) = made["webhooks"]
    assert made["kind"] == "MutatingWebhookConfiguration"
    assert webhook["failurePolicy"] == "Fail"
    assert webhook["sideEffects"] == "None"
    assert webhook["clientConfig"]["url"] == "https://127.0.0.1:1234/mutate"
    assert base64.b64decode(webhook["clientConfig"]["caBundle"]) == authority.pair.certificate.read_bytes()
    assert webhook["rules"] == [
        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    ]
    (spared,) = webhook["namespaceSelector"]["matchExpressions"]
    assert (spared["operator"], spared["values"]) == ("NotIn", ["kube-system"])
    (opted_out,) = webhook["objectSelector"]["matchExpressions"]
    assert opted_out == {"key": "eks.amazonaws.com/skip-pod-identity-webhook", "operator": "DoesNotExist"}
