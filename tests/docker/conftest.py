"""A real Docker engine, where one answers; elsewhere these tests are skipped, and say so."""

from __future__ import annotations

import contextlib
import io
import platform
import secrets
import shutil
import socket
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.adapters import (
    containers,
    docker_engine,
    run_containers,
)
from harness.core.errors import EnvironmentBroken
from harness.core.ledger import Ledger, replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

HOST_FOLDERS = (Path("/usr"), Path(sys.base_prefix))
"""Where this machine's own programs are; containers of the test image have no other."""

LINKED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """The machine's engine; without one every test that uses it is skipped."""
    try:
        client = docker_engine.connect()
    except EnvironmentBroken as error:
        pytest.skip(f"no Docker engine answers: {error.seen}; not exercised")
    if shutil.which("docker") is None:
        client.close()
        pytest.skip("a Docker engine answers, but there is no program docker; not exercised")
    with contextlib.closing(client):
        yield client


@pytest.fixture
def engine(docker_client: docker.DockerClient, tmp_path: Path) -> Iterator[containers.Engine]:
    """An engine for a run of its own; what a test made in it is undone by its ledger, and nothing is left."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    made = containers.Engine(secrets.token_hex(3), ledger)
    undo = {
        "container": run_containers.undo_container,
        "docker-network": run_containers.undo_network,
        "kind-cluster": run_containers.undo_cluster,
    }
    with contextlib.closing(made.client):
        yield made
        leftovers = replay(ledger, undo)
    marked = {"label": f"{docker_engine.LABEL}={made.run}"}
    left = [
        *docker_client.containers.list(all=True, filters=marked),
        *docker_client.networks.list(filters=marked),
    ]
    assert not leftovers
    assert not left


@pytest.fixture(scope="session")
def host_image(docker_client: docker.DockerClient) -> Iterator[str]:
    """An image of nothing but `/greeting`, and a link to it.

    A container of it runs this machine's own programs, from `host_folders`, so that no test needs a network.
    """
    if platform.system() != "Linux" or docker_client.info()["Name"] != socket.gethostname():
        pytest.skip("the Docker engine is not on this machine, whose programs it would run; not exercised")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in LINKED:
            found = Path("/", name)
            if found.is_symlink():
                _add(archive, name, link=str(found.readlink()))
        _add(archive, "greeting", text=b"hello")
        _add(archive, "links/greeting", link="../greeting")
    name = f"conformance-test/host:{secrets.token_hex(3)}"
    repository, _, tag = name.partition(":")
    docker_client.api.import_image_from_data(content.getvalue(), repository=repository, tag=tag)
    yield name
    docker_client.images.remove(name, force=True)


@pytest.fixture(scope="session")
def host_folders() -> dict[Path, bool]:
    """Folders of this machine that a container of `host_image` needs, as `Wanted.folders` has them."""
    outside_usr = [folder for folder in map(Path, ("/lib", "/lib64")) if folder.is_dir()]
    real = [folder for folder in outside_usr if not folder.is_symlink()]
    return dict.fromkeys((*HOST_FOLDERS, *real), False)


@pytest.fixture(scope="session")
def host_python() -> str:
    """Python of this machine by its path, which is the same in a container with `host_folders`."""
    return str(Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}"))


def _add(archive: tarfile.TarFile, name: str, *, text: bytes | None = None, link: str | None = None) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o755
    if link is not None:
        member.type, member.linkname = tarfile.SYMTYPE, link
    member.size = len(text or b"")
    archive.addfile(member, io.BytesIO(text or b""))
