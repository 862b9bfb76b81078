"""The chart under test, published as a chart repository's folder so that `helm repo add` runs as printed."""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from harness.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "teleport-kube-agent"
HOST = "charts.releases.teleport.dev"
"""Host of the chart repository in the guide; the AWS gateway serves the folder under this name."""

INDEXED = frozenset({"apiVersion", "name", "version", "appVersion", "description", "type", "kubeVersion"})
"""What an index takes over of a Chart.yaml; Helm 3 refuses an index with keys that it does not know."""


@dataclass(frozen=True)
class Chart:
    """A chart, packed.

    Attributes:
        archive: The packed chart.
        version: Of the chart.
        app_version: Of Teleport, whose image the chart asks for by default.
    """

    archive: Path
    version: str
    app_version: str


def publish(given: Path, folder: Path) -> Chart:
    """Packs a chart folder, or takes an archive as it is, and writes the repository's index beside it.

    Args:
        given: Chart folder or `.tgz` archive, as the user named it.
        folder: Folder to make the repository in.

    Raises:
        UsageError: What was given is no teleport-kube-agent chart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metadata = _metadata(given)
    if metadata.get("name") != NAME or not metadata.get("version"):
        raise UsageError(
            expected=f"--chart to name the chart {NAME}, in some version",
            seen=f"chart {metadata.get('name')!r}, version {metadata.get('version')!r}, in {given}",
            remedy="name the folder that holds the chart's Chart.yaml, or its packed archive",
        )
    archive = folder / f"{NAME}-{metadata['version']}.tgz"
    if given.is_dir():
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(given, arcname=NAME)
    else:
        archive.write_bytes(given.read_bytes())
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    known = {key: value for key, value in metadata.items() if key in INDEXED}
    entry = {**known, "urls": [archive.name], "digest": digest, "created": "2000-01-01T00:00:00Z"}
    index = {"apiVersion": "v1", "entries": {NAME: [entry]}, "generated": "2000-01-01T00:00:00Z"}
    (folder / "index.yaml").write_text(yaml.safe_dump(index))
    return Chart(archive, str(metadata["version"]), str(metadata.get("appVersion", metadata["version"])))


def agent_image(given: Path) -> str:
    """The image that the chart asks for where its user sets no value that names another.

    Args:
        given: Chart folder or `.tgz` archive, as the user named it.

    Raises:
        UsageError: What was given is no teleport-kube-agent chart.
    """
    metadata, values = _metadata(given), _mapping(given, "values.yaml")
    image = values.get("enterpriseImage" if values.get("enterprise") else "image")
    # The templates take the chart's version, which is the appVersion of every chart that Teleport publishes.
    version = values.get("teleportVersionOverride") or metadata.get("version")
    if metadata.get("name") != NAME or not image or not version:
        raise UsageError(
            expected=f"--chart to name the chart {NAME}, with an image in its values",
            seen=f"chart {metadata.get('name')!r}, version {version!r}, image {image!r}, in {given}",
            remedy="name the folder that holds the chart's Chart.yaml, or its packed archive",
        )
    return f"{image}:{version}"


def _metadata(given: Path) -> dict[str, Any]:
    return _mapping(given, "Chart.yaml")


def _mapping(given: Path, name: str) -> dict[str, Any]:
    try:
        if given.is_dir():
            text = (given / name).read_text()
        else:
            with tarfile.open(given) as packed:
                member = packed.extractfile(f"{NAME}/{name}")
                text = member.read().decode() if member else ""
        metadata = yaml.safe_load(text)
        if not isinstance(metadata, dict):
            raise TypeError(f"its {name} holds no mapping")  # noqa: TRY301  # told as the others are
    # A file cut short: EOFError. One that is no text: ValueError.
    except (OSError, EOFError, KeyError, TypeError, ValueError, tarfile.TarError, yaml.YAMLError) as error:
        raise UsageError(
            expected=f"--chart to name a folder with Chart.yaml, or a packed {NAME} chart",
            seen=f"{given}: {error}",
            remedy="give the chart's folder (…/examples/chart/teleport-kube-agent) or its .tgz",
        ) from error
    return metadata
