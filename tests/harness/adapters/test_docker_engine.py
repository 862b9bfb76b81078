"""Which Docker engine is the user's, and whether it will do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import docker_engine
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from pathlib import Path


def test_an_engine_that_does_not_answer_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(EnvironmentBroken) as raised:
        docker_engine.connect()
    assert raised.value.exit_code == 2
    assert "none answers at unix:///nowhere.sock" in raised.value.seen
    assert "leave --env out" in raised.value.remedy


@pytest.mark.parametrize("host", ["tcp://build.example.com:2376", "ssh://me@build.example.com"])
def test_an_engine_of_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EnvironmentBroken, match="a Docker engine on this machine") as raised:
        docker_engine.connect()
    assert host in raised.value.seen


@pytest.mark.parametrize("host", ["nonsense", "tcp://127.0.0.1:1", "ssh://nobody@127.0.0.1"])
def test_an_address_that_leads_nowhere_is_told_too(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EnvironmentBroken, match="Docker engine"):
        docker_engine.connect()


def test_the_program_is_told_of_the_engine_that_the_suite_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert docker_engine.endpoint() is None
    for name in ("desktop", "other"):
        folder = tmp_path / "contexts" / "meta" / name
        folder.mkdir(parents=True)
        meta = {"Name": name, "Endpoints": {"docker": {"Host": f"unix:///{name}.sock"}}}
        (folder / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "config.json").write_text('{"currentContext": "desktop"}')
    assert docker_engine.endpoint() == "unix:///desktop.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert docker_engine.endpoint() == "unix:///other.sock"
    monkeypatch.setenv("DOCKER_HOST", "unix:///told.sock")
    assert docker_engine.endpoint() == "unix:///told.sock"
    assert docker_engine.command_environment()["DOCKER_HOST"] == "unix:///told.sock"
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    (tmp_path / "config.json").write_text("[]")
    assert docker_engine.endpoint() is None


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        (["name=seccomp,profile=default", "name=rootless"], "without root"),
        (["name=userns"], "userns-remap"),
        (["name=seccomp,profile=default", "name=cgroupns"], None),
        (None, None),
    ],
)
def test_an_engine_with_other_users_is_refused(
    options: list[str] | None, seen: str | None, strict: Any, calls: Any
) -> None:
    client: Any = strict(info=calls({"SecurityOptions": options}))
    if seen is None:
        docker_engine.check_users(client)
    else:
        with pytest.raises(EnvironmentBroken, match=seen):
            docker_engine.check_users(client)
