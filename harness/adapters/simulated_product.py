"""Starts what stands in for the product where no real programs were given: API server and Teleport."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.adapters import daemons
from harness.adapters.control_plane import (
    ControlPlane,
    administrators,
    client_context,
    kubeconfig,
    running_version,
)
from harness.adapters.simulators import CLONE, START_SECONDS, Launcher, start_program
from harness.core.files import write_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.adapters.certificates import Authority, SigningKey
    from harness.core.ledger import Entry, Ledger

CHART = CLONE / "simulators" / "chart" / "teleport-kube-agent"
SOCKET_FOLDER = "conformance-"
"""Beginning of the name of the folder with the launcher's socket, in the machine's folder for such things."""


def start_launcher(folder: Path, *, env: Mapping[str, str], ledger: Ledger) -> Launcher:
    """Starts the launcher and waits until it can be forked.

    Args:
        folder: Working folder.
        env: Environment of the launcher; a fork gets its client's.
        ledger: The run's ledger.

    Raises:
        EnvironmentBroken: It died or did not become ready.
    """
    folder.mkdir(parents=True)
    # Unix sockets have short names: the run's folder may lie deep.
    socket = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER)) / "launcher"
    ledger.will_create("folder", path=str(socket.parent))
    ready = folder / "launcher.ready"
    daemon = daemons.start(
        "launcher",
        [sys.executable, "-m", "simulators.launcher", "--socket", str(socket), "--ready", str(ready)],
        env=env,
        cwd=CLONE,
        log=folder / "launcher.log",
        ledger=ledger,
    )
    daemons.wait_until(ready.exists, daemon=daemon, what="the launcher ready", within=START_SECONDS)
    return Launcher(socket)


def teleport_programs(folder: Path, launcher: Launcher) -> Path:
    """A folder with simulated `teleport`, `tctl` and `tsh`, in the place of a real one; returns it."""
    folder.mkdir(parents=True)
    for name in ("teleport", "tctl", "tsh"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join(launcher.command("teleport", name))} "$@"\n')
        program.chmod(0o755)
    return folder


def start_apiserver(
    folder: Path,
    *,
    run: str,
    env: Mapping[str, str],
    ledger: Ledger,
    authority: Authority,
    signing: SigningKey,
    issuer: str,
    launcher: Launcher | None,
) -> ControlPlane:
    """Starts the simulated API server with its controllers, in the place of a real control plane.

    Args:
        folder: Working folder.
        run: Run id.
        env: Environment of the child.
        ledger: The run's ledger.
        authority: The run's certificate authority.
        signing: Key for service account tokens.
        issuer: Service account issuer.
        launcher: The process to fork; None starts one of its own.

    Raises:
        EnvironmentBroken: It died or did not become ready.
    """
    folder.mkdir(parents=True)
    serving = authority.issue("kube-apiserver", "127.0.0.1", "localhost", "kubernetes.default.svc")
    admin, kubelet = administrators(authority)
    document = {
        "run": run,
        "listen": "127.0.0.1:0",
        "serving_certificate": str(serving.certificate),
        "serving_key": str(serving.key),
        "client_ca": str(authority.pair.certificate),
        "issuer": issuer,
        "signing_key": str(signing.private),
        "public_key": str(signing.public),
        "audiences": ["https://kubernetes.default.svc", issuer],
        "audit_log": str(folder / "audit.log"),
        "kubelet_ca": str(authority.pair.certificate),
        "kubelet_client_certificate": str(admin.certificate),
        "kubelet_client_key": str(admin.key),
        "root_ca": str(authority.pair.certificate),
        "ready": str(folder / "apiserver.ready"),
    }
    config = folder / "apiserver.json"
    write_secret(config, json.dumps(document, indent=1))
    ready = start_program(
        "simulators.apiserver",
        [str(config)],
        folder=folder,
        env=env,
        ledger=ledger,
        ready=folder / "apiserver.ready",
        launcher=launcher,
    )
    server = str(ready["server"])
    return ControlPlane(
        server=server,
        kubeconfig=kubeconfig(folder / "admin.kubeconfig", server, authority, admin),
        kubelet_kubeconfig=kubeconfig(folder / "kubelet.kubeconfig", server, authority, kubelet),
        audit_log=folder / "audit.log",
        version=running_version(server, client_context(authority.pair, admin)),
    )


def undo_folder(entry: Entry) -> None:
    """Ledger undo: removes the folder of the launcher's socket; that it is gone already is fine."""
    folder = Path(str(entry.what["path"]))
    if folder.name.startswith(SOCKET_FOLDER) and folder.is_dir():
        shutil.rmtree(folder)
