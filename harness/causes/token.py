"""Failures of the joining token."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.causes.cause import Act, Cause, File
from harness.core.errors import EnvironmentBroken
from harness.core.waiting import eventually
from harness.environment import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.environment import JSON
    from harness.scenario import Scenario

SHORT_LIVES = (timedelta(seconds=3), timedelta(seconds=20))
"""How long a token lives that has expired when the agent comes. Too short where its making takes longer: of an expiry
that lies behind 12 and 13 make half an hour. So it is tried again with more."""


def token(scenario: Scenario, rule: JSON | None = None, **spec: object) -> JSON:
    """The token that step 2 prints, but for what is wrong.

    Args:
        scenario: The scenario.
        rule: Fields of its allow rule in place of the guide's; without those that are None.
        **spec: Fields of its `spec` in place of the guide's; without those that are None.
    """
    printed = {"aws_account": scenario.aws.account_id, "aws_arn": scenario.role_pattern()}
    fields = {"roles": ["Kube"], "join_method": "iam", "allow": [_changed(printed, rule or {})]}
    return {
        "kind": "token",
        "version": "v2",
        "metadata": {"name": scenario.names.token, "expires": "3000-01-01T00:00:00Z"},
        "spec": _changed(fields, spec),
    }


def _changed(fields: JSON, instead: JSON) -> JSON:
    return {name: value for name, value in {**fields, **instead}.items() if value is not None}


def _no_token(scenario: Scenario) -> None:
    scenario.make_service_account()


def _make_token(scenario: Scenario) -> None:
    scenario.make_token()


def _with(rule: JSON | None = None, **spec: object) -> Act:
    def make(scenario: Scenario) -> None:
        scenario.make_service_account()
        scenario.teleport.create(token(scenario, rule, **spec))

    return make


def _arn(text: str) -> Act:
    """A token whose ARN is this text: {account}, {role}, and {rest} for the role without its first letter."""

    def make(scenario: Scenario) -> None:
        scenario.make_service_account()
        role = scenario.names.role
        arn = text.format(account=scenario.aws.account_id, role=role, rest=role[1:])
        scenario.teleport.create(token(scenario, {"aws_arn": arn}))

    return make


def expiry(resource: JSON) -> datetime | None:
    """When a resource expires; None for never."""
    text = resource["metadata"].get("expires")
    # Teleport tells nanoseconds, which datetime does not know.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)) if text else None


def _expired(scenario: Scenario) -> None:
    scenario.make_service_account()
    expires = next((made for life in SHORT_LIVES if (made := _expiring_after(scenario, life))), None)
    if expires is None:
        raise EnvironmentBroken(
            expected="Teleport to take an expiry that lies ahead",
            seen=f"another one, although it was {SHORT_LIVES[-1].total_seconds():g} s ahead",
            remedy="is this machine's clock Teleport's?",
        )
    over: datetime = expires
    eventually(
        lambda: datetime.now(UTC),
        lambda now: now > over,
        expected="the token's time to be over",
        within=2 * SHORT_LIVES[-1].total_seconds(),
    )


def _expiring_after(scenario: Scenario, life: timedelta) -> datetime | None:
    """Makes the token with an expiry so far ahead; when it expires, or None where that is not when it was asked to."""
    made = token(scenario)
    asked = datetime.now(UTC) + life
    metadata = {**made["metadata"], "expires": asked.isoformat().replace("+00:00", "Z")}
    scenario.teleport.create({**made, "metadata": metadata})
    seen = scenario.teleport.get(f"token/{scenario.names.token}")
    told = expiry(seen) if seen else asked
    return asked if told is not None and told <= asked else None


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "token-removed": Cause(_no_token, _make_token),
        "token-name-differs": Cause(
            _with(),
            lambda scenario: scenario.agent.upgrade({}),
            values=lambda scenario: {"joinParams.tokenName": f"not-{scenario.names.token}"},
        ),
        "token-expired": Cause(_expired, _make_token),
        "method-omitted": Cause(_with({"aws_arn": None}, join_method=None), _make_token),
        "method-not-iam": Cause(_with(join_method="token", allow=None), _make_token),
        "agent-not-iam": Cause(
            _with(),
            lambda scenario: scenario.agent.upgrade({}),
            values=lambda _: {"joinParams.method": "token"},
        ),
        "token-lacks-kube": Cause(_with(roles=["Node"]), _make_token),
        "arn-of-iam-form": Cause(_arn("arn:aws:iam::{account}:role/{role}"), _make_token),
        "arn-with-path": Cause(_arn("arn:aws:sts::{account}:assumed-role/path/{role}/*"), _make_token),
        "arn-without-session": Cause(_arn("arn:aws:sts::{account}:assumed-role/{role}"), _make_token),
        "arn-star-alone": Cause(_arn("arn:aws:sts::{account}:assumed-role/*")),
        "arn-question-mark": Cause(_arn("arn:aws:sts::{account}:assumed-role/?{rest}/*")),
        "account-empty-with-arn": Cause(_with({"aws_account": ""})),
    }
)


def _file(rule: JSON | None = None, *, words: Mapping[str, str] | None = None, **spec: object) -> File:
    return File(lambda scenario: token(scenario, rule, **spec), token, words or {})


def _expiring(text: str | None) -> Callable[[Scenario], JSON]:
    def make(scenario: Scenario) -> JSON:
        made = token(scenario)
        return {**made, "metadata": _changed(made["metadata"], {"expires": text})}

    return make


FILES: Mapping[str, File] = MappingProxyType(
    {
        "token-without-rules": _file(allow=None),
        "token-with-aws-role": _file({"aws_role": "kube-iam-role"}),
        "token-with-aws-regions": _file({"aws_regions": ["us-east-1"]}),
        "token-rule-empty": _file({"aws_account": "", "aws_arn": ""}),
        "token-without-roles": _file(roles=None),
        "token-role-unknown": _file(roles=["Kubernetes"], words={"system_role": "Kubernetes"}),
        "token-method-unknown": _file(join_method="aws", words={"method": "aws"}),
        "token-rules-with-method-token": _file(join_method="token"),
        "token-arn-without-method": _file(join_method=None),
        # Without quotes YAML reads a number, and takes leading zeros for octal.
        "token-account-a-number": File(
            lambda scenario: token(scenario, {"aws_account": int(scenario.aws.account_id)}), token
        ),
        "expiry-omitted": File(_expiring(None), token),
        "expiry-past": File(_expiring("2020-01-01T00:00:00Z"), token),
    }
)
"""Files of the token with what is wrong in them, by the failure's name."""


def mismatch(scenario: Scenario) -> str:
    """What of the token's rule does not fit whom STS told the Auth Service of: `account`, `arn` or `none`."""
    return Refusal(tuple(scenario.agent.answered()), scenario.token_admits(), ()).cause


def admits_others(scenario: Scenario) -> bool:
    """Whether the token is still as it was made, with a rule that is not the guide's."""
    return scenario.token_admits() != ((scenario.aws.account_id, scenario.role_pattern()),)


def kube_joins_before_mended(scenario: Scenario) -> tuple[JSON, ...]:
    """Watches that the agent's service stays out until the token is mended; its joins before that: none.

    The agent's own instance joins by any role of a service that the token has.
    """
    return tuple(scenario.agent.out_until(lambda: _make_token(scenario), roles={"Kube"}))
