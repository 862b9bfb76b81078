"""What is asked of an engine about images, and what is made of the answers."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest
import requests.exceptions

from harness.adapters import image_store
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from pathlib import Path

RUN = "abc123"
ABSENT = docker.errors.NotFound("no such thing")
NO_IMAGE = docker.errors.ImageNotFound("no such image")


def test_only_what_is_absent_is_pulled(strict: Any, calls: Any) -> None:
    get = calls(strict(), NO_IMAGE, NO_IMAGE)
    pull = calls(None)
    client: Any = strict(images=strict(get=get, pull=pull))
    told: list[str] = []

    def credentials(image: str) -> dict[str, str] | None:
        return {"username": "me", "password": "secret"} if image == "private:1" else None

    names = ["there:1", "there:1", "private:1", "public:1"]
    assert image_store.provide(client, names, credentials=credentials, tell=told.append) == names[2:]
    assert pull == [
        (("private:1",), {"auth_config": {"username": "me", "password": "secret"}}),
        (("public:1",), {"auth_config": None}),
    ]
    assert told == ["pulling private:1", "pulling public:1"]


def test_all_that_can_not_be_had_are_named(strict: Any, calls: Any) -> None:
    refusal = docker.errors.APIError("x", explanation="manifest unknown")
    pull = calls(refusal, strict(), refusal)
    client: Any = strict(images=strict(get=calls(NO_IMAGE), pull=pull))
    with pytest.raises(EnvironmentBroken) as raised:
        image_store.provide(client, ["a:1", "b:1", "c:1"])
    assert raised.value.expected == "the images a:1, c:1"
    assert raised.value.seen == "manifest unknown"


@pytest.mark.parametrize(("known", "way"), [(True, "user name or password"), (False, "--registry-secret")])
def test_wrong_credentials_are_told_from_none(strict: Any, calls: Any, known: bool, way: str) -> None:
    refusal = docker.errors.APIError("x", explanation="unauthorized: authentication required")
    client: Any = strict(images=strict(get=calls(NO_IMAGE), pull=calls(refusal)))
    given = {"username": "me", "password": "wrong"} if known else None
    with pytest.raises(EnvironmentBroken, match="the images a:1") as raised:
        image_store.provide(client, ["a:1"], credentials=lambda _: given)
    assert raised.value.seen == "unauthorized: authentication required"
    assert way in raised.value.remedy
    assert ("login" in raised.value.remedy, "a slip" in raised.value.remedy) == (True, not known)


def test_an_engine_that_goes_away_is_no_absent_image(strict: Any, calls: Any) -> None:
    client: Any = strict(images=strict(get=calls(requests.exceptions.ConnectionError("reset"))))
    with pytest.raises(EnvironmentBroken, match="Docker engine to answer"):
        image_store.absent(client, ["a:1"])


def test_an_image_is_known_by_its_digest(strict: Any, calls: Any) -> None:
    client: Any = strict(images=strict(get=calls(strict(attrs={"RepoDigests": ["a@sha256:12"]}))))
    assert image_store.identity(client, "a:1") == "sha256:12"
    client = strict(images=strict(get=calls(strict(attrs={"RepoDigests": []}, id="sha256:34"))))
    assert image_store.identity(client, "a:1") == "sha256:34"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ABSENT, None),
        (docker.errors.APIError("x", explanation="input/output error"), "input/output error"),
    ],
)
def test_a_file_that_is_not_there_leaves_nothing(
    tmp_path: Path, answer: Exception, error: str | None, strict: Any, calls: Any
) -> None:
    remove = calls(None)
    made = strict(get_archive=calls(answer), remove=remove)
    client: Any = strict(containers=strict(create=calls(made)))
    if error is None:
        assert not image_store.copy_out(client, "a:1", "/tsh", tmp_path / "tsh", run=RUN)
    else:
        with pytest.raises(EnvironmentBroken, match=error):
            image_store.copy_out(client, "a:1", "/tsh", tmp_path / "tsh", run=RUN)
    assert len(remove) == 1
    assert not (tmp_path / "tsh").exists()


def test_a_file_of_an_image_that_is_not_there(tmp_path: Path, strict: Any, calls: Any) -> None:
    client: Any = strict(containers=strict(create=calls(NO_IMAGE)))
    with pytest.raises(EnvironmentBroken, match="the images a:1"):
        image_store.copy_out(client, "a:1", "/tsh", tmp_path / "tsh", run=RUN)


def archive(name: str, *, link: str | None = None) -> tuple[list[bytes], dict[str, Any]]:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as packed:
        member = tarfile.TarInfo(name)
        if link is not None:
            member.type, member.linkname = tarfile.SYMTYPE, link
        member.size = 0 if link else 5
        packed.addfile(member, io.BytesIO(b"hello"))
    whole = content.getvalue()
    return [whole[:100], whole[100:]], {}


def test_a_file_is_copied_out_along_its_links_and_no_container_stays(
    tmp_path: Path, strict: Any, calls: Any
) -> None:
    get = calls(archive("tsh", link="../bin/tsh"), archive("tsh"))
    remove = calls(None)
    create = calls(strict(get_archive=get, remove=remove))
    client: Any = strict(containers=strict(create=create))
    assert image_store.copy_out(client, "a:1", "/usr/local/tsh", tmp_path / "tsh", run=RUN)
    assert (tmp_path / "tsh").read_text() == "hello"
    assert os.access(tmp_path / "tsh", os.X_OK)
    assert [positional for positional, _ in get] == [("/usr/local/tsh",), ("/usr/local/../bin/tsh",)]
    assert len(remove) == len(create) == 2
    assert all(named["labels"] == {"conformance.run": RUN} for _, named in create)
    assert all(named["use_config_proxy"] is False for _, named in create)
