"""Failures of the user: what is listed, who is impersonated, and what the roles allow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.causes.cause import File
from harness.core.findings import note
from harness.core.waiting import eventually
from harness.failures.table import measured_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.causes.cause import Act
    from harness.environment import JSON
    from harness.failures.table import Failure
    from harness.scenario import Scenario

ANSWERED_SECONDS = 30.0
"""Budget for what mends a user's call to count: the Auth Service of 13 sees it within a second, an agent's start
takes five."""

EXPIRED_SECONDS = 90.0
"""Budget for a user's certificate to expire: Teleport issues none for less than a minute."""

ANOTHER_USER, ANOTHER_GROUP = "somebody-else", "somebody-elses"
"""Whom no role of a user allows to impersonate."""


@dataclass(frozen=True)
class Told:
    """What came of a user's call.

    Attributes:
        answered: Whether it did what it was for.
        words: What the user was told.
    """

    answered: bool
    words: str


@dataclass(frozen=True)
class Trouble:
    """How a user's call is made to fail, and what mends it.

    Attributes:
        make: Makes the user and signs it in, with what is wrong.
        call: The call that fails for it.
        mend: Does what the table has as `fix`, and nothing else.
        finding: What is found out about the product where it fails as the table says.
    """

    make: Act
    call: Callable[[Scenario], Told]
    mend: Act
    finding: str = ""


def _kubectl(scenario: Scenario, *arguments: str) -> Told:
    completed = scenario.workstation.kubectl(*arguments).completed
    return Told(completed.exit_code == 0, completed.stderr)


def _run(scenario: Scenario, script: str) -> Told:
    completed = scenario.workstation.run(f"{script}\n")
    return Told(completed.exit_code == 0, completed.stdout + completed.stderr)


def _pods(scenario: Scenario, *arguments: str, pod: str = "") -> Told:
    # Not by its own words: discovery would reach the cluster first, and kubectl hide why it failed (teleport #9642).
    path = f"/api/v1/namespaces/{scenario.names.namespace}/pods{pod}"
    return _kubectl(scenario, *arguments, "get", "--raw", path)


def _the_pod(scenario: Scenario) -> Told:
    return _pods(scenario, pod=f"/{scenario.names.release}-0")


def _the_pods_log(scenario: Scenario) -> Told:
    return _pods(scenario, pod=f"/{scenario.names.release}-0/log")


def _guide_role(scenario: Scenario, **allow: Any) -> JSON:
    """The guide's role, with these fields of `allow` in place of its own."""
    role = scenario.workstation.file("kube-access.yaml")
    return {**role, "spec": {**role["spec"], "allow": {**role["spec"]["allow"], **allow}}}


def _served(scenario: Scenario, role: JSON) -> None:
    """A user with this role beside `access`, whose group is bound, and an agent that has joined."""
    scenario.make_joined_agent()
    _signed_in(scenario, role)
    scenario.bind_group()


def _signed_in(scenario: Scenario, role: JSON) -> None:
    scenario.teleport.create(role)
    scenario.make_signed_in_user("access", scenario.names.access_role)


def _with(allow: Callable[[Scenario], Mapping[str, Any]]) -> Act:
    return lambda scenario: _served(scenario, _guide_role(scenario, **allow(scenario)))


def _guides(_: Scenario) -> Mapping[str, Any]:
    return {}


def _mended(allow: Callable[[Scenario], Mapping[str, Any]]) -> Act:
    return lambda scenario: scenario.teleport.create(_guide_role(scenario, **allow(scenario)))


def _denied(scenario: Scenario) -> None:
    role = _guide_role(scenario)
    _served(
        scenario, {**role, "spec": {**role["spec"], "deny": {"kubernetes_groups": [scenario.names.group]}}}
    )


def _nowhere(_: Scenario) -> Mapping[str, Any]:
    return {"kubernetes_resources": [{"kind": "pod", "namespace": "conformance-nowhere", "name": "*"}]}


def _no_pods(scenario: Scenario) -> None:
    scenario.make_joined_agent()
    scenario.teleport.create(_guide_role(scenario, **_nowhere(scenario)))
    # Without the role access, which allows every pod and no group: Teleport speaks of groups then.
    scenario.make_signed_in_user(scenario.names.access_role)
    scenario.bind_group()


def _unbound(scenario: Scenario) -> None:
    scenario.make_joined_agent()
    scenario.make_user_with_guide_role()


def _exec(scenario: Scenario) -> Told:
    names = scenario.names
    return _kubectl(scenario, "exec", f"{names.release}-0", f"--namespace={names.namespace}", "--", "true")


def _may_edit(scenario: Scenario) -> None:
    names = scenario.names
    api = "rbac.authorization.k8s.io"
    scenario.kubernetes.apply(
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": names.binding, "namespace": names.namespace},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": api, "kind": "Group", "name": names.group}],
        }
    )


def _gone(scenario: Scenario) -> None:
    _with(_guides)(scenario)
    scenario.agent.stop()


def _without_agent(scenario: Scenario) -> None:
    _signed_in(scenario, _guide_role(scenario))


def _signed_out(scenario: Scenario) -> None:
    _without_agent(scenario)
    scenario.workstation.run("tsh logout\n")


def _expired(scenario: Scenario) -> None:
    role = _guide_role(scenario)
    _signed_in(scenario, {**role, "spec": {**role["spec"], "options": {"max_session_ttl": "1m"}}})
    told = scenario.workstation.run("tsh status --format=json\n").stdout
    until = datetime.fromisoformat(json.loads(told)["active"]["valid_until"])
    eventually(
        lambda: datetime.now(UTC),
        lambda now: now > until,
        expected="the user's certificate to have expired",
        within=EXPIRED_SECONDS,
    )


def _sign_in(scenario: Scenario) -> None:
    scenario.teleport.create(_guide_role(scenario))
    scenario.teleport.sign_in(with_roles=("access", scenario.names.access_role))


TROUBLES: Mapping[str, Trouble] = MappingProxyType(
    {
        "several-kubernetes-users": Trouble(
            _with(lambda scenario: {"kubernetes_users": [scenario.names.user, ANOTHER_USER]}),
            _pods,
            _mended(lambda scenario: {"kubernetes_users": [scenario.names.user]}),
        ),
        "impersonated-user-not-allowed": Trouble(
            _with(_guides),
            lambda scenario: _pods(scenario, f"--as={ANOTHER_USER}"),
            _mended(lambda scenario: {"kubernetes_users": [scenario.names.user, ANOTHER_USER]}),
        ),
        "impersonated-group-not-allowed": Trouble(
            _with(_guides),
            lambda scenario: _pods(
                scenario,
                f"--as={scenario.names.user}",
                f"--as-group={scenario.names.group}",
                f"--as-group={ANOTHER_GROUP}",
            ),
            _mended(lambda scenario: {"kubernetes_groups": [scenario.names.group, ANOTHER_GROUP]}),
        ),
        "group-denied": Trouble(_denied, _pods, _mended(_guides)),
        "pod-not-allowed": Trouble(_no_pods, _the_pod, _mended(_guides)),
        "pod-allowed-without-group": Trouble(
            _with(_nowhere),
            _the_pod,
            _mended(_guides),
            "a user whose role has a group is told to have none where only another role, as access, allows the pod",
        ),
        "log-not-bound": Trouble(_unbound, _the_pods_log, lambda scenario: scenario.bind_group()),
        "exec-not-bound": Trouble(_with(_guides), _exec, _may_edit),
        "agent-gone": Trouble(_gone, _pods, lambda scenario: scenario.agent.upgrade({})),
        "unknown-cluster": Trouble(
            _without_agent,
            lambda scenario: _run(scenario, f"tsh kube login {scenario.names.cluster}"),
            lambda scenario: scenario.make_joined_agent(),
        ),
        "not-signed-in": Trouble(_signed_out, lambda scenario: _run(scenario, "tsh kube ls"), _sign_in),
        "certificate-expired": Trouble(_expired, lambda scenario: _run(scenario, "tsh kube ls"), _sign_in),
    }
)
"""By the failure's name."""


def make(scenario: Scenario, failure: Failure) -> None:
    """Makes a user and signs it in, with what is wrong."""
    TROUBLES[failure.name].make(scenario)


def call(scenario: Scenario, failure: Failure) -> Told:
    """Makes the call that fails."""
    return TROUBLES[failure.name].call(scenario)


def told_as_known(scenario: Scenario, failure: Failure, told: Told) -> bool:
    """Whether the call failed, with the table's words.

    Raises:
        Withheld: None were measured at the running version.
    """
    names = scenario.names
    words = {
        "cluster": names.cluster,
        "group": ANOTHER_GROUP,
        "kind": "pods",
        "resource": "pods",
        "namespace": names.namespace,
        "other_user": ANOTHER_USER,
        "pod": f"{names.release}-0",
        "user": names.user,
        "verb": "get",
    }
    texts = measured_texts(failure.name, scenario.teleport.version)
    known = not told.answered and all(
        text.found_in(told.words, **{name: words[name] for name in text.placeholders}) for text in texts
    )
    finding = TROUBLES[failure.name].finding
    # Of a simulated Teleport nothing is found out about the product.
    if known and finding and not scenario.description.components["teleport"].simulated:
        note("product", "ts.need-user-or-group", finding)
    return known


def answered_when_mended(scenario: Scenario, failure: Failure) -> bool:
    """Mends it, and waits until the same call is answered.

    Raises:
        NotObserved: It never was.
    """
    TROUBLES[failure.name].mend(scenario)
    told = eventually(
        lambda: call(scenario, failure),
        lambda seen: seen.answered,
        expected="the same call to be answered",
        within=ANSWERED_SECONDS,
    )
    return told.answered


def forbidden_in_cluster(scenario: Scenario) -> set[str]:
    """Resources, with their subresources, of the user's calls that the API server forbade, by its audit log."""
    return {resource for resource, code in _in_cluster(scenario) if code == HTTPStatus.FORBIDDEN}


def let_through_when_mended(scenario: Scenario, failure: Failure, resource: str) -> bool:
    """Mends it, and waits until the API server forbids the same call no more.

    Args:
        scenario: The scenario.
        failure: What is mended.
        resource: What the call is for, with its subresource.

    Raises:
        NotObserved: It always did.
    """
    TROUBLES[failure.name].mend(scenario)

    def let_through() -> bool:
        call(scenario, failure)
        return any(of == resource and code != HTTPStatus.FORBIDDEN for of, code in _in_cluster(scenario))

    return eventually(
        let_through, bool, expected=f"the cluster to let {resource} through", within=ANSWERED_SECONDS
    )


def resource_of(record: JSON) -> str:
    """Resource of a record of the API server's audit log, with its subresource."""
    reference = record["objectRef"]
    return "/".join(part for name in ("resource", "subresource") if (part := reference.get(name)))


def _in_cluster(scenario: Scenario) -> list[tuple[str, int]]:
    return [
        (resource_of(record), int(record["responseStatus"]["code"]))
        for record in scenario.kubernetes.audit(scenario.names.user)
        if record.get("objectRef", {}).get("resource")
    ]


def _role(version: str) -> Callable[[Scenario], JSON]:
    def made(scenario: Scenario) -> JSON:
        return {
            "kind": "role",
            "version": version,
            "metadata": {"name": scenario.names.access_role},
            "spec": {"allow": {"kubernetes_groups": [scenario.names.group]}},
        }

    return made


FILES: Mapping[str, File] = MappingProxyType(
    {"role-version-unknown": File(_role("v9"), _role("v5"), {"version": "v9"})}
)
"""Files of a role with what is wrong in them, by the failure's name."""
