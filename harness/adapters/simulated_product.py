"""Starts what stands in for the product where no real programs were given: API server and Teleport."""

from __future__ import annotations

import json
import py_compile
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.adapters import daemons, processes
from harness.adapters.control_plane import (
    ControlPlane,
    administrators,
    client_context,
    kubeconfig,
    running_version,
)
from harness.adapters.launched import Launched
from harness.adapters.simulators import CLIENT, CLONE, START_SECONDS, Launcher, start_program
from harness.core.errors import EnvironmentBroken
from harness.core.files import write_secret
from harness.environment import SimulatedText

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.adapters.certificates import Authority, SigningKey
    from harness.core.ledger import Entry, Ledger

CHART = CLONE / "simulators" / "chart" / "teleport-kube-agent"
MEASURED = "13"
"""Major version whose behaviour and texts were measured; imitated unless the user chooses another."""

IMITATED_VARIABLE = "CONFORMANCE_SIMULATED_TELEPORT"
"""By which the simulated Teleport is told the version."""

SOCKET_FOLDER = "conformance-"
"""Beginning of the name of the folder with the launcher's socket, in the machine's folder for such things."""


def start_launcher(
    folder: Path, *, env: Mapping[str, str], ledger: Ledger, arguments: Sequence[str] = ()
) -> Launcher:
    """Starts the launcher and waits until it can be forked.

    Args:
        folder: Working folder.
        env: Environment of the launcher; a fork gets its client's.
        ledger: The run's ledger.
        arguments: For one that serves other programs than the simulators.

    Raises:
        EnvironmentBroken: It died or did not become ready.
    """
    folder.mkdir(parents=True)
    # Unix sockets have short names: the run's folder may lie deep.
    socket = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER)) / "launcher"
    ledger.will_create("folder", path=str(socket.parent))
    ready = folder / "launcher.ready"
    own = [sys.executable, "-m", "simulators.launcher", "--socket", str(socket), "--ready", str(ready)]
    daemon = daemons.start(
        folder.name, [*own, *arguments], env=env, cwd=CLONE, log=folder / "launcher.log", ledger=ledger
    )
    daemons.wait_until(ready.exists, daemon=daemon, what="the launcher ready", within=START_SECONDS)
    client = folder / "client.pyc"
    py_compile.compile(str(CLIENT), cfile=str(client), doraise=True)
    return Launcher(socket, client)


def stand_in_chart(folder: Path, major: str) -> Path:
    """The stand-in chart for a version of the simulated Teleport, in the place of a real one; returns it.

    Args:
        folder: Where a copy may be made; must not exist.
        major: The imitated version.
    """
    if major == MEASURED:
        return CHART
    shutil.copytree(CHART, folder)
    metadata = folder / "Chart.yaml"
    # Its own version, and that of the agent that it deploys.
    metadata.write_text(metadata.read_text().replace(f": {MEASURED}.0.0-", f": {major}.0.0-"))
    return folder


def teleport_programs(folder: Path, launcher: Launcher, major: str, told: Mapping[str, str]) -> Path:
    """A folder with simulated `teleport`, `tctl` and `tsh`, in the place of a real one; returns it.

    Args:
        folder: To make.
        launcher: The process to fork.
        major: The version that all of them imitate. The programs themselves carry it: an agent has the
            environment that its chart gives it, and a user's shell the user's.
        told: Variables that they carry for the same reason.
    """
    folder.mkdir(parents=True)
    variables = {IMITATED_VARIABLE: major, **told}
    chosen = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    for name in ("teleport", "tctl", "tsh"):
        program = folder / name
        program.write_text(
            f'#!/bin/sh\nexport {chosen}\nexec {shlex.join(launcher.command("teleport", name))} "$@"\n'
        )
        program.chmod(0o755)
    Launched(str(launcher.socket), "teleport", variables).write(folder)
    return folder


def teleport_texts(
    launcher: Launcher, major: str, *, env: Mapping[str, str], cwd: Path
) -> list[SimulatedText]:
    """What the simulated Teleport shows in the real one's place, each with how it is known.

    Args:
        launcher: The process to fork.
        major: The imitated version.
        env: Environment of the child.
        cwd: Its working directory.

    Raises:
        EnvironmentBroken: It does not run, or tells something else.
    """
    completed = processes.run(
        launcher.command("teleport", "texts"),
        env={**env, IMITATED_VARIABLE: major},
        cwd=cwd,
        within=START_SECONDS,
    )
    told = processes.checked(completed, expected="the simulated Teleport to list its texts").stdout
    try:
        return [
            SimulatedText(name, row["text"], row["provenance"])
            for name, row in json.loads(told)["texts"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvironmentBroken(
            expected="texts with their provenance, as JSON",
            seen=f"{type(error).__name__}: {error}",
            remedy="please report this: it is a defect of the suite",
        ) from error


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
