"""Failures of the joining token."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.causes.cause import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.scenario import Scenario


def _no_token(scenario: Scenario) -> None:
    scenario.make_service_account()


def _make_token(scenario: Scenario) -> None:
    scenario.make_token()


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "token-removed": Cause(_no_token, _make_token),
    }
)
