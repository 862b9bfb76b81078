"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import TYPE_CHECKING

from simulators import always, replaced, settled
from simulators.aws import trust
from simulators.aws.decisions import Decisions
from simulators.aws.hosts import is_aws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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
        "any-signature-counts": replaced("signature_valid", always(True)),
        "any-digest-counts": replaced("digest_fits", always(True)),
        "unsigned-headers-count": replaced("uncovered_headers", lambda *_: []),
        "any-region-counts": replaced("scope_fits_host", always(True)),
        "any-partition-knows-a-session": replaced("session_known_in", always(True)),
        "any-date-counts": replaced("within_date_window", always(True)),
        "any-session-token-counts": replaced("session_token_matches", always(True)),
        "sessions-never-end": replaced("session_alive", always(True)),
        "any-issuer-counts": replaced("provider_registered", always(True)),
        "any-token-signature-counts": replaced("token_signature_valid", always(True)),
        "web-tokens-never-end": replaced("token_unexpired", always(True)),
        "web-tokens-count-early": replaced("token_current", always(True)),
        "any-client-counts": replaced("audience_accepted", always(True)),
        "roles-trust-nobody": replaced(
            "trust_allows", always(trust.Judgement(allowed=False, reason="a fault"))
        ),
        "trust-policies-ignored": replaced(
            "trust_allows", always(trust.Judgement(allowed=True, reason="a fault"))
        ),
        "policies-kept-wider": replaced(
            "policy_kept", lambda document: document.replace("sts:GetCallerIdentity", "sts:*")
        ),
        "policies-not-taken": replaced(
            "policy_kept", lambda document: "" if "sts:GetCallerIdentity" in document else document
        ),
        "trust-kept-wider": replaced(
            "policy_kept", lambda document: document.replace('"StringEquals"', '"StringLike"')
        ),
        "another-account-told": replaced("caller_told", _another_account()),
        "another-role-told-first": replaced("caller_told", _another_role_at_first()),
        "another-issuer-told": replaced("issuer_told", lambda issuer: issuer and f"{issuer}0"),
        "issuer-told-for-none": replaced(
            "issuer_told", lambda issuer: issuer or "https://oidc.example.com/id/0"
        ),
        "identity-needs-a-permission": replaced("identity_told", lambda role: not role),
        "any-trust-policy-is-taken": replaced("trust_fault", always("")),
        "policies-of-aws-are-the-accounts": replaced(
            "policy_meant", lambda arn, account: arn.replace("iam::aws:", f"iam::{account}:")
        ),
        "policies-not-found": replaced("policy_meant", always("arn:aws:iam::aws:policy/none")),
        "another-audience-kept": replaced("audience_kept", always("another.example.com")),
        "nodes-have-no-identity": replaced("node_identity_granted", always(False)),
        "roles-may-administer": replaced("principal_may_call", always(True)),
        "any-host-is-served": replaced("host_served", always(True)),
        "aws-alone-is-served": replaced("host_served", lambda host, *_: is_aws(host)),
        "nodes-identity-for-all": replaced("node_identity_granted", always(True)),
        "webhook-injects-nothing": replaced("webhook_injects", always("")),
        "webhook-passes-over-nothing": replaced("containers_passed_over", always(frozenset())),
        "webhook-makes-roles-up": replaced(
            "webhook_injects", always("arn:aws:iam::210987654321:role/made-up")
        ),
    }
)
"""Name of a fault -> the decisions with one of them replaced."""


def chosen(environ: Mapping[str, str]) -> Decisions:
    """The decisions to run with: the simulator's own, or with the fault that the environment names.

    Args:
        environ: of the program.
    """
    return settled(Decisions(), FAULTS, "aws", environ)
