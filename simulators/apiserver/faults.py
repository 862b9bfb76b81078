"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from simulators import always, replaced, settled
from simulators.apiserver.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAULTS: Mapping[str, Callable[[Decisions], Decisions]] = MappingProxyType(
    {
        "rules-allow-everything": replaced("rule_allows", always(True)),
        "every-binding-means-everybody": replaced("subject_is_user", always(True)),
        "everybody-is-an-administrator": replaced("everything_allowed", always(True)),
        "anybody-impersonates": replaced("impersonation_allowed", always(True)),
        "impersonated-groups-dropped": replaced("impersonated_groups", always(("system:authenticated",))),
        "tokens-never-end": replaced("token_unexpired", always(True)),
        "any-audience-counts": replaced("audience_accepted", always(True)),
        "tokens-outlive-their-objects": replaced("bound_object_alive", always(True)),
        "audit-log-stays-empty": replaced("audit_recorded", always(False)),
        "requests-for-pods-not-audited": replaced("audit_recorded", lambda _, resource: resource != "pods"),
        "webhooks-not-called": replaced("webhook_called", always(False)),
        "failing-webhooks-ignored": replaced("failing_webhook_refuses", always(False)),
        "namespaces-not-kept": replaced("kept", lambda resource: resource != "namespaces"),
        "service-accounts-not-kept": replaced("kept", lambda resource: resource != "serviceaccounts"),
        "old-version-told": replaced("version_told", always("v1.16.15")),
        "changed-accounts-not-kept": replaced("change_kept", lambda resource: resource != "serviceaccounts"),
        "refusals-name-another": replaced("refused_as", always("system:anonymous")),
        "pods-find-no-service-account": replaced("service_account_needed", always(True)),
        "pods-need-no-service-account": replaced("service_account_needed", always(False)),
        "any-volume-counts": replaced("volume_known", always(True)),
        "conflicts-ignored": replaced("version_current", always(True)),
        "nothing-is-aggregated": replaced("aggregated", always(False)),
        "owned-objects-stay": replaced("garbage_collected", always(False)),
        "statefulsets-stop-at-their-first-pod": replaced("statefulset_goes_on", always(False)),
        "statefulsets-replace-broken-pods": replaced("statefulset_goes_on", always(True)),
        "statefulsets-keep-old-pods": replaced("statefulset_replaces_pod", always(False)),
        "jobs-never-give-up": replaced("job_gives_up", always(False)),
        "jobs-never-complete": replaced("job_complete", always(False)),
    }
)
"""Name of a fault -> the decisions with one of them replaced."""


def chosen(environ: Mapping[str, str]) -> Decisions:
    """The decisions to run with: the simulator's own, or with the fault that the environment names.

    Args:
        environ: of the program.
    """
    return settled(Decisions(), FAULTS, "apiserver", environ)
