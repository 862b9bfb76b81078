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
    ("cluster-role-missing", "agent-log"): "permissions-untested",
    ("no-aws-credentials", "agent-log"): "no-aws-credentials",
    ("no-kubernetes-groups", "kubectl-raw"): "no-kubernetes-groups",
    ("not-joined", "readyz"): "not-joined",
    ("token-expired", "agent-log"): "token-too-old",
    ("token-expired", "auth-log"): "token-unusable-log",
    ("token-lacks-role", "agent-log"): "token-lacks-role",
    ("token-lacks-role", "auth-log"): "token-lacks-role",
    ("token-removed", "agent-log"): "token-too-old",
    ("token-removed", "auth-log"): "token-unusable-log",
    ("unknown-cluster", "tsh"): "unknown-cluster",
    ("wrong-account", "agent-log"): "no-rule-matched",
    ("wrong-arn", "agent-log"): "no-rule-matched",
}
"""(failure, place) of the checks' table -> name in the simulated Teleport's."""

NOT_TELEPORTS = {
    ("chart-lacks-apps", "helm"): "the chart's words",
    ("group-not-bound", "kubectl"): "the API server's words",
    ("no-kubernetes-groups", "kubectl"): "kubectl's words for the API server's 404",
    ("no-oidc-provider", "sts"): "AWS's words",
    ("service-account-token-expired", "kubectl"): "kubectl's words for the API server's 401",
    ("state-role-missing", "agent-log"): "the API server's words",
    ("trust-subject-differs", "agent-log"): "AWS's words, which Teleport quotes",
    ("trust-subject-differs", "sts"): "AWS's words",
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
