"""Which images a kind environment needs; archives of them, by a `docker` that refuses what it does not expect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest

from harness.adapters import clients, images
from harness.core.errors import EnvironmentBroken, UsageError
from harness.core.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

TELEPORT = "public.ecr.aws/gravitational/teleport-distroless:13.0.0"

DOCKER = """#!/bin/sh
printf '%s\\n' "$*" >>{log}
case "$1 $2" in
"version --format") echo "{version} linux/arm64" ;;
"image save")
    [ -z "{refusal}" ] || { echo "{refusal}" >&2; exit 1; }
    while [ "$1" != --output ]; do shift; done
    echo "archive of $*" >"$2" ;;
"image load") printf '{loaded}' ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "chart"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("name: teleport-kube-agent\nversion: 13.0.1\n")
    (folder / "values.yaml").write_text("image: public.ecr.aws/gravitational/teleport\n")
    return folder


class Program:
    """A program `docker` on PATH that notes its arguments."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self.log = folder / "log"
        monkeypatch.setenv("PATH", f"{self.folder}{os.pathsep}{os.environ['PATH']}")
        self.is_to()

    def is_to(self, *, version: str = "1.41", refusal: str = "", loaded: str = "") -> None:
        text = DOCKER
        for name, value in {
            "log": self.log,
            "version": version,
            "refusal": refusal,
            "loaded": loaded,
        }.items():
            text = text.replace(f"{{{name}}}", str(value))
        (self.folder / "docker").write_text(text)
        (self.folder / "docker").chmod(0o755)

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    return Program(tmp_path, monkeypatch)


def test_defaults_are_the_charts_agent_and_the_suites_own(chart: Path) -> None:
    needed = images.needed(Settings(env="kind", teleport_image=TELEPORT, chart=chart))
    assert needed == images.Needed(
        node="kindest/node:v1.36.1",
        teleport=TELEPORT,
        agent="public.ecr.aws/gravitational/teleport:13.0.1",
        aws_cli=clients.AWS_CLI_IMAGE,
        localstack="localstack/localstack:4.14.0",
        webhook=None,
        gateway=None,
        gateway_base="python:3.13-slim-bookworm",
    )
    assert needed.all == (
        *("kindest/node:v1.36.1", TELEPORT, "public.ecr.aws/gravitational/teleport:13.0.1"),
        *(clients.AWS_CLI_IMAGE, "localstack/localstack:4.14.0"),
    )


def test_what_was_chosen_is_needed_and_nothing_in_its_place(chart: Path) -> None:
    needed = images.needed(
        Settings(
            env="kind",
            teleport_image=TELEPORT,
            agent_image=TELEPORT,
            node_image="kindest/node:v1.32.2",
            chart=chart,
            localstack_image="mirror/localstack:1",
            gateway_image="mine/gateway:1",
            webhook_image="mine/webhook:1",
            other_agent_image="mine/teleport:12.0.0",
        )
    )
    assert needed.gateway_base is None
    # The agent is of the same image as the server.
    assert needed.all == (
        *("kindest/node:v1.32.2", TELEPORT, "mine/teleport:12.0.0", clients.AWS_CLI_IMAGE),
        "mirror/localstack:1",
        *("mine/webhook:1", "mine/gateway:1"),
    )
    assert needed.by_part["agent"] == needed.by_part["teleport"] == TELEPORT


def test_moto_needs_no_localstack(chart: Path) -> None:
    needed = images.needed(Settings(env="kind", teleport_image=TELEPORT, chart=chart, aws_backend="moto"))
    assert needed.localstack is None
    assert not [name for name in needed.all if "localstack" in name]


def test_without_teleport_or_chart_the_images_are_not_known(chart: Path) -> None:
    for settings in (Settings(env="kind", chart=chart), Settings(env="kind", teleport_image=TELEPORT)):
        with pytest.raises(UsageError, match="and --chart DIR"):
            images.needed(settings)


def test_sizes_are_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Image:
        attrs = {"Size": 42}  # noqa: RUF012 - never changed

    class Images:
        def get(self, name: str) -> Any:
            if name == "absent:1":
                raise docker.errors.ImageNotFound("no such image")
            assert name == "there:1"
            return Image()

    client: Any = type("Client", (), {"images": Images()})()
    assert images.sizes(client, ["there:1", "absent:1"]) == {"there:1": 42, "absent:1": None}


@pytest.mark.parametrize(
    ("version", "platform"), [("1.41", ""), ("1.47", ""), ("1.48", " --platform=linux/arm64"), ("2.0", "-")]
)
def test_an_archive_has_one_platform_where_the_engine_can(
    program: Program, tmp_path: Path, version: str, platform: str
) -> None:
    program.is_to(version=version)
    target = tmp_path / "all.tar"
    target.write_text("of before")
    images.save(["a:1", "b:2"], target)
    platform = " --platform=linux/arm64" if platform == "-" else platform
    part = tmp_path / ".all.tar.part"
    assert program.calls()[-1] == f"image save{platform} --output {part} a:1 b:2"
    assert target.read_text().endswith("a:1 b:2\n")
    assert not part.exists()


def test_an_archive_that_could_not_be_written_is_not_left_half(program: Program, tmp_path: Path) -> None:
    program.is_to(refusal="write all.tar: no space left on device")
    target = tmp_path / "all.tar"
    target.write_text("of before")
    with pytest.raises(EnvironmentBroken, match="no space left on device"):
        images.save(["a:1"], target)
    assert target.read_text() == "of before"
    assert not (tmp_path / ".all.tar.part").exists()


def test_an_image_without_a_tag_is_not_saved(program: Program, tmp_path: Path) -> None:
    name = f"a@sha256:{'0' * 64}"
    with pytest.raises(UsageError, match="an archive keeps no digest"):
        images.save(["b:1", name], tmp_path / "all.tar")
    for target in (tmp_path / "none" / "all.tar", tmp_path):
        with pytest.raises(UsageError, match="the name of a file to write"):
            images.save(["b:1"], target)
    assert not program.log.exists()


def test_what_was_loaded_is_told(program: Program, tmp_path: Path) -> None:
    archive = tmp_path / "all.tar"
    archive.touch()
    program.is_to(loaded=f"a line\\nLoaded image: a:1\\nLoaded image ID: sha256:{'0' * 64}\\n")
    assert images.load(archive) == ["a:1", f"sha256:{'0' * 64}"]
    assert program.calls() == [f"image load --input {archive}"]


def test_an_archive_of_nothing_is_told(program: Program, tmp_path: Path) -> None:
    archive = tmp_path / "all.tar"
    with pytest.raises(UsageError, match="no file"):
        images.load(archive)
    archive.touch()
    with pytest.raises(EnvironmentBroken, match="told of none"):
        images.load(archive)


def test_without_the_program_docker_there_is_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentBroken, match="the program docker on PATH") as raised:
        images.save(["a:1"], tmp_path / "all.tar")
    assert "leave --env out" in raised.value.remedy
