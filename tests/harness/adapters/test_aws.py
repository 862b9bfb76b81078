"""The AWS account of a scenario, against the real gateway over moto."""

from __future__ import annotations

import itertools
import json
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.adapters import daemons, direct
from harness.adapters.aws import Account, Clients, Gateway
from harness.core.errors import EnvironmentBroken, TransientOracleError
from harness.scenario import DENIED_BY, Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.adapters.conftest import AWS, Evidence, Site

_numbers = itertools.count()


@pytest.fixture
def clients(aws: AWS) -> Clients:
    return Clients(
        proxy=aws.addresses["proxy"],
        ca_file=aws.authority.pair.certificate,
        key_id=aws.key_id,
        secret=aws.secret,
        region="eu-west-1",
    )


@pytest.fixture
def gateway(aws: AWS) -> Gateway:
    return Gateway(aws.addresses["control"])


@pytest.fixture
def open_account(aws: AWS, clients: Clients, gateway: Gateway) -> Callable[[], Account]:
    """Makes the account of another scenario."""
    iam = clients.client("iam")
    if not iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        iam.create_open_id_connect_provider(
            Url=aws.issuer, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40]
        )

    def make() -> Account:
        return Account(
            names=Names.unique(f"a{next(_numbers)}"),
            account_id=aws.account_id,
            region="eu-west-1",
            issuer=aws.issuer,
            clients=clients,
            gateway=gateway,
        )

    return make


@pytest.fixture
def account(open_account: Callable[[], Account]) -> Account:
    return open_account()


def subject(account: Account) -> str:
    return f"system:serviceaccount:{account.names.namespace}:{account.names.service_account}"


def roles(clients: Clients) -> set[str]:
    return {role["RoleName"] for role in clients.client("iam").list_roles()["Roles"]}


def test_who_is_asked_is_the_runs_own_account(aws: AWS, clients: Clients) -> None:
    answer = clients.client("sts").get_caller_identity()
    assert answer["Account"] == aws.account_id
    assert answer["Arn"] == f"arn:aws:iam::{aws.account_id}:user/administrator"


def test_the_users_keys_and_proxy_are_not_used(
    aws: AWS, serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = serve(lambda _: (200, {}))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATHEUSERS",
        "AWS_SECRET_ACCESS_KEY": "theirs",
        "AWS_SESSION_TOKEN": "theirs",
        "HTTPS_PROXY": elsewhere.url,
        "https_proxy": elsewhere.url,
    }.items():
        monkeypatch.setenv(name, value)
    clients = Clients(
        proxy=aws.addresses["proxy"],
        ca_file=aws.authority.pair.certificate,
        key_id=aws.key_id,
        secret=aws.secret,
        region="eu-west-1",
    )
    assert clients.client("sts").get_caller_identity()["Account"] == aws.account_id
    assert elsewhere.requests == []


def test_a_role_trusts_the_service_account_of_the_scenario_alone(aws: AWS, account: Account) -> None:
    arn = account.create_role()
    assert arn == f"arn:aws:iam::{aws.account_id}:role/{account.names.role}"
    issuer = aws.issuer.removeprefix("https://")
    (statement,) = account.role()["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{aws.account_id}:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": subject(account)}
        },
    }


def test_a_policy_is_read_in_its_default_version(clients: Clients, account: Account) -> None:
    iam = clients.client("iam")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "x:*", "Resource": "*"}]}
    iam.create_policy(PolicyName=account.names.policy, PolicyDocument=json.dumps(document))
    assert account.policy() == document


def test_calls_are_those_that_name_the_role(
    aws: AWS, account: Account, open_account: Callable[[], Account], evidence: Evidence
) -> None:
    other = open_account()
    for each in (account, other):
        each.create_role()
    assert account.calls() == []
    before = account.mark()
    token = aws.token(subject(account))
    account.assume_role(token)
    other.assume_role(aws.token(subject(other)))
    (call,) = account.calls()
    assert (call["action"], call["verdict"], call["role"]) == (
        "AssumeRoleWithWebIdentity",
        "allowed",
        account.names.role,
    )
    assert account.mark() == before + 2
    assert account.calls(after=call["seq"]) == []
    assert len(account.calls(after=before)) == 1
    assert token not in evidence.text()


def test_a_call_that_is_refused_is_on_the_log_too(aws: AWS, account: Account) -> None:
    account.create_role()
    account.assume_role(aws.token("system:serviceaccount:another:one"))
    (call,) = account.calls()
    assert call["verdict"] == "denied"
    # What a scenario itself has denied is told from this by its reason.
    assert DENIED_BY not in call["reason"]


def test_a_call_is_known_again_by_its_session_even_when_it_is_denied(aws: AWS, account: Account) -> None:
    account.create_role()
    sessions = [account.assume_role(aws.token(subject(account)))]
    account.deny("not now")
    sessions.append(account.assume_role(aws.token(subject(account))))
    assert len(set(sessions)) == 2
    calls = account.calls()
    assert [call["verdict"] for call in calls] == ["allowed", "denied"]
    assert [[session in call["user_agent"] for session in sessions] for call in calls] == [
        [True, False],
        [False, True],
    ]


def test_a_client_without_a_marker_has_none(clients: Clients, gateway: Gateway) -> None:
    mark = gateway.last()
    clients.client("sts", marker="canary-1").get_caller_identity()
    clients.client("sts").get_caller_identity()
    assert ["canary-1" in call["user_agent"] for call in gateway.calls(after=mark)] == [True, False]


def test_a_denial_concerns_the_role_and_no_other(
    aws: AWS, account: Account, open_account: Callable[[], Account]
) -> None:
    other = open_account()
    for each in (account, other):
        each.create_role()
    account.deny("not now")
    for each in (account, other):
        each.assume_role(aws.token(subject(each)))
    assert [call["verdict"] for call in account.calls()] == ["denied"]
    assert account.calls()[0]["code"] == "AccessDenied"
    assert DENIED_BY in account.calls()[0]["reason"]
    assert [call["verdict"] for call in other.calls()] == ["allowed"]


def test_a_delay_and_a_moved_clock_concern_the_role(aws: AWS, account: Account) -> None:
    account.create_role()
    account.delay(0.3)
    began = time.monotonic()
    account.assume_role(aws.token(subject(account)))
    assert time.monotonic() - began >= 0.3
    account.shift_clock(3600)
    account.assume_role(aws.token(subject(account)))
    # The token is over by the clock that the role has now.
    assert [call["verdict"] for call in account.calls()] == ["allowed", "denied"]


def test_undoing_ends_the_disruption_and_removes_what_was_made(
    aws: AWS, account: Account, clients: Clients
) -> None:
    account.create_role()
    second = f"{account.names.role}-second"
    account.create_role(name=second)
    clients.client("iam").create_policy(
        PolicyName=account.names.policy,
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "x:*", "Resource": "*"}]}
        ),
    )
    account.deny("not now")
    account.undo()
    assert not {account.names.role, second} & roles(clients)
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.policy()
    account.create_role()
    account.assume_role(aws.token(subject(account)))
    assert account.calls()[-1]["verdict"] == "allowed"


def test_in_an_account_that_ends_only_the_disruption_is_undone(
    aws: AWS, account: Account, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_lasting", False)
    account.create_role()
    account.deny("not now")
    account.undo()
    assert account.names.role in roles(clients)
    account.assume_role(aws.token(subject(account)))
    assert account.calls()[-1]["verdict"] == "allowed"


def test_undoing_nothing_is_fine(account: Account) -> None:
    account.undo()


def test_a_role_that_the_guide_made_is_removed_too(account: Account, clients: Clients) -> None:
    clients.client("iam").create_role(
        RoleName=account.names.role,
        AssumeRolePolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [account.trust(account.names.service_account)]}
        ),
    )
    account.undo()
    assert account.names.role not in roles(clients)


def test_what_the_gateway_refuses_is_told(gateway: Gateway) -> None:
    with pytest.raises(EnvironmentBroken, match="the AWS gateway to accept PUT /roles/x/disruption"):
        gateway.call("PUT", "/roles/x/disruption", {"nonsense": 1})


def test_a_gateway_that_does_not_answer_may_later() -> None:
    with pytest.raises(TransientOracleError, match="did not answer"):
        Gateway(f"127.0.0.1:{daemons.free_port()}").calls()


def test_the_gateways_control_is_never_asked_through_a_proxy(
    gateway: Gateway, serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(lambda _: (200, {"calls": [], "last": -1}))
    monkeypatch.setenv("http_proxy", proxy.url)
    assert gateway.last() >= 0
    assert proxy.requests == []


def test_what_the_oracle_answered_is_evidence(account: Account, evidence: Evidence) -> None:
    account.calls()
    seen: list[Any] = [entry["title"] for entry in evidence.recorder.entries()]
    assert any(account.names.role in title for title in seen)


def test_a_policy_is_attached_and_goes_with_the_scenario(account: Account, clients: Clients) -> None:
    account.create_role()
    assert account.permissions() == []
    arn = account.create_policy()
    assert account.policy()["Statement"] == [
        {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
    ]
    assert account.attach_policy(arn) == ""
    assert account.permissions() == [arn]
    account.undo()
    assert account.names.role not in roles(clients)
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.policy()


def test_a_policy_that_iam_does_not_know_is_not_attached(account: Account) -> None:
    account.create_role()
    assert account.attach_policy(f"arn:aws:iam::aws:policy/{account.names.policy}") == "NoSuchEntity"
    assert account.permissions() == []


def test_what_is_written_into_a_role_is_a_permission_too(account: Account, clients: Clients) -> None:
    account.create_role()
    iam = clients.client("iam")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    names = {"RoleName": account.names.role, "PolicyName": "written"}
    iam.put_role_policy(**names, PolicyDocument=json.dumps(document))
    assert account.permissions() == ["written"]
    iam.delete_role_policy(**names)


def test_providers_are_told_by_issuer(aws: AWS, account: Account) -> None:
    assert account.oidc_providers() == {aws.issuer: ["sts.amazonaws.com"]}


def test_whether_there_is_a_role(account: Account) -> None:
    assert not account.has_role()
    account.create_role()
    assert account.has_role()


def test_a_partition_has_roles_of_its_own(account: Account) -> None:
    account.move_to("cn-north-1")
    assert account.create_role() == f"arn:aws-cn:iam::{account.account_id}:role/{account.names.role}"
    assert account.has_role()
    account.move_to("eu-west-1")
    assert not account.has_role()
    account.move_to("cn-north-1")
    account.undo()
    assert not account.has_role()


def test_a_node_has_an_identity_until_the_scenario_ends(aws: AWS, account: Account, clients: Clients) -> None:
    node = account.create_node()
    assert node["AWS_EC2_METADATA_DISABLED"] == "no"
    endpoint = node["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    listed = f"{endpoint}latest/meta-data/iam/security-credentials/"
    with direct.opener().open(listed, timeout=5) as answer:
        assert answer.read().decode() == account.names.node_role
    account.undo()
    with pytest.raises(HTTPError, match="404"):
        direct.opener().open(listed, timeout=5)
    assert account.names.node_role not in roles(clients)


def test_a_node_can_keep_its_identity_from_pods(account: Account) -> None:
    endpoint = account.create_node(for_pods=False)["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    with pytest.raises(HTTPError, match="404"):
        direct.opener().open(f"{endpoint}latest/meta-data/iam/security-credentials/", timeout=5)
    account.undo()


def test_it_is_known_whom_aws_took_for_the_node(aws: AWS, account: Account) -> None:
    endpoint = account.create_node()["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    assert account.told_of_node() == []
    path = f"latest/meta-data/iam/security-credentials/{account.names.node_role}"
    with direct.opener().open(endpoint + path, timeout=5) as answer:
        found = json.loads(answer.read())
    assert account.told_of_node() == []
    session = botocore.session.Session()
    session.set_credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
    config = Config(proxies={"https": f"http://{aws.addresses['proxy']}"})
    sts: Any = session.create_client(
        "sts", region_name="eu-west-1", config=config, verify=str(aws.authority.pair.certificate)
    )
    sts.get_caller_identity()
    assert account.told_of_node() == [account.names.node_role]
    account.undo()


def test_the_key_of_a_user_is_given_as_programs_read_it(aws: AWS, account: Account) -> None:
    assert account.keys_of_a_user() == {
        "AWS_ACCESS_KEY_ID": aws.key_id,
        "AWS_SECRET_ACCESS_KEY": aws.secret,
    }


def test_a_role_can_have_a_path(aws: AWS, account: Account) -> None:
    arn = account.create_role(path="/teams/one/")
    assert arn == f"arn:aws:iam::{aws.account_id}:role/teams/one/{account.names.role}"
    account.undo()
    assert not account.has_role()


def test_what_is_cut_gets_no_answer_until_it_is_calm(account: Account, gateway: Gateway) -> None:
    account.cut("GetCallerIdentity")
    role = account.names.role
    assert gateway.call("GET", "/roles")["roles"][role]["cut"] == "GetCallerIdentity"
    account.calm()
    assert gateway.call("GET", "/roles")["roles"][role] == {
        "deny": None,
        "delay": 0,
        "clock_shift": 0,
        "cut": "",
    }


def test_a_cluster_without_issuer_goes_with_the_scenario(account: Account, clients: Clients) -> None:
    name = account.create_cluster_without_issuer()
    eks = clients.client("eks")
    assert "identity" not in eks.describe_cluster(name=name)["cluster"]
    account.undo()
    with pytest.raises(ClientError, match="No cluster found"):
        eks.describe_cluster(name=name)


def test_a_connection_through_the_gateway_leads_to_what_was_asked_for(aws: AWS, account: Account) -> None:
    host, _, number = aws.addresses["proxy"].rpartition(":")
    with (
        socket.create_connection((host, int(number))) as asked,
        socket.create_connection((host, int(number))) as silent,
    ):
        asked.sendall(b"CONNECT sts.eu-west-1.amazonaws.com:443 HTTP/1.1\r\n\r\n")
        assert b" 200 " in asked.recv(100)
        own, quiet = (":".join(map(str, one.getsockname())) for one in (asked, silent))
        proxy, elsewhere = aws.addresses["proxy"], "127.0.0.1:3080"
        led = account.dialled([(own, proxy), (quiet, proxy), ("127.0.0.1:9", elsewhere)])
        assert led == {"sts.eu-west-1.amazonaws.com:443", elsewhere}
