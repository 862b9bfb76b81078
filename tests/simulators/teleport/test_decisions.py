"""Each decision with a case that it allows and one that it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.teleport.decisions import STS_BODY, Decisions

DECIDE = Decisions()
RULE = {"resources": ["token"], "verbs": ["create", "list"]}
POD = {"kind": "pod", "namespace": "apps", "name": "web-*"}
SALT = b"salt"
HASH = DECIDE.password_hash("right", SALT)


@pytest.mark.parametrize(
    ("decision", "arguments", "expected"),
    [
        ("token_named", ("a", {"a": 1}), 1),
        ("token_named", ("b", {"a": 1}), None),
        ("token_usable", (None, 100.0), True),
        ("token_usable", (101.0, 100.0), True),
        ("token_usable", (100.0, 100.0), False),
        ("method_matches", ("iam", "iam"), True),
        ("method_matches", ("token", "iam"), False),
        ("role_allowed", ("Kube", ["Kube"]), True),
        ("role_allowed", ("App", ["Kube"]), False),
        ("role_allowed", ("Instance", ["Kube"]), True),
        ("role_allowed", ("Instance", ["Bot"]), False),
        ("sts_host_accepted", ("sts.amazonaws.com",), True),
        ("sts_host_accepted", ("sts.eu-west-1.amazonaws.com",), True),
        ("sts_host_accepted", ("sts.us-gov-east-1.amazonaws.com",), True),
        ("sts_host_accepted", ("sts.evil.example",), False),
        ("sts_host_accepted", ("sts.amazonaws.com.evil.example",), False),
        ("challenge_answered", ("abc", "abc"), True),
        ("challenge_answered", ("abc", "abd"), False),
        ("challenge_signed", (["host", "x-teleport-challenge"],), True),
        ("challenge_signed", (["host"],), False),
        ("sts_body_expected", (STS_BODY,), True),
        ("sts_body_expected", (STS_BODY + b"&x=1",), False),
        ("sts_confirmed", (200,), True),
        ("sts_confirmed", (403,), False),
        ("account_matches", ("", "1"), True),
        ("account_matches", ("1", "1"), True),
        ("account_matches", ("2", "1"), False),
        ("arn_matches", ("", "arn"), True),
        ("arn_matches", ("arn:aws:sts::1:assumed-role/r/*", "arn:aws:sts::1:assumed-role/r/s/t"), True),
        ("arn_matches", ("arn:aws:sts::1:assumed-role/r/?", "arn:aws:sts::1:assumed-role/r/12"), False),
        ("arn_matches", ("arn:aws:sts::1:assumed-role/r/*", "arn:aws:sts::1:assumed-role/rr/s"), False),
        ("arn_matches", ("a.c", "abc"), False),
        ("certificate_accepted", ("Kube", ["Kube"], 101.0, 100.0), True),
        ("certificate_accepted", ("Kube", ["Instance"], 101.0, 100.0), False),
        ("certificate_accepted", ("Kube", ["Kube"], 100.0, 100.0), False),
        ("host_id", ("kept", "fresh"), "kept"),
        ("host_id", (None, "fresh"), "fresh"),
        ("join_needed", (None,), True),
        ("join_needed", ("identity",), False),
        ("aws_asked", (None,), True),
        ("aws_asked", ("identity",), False),
        ("token_kept", (RULE,), RULE),
        ("join_recorded", ("Kube",), True),
        ("identity_kept", ("Kube",), True),
        ("roles_given", (["access"], ["access", "editor"]), ["access", "editor"]),
        ("kubeconfig_written", ("cluster",), True),
        ("state_removed", ("agent-0-state", "agent"), True),
        ("state_removed", ("teleport-agent-0-state", "agent"), True),
        ("state_removed", ("agent-0-state", "other"), False),
        ("state_removed", ("agent-join-token", "agent"), False),
        ("server_listed", (101.0, 100.0), True),
        ("server_listed", (100.0, 100.0), False),
        ("server_expiry", (100.0,), 700.0),
        ("cluster_meant", ("iam-cluster", "iam-cluster"), True),
        ("cluster_meant", ("iam-cluster-2", "iam-cluster"), False),
        ("agents_asked", (["a", "b"], ["b", "c", "a"]), ["b", "a"]),
        ("agents_asked", (["a"], ["c"]), []),
        ("ports_opened", (), ()),
        ("tunnel_dialled", ("tele.example.com:443", "127.0.0.1:3080"), "tele.example.com:443"),
        ("address_announced", (), "remote.kube.proxy.teleport.cluster.local"),
        ("session_roles", (["access"], ["access", "editor"]), ["access"]),
        ("password_matches", ("right", SALT, HASH), True),
        ("password_matches", ("wrong", SALT, HASH), False),
        ("password_matches", ("", b"", b""), False),
        ("labels_match", ({"*": "*"}, {}), True),
        ("labels_match", ({"*": ["*"]}, {"env": "prod"}), True),
        ("labels_match", ({"env": ["prod", "test"]}, {"env": "test"}), True),
        ("labels_match", ({"env": "prod"}, {"env": "test"}), False),
        ("labels_match", ({"env": "prod"}, {}), False),
        ("labels_match", ({}, {}), False),
        ("principals", (["b", "a", "b"], ["a"]), ["b"]),
        ("impersonated_groups", (["viewers"],), ["viewers", "system:authenticated"]),
        ("kubernetes_access", ([], ["viewers"]), True),
        ("kubernetes_access", ([], []), False),
        ("impersonation_allowed", (["a"], ["a", "b"]), None),
        ("impersonation_allowed", (["a", "c"], ["a", "b"]), "c"),
        ("resource_allowed", ([POD], "pods", "apps", "web-1", False), True),
        ("resource_allowed", ([POD], "pods", "apps", "db", False), False),
        ("resource_allowed", ([POD], "pods", "other", "web-1", False), False),
        ("resource_allowed", ([], "secrets", "apps", "x", False), True),
        ("resource_allowed", ([], "secrets", "apps", "x", True), False),
        ("rule_allows", ([RULE], "token", "list"), True),
        ("rule_allows", ([RULE], "token", "delete"), False),
        ("rule_allows", ([RULE], "role", "list"), False),
        ("request_recorded", (False,), True),
        ("request_recorded", (True,), False),
    ],
)
def test_decides(decision: str, arguments: tuple[Any, ...], expected: Any) -> None:
    assert getattr(DECIDE, decision)(*arguments) == expected
