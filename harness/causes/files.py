"""Files of resources that tctl refuses, with what is wrong in them, and the words that its steps speak."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.causes import token, user
from harness.core.errors import Withheld, WithheldCode
from harness.core.findings import note
from harness.failures.table import measured_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.causes.cause import File
    from harness.environment import JSON, Completed
    from harness.failures.table import Failure
    from harness.scenario import Scenario

FILES: Mapping[str, File] = MappingProxyType({**token.FILES, **user.FILES})
"""By the failure's name."""

HALF_AN_HOUR = timedelta(minutes=30)
"""What Teleport makes of an expiry that it does not take, at the versions where that was measured."""

LIVES_SHORT = frozenset({"12.0.0-alpha.2", "13.0.0-dev", "13.0.0-dev+simulated"})
"""Versions at which it was; later ones keep such a token for good, as far as is known (teleport #21133)."""


def create(scenario: Scenario, failure: Failure) -> Completed:
    """Creates the resource from its file as it is wrong."""
    return scenario.teleport.administer("create", resource=FILES[failure.name].wrong(scenario))


def refused(scenario: Scenario, failure: Failure, outcome: Completed) -> bool:
    """Whether tctl refused it in the table's words.

    Raises:
        Withheld: None were measured.
    """
    text = measured_text(failure.name, "tctl", scenario.teleport.version)
    words = {name: FILES[failure.name].words[name] for name in text.placeholders}
    return outcome.exit_code != 0 and text.found_in(outcome.stderr, **words)


def _reference(resource: JSON) -> str:
    return f"{resource['kind']}/{resource['metadata']['name']}"


def taken_when_mended(scenario: Scenario, failure: Failure) -> bool:
    """Whether tctl takes the file once what is wrong in it is mended.

    Raises:
        NotObserved: It did, and Teleport does not have what the file says.
    """
    right = FILES[failure.name].right(scenario)
    outcome = scenario.teleport.administer("create", "-f", resource=right)
    if outcome.exit_code != 0:
        return False
    scenario.teleport.becomes(_reference(right), lambda seen: _as_written(seen, right))
    return True


def _as_written(seen: JSON, right: JSON) -> bool:
    # What a role leaves out is filled in.
    whole = right["kind"] == "role" or all(
        seen["spec"].get(name) == right["spec"][name] for name in right["spec"]
    )
    return bool(seen["version"] == right["version"] and whole)


# How long a token lives


def life(scenario: Scenario) -> timedelta | None:
    """How long the token lives that was just made, in whole minutes; None where it has no expiry.

    Raises:
        Withheld: It was not measured at the running version what a token without a good expiry gets.
    """
    if scenario.teleport.version not in LIVES_SHORT:
        raise Withheld(
            WithheldCode.TEXT_NOT_MEASURED,
            f"how long a token lives whose expiry is not taken was not measured in {scenario.teleport.version}",
        )
    made = scenario.teleport.becomes(f"token/{scenario.names.token}", lambda _: True)
    expires = token.expiry(made)
    if expires is None:
        return None
    # Of a simulated Teleport nothing is found out about the product.
    if not scenario.description.components["teleport"].simulated:
        text = "tctl gives a token half an hour where its expiry is missing or lies behind, and says nothing of it"
        note("product", "s2.token", text)
    # To the next minute: some of it is over already.
    return timedelta(minutes=math.ceil((expires - datetime.now(UTC)).total_seconds() / 60 - 0.02))


def lives_as_asked(scenario: Scenario, failure: Failure) -> bool:
    """Whether a token of the mended file expires when the file says.

    Raises:
        NotObserved: It does not.
    """
    right = FILES[failure.name].right(scenario)
    scenario.teleport.administer("create", "-f", resource=right)
    asked = token.expiry(right)
    made = scenario.teleport.becomes(_reference(right), lambda seen: token.expiry(seen) == asked)
    return token.expiry(made) == asked
