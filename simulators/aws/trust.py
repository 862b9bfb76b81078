"""Evaluation of a role's trust policy for AssumeRoleWithWebIdentity.

Source: IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements". Only what web
identities need is evaluated. What is not understood never allows: in an Allow statement it does not
match, in a Deny statement it does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ACTION = "sts:AssumeRoleWithWebIdentity"

_KNOWN_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Condition"}


@dataclass(frozen=True)
class Context:
    """What is known about the caller.

    Attributes:
        provider_arn: ARN of the OIDC provider that vouches for the token.
        keys: Condition keys, such as `oidc.eks.eu-west-1.amazonaws.com/id/ABC:sub`, and their values.
    """

    provider_arn: str
    keys: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Judgement:
    """Whether a policy allows, and why or why not."""

    allowed: bool
    reason: str


@dataclass(frozen=True)
class _Match:
    # None: something in the statement is not understood.
    matched: bool | None
    reason: str


def evaluate(document: str, context: Context) -> Judgement:
    """Decide whether a trust policy lets the caller assume the role.

    Args:
        document: The policy as stored, supposed to be JSON.
        context: The caller.

    Returns:
        The decision. An explicit Deny wins over any Allow; without an Allow the answer is no.
    """
    try:
        policy = json.loads(document)
    except ValueError:
        return Judgement(allowed=False, reason="the trust policy is not JSON")
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(item, dict) for item in statements):
        return Judgement(allowed=False, reason="the trust policy has no statements")
    reasons = []
    allowed = False
    for number, statement in enumerate(statements, 1):
        match = _match(statement, context)
        effect = statement.get("Effect")
        if effect == "Deny" and match.matched is not False:
            return Judgement(allowed=False, reason=f"statement {number} denies: {match.reason}")
        if effect == "Allow" and match.matched:
            allowed = True
        reasons.append(f"statement {number} ({effect}): {match.reason}")
    return Judgement(allowed=allowed, reason="; ".join(reasons) or "the trust policy has no statements")


def _match(statement: dict[str, Any], context: Context) -> _Match:
    unknown = sorted(set(statement) - _KNOWN_ELEMENTS)
    if unknown:
        return _Match(None, f"element {unknown[0]} is not understood")
    matches = [part(statement, context) for part in (_match_principal, _match_action, _match_condition)]
    # A part that surely does not match decides, before one that is not understood.
    for outcome in (False, None):
        for match in matches:
            if match.matched is outcome:
                return match
    return _Match(matched=True, reason="principal, action and conditions match")


def _match_principal(statement: dict[str, Any], context: Context) -> _Match:
    principal = statement.get("Principal")
    if principal in ("*", {"AWS": "*"}):
        # AWS lets "*" stand for everybody; whether that covers web identities is not documented.
        return _Match(None, 'principal "*" is not understood')
    federated = _texts(principal.get("Federated")) if isinstance(principal, dict) else None
    if federated is None or context.provider_arn not in federated:
        return _Match(matched=False, reason=f"the principal is not {context.provider_arn}")
    return _Match(matched=True, reason="the principal matches")


def _match_action(statement: dict[str, Any], context: Context) -> _Match:  # noqa: ARG001 - one signature for all parts
    actions = _texts(statement.get("Action")) or ()
    if not any(_like(action.lower(), ACTION.lower()) for action in actions):
        return _Match(matched=False, reason=f"the action is not {ACTION}")
    return _Match(matched=True, reason="the action matches")


def _match_condition(statement: dict[str, Any], context: Context) -> _Match:
    condition = statement.get("Condition", {})
    if not isinstance(condition, dict) or not all(isinstance(item, dict) for item in condition.values()):
        return _Match(None, "the condition is not understood")
    # Condition keys are case-insensitive.
    keys = {key.lower(): values for key, values in context.keys.items()}
    uncertain = None
    for operator, wanted_by_key in condition.items():
        for key, wanted in wanted_by_key.items():
            have = keys.get(key.lower(), ())
            result = _holds(operator, have, _texts(wanted))
            if result is False:
                shown = " or ".join(have) or "nothing"
                return _Match(
                    matched=False, reason=f"{operator} on {key} wants {wanted}, the caller has {shown}"
                )
            if result is None:
                uncertain = _Match(None, f"condition operator {operator} is not understood")
    return uncertain or _Match(matched=True, reason="the conditions match")


def _holds(operator: str, have: tuple[str, ...], wanted: tuple[str, ...] | None) -> bool | None:
    quantifier, _, plain = operator.rpartition(":")
    if wanted is None or quantifier not in {"", "ForAnyValue", "ForAllValues"}:
        return None
    name = plain.removesuffix("IfExists")
    if name == "Null":
        return None if plain != name or quantifier else _null(have, wanted)
    negated = name.startswith("StringNot")
    compare = _COMPARISONS.get(name.replace("StringNot", "String", 1))
    if compare is None:
        return None
    if not have:
        # A negated operator holds for a key that is not there, and so does ForAllValues.
        return plain != name or quantifier == "ForAllValues" or (negated and not quantifier)

    def one(value: str) -> bool:
        return any(compare(pattern, value) for pattern in wanted) != negated

    # Without a quantifier a key has one value; several count as AWS counts audiences: any may match,
    # and with a negated operator all must differ.
    every = quantifier == "ForAllValues" or (negated and not quantifier)
    return all(map(one, have)) if every else any(map(one, have))


def _null(have: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return any(text.lower() == ("false" if have else "true") for text in wanted)


def _like(pattern: str, value: str) -> bool:
    # Not fnmatch: brackets are ordinary characters in IAM.
    translated = "".join(
        {"*": ".*", "?": "."}.get(character) or re.escape(character) for character in pattern
    )
    return re.fullmatch(translated, value, re.DOTALL) is not None


def _equal(pattern: str, value: str) -> bool:
    return pattern == value


def _equal_ignoring_case(pattern: str, value: str) -> bool:
    return pattern.lower() == value.lower()


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": _equal,
    "StringEqualsIgnoreCase": _equal_ignoring_case,
    "StringLike": _like,
}


def _texts(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Iterable) and not isinstance(value, dict):
        values = tuple(value)
        if all(isinstance(item, str) for item in values):
            return values
    return None
