"""`./conformance images`: what a kind environment needs of images, and how it comes to a machine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from harness.adapters import (
    docker_engine,
    gateway_image,
    image_store,
    images,
)
from harness.core import images as core_images
from harness.core.credentials import RegistrySecret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.core.settings import Settings

    Tell = Callable[[str], None]

GATEWAY = "aws-gateway"
_MEGABYTE = 1_000_000


def listing(settings: Settings, tell: Tell) -> None:
    """Lists the images of an environment of these settings, with their sizes or as absent.

    Raises:
        UsageError: The settings do not tell the images.
        EnvironmentBroken: No Docker engine answers.
    """
    parts = _parts(settings)
    with contextlib.closing(docker_engine.connect()) as client:
        sizes = images.sizes(client, list(parts.values()))
        widths = [max(map(len, column)) for column in (parts, parts.values())]
        for part, name in parts.items():
            size = sizes[name]
            what = "absent" if size is None else f"{round(size / _MEGABYTE):5} MB"
            if size is None and part == GATEWAY and settings.gateway_image is None:
                what = f"absent; is built on {core_images.GATEWAY_BASE}"
            tell(f"{part:<{widths[0]}}  {name:<{widths[1]}}  {what}")
    absent = sum(size is None for size in sizes.values())
    remedy = "; `./conformance images pull` brings them" if absent else ""
    tell(f"{len(sizes)} images, {absent} absent{remedy}")


def pull(settings: Settings, tell: Tell) -> None:
    """Pulls what is absent, and builds the AWS gateway's image where it is.

    Raises:
        UsageError: The settings do not tell the images, or the registry's secret is none.
        EnvironmentBroken: Images can not be had; all of them are named.
    """
    wanted = images.needed(settings)
    secret = settings.registry_secret and RegistrySecret(settings.registry_secret)
    with contextlib.closing(docker_engine.connect()) as client:
        pulled = image_store.provide(
            client, wanted.all, credentials=secret.credentials if secret else None, tell=tell
        )
        gateway_image.provide_gateway_image(client, settings.gateway_image, settings.aws_backend, tell)
    tell(f"{len(pulled)} pulled; all images are there")


def save(settings: Settings, target: Path, tell: Tell) -> None:
    """Writes all images of an environment into one archive; all must be there.

    Raises:
        UsageError: The settings do not tell the images, or the archive cannot have that name.
        EnvironmentBroken: An image is absent, or the archive could not be written.
    """
    names = list(dict.fromkeys(_parts(settings).values()))
    with contextlib.closing(docker_engine.connect()) as client:
        absent = image_store.absent(client, names)
    if absent:
        raise image_store.missing_images(
            absent, remedy="`./conformance images pull` with the same options first"
        )
    images.save(names, target)
    tell(f"{target}: {len(names)} images, {round(target.stat().st_size / _MEGABYTE)} MB")


def load(archive: Path, tell: Tell) -> None:
    """Brings the images of an archive into the engine.

    Raises:
        UsageError: There is no such file.
        EnvironmentBroken: The engine does not answer, or refuses it.
    """
    docker_engine.connect().close()
    loaded = images.load(archive)
    for name in loaded:
        tell(name)
    tell(f"{len(loaded)} images loaded")


def _parts(settings: Settings) -> dict[str, str]:
    wanted = images.needed(settings)
    built = {} if wanted.gateway else {GATEWAY: gateway_image.image_name(settings.aws_backend)}
    return wanted.by_part | built
