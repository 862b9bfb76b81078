"""What the reader's roles allow in Kubernetes, and the commands by which the guide has them looked at and made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.core.findings import note
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.adapters.kubernetes import Cluster
    from harness.adapters.teleport import Teleport
    from harness.adapters.workstation import Workstation
    from harness.environment import Completed
    from harness.scenario import Names

BOUND_SECONDS = 60.0
"""Budget for RBAC to know a new binding; 0.3 s were seen."""

ASKED = ("ts.current-roles", "ts.groups", "ts.users")
TAKEN_ON = ("ts.role-created", "ts.local-user")
ROLE_FILE, BINDING_FILE = "kube-access.yaml", "viewers-bind.yaml"
BEFORE = ("access", "editor")
"""Roles of a reader who may edit resources, and whom no role of the guide's lets into a cluster yet."""


class Roles:
    """`harness.environment.Roles` over `tctl`, `tsh` and the Kubernetes API."""

    def __init__(
        self, *, names: Names, teleport: Teleport, workstation: Workstation, cluster: Cluster
    ) -> None:
        """Binds roles to a scenario.

        Args:
            names: The scenario's names.
            teleport: The scenario's Teleport.
            workstation: The scenario's workstation.
            cluster: The scenario's cluster.
        """
        self.names = names
        self.kubernetes_user = f"kubernetes-{names.user}"
        self._teleport = teleport
        self._workstation = workstation
        self._cluster = cluster

    def make_editor(self, *others: str) -> None:
        """Signs in a user who may edit resources, with a role that allows a Kubernetes group and user.

        Args:
            *others: Further roles of that user.
        """
        role = self._guide_role()
        role["spec"]["allow"]["kubernetes_users"] = [self.kubernetes_user]
        self._teleport.create(role)
        self._sign_in("editor", *others, self.names.access_role)

    def make_kubernetes_user(self) -> None:
        """Signs in a user whose role allows a Kubernetes user and no group, and lets that one view the cluster."""
        role = self._guide_role()
        del role["spec"]["allow"]["kubernetes_groups"]
        role["spec"]["allow"]["kubernetes_users"] = [self.kubernetes_user]
        self._teleport.create(role)
        self._sign_in("access", self.names.access_role)
        binding = self._workstation.file(BINDING_FILE)
        (subject,) = binding["subjects"]
        binding["subjects"] = [{**subject, "kind": "User", "name": self.kubernetes_user}]
        self._cluster.apply(binding)
        self._cluster.wait_allowed("list", "pods", [], user=self.kubernetes_user)

    def make_reader(self) -> None:
        """Signs in a user who may edit resources and has made the guide's kube-access.yaml in an editor."""
        self._sign_in(*BEFORE)
        self._workstation.save(ROLE_FILE)
        self._teleport.adopt(f"role/{self.names.access_role}")

    def save_binding(self) -> None:
        """The guide's viewers-bind.yaml, made in an editor."""
        self._workstation.save(BINDING_FILE)

    def ask(self, *, corrected: bool = False) -> Completed:
        """Asks for the current roles, their groups and their users, as printed or as it should read.

        Raises:
            NotApplicable: There is no jq.
        """
        self._workstation.require("jq")
        return self._workstation.guide(*ASKED, corrected=corrected)

    def take_on(self, *, shell: str = "bash") -> Completed:
        """Makes the role of kube-access.yaml and adds it to the reader's own, as printed.

        Raises:
            NotApplicable: There is no jq, or no such shell.
        """
        self._workstation.require("jq")
        return self._workstation.guide(*TAKEN_ON, shell=shell)

    def bind(self) -> Completed:
        """Applies viewers-bind.yaml, as printed."""
        return self._workstation.guide("ts.viewers-bound")

    def told(self) -> tuple[Sequence[str], Sequence[str]]:
        """Kubernetes users and groups that the reader's certificate has, by `tsh status`."""
        completed = self._workstation.run("tsh status --format=json")
        active = json.loads(completed.stdout)["active"]
        return tuple(active.get("kubernetes_users") or ()), tuple(active.get("kubernetes_groups") or ())

    def promised(self, printed: str) -> tuple[tuple[str, ...], tuple[Sequence[str], Sequence[str]]]:
        """Groups and users printed for the reader, beside those of the certificate.

        The guide takes any output for access. A finding where the certificate has none: a preset role has
        templates in their place, which stand for nothing where the user has no such traits.

        Args:
            printed: What the printed commands showed, a JSON text a line.
        """
        shown = tuple(str(json.loads(line)) for line in printed.splitlines())
        told = self.told()
        if shown and not any(told) and "+simulated" not in self._teleport.version:
            for claim in ("ts.groups", "ts.users"):
                text = f"the output is not empty, {', '.join(shown)}, and the user may access no group and no user"
                note("guide", claim, text)
        return shown, told

    def told_after_signing_in_again(self) -> tuple[Sequence[str], Sequence[str]]:
        """The same, once signing in gives the guide's role beside those of before.

        Raises:
            NotObserved: It does not.
        """
        self._teleport.sign_in(with_roles=(*BEFORE, self.names.access_role))
        return self.told()

    def created(self) -> Mapping[str, object]:
        """What the guide's role allows in Teleport.

        Raises:
            AssertionError: There is no such role.
        """
        role = self._teleport.get(f"role/{self.names.access_role}")
        if role is None:
            raise AssertionError(f"expected: role {self.names.access_role} in Teleport\nseen: none")
        return _allowed(role["spec"]["allow"])

    def printed(self) -> Mapping[str, object]:
        """What kube-access.yaml allows."""
        return _allowed(self._guide_role()["spec"]["allow"])

    def allowed_to_group(self) -> tuple[str, ...]:
        """What the guide's group may do in Kubernetes of listing and deleting pods and reading Secrets.

        Raises:
            NotObserved: It may not list pods, however long one waits.
        """
        group = [self.names.group]
        eventually(
            lambda: self._cluster.allowed("list", "pods", group),
            bool,
            expected=f"the cluster to let group {self.names.group} list pods",
            within=BOUND_SECONDS,
        )
        tried = (("list", "pods"), ("delete", "pods"), ("get", "secrets"))
        return tuple(f"{verb} {what}" for verb, what in tried if self._cluster.allowed(verb, what, group))

    def _guide_role(self) -> dict[str, Any]:
        return self._workstation.file(ROLE_FILE)

    def _sign_in(self, *roles: str) -> None:
        self._teleport.create_user(roles)
        self._teleport.sign_in(with_roles=roles)


def _allowed(allow: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in allow.items() if name.startswith("kubernetes_")}
