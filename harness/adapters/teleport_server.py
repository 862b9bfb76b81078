"""Auth and Proxy Service of Teleport as one process, and the administrator's `tctl`."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import yaml

from harness.adapters import daemons, direct, processes
from harness.adapters.launched import Launched
from harness.core.errors import EnvironmentBroken, MissingComponents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.adapters.certificates import Authority
    from harness.core.ledger import Ledger
    from harness.environment import Completed

PROGRAMS = ("teleport", "tctl", "tsh")
HOST = "tele.example.com"
"""The proxy's name in the guide; clients reach it through the run's HTTPS proxy."""

READY_SECONDS = 90.0
"""Budget until `/v1/webapi/ping` answers: 2 s on idle cores, 7.5 s were seen on busy ones."""


@dataclass(frozen=True)
class Server:
    """A running Auth and Proxy Service.

    Attributes:
        address: Loopback `host:port` where the proxy really listens; clients use HOST:443.
        configuration: `teleport.yaml`, for `tctl` beside the Auth Service.
        audit_log: JSON lines of audit events, an oracle.
        log: What the process prints: the Auth Service's log.
        version: From `/v1/webapi/ping` of the running proxy.
    """

    address: str
    configuration: Path
    audit_log: Path
    log: Path
    version: str


def require_programs(folder: Path) -> None:
    """Checks that the folder holds Teleport's programs.

    Raises:
        MissingComponents: One is not there.
    """
    missing = [name for name in PROGRAMS if not (folder / name).is_file()]
    if missing:
        raise MissingComponents(
            expected=f"{', '.join(PROGRAMS)} in {folder}",
            seen=f"no {' and no '.join(missing)} there",
            remedy="name the folder of an unpacked Teleport release with --teleport",
        )


def configuration(folder: Path, *, auth: str, web: str, certificate: Path, key: Path) -> dict[str, Any]:
    """The `teleport.yaml` of the lab: local users with passwords, nothing but auth and proxy.

    Args:
        folder: Data folder.
        auth: Loopback `host:port` of the Auth Service.
        web: Loopback `host:port` of the Proxy Service (web, reverse tunnel and Kubernetes in one).
        certificate: The proxy's certificate for HOST, signed by the run's authority.
        key: Its private key.
    """
    return {
        "version": "v3",
        "teleport": {
            "nodename": "teleport",
            "data_dir": str(folder),
            "log": {"output": "stderr", "severity": "INFO"},
        },
        "auth_service": {
            "enabled": "yes",
            "cluster_name": HOST,
            "listen_addr": auth,
            "proxy_listener_mode": "multiplex",
            "authentication": {"type": "local", "second_factor": "off"},
        },
        "ssh_service": {"enabled": "no"},
        "proxy_service": {
            "enabled": "yes",
            "web_listen_addr": web,
            "public_addr": [f"{HOST}:443"],
            "https_keypairs": [{"cert_file": str(certificate), "key_file": str(key)}],
        },
    }


def start(
    programs: Path,
    folder: Path,
    *,
    authority: Authority,
    env: Mapping[str, str],
    address: str,
    ledger: Ledger,
) -> Server:
    """Starts the process and waits until the proxy answers `/v1/webapi/ping` (claim pre.ping).

    Args:
        programs: Folder with `teleport`.
        folder: Working folder of the run for data, keys and logs.
        authority: The run's certificate authority.
        env: Environment of the child: it must reach STS through the AWS gateway.
        address: Loopback `host:port` for the proxy, known before so that the gateway can route to it.
        ledger: The run's ledger.

    Raises:
        EnvironmentBroken: It died or did not answer in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    serving = authority.issue("teleport-proxy", HOST, f"*.{HOST}")
    config = folder / "teleport.yaml"
    config.write_text(
        yaml.safe_dump(
            configuration(
                folder / "data",
                auth=f"127.0.0.1:{daemons.free_port()}",
                web=address,
                certificate=serving.certificate,
                key=serving.key,
            )
        )
    )
    log = folder / "teleport.log"
    argv = [str(programs / "teleport"), "start", "-c", str(config)]
    daemon = daemons.start("teleport", argv, env=env, cwd=folder, log=log, ledger=ledger)
    answers: list[dict[str, Any]] = []

    def answered() -> bool:
        answer = ping(address, authority.pair.certificate)
        if answer is not None:
            answers.append(answer)
        return answer is not None

    daemons.wait_until(answered, daemon=daemon, what="Teleport's proxy to answer", within=READY_SECONDS)
    return Server(
        address=address,
        configuration=config,
        audit_log=folder / "data" / "log" / "events.log",
        log=log,
        version=str(answers[-1]["server_version"]),
    )


def ping(address: str, ca_file: Path) -> dict[str, Any] | None:
    """What `/v1/webapi/ping` answers at this address, or None while it does not.

    The certificate must be one of the run's authority, whatever the name: the address is a loopback one.
    """
    request = urllib.request.Request(
        f"https://{address}/v1/webapi/ping", headers={"Host": HOST}
    )  # always https
    try:
        with direct.opener(direct.chain_only(ca_file)).open(request, timeout=5) as answer:
            document = json.load(answer)
    except (HTTPException, OSError, ValueError):
        return None
    is_ping = isinstance(document, dict) and "server_version" in document
    return document if is_ping else None


class Administrator:
    """`tctl` beside the Auth Service: full permissions without signing in (claim pre.tctl-on-auth-host)."""

    def __init__(self, programs: Path, server_configuration: Path, env: Mapping[str, str]) -> None:
        """Binds `tctl` to a server's configuration.

        Args:
            programs: Folder with `tctl`.
            server_configuration: `teleport.yaml` of the Auth Service.
            env: Environment of the child.
        """
        self._programs = programs
        self._configuration = server_configuration
        self._env = env
        # A simulated one is asked for without a process of ours in between.
        launched = Launched.beside(programs)
        self._start = launched.run if launched else processes.run

    def run(self, *arguments: str, stdin: str | None = None) -> Completed:
        """Runs one `tctl` command; `stdin` is where resources go, never argv."""
        argv = [str(self._programs / "tctl"), "-c", str(self._configuration), *arguments]
        return self._start(argv, env=self._env, cwd=self._configuration.parent, within=60, stdin=stdin)

    def must(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs one `tctl` command that has to succeed; returns its standard output.

        Raises:
            EnvironmentBroken: It failed.
        """
        completed = self.run(*arguments, stdin=stdin)
        return processes.checked(completed, expected=f"tctl {arguments[0]} to succeed").stdout

    def get(self, reference: str) -> list[dict[str, Any]]:
        """Resources of a kind or one of them (`kube_server`, `token/x`); empty when there is none.

        Raises:
            EnvironmentBroken: `tctl` failed for another reason than that it is not there.
        """
        completed = self.run("get", reference, "--format=json")
        # The second is how it says so of a connector.
        if completed.exit_code != 0 and any(
            absent in completed.stderr for absent in ("not found", "is not configured")
        ):
            return []
        text = processes.checked(completed, expected=f"tctl get {reference} to succeed").stdout
        try:
            found = json.loads(text)
        except ValueError:
            found = text
        if not isinstance(found, list | None):  # an empty collection is printed as `null`
            raise EnvironmentBroken(
                expected=f"tctl get {reference} to print a list as JSON",
                seen=text.strip()[:300] or "nothing",
                remedy="see the evidence of this scenario",
            )
        return found or []
