"""Starts the programs that stand in for AWS and for the kubelet, and tells them what they need by file."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.adapters import daemons, processes
from harness.adapters.chart import HOST as CHART_HOST
from harness.core.errors import EnvironmentBroken
from harness.core.files import write_secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.adapters.certificates import Authority, KeyPair
    from harness.core.ledger import Ledger

CLONE = Path(__file__).resolve().parents[2]
CLIENT = CLONE / "simulators" / "launcher" / "client.py"
FORKED = {
    "simulators.aws": "gateway",
    "simulators.aws.backend": "backend",
    "simulators.apiserver": "apiserver",
    "simulators.kubelet": "kubelet",
}
"""Module of a simulator -> its name with the launcher."""

START_SECONDS = 60.0
"""Budget for a simulator: gateway and kubelet are up in about a second on an idle machine."""

NODE = "lab-node"

LISTENERS = ("proxy", "https", "control", "metadata", "webhook")
"""What the gateway listens for, each at an address of its own."""


@dataclass(frozen=True)
class Launcher:
    """The process that is forked for each simulator, so that what they import is imported once.

    Attributes:
        socket: Where it takes requests.
        client: The thin client's program; compiled, it need not be each time.
    """

    socket: Path
    client: Path = CLIENT

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line of a thin client that stands in for a fork of that program."""
        return [sys.executable, "-I", "-S", str(self.client), str(self.socket), program, *arguments]


def network_environment(proxy: str, ca_file: Path) -> dict[str, str]:
    """What makes a program reach AWS host names through the gateway and trust only the run's authority.

    Args:
        proxy: Loopback `host:port` of the gateway's proxy listener.
        ca_file: The run's certificate authority.
    """
    return {
        "HTTPS_PROXY": f"http://{proxy}",
        # Plain HTTP too: Teleport looks for the metadata service of other clouds at 169.254.169.254.
        "HTTP_PROXY": f"http://{proxy}",
        "NO_PROXY": "127.0.0.1,localhost",
        "SSL_CERT_FILE": str(ca_file),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def start_gateway(  # each is another fact of the run
    folder: Path,
    *,
    run: str,
    env: Mapping[str, str],
    ledger: Ledger,
    authority: KeyPair,
    configuration: Mapping[str, Any],
    launcher: Launcher | None = None,
) -> dict[str, str]:
    """Starts moto and the AWS gateway before it; returns the gateway's addresses by listener.

    Args:
        folder: Working folder.
        run: Run id.
        env: Environment of the children.
        ledger: The run's ledger.
        authority: The run's certificate authority; the gateway mints its certificates.
        configuration: `proxy` address, `account`, `key_id`, `secret`, `region`, `issuer`, `jwks`,
            `cluster`, `routes`, `charts`, `kubeconfig`.
        launcher: The process to fork; None starts processes of their own.

    Raises:
        EnvironmentBroken: One died or did not become ready.
    """
    folder.mkdir(parents=True)
    backend = start_program(
        "simulators.aws.backend",
        ["--ready", str(folder / "backend.ready")],
        folder=folder,
        env=env,
        ledger=ledger,
        ready=folder / "backend.ready",
        launcher=launcher,
    )
    document = gateway_document(
        folder,
        run=run,
        authority=authority,
        configuration=configuration,
        listen=dict.fromkeys(LISTENERS, "127.0.0.1:0") | {"proxy": configuration["proxy"]},
        backend=backend["url"],
    )
    config = folder / "gateway.json"
    write_secret(config, json.dumps(document, indent=1))
    ready = start_program(
        "simulators.aws",
        [str(config)],
        folder=folder,
        env=env,
        ledger=ledger,
        ready=folder / "gateway.ready",
        launcher=launcher,
    )
    return {name: str(ready[name]) for name in LISTENERS}


def gateway_document(
    folder: Path,
    *,
    run: str,
    authority: KeyPair,
    configuration: Mapping[str, Any],
    listen: Mapping[str, str],
    backend: str,
    host: str = "127.0.0.1",
) -> dict[str, Any]:
    """The configuration of a gateway; its call log and the file by which it is ready lie in the folder.

    Args:
        folder: Working folder.
        run: Run id.
        authority: The run's certificate authority; the gateway mints its certificates.
        configuration: As for `start_gateway`.
        listen: Address `host:port` of each of `LISTENERS`.
        backend: URL of the AWS emulator.
        host: Name or address by which others reach the gateway.
    """
    account = configuration["account"]
    return {
        "run": run,
        "host": host,
        "listen": dict(listen),
        "certificate_authority": {"certificate": str(authority.certificate), "key": str(authority.key)},
        "backend": backend,
        "administrators": [
            {
                "access_key_id": configuration["key_id"],
                "secret_access_key": configuration["secret"],
                "account": account,
                "arn": f"arn:aws:iam::{account}:user/administrator",
                "user_id": "AIDACONFORMANCE000000",
            }
        ],
        "accounts": [account],
        "clusters": [
            {
                "name": configuration["cluster"],
                "account": account,
                "region": configuration["region"],
                "issuer": configuration["issuer"],
                "jwks": configuration["jwks"],
                "version": "1.32",
                "endpoint": "https://127.0.0.1",
                "certificate_authority": base64.b64encode(authority.certificate.read_bytes()).decode(),
            }
        ],
        "routes": configuration["routes"],
        "chart_repository": {"host": CHART_HOST, "folder": configuration["charts"]},
        "webhook": {
            "kubeconfig": configuration["kubeconfig"],
            "region": configuration["region"],
            "audience": "sts.amazonaws.com",
            "expiration": 86400,
        },
        "call_log": str(folder / "calls.jsonl"),
        "ready": str(folder / "gateway.ready"),
    }


def check_isolation(*, env: Mapping[str, str]) -> None:
    """Checks that this machine lets the kubelet give pods mount namespaces, before anything depends on it.

    Args:
        env: Environment of the child.

    Raises:
        EnvironmentBroken: It does not; with what allows it.
    """
    argv = [sys.executable, "-m", "simulators.kubelet", "--check"]
    completed = processes.run(argv, env=env, cwd=CLONE, within=START_SECONDS)
    if completed.exit_code != 0:
        raise EnvironmentBroken(
            expected="mount namespaces for the lab's pods",
            seen=completed.stderr.strip() or f"exit status {completed.exit_code}",
            remedy="run as root, or allow user namespaces to ordinary users as said above",
        )


def start_kubelet(  # each is another fact of the run
    folder: Path,
    *,
    run: str,
    env: Mapping[str, str],
    ledger: Ledger,
    authority: Authority,
    kubeconfig: Path,
    images: list[dict[str, Any]],
    environment: Mapping[str, str],
    isolation: str = "mount-namespace",
    launcher: Launcher | None = None,
) -> None:
    """Starts the lab's kubelet and waits until its node is registered.

    Args:
        folder: Working folder; the pods' files lie below it.
        run: Run id.
        env: Environment of the kubelet itself.
        ledger: The run's ledger.
        authority: The run's certificate authority.
        kubeconfig: Of the kubelet.
        images: Image names and the local programs they stand for.
        environment: What the node adds to every container's environment.
        isolation: `mount-namespace`, or `none` for pods that find their files otherwise.
        launcher: The process to fork; None starts one of its own.

    Raises:
        EnvironmentBroken: It died or did not become ready.
    """
    folder.mkdir(parents=True)
    serving = authority.issue("kubelet", "127.0.0.1")
    document = {
        "run": run,
        "node": NODE,
        "kubeconfig": str(kubeconfig),
        "folder": str(folder / "pods"),
        "listen": "127.0.0.1:0",
        "serving_certificate": str(serving.certificate),
        "serving_key": str(serving.key),
        "client_ca": str(authority.pair.certificate),
        "images": images,
        "environment": dict(environment),
        "isolation": isolation,
        "ready": str(folder / "kubelet.ready"),
    }
    config = folder / "kubelet.json"
    write_secret(config, json.dumps(document, indent=1))
    start_program(
        "simulators.kubelet",
        [str(config)],
        folder=folder,
        env=env,
        ledger=ledger,
        ready=folder / "kubelet.ready",
        launcher=launcher,
    )


def webhook_configuration(address: str, ca_file: Path) -> dict[str, Any]:
    """The MutatingWebhookConfiguration that sends new pods to the gateway's pod identity webhook.

    Pods of kube-system, where the real one runs, are left alone.
    """
    return pod_webhook(
        {"url": f"https://{address}/mutate"}, ca_file, reviews=("v1",), spared=("kube-system",)
    )


def pod_webhook(
    client: Mapping[str, Any], ca_file: Path, *, reviews: Sequence[str], spared: Sequence[str]
) -> dict[str, Any]:
    """A MutatingWebhookConfiguration that sends new pods to a pod identity webhook.

    It fails closed: an unmutated pod would slip through silently otherwise. The label by which a pod has
    itself left out is the official one's.

    Args:
        client: `url` or `service`, as Kubernetes has it.
        ca_file: Authority of the webhook's certificate.
        reviews: Versions of admission reviews, the one to choose first.
        spared: Namespaces whose pods are left alone.
    """
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "pod-identity-webhook"},
        "webhooks": [
            {
                "name": "pod-identity-webhook.amazonaws.com",
                "admissionReviewVersions": list(reviews),
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
                "clientConfig": {**client, "caBundle": base64.b64encode(ca_file.read_bytes()).decode()},
                "rules": [
                    {
                        "operations": ["CREATE"],
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "resources": ["pods"],
                    }
                ],
                "namespaceSelector": {
                    "matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": list(spared)}
                    ]
                },
                "objectSelector": {
                    "matchExpressions": [
                        {"key": "eks.amazonaws.com/skip-pod-identity-webhook", "operator": "DoesNotExist"}
                    ]
                },
            }
        ],
    }


def start_program(
    module: str,
    arguments: list[str],
    *,
    folder: Path,
    env: Mapping[str, str],
    ledger: Ledger,
    ready: Path,
    launcher: Launcher | None = None,
) -> dict[str, Any]:
    """Starts a simulator, as a fork of the launcher where there is one; what it wrote when it was ready.

    Args:
        module: Of the simulator.
        arguments: Its arguments.
        folder: For its log.
        env: Its environment.
        ledger: The run's ledger.
        ready: File that it writes when it is ready: a JSON object.
        launcher: The process to fork; None starts one of its own.

    Raises:
        EnvironmentBroken: It died or did not become ready.
    """
    own = [sys.executable, "-m", module, *arguments]
    daemon = daemons.start(
        module,
        own if launcher is None else launcher.command(FORKED[module], *arguments),
        env=env,
        cwd=CLONE,
        log=folder / f"{module.rpartition('.')[2]}.log",
        ledger=ledger,
    )
    daemons.wait_until(ready.exists, daemon=daemon, what=f"{module} ready", within=START_SECONDS)
    document: dict[str, Any] = json.loads(ready.read_text())
    return document
