"""Joining by IAM: what is admitted, and everything that is refused, over the wire."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT = "210987654321"


@pytest.fixture(scope="module")
def role(lab: Any) -> str:
    return str(lab.role())


@pytest.fixture(scope="module")
def session(lab: Any, role: str) -> dict[str, str]:
    return dict(lab.session(role))


def message(answer: tuple[int, Any]) -> str:
    status, document = answer
    assert status >= 400, document
    return str(document["error"]["message"])


def test_what_an_agent_sends_is_admitted(lab: Any, role: str, session: dict[str, str]) -> None:
    token = lab.token(role)
    status, answer = lab.join(session, token=token)
    assert status == 200
    assert "BEGIN CERTIFICATE" in answer["certificate"]
    [event] = lab.audit("instance.join", token_name=token)
    assert (event["code"], event["method"], event["role"], event["success"]) == (
        "TJ002I",
        "iam",
        "Kube",
        True,
    )


def test_token_of_another_account(lab: Any, role: str, session: dict[str, str]) -> None:
    token = lab.token(role, rule={"aws_account": "109876543210", "aws_arn": ""})
    assert message(lab.join(session, token=token)) == "instance did not match any allow rules"
    assert lab.audit("instance.join", token_name=token) == []  # 13 writes none


def test_token_of_another_role(lab: Any, session: dict[str, str]) -> None:
    token = lab.token("another")
    assert message(lab.join(session, token=token)) == "instance did not match any allow rules"


def test_any_rule_that_matches_is_enough(lab: Any, role: str, session: dict[str, str]) -> None:
    allow = [
        {"aws_account": "109876543210"},
        {"aws_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/session-?"},
    ]
    assert lab.join(session, token=lab.token(role, allow=allow))[0] == 200


def test_token_that_is_not_there(lab: Any, session: dict[str, str]) -> None:
    assert message(lab.join(session, token="nowhere")) == (
        '"teleport-agent-0" can not join the cluster with role "Kube", token expired or not found'
    )


def test_token_that_expired(
    lab: Any, role: str, session: dict[str, str], later: Callable[[float], str]
) -> None:
    # One that lies in the past already becomes one of half an hour, as in 13.
    token = lab.token(role, expires=later(1))
    while lab.join(session, token=token)[0] == 200:
        pass
    assert "token expired or not found" in message(lab.join(session, token=token))
    assert lab.tctl("get", f"token/{token}").returncode == 1


def test_token_without_the_role(lab: Any, role: str, session: dict[str, str]) -> None:
    token = lab.token(role, roles=["Node"])
    assert 'the token does not allow "Kube" role' in message(lab.join(session, token=token))
    assert lab.join(session, token=token, role="Instance")[0] == 200


def test_token_for_no_service_at_all(lab: Any, role: str, session: dict[str, str]) -> None:
    token = lab.token(role, roles=["Bot"])
    assert "token contains no local service roles" in message(lab.join(session, token=token, role="Instance"))


def test_token_of_another_method(lab: Any, role: str, session: dict[str, str]) -> None:
    token = lab.token(role, join_method="token", allow=[])
    assert message(lab.join(session, token=token)) == "this token does not support the IAM join method"


def test_iam_token_by_the_method_token(lab: Any, role: str, session: dict[str, str]) -> None:
    told = message(lab.join(session, token=lab.token(role), method="token"))
    assert told.startswith("this token is only valid for the IAM join method but")
    other = lab.token(role, join_method="token", allow=[])
    assert lab.join(session, token=other, method="token")[0] == 200


def test_challenge_of_another_join(lab: Any, role: str, session: dict[str, str]) -> None:
    answer = lab.join(session, token=lab.token(role), headers={"X-Teleport-Challenge": "old"})
    assert message(answer) == "sts identity request does not include challenge header or it does not match"


def test_challenge_is_good_once(lab: Any, role: str, session: dict[str, str]) -> None:
    answer = lab.join(session, token=lab.token(role), challenge="made up")
    assert "challenge" in message(answer)


def test_challenge_that_is_not_signed(lab: Any, role: str, session: dict[str, str]) -> None:
    answer = lab.join(session, token=lab.token(role), unsigned=["X-Teleport-Challenge"])
    assert "does not include x-teleport-challenge as a signed header" in message(answer)


def test_sts_of_an_attacker(lab: Any, role: str, session: dict[str, str]) -> None:
    answer = lab.join(session, token=lab.token(role), host="sts.evil.example")
    assert 'unknown STS host "sts.evil.example"' in message(answer)


def test_request_for_something_else(lab: Any, role: str, session: dict[str, str]) -> None:
    answer = lab.join(session, token=lab.token(role), body="Action=GetSessionToken&Version=2011-06-15")
    assert "does not equal expected" in message(answer)


def test_signature_that_sts_refuses(lab: Any, role: str, session: dict[str, str]) -> None:
    forged = {**session, "SecretAccessKey": "guessed"}
    answer = message(lab.join(forged, token=lab.token(role)))
    assert answer.startswith('aws sts api returned status: "403 Forbidden"')
    assert "SignatureDoesNotMatch" in answer


def test_agent_joins_as_two_roles_and_keeps_its_identity(
    lab: Any, joined: Any, observed: Callable[[str], Any]
) -> None:
    roles = {
        event["role"] for event in lab.audit("instance.join", token_name=joined.token, host_id=joined.host_id)
    }
    assert roles == {"Instance", "Kube"}
    secret = lab.kubernetes.secrets[f"{joined.pod['TELEPORT_REPLICA_NAME']}-state"]
    expected = observed("state-secret.json")
    assert sorted(secret["data"]) == sorted(expected["data"])
    assert set(secret["metadata"]["annotations"]) == set(expected["metadata"]["annotations"])
    assert base64.b64decode(secret["data"][".host_uuid"]).decode() == joined.host_id
    calls = [(call["action"], call["verdict"]) for call in lab.calls(joined.role)]
    assert (
        sorted(calls)
        == [("AssumeRoleWithWebIdentity", "allowed")] * 2 + [("GetCallerIdentity", "allowed")] * 2
    )


def test_server_has_the_form_of_the_real_one(lab: Any, joined: Any, observed: Callable[[str], Any]) -> None:
    [server] = lab.servers(joined.cluster)
    [real, *_] = observed("tctl-get-kube_server.json")
    assert shape(server) == shape(real)
    assert server["spec"]["version"].endswith("+simulated")


def test_agent_that_starts_again_makes_no_join(lab: Any, wait: Callable[..., Any]) -> None:
    role, cluster = lab.role(), lab.unique("cluster")
    token = lab.token(role)
    pod = lab.pod(role, token, cluster)
    first = lab.agent(pod)
    [before] = wait(lambda: lab.servers(cluster))
    first.stop()
    assert lab.tctl("rm", f"token/{token}").returncode == 0
    calls = len(lab.calls(role))
    again = lab.agent(pod)
    try:
        again.logged("Connecting to the cluster tele.example.com with TLS client certificate")
        [after] = wait(
            lambda: [
                one
                for one in lab.servers(cluster)
                if one["metadata"]["expires"] > before["metadata"]["expires"]
            ]
        )
    finally:
        again.stop()
    assert after["spec"]["host_id"] == before["spec"]["host_id"]
    assert len(lab.calls(role)) == calls
    assert len(lab.audit("instance.join", token_name=token)) == 2


def test_agent_that_is_refused_tries_again_until_it_may_join(lab: Any, wait: Callable[..., Any]) -> None:
    role, cluster = lab.role(), lab.unique("cluster")
    token = lab.token("another")
    diagnostics = f"127.0.0.1:{free_port()}"
    agent = lab.agent(lab.pod(role, token, cluster), diagnostics)
    try:
        log = agent.logged("Kube failed to establish connection to cluster: rpc error")
        assert "instance did not match any allow rules" in log
        assert log.splitlines()[0].count("Simulation of Teleport 13") == 1
        assert probe(diagnostics, "healthz") == (200, {"status": "ok"})
        starting = {"status": "teleport is starting and hasn't joined the cluster yet"}
        assert probe(diagnostics, "readyz") == (400, starting)
        rule = {"aws_account": ACCOUNT}
        lab.create("token", token, {"roles": ["Kube"], "join_method": "iam", "allow": [rule]})
        wait(lambda: lab.servers(cluster))
        wait(lambda: probe(diagnostics, "readyz") == (200, {"status": "ok"}))
    finally:
        agent.stop()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/no-such"},
            "WebIdentityErr: failed to retrieve credentials",
        ),
        ({"AWS_ROLE_ARN": ""}, "NoCredentialProviders: no valid providers in chain. Deprecated."),
        (
            {"AWS_ROLE_ARN": "", "CONFORMANCE_SIMULATED_TELEPORT": "17"},
            "failed to refresh cached credentials, no EC2 IMDS role found",
        ),
    ],
)
def test_agent_without_credentials(lab: Any, role: str, changes: dict[str, str], text: str) -> None:
    agent = lab.agent({**lab.pod(role, "none", "cluster"), **changes})
    try:
        agent.logged(text)
    finally:
        agent.stop()


def test_agent_that_may_not_keep_its_identity_ends(lab: Any, role: str) -> None:
    lab.kubernetes.refusing = True
    try:
        agent = lab.agent(lab.pod(role, "none", "cluster"))
        assert agent.process.wait(10) == 1
    finally:
        lab.kubernetes.refusing = False
    assert 'secrets "teleport-agent' in agent.log
    assert "initialization failed" in agent.log


def test_agent_without_its_cluster_role_serves_with_a_warning(lab: Any, role: str) -> None:
    lab.kubernetes.permitted = False
    agent = lab.agent(lab.pod(role, lab.token(role), lab.unique("cluster")))
    try:
        assert "Failed to test the necessary Kubernetes permissions." in agent.logged(
            "via proxy reverse tunnel"
        )
    finally:
        lab.kubernetes.permitted = True
        agent.stop()


def test_delete_hook_takes_whatever_holds_the_pattern(lab: Any, role: str) -> None:
    for name in ("agent-0-state", "teleport-agent-0-state", "agent-x-state", "agent-shared-state"):
        lab.kubernetes.secrets[name] = {"metadata": {"name": name}}
    pod = {**lab.pod(role, "none", "cluster"), "RELEASE_NAME": "agent"}
    {name for name in lab.kubernetes.secrets if name.startswith("teleport-agent-") and "-0-state" in name}
    done = lab.spawn("teleport", "kube-state", "delete", env=pod)
    assert (done.returncode, done.stderr) == (0, "")
    left = set(lab.kubernetes.secrets)
    assert {"agent-x-state", "agent-shared-state"} <= left
    assert not {"agent-0-state", "teleport-agent-0-state"} & left


def shape(document: Any) -> Any:
    """The keys of a document, without its values."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    return [shape(value) for value in document] if isinstance(document, list) else type(document).__name__


def probe(address: str, path: str) -> tuple[int, Any]:
    answer = urllib3.request("GET", f"http://{address}/{path}", retries=False)
    return answer.status, json.loads(answer.data)


def free_port() -> int:
    import socket  # noqa: PLC0415  # nothing else here needs it

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
