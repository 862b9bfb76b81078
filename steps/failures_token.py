"""Failures of the joining token, and of resources that tctl refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, parsers, then, when

from harness.causes import files, token
from harness.failures.table import failure_with_cause

if TYPE_CHECKING:
    from harness.environment import Completed
    from harness.failures.table import Failure
    from harness.scenario import Scenario


@given(parsers.parse("a file in which {cause}"), target_fixture="failure")
def file(cause: str) -> Failure:
    return failure_with_cause(cause)


@when("the resource is created from it", target_fixture="outcome")
def create(scenario: Scenario, failure: Failure) -> Completed:
    return files.create(scenario, failure)


@then("tctl refuses it in the words of the table of failures")
def refused(scenario: Scenario, failure: Failure, outcome: Completed) -> None:
    assert files.refused(scenario, failure, outcome)


@then("it is taken once the file is mended")
def taken(scenario: Scenario, failure: Failure) -> None:
    assert files.taken_when_mended(scenario, failure)


@then("the token lives for half an hour")
def short(scenario: Scenario) -> None:
    assert files.life(scenario) == files.HALF_AN_HOUR


@then("it lives as long as the file says once that is mended")
def as_asked(scenario: Scenario, failure: Failure) -> None:
    assert files.lives_as_asked(scenario, failure)


@then("what AWS told of the agent fits the token but for its role")
def another_role(scenario: Scenario) -> None:
    assert token.mismatch(scenario) == "arn"


@then("the token's rule is not the one of step 2")
def not_as_printed(scenario: Scenario) -> None:
    assert token.admits_others(scenario)


@then("the Kubernetes Service stays out until the cause is mended")
def kube_stays_out(scenario: Scenario) -> None:
    assert token.kube_joins_before_mended(scenario) == ()
