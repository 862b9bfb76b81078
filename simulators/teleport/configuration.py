"""`teleport.yaml`: what the simulation follows of it; a key that it does not know is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from simulators.teleport import quick_yaml
from simulators.teleport.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

Section = dict[str, Any]

DATA_FOLDER = "/var/lib/teleport"
SECTIONS: dict[str, frozenset[str]] = {
    "teleport": frozenset(
        {"nodename", "data_dir", "log", "join_params", "proxy_server", "ca_pin", "diag_addr"}
    ),
    "auth_service": frozenset(
        {"enabled", "cluster_name", "listen_addr", "proxy_listener_mode", "authentication", "tokens"}
    ),
    "proxy_service": frozenset(
        {
            "enabled",
            "web_listen_addr",
            "public_addr",
            "https_keypairs",
            "listen_addr",
            "tunnel_listen_addr",
            "tunnel_public_addr",
            "kube_listen_addr",
        }
    ),
    "ssh_service": frozenset({"enabled"}),
    "kubernetes_service": frozenset({"enabled", "kube_cluster_name", "labels"}),
    "app_service": frozenset({"enabled", "apps", "resources"}),
    "db_service": frozenset({"enabled", "databases", "resources", "aws", "azure"}),
    "discovery_service": frozenset({"enabled", "discovery_group", "kubernetes"}),
    "jamf_service": frozenset({"enabled"}),
    "windows_desktop_service": frozenset({"enabled"}),
}
"""Section -> keys that may be in it."""

JOINED_AS = {
    "kubernetes_service": "Kube",
    "app_service": "App",
    "db_service": "Db",
    "discovery_service": "Discovery",
    "windows_desktop_service": "WindowsDesktop",
}
"""Section of a service -> the system role that it joins as."""


@dataclass(frozen=True)
class Configuration:
    """A `teleport.yaml`.

    Attributes:
        path: of the file, as it was named.
        sections: of the file.
        data: data folder, as it was named.
        version: of the file's format.
    """

    path: str
    sections: dict[str, Section] = field(default_factory=dict)
    data: str = DATA_FOLDER
    version: str = "v1"

    def section(self, name: str) -> Section:
        """A section; empty where the file lacks it."""
        return self.sections.get(name, {})

    def enabled(self, name: str) -> bool:
        """Whether a service is on."""
        return str(self.section(name).get("enabled", "no")).lower() in {"yes", "true", "on"}

    @property
    def cluster(self) -> str:
        """Name of the Teleport cluster, where this is its Auth Service."""
        return str(self.section("auth_service").get("cluster_name", ""))

    @property
    def auth_address(self) -> tuple[str, int]:
        """Host and port where the Auth Service listens."""
        return address(
            self.section("auth_service").get("listen_addr", "127.0.0.1:3025"), "auth_service.listen_addr"
        )

    @property
    def tunnel_apart(self) -> str:
        """`host:port` to which agents are sent for the reverse tunnel; empty where it is the proxy's own address."""
        proxy, auth = self.section("proxy_service"), self.section("auth_service")
        apart = auth.get("proxy_listener_mode", "multiplex") == "separate"
        return str(proxy.get("tunnel_public_addr", "")) if apart else ""

    @property
    def serves_kubernetes(self) -> bool:
        """Whether the proxy takes kubectl's requests: of itself from format v2 on (13, lib/config/configuration.go)."""
        return self.version != "v1" or "kube_listen_addr" in self.section("proxy_service")

    @property
    def services(self) -> tuple[str, ...]:
        """System roles of the agent's services."""
        return tuple(role for name, role in JOINED_AS.items() if self.enabled(name))


def address(text: Any, where: str) -> tuple[str, int]:
    """Read `host:port`.

    Args:
        text: the written form.
        where: it stands, for the message.

    Raises:
        ConfigurationError: it is none.
    """
    host, _, port = str(text).removeprefix("https://").rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(f"{where}: expected host:port, seen {text!r}")
    return host, int(port)


def read(named: str, path: Path) -> Configuration:
    """Read the file.

    Args:
        named: as the user wrote it.
        path: where it is.

    Raises:
        ConfigurationError: it is missing, no YAML, or has something that is not simulated.
    """
    try:
        document = quick_yaml.load(path.read_text())
    except OSError as error:
        raise ConfigurationError(
            f"failed to open file for Teleport configuration: {named}: {error.strerror}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"failed to parse Teleport configuration: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{named}: expected a YAML mapping")
    version = document.pop("version", "v1")
    if version not in {"v1", "v2", "v3"}:
        raise ConfigurationError(f"version: expected v1, v2 or v3, seen {version!r}")
    sections = {name: section or {} for name, section in document.items()}
    for name, section in sections.items():
        if name not in SECTIONS:
            raise ConfigurationError(f"{name}: this section is not simulated")
        unknown = sorted(set(section) - SECTIONS[name])
        if unknown:
            raise ConfigurationError(f"{name}.{unknown[0]}: this key is not simulated")
    data = sections.get("teleport", {}).get("data_dir", DATA_FOLDER)
    return Configuration(named, sections, str(data), version)
