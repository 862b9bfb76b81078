"""How long users stay signed in, and as whom roles let them ask for a pod."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.teleport import access, users
from simulators.teleport.decisions import Decisions

ANYWHERE = {"kind": "pod", "namespace": "*", "name": "*"}
NOWHERE = {"kind": "pod", "namespace": "nowhere", "name": "*"}


def role(rule: dict[str, str], *groups: str, session: str = "30h0m0s") -> dict[str, Any]:
    allow = {"kubernetes_labels": {"*": "*"}, "kubernetes_resources": [rule], "kubernetes_groups": groups}
    spec = {"allow": allow, "options": {"max_session_ttl": session}}
    return {"version": "v6", "metadata": {"name": "r"}, "spec": spec}


@pytest.mark.parametrize(
    ("sessions", "seconds"),
    [
        (["30h0m0s"], 12 * 3600),
        (["30h0m0s", "8h30m0s"], 8.5 * 3600),
        # Those of minutes are shortened, and none is for less than a minute.
        (["30h0m0s", "1m0s"], 60 * users.SHORT_SESSIONS_LAST),
        (["1s"], 60 * users.SHORT_SESSIONS_LAST),
        ([""], 12 * 3600),
    ],
)
def test_the_least_of_the_roles_limits_a_session(sessions: list[str], seconds: float) -> None:
    roles = [role(ANYWHERE, session=session) for session in sessions]
    assert users._session_seconds(roles) == seconds


@pytest.mark.parametrize(
    ("roles", "groups"),
    [
        ([role(ANYWHERE), role(ANYWHERE, "viewers")], ["viewers"]),
        ([role(ANYWHERE), role(NOWHERE, "viewers")], []),
        # Where none allows the pod, that is what is told, and not that there is no group.
        ([role(NOWHERE, "viewers")], ["viewers"]),
    ],
)
def test_only_a_role_that_allows_the_pod_says_as_whom(roles: list[Any], groups: list[str]) -> None:
    named = access.to_cluster(roles, {}, Decisions(), pod=("apps", "web"))
    assert named.groups == groups
    assert access.to_cluster(roles, {}, Decisions()).groups == ["viewers"]
