"""Archives of images with a real engine."""

from __future__ import annotations

import secrets
import tarfile
from typing import TYPE_CHECKING

from harness.adapters import (
    image_store,
    images,
)

if TYPE_CHECKING:
    from pathlib import Path

    import docker


def test_what_was_saved_can_be_loaded_again(
    docker_client: docker.DockerClient, host_image: str, tmp_path: Path
) -> None:
    name = f"conformance-test/archived:{secrets.token_hex(3)}"
    repository, _, tag = name.partition(":")
    assert docker_client.images.get(host_image).tag(repository, tag=tag)
    archive = tmp_path / "all.tar"
    try:
        images.save([name, host_image], archive)
        with tarfile.open(archive) as packed:
            assert "manifest.json" in packed.getnames()
        docker_client.images.remove(name)
        assert image_store.absent(docker_client, [name, host_image]) == [name]
        assert images.load(archive).count(name) == 1
        sizes = images.sizes(docker_client, [name, host_image])
        assert sizes[name] == sizes[host_image] is not None
    finally:
        docker_client.images.remove(name)
