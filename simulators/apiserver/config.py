"""The API server's configuration file, read and checked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

VERSION = "v1.32.0+conformance-simulated"
_VERSION = re.compile(r"v(\d+)\.(\d+)\.\d+\+[-.0-9A-Za-z]*simulated[-.0-9A-Za-z]*")


class ConfigError(Exception):
    """The configuration file cannot be used; the text is one line for the user."""


@dataclass(frozen=True)
class Config:
    """What one API server is started with.

    Args:
        run: mark of the run.
        host: loopback address to listen on.
        port: port to listen on; 0 for any.
        serving_certificate: PEM.
        serving_key: its key, PEM.
        client_ca: of client certificates: common name is the user, organizations are the groups.
        issuer: of service account tokens.
        signing_key: of service account tokens, RSA, PEM.
        public_key: of the signing key, PEM.
        audiences: that tokens for this server may name; also those of tokens that name none.
        audit_log: JSON lines are appended to it.
        kubelet_ca: of the kubelets' serving certificates.
        kubelet_client_certificate: presented to kubelets.
        kubelet_client_key: its key, PEM.
        root_ca: content of the ConfigMap kube-root-ca.crt.
        version: told by /version; says in its build metadata that it is simulated.
        ready: file written once the server answers.
    """

    run: str
    host: str
    port: int
    serving_certificate: Path
    serving_key: Path
    client_ca: Path
    issuer: str
    signing_key: Path
    public_key: Path
    audiences: tuple[str, ...]
    audit_log: Path
    kubelet_ca: Path
    kubelet_client_certificate: Path
    kubelet_client_key: Path
    root_ca: Path
    version: str
    ready: Path

    def release(self) -> tuple[str, str]:
        """Major and minor version."""
        found = _VERSION.fullmatch(self.version)
        if found is None:
            raise ValueError(
                f"expected version to be like {VERSION} (it has to say that it is simulated, and after a plus "
                f"sign, since Helm's constraints refuse pre-releases), seen: {self.version!r}"
            )
        return found[1], found[2]


def load(path: Path) -> Config:
    """Read a configuration file: a JSON object with the names of `Config`, `listen` for host and port.

    Args:
        path: of the file.

    Raises:
        ConfigError: the file is missing, is not JSON, or lacks or misspells something.
    """
    try:
        raw = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"expected a configuration file at {path}, seen: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"expected JSON in {path}, seen: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"expected a JSON object in {path}, seen: {type(raw).__name__}")
    try:
        return _config(raw)
    except KeyError as error:
        raise ConfigError(f"expected {error} in {path}, seen none; add it") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _config(raw: dict[str, Any]) -> Config:
    host, _, port = str(raw["listen"]).rpartition(":")
    if host not in {"127.0.0.1", "localhost"}:
        raise ValueError(f"expected a loopback address in listen, seen: {raw['listen']!r}")
    known = {field.name for field in fields(Config)} - {"host", "port"} | {"listen"}
    if unknown := sorted(set(raw) - known):
        raise ValueError(f"expected only {sorted(known)}, seen also: {unknown}")
    paths = {field.name: Path(raw[field.name]) for field in fields(Config) if field.type == "Path"}
    config = Config(
        run=str(raw["run"]),
        host=host,
        port=int(port),
        issuer=str(raw["issuer"]),
        audiences=tuple(str(audience) for audience in raw["audiences"]),
        version=str(raw.get("version", VERSION)),
        **paths,
    )
    config.release()
    if not config.audiences:
        raise ValueError("expected at least one audience, seen none")
    return config
