"""What counts as a scenario's own, and which accounts are the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.fidelity.normal import Accounts
from harness.fidelity.observations import read_run

if TYPE_CHECKING:
    from pathlib import Path

CALLS = "oracle: aws-calls: calls of role kube-iam-role-<id>"


@pytest.fixture
def seen(tmp_path: Path) -> Any:
    """Gives the observations of a scenario with these records."""

    def read(*records: dict[str, Any], finding: str = "") -> Any:
        for number, content in enumerate(records):
            (tmp_path / f"{number}.json").write_text(json.dumps(content))
        entry = {
            "id": "one",
            "verdict": "passed",
            "reason": None,
            "evidence": {"folder": ".", "records": [{"file": f"{n}.json"} for n in range(len(records))]},
        }
        report = {
            "environment": {"components": {}},
            "scenarios": [entry],
            "findings": [{"scenario": "one", "text": finding}] if finding else [],
        }
        (tmp_path / "conformance-report.json").write_text(json.dumps(report))
        return read_run(tmp_path).scenarios["one"]

    return read


def calls(
    *items: dict[str, str], query: str = "calls after 3 of role kube-iam-role-aaaaaa"
) -> dict[str, Any]:
    return {"kind": "oracle", "oracle": "aws-calls", "query": query, "value": list(items)}


def test_a_scenario_without_commands_has_the_names_of_its_queries(seen: Any) -> None:
    own, foreign = (
        {"role": "kube-iam-role-aaaaaa", "code": "x"},
        {"role": "kube-iam-role-bbbbbb", "code": "y"},
    )
    assert seen(calls(own, foreign))[CALLS]["[].code"] == {"x"}


def test_two_accounts_of_a_scenario_stay_two_and_the_ids_do_not_count(seen: Any) -> None:
    role = "arn:aws:iam::{}:role/kube-iam-role-aaaaaa"
    one, other = (
        seen(calls({"account": first, "role": role.format(second)}))[CALLS]
        for first, second in (("111111111111", "222222222222"), ("333333333333", "444444444444"))
    )
    assert one == other
    assert one["[].account"] == {"<account 1>"}
    assert one["[].role"] == {"arn:aws:iam::<account 2>:role/kube-iam-role-<id>"}
    same = seen(calls({"account": "111111111111", "role": role.format("111111111111")}))[CALLS]
    assert same != one


def test_accounts_of_other_scenarios_are_not_counted(seen: Any) -> None:
    own = {"account": "111111111111", "role": "kube-iam-role-aaaaaa"}
    foreign = {"account": "222222222222", "role": "kube-iam-role-bbbbbb"}
    assert seen(calls(foreign, own))[CALLS]["[].account"] == {"<account 1>"}


def test_a_finding_has_the_numbers_of_the_evidence(seen: Any) -> None:
    own = {"account": "111111111111", "role": "kube-iam-role-aaaaaa", "other": "222222222222"}
    assert seen(calls(own), finding="in 222222222222")["findings"][""] == {"in <account 2>"}


@pytest.mark.parametrize(
    "text",
    ["a1-2-3-4-123456789012", "1234567890123", "abc123456789012", "123456789012aabbccdd", "12345678901"],
)
def test_what_is_no_account_keeps_its_digits(text: str) -> None:
    assert Accounts().numbered(text) == text
