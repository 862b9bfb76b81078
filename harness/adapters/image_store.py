"""Images in the Docker engine: which are there, had by pulling, and files copied out of them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import docker.errors

from harness.adapters import docker_engine
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_UNAUTHORIZED = "unauthorized"
"""Error code by which a registry says that it does not take credentials, or wants some."""


def copy_out(client: docker.DockerClient, image: str, path: str, target: Path, *, run: str) -> bool:
    """Copies a file out of an image, through a container that never runs; whether it is there.

    Args:
        client: Of the engine.
        image: Which is there.
        path: Absolute, in the image.
        target: File to write, executable.
        run: Run id, for the container's label.

    Raises:
        EnvironmentBroken: The engine does not have the image, or refused.
    """
    try:
        container = client.containers.create(
            image, entrypoint=["/"], labels={docker_engine.LABEL: run}, use_config_proxy=False
        )
    except docker.errors.ImageNotFound as error:
        raise missing_images([image]) from error
    except docker_engine.BROKEN as error:
        raise _not_copied(path, image, error) from error
    try:
        stream, _ = container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            # A link in an image's file system means a file of the image.
            member = archive.getmembers()[0]
            if member.issym():
                return copy_out(client, image, str(Path(path).parent / member.linkname), target, run=run)
            content = archive.extractfile(member)
            target.write_bytes(content.read() if content else b"")
    except docker_engine.GONE:
        return False
    except docker_engine.BROKEN as error:
        raise _not_copied(path, image, error) from error
    finally:
        container.remove(force=True, v=True)
    target.chmod(0o755)
    return True


def _not_copied(path: str, image: str, error: Exception) -> EnvironmentBroken:
    return EnvironmentBroken(
        expected=f"{path} to be copied out of {image}",
        seen=docker_engine.brief(error),
        remedy=docker_engine.way_out(error),
    )


def absent(client: docker.DockerClient, images: Sequence[str]) -> list[str]:
    """Which of these images the engine does not have.

    Raises:
        EnvironmentBroken: The engine does not answer.
    """
    missing = []
    for image in dict.fromkeys(images):
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            missing.append(image)
        except docker_engine.BROKEN as error:
            raise docker_engine.no_answer(error) from error
    return missing


def provide(
    client: docker.DockerClient,
    images: Sequence[str],
    *,
    credentials: Callable[[str], Mapping[str, str] | None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[str]:
    """Has the engine pull what it does not have of these images; returns what it pulled.

    Args:
        client: Of the engine.
        images: Names.
        credentials: Those for an image; None for it, or without this, the user's own of `docker login` serve.
        tell: Gets a line for the user before each pull.

    Raises:
        EnvironmentBroken: Some can not be had; all of them are named.
    """
    wanting = absent(client, images)
    refused: dict[str, str] = {}
    wrong: list[str] = []
    for image in wanting:
        if tell is not None:
            tell(f"pulling {image}")
        known = credentials and credentials(image)
        try:
            client.images.pull(image, auth_config=dict(known) if known else None)
        except docker_engine.BROKEN as error:
            refused[image] = docker_engine.brief(error)
            if known and _UNAUTHORIZED in refused[image].lower():
                wrong.append(image)
    if wrong:
        raise missing_images(
            list(refused),
            refused[wrong[0]],
            remedy="the registry refused the user name or password that --registry-secret has for it, or this user "
            "may not have the image: `docker --config FOLDER login REGISTRY` tells which",
        )
    if refused:
        raise missing_images(list(refused), next(iter(refused.values())))
    return wanting


def missing_images(
    images: Sequence[str],
    seen: str = "the Docker engine does not have them",
    *,
    remedy: str = "check the name and version for a slip; a private registry wants `docker login` or "
    "--registry-secret. For a machine without a network, `./conformance images save` and `load` bring them",
) -> EnvironmentBroken:
    """The error that names images which can not be had, with the way out."""
    return EnvironmentBroken(expected=f"the images {', '.join(images)}", seen=seen, remedy=remedy)


def identity(client: docker.DockerClient, image: str) -> str:
    """The digest by which a registry knows an image that is there, else its id: what a tag stood for."""
    found = client.images.get(image)
    digests: list[str] = found.attrs.get("RepoDigests") or []
    return digests[0].rpartition("@")[2] if digests else str(found.id)
