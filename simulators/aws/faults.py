"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

import dataclasses
import itertools
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from simulators import noted
from simulators.aws import trust
from simulators.aws.decisions import Decisions
from simulators.aws.hosts import is_aws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "CONFORMANCE_FAULT"


def _always(answer: object) -> Callable[..., object]:
    return lambda *_: answer


def _with(decision: str, function: Any) -> Callable[[Decisions], Decisions]:
    return lambda decisions: dataclasses.replace(decisions, **{decision: function})


def _another_account() -> Callable[[str, str, str], tuple[str, str]]:
    # The first to ask is who looks whether this is the run's own account; the lab would not come up.
    asked = itertools.count()

    def told(role: str, account: str, arn: str) -> tuple[str, str]:
        return (account if role or next(asked) == 0 else "210987654321"), arn

    return told


def _another_role_at_first() -> Callable[[str, str, str], tuple[str, str]]:
    known: set[str] = set()

    def told(role: str, account: str, arn: str) -> tuple[str, str]:
        wrong = role and role not in known
        known.add(role)
        return account, arn.replace(f"/{role}/", "/another/") if wrong else arn

    return told


FAULTS: Mapping[str, Callable[[Decisions], Decisions]] = MappingProxyType(
    {
        "any-signature-counts": _with("signature_valid", _always(True)),
        "any-digest-counts": _with("digest_fits", _always(True)),
        "unsigned-headers-count": _with("uncovered_headers", lambda *_: []),
        "any-region-counts": _with("scope_fits_host", _always(True)),
        "any-date-counts": _with("within_date_window", _always(True)),
        "any-session-token-counts": _with("session_token_matches", _always(True)),
        "sessions-never-end": _with("session_alive", _always(True)),
        "any-issuer-counts": _with("provider_registered", _always(True)),
        "any-token-signature-counts": _with("token_signature_valid", _always(True)),
        "web-tokens-never-end": _with("token_unexpired", _always(True)),
        "web-tokens-count-early": _with("token_current", _always(True)),
        "any-client-counts": _with("audience_accepted", _always(True)),
        "roles-trust-nobody": _with(
            "trust_allows", _always(trust.Judgement(allowed=False, reason="a fault"))
        ),
        "trust-policies-ignored": _with(
            "trust_allows", _always(trust.Judgement(allowed=True, reason="a fault"))
        ),
        "policies-kept-wider": _with(
            "policy_kept", lambda document: document.replace("sts:GetCallerIdentity", "sts:*")
        ),
        "policies-not-taken": _with(
            "policy_kept", lambda document: "" if "sts:GetCallerIdentity" in document else document
        ),
        "trust-kept-wider": _with(
            "policy_kept", lambda document: document.replace('"StringEquals"', '"StringLike"')
        ),
        "another-account-told": _with("caller_told", _another_account()),
        "another-role-told-first": _with("caller_told", _another_role_at_first()),
        "another-issuer-told": _with("issuer_told", lambda issuer: issuer and f"{issuer}0"),
        "issuer-told-for-none": _with(
            "issuer_told", lambda issuer: issuer or "https://oidc.example.com/id/0"
        ),
        "identity-needs-a-permission": _with("identity_told", lambda role: not role),
        "any-trust-policy-is-taken": _with("trust_fault", _always("")),
        "policies-of-aws-are-the-accounts": _with(
            "policy_meant", lambda arn, account: arn.replace("iam::aws:", f"iam::{account}:")
        ),
        "policies-not-found": _with("policy_meant", _always("arn:aws:iam::aws:policy/none")),
        "another-audience-kept": _with("audience_kept", _always("another.example.com")),
        "nodes-have-no-identity": _with("node_identity_granted", _always(False)),
        "roles-may-administer": _with("principal_may_call", _always(True)),
        "any-host-is-served": _with("host_served", _always(True)),
        "aws-alone-is-served": _with("host_served", lambda host, *_: is_aws(host)),
        "nodes-identity-for-all": _with("node_identity_granted", _always(True)),
        "webhook-injects-nothing": _with("webhook_injects", _always(False)),
    }
)
"""Name of a fault -> the decisions with one of them replaced."""


def chosen(environ: Mapping[str, str]) -> Decisions:
    """The decisions to run with: the simulator's own, or with the fault that the environment names.

    Args:
        environ: of the program.
    """
    decisions = FAULTS.get(environ.get(VARIABLE, ""), dataclasses.replace)(Decisions())
    return noted(decisions, "aws", environ)
