"""Simulated `tsh`: signing in, the clusters that a user sees, and kubectl's credentials."""

from __future__ import annotations

import json
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulators.teleport import output, profile, times
from simulators.teleport.client import Service
from simulators.teleport.command_line import Parser, commands, parser
from simulators.teleport.errors import TeleportError, UsageError
from simulators.teleport.files import write_secret

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simulators.teleport.certificates import Identity
    from simulators.teleport.decisions import Decisions
    from simulators.teleport.texts import Imitation

AGENT_FORWARDING = "permit-agent-forwarding"
EXTENSIONS = (
    "client-ip", AGENT_FORWARDING, "permit-port-forwarding", "permit-pty", "private-key-policy",
)  # fmt: skip
RENEWED_SECONDS = 60
"""kubectl is told that a certificate ends this long before it does."""


@dataclass(frozen=True)
class Tsh:
    """One run of `tsh`.

    Attributes:
        arguments: parsed.
        environ: of the program.
        cwd: of the program.
        imitation: the version.
        decisions: of the program.
    """

    arguments: argparse.Namespace
    environ: Mapping[str, str]
    cwd: Path
    imitation: Imitation
    decisions: Decisions

    def run(self) -> str:
        """Do what the command line says; what is printed.

        Raises:
            TeleportError: it was refused.
        """
        words = [self.arguments.command, getattr(self.arguments, "action", None)]
        method = "_".join(word for word in words if word)
        result: str = getattr(self, f"_{method}")()
        return result

    def _login(self) -> str:
        host, _, port = self.arguments.proxy.rpartition(":")
        if not host:
            host, port = port, str(profile.DEFAULT_PORT)
        if not port.isdecimal():
            raise TeleportError("BadParameter", f"expected HOST:PORT, seen {self.arguments.proxy!r}")
        known = profile.current(self.environ, self.cwd)
        if known and (known.proxy, known.user) == (host, self.arguments.user) and not _expired(known):
            return self._status()  # as it is, with the roles of then (claim ts.relogin)
        self._sign_in(host, int(port), self.arguments.user)
        self.arguments.format = "text"
        return self._status()

    def _sign_in(self, host: str, port: int, user: str) -> profile.Profile:
        from simulators.teleport import certificates  # noqa: PLC0415  # slow to load, and not always needed

        password = _password(self.imitation.text("password-asked", user=user))
        key = certificates.private_key()
        answer = Service(host, port).call(
            self.environ, "sign-in", user=user, password=password, public_key=certificates.public_key(key)
        )
        home = profile.home(self.environ, self.cwd)
        made = profile.Profile(home, host, port, user, answer["cluster"])
        made.save(key, answer["certificate"], answer["authority"])
        return made

    def _required(self) -> profile.Profile:
        """The profile that is in use; whose certificate has expired is asked to sign in again.

        Raises:
            TeleportError: there is none, or signing in failed.
        """
        from simulators.teleport import certificates  # noqa: PLC0415  # slow to load

        known = profile.current(self.environ, self.cwd)
        if known is None:
            raise TeleportError("BadParameter", self.imitation.text("not-signed-in"))
        expires = certificates.identity_in(known.certificate).expires
        if self.decisions.sign_in_needed(expires, time.time()):
            return self._sign_in(known.proxy, known.port, known.user)
        return known

    def _logout(self) -> str:
        from simulators.teleport import kubeconfig  # noqa: PLC0415  # reads YAML

        known = profile.current(self.environ, self.cwd)
        if known is None:
            return "All users logged out.\n"
        kubeconfig.forget(known, self.environ, self.cwd)
        if self.decisions.profile_forgotten(known.user):
            profile.remove(self.environ, self.cwd)
        return "Logged out all users from all proxies.\n"

    def _status(self) -> str:
        from simulators.teleport import certificates, kubeconfig  # noqa: PLC0415  # slow to load

        known = profile.current(self.environ, self.cwd)
        if known is None:
            raise TeleportError("NotFound", "Not logged in.")
        if _expired(known):
            raise TeleportError("NotFound", "Active profile expired.")
        identity = certificates.identity_in(known.certificate)
        selected = kubeconfig.selected(known, self.environ, self.cwd)
        if getattr(self.arguments, "format", "text") == "json":
            active = _active(known, identity, selected)
            active["roles"] = list(self.decisions.roles_told(active["roles"]))
            document: dict[str, Any] = {"active": active, "profiles": []}
            if "KUBECONFIG" in self.environ:
                document["environment"] = {"KUBECONFIG": self.environ["KUBECONFIG"]}
            return output.as_json(document) + "\n"
        return _status_text(known, identity, selected)

    def _kube_ls(self) -> str:
        from simulators.teleport import kubeconfig  # noqa: PLC0415  # reads YAML

        known = self._required()
        found = known.service.call(self.environ, "kubernetes-clusters")
        selected = kubeconfig.selected(known, self.environ, self.cwd)
        if self.arguments.format != "text":
            listed = [
                {
                    "kube_cluster_name": cluster["name"],
                    "labels": cluster["labels"],
                    "selected": cluster["name"] == selected,
                }
                for cluster in found
            ]
            json_form = self.arguments.format == "json"
            return output.as_json(listed) + "\n" if json_form else output.as_yaml([listed])
        rows = [
            [
                cluster["name"],
                ",".join(f"{key}={value}" for key, value in sorted((cluster["labels"] or {}).items())),
                "*" if cluster["name"] == selected else "",
            ]
            for cluster in found
        ]
        table = output.table(["Kube Cluster Name", "Labels", "Selected"], rows)
        if self.arguments.quiet:
            return "".join(f"{line}\n" for line in table.splitlines()[2:]) + "\n"
        return table + "\n"

    def _kube_login(self) -> str:
        from simulators.teleport import kubeconfig  # noqa: PLC0415  # reads YAML

        known = self._required()
        cluster = self.arguments.cluster
        seen = {found["name"] for found in known.service.call(self.environ, "kubernetes-clusters")}
        if not self.decisions.cluster_known(cluster, seen):
            raise TeleportError("NotFound", self.imitation.text("unknown-cluster", cluster=cluster))
        if self.decisions.kubeconfig_written(cluster):
            kubeconfig.select(known, cluster, self.environ, self.cwd)
        return (
            f"Logged into Kubernetes cluster \"{cluster}\". Try 'kubectl version' to test the connection.\n"
        )

    def _kube_credentials(self) -> str:
        from simulators.teleport import certificates  # noqa: PLC0415  # slow to load

        known = self._required()
        if self.arguments.teleport_cluster != known.cluster:
            message = f'cluster "{self.arguments.teleport_cluster}" is not simulated, only {known.cluster}'
            raise TeleportError("NotFound", message)
        cluster = self.arguments.kube_cluster
        path = known.kubernetes_certificate(cluster)
        certificate = path.read_text() if path.is_file() else ""
        if not certificate or certificates.identity_in(certificate).expires <= time.time() + RENEWED_SECONDS:
            public = certificates.public_key(known.private_key)
            certificate = known.service.call(
                self.environ, "kubernetes-certificate", cluster=cluster, public_key=public
            )
            write_secret(path, certificate)
        expires = certificates.identity_in(certificate).expires - RENEWED_SECONDS
        status = {
            "expirationTimestamp": times.written(expires),
            "clientCertificateData": certificate,
            "clientKeyData": known.private_key,
        }
        document = {
            "kind": "ExecCredential",
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "spec": {"interactive": False},
            "status": status,
        }
        return json.dumps(document, separators=(",", ":")) + "\n"


def _parser() -> Parser:
    top = parser("tsh")
    known = commands(top, "command", ["version", "login", "logout", "status", "kube"])
    known["login"].add_argument("--proxy", required=True)
    known["login"].add_argument("--user", required=True)
    known["status"].add_argument("-f", "--format", choices=["text", "json"], default="text")
    kube = commands(known["kube"], "action", ["ls", "login", "credentials"])
    kube["ls"].add_argument("-f", "--format", choices=["text", "json", "yaml"], default="text")
    kube["ls"].add_argument("-q", "--quiet", action="store_true")
    kube["login"].add_argument("cluster")
    kube["credentials"].add_argument("--kube-cluster", required=True)
    kube["credentials"].add_argument("--teleport-cluster", required=True)
    return top


PARSER = _parser()
"""Made once, since a launcher forks whoever has imported this."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read a command line.

    Raises:
        UsageError: something in it is not simulated.
    """
    return PARSER.parse_args(list(argv))


def main(
    argv: Sequence[str], environ: Mapping[str, str], cwd: Path, imitation: Imitation, decisions: Decisions
) -> int:
    """Run `tsh`.

    Args:
        argv: after the program's name.
        environ: of the program.
        cwd: of the program.
        imitation: the version.
        decisions: of the program.

    Returns:
        Exit status.
    """
    try:
        arguments = parse(argv)
        if arguments.command == "version":
            if profile.current(environ, cwd) is None:
                missing = "no profile provided and no current profile"
                sys.stderr.write(f"Failed to fetch proxy version: {missing}\n")
            sys.stdout.write(f"Teleport v{imitation.version} git: simulated\n")
            return 0
        sys.stdout.write(Tsh(arguments, environ, cwd, imitation, decisions).run())
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except TeleportError as error:
        output.error(error.message)
        return 1
    return 0


def _expired(known: profile.Profile) -> bool:
    from simulators.teleport import certificates  # noqa: PLC0415  # slow to load

    return certificates.identity_in(known.certificate).expires <= time.time()


def _password(prompt: str) -> str:
    """Ask for a password, on a terminal only, without showing what is typed."""
    sys.stdout.write(f"{prompt}\n")
    sys.stdout.flush()
    if not sys.stdin.isatty():
        message = "failed reading prompt response\n\tunderlying reader is not a terminal"
        raise TeleportError("BadParameter", message)
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    silent = list(before)
    silent[3] &= ~termios.ECHO
    # What was typed ahead counts: no flush.
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        return sys.stdin.readline().rstrip("\r\n")
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _extensions(identity: Identity) -> tuple[str, ...]:
    return tuple(one for one in EXTENSIONS if identity.forwards_agent or one != AGENT_FORWARDING)


def _active(known: profile.Profile, identity: Identity, selected: str) -> dict[str, Any]:
    told = {
        "profile_url": f"https://{known.proxy}:{known.port}",
        "username": identity.name,
        "cluster": known.cluster,
        "roles": sorted(identity.roles),
        "traits": dict.fromkeys(
            (
                "aws_role_arns", "azure_identities", "db_names", "db_users", "gcp_service_accounts",
                "kubernetes_groups", "kubernetes_users", "logins", "windows_logins",
            )
        ),
        "logins": list(identity.logins),
        "kubernetes_enabled": True,
        "kubernetes_cluster": selected,
        "kubernetes_users": list(identity.kubernetes_users),
        "kubernetes_groups": list(identity.kubernetes_groups),
        "valid_until": times.written(identity.expires),
        "extensions": list(_extensions(identity)),
    }  # fmt: skip
    optional = {"kubernetes_cluster", "kubernetes_users", "kubernetes_groups"}
    return {name: value for name, value in told.items() if value or name not in optional}


def _status_text(known: profile.Profile, identity: Identity, selected: str) -> str:
    minutes = round((identity.expires - time.time()) / 60)
    until = time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(identity.expires))
    rows = [
        ("Logged in as", identity.name),
        ("Cluster", known.cluster),
        ("Roles", ", ".join(sorted(identity.roles))),
        ("Logins", ", ".join(identity.logins)),
        ("Kubernetes", "enabled"),
        ("Kubernetes cluster", f'"{selected}"' if selected else ""),
        ("Kubernetes users", ", ".join(identity.kubernetes_users)),
        ("Kubernetes groups", ", ".join(identity.kubernetes_groups)),
        ("Valid until", f"{until} [valid for {minutes // 60}h{minutes % 60}m0s]"),
        ("Extensions", ", ".join(_extensions(identity))),
    ]
    lines = [f"  {f'{name}:':<19} {value}\n" for name, value in rows if value]
    return f"> Profile URL:        https://{known.proxy}:{known.port}\n{''.join(lines)}\n"
