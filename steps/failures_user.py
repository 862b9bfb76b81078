"""Failures of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, parsers, then, when

from harness.causes import commands, user
from harness.failures.table import failure_with_cause

if TYPE_CHECKING:
    from harness.causes.user import Told
    from harness.failures.table import Failure
    from harness.scenario import Scenario


@given(parsers.parse("a signed-in user, and {cause}"), target_fixture="failure")
def signed_in(scenario: Scenario, cause: str) -> Failure:
    failure = failure_with_cause(cause)
    user.make(scenario, failure)
    return failure


@when("the user makes the call that suffers from it", target_fixture="outcome")
def call(scenario: Scenario, failure: Failure) -> Told:
    return user.call(scenario, failure)


@then("it fails in the words of the table of failures")
def told(scenario: Scenario, failure: Failure, outcome: Told) -> None:
    assert user.told_as_known(scenario, failure, outcome)


@then(parsers.parse("the API server recorded {resource} alone as forbidden"))
def forbidden(scenario: Scenario, resource: str) -> None:
    assert user.forbidden_in_cluster(scenario) == {resource}


@then(parsers.parse("it lets {resource} through once the cause is mended"))
def let_through(scenario: Scenario, failure: Failure, resource: str) -> None:
    assert user.let_through_when_mended(scenario, failure, resource)


@then("the same call is answered once the cause is mended")
def answered(scenario: Scenario, failure: Failure) -> None:
    assert user.answered_when_mended(scenario, failure)


@when("that is mended and the user runs a command in the agent's pod", target_fixture="printed")
def run_command(scenario: Scenario, failure: Failure) -> str:
    return commands.run_when_mended(scenario, failure)


@then("the user is given what the command printed")
def given_output(scenario: Scenario, printed: str) -> None:
    assert {words for words in commands.words_of_command(scenario) if words in printed}


@then("Teleport recorded the command as that user's")
def command_recorded(scenario: Scenario) -> None:
    assert commands.recorded_command(scenario) == (" ".join(commands.COMMAND), f"{scenario.names.release}-0")


@then(parsers.parse("the API server let {resource} alone through as that user"))
def command_let_through(scenario: Scenario, resource: str) -> None:
    assert commands.let_through(scenario) == {resource}
