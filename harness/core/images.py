"""Names of container images: what a version stands for, and the parts of a name.

A name is `[registry/]path[:tag][@digest]`, as Docker has it.
"""

import re
from collections.abc import Callable

TELEPORT = "public.ecr.aws/gravitational/teleport-distroless"
"""Repository of the official community image; Enterprise ones are named by their whole name."""

NODE = "kindest/node"
"""Repository of kind's nodes, whose tags are Kubernetes versions (https://hub.docker.com/r/kindest/node)."""

LATEST_NODE = f"{NODE}:v1.36.1"
"""What a cluster is made of where no Kubernetes version was chosen: the default of kind 0.32."""

LOCALSTACK = "localstack/localstack:4.14.0"
"""The last one that runs without an account (issues testcontainers-python#985, microcks#2008)."""

GATEWAY_BASE = "python:3.13-slim-bookworm"
"""What the AWS gateway's image is built on."""

_VERSION = re.compile(r"v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_NAME = re.compile(
    # A registry tells itself from a part of the path by a dot, a port, or by being localhost.
    r"(?P<repository>(?:(?P<registry>localhost|[\w-]+(?=:)|[\w-]+(?:\.[\w-]+)+)(?P<port>:\d+)?/)?"
    rf"{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def version(text: str) -> str | None:
    """The version in a text that is nothing but one, such as `13.0.0` or `v1.32.2`, without its `v`."""
    found = _VERSION.fullmatch(text)
    return found and found[1]


def is_pinned(text: str) -> bool:
    """Whether a text is the name of an image with its tag or digest; without one it could be any version."""
    found = _NAME.fullmatch(text)
    return found is not None and bool(found["tag"] or found["digest"])


def teleport_image(text: str) -> str:
    """The image that a VERSION or IMAGE of Teleport stands for.

    Raises:
        ValueError: It is neither.
    """
    return _image(text, lambda number: f"{TELEPORT}:{number}")


def agent_image(text: str) -> str:
    """The image that a VERSION or IMAGE of the agent stands for; the chart takes no digest.

    Raises:
        ValueError: It is neither, or has a digest.
    """
    image = teleport_image(text)
    if "@" in image:
        raise ValueError(text)
    return image


def node_image(text: str) -> str:
    """The image of a node that a Kubernetes VERSION or an IMAGE stands for.

    Raises:
        ValueError: It is neither.
    """
    return _image(text, lambda number: f"{NODE}:v{number}")


def split(image: str) -> tuple[str, str | None]:
    """Repository and tag of an image, as the chart's values `image` and `teleportVersionOverride` take them.

    Args:
        image: A name, with its tag or without; a digest is no part of either.

    Raises:
        ValueError: It is no name of an image.
    """
    found = _NAME.fullmatch(image)
    if found is None:
        raise ValueError(image)
    return found["repository"], found["tag"]


def registry(image: str) -> str:
    """Registry of an image, as a docker config.json names it.

    Raises:
        ValueError: It is no name of an image.
    """
    found = _NAME.fullmatch(image)
    if found is None:
        raise ValueError(image)
    return f"{found['registry']}{found['port'] or ''}" if found["registry"] else "docker.io"


def _image(text: str, of_version: Callable[[str], str]) -> str:
    number = version(text)
    if number is not None:
        return of_version(number)
    if not is_pinned(text):
        raise ValueError(text)
    return text
