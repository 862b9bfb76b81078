"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from simulators.teleport.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "CONFORMANCE_FAULT"


def _always(answer: object) -> Callable[..., object]:
    return lambda *_: answer


def _with(decision: str, function: Any) -> Callable[[Decisions], Decisions]:
    return lambda decisions: dataclasses.replace(decisions, **{decision: function})


FAULTS: Mapping[str, Callable[[Decisions], Decisions]] = MappingProxyType(
    {
        "no-token-is-found": _with("token_named", _always(None)),
        "expired-tokens-count": _with("token_usable", _always(True)),
        "any-method-counts": _with("method_matches", _always(True)),
        "token-roles-ignored": _with("role_allowed", _always(True)),
        "any-sts-host-counts": _with("sts_host_accepted", _always(True)),
        "any-challenge-counts": _with("challenge_answered", _always(True)),
        "unsigned-challenge-counts": _with("challenge_signed", _always(True)),
        "any-sts-body-counts": _with("sts_body_expected", _always(True)),
        "sts-never-confirms": _with("sts_confirmed", _always(False)),
        "any-account-counts": _with("account_matches", _always(True)),
        "any-arn-counts": _with("arn_matches", _always(True)),
        "host-certificates-refused": _with("certificate_accepted", _always(False)),
        "host-id-forgotten": _with("host_id", lambda _, fresh: fresh),
        "agent-joins-at-each-start": _with("join_needed", _always(True)),
        "no-cluster-is-listed": _with("server_listed", _always(False)),
        "clusters-end-at-once": _with("server_expiry", lambda announced: announced),
        "roles-count-without-signing-in": _with("session_roles", lambda _, of_user_now: of_user_now),
        "password-hash-without-salt": _with("password_hash", lambda password, _: password.encode()),
        "any-password-counts": _with("password_matches", _always(True)),
        "roles-reach-no-cluster": _with("labels_match", _always(False)),
        "no-principals": _with("principals", lambda *_: []),
        "impersonates-one-group-more": _with(
            "impersonated_groups", lambda groups: [*groups, "system:authenticated", "conformance:fault"]
        ),
        "nothing-to-impersonate-is-enough": _with("kubernetes_access", _always(True)),
        "impersonates-whom-asked": _with("impersonation_allowed", _always(None)),
        "no-resource-is-allowed": _with("resource_allowed", _always(False)),
        "editors-make-no-tokens": _with("rule_allows", lambda _, resource, __: resource != "token"),
        "requests-not-recorded": _with("request_recorded", _always(False)),
    }
)
"""Name of a fault -> the decisions with one of them replaced."""


def chosen(environ: Mapping[str, str]) -> Decisions:
    """The decisions to run with: the simulator's own, or with the fault that the environment names.

    Args:
        environ: of the program.
    """
    return FAULTS.get(environ.get(VARIABLE, ""), dataclasses.replace)(Decisions())
