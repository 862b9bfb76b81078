"""AWS of a run as real containers: the gateway's image, the gateway over each backend, LocalStack."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import (
    aws_containers,
    containers,
    gateway_image,
    image_store,
    localstack,
)
from harness.adapters.aws import Account, Clients, Gateway
from harness.adapters.certificates import Authority, signing_key
from harness.core.errors import EnvironmentBroken
from harness.core.images import GATEWAY_BASE, LOCALSTACK
from harness.faults.catalogue import TAKEN_VARIABLE
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker

REGION = "eu-west-1"
ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/DOCKER"
ACCOUNT = "210987654321"
KEY_ID = "AKIACONFORMANCE00001"

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class AWS:
    """A gateway in a container, over one of the backends."""

    backend: str
    addresses: dict[str, str]
    authority: Authority
    secret: str
    folder: Path
    container: containers.Container
    clients: Clients

    def account(self) -> Account:
        """The account of a scenario."""
        return Account(
            names=Names.unique("docker"),
            account_id=ACCOUNT,
            region=REGION,
            issuer=ISSUER,
            clients=self.clients,
            gateway=Gateway(self.addresses["control"]),
        )


@pytest.fixture(params=["localstack", "moto"])
def backend(request: pytest.FixtureRequest, docker_client: docker.DockerClient) -> str:
    """Each backend; skipped where the engine has not the images that it needs."""
    name: str = request.param
    needed = [LOCALSTACK] if name == "localstack" else []
    if image_store.absent(docker_client, [gateway_image.image_name(name)]):
        needed.append(GATEWAY_BASE)
    missing = image_store.absent(docker_client, needed)
    if missing:
        pytest.skip(f"the Docker engine has no {', '.join(missing)}: {name} as a container not exercised")
    return name


@pytest.fixture
def aws(engine: containers.Engine, backend: str, tmp_path: Path) -> AWS:
    """The image, built where it is not there, its backend and the gateway."""
    for folder in ("keys", "charts", "kubernetes", "decisions"):
        (tmp_path / folder).mkdir()
    authority, signing = Authority(tmp_path / "keys"), signing_key(tmp_path / "keys")
    image = gateway_image.provide_gateway_image(engine.client, None, backend, print)
    engine.make_network()
    if backend == "localstack":
        url = localstack.start(engine, region=REGION).url
    else:
        url = aws_containers.start_moto(engine, tmp_path / "moto", image=image)
    secret = secrets.token_urlsafe(30)
    addresses = aws_containers.start_gateway(
        engine,
        tmp_path / "aws",
        image=image,
        authority=authority.pair,
        configuration={
            "account": ACCOUNT,
            "key_id": KEY_ID,
            "secret": secret,
            "region": REGION,
            "issuer": ISSUER,
            "jwks": str(signing.jwks),
            "cluster": "kube-cluster",
            "routes": {},
            "charts": str(tmp_path / "charts"),
            "kubeconfig": str(tmp_path / "kubernetes" / "kubeconfig"),
        },
        backend=url,
        told={TAKEN_VARIABLE: str(tmp_path / "decisions")},
    )
    clients = Clients(
        proxy=addresses["proxy"],
        ca_file=authority.pair.certificate,
        key_id=KEY_ID,
        secret=secret,
        region=REGION,
    )
    container = engine.container(aws_containers.NAME)
    return AWS(backend, addresses, authority, secret, tmp_path, container, clients)


def test_the_gateway_in_a_container(engine: containers.Engine, aws: AWS) -> None:
    """All looks at one, since a start of each backend costs seconds."""
    _keeps_what_the_guide_makes(aws)
    _keeps_partitions_apart(aws)
    _is_found_under_the_names_of_aws(engine, aws)
    _shows_certificates_of_the_runs_authority(aws)
    _leaves_what_the_harness_reads_on_the_host(aws)


def _keeps_what_the_guide_makes(aws: AWS) -> None:
    assert aws.clients.client("sts").get_caller_identity()["Account"] == ACCOUNT
    account = aws.account()
    aws.clients.client("iam").create_open_id_connect_provider(
        Url=ISSUER, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40]
    )
    assert account.oidc_providers() == {ISSUER: ["sts.amazonaws.com"]}
    assert account.create_role() == f"arn:aws:iam::{ACCOUNT}:role/{account.names.role}"
    policy = account.create_policy()
    assert policy == f"arn:aws:iam::{ACCOUNT}:policy/{account.names.policy}"
    assert account.attach_policy(policy) == ""
    assert account.attach_policy(f"arn:aws:iam::aws:policy/{account.names.policy}") == "NoSuchEntity"
    assert account.permissions() == [policy]
    assert account.policy()["Statement"][0]["Action"] == "sts:GetCallerIdentity"
    assert account.role()["AssumeRolePolicyDocument"]["Statement"] == [
        account.trust(account.names.service_account)
    ]
    node = account.create_node()
    # Each node has a port of its own (decision 13).
    host = aws.addresses["metadata"].partition(":")[0]
    assert node["AWS_EC2_METADATA_SERVICE_ENDPOINT"].startswith(f"http://{host}:")
    account.undo()
    assert not account.has_role()


def _keeps_partitions_apart(aws: AWS) -> None:
    account = aws.account()
    account.move_to("cn-north-1")
    assert account.create_role() == f"arn:aws-cn:iam::{ACCOUNT}:role/{account.names.role}"
    account.move_to(REGION)
    assert not account.has_role()
    account.move_to("cn-north-1")
    # The gateway looks the node's role up itself, by its ARN.
    assert account.create_node()
    account.undo()


def _is_found_under_the_names_of_aws(engine: containers.Engine, aws: AWS) -> None:
    """From the run's network; beyond it, its ports are on loopback only."""
    inside: Any = engine.client.containers.get(aws.container.name)
    look = "import socket, sys; print(*{socket.gethostbyname(name) for name in sys.argv[1:]})"
    names = [aws_containers.NAME, *aws_containers.host_names(REGION, ISSUER)]
    code, output = inside.exec_run(["python", "-c", look, *names])
    assert (code, output.decode().split()) == (0, [aws.container.ip()])
    code, output = inside.exec_run(["python", "-c", look, "sts.eu-west-2.amazonaws.com"])
    assert (code, b"socket.gaierror" in output) == (1, True)
    published = {
        port: {entry["HostIp"] for entry in entries}
        for port, entries in inside.attrs["NetworkSettings"]["Ports"].items()
        if entries
    }
    assert published == {"3128/tcp": {"127.0.0.1"}, "8080/tcp": {"127.0.0.1"}}


def _shows_certificates_of_the_runs_authority(aws: AWS) -> None:
    context = ssl.create_default_context(cafile=str(aws.authority.pair.certificate))

    def names(listener: str, server: str) -> set[str]:
        address = (aws.container.ip(), aws_containers.PORTS[listener])
        with (
            socket.create_connection(address, 10) as plain,
            context.wrap_socket(plain, server_hostname=server) as secure,
        ):
            return {str(name) for _, name in (secure.getpeercert() or {})["subjectAltName"]}

    assert names("https", "sts.amazonaws.com") == {"sts.amazonaws.com"}
    assert aws_containers.NAME in names("webhook", aws_containers.NAME)


def _leaves_what_the_harness_reads_on_the_host(aws: AWS) -> None:
    lines = (aws.folder / "aws" / "calls.jsonl").read_text().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert "aws.signature_valid" in {mark.name for mark in (aws.folder / "decisions").iterdir()}
    assert (aws.folder / "aws" / "gateway.json").stat().st_mode & 0o077 == 0
    assert aws.secret not in aws.container.log() + "".join(lines)
    assert aws.container.log().startswith("simulated AWS: ")


def test_a_wrong_configuration_is_told_in_the_gateways_own_words(
    engine: containers.Engine, backend: str, tmp_path: Path
) -> None:
    for folder in ("keys", "charts", "kubernetes"):
        (tmp_path / folder).mkdir()
    authority, signing = Authority(tmp_path / "keys"), signing_key(tmp_path / "keys")
    image = gateway_image.provide_gateway_image(engine.client, None, backend, print)
    engine.make_network()
    with pytest.raises(EnvironmentBroken, match="account id that is not twelve digits: 'twelve'") as caught:
        aws_containers.start_gateway(
            engine,
            tmp_path / "aws",
            image=image,
            authority=authority.pair,
            configuration={
                "account": "twelve",
                "key_id": KEY_ID,
                "secret": "SENTINEL-secret",
                "region": REGION,
                "issuer": ISSUER,
                "jwks": str(signing.jwks),
                "cluster": "kube-cluster",
                "routes": {},
                "charts": str(tmp_path / "charts"),
                "kubeconfig": str(tmp_path / "kubernetes" / "kubeconfig"),
            },
            backend="http://localstack:4566",
            told={},
        )
    assert "exit status 2" in caught.value.seen
    assert "SENTINEL" not in str(caught.value)


def test_the_image_is_the_gateway_run_by_an_ordinary_user(
    engine: containers.Engine, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = gateway_image.provide_gateway_image(engine.client, None, backend, print)
    # It is there now: an index that is none does no harm.
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.invalid/simple")
    assert gateway_image.provide_gateway_image(engine.client, None, backend, pytest.fail) == image
    found = engine.client.images.get(image)
    assert found.attrs["Config"]["User"] == "10001:10001"
    # Where the packages came from is nobody's affair who is given the image.
    assert not [step for step in found.history() if "PIP_" in step["CreatedBy"]]
    said = engine.client.containers.run(image, remove=True, labels=engine.labels)
    assert said.decode().startswith("simulated AWS: the conformance suite's gateway")


@pytest.fixture
def wants_an_account(engine: containers.Engine) -> Iterator[str]:
    """An image that ends as LocalStack's later ones do without an account."""
    if image_store.absent(engine.client, [GATEWAY_BASE]):
        pytest.skip(f"the Docker engine has no {GATEWAY_BASE}; not exercised")
    name = f"conformance-test/wants-an-account:{engine.run}"
    made = engine.client.containers.create(GATEWAY_BASE, labels=engine.labels)
    try:
        said = ["sh", "-c", "echo License activation failed; exit 55"]
        repository, _, tag = name.partition(":")
        made.commit(repository, tag, changes=f"ENTRYPOINT {json.dumps(said)}")
    finally:
        made.remove()
    yield name
    engine.client.images.remove(name, force=True)


def test_a_localstack_that_wants_an_account_is_told_at_once(
    engine: containers.Engine, wants_an_account: str
) -> None:
    engine.make_network()
    with pytest.raises(EnvironmentBroken, match="exit status 55; its last words:\nLicense act") as caught:
        localstack.start(engine, region=REGION, image=wants_an_account)
    assert "LOCALSTACK_AUTH_TOKEN" in caught.value.remedy


def test_a_localstack_that_is_not_there_is_named(engine: containers.Engine) -> None:
    with pytest.raises(EnvironmentBroken, match=r"localstack\.example\.invalid/none:1"):
        localstack.start(engine, region=REGION, image="localstack.example.invalid/none:1")
