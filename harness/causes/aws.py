"""Failures in AWS: the service account's identity."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.causes.cause import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.scenario import Scenario


def _trust_another_account(scenario: Scenario) -> None:
    scenario.make_service_account()
    scenario.make_token()
    scenario.aws.set_trust(scenario.aws.trust(f"not-{scenario.names.service_account}"))


def _trust_as_printed(scenario: Scenario) -> None:
    scenario.aws.set_trust(scenario.aws.trust(scenario.names.service_account))


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "trust-subject-differs": Cause(_trust_another_account, _trust_as_printed),
    }
)


def denied_by_aws(scenario: Scenario) -> set[str]:
    """Codes with which AWS denied the agent's calls for its role (the gateway's own record)."""
    return {str(call["code"]) for call in scenario.aws.calls() if call["verdict"] == "denied"}
