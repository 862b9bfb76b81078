"""What ports hand to scenarios: the cause of a refusal, and what is read from a routed call."""

from __future__ import annotations

from typing import Any

import pytest

from harness.environment import Completed, Refusal, Routed

ACCOUNT, OTHER = "210987654321", "109876543210"
ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/kube-iam-role/1700000000"


def cause(*allowed: tuple[str, str], answered: tuple[tuple[str, str], ...] = ((ACCOUNT, ARN),)) -> str:
    return Refusal(answered=answered, allowed=allowed, joins=()).cause


@pytest.mark.parametrize(
    "pattern",
    [
        ARN,
        f"arn:aws:sts::{ACCOUNT}:assumed-role/kube-iam-role/*",
        # `*` crosses slashes; `?` is one character (facts of claim s2.token).
        f"arn:aws:sts::{ACCOUNT}:*",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/kube-iam-rol?/*",
        "*",
        "",
    ],
)
def test_a_rule_that_admits_is_no_cause(pattern: str) -> None:
    assert cause((ACCOUNT, pattern)) == "none"


@pytest.mark.parametrize(
    "pattern",
    [
        f"arn:aws:sts::{ACCOUNT}:assumed-role/another/*",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/kube-iam-role",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/kube-iam-role?/*",
        f"arn:aws:sts::{ACCOUNT}:assumed.role/kube-iam-role/*",
        f"{ARN}?",
    ],
)
def test_the_cause_is_the_arn_where_only_that_differs(pattern: str) -> None:
    assert cause((ACCOUNT, pattern)) == "arn"


def test_the_cause_is_the_account_whatever_the_arn() -> None:
    assert cause((OTHER, "*")) == "account"
    assert cause((OTHER, ARN)) == "account"


def test_without_any_rule_no_account_is_allowed() -> None:
    assert cause() == "account"


def test_one_of_several_rules_is_enough() -> None:
    assert cause((OTHER, "*"), (ACCOUNT, "nobody"), (ACCOUNT, "arn:aws:sts::*")) == "none"


def test_account_and_arn_must_be_admitted_by_the_same_rule() -> None:
    assert cause((ACCOUNT, "arn:aws:sts::1:*"), (OTHER, "*")) == "arn"


def test_a_rule_without_account_is_judged_by_its_arn() -> None:
    assert cause(("", "*")) == "none"
    assert cause(("", "arn:aws:sts::1:*")) == "arn"


def test_a_rule_is_not_to_blame_where_sts_answered_nothing() -> None:
    assert cause((OTHER, "*"), answered=()) == "none"


def test_any_of_the_answers_that_is_admitted_takes_the_blame_from_the_rule() -> None:
    assert cause((ACCOUNT, "*"), answered=((OTHER, ARN), (ACCOUNT, ARN))) == "none"


def routed(stdout: str = "", *records: dict[str, Any]) -> Routed:
    return Routed(Completed("kubectl get pods", 0, stdout, ""), teleport=(), kubernetes=records)


def test_pod_names_are_the_first_column_below_the_heading() -> None:
    printed = "NAME   READY   STATUS\nteleport-agent-0   1/1     Running\n\nother   0/1   Pending\n"
    assert routed(printed).pod_names() == ("teleport-agent-0", "other")
    assert routed("").pod_names() == ()


def test_response_codes_leave_discovery_out() -> None:
    discovery = {"objectRef": {"apiGroup": "apps"}, "responseStatus": {"code": 200}}
    version = {"responseStatus": {"code": 200}}
    denied = {"objectRef": {"resource": "pods"}, "responseStatus": {"code": 403}}
    assert routed("", discovery, version, denied).response_codes() == {403}
    assert routed("", discovery).response_codes() == set()
