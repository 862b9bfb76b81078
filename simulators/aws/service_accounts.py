"""Reads service accounts from the Kubernetes API, with what a kubeconfig file says."""

from __future__ import annotations

import base64
import ssl
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TIMEOUT = aiohttp.ClientTimeout(total=10)


class KubernetesUnavailableError(Exception):
    """The API did not tell whether the service account exists."""


@dataclass(frozen=True)
class _Connection:
    server: str
    tls: ssl.SSLContext
    headers: dict[str, str] = field(repr=False)


class ServiceAccounts:
    """Service accounts as the API has them now; nothing is cached.

    Args:
        kubeconfig: Read when first needed and when it has changed, since the API starts later.
        session: The HTTP client to use.
    """

    def __init__(self, kubeconfig: Path, session: aiohttp.ClientSession) -> None:
        self._kubeconfig = kubeconfig
        self._session = session
        self._read: tuple[int, _Connection] | None = None

    async def annotations(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Read the annotations of a service account.

        Returns:
            They, or None when there is no such service account.

        Raises:
            KubernetesUnavailableError: The kubeconfig or the API is not there, or the API answers otherwise.
        """
        try:
            connection = self._connection()
            async with self._session.get(
                f"{connection.server}/api/v1/namespaces/{namespace}/serviceaccounts/{name}",
                ssl=connection.tls,
                headers=connection.headers,
                timeout=_TIMEOUT,
            ) as response:
                if response.status == 404:
                    return None
                if response.status != 200:
                    raise KubernetesUnavailableError(f"the Kubernetes API answered {response.status}")
                account = await response.json()
        except (aiohttp.ClientError, OSError, KeyError, ValueError, TypeError) as error:
            raise KubernetesUnavailableError(
                f"{type(error).__name__} while reading {namespace}/{name}"
            ) from error
        return account["metadata"].get("annotations") or {}

    def _connection(self) -> _Connection:
        version = self._kubeconfig.stat().st_mtime_ns
        if self._read is None or self._read[0] != version:
            self._read = (version, _connect(self._kubeconfig))
        return self._read[1]


def _connect(kubeconfig: Path) -> _Connection:
    # Imported when the first pod comes, to keep the start short.
    import yaml  # noqa: PLC0415 - see above

    try:
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        # Half of one, which is still being written.
        raise ValueError("no YAML") from error
    context = _named(document, "contexts", document["current-context"], "context")
    cluster = _named(document, "clusters", context["cluster"], "cluster")
    user = _named(document, "users", context["user"], "user")
    authority = _content(cluster, "certificate-authority", kubeconfig.parent)
    tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate = _content(user, "client-certificate", kubeconfig.parent)
    key = _content(user, "client-key", kubeconfig.parent)
    if certificate and key:
        # The ssl module loads keys from files only.
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            tls.load_cert_chain(file.name)
    token = user.get("token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return _Connection(cluster["server"].rstrip("/"), tls, headers)


def _named(document: dict[str, Any], kind: str, name: str, member: str) -> dict[str, Any]:
    for entry in document[kind]:
        if entry["name"] == name:
            return dict(entry[member])
    raise KeyError(f"no {member} {name!r}")


def _content(entry: dict[str, Any], name: str, folder: Path) -> bytes:
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"])
    return (folder / entry[name]).read_bytes() if name in entry else b""
