"""The AWS gateway's image: what it is built of, what the build is told, and what the user is told of a failure."""

from __future__ import annotations

import re
import shutil
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest

from harness.adapters import gateway_image, processes
from harness.core.errors import EnvironmentBroken
from harness.core.images import GATEWAY_BASE
from harness.core.redaction import redact

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "registry.example.com/gateway:1"


@dataclass
class Images:
    """The images of an engine; any other call than these is a failure."""

    present: set[str] = field(default_factory=set)
    built: list[dict[str, Any]] = field(default_factory=list)
    context: dict[str, bytes] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)
    failure: Exception | None = None
    log: list[dict[str, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def get(self, name: str) -> None:
        if name not in self.present:
            raise docker.errors.ImageNotFound(f"no {name}")

    def pull(self, name: str, *, auth_config: None) -> None:
        self.pulled.append(name)
        self.present.add(name)

    def remove(self, name: str) -> None:
        self.removed.append(name)
        raise docker.errors.ImageNotFound(f"no {name}")

    def build(self, *, fileobj: Any, **told: Any) -> tuple[None, list[dict[str, str]]]:
        with tarfile.open(fileobj=fileobj) as archive:
            for member in archive.getmembers():
                content = archive.extractfile(member)
                assert content
                self.context[member.name] = content.read()
        self.built.append(told)
        if self.failure:
            raise self.failure
        self.present.add(told["tag"])
        return None, self.log


@dataclass
class Client:
    """An engine of which only images are looked at."""

    images: Images = field(default_factory=Images)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine without images, on a machine whose pip has no settings and knows no proxies."""
    for name in (*gateway_image._PIP, *gateway_image._AUTHORITIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(processes, "_network_before", {})
    return Client()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the gateway's sources, to change."""
    source = gateway_image.CLONE
    shutil.copytree(source / "simulators" / "aws", tmp_path / "simulators" / "aws")
    shutil.copy(source / "simulators" / "__init__.py", tmp_path / "simulators")
    monkeypatch.setattr(gateway_image, "CLONE", tmp_path)
    monkeypatch.setattr(gateway_image, "FOLDER", tmp_path / "simulators" / "aws" / "image")
    return tmp_path


def provide(client: Any, backend: str = "localstack", given: str | None = None) -> tuple[str, list[str]]:
    said: list[str] = []
    return gateway_image.provide_gateway_image(client, given, backend, said.append), said


def test_it_is_built_once_and_the_user_is_told(client: Any) -> None:
    image, said = provide(client)
    assert re.fullmatch(r"conformance/aws-gateway:[0-9a-f]{12}", image)
    assert said == [f"building the AWS gateway's image {image} (once)"]
    assert provide(client) == (image, [])
    (told,) = client.images.built
    assert (told["tag"], told["custom_context"], told["network_mode"]) == (image, True, "host")


def test_each_backend_has_an_image_of_its_own(client: Any) -> None:
    images = {provide(client, backend)[0] for backend in ("localstack", "moto")}
    assert len(images) == len(client.images.built) == 2


def test_the_context_is_the_gateways_own_files_and_no_others(client: Any) -> None:
    provide(client)
    modules = {name for name in client.images.context if name.endswith(".py")}
    assert {"simulators/__init__.py", "simulators/aws/__main__.py", "simulators/aws/backend.py"} <= modules
    assert all(name.startswith(("simulators/__init__", "simulators/aws/")) for name in modules)
    assert client.images.context.keys() - modules == {"Dockerfile", "requirements.txt", "authorities.pem"}
    assert b"moto" not in client.images.context["requirements.txt"]


def test_moto_is_among_the_packages_where_it_is_the_backend(client: Any) -> None:
    provide(client, "moto")
    assert b"\nmoto==" in client.images.context["requirements.txt"]


@pytest.mark.parametrize("changed", ["hosts.py", "image/Dockerfile", "image/gateway.txt"])
def test_another_content_is_another_image(clone: Path, changed: str) -> None:
    before = gateway_image.image_name("localstack")
    assert gateway_image.image_name("localstack") == before
    file = clone / "simulators" / "aws" / changed
    file.write_text(file.read_text() + "\n# changed\n")
    assert gateway_image.image_name("localstack") != before


def test_what_is_not_in_the_image_makes_no_other(clone: Path) -> None:
    before = gateway_image.image_name("localstack")
    compiled = clone / "simulators" / "aws" / "__pycache__" / "new.cpython-313.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"compiled")
    (clone / "simulators" / "aws" / "image" / "moto.txt").write_text("other==1\n")
    assert gateway_image.image_name("localstack") == before


def test_the_users_index_proxies_and_authorities_reach_the_build(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_bytes(b"-- an authority --")
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:SENTINEL-index@mirror.example.com/simple")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "ca.pem"))
    # As they are after the harness has sealed its own environment.
    monkeypatch.setattr(
        processes, "_network_before", {"HTTPS_PROXY": "http://proxy.example.com:1", "no_proxy": "localhost"}
    )
    image, _ = provide(client)
    (told,) = client.images.built
    assert told["buildargs"] == {
        "PIP_INDEX_URL": "https://user:SENTINEL-index@mirror.example.com/simple",
        "HTTPS_PROXY": "http://proxy.example.com:1",
        "https_proxy": "http://proxy.example.com:1",
        "NO_PROXY": "localhost",
        "no_proxy": "localhost",
    }
    assert client.images.context["authorities.pem"] == b"-- an authority --"
    assert image == gateway_image.image_name("localstack")
    assert "SENTINEL" not in redact("pip looked at https://user:SENTINEL-index@mirror.example.com/simple")


LOG = """Step 1/5 : ARG BASE=python:3.13-slim-bookworm
Step 2/5 : FROM ${BASE} AS packages
 ---> 7aed1092501f
Step 3/5 : ARG PIP_INDEX_URL
 ---> Running in 222222222222
Removing intermediate container 222222222222
 ---> 333333333333
Step 4/5 : RUN pip install
 ---> 80e449527e81
Step 5/5 : FROM ${BASE}
 ---> 7aed1092501f
Successfully built 7aed1092501f
"""


@pytest.mark.parametrize(
    ("index", "failure", "removed"),
    [
        ("https://user:SENTINEL-index@mirror.example.com/simple", False, ["80e449527e81"]),
        ("https://user:SENTINEL-index@mirror.example.com/simple", True, ["80e449527e81"]),
        # Without a password it stays: the next build is spared pip.
        ("https://mirror.example.com/simple", False, []),
    ],
)
def test_an_image_whose_history_has_a_password_does_not_stay(
    client: Any, monkeypatch: pytest.MonkeyPatch, index: str, failure: bool, removed: list[str]
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index)
    client.images.log = [{"stream": line} for line in LOG.splitlines(keepends=True)]
    if failure:
        client.images.failure = docker.errors.BuildError("copying failed", iter(client.images.log))
        with pytest.raises(EnvironmentBroken):
            provide(client)
    else:
        provide(client)
    assert client.images.removed == removed


def test_a_build_that_pip_broke_made_nothing_to_remove(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:SENTINEL-index@mirror.example.com/simple")
    base_alone = LOG.splitlines(keepends=True)[:3]
    client.images.failure = docker.errors.BuildError(
        "failed", iter([{"stream": line} for line in base_alone])
    )
    with pytest.raises(EnvironmentBroken):
        provide(client)
    assert client.images.removed == []


def test_a_machine_without_settings_tells_none(client: Any) -> None:
    provide(client)
    assert client.images.built[0]["buildargs"] == {}
    assert client.images.context["authorities.pem"] == b""


def test_a_given_image_is_pulled_where_it_is_not_there_and_never_built(client: Any) -> None:
    assert provide(client, given=OTHER) == (OTHER, [f"pulling {OTHER}"])
    assert provide(client, given=OTHER) == (OTHER, [])
    assert (client.images.pulled, client.images.built) == ([OTHER], [])


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            docker.errors.BuildError(
                "pip failed",
                iter(
                    [{"stream": f"line {number}\n"} for number in range(9)]
                    + [{"stream": " ---> Running in 0123\n\x1b[91mERROR: none\n\x1b[0m"}, {"aux": {}}]
                    + [{"stream": "Removing intermediate container 0123\n"}, {"error": "returned 1"}]
                ),
            ),
            "line 5\nline 6\nline 7\nline 8\nERROR: none\nreturned 1",
        ),
        (docker.errors.APIError("500", explanation="no space left on device"), "no space left on device"),
        (ConnectionResetError("the engine went away"), "the engine went away"),
    ],
)
def test_a_failed_build_is_told_with_its_last_words(client: Any, failure: Exception, said: str) -> None:
    client.images.failure = failure
    with pytest.raises(EnvironmentBroken) as caught:
        provide(client)
    assert caught.value.seen == said
    assert "--gateway-image" in caught.value.remedy
    assert GATEWAY_BASE in caught.value.expected


def test_the_dockerfile_stands_on_the_base_that_is_provided() -> None:
    written = (gateway_image.FOLDER / "Dockerfile").read_text()
    assert re.findall(r"^ARG BASE=(\S+)$", written, re.MULTILINE) == [GATEWAY_BASE]
    assert set(re.findall(r"^FROM (\S+)", written, re.MULTILINE)) == {"${BASE}"}
    assert set(re.findall(r"^ARG (PIP_\w+)$", written, re.MULTILINE)) == set(gateway_image._PIP)
    assert re.findall(r"^USER (\S+)$", written, re.MULTILINE) == ["10001:10001"]


def test_what_the_seal_takes_of_the_network_is_kept_for_what_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_network_before", {})
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/authorities.pem")
    monkeypatch.setenv("AWS_PROFILE", "the-users-own")
    processes.seal(processes.os.environ)
    assert "HTTPS_PROXY" not in processes.os.environ
    assert processes.users_network() == {
        "HTTPS_PROXY": "http://proxy.example.com:1",
        "SSL_CERT_FILE": "/authorities.pem",
    }
