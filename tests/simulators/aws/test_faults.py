"""Faults of the gateway that remember what they were asked before."""

from __future__ import annotations

import importlib

import pytest

from simulators import FAULT
from simulators.aws import faults

ACCOUNT, OTHER = "111111111111", "210987654321"
ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/mine/session"


@pytest.fixture(autouse=True)
def as_in_a_process_of_its_own() -> None:
    importlib.reload(faults)


def test_the_run_finds_its_own_account_before_another_one_is_told() -> None:
    told = faults.chosen({FAULT: "another-account-told"}).caller_told
    assert told("", ACCOUNT, ARN) == (ACCOUNT, ARN)
    assert told("", ACCOUNT, ARN) == (OTHER, ARN)
    # Agents join: it is the user that is told.
    assert told("mine", ACCOUNT, ARN) == (ACCOUNT, ARN)


def test_a_role_is_taken_for_another_one_the_first_time_only() -> None:
    told = faults.chosen({FAULT: "another-role-told-first"}).caller_told
    assert told("", ACCOUNT, ARN) == (ACCOUNT, ARN)
    assert told("mine", ACCOUNT, ARN) == (ACCOUNT, ARN.replace("/mine/", "/another/"))
    assert told("mine", ACCOUNT, ARN) == (ACCOUNT, ARN)
