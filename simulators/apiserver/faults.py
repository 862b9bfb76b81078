"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from simulators import noted
from simulators.apiserver.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "CONFORMANCE_FAULT"


def _always(answer: object) -> Callable[..., object]:
    return lambda *_: answer


def _with(decision: str, function: Any) -> Callable[[Decisions], Decisions]:
    return lambda decisions: dataclasses.replace(decisions, **{decision: function})


FAULTS: Mapping[str, Callable[[Decisions], Decisions]] = MappingProxyType(
    {
        "rules-allow-everything": _with("rule_allows", _always(True)),
        "every-binding-means-everybody": _with("subject_is_user", _always(True)),
        "everybody-is-an-administrator": _with("everything_allowed", _always(True)),
        "anybody-impersonates": _with("impersonation_allowed", _always(True)),
        "impersonated-groups-dropped": _with("impersonated_groups", _always(("system:authenticated",))),
        "tokens-never-end": _with("token_unexpired", _always(True)),
        "any-audience-counts": _with("audience_accepted", _always(True)),
        "tokens-outlive-their-objects": _with("bound_object_alive", _always(True)),
        "audit-log-stays-empty": _with("audit_recorded", _always(False)),
        "requests-for-pods-not-audited": _with("audit_recorded", lambda _, resource: resource != "pods"),
        "webhooks-not-called": _with("webhook_called", _always(False)),
        "failing-webhooks-ignored": _with("failing_webhook_refuses", _always(False)),
        "namespaces-not-kept": _with("kept", lambda resource: resource != "namespaces"),
        "service-accounts-not-kept": _with("kept", lambda resource: resource != "serviceaccounts"),
        "old-version-told": _with("version_told", _always("v1.16.15")),
        "changed-accounts-not-kept": _with("change_kept", lambda resource: resource != "serviceaccounts"),
        "refusals-name-another": _with("refused_as", _always("system:anonymous")),
        "pods-find-no-service-account": _with("service_account_needed", _always(True)),
        "conflicts-ignored": _with("version_current", _always(True)),
        "nothing-is-aggregated": _with("aggregated", _always(False)),
        "owned-objects-stay": _with("garbage_collected", _always(False)),
        "statefulsets-stop-at-their-first-pod": _with("statefulset_goes_on", _always(False)),
        "statefulsets-keep-old-pods": _with("statefulset_replaces_pod", _always(False)),
        "jobs-never-give-up": _with("job_gives_up", _always(False)),
        "jobs-never-complete": _with("job_complete", _always(False)),
    }
)
"""Name of a fault -> the decisions with one of them replaced."""


def chosen(environ: Mapping[str, str]) -> Decisions:
    """The decisions to run with: the simulator's own, or with the fault that the environment names.

    Args:
        environ: of the program.
    """
    decisions = FAULTS.get(environ.get(VARIABLE, ""), dataclasses.replace)(Decisions())
    return noted(decisions, "apiserver", environ)
