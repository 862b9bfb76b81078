"""`./conformance images`, with an engine that knows nothing else than a test gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import docker.errors
import pytest

from harness.adapters import (
    clients,
    docker_engine,
    gateway_image,
    images,
)
from harness.core.errors import EnvironmentBroken
from harness.core.settings import Settings
from harness.environments import images_command

if TYPE_CHECKING:
    from pathlib import Path

TELEPORT = "mine/teleport:13.0.0"
GATEWAY = gateway_image.image_name("moto")


class Images:
    """Has some images; a pull brings more, and nothing else can be asked."""

    def __init__(self, *there: str, refuses: bool = False) -> None:
        self.there = set(there)
        self.refuses = refuses
        self.pulled: list[tuple[str, Any]] = []

    def get(self, name: str) -> Any:
        if name not in self.there:
            raise docker.errors.ImageNotFound("no such image")
        return type("Image", (), {"attrs": {"Size": 441_300_000}})

    def pull(self, name: str, *, auth_config: Any) -> None:
        if self.refuses:
            raise docker.errors.APIError("x", explanation="manifest unknown")
        self.pulled.append((name, auth_config))
        self.there.add(name)


class Client:
    """An engine with images; closed when a command has ended."""

    def __init__(self, found: Images) -> None:
        self.images = found
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "Chart.yaml").write_text("name: teleport-kube-agent\nversion: 13.0.1\n")
    (tmp_path / "values.yaml").write_text("image: mine/teleport\n")
    return Settings(
        env="kind",
        teleport_image=TELEPORT,
        node_image="mine/node:1",
        chart=tmp_path,
        aws_backend="moto",
    )


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def engine(*there: str, refuses: bool = False) -> Client:
        client = Client(Images(*there, refuses=refuses))
        monkeypatch.setattr(docker_engine, "connect", lambda: client)
        return client

    return engine


EVERYTHING = (TELEPORT, "mine/node:1", "mine/teleport:13.0.1", clients.AWS_CLI_IMAGE, GATEWAY)


def test_the_list_tells_sizes_and_what_is_absent(settings: Settings, engine: Any) -> None:
    client = engine(TELEPORT, "mine/node:1", clients.AWS_CLI_IMAGE)
    told: list[str] = []
    images_command.listing(settings, told.append)
    lines = [line.split(maxsplit=2) for line in told]
    assert ["node", "mine/node:1", "441 MB"] in lines
    assert ["teleport", TELEPORT, "441 MB"] in lines
    assert ["agent", "mine/teleport:13.0.1", "absent"] in lines
    assert ["aws-gateway", GATEWAY, "absent; is built on python:3.13-slim-bookworm"] in lines
    assert told[-1] == "5 images, 2 absent; `./conformance images pull` brings them"
    assert len(told) == 6
    assert client.closed


def test_the_list_says_when_nothing_is_absent(settings: Settings, engine: Any) -> None:
    engine(*EVERYTHING)
    told: list[str] = []
    images_command.listing(settings, told.append)
    assert told[-1] == "5 images, 0 absent"


def test_pull_brings_what_is_absent_and_builds_the_gateway(
    settings: Settings, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = engine(TELEPORT, "mine/node:1", clients.AWS_CLI_IMAGE)
    provided: list[tuple[object, ...]] = []
    monkeypatch.setattr(gateway_image, "provide_gateway_image", lambda *given: provided.append(given))
    told: list[str] = []
    images_command.pull(settings, told.append)
    assert client.images.pulled == [("mine/teleport:13.0.1", None)]
    assert [given[1:3] for given in provided] == [(None, "moto")]
    assert told == ["pulling mine/teleport:13.0.1", "1 pulled; all images are there"]
    assert client.closed


def test_pull_uses_the_registrys_secret(
    settings: Settings, engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gateway_image, "provide_gateway_image", lambda *_: None)
    secret = tmp_path / "config.json"
    secret.write_text('{"auths": {"docker.io": {"username": "me", "password": "a password"}}}')
    client = engine(*set(EVERYTHING) - {TELEPORT, clients.AWS_CLI_IMAGE})
    given = {"registry_secret": secret, "gateway_image": "mine/gateway:1"}
    images_command.pull(Settings(**{**vars(settings), **given}), lambda _: None)
    assert dict(client.images.pulled) == {
        TELEPORT: {"username": "me", "password": "a password"},
        clients.AWS_CLI_IMAGE: None,
        "mine/gateway:1": {"username": "me", "password": "a password"},
    }


def test_pull_names_all_that_can_not_be_had(settings: Settings, engine: Any) -> None:
    client = engine(refuses=True)
    with pytest.raises(EnvironmentBroken) as raised:
        images_command.pull(settings, lambda _: None)
    for name in set(EVERYTHING) - {GATEWAY}:
        assert name in raised.value.expected
    assert raised.value.seen == "manifest unknown"
    assert client.closed


def test_save_writes_all_of_them_the_gateways_too(
    settings: Settings, engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine(*EVERYTHING)
    saved: list[str] = []

    def save(names: list[str], target: Path) -> None:
        saved.extend(names)
        target.write_bytes(b"0" * 1_000_000)

    monkeypatch.setattr(images, "save", save)
    told: list[str] = []
    images_command.save(settings, tmp_path / "all.tar", told.append)
    assert sorted(saved) == sorted(EVERYTHING)
    assert told == [f"{tmp_path / 'all.tar'}: 5 images, 1 MB"]


def test_an_archive_that_lacks_an_image_is_not_made(settings: Settings, engine: Any, tmp_path: Path) -> None:
    engine(*set(EVERYTHING) - {GATEWAY})
    with pytest.raises(EnvironmentBroken) as raised:
        images_command.save(settings, tmp_path / "all.tar", lambda _: None)
    assert raised.value.expected == f"the images {GATEWAY}"
    assert "images pull" in raised.value.remedy
    assert not (tmp_path / "all.tar").exists()


def test_load_tells_what_came(engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = engine()
    monkeypatch.setattr(images, "load", lambda archive: [f"from-{archive.name}:1"])
    told: list[str] = []
    images_command.load(tmp_path / "all.tar", told.append)
    assert told == ["from-all.tar:1", "1 images loaded"]
    assert client.closed
