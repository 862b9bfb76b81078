"""The reader's roles: which commands are run, what is read, and that a printed template is a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import create_autospec

import pytest

from harness.adapters import roles as module
from harness.adapters.kubernetes import Cluster
from harness.adapters.roles import Roles
from harness.adapters.teleport import Teleport
from harness.adapters.workstation import Workstation
from harness.core.errors import NotObserved
from harness.core.findings import FindingsOfScenario, current_findings
from harness.environment import Completed
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = Names.unique("t1")
TEMPLATES = ("{{internal.kubernetes_groups}}", "{{internal.kubernetes_users}}")
SUBJECT = {"kind": "Group", "name": NAMES.group, "apiGroup": "rbac.authorization.k8s.io"}


def guide_role(name: str) -> dict[str, Any]:
    if name == "viewers-bind.yaml":
        return {"kind": "ClusterRoleBinding", "subjects": [dict(SUBJECT)]}
    allow = {"kubernetes_groups": [NAMES.group], "kubernetes_labels": {"*": "*"}}
    return {"kind": "role", "metadata": {"name": NAMES.access_role}, "spec": {"allow": allow}}


def told(text: str) -> Completed:
    return Completed("tsh status", 0, f'{{"active": {{{text}}}}}', "")


@pytest.fixture
def ports() -> dict[str, Any]:
    found = {
        "teleport": create_autospec(Teleport, instance=True),
        "workstation": create_autospec(Workstation, instance=True),
        "cluster": create_autospec(Cluster, instance=True),
    }
    found["workstation"].file.side_effect = guide_role
    found["workstation"].run.return_value = told("")
    return found


@pytest.fixture
def roles(ports: dict[str, Any]) -> Roles:
    return Roles(names=NAMES, **ports)


@pytest.fixture
def findings() -> Iterator[FindingsOfScenario]:
    noting = FindingsOfScenario("roles.asked-as-printed")
    token = current_findings.set(noting)
    yield noting
    current_findings.reset(token)


def test_an_editor_has_a_group_and_a_user(roles: Roles, ports: dict[str, Any]) -> None:
    roles.make_editor("access")
    (created,) = ports["teleport"].create.call_args.args
    assert created["spec"]["allow"]["kubernetes_groups"] == [NAMES.group]
    assert created["spec"]["allow"]["kubernetes_users"] == [roles.kubernetes_user]
    ports["teleport"].sign_in.assert_called_once_with(with_roles=("editor", "access", NAMES.access_role))


def test_who_has_a_user_instead_has_no_group_and_is_bound(roles: Roles, ports: dict[str, Any]) -> None:
    roles.make_kubernetes_user()
    (created,) = ports["teleport"].create.call_args.args
    assert "kubernetes_groups" not in created["spec"]["allow"]
    (binding,) = ports["cluster"].apply.call_args.args
    assert binding["subjects"] == [{**SUBJECT, "kind": "User", "name": roles.kubernetes_user}]
    ports["cluster"].wait_allowed.assert_called_once_with("list", "pods", [], user=roles.kubernetes_user)


def test_what_the_reader_makes_is_removed(roles: Roles, ports: dict[str, Any]) -> None:
    roles.make_reader()
    ports["workstation"].save.assert_called_once_with("kube-access.yaml")
    ports["teleport"].adopt.assert_called_once_with(f"role/{NAMES.access_role}")


def test_the_printed_commands_are_run_where_their_tool_is(roles: Roles, ports: dict[str, Any]) -> None:
    workstation = ports["workstation"]
    roles.ask(corrected=True)
    workstation.guide.assert_called_with("ts.current-roles", "ts.groups", "ts.users", corrected=True)
    roles.take_on(shell="zsh")  # noqa: S604  # the port's own parameter, with a fixed value
    workstation.guide.assert_called_with(  # noqa: S604  # the same
        "ts.role-created", "ts.local-user", shell="zsh"
    )
    assert [call.args for call in workstation.require.call_args_list] == [("jq",), ("jq",)]
    roles.save_binding()
    roles.bind()
    workstation.guide.assert_called_with("ts.viewers-bound")


@pytest.mark.parametrize(
    ("printed", "status", "expected", "noted"),
    [
        (TEMPLATES, "", (TEMPLATES, ((), ())), {"ts.groups", "ts.users"}),
        ((), "", ((), ((), ())), set()),
        (("viewers",), '"kubernetes_groups": ["viewers"]', (("viewers",), ((), ("viewers",))), set()),
        (("bob",), '"kubernetes_users": ["bob"]', (("bob",), (("bob",), ())), set()),
    ],
)
def test_output_without_access_is_a_finding_about_the_guide(  # each is another fact
    roles: Roles,
    ports: dict[str, Any],
    findings: FindingsOfScenario,
    *,
    printed: tuple[str, ...],
    status: str,
    expected: Any,
    noted: set[str],
) -> None:
    ports["workstation"].run.return_value = told(status)
    ports["teleport"].version = "13.0.0-dev+simulated"
    assert roles.promised("".join(f'"{line}"\n' for line in printed)) == expected
    assert not findings.noted, "a simulated Teleport finds out nothing about the guide"
    ports["teleport"].version = "13.0.0-dev"
    assert roles.promised("".join(f'"{line}"\n' for line in printed)) == expected
    assert {(finding.of, finding.claim) for finding in findings.noted} == {
        ("guide", claim) for claim in noted
    }


def test_signing_in_again_needs_the_roles_of_before(roles: Roles, ports: dict[str, Any]) -> None:
    ports["workstation"].run.return_value = told('"kubernetes_groups": ["viewers"]')
    assert roles.told_after_signing_in_again() == ((), ("viewers",))
    ports["teleport"].sign_in.assert_called_once_with(with_roles=("access", "editor", NAMES.access_role))


def test_what_the_role_allows_in_kubernetes_is_compared(roles: Roles, ports: dict[str, Any]) -> None:
    stored = {"spec": {"allow": {**guide_role("")["spec"]["allow"], "logins": ["nobody"]}}}
    ports["teleport"].get.return_value = stored
    assert roles.created() == roles.printed() == guide_role("")["spec"]["allow"]
    ports["teleport"].get.return_value = None
    with pytest.raises(AssertionError, match=r"seen: none"):
        roles.created()


def test_what_the_group_may_do_is_asked_once_it_may_list(
    roles: Roles, ports: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports["cluster"].allowed.side_effect = [False, True, True, False, True]
    assert roles.allowed_to_group() == ("list pods", "get secrets")
    monkeypatch.setattr(module, "BOUND_SECONDS", 0.05)
    ports["cluster"].allowed.side_effect = lambda *_: False
    with pytest.raises(NotObserved, match=f"group {NAMES.group} list pods"):
        roles.allowed_to_group()
