"""The kubelet's configuration file, read and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from simulators.kubelet.objects import Isolation


class ConfigError(Exception):
    """The configuration file cannot be used; the text is one line for the user."""


@dataclass(frozen=True)
class Image:
    """A program of this machine that stands for container images.

    Args:
        name: glob on the whole image reference.
        entrypoint: what the image runs when the container names no command.
        path: folder put before the container's PATH; None for none.
    """

    name: str
    entrypoint: list[str]
    path: str | None


@dataclass(frozen=True)
class Config:
    """What one kubelet is started with.

    Args:
        run: mark of the run, given to every container as CONFORMANCE_RUN.
        node: name of the Node.
        kubeconfig: of the API server to serve.
        folder: below it lie the pods' volumes and logs.
        host: address to listen on.
        port: port to listen on; 0 for any.
        serving_certificate: of the kubelet API, PEM.
        serving_key: its key, PEM.
        client_ca: who may call the kubelet API presents a certificate of this authority.
        images: the first whose name matches is taken.
        environment: the node's addition to every container's environment.
        isolation: whether containers see their volumes at their mount paths.
        ready: file written once the kubelet serves and its Node is registered.
    """

    run: str
    node: str
    kubeconfig: Path
    folder: Path
    host: str
    port: int
    serving_certificate: Path
    serving_key: Path
    client_ca: Path
    images: list[Image]
    environment: dict[str, str]
    isolation: Isolation
    ready: Path


def load(path: Path) -> Config:
    """Read a configuration file.

    Args:
        path: JSON file; its form is in the package's `__main__`.

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
    if raw["isolation"] not in get_args(Isolation):
        raise ValueError(f"expected isolation to be one of {get_args(Isolation)}, seen: {raw['isolation']!r}")
    known = set(Config.__dataclass_fields__) - {"host", "port"} | {"listen"}
    if unknown := sorted(set(raw) - known):
        raise ValueError(f"expected only {sorted(known)}, seen also: {unknown}")
    return Config(
        run=str(raw["run"]),
        node=str(raw["node"]),
        kubeconfig=Path(raw["kubeconfig"]),
        folder=Path(raw["folder"]),
        host=host,
        port=int(port),
        serving_certificate=Path(raw["serving_certificate"]),
        serving_key=Path(raw["serving_key"]),
        client_ca=Path(raw["client_ca"]),
        images=[Image(i["name"], list(i["entrypoint"]), i.get("path")) for i in raw["images"]],
        environment={str(k): str(v) for k, v in raw["environment"].items()},
        isolation=raw["isolation"],
        ready=Path(raw["ready"]),
    )
