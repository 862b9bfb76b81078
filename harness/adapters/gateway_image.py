"""The AWS gateway's image: built of the simulator's own files where the engine has none of them yet."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import docker.errors
import requests.exceptions

from harness.adapters import (
    image_store,
    processes,
)
from harness.core.errors import EnvironmentBroken
from harness.core.images import GATEWAY_BASE
from harness.core.redaction import redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


CLONE = Path(__file__).resolve().parents[2]
FOLDER = CLONE / "simulators" / "aws" / "image"
REPOSITORY = "conformance/aws-gateway"
REQUIREMENTS = {"localstack": "gateway.txt", "moto": "moto.txt"}
"""Backend -> the packages of the image; moto is one of them, LocalStack has an image of its own."""

BUILD_SECONDS = 900
"""Budget for one step of the build to say something; pip is silent while it installs."""

_PIP = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_PROXY",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_AUTHORITIES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BUILDERS_OWN = ("Step ", "--->", "Removing intermediate container ")
"""Beginnings of lines that say what the builder does, and not what went wrong."""


def image_name(backend: str) -> str:
    """What the image is called: its tag is a digest of all that it is made of.

    Args:
        backend: `localstack` or `moto`.
    """
    digest = hashlib.sha256()
    for name, content in sorted(_content(backend).items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def provide_gateway_image(
    client: docker.DockerClient, given: str | None, backend: str, tell: Callable[[str], None]
) -> str:
    """Name of an image of the gateway that the engine has, after a build where it had none.

    Packages come from where the user's pip has them: index, proxies and authorities are told to the build.

    Args:
        client: Of the engine.
        given: Image that the user names; pulled where the engine does not have it, and never built.
        backend: `localstack` or `moto`; moto's program is in the image.
        tell: Gets a line for the user before a build, which takes a while.

    Raises:
        EnvironmentBroken: It could not be pulled or built; with the last words.
    """
    if given:
        image_store.provide(client, [given], tell=tell)
        return given
    image = image_name(backend)
    if image_store.absent(client, [image]):
        tell(f"building the AWS gateway's image {image} (once)")
        _build(client, image, backend)
    return image


def _build(client: docker.DockerClient, image: str, backend: str) -> None:
    environ = {**os.environ, **processes.users_network()}
    arguments = _arguments(environ)
    log: list[Any] = []
    try:
        _, printed = client.images.build(
            fileobj=_archive({**_content(backend), "authorities.pem": _authorities(environ)}),
            custom_context=True,
            tag=image,
            buildargs=arguments,
            # A proxy on this machine's loopback is one for the build, too.
            network_mode="host",
            rm=True,
            forcerm=True,
            timeout=BUILD_SECONDS,
        )
        log += printed
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        log += getattr(error, "build_log", ())
        raise EnvironmentBroken(
            expected=f"the AWS gateway's image to be built on {GATEWAY_BASE}",
            seen=_last_words(error, log),
            remedy=f"the build needs {GATEWAY_BASE} and Python packages: `docker pull` the one; for the other, "
            "PIP_INDEX_URL, HTTPS_PROXY and PIP_CERT reach the build. Or bring an image with --gateway-image",
        ) from error
    finally:
        if any(_passwords(arguments[name]) for name in _PIP if name in arguments):
            _remove_first_stage(client, _printed(log))


def _remove_first_stage(client: docker.DockerClient, printed: str) -> None:
    """Removes the image of the stage in which pip ran: its history has pip's settings, a password among them.

    The next build asks the index again, which it does not where the engine still has that image.
    """
    _, *stages = re.split(r"^Step \d+/\d+ : FROM ", printed, flags=re.MULTILINE)
    made = re.findall(r"^ ---> ([0-9a-f]+)$", stages[0], re.MULTILINE) if stages else []
    # The first one is the base.
    if len(made) > 1:
        with contextlib.suppress(
            docker.errors.DockerException, requests.exceptions.RequestException, OSError
        ):
            client.images.remove(made[-1])


def _content(backend: str) -> dict[str, bytes]:
    """All that the image is made of: path in the build's context to content."""
    package = CLONE / "simulators"
    sources = [package / "__init__.py", *(package / "aws").rglob("*.py")]
    return {
        "Dockerfile": (FOLDER / "Dockerfile").read_bytes(),
        "requirements.txt": (FOLDER / REQUIREMENTS[backend]).read_bytes(),
        **{str(path.relative_to(CLONE)): path.read_bytes() for path in sources},
    }


def _archive(content: Mapping[str, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in sorted(content.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    packed.seek(0)
    return packed


def _arguments(environ: Mapping[str, str]) -> dict[str, str]:
    """Build arguments: the user's pip settings and proxies, whose passwords are kept out of all texts."""
    told = {name: environ[name] for name in _PIP if environ.get(name)}
    for name in _PROXIES:
        # Either case is usual, and tools differ in which they read.
        value = environ.get(name.lower()) or environ.get(name)
        if value:
            told |= {name: value, name.lower(): value}
    for value in told.values():
        for password in _passwords(value):
            with contextlib.suppress(ValueError):
                redactor.register(password)
    return told


def _passwords(value: str) -> list[str]:
    """Passwords in the addresses of a setting."""
    found = []
    for address in value.split():
        with contextlib.suppress(ValueError):
            found.append(urlsplit(address).password or "")
    return [password for password in found if password]


def _authorities(environ: Mapping[str, str]) -> bytes:
    """Certificate authorities that the user's pip trusts; empty for its own."""
    for name in _AUTHORITIES:
        path = environ.get(name)
        if path and Path(path).is_file():
            return Path(path).read_bytes()
    return b""


def _printed(log: Iterable[Any]) -> str:
    text = "".join(
        str(entry.get("stream") or entry.get("error") or "") for entry in log if isinstance(entry, dict)
    )
    return _COLOUR.sub("", text)


def _last_words(error: Exception, log: Iterable[Any]) -> str:
    lines = [line.strip()[:200] for line in _printed(log).splitlines()]
    told = [line for line in lines if line and not line.startswith(_BUILDERS_OWN)]
    return "\n".join(told[-6:]) or str(getattr(error, "explanation", None) or error)[:400]
