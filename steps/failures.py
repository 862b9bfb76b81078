"""Failures of the table: brought about, shown in its words, staying until mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, parsers, then, when

from harness.causes import aws, course

if TYPE_CHECKING:
    from harness.failures.table import Failure
    from harness.scenario import Scenario


@given(parsers.parse("a set-up in which {cause}"), target_fixture="failure")
def set_up(scenario: Scenario, cause: str) -> Failure:
    return course.arranged(scenario, cause)


@when("the agent is deployed into it")
def deploy(scenario: Scenario, failure: Failure) -> None:
    course.deploy(scenario, failure)


@then("it shows where and as the table of failures says")
def shown(scenario: Scenario, failure: Failure) -> None:
    assert course.places_seen(scenario, failure) == course.places_told(scenario, failure)


@then(parsers.parse("AWS denied the agent its role with {code}"))
def denied(scenario: Scenario, code: str) -> None:
    assert aws.denied_by_aws(scenario) == {code}


@then("the agent stays out until the cause is mended")
def stays_out(scenario: Scenario, failure: Failure) -> None:
    assert course.joins_before_mended(scenario, failure) == ()
