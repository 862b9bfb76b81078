"""A cluster of `kind`: its API server issues tokens of the simulated EKS issuer and keeps an audit log.

It stands in a Docker network of the run's own, and its node has no way out of it: what is not there can not be
reached, AWS and instance metadata of the machine among it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from packaging.version import Version

from harness.adapters import (
    containers,
    daemons,
    docker_engine,
    images,
    processes,
)
from harness.adapters.control_plane import AUDIT_POLICY
from harness.adapters.kubernetes_api import KubernetesAPI
from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError
from harness.core.files import write_atomically, write_secret
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import docker

    from harness.adapters.certificates import SigningKey
    from harness.adapters.containers import Container, Engine
    from harness.core.ledger import Ledger

OLDEST = Version("0.20")
"""Of kind: older ones know no node images of Kubernetes 1.27 and later."""

KUBEADM_V1BETA4 = (Version("0.32"), Version("1.36"))
"""From this Kubernetes on kubeadm's configuration has a new form, which kind writes from this version on."""

CREATE_SECONDS = 240.0
"""Budget for `kind create cluster`: 33 s were seen on two idle cores, 50 s beside a compiler."""

READY_SECONDS = 120.0
"""Budget for node and cluster DNS to be ready once the API server answers."""

IMPORT_SECONDS = 300.0
"""Budget for images to reach the node; 480 MB took 25 s."""

SERVICES = "10.96.0.0/16"
"""Service addresses of a kind cluster; the node's own programs have to find a way to them."""

_AUDIT_FOLDER = "/var/log/conformance"
_POLICY_FOLDER = "/etc/conformance"

_WAYS_OUT = {
    "no space left on device": "free disk space for Docker: `docker system df` shows by what it is used",
    "Multi-User System": "the node's init gave up, mostly for want of inotify handles: raise "
    "fs.inotify.max_user_instances to 512 and fs.inotify.max_user_watches to 524288 with sysctl",
    "too many open files": "raise fs.inotify.max_user_instances to 512 with sysctl",
    "port is already allocated": "something took the port in between: try again",
    "already exist for a cluster": "a cluster of that name is left over: `./conformance cleanup`",
    "failed to pull image": "bring the node's image: `docker pull` or `docker load`",
}
"""What kind says when it fails, and what helps."""


@dataclass(frozen=True)
class KindCluster:
    """A running cluster.

    Attributes:
        name: As `kind get clusters` lists it.
        node: Name of its one node, with Kubernetes and with Docker.
        kubeconfig: Administrator's, for the host.
        audit_log: JSON lines of the API server's audit log.
        version: As `/version` of the running server tells it (`v1.32.2`).
    """

    name: str
    node: str
    kubeconfig: Path
    audit_log: Path
    version: str


def require_program(given: Path | None, *, node: str, env: Mapping[str, str]) -> Path:
    """Finds `kind` and looks whether it is new enough.

    Args:
        given: The user's choice; None for the one on PATH.
        node: Image of the node.
        env: Environment of the child.

    Raises:
        EnvironmentBroken: There is none, it does not run or it is too old.
    """
    found = str(given) if given else shutil.which("kind")
    if found is None or not Path(found).is_file():
        raise EnvironmentBroken(
            expected="the program kind on PATH, or named with --kind",
            seen=f"no such file: {found}" if found else "none",
            remedy="get it from https://kind.sigs.k8s.io; without it, use the lab: leave --env out",
        )
    completed = processes.run([found, "version"], env=env, cwd=Path("/"), within=30)
    text = processes.checked(completed, expected="`kind version` to succeed").stdout
    number = re.search(r"v(\d+\.\d+\.\d+)", text)
    if number is None or Version(number[1]) < OLDEST:
        raise EnvironmentBroken(
            expected=f"kind {OLDEST} or newer",
            seen=f"{text.strip() or 'no version'}, of {found}",
            remedy="install a newer one, or name it with --kind",
        )
    kubernetes = re.search(r":v?(\d+\.\d+)", node)
    newer_kind, newer_kubernetes = KUBEADM_V1BETA4
    if kubernetes and Version(kubernetes[1]) >= newer_kubernetes and Version(number[1]) < newer_kind:
        raise EnvironmentBroken(
            expected=f"kind {newer_kind} or newer, to make a node of {node}",
            seen=f"{text.strip()}, of {found}",
            remedy="install a newer one, or choose an older Kubernetes, as in --control-plane v1.35.0",
        )
    return Path(found).resolve()


def configuration(folder: Path, *, issuer: str, signing: SigningKey) -> dict[str, Any]:
    """The cluster's configuration for kind.

    The patch names no apiVersion: kind then fits its arguments to whichever version kubeadm speaks.

    Args:
        folder: Working folder of the cluster.
        issuer: Service account issuer, also the web identity issuer.
        signing: Key for service account tokens.
    """
    patch = {
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": {
                "service-account-issuer": issuer,
                "service-account-jwks-uri": f"{issuer}/keys",
                "api-audiences": f"{issuer},https://kubernetes.default.svc.cluster.local",
                "audit-policy-file": f"{_POLICY_FOLDER}/audit-policy.yaml",
                "audit-log-path": f"{_AUDIT_FOLDER}/audit.log",
                # Never turned over: each scenario reads on from where it began.
                "audit-log-maxsize": "4096",
            },
            "extraVolumes": [
                {
                    "name": "audit-policy",
                    "hostPath": _POLICY_FOLDER,
                    "mountPath": _POLICY_FOLDER,
                    "readOnly": True,
                    "pathType": "Directory",
                },
                {
                    "name": "audit-log",
                    "hostPath": _AUDIT_FOLDER,
                    "mountPath": _AUDIT_FOLDER,
                    "readOnly": False,
                    "pathType": "Directory",
                },
            ],
        },
    }
    mounts = {
        folder / "audit": _AUDIT_FOLDER,
        folder / "policy": _POLICY_FOLDER,
        signing.private: "/etc/kubernetes/pki/sa.key",
        signing.public: "/etc/kubernetes/pki/sa.pub",
    }
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"apiServerAddress": "127.0.0.1", "serviceSubnet": SERVICES},
        "nodes": [
            {
                "role": "control-plane",
                "extraMounts": [
                    {"hostPath": str(path), "containerPath": inside, "readOnly": inside != _AUDIT_FOLDER}
                    for path, inside in mounts.items()
                ],
                "kubeadmConfigPatches": [yaml.safe_dump(patch)],
            }
        ],
    }


def create(
    kind: Path,
    folder: Path,
    *,
    engine: Engine,
    image: str,
    node_images: Sequence[str],
    issuer: str,
    signing: SigningKey,
    env: Mapping[str, str],
    ledger: Ledger,
) -> KindCluster:
    """Makes the cluster and brings images into its node while it still starts.

    Args:
        kind: The program.
        folder: Working folder to make.
        engine: The run's containers.
        image: Of the node; is there.
        node_images: For the node's containers; are there.
        issuer: Service account issuer.
        signing: Key for service account tokens.
        env: Environment of the child.
        ledger: The run's ledger.

    Raises:
        EnvironmentBroken: kind failed, or the node did not become ready.
    """
    config = _prepare(folder, issuer=issuer, signing=signing)
    name = engine.network_name
    node = containers.Container(engine.client, f"{name}-control-plane")
    kubeconfig = folder / "admin.kubeconfig"
    environment = environment_of_kind(env, engine.network_name)
    ledger.will_create("kind-cluster", name=name, run=engine.run)
    told = ["--image", image, "--config", str(config), "--kubeconfig", str(kubeconfig), "--wait", "0s"]
    making = daemons.start(
        "kind",
        [str(kind), "create", "cluster", "--name", name, *told],
        env=environment,
        cwd=folder,
        log=folder / "kind.log",
        ledger=ledger,
    )
    bringing = _Import(engine.client, node.name, node_images)
    bringing.start()
    _wait_for(making, node)
    # It has ended, as it should: nobody is to take it for one that died.
    making.log.with_suffix(".pid").unlink()
    keep_isolated(node, folder)
    internal = processes.run(
        [str(kind), "get", "kubeconfig", "--name", name, "--internal"], env=environment, cwd=folder
    )
    text = processes.checked(internal, expected="kind to tell the kubeconfig for its own network").stdout
    write_secret(folder / "internal.kubeconfig", text)
    version = _wait_until_ready(kubeconfig, node)
    bringing.finish()
    return KindCluster(name, node.name, kubeconfig, folder / "audit" / "audit.log", version)


def bare_commands(
    kind: Path,
    folder: Path,
    *,
    engine: Engine,
    image: str,
    agent: str,
    issuer: str,
    signing: SigningKey,
    ledger: Ledger,
) -> dict[str, list[str]]:
    """What a reader would type for the same cluster with the agent's image in it; for `bench`.

    Args:
        kind: The program.
        folder: Working folder to make.
        engine: The run's containers.
        image: Of the node; is there.
        agent: Of the agent; is there.
        issuer: Service account issuer.
        signing: Key for service account tokens.
        ledger: The run's ledger.
    """
    config = _prepare(folder, issuer=issuer, signing=signing)
    name = engine.network_name
    ledger.will_create("kind-cluster", name=name, run=engine.run)
    create = [str(kind), "create", "cluster", "--name", name, "--image", image, "--config", str(config)]
    return {
        "kind create cluster": [
            *create,
            "--kubeconfig",
            str(folder / "admin.kubeconfig"),
            "--wait",
            f"{READY_SECONDS:.0f}s",
        ],
        "kind load docker-image": [str(kind), "load", "docker-image", "--name", name, agent],
    }


def environment_of_kind(env: Mapping[str, str], network: str) -> dict[str, str]:
    """Environment of kind: the user's engine, the program `docker` wherever it is, and the run's network.

    Args:
        env: Environment of any child.
        network: In place of the one that all clusters of a machine share.
    """
    docker_program = shutil.which("docker")
    engine = docker_engine.client_environment()
    # `docker run`, by which kind makes nodes, would tell them the proxies of the user's config.json.
    engine.pop("DOCKER_CONFIG", None)
    path = [env["PATH"], *([str(Path(docker_program).parent)] if docker_program else [])]
    return {
        **env,
        **engine,
        "PATH": os.pathsep.join(path),
        "KIND_EXPERIMENTAL_DOCKER_NETWORK": network,
    }


def _prepare(folder: Path, *, issuer: str, signing: SigningKey) -> Path:
    """Makes the folders and files that the node mounts; the configuration for kind."""
    audit, policy = folder / "audit", folder / "policy"
    for made in (audit, policy):
        made.mkdir(parents=True)
    (policy / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
    # The API server, which is root in the node, would make it for its own eyes.
    (audit / "audit.log").touch(mode=0o644)
    config = folder / "kind.yaml"
    config.write_text(yaml.safe_dump(configuration(folder, issuer=issuer, signing=signing)))
    return config


def keep_isolated(node: Container, folder: Path) -> None:
    """Takes a node's way out where it has not been taken since the node was started last.

    Args:
        node: Its container.
        folder: Working folder of the cluster.

    Raises:
        EnvironmentBroken: It could not be taken.
    """
    noted, started = folder / "isolated", node.started()
    if noted.exists() and noted.read_text() == started:
        return
    isolate(node.name)
    write_atomically(noted, started)


def isolate(node: str) -> None:
    """Takes a node's way out of the run's network, where it has one; a restart of its container gives it back.

    Raises:
        EnvironmentBroken: It could not be taken.
    """
    script = (
        "set -e; way=$(ip -4 route show default type unicast | cut -d' ' -f2-5); "
        f'if [ -n "$way" ]; then ip route replace {SERVICES} $way; ip route del default; fi; '
        "ip route replace unreachable default metric 1"
    )
    completed = containers.execute(node, "sh", "-c", script)
    processes.checked(completed, expected="the node to lose its way out of the run's network")


class _Import(threading.Thread):
    """Brings images into a node as soon as its containerd answers, long before the cluster is ready."""

    def __init__(self, client: docker.DockerClient, node: str, wanted: Sequence[str]) -> None:
        super().__init__(name="images", daemon=True)
        self._client = client
        self._node = node
        self._images = list(dict.fromkeys(wanted))
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            eventually(
                self._answers, bool, expected="containerd of the node to answer", within=CREATE_SECONDS
            )
            if self._images:
                self._bring()
        except BaseException as error:  # noqa: BLE001  # told where it is waited for
            self._error = error

    def finish(self) -> None:
        """Waits until the images are there.

        Raises:
            EnvironmentBroken: They did not get there.
        """
        self.join(IMPORT_SECONDS)
        if self._error is None and not self.is_alive():
            return
        if isinstance(self._error, EnvironmentBroken):
            raise self._error
        raise EnvironmentBroken(
            expected=f"images in the node: {', '.join(self._images)}",
            seen=str(self._error) if self._error else f"not there after {IMPORT_SECONDS:g} s",
            remedy="is the disk full? `docker system df` tells",
        )

    def _answers(self) -> bool:
        if containers.Container(self._client, self._node).exited() is not None:
            return False
        return containers.execute(self._node, "ctr", "version").exit_code == 0

    def _bring(self) -> None:
        docker_program = docker_engine.program()
        save = [docker_program, "image", "save", *images.one_platform(), *self._images]
        load = [docker_program, "exec", "-i", self._node]
        load += ["ctr", "--namespace=k8s.io", "images", "import", "--digests", "--snapshotter=overlayfs", "-"]
        completed = processes.piped(
            save, load, env=docker_engine.command_environment(), within=IMPORT_SECONDS
        )
        processes.checked(completed, expected=f"images to reach the node: {', '.join(self._images)}")


def _wait_for(making: daemons.Daemon, node: Container) -> None:
    """Waits until kind has ended well."""
    seen_alive = False

    def ended() -> str | None:
        nonlocal seen_alive
        state = node.exited()
        seen_alive = seen_alive or state is None
        # kind itself would go on waiting for a node that is dead.
        return f"the node ended: {state}" if seen_alive and state is not None else None

    try:
        code = eventually(
            making.exited,
            lambda exit_status: exit_status is not None,
            expected="kind to make a cluster",
            within=CREATE_SECONDS,
            failed=lambda _status: ended(),
            last_words=making.last_words,
        )
    except NotObserved as error:
        raise _broken(str(error), making, node) from error
    if code != "exit status 0":
        raise _broken(str(code), making, node)


def _broken(seen: str, making: daemons.Daemon, node: Container) -> EnvironmentBroken:
    words = making.last_words(12)
    text = f"{words}\n{node.log(30)}".lower()
    remedy = next((way for mark, way in _WAYS_OUT.items() if mark.lower() in text), None)
    return EnvironmentBroken(
        expected="kind to make a cluster",
        seen=f"{seen}; its last words:\n{words}",
        remedy=remedy or f"the whole log is {making.log}",
    )


def _wait_until_ready(kubeconfig: Path, node: Container) -> str:
    """Waits until the node is ready and cluster DNS answers; the API server's version."""
    api = KubernetesAPI(kubeconfig)

    def unready() -> list[str]:
        # Without it the API does not answer, which passes for a moment's trouble until time is up.
        node.must_be_alive()
        nodes = (api.get("/api/v1/nodes") or {}).get("items", [])
        waiting = [one["metadata"]["name"] for one in nodes if not _is(one, "Ready")]
        dns = api.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns") or {}
        if not dns.get("status", {}).get("readyReplicas"):
            waiting.append("coredns")
        return waiting if nodes else ["(no node yet)"]

    try:
        eventually(unready, lambda waiting: not waiting, expected="node and DNS ready", within=READY_SECONDS)
        version: str = api.call("GET", "/version")["gitVersion"]
    except NotObserved as error:
        raise EnvironmentBroken(
            expected="the kind cluster's node and DNS to be ready",
            seen=f"{error}\n{_troubles(api)}",
            remedy="is the machine short of disk or memory? `docker exec` into the node shows more",
        ) from error
    finally:
        api.close()
    return version


def _troubles(api: KubernetesAPI) -> str:
    """What the cluster's own pods wait for."""
    try:
        pods = (api.get("/api/v1/namespaces/kube-system/pods") or {}).get("items", [])
    except TransientOracleError as error:
        return str(error)
    return "\n".join(
        f"{pod['metadata']['name']}: {json.dumps(waiting)}"
        for pod in pods
        for status in pod.get("status", {}).get("containerStatuses", [])
        if (waiting := status.get("state", {}).get("waiting"))
    )


def _is(thing: Mapping[str, Any], condition: str) -> bool:
    conditions = thing.get("status", {}).get("conditions", [])
    return any(found["type"] == condition and found["status"] == "True" for found in conditions)
