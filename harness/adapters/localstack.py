"""LocalStack, which keeps what the AWS gateway forwards: started by testcontainers, watched as all containers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import botocore.session
import docker.errors
import requests.exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness.adapters import (
    direct,
    docker_engine,
    image_store,
)
from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError
from harness.core.images import LOCALSTACK
from harness.core.redaction import redactor
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from harness.adapters.containers import Container, Engine

NAME = "localstack"
PORT = 4566
SERVICES = ("iam", "sts")
ACCOUNT = "000000000000"
"""LocalStack takes an access key id of twelve digits for the account; this one is nobody's."""

START_SECONDS = 120.0
"""Budget: its first call of each service imports that service, which took up to 14 s on a busy machine."""

NEEDS_ACCOUNT = 55
"""Exit status of an image that wants an account and was given no token, or one that does not count."""


@dataclass(frozen=True)
class LocalStack:
    """A LocalStack that answers.

    Attributes:
        url: Where the gateway reaches it.
        address: Loopback `host:port`, for health checks by the harness and nothing else.
        version: Its own word for it.
    """

    url: str
    address: str
    version: str


def start(engine: Engine, *, region: str, image: str = LOCALSTACK, token: str | None = None) -> LocalStack:
    """Starts LocalStack on the run's network and waits until it answers for IAM and STS.

    Args:
        engine: The run's containers.
        region: Its default region.
        image: Which is there.
        token: Auth token of the user's account; images after the default one want it.

    Raises:
        EnvironmentBroken: It is not there, died, wants an account or does not answer in time.
    """
    if image_store.absent(engine.client, [image]):
        raise image_store.missing_images([image])
    name = engine.will_start(NAME)
    try:
        _start(engine, name, region, image, token)
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise EnvironmentBroken(
            expected=f"LocalStack to start from {image}",
            seen=str(getattr(error, "explanation", None) or error)[:400],
            remedy="see what the engine says; `docker info` shows whether it is well",
        ) from error
    container = engine.container(NAME)
    address = _wait_until_answering(container)
    return LocalStack(url=f"http://{NAME}:{PORT}", address=address, version=_version(address))


def _start(engine: Engine, name: str, region: str, image: str, token: str | None) -> None:
    # Here, since it loads all of boto3; and its wait for a line of the log sees no container that has ended.
    from testcontainers.community.localstack import LocalStackContainer  # noqa: PLC0415 - see above
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - see above
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - see above

    # The ledger does what its helper container would: that one needs the engine's socket.
    testcontainers_config.ryuk_disabled = True
    engine_of_the_user = os.environ.get("DOCKER_HOST")
    try:
        made: Any = LocalStackContainer(
            image,
            edge_port=PORT,
            region_name=region,
            docker_client_kw={"environment": docker_engine.client_environment()},
        )
    finally:
        # testcontainers has an own idea of where the engine is, and leaves it there for all others.
        os.environ.pop("DOCKER_HOST", None)
        if engine_of_the_user is not None:
            os.environ["DOCKER_HOST"] = engine_of_the_user
    made.image = image
    # Published on all addresses otherwise.
    made.ports = {f"{PORT}/tcp": ("127.0.0.1", None)}
    made.with_name(name).with_services(*SERVICES)
    made.with_network(SimpleNamespace(name=engine.network_name)).with_network_aliases(NAME)
    made.with_envs(DISABLE_EVENTS="1", SKIP_SSL_CERT_DOWNLOAD="1", DNS_ADDRESS="0")
    isolated: dict[str, Any] = {"dns": ["127.0.0.1"]}
    if token:
        redactor.register(token)
        made.with_env("LOCALSTACK_AUTH_TOKEN", token)
        # It asks its maker about the token.
        isolated = {}
    # The proxies of the user's docker config.json are none of its business.
    made.with_kwargs(hostname=NAME, labels=engine.labels, use_config_proxy=False, **isolated)
    try:
        DockerContainer.start(made)
    finally:
        made.get_docker_client().client.close()


def _wait_until_answering(container: Container) -> str:
    """Waits until IAM and STS answer; the loopback address at which they do."""

    def look() -> str:
        address = container.address(PORT)
        check(address)
        return address

    try:
        return eventually(
            look,
            bool,
            expected="LocalStack to answer for IAM and STS",
            within=START_SECONDS,
            failed=lambda _address: container.exited(),
            last_words=container.last_words,
        )
    except (NotObserved, EnvironmentBroken) as error:
        ended = container.exited()
        remedy = "`--aws-backend moto` needs no LocalStack"
        if str(NEEDS_ACCOUNT) in (ended or "").split():
            remedy = f"it wants an account: set LOCALSTACK_AUTH_TOKEN, or use {LOCALSTACK}, the last without"
        raise EnvironmentBroken(
            expected="LocalStack to answer for IAM and STS",
            seen=f"{ended or error}; its last words:\n{container.last_words()}",
            remedy=remedy,
        ) from error


def check(address: str) -> None:
    """One call of each service, as nobody but the harness makes them: past the gateway.

    Args:
        address: Loopback `host:port`.

    Raises:
        TransientOracleError: One did not answer, or answered for another account.
    """
    session = botocore.session.Session()
    session.set_credentials(ACCOUNT, "any")
    config = Config(retries={"total_max_attempts": 1}, proxies={}, connect_timeout=5, read_timeout=30)

    def client(service: str) -> Any:
        return session.create_client(
            service, region_name="us-east-1", endpoint_url=f"http://{address}", config=config
        )

    try:
        account = client("sts").get_caller_identity()["Account"]
        client("iam").list_roles()
    except (BotoCoreError, ClientError) as error:
        raise TransientOracleError(f"LocalStack did not answer: {error}") from error
    if account != ACCOUNT:
        raise TransientOracleError(f"LocalStack answered for account {account}, not {ACCOUNT}")


def _version(address: str) -> str:
    try:
        with direct.opener().open(f"http://{address}/_localstack/health", timeout=10) as answer:
            return str(json.loads(answer.read())["version"])
    except (URLError, OSError, ValueError, KeyError) as error:
        raise EnvironmentBroken(
            expected="LocalStack to tell its version",
            seen=str(error),
            remedy="name an image of LocalStack with --localstack-image, not one of another program",
        ) from error
