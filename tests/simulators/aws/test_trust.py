"""The trust policy evaluator by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simulators.aws.trust import Context, evaluate

ISSUER = "oidc.example.com/id/A"
PROVIDER = f"arn:aws:iam::210987654321:oidc-provider/{ISSUER}"
SUBJECT = "system:serviceaccount:ns:sa"
CALLER = Context(
    PROVIDER,
    {f"{ISSUER}:sub": (SUBJECT,), f"{ISSUER}:aud": ("sts.amazonaws.com", "second")},
)


def statement(**changes: Any) -> dict[str, Any]:
    whole = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def allows(*statements: dict[str, Any]) -> bool:
    return evaluate(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}), CALLER).allowed


def test_principal_action_and_no_condition_allow() -> None:
    assert allows(statement())


def test_a_single_statement_need_not_be_in_a_list() -> None:
    assert evaluate(json.dumps({"Statement": statement()}), CALLER).allowed


@pytest.mark.parametrize(
    "document", ["not json", "", "[]", "{}", "null", '"x"', '{"Statement": "x"}', '{"Statement": ["x"]}']
)
def test_what_is_no_policy_never_allows(document: str) -> None:
    judgement = evaluate(document, CALLER)
    assert not judgement.allowed
    assert judgement.reason


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("sts:AssumeRoleWithWebIdentity", True),
        ("STS:assumerolewithwebidentity", True),
        ("sts:*", True),
        ("*", True),
        ("sts:AssumeRole*", True),
        ("sts:AssumeRoleWithWebIdentit?", True),
        (["sts:TagSession", "sts:AssumeRoleWithWebIdentity"], True),
        ("sts:AssumeRole", False),
        ("sts:[A]ssumeRoleWithWebIdentity", False),
        ([], False),
        (7, False),
        (None, False),
    ],
)
def test_actions(action: Any, *, allowed: bool) -> None:
    assert allows(statement(Action=action)) is allowed


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [
        ({"Federated": [PROVIDER, "arn:aws:iam::1:oidc-provider/x"]}, True),
        ({"Federated": PROVIDER.replace("/A", "/*")}, False),
        ({"Federated": PROVIDER.upper()}, False),
        ({"Federated": "cognito-identity.amazonaws.com"}, False),
        ({"AWS": "*"}, False),
        ("*", False),
        (None, False),
        ({}, False),
    ],
)
def test_principals(principal: Any, *, allowed: bool) -> None:
    assert allows(statement(Principal=principal)) is allowed


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({}, True),
        ({"StringEquals": {f"{ISSUER}:sub": SUBJECT}}, True),
        ({"StringEquals": {f"{ISSUER}:SUB": SUBJECT}}, True),
        ({"StringEquals": {f"{ISSUER}:sub": ["x", SUBJECT]}}, True),
        ({"StringEquals": {f"{ISSUER}:sub": SUBJECT.upper()}}, False),
        ({"StringEquals": {f"{ISSUER}:sub": "system:serviceaccount:ns:*"}}, False),
        ({"StringEquals": {f"{ISSUER}:absent": "x"}}, False),
        ({"StringEquals": {f"{ISSUER}:sub": []}}, False),
        ({"StringEquals": {f"{ISSUER}:aud": "second"}}, True),
        ({"StringEquals": {f"{ISSUER}:sub": SUBJECT, f"{ISSUER}:aud": "x"}}, False),
        ({"StringEquals": {f"{ISSUER}:sub": SUBJECT}, "StringLike": {f"{ISSUER}:aud": "x*"}}, False),
        ({"StringEqualsIgnoreCase": {f"{ISSUER}:sub": SUBJECT.upper()}}, True),
        ({"StringEqualsIfExists": {f"{ISSUER}:absent": "x"}}, True),
        ({"StringEqualsIfExists": {f"{ISSUER}:sub": "x"}}, False),
        ({"StringLike": {f"{ISSUER}:sub": "system:serviceaccount:*:sa"}}, True),
        ({"StringLike": {f"{ISSUER}:sub": "system:serviceaccount:n?:sa"}}, True),
        ({"StringLike": {f"{ISSUER}:sub": "system:serviceaccount:n[s]:sa"}}, False),
        ({"StringLike": {f"{ISSUER}:sub": "serviceaccount:*"}}, False),
        ({"StringNotEquals": {f"{ISSUER}:sub": "x"}}, True),
        ({"StringNotEquals": {f"{ISSUER}:sub": ["x", SUBJECT]}}, False),
        ({"StringNotEquals": {f"{ISSUER}:absent": "x"}}, True),
        ({"StringNotEquals": {f"{ISSUER}:aud": "second"}}, False),
        ({"StringNotLike": {f"{ISSUER}:sub": "system:*"}}, False),
        ({"StringNotEqualsIgnoreCase": {f"{ISSUER}:sub": SUBJECT.upper()}}, False),
        ({"ForAnyValue:StringEquals": {f"{ISSUER}:aud": ["second"]}}, True),
        ({"ForAnyValue:StringEquals": {f"{ISSUER}:absent": ["x"]}}, False),
        ({"ForAnyValue:StringNotEquals": {f"{ISSUER}:aud": "second"}}, True),
        ({"ForAllValues:StringEquals": {f"{ISSUER}:aud": ["second"]}}, False),
        ({"ForAllValues:StringLike": {f"{ISSUER}:aud": ["s*"]}}, True),
        ({"ForAllValues:StringEquals": {f"{ISSUER}:absent": ["x"]}}, True),
        ({"Null": {f"{ISSUER}:sub": "false"}}, True),
        ({"Null": {f"{ISSUER}:sub": "true"}}, False),
        ({"Null": {f"{ISSUER}:absent": "true"}}, True),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.1/32"}}, False),
        ({"ForSomeValue:StringEquals": {f"{ISSUER}:sub": SUBJECT}}, False),
        ({"StringEquals": {f"{ISSUER}:sub": {"a": "b"}}}, False),
        ({"StringEquals": "x"}, False),
        ("x", False),
    ],
)
def test_conditions(condition: Any, *, allowed: bool) -> None:
    assert allows(statement(Condition=condition)) is allowed


def test_one_matching_statement_is_enough() -> None:
    assert allows(statement(Action="sts:AssumeRole"), statement())


@pytest.mark.parametrize(
    ("deny", "allowed"),
    [
        (statement(Effect="Deny"), False),
        (statement(Effect="Deny", Principal="*"), False),
        (statement(Effect="Deny", NotAction="sts:AssumeRole"), False),
        (statement(Effect="Deny", Condition={"DateGreaterThan": {"aws:CurrentTime": "x"}}), False),
        (
            statement(
                Effect="Deny", Principal="*", Condition={"StringNotEquals": {f"{ISSUER}:sub": SUBJECT}}
            ),
            True,
        ),
        (statement(Effect="Deny", Action="sts:AssumeRole"), True),
        (statement(Effect="Deny", Condition={"StringEquals": {f"{ISSUER}:sub": "x"}}), True),
    ],
)
def test_a_deny_wins_when_it_matches_or_cannot_be_judged(deny: dict[str, Any], *, allowed: bool) -> None:
    assert allows(statement(), deny) is allowed
    assert allows(deny, statement()) is allowed


@pytest.mark.parametrize("element", ["NotPrincipal", "NotAction", "Resource"])
def test_an_element_that_is_not_understood_never_allows(element: str) -> None:
    assert not allows(statement(**{element: "x"}))


@pytest.mark.parametrize("effect", ["allow", "Permit", None])
def test_only_the_exact_effect_allows(effect: str | None) -> None:
    assert not allows(statement(Effect=effect))


def test_the_reason_names_what_was_wanted_and_what_was_seen() -> None:
    condition = {"StringEquals": {f"{ISSUER}:sub": "system:serviceaccount:ns:other"}}
    judgement = evaluate(json.dumps({"Statement": statement(Condition=condition)}), CALLER)
    assert judgement.reason == (
        f"statement 1 (Allow): StringEquals on {ISSUER}:sub wants system:serviceaccount:ns:other,"
        f" the caller has {SUBJECT}"
    )
