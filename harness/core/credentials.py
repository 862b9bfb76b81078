"""Credentials that the user hands over for images: LocalStack's token, and a registry's.

Both are known to the redactor before anybody can write them down.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.core import images
from harness.core.errors import UsageError
from harness.core.redaction import redactor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOCALSTACK_TOKEN = "LOCALSTACK_AUTH_TOKEN"  # noqa: S105 - the name of the variable, LocalStack's own
"""Environment variable with the token of a LocalStack account; no option: arguments are for all to see."""

_DOCKER_HUB = "docker.io"
_NAMES_OF_DOCKER_HUB = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})


def localstack_token(environ: Mapping[str, str]) -> str | None:
    """The user's LocalStack token, if there is one.

    Raises:
        UsageError: It is too short to be one, and to be kept out of texts.
    """
    token = environ.get(LOCALSTACK_TOKEN)
    if not token:
        return None
    _register(token, f"the token in {LOCALSTACK_TOKEN}")
    return token


class RegistrySecret:
    """A docker config.json with credentials, for pulls and for a Secret of type dockerconfigjson.

    Args:
        path: The file.

    Raises:
        UsageError: It is no such file, or has no credentials in it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.text = path.read_text()
            entries = json.loads(self.text)["auths"]
            self._credentials = {_host(host): _credentials(entry) for host, entry in entries.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _no_secret(path, f"{type(error).__name__}: {error}") from None
        if not any(self._credentials.values()):
            raise _no_secret(path, "no credentials: a credential helper seems to keep them")

    def credentials(self, image: str) -> dict[str, str] | None:
        """What the Docker engine's API takes as credentials for an image; None where the file has none."""
        return self._credentials.get(images.registry(image)) or None


def _no_secret(path: Path, seen: str) -> UsageError:
    return UsageError(
        expected=f"a docker config.json with `auths` in {path} (--registry-secret)",
        seen=seen,
        remedy="`docker --config FOLDER login REGISTRY` with an empty folder writes one",
    )


def _host(text: str) -> str:
    host = urlsplit(text if "://" in text else f"https://{text}").netloc
    return _DOCKER_HUB if host in _NAMES_OF_DOCKER_HUB else host


def _credentials(entry: Mapping[str, Any]) -> dict[str, str]:
    found = {name: str(entry[name]) for name in ("username", "password", "identitytoken") if entry.get(name)}
    if entry.get("auth"):
        _register(entry["auth"], "the credentials of a registry")
        name, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        found = {"username": name, "password": password} | found
    for name in ("password", "identitytoken"):
        if found.get(name):
            _register(found[name], "the credentials of a registry")
    return {name: value for name, value in found.items() if value}


def _register(secret: str, what: str) -> None:
    try:
        redactor.register(secret)
    except ValueError:
        raise UsageError(
            expected=f"{what} to be long enough to be kept out of logs", seen="it is not", remedy="check it"
        ) from None
