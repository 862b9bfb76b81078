"""The kubeconfig that `tsh kube login` writes (form as observed, kubeconfig-of-tsh.json)."""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulators.teleport import quick_yaml
from simulators.teleport.files import write_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.teleport.profile import Profile

Document = dict[str, Any]


def location(environ: Mapping[str, str], cwd: Path) -> Path:
    """The kubeconfig that is written: the first of KUBECONFIG, or the one in the user's home."""
    first = environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return cwd / (first or Path(environ.get("HOME", "")) / ".kube" / "config")


def select(profile: Profile, kubernetes_cluster: str, environ: Mapping[str, str], cwd: Path) -> None:
    """Make a Kubernetes cluster kubectl's current one.

    Args:
        profile: of the signed-in user.
        kubernetes_cluster: its name.
        environ: of the program.
        cwd: of the program.
    """
    path = location(environ, cwd)
    document = _read(path)
    context = f"{profile.cluster}-{kubernetes_cluster}"
    arguments = [
        "kube",
        "credentials",
        f"--kube-cluster={kubernetes_cluster}",
        f"--teleport-cluster={profile.cluster}",
    ]
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "args": arguments,
        "command": shutil.which("tsh", path=environ.get("PATH")) or "tsh",
        "env": [{"name": "TELEPORT_HOME", "value": str(profile.folder)}],
        "provideClusterInfo": False,
    }
    server = {
        "certificate-authority-data": base64.b64encode(profile.authority.encode()).decode(),
        "server": f"https://{profile.proxy}:{profile.port}",
        "tls-server-name": f"kube.{profile.proxy}",
    }
    _put(document, "clusters", {"name": profile.cluster, "cluster": server})
    _put(document, "users", {"name": context, "user": {"exec": plugin}})
    _put(document, "contexts", {"name": context, "context": {"cluster": profile.cluster, "user": context}})
    document["current-context"] = context
    write_secret(path, quick_yaml.dump(document))


def selected(profile: Profile, environ: Mapping[str, str], cwd: Path) -> str:
    """The Kubernetes cluster of this Teleport cluster that kubectl's context names; empty for none."""
    context = str(_read(location(environ, cwd)).get("current-context") or "")
    prefix = f"{profile.cluster}-"
    return context.removeprefix(prefix) if context.startswith(prefix) else ""


def forget(profile: Profile, environ: Mapping[str, str], cwd: Path) -> None:
    """Take out what `select` put in."""
    path = location(environ, cwd)
    if not path.is_file():
        return
    document = _read(path)
    prefix = f"{profile.cluster}-"
    for kind in ("clusters", "users", "contexts"):
        entries = [
            entry
            for entry in document.get(kind) or []
            if entry["name"] != profile.cluster and not entry["name"].startswith(prefix)
        ]
        document[kind] = entries or None
    if str(document.get("current-context") or "").startswith(prefix):
        document["current-context"] = ""
    write_secret(path, quick_yaml.dump(document))


def _read(path: Path) -> Document:
    found = quick_yaml.load(path.read_text()) if path.is_file() else None
    return found or {"apiVersion": "v1", "kind": "Config", "preferences": {}}


def _put(document: Document, kind: str, entry: Document) -> None:
    others = [one for one in document.get(kind) or [] if one["name"] != entry["name"]]
    document[kind] = [*others, entry]
