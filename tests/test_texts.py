"""The texts that checks wait for and the texts that the simulated Teleport shows are the same, and equally known.

Neither table can use the other's, since simulators import nothing of the harness. What is compared is the words
without the names of placeholders, and how well each is known at each version that is imitated.
"""

from __future__ import annotations

import re
from typing import get_args

import pytest

from harness.failures.table import TEXTS, text_for
from harness.failures.texts import Provenance, Text
from simulators.teleport.texts import TEXTS as SIMULATED
from simulators.teleport.texts import VERSIONS

SHOWN_AS = {
    ("agent-gone", "kubectl-raw"): "agent-gone",
    ("agent-not-iam", "agent-log"): "token-of-method-iam",
    ("annotation-after-install", "agent-log"): "no-aws-credentials",
    ("annotation-misspelt", "agent-log"): "no-aws-credentials",
    ("annotation-on-another-account", "agent-log"): "no-aws-credentials",
    ("arn-of-iam-form", "agent-log"): "no-rule-matched",
    ("arn-with-path", "agent-log"): "no-rule-matched",
    ("arn-without-session", "agent-log"): "no-rule-matched",
    ("body-changed", "answer"): "sts-body",
    ("body-changed", "auth-log"): "sts-body",
    ("certificate-expired", "tsh"): "password-asked",
    ("challenge-unsigned", "answer"): "challenge-unsigned",
    ("challenge-unsigned", "auth-log"): "challenge-unsigned",
    ("cluster-role-missing", "agent-log"): "permissions-untested",
    ("foreign-sts-host", "answer"): "sts-host",
    ("foreign-sts-host", "auth-log"): "sts-host",
    ("group-denied", "kubectl-raw"): "no-kubernetes-groups",
    ("impersonated-group-not-allowed", "kubectl-raw"): "impersonated-group-denied",
    ("impersonated-user-not-allowed", "kubectl-raw"): "impersonated-user-denied",
    ("method-not-iam", "agent-log"): "token-of-other-method",
    ("method-omitted", "agent-log"): "token-of-other-method",
    ("no-aws-credentials", "agent-log"): "no-aws-credentials",
    ("no-kubernetes-groups", "kubectl-raw"): "no-kubernetes-groups",
    ("node-identity-refused", "agent-log"): "no-rule-matched",
    ("node-identity-withheld", "agent-log"): "no-aws-credentials",
    ("not-joined", "readyz"): "not-joined",
    ("not-signed-in", "tsh"): "not-signed-in",
    ("partition-differs", "agent-log"): "no-rule-matched",
    ("pod-allowed-without-group", "kubectl-raw"): "no-kubernetes-groups",
    ("pod-identity-alone", "agent-log"): "container-host",
    ("pod-not-allowed", "kubectl-raw"): "resource-denied",
    ("proxy-port-closed", "agent-log"): "proxy-refuses",
    ("proxy-unresolvable", "agent-log"): "proxy-unresolvable",
    ("proxy-untrusted", "agent-log"): "proxy-untrusted",
    ("region-new", "agent-log"): "sts-host",
    ("region-unknown", "agent-log"): "region-unknown",
    ("request-not-posted", "answer"): "sts-method",
    ("request-not-posted", "auth-log"): "sts-method",
    ("request-replayed", "answer"): "challenge-missing",
    ("request-replayed", "auth-log"): "challenge-missing",
    ("role-version-unknown", "tctl"): "role-version-unknown",
    ("several-kubernetes-users", "kubectl-raw"): "several-users",
    ("static-keys", "agent-log"): "no-rule-matched",
    ("token-account-a-number", "tctl"): "token-account-a-number",
    ("token-arn-without-method", "tctl"): "token-arn-without-method",
    ("token-expired", "agent-log"): "token-too-old",
    ("token-expired", "auth-log"): "token-unusable-log",
    ("token-lacks-kube", "agent-log"): "token-lacks-role",
    ("token-lacks-kube", "auth-log"): "token-lacks-role",
    ("token-lacks-role", "agent-log"): "token-lacks-role",
    ("token-lacks-role", "auth-log"): "token-lacks-role",
    ("token-method-unknown", "tctl"): "token-method-unknown",
    ("token-name-differs", "agent-log"): "token-too-old",
    ("token-removed", "agent-log"): "token-too-old",
    ("token-name-differs", "auth-log"): "token-unusable-log",
    ("token-removed", "auth-log"): "token-unusable-log",
    ("token-role-unknown", "tctl"): "token-role-unknown",
    ("token-rule-empty", "tctl"): "token-rule-empty",
    ("token-rules-with-method-token", "tctl"): "token-rules-with-method-token",
    ("token-with-aws-regions", "tctl"): "token-with-aws-regions",
    ("token-with-aws-role", "tctl"): "token-with-aws-role",
    ("token-without-roles", "tctl"): "token-without-roles",
    ("token-without-rules", "tctl"): "token-without-rules",
    ("unknown-cluster", "tsh"): "unknown-cluster",
    ("identity-of-another-cluster", "agent-log"): "identity-of-another-cluster",
    ("rotation-missed", "agent-log"): "identity-of-another-cluster",
    ("teleport-down", "agent-log"): "proxy-not-reached-through-another",
    ("teleport-lost-its-data", "agent-log"): "identity-of-another-cluster",
    ("tunnel-unreachable", "agent-log"): "tunnel-refused",
    ("webhook-passes-over", "agent-log"): "no-aws-credentials",
    ("wrong-account", "agent-log"): "no-rule-matched",
    ("wrong-arn", "agent-log"): "no-rule-matched",
}
"""(failure, place) of the checks' table -> name in the simulated Teleport's."""

NOT_TELEPORTS = {
    ("account-value-misspelt", "pod"): "the API server's words",
    ("annotation-eaten-by-zsh", "agent-log"): "AWS's words, which Teleport quotes",
    ("annotation-of-another-account", "agent-log"): "AWS's words, which Teleport quotes",
    ("annotation-of-another-account", "sts"): "AWS's words",
    ("body-signed-for-another", "answer"): "AWS's words, which Teleport quotes",
    ("challenge-rewritten", "answer"): "AWS's words, which Teleport quotes",
    ("authority-secret-missing", "pod"): "the kubelet's words",
    ("chart-lacks-apps", "helm"): "the chart's words",
    ("clock-ahead", "agent-log"): "AWS's words, which Teleport quotes",
    ("clock-behind", "agent-log"): "AWS's words, which Teleport quotes",
    ("cluster-name-missing", "helm"): "the chart's words",
    ("cluster-role-missing", "kubectl-raw"): "the API server's words",
    ("date-unsigned", "answer"): "AWS's words, which Teleport quotes",
    ("group-not-bound", "kubectl"): "the API server's words",
    ("init-containers-given", "pod"): "the API server's words",
    ("issuer-empty", "agent-log"): "AWS's words, which Teleport quotes",
    ("issuer-empty", "sts"): "AWS's words",
    ("join-secret-taken", "helm"): "Helm's words",
    ("exec-not-bound", "kubectl"): "the API server's words",
    ("log-not-bound", "kubectl-raw"): "the API server's words",
    ("no-kubernetes-groups", "kubectl"): "kubectl's words for the API server's 404",
    ("no-oidc-provider", "agent-log"): "AWS's words, which Teleport quotes",
    ("no-oidc-provider", "sts"): "AWS's words",
    ("organization-denies", "agent-log"): "AWS's words, which Teleport quotes",
    ("organization-denies", "sts"): "AWS's words",
    ("proxy-address-missing", "helm"): "the chart's words",
    ("admin-mfa-required", "tctl"): "words of a second factor, which is not simulated",
    ("proxy-without-kubernetes", "kubectl-raw"): "kubectl's words for a connection that ends",
    ("release-name-taken", "helm"): "Helm's words",
    ("rendered-without-cluster", "kubectl"): "kubectl's words",
    ("restricted-namespace", "pod"): "the API server's words",
    ("role-missing", "agent-log"): "AWS's words, which Teleport quotes",
    ("role-missing", "sts"): "AWS's words",
    ("role-path-left-out", "agent-log"): "AWS's words, which Teleport quotes",
    ("role-path-left-out", "sts"): "AWS's words",
    ("service-account-token-expired", "kubectl"): "kubectl's words for the API server's 401",
    ("account-made-anew", "kubectl-raw"): "kubectl's words for the API server's 401",
    ("agent-newer", "agent-log"): "the words of an agent of another version; the lab has none",
    ("session-of-another", "answer"): "AWS's words, which Teleport quotes",
    ("signature-altered", "answer"): "AWS's words, which Teleport quotes",
    ("sts-of-another-partition", "answer"): "AWS's words, which Teleport quotes",
    ("state-not-writable", "agent-log"): "the API server's words",
    ("state-role-missing", "agent-log"): "the API server's words",
    ("sts-unreachable-from-agent", "agent-log"): "the words of AWS's SDK, which Teleport quotes",
    ("sts-unreachable-from-auth", "agent-log"): "the words of Go's HTTP client, which Teleport quotes",
    ("token-for-another-audience", "agent-log"): "AWS's words, which Teleport quotes",
    ("token-value-misspelt", "pod"): "the kubelet's words",
    ("trust-action-differs", "agent-log"): "AWS's words, which Teleport quotes",
    ("trust-action-differs", "sts"): "AWS's words",
    ("trust-audience-differs", "agent-log"): "AWS's words, which Teleport quotes",
    ("trust-audience-differs", "sts"): "AWS's words",
    ("trust-operator-differs", "agent-log"): "AWS's words, which Teleport quotes",
    ("trust-operator-differs", "sts"): "AWS's words",
    ("trust-principal-differs", "agent-log"): "AWS's words, which Teleport quotes",
    ("trust-principal-differs", "sts"): "AWS's words",
    ("trust-subject-differs", "agent-log"): "AWS's words, which Teleport quotes",
    ("trust-subject-differs", "sts"): "AWS's words",
    ("web-identity-expired", "agent-log"): "AWS's words, which Teleport quotes",
    (
        "web-identity-unreadable",
        "agent-log",
    ): "the words of AWS's SDK, which Teleport quotes; the lab has no such pod",
}
"""Texts that somebody else says, with whom."""


def words(text: str) -> str:
    return re.sub(r"\{[a-z_]+\}", "{}", text)


def rows(version: str, name: str) -> list[Text]:
    places = [place for place, shown in SHOWN_AS.items() if shown == name]
    found = [text_for(failure, place, version) for failure, place in places]  # type: ignore[arg-type]  # a Place
    return [row for row in found if row is not None]


def test_every_text_of_a_check_is_somebodys() -> None:
    assert not SHOWN_AS.keys() & NOT_TELEPORTS.keys()
    assert {(row.failure, row.place) for row in TEXTS} == SHOWN_AS.keys() | NOT_TELEPORTS.keys()
    assert set(SHOWN_AS.values()) <= SIMULATED.keys()


@pytest.mark.parametrize(("major", "version"), VERSIONS.items())
@pytest.mark.parametrize("name", sorted(set(SHOWN_AS.values())))
def test_the_simulated_teleport_says_what_checks_wait_for(name: str, major: str, version: str) -> None:
    shown = SIMULATED[name][int(major)]
    for row in rows(version, name):
        assert words(row.text) in words(shown.text), row


@pytest.mark.parametrize(("major", "version"), VERSIONS.items())
@pytest.mark.parametrize("name", sorted(set(SHOWN_AS.values())))
def test_no_text_is_better_known_to_one_than_to_the_other(name: str, major: str, version: str) -> None:
    shown = SIMULATED[name][int(major)]
    order = get_args(Provenance)
    known = min((row.provenance for row in rows(version, name)), key=order.index, default=None)
    if known is None:
        assert shown.provenance != "measured", "measured, and no check could use it"
    else:
        assert known == shown.provenance


def test_every_text_is_known_in_some_way_at_every_version() -> None:
    for name, by_major in SIMULATED.items():
        assert {str(major) for major in by_major} == set(VERSIONS), name
        assert all(text.provenance in get_args(Provenance) and text.text for text in by_major.values()), name


def test_of_17_nothing_is_measured() -> None:
    assert {by_major[17].provenance for by_major in SIMULATED.values()} == {"read", "inferred"}
