"""Credentials for images are known to the redactor, and wrong ones told."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.core import credentials
from harness.core.credentials import RegistrySecret, localstack_token
from harness.core.errors import UsageError
from harness.core.redaction import Redactor

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "ls-Sentinel-0123456789"
PASSWORD = "sentinel-of-the-registry"


@pytest.fixture(autouse=True)
def redactor(monkeypatch: pytest.MonkeyPatch) -> Redactor:
    fresh = Redactor()
    monkeypatch.setattr(credentials, "redactor", fresh)
    return fresh


def config(folder: Path, auths: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({"auths": auths}))
    return path


def encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def test_the_token_comes_from_its_variable_and_is_masked(redactor: Redactor) -> None:
    assert localstack_token({}) is localstack_token({"LOCALSTACK_AUTH_TOKEN": ""}) is None
    assert localstack_token({"LOCALSTACK_AUTH_TOKEN": TOKEN}) == TOKEN
    assert TOKEN not in redactor.redact(f"started with {TOKEN}")


def test_a_token_too_short_to_be_masked_is_refused() -> None:
    with pytest.raises(UsageError, match="LOCALSTACK_AUTH_TOKEN") as raised:
        localstack_token({"LOCALSTACK_AUTH_TOKEN": "short"})
    assert "short" not in raised.value.seen


def test_credentials_are_found_by_the_registry_of_the_image(tmp_path: Path, redactor: Redactor) -> None:
    secret = RegistrySecret(
        config(
            tmp_path,
            {
                "registry.example.com:5000": {"auth": encoded("robot", PASSWORD)},
                "https://index.docker.io/v1/": {"username": "me", "password": f"{PASSWORD}-2"},
                "quay.io": {"auth": encoded("token", ""), "identitytoken": f"{PASSWORD}-3"},
                "helper.example.com": {},
            },
        )
    )
    robot = {"username": "robot", "password": PASSWORD}
    assert secret.credentials("registry.example.com:5000/teleport:1") == robot
    assert secret.credentials("gravitational/teleport:1") == {"username": "me", "password": f"{PASSWORD}-2"}
    assert secret.credentials("quay.io/a/b:1") == {"username": "token", "identitytoken": f"{PASSWORD}-3"}
    for image in ("registry.example.com/teleport:1", "helper.example.com/a:1", "public.ecr.aws/a/b:1"):
        assert secret.credentials(image) is None
    masked = redactor.redact(f"{secret.text} {PASSWORD} {PASSWORD}-2 {PASSWORD}-3")
    for value in (encoded("robot", PASSWORD), PASSWORD):
        assert value not in masked


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"auths": []}', '{"auths": {"a": {"auth": "//////8="}}}']
)
def test_what_is_no_configuration_of_docker_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"docker config\.json with `auths`") as raised:
        RegistrySecret(path)
    assert str(path) in str(raised.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        RegistrySecret(tmp_path / "none")


def test_a_configuration_that_leaves_all_to_a_helper_is_of_no_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="credential helper"):
        RegistrySecret(config(tmp_path, {"registry.example.com": {}}))
