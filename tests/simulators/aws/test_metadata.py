"""Instance metadata: only for the nodes that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import botocore.session
import botocore.utils
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulators.aws.conftest import Lab

TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


@pytest.fixture
def node(lab: Lab) -> Iterator[tuple[str, str]]:
    """A granted node identity: its role and its endpoint."""
    role, path = lab.role(), f"/node-identities/{lab.unique('node')}"
    granted = lab.control("PUT", path, {"role_arn": role, "region": "eu-west-1"})
    assert granted.status == 200
    yield role, granted.json["endpoint"]
    assert lab.control("DELETE", path).status == 200
    assert lab.send("GET", f"{granted.json['endpoint']}/latest/meta-data/placement/region").status == 404
    assert lab.control("DELETE", path).status == 404


@pytest.mark.parametrize(
    "path", ["/", "/latest/api/token", "/latest/meta-data/iam/security-credentials/", "/absent/latest/x"]
)
def test_nothing_is_served_unasked(lab: Lab, path: str) -> None:
    base = f"http://{lab.gateway.ready['metadata']}"
    for method in ("GET", "PUT"):
        assert lab.send(method, f"{base}{path}", TTL).status == 404
        record = lab.last_call()
        assert (record["service"], record["verdict"]) == ("ec2metadata", "refused")


def test_an_sdk_finds_the_nodes_credentials(lab: Lab, node: tuple[str, str]) -> None:
    role, endpoint = node
    fetcher = botocore.utils.InstanceMetadataFetcher(
        timeout=5, num_attempts=1, base_url=f"{endpoint}/", env={}, user_agent="test"
    )
    found = fetcher.retrieve_iam_role_credentials()
    name = role.rpartition("/")[2]
    assert found["role_name"] == name
    keys = {
        "AccessKeyId": found["access_key"],
        "SecretAccessKey": found["secret_key"],
        "SessionToken": found["token"],
    }
    arn = lab.client("sts", keys).get_caller_identity()["Arn"]
    assert arn.startswith(f"arn:aws:sts::210987654321:assumed-role/{name}/i-0")
    assert fetcher.retrieve_iam_role_credentials() == found
    record = lab.call(role)[0]
    assert (record["service"], record["verdict"]) == ("ec2metadata", "allowed")


def test_each_node_answers_on_a_port_of_its_own(lab: Lab, node: tuple[str, str]) -> None:
    _, endpoint = node
    path = f"/node-identities/{lab.unique('node')}"
    role = lab.role()
    other = lab.control("PUT", path, {"role_arn": role, "region": "eu-west-1"}).json["endpoint"]
    assert other != endpoint
    listed = lab.send("GET", f"{other}/latest/meta-data/iam/security-credentials/")
    assert listed.text == role.rpartition("/")[2]
    lab.control("DELETE", path)


def test_a_node_can_keep_its_identity_from_pods(lab: Lab) -> None:
    path = f"/node-identities/{lab.unique('node')}"
    asked = {"role_arn": lab.role(), "region": "eu-west-1", "for_pods": False}
    endpoint = lab.control("PUT", path, asked).json["endpoint"]
    assert lab.send("PUT", f"{endpoint}/latest/api/token", TTL).status == 404
    assert lab.send("GET", f"{endpoint}/latest/meta-data/iam/security-credentials/").status == 404
    assert lab.control("DELETE", path).status == 200


@pytest.mark.parametrize("with_token", [True, False])
def test_region_and_identity_document(lab: Lab, node: tuple[str, str], *, with_token: bool) -> None:
    _, endpoint = node
    headers = {}
    if with_token:
        token = lab.send("PUT", f"{endpoint}/latest/api/token", TTL)
        assert (token.status, token.headers["X-aws-ec2-metadata-token-ttl-seconds"]) == (200, "60")
        headers = {"X-aws-ec2-metadata-token": token.text}
    assert lab.send("GET", f"{endpoint}/latest/meta-data/placement/region", headers).text == "eu-west-1"
    document = lab.send("GET", f"{endpoint}/latest/dynamic/instance-identity/document", headers).json
    assert (document["accountId"], document["region"]) == ("210987654321", "eu-west-1")
    instance = lab.send("GET", f"{endpoint}/latest/meta-data/instance-id", headers).text
    assert document["instanceId"] == instance
    assert lab.send("GET", f"{endpoint}/latest/meta-data/absent", headers).status == 404
    assert lab.send("DELETE", f"{endpoint}/latest/meta-data/instance-id", headers).status == 405


def test_a_wrong_token_or_lifetime_is_refused(lab: Lab, node: tuple[str, str]) -> None:
    _, endpoint = node
    wrong = {"X-aws-ec2-metadata-token": "wrong"}
    assert lab.send("GET", f"{endpoint}/latest/meta-data/instance-id", wrong).status == 401
    for seconds in ("0", "21601", "x"):
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": seconds}
        assert lab.send("PUT", f"{endpoint}/latest/api/token", headers).status == 400
    assert lab.send("PUT", f"{endpoint}/latest/api/token").status == 400


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"role_arn": "arn:aws:iam::210987654321:role/absent", "region": "eu-west-1"}, "there is no role"),
        ({"role_arn": "x", "region": "eu-west-1"}, "no ARN of a role"),
        ({"region": "eu-west-1"}, "role_arn"),
        ({"role_arn": "x", "region": "eu-west-1", "zone": "a"}, "unknown key 'zone'"),
    ],
)
def test_a_wrong_node_identity_is_explained(lab: Lab, wanted: dict[str, str], said: str) -> None:
    answer = lab.control("PUT", "/node-identities/wrong", wanted)
    assert (answer.status, said in answer.json["error"]) == (400, True)
