"""LocalStack: how its container is made, and what the user is told when it does not come up."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
import pytest
import testcontainers.core.docker_client

from harness.adapters import (
    containers,
    docker_engine,
    localstack,
)
from harness.adapters.docker_engine import LABEL
from harness.core.errors import EnvironmentBroken, TransientOracleError
from harness.core.images import LOCALSTACK
from harness.core.ledger import Ledger
from harness.core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.adapters.conftest import Request, Site

RUN = "a1b2c3"
NAME = f"conformance-{RUN}-localstack"
TOKEN = "ls-SENTINEL-token"


def identity(account: str) -> str:
    return (
        "<GetCallerIdentityResponse><GetCallerIdentityResult>"
        f"<Account>{account}</Account><Arn>a</Arn><UserId>u</UserId>"
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )


@dataclass
class Emulator:
    """What answers in LocalStack's place."""

    account: str = localstack.ACCOUNT
    health: Any = field(default_factory=lambda: {"version": "4.14.0", "services": {}})
    asked: Counter[str] = field(default_factory=Counter)

    def answer(self, request: Request) -> tuple[int, Any]:
        if request.path == "/_localstack/health":
            return 200, self.health
        action = request.body.decode().partition("Action=")[2].partition("&")[0]
        self.asked[action] += 1
        known = {
            "GetCallerIdentity": identity(self.account),
            "ListRoles": "<ListRolesResponse><ListRolesResult><Roles/></ListRolesResult></ListRolesResponse>",
        }
        return 200, known[action]


@dataclass
class Made:
    """A container as the engine would have made it; any call that is not here is a failure."""

    engine: Fake
    told: dict[str, Any]
    id: str = "0123456789abcdef"
    short_id: str = "0123456789"

    def start(self) -> None:
        if self.engine.failure:
            raise self.engine.failure
        self.engine.log.append("started")

    @property
    def attrs(self) -> dict[str, Any]:
        state = {"Running": self.engine.exit_code is None, "ExitCode": self.engine.exit_code}
        host, _, port = self.engine.address.rpartition(":")
        published = [{"HostIp": host, "HostPort": port}] if self.engine.exit_code is None else None
        return {"State": state, "NetworkSettings": {"Ports": {"4566/tcp": published}}}

    def logs(self, *, tail: Any) -> bytes:
        return self.engine.said.encode()


@dataclass
class Fake:
    """An engine in small: its images and containers, for the harness's client and that of testcontainers."""

    address: str
    present: set[str] = field(default_factory=lambda: {LOCALSTACK})
    exit_code: int | None = None
    said: str = "Ready."
    failure: Exception | None = None
    made: list[Made] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    closed: int = 0

    @property
    def images(self) -> Any:
        return _Images(self)

    @property
    def containers(self) -> Any:
        return _Containers(self)

    @property
    def api(self) -> Any:
        return _Api()

    def ping(self) -> None:
        self.log.append("pinged")

    def close(self) -> None:
        self.closed += 1


@dataclass
class _Api:
    headers: dict[str, str] = field(default_factory=dict)
    base_url: str = "http+docker://localhost"


@dataclass
class _Images:
    engine: Fake

    def get(self, name: str) -> None:
        if name not in self.engine.present:
            raise docker.errors.ImageNotFound(f"no {name}")


@dataclass
class _Containers:
    engine: Fake

    def create(self, image: str, **told: Any) -> Made:
        # Written down before it is made, or a kill in between would leave it.
        self.engine.log.append("created")
        self.engine.made.append(Made(self.engine, {"image": image, **told}))
        return self.engine.made[-1]

    def get(self, name: str) -> Made:
        assert name == NAME
        return self.engine.made[-1]


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def fake(
    serve: Callable[..., Site], emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Fake:
    """The machine's only engine, however it is looked for."""
    made = Fake(serve(emulator.answer).address)
    monkeypatch.setattr(docker, "from_env", lambda **_: made)
    # Else it would look for a real engine first.
    monkeypatch.setattr(docker_engine, "_knock", lambda _where: None)
    monkeypatch.setattr(
        testcontainers.core.docker_client, "get_docker_host", lambda: "unix:///elsewhere.sock"
    )
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return made


@pytest.fixture
def engine(fake: Fake, tmp_path: Path) -> containers.Engine:
    return containers.Engine(RUN, Ledger(tmp_path / "ledger.jsonl"))


def test_it_answers_before_it_is_said_to_run(
    engine: containers.Engine, fake: Fake, emulator: Emulator
) -> None:
    made = localstack.start(engine, region="eu-west-1")
    assert made == localstack.LocalStack(url="http://localstack:4566", address=fake.address, version="4.14.0")
    # Both, since each loads at its first call, and that takes seconds.
    assert emulator.asked == {"GetCallerIdentity": 1, "ListRoles": 1}


def test_its_container_is_the_runs_and_leads_nowhere(engine: containers.Engine, fake: Fake) -> None:
    localstack.start(engine, region="eu-west-1")
    (container,) = fake.made
    told = container.told
    assert (told["image"], told["name"], told["hostname"]) == (LOCALSTACK, NAME, "localstack")
    assert told["labels"][LABEL] == RUN
    assert told["ports"] == {"4566/tcp": ("127.0.0.1", None)}
    assert told["network"] == f"conformance-{RUN}"
    assert told["networking_config"][f"conformance-{RUN}"]["Aliases"] == ["localstack"]
    assert told["dns"] == ["127.0.0.1"]
    assert told["use_config_proxy"] is False
    # Its image runs as root.
    assert "user" not in told
    environment = told["environment"]
    assert environment["SERVICES"] == "iam,sts"
    assert environment["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert (environment["DISABLE_EVENTS"], environment["SKIP_SSL_CERT_DOWNLOAD"]) == ("1", "1")
    assert "LOCALSTACK_AUTH_TOKEN" not in environment
    assert told["volumes"] == {}


def test_it_is_in_the_ledger_and_no_helper_container_is_started(
    engine: containers.Engine, fake: Fake, tmp_path: Path
) -> None:
    fake.failure = docker.errors.APIError("500", explanation="no space left on device")
    with pytest.raises(EnvironmentBroken, match="no space left on device"):
        localstack.start(engine, region="eu-west-1")
    assert len(fake.made) == 1
    (entry,) = Ledger(tmp_path / "ledger.jsonl").open_entries()
    assert (entry.kind, entry.what) == ("container", {"name": NAME, "run": RUN})


def test_the_engine_that_testcontainers_found_is_left_to_itself(
    engine: containers.Engine, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    localstack.start(engine, region="eu-west-1")
    assert "DOCKER_HOST" not in os.environ
    monkeypatch.setenv("DOCKER_HOST", "unix:///the-users.sock")
    localstack.start(engine, region="eu-west-1")
    assert os.environ["DOCKER_HOST"] == "unix:///the-users.sock"
    assert fake.closed == 2


def test_a_token_is_told_to_it_and_to_nobody_else(engine: containers.Engine, fake: Fake) -> None:
    fake.present = {"localstack/localstack-pro:2026.3.1"}
    localstack.start(engine, region="eu-west-1", image="localstack/localstack-pro:2026.3.1", token=TOKEN)
    told = fake.made[0].told
    assert told["environment"]["LOCALSTACK_AUTH_TOKEN"] == TOKEN
    assert told["command"] is None
    # It asks its maker whether the token counts.
    assert "dns" not in told
    assert "SENTINEL" not in redact(f"license of {TOKEN}")


def test_an_image_that_is_not_there_is_not_pulled_by_the_way(engine: containers.Engine, fake: Fake) -> None:
    fake.present = set()
    with pytest.raises(EnvironmentBroken, match=re.escape(LOCALSTACK)):
        localstack.start(engine, region="eu-west-1")
    assert not fake.made


@pytest.mark.parametrize(
    ("exit_code", "remedy"),
    [(55, "it wants an account: set LOCALSTACK_AUTH_TOKEN"), (1, "`--aws-backend moto`")],
)
def test_one_that_ends_is_told_at_once_with_its_last_words(
    engine: containers.Engine, fake: Fake, exit_code: int, remedy: str
) -> None:
    fake.exit_code, fake.said = exit_code, "License activation failed!"
    with pytest.raises(EnvironmentBroken) as caught:
        localstack.start(engine, region="eu-west-1")
    assert f"exit status {exit_code}" in caught.value.seen
    assert "License activation failed!" in caught.value.seen
    assert caught.value.remedy.startswith(remedy)


def test_one_that_answers_for_another_is_none(
    engine: containers.Engine, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localstack, "START_SECONDS", 0.2)
    emulator.account = "123456789012"
    with pytest.raises(EnvironmentBroken, match="LocalStack answered for account 123456789012, not 0000"):
        localstack.start(engine, region="eu-west-1")


def test_another_program_has_no_version(engine: containers.Engine, emulator: Emulator) -> None:
    emulator.health = {"status": "ok"}
    with pytest.raises(EnvironmentBroken, match="to tell its version"):
        localstack.start(engine, region="eu-west-1")


def test_a_health_check_of_nobody_is_told(fake: Fake) -> None:
    localstack.check(fake.address)
    with pytest.raises(TransientOracleError, match="did not answer"):
        localstack.check("127.0.0.1:1")
