"""Images of a kind environment: which it needs, and an archive of them for machines without a network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.adapters import (
    chart,
    docker_engine,
    image_store,
    processes,
)
from harness.adapters.clients import AWS_CLI_IMAGE
from harness.core import images
from harness.core.errors import EnvironmentBroken, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import docker

    from harness.core.settings import Settings
    from harness.environment import Completed

ARCHIVE_SECONDS = 1800.0
"""Budget to write or read an archive of some 3 GB, on a slow disk."""

ONE_PLATFORM = (1, 48)
"""Version of the engine's API from which it can save one platform of an image.

Engines that keep images as containerd does know of all platforms of an image, and have the content of one: saved
whole, nobody can load it (kind#3795).
"""


@dataclass(frozen=True)
class Needed:
    """Images of a kind environment.

    Attributes:
        node: Of the cluster's node.
        teleport: Of the Teleport that serves; `tsh` is taken out of it.
        agent: Of the agent's pod, and of the chart's hooks.
        aws_cli: Of the pod that shows a service account's AWS identity.
        localstack: None where moto answers.
        webhook: Of the pod identity webhook; None where the gateway is it.
        gateway: Of the AWS gateway, where the user named one; None where it is built.
        gateway_base: What it is built on; None where the user named one. Needed for the build only.
        other_agent: Of an agent of another major; None where the user named none.
    """

    node: str
    teleport: str
    agent: str
    aws_cli: str
    localstack: str | None
    webhook: str | None
    gateway: str | None
    gateway_base: str | None
    other_agent: str | None = None

    @property
    def by_part(self) -> dict[str, str]:
        """Every image that has to be there, by what it is for; the gateway's only where the user named one."""
        parts = {
            "node": self.node,
            "teleport": self.teleport,
            "agent": self.agent,
            "other-agent": self.other_agent,
            "aws-cli": self.aws_cli,
            "localstack": self.localstack,
            "webhook": self.webhook,
            "aws-gateway": self.gateway,
        }
        return {part: image for part, image in parts.items() if image is not None}

    @property
    def all(self) -> tuple[str, ...]:
        """The same images, each once."""
        return tuple(dict.fromkeys(self.by_part.values()))


def needed(settings: Settings) -> Needed:
    """The images that a kind environment of these settings needs.

    Args:
        settings: Of env kind.

    Raises:
        UsageError: They lack a Teleport or a chart, or the chart is none.
    """
    if settings.teleport_image is None or settings.chart is None:
        raise UsageError(
            expected="--teleport VERSION|IMAGE and --chart DIR|ARCHIVE, by which an environment's images are known",
            seen=" ".join(settings.command_line()[2:]) or "no option",
            remedy="give both, with --env kind",
        )
    built = settings.gateway_image is None
    return Needed(
        node=settings.node_image or images.LATEST_NODE,
        teleport=settings.teleport_image,
        agent=settings.agent_image or chart.agent_image(settings.chart),
        aws_cli=AWS_CLI_IMAGE,
        localstack=(settings.localstack_image or images.LOCALSTACK)
        if settings.aws_backend == "localstack"
        else None,
        webhook=settings.webhook_image,
        gateway=settings.gateway_image,
        other_agent=settings.other_agent_image,
        gateway_base=images.GATEWAY_BASE if built else None,
    )


def sizes(client: docker.DockerClient, names: Sequence[str]) -> dict[str, int | None]:
    """Bytes of each of these images in the engine; None of one that it does not have.

    Args:
        client: Of the engine.
        names: Of the images.
    """
    absent = set(image_store.absent(client, names))
    return {name: None if name in absent else int(client.images.get(name).attrs["Size"]) for name in names}


def one_platform() -> list[str]:
    """Arguments by which `docker image save` saves the engine's own platform alone, where that is needed.

    Raises:
        EnvironmentBroken: There is no program `docker`, or no engine answers it.
    """
    told = _docker("version", "--format", "{{.Client.APIVersion}} {{.Server.Os}}/{{.Server.Arch}}", within=60)
    # The lower of what client and engine can do.
    version, platform = processes.checked(told, expected="`docker version` to tell").stdout.split()
    major, minor = map(int, version.split("."))
    return [f"--platform={platform}"] if (major, minor) >= ONE_PLATFORM else []


def save(names: Sequence[str], target: Path) -> None:
    """Writes images that are there into one archive.

    Args:
        names: Of the images, each with its tag.
        target: The archive; one of that name is replaced once the new one is whole.

    Raises:
        UsageError: An image is known by its digest alone, which an archive does not keep; or there is no
            folder for the archive.
        EnvironmentBroken: It could not be written.
    """
    without_tag = [name for name in names if "@" in name]
    if without_tag:
        raise UsageError(
            expected="images by their tags: an archive keeps no digest",
            seen=", ".join(without_tag),
            remedy="name them by their tags, for `images save` and where the archive is loaded",
        )
    if not target.parent.is_dir() or target.is_dir():
        raise UsageError(
            expected="the name of a file to write, in a folder that is there",
            seen=str(target),
            remedy="make the folder, or choose another file",
        )
    whole = target.with_name(f".{target.name}.part")
    try:
        saved = _docker("image", "save", *one_platform(), "--output", str(whole.resolve()), *names)
        processes.checked(saved, expected=f"the images to be written to {target}")
        whole.replace(target)
    finally:
        whole.unlink(missing_ok=True)


def load(archive: Path) -> list[str]:
    """Brings an archive's images into the engine; returns their names.

    Args:
        archive: Made by `save`, or by `docker save`.

    Raises:
        UsageError: There is no such file.
        EnvironmentBroken: The engine refused it.
    """
    if not archive.is_file():
        raise UsageError(
            expected="an archive that `./conformance images save` made",
            seen=f"no file {archive}",
            remedy="name it",
        )
    loaded = _docker("image", "load", "--input", str(archive.resolve()))
    text = processes.checked(loaded, expected=f"the images in {archive} to be loaded").stdout
    names = re.findall(r"^Loaded image(?: ID)?: (\S+)", text, re.MULTILINE)
    if not names:
        raise EnvironmentBroken(
            expected=f"images in {archive}",
            seen=text.strip()[:400] or "`docker image load` told of none",
            remedy="make it again with `./conformance images save`",
        )
    return list(names)


def _docker(*arguments: str, within: float = ARCHIVE_SECONDS) -> Completed:
    return processes.run(
        [docker_engine.program(), *arguments],
        env=docker_engine.command_environment(),
        cwd=Path("/"),
        within=within,
    )
