"""AWS as containers: what the gateway's and moto's containers are, told to an engine that is not there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import aws_containers
from harness.core.errors import EnvironmentBroken
from harness.faults.catalogue import TAKEN_VARIABLE, VARIABLE
from simulators.aws.config import load
from simulators.aws.hosts import endpoint

if TYPE_CHECKING:
    from harness.adapters.certificates import Authority
    from harness.adapters.containers import Wanted

ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/X"


@dataclass
class Started:
    """A container that becomes ready, or ends, as a test wants it."""

    wanted: Wanted
    end: str | None

    def address(self, port: int) -> str:
        assert port in self.wanted.ports
        return f"127.0.0.1:{port + 40000}"

    def exited(self) -> str | None:
        return self.end

    def last_words(self) -> str:
        return "aws gateway: configuration: key 'x' is missing"

    def must_be_alive(self) -> None:
        if self.end:
            raise EnvironmentBroken(expected="container", seen=f"{self.end}; {self.last_words()}", remedy="-")


@dataclass
class Engine:
    """Starts containers; any other call is a failure."""

    run: str = "a1b2c3"
    end: str | None = None
    silent: bool = False
    started: list[Wanted] = field(default_factory=list)

    def start(self, wanted: Wanted) -> Started:
        self.started.append(wanted)
        if not (self.end or self.silent):
            (folder,) = [
                folder for folder, writes in wanted.folders.items() if writes and "aws" in folder.name
            ]
            for name in ("gateway.ready", "backend.ready"):
                (folder / name).write_text("{}")
        return Started(wanted, self.end)


@pytest.fixture
def start(tmp_path: Path, authority: Authority) -> Any:
    """Starts a gateway with an engine; gives its addresses."""
    (tmp_path / "decisions").mkdir()

    def call(engine: Any, **configuration: Any) -> dict[str, str]:
        return aws_containers.start_gateway(
            engine,
            tmp_path / "run" / "aws",
            image="gateway:1",
            authority=authority.pair,
            configuration={
                "account": "210987654321",
                "key_id": "AKIACONFORMANCE00001",
                "secret": "SENTINEL-secret",
                "region": "eu-west-1",
                "issuer": ISSUER,
                "jwks": str(tmp_path / "keys" / "jwks.json"),
                "cluster": "kube-cluster",
                "routes": {"tele.example.com:443": "tele.example.com:443"},
                "charts": str(tmp_path / "charts"),
                "kubeconfig": str(tmp_path / "kubernetes" / "internal"),
                **configuration,
            },
            backend="http://localstack:4566",
            told={VARIABLE: "any-date-counts", TAKEN_VARIABLE: str(tmp_path / "decisions")},
        )

    return call


def test_its_addresses_are_those_by_which_each_is_reached(start: Any) -> None:
    assert start(Engine()) == {
        "proxy": "127.0.0.1:43128",
        "control": "127.0.0.1:48080",
        "https": "aws-gateway:443",
        "metadata": "aws-gateway:8081",
        "webhook": "aws-gateway:8443",
    }


def test_its_configuration_is_one_that_the_gateway_takes(start: Any, tmp_path: Path) -> None:
    engine = Engine()
    start(engine)
    (wanted,) = engine.started
    assert wanted.entrypoint == ["python", "-m", "simulators.aws"]
    (path,) = map(Path, wanted.command)
    assert path.stat().st_mode & 0o077 == 0
    config = load(path)
    assert (config.run, config.host, config.backend) == ("a1b2c3", "aws-gateway", "http://localstack:4566")
    assert {str(getattr(config.listen, name)) for name in aws_containers.LISTENERS} == {
        f"0.0.0.0:{port}" for port in aws_containers.PORTS.values()
    }
    assert config.routes == {"tele.example.com:443": "tele.example.com:443"}
    assert "SENTINEL" not in json.dumps([wanted.command, dict(wanted.environment)])
    assert (config.call_log.parent, config.ready.parent) == (path.parent, path.parent)


def test_it_may_write_only_its_own_folder_and_that_of_decisions(
    start: Any, tmp_path: Path, authority: Authority
) -> None:
    engine = Engine()
    start(engine)
    (wanted,) = engine.started
    assert wanted.folders == {
        tmp_path / "run" / "aws": True,
        tmp_path / "decisions": True,
        authority.pair.certificate: False,
        authority.pair.key: False,
        tmp_path / "keys" / "jwks.json": False,
        tmp_path / "charts": False,
        tmp_path / "kubernetes": False,
    }
    # The caller's user: it owns those folders.
    assert wanted.user is None
    assert wanted.environment == {
        VARIABLE: "any-date-counts",
        TAKEN_VARIABLE: str(tmp_path / "decisions"),
    }


def test_no_name_of_aws_that_a_scenario_uses_leads_elsewhere(start: Any) -> None:
    engine = Engine()
    start(engine)
    names = engine.started[0].aliases
    assert names[0] == aws_containers.NAME
    assert len(set(names)) == len(names)
    assert set(names) == {
        "aws-gateway",
        "sts.amazonaws.com",
        "sts.us-east-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com",
        "sts.ap-southeast-5.amazonaws.com",
        "sts.cn-north-1.amazonaws.com.cn",
        "iam.amazonaws.com",
        "iam.cn-north-1.amazonaws.com.cn",
        "eks.eu-west-1.amazonaws.com",
        "oidc.eks.eu-west-1.amazonaws.com",
        "charts.releases.teleport.dev",
        "github.com",
    }
    apis = [name for name in names if name.startswith(("sts.", "iam.", "eks."))]
    assert all(endpoint(name) for name in apis)


def test_a_region_that_has_the_global_endpoint_is_named_once() -> None:
    names = aws_containers.host_names("us-east-1", ISSUER)
    assert names.count("sts.us-east-1.amazonaws.com") == 1


def test_one_that_ends_is_told_with_its_last_words(start: Any) -> None:
    with pytest.raises(EnvironmentBroken, match="exit status 2; aws gateway: configuration: key 'x'"):
        start(Engine(end="exit status 2"))


def test_one_that_is_never_ready_is_told_when_its_time_is_over(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_containers, "START_SECONDS", 0.2)
    with pytest.raises(EnvironmentBroken, match="it runs and is not; its last words") as caught:
        start(Engine(silent=True))
    assert caught.value.expected == "the AWS gateway to be ready within 0.2 s"


def test_moto_listens_on_the_runs_network_and_is_published_nowhere(tmp_path: Path) -> None:
    engine: Any = Engine()
    folder = tmp_path / "aws-moto"
    assert aws_containers.start_moto(engine, folder, image="gateway:2") == "http://moto:5000"
    (wanted,) = engine.started
    assert (wanted.image, wanted.aliases, wanted.ports) == ("gateway:2", ["moto"], ())
    assert wanted.entrypoint == ["python", "-m", "simulators.aws.backend"]
    assert wanted.command == ["--ready", str(folder / "backend.ready"), "--listen", "0.0.0.0:5000"]
    assert wanted.folders == {folder: True}
