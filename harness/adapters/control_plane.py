"""A real control plane as plain processes: etcd, kube-apiserver, kube-controller-manager.

No scheduler and no kubelet: the lab's own kubelet binds and runs pods. Everything listens on loopback.
The service account issuer is the simulated EKS one, so that the AWS gateway can check its tokens; the
audit log is on, because it is an oracle.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import TYPE_CHECKING

import yaml

from harness.adapters import daemons, direct
from harness.core.errors import EnvironmentBroken, MissingComponents
from harness.core.files import write_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.adapters.certificates import Authority, KeyPair, SigningKey
    from harness.core.ledger import Ledger

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
READY_SECONDS = 90.0
"""Budget for etcd and kube-apiserver: 3 s on two idle cores, 37 s were seen beside two compilers."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    # Metadata only: bodies would put Secrets into a file.
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane.

    Attributes:
        server: URL of the API server.
        kubeconfig: Administrator's kubeconfig (group `system:masters`).
        kubelet_kubeconfig: Kubeconfig of the lab's kubelet, which is scheduler and node in one.
        audit_log: JSON lines of the API server's audit log.
        version: As `/version` of the running server tells it (`v1.32.2`).
    """

    server: str
    kubeconfig: Path
    kubelet_kubeconfig: Path
    audit_log: Path
    version: str


def require_programs(folder: Path) -> None:
    """Checks that the folder holds the control plane's programs.

    Raises:
        MissingComponents: One is not there; envtest's folders lack kube-controller-manager, without
            which no StatefulSet gets a pod and ClusterRole `view` stays empty.
    """
    missing = [name for name in PROGRAMS if not (folder / name).is_file()]
    if missing:
        raise MissingComponents(
            expected=f"{', '.join(PROGRAMS)} in {folder}",
            seen=f"no {' and no '.join(missing)} there",
            remedy="add the missing program; see 'Real programs' in README.md for where they come from",
        )


def start(
    programs: Path,
    folder: Path,
    *,
    authority: Authority,
    signing: SigningKey,
    issuer: str,
    env: Mapping[str, str],
    ledger: Ledger,
) -> ControlPlane:
    """Starts the three programs and waits until the API server is ready.

    The controller manager is started once the API server answers (it exits otherwise) and is not
    waited for: what needs it (a StatefulSet's pod, the rules of `view`) waits for its own oracle.

    Args:
        programs: Folder with the executables.
        folder: Working folder of the run for data, keys and logs.
        authority: The run's certificate authority.
        signing: Key for service account tokens.
        issuer: Service account issuer, also the web identity issuer.
        env: Environment of the children.
        ledger: The run's ledger.

    Raises:
        EnvironmentBroken: A program died or did not become ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ports = {name: daemons.free_port() for name in ("client", "peer", "api", "manager")}
    server = f"https://127.0.0.1:{ports['api']}"
    serving = authority.issue("kube-apiserver", "127.0.0.1", "localhost", "kubernetes.default.svc")
    admin, kubelet = administrators(authority)
    manager = authority.issue("controller-manager", common_name="system:kube-controller-manager")
    made = ControlPlane(
        server=server,
        kubeconfig=kubeconfig(folder / "admin.kubeconfig", server, authority, admin),
        kubelet_kubeconfig=kubeconfig(folder / "kubelet.kubeconfig", server, authority, kubelet),
        audit_log=folder / "audit.log",
        version="",
    )
    manager_kubeconfig = kubeconfig(folder / "controller-manager.kubeconfig", server, authority, manager)
    (folder / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))

    def launch(name: str, *arguments: str) -> daemons.Daemon:
        argv = [str(programs / name), *arguments]
        return daemons.start(name, argv, env=env, cwd=folder, log=folder / f"{name}.log", ledger=ledger)

    etcd = launch("etcd", *_etcd_arguments(folder, ports))
    api = launch(
        "kube-apiserver", *_apiserver_arguments(folder, ports, authority, serving, admin, signing, issuer)
    )
    context = client_context(authority.pair, admin)
    daemons.wait_until(
        lambda: _get(f"{server}/readyz", context) == "ok",
        daemon=api,
        what="kube-apiserver ready",
        within=READY_SECONDS,
        needs=[etcd],
    )
    launch(
        "kube-controller-manager", *_manager_arguments(folder, ports, authority, manager_kubeconfig, signing)
    )
    return replace(made, version=running_version(server, context))


def administrators(authority: Authority) -> tuple[KeyPair, KeyPair]:
    """Client certificates of the harness and of the lab's kubelet, which is scheduler and node in one."""
    return (
        authority.issue("administrator", common_name="conformance-admin", organization="system:masters"),
        authority.issue("kubelet-client", common_name="conformance-kubelet", organization="system:masters"),
    )


def kubeconfig(path: Path, server: str, authority: Authority, client: KeyPair) -> Path:
    """Writes a kubeconfig that names a server and a client certificate by file; returns its path."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "lab",
                "cluster": {"server": server, "certificate-authority": str(authority.pair.certificate)},
            }
        ],
        "users": [
            {
                "name": "user",
                "user": {"client-certificate": str(client.certificate), "client-key": str(client.key)},
            }
        ],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "user"}}],
        "current-context": "lab",
    }
    write_secret(path, json.dumps(document, indent=1))
    return path


def client_context(authority: KeyPair, client: KeyPair | None = None) -> ssl.SSLContext:
    """A TLS context that trusts the run's authority only and presents a client certificate."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def _get(url: str, context: ssl.SSLContext) -> str | None:
    try:
        with direct.opener(context).open(url, timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except (HTTPException, OSError):
        return None


def running_version(server: str, context: ssl.SSLContext) -> str:
    """Version that a running API server tells of itself (`v1.32.2`).

    Raises:
        EnvironmentBroken: It tells none.
    """
    answer = _get(f"{server}/version", context) or ""
    try:
        return str(json.loads(answer)["gitVersion"])
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentBroken(
            expected=f"{server}/version to tell the version of kube-apiserver",
            seen=answer[:300] or "no answer",
            remedy="check that the program is a kube-apiserver, and its log",
        ) from error


def _etcd_arguments(folder: Path, ports: Mapping[str, int]) -> list[str]:
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("client", "peer"))
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        # The data live as long as the run: what a power cut would lose is of no value.
        "--unsafe-no-fsync",
    ]


def _apiserver_arguments(  # noqa: PLR0917  # one place with the whole command line
    folder: Path,
    ports: Mapping[str, int],
    authority: Authority,
    serving: KeyPair,
    admin: KeyPair,
    signing: SigningKey,
    issuer: str,
) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{ports['client']}",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports['api']}",
        # A loopback address may not be an endpoint, so nobody shall try to make it one.
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--cert-dir={folder}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--client-ca-file={authority.pair.certificate}",
        f"--service-account-issuer={issuer}",
        f"--service-account-jwks-uri={issuer}/keys",
        f"--service-account-signing-key-file={signing.private}",
        f"--service-account-key-file={signing.public}",
        f"--api-audiences=https://kubernetes.default.svc,{issuer}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--audit-policy-file={folder / 'audit-policy.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
        f"--kubelet-client-certificate={admin.certificate}",
        f"--kubelet-client-key={admin.key}",
        f"--kubelet-certificate-authority={authority.pair.certificate}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _manager_arguments(
    folder: Path, ports: Mapping[str, int], authority: Authority, config: Path, signing: SigningKey
) -> list[str]:
    return [
        f"--kubeconfig={config}",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports['manager']}",
        "--authentication-skip-lookup",
        f"--cert-dir={folder}",
        f"--root-ca-file={authority.pair.certificate}",
        f"--service-account-private-key-file={signing.private}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
    ]
