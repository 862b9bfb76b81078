"""The profile of a signed-in user: what `tsh login` leaves in TELEPORT_HOME for `tsh`, `tctl` and kubectl."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simulators.teleport.client import Service
from simulators.teleport.files import write_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

CURRENT = "current-profile"
DEFAULT_PORT = 443


@dataclass(frozen=True)
class Profile:
    """A profile.

    Attributes:
        folder: TELEPORT_HOME.
        proxy: host name of the proxy.
        port: of the proxy.
        user: signed in.
        cluster: Teleport cluster.
    """

    folder: Path
    proxy: str
    port: int
    user: str
    cluster: str

    @property
    def keys(self) -> Path:
        """Folder with keys and certificates."""
        return self.folder / "keys" / self.proxy

    @property
    def private_key(self) -> str:
        """Of the user, PEM."""
        return (self.keys / self.user).read_text()

    @property
    def certificate(self) -> str:
        """Of the user, PEM."""
        return (self.keys / f"{self.user}-x509.pem").read_text()

    @property
    def authority(self) -> str:
        """Of the cluster's hosts, PEM."""
        return (self.keys / "certs.pem").read_text()

    @property
    def service(self) -> Service:
        """The proxy, called as the user."""
        return Service(self.proxy, self.port, identity=self.certificate + self.private_key)

    def kubernetes_certificate(self, kubernetes_cluster: str) -> Path:
        """Where the certificate for a Kubernetes cluster is kept."""
        return self.keys / f"{self.user}-kube" / self.cluster / f"{kubernetes_cluster}-x509.pem"

    def save(self, key: str, certificate: str, authority: str) -> None:
        """Write the profile; an earlier one of the user goes first, with what it was given.

        Args:
            key: of the user, PEM.
            certificate: of the user, PEM.
            authority: of the cluster's hosts, PEM.
        """
        shutil.rmtree(self.keys, ignore_errors=True)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(self.keys / self.user, key)
        write_secret(self.keys / f"{self.user}-x509.pem", certificate)
        write_secret(self.keys / "certs.pem", authority)
        settings = {"web_proxy_addr": f"{self.proxy}:{self.port}", "user": self.user, "cluster": self.cluster}
        text = "".join(f"{name}: {value}\n" for name, value in settings.items())
        write_secret(self.folder / f"{self.proxy}.yaml", f"# written by simulated tsh\n{text}")
        write_secret(self.folder / CURRENT, self.proxy)


def home(environ: Mapping[str, str], cwd: Path) -> Path:
    """TELEPORT_HOME, or `.tsh` in the user's home."""
    return cwd / (environ.get("TELEPORT_HOME") or Path(environ.get("HOME", "")) / ".tsh")


def current(environ: Mapping[str, str], cwd: Path) -> Profile | None:
    """The profile that is in use, or None."""
    folder = home(environ, cwd)
    name = folder / CURRENT
    if not name.is_file():
        return None
    lines = (folder / f"{name.read_text().strip()}.yaml").read_text().splitlines()
    settings = dict(line.split(": ", 1) for line in lines if not line.startswith("#"))
    host, _, port = settings["web_proxy_addr"].rpartition(":")
    return Profile(folder, host, int(port), settings["user"], settings["cluster"])


def remove(environ: Mapping[str, str], cwd: Path) -> bool:
    """Remove the profile; whether there was one."""
    found = current(environ, cwd)
    if found is None:
        return False
    shutil.rmtree(found.folder / "keys", ignore_errors=True)
    for name in (f"{found.proxy}.yaml", CURRENT):
        (found.folder / name).unlink(missing_ok=True)
    return True
