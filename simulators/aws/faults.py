"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from simulators.aws import trust
from simulators.aws.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "CONFORMANCE_FAULT"


def _always(answer: object) -> Callable[..., object]:
    return lambda *_: answer


def _with(decision: str, function: Any) -> Callable[[Decisions], Decisions]:
    return lambda decisions: dataclasses.replace(decisions, **{decision: function})


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
        "roles-may-administer": _with("principal_may_call", _always(True)),
        "any-host-is-served": _with("host_served", _always(True)),
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
    return FAULTS.get(environ.get(VARIABLE, ""), dataclasses.replace)(Decisions())
