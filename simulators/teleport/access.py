"""What a user may do in a Kubernetes cluster, by the roles of the user's certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulators.teleport.decisions import Decisions
    from simulators.teleport.texts import Imitation

Resource = Mapping[str, Any]


@dataclass(frozen=True)
class KubernetesAccess:
    """What the roles that reach a cluster say together.

    Attributes:
        reached: whether a role reaches the cluster at all.
        users: that may be impersonated; empty means the user's own name.
        groups: that may be impersonated.
        resources: `kubernetes_resources` of the roles.
        every_kind: whether these say something about more than pods.
    """

    reached: bool
    users: list[str]
    groups: list[str]
    resources: list[Mapping[str, Any]]
    every_kind: bool


def to_cluster(
    roles: Sequence[Resource],
    labels: Mapping[str, str],
    decisions: Decisions,
    *,
    pod: tuple[str, str] | None = None,
) -> KubernetesAccess:
    """Access to a cluster.

    Args:
        roles: resources of the roles that count.
        labels: of the cluster.
        decisions: of the program.
        pod: namespace and name of the one that is asked for. Only roles that allow it say as whom then (13; measured).
    """
    matching = [
        role
        for role in roles
        if decisions.labels_match(role["spec"]["allow"].get("kubernetes_labels") or {}, labels)
    ]
    denied = any(
        decisions.labels_match(role["spec"].get("deny", {}).get("kubernetes_labels") or {}, labels)
        for role in roles
    )

    def counts(role: Resource) -> bool:
        rules = role["spec"]["allow"].get("kubernetes_resources") or []
        return pod is None or decisions.resource_allowed(rules, "pods", *pod, _every_kind(role))

    # Where no role allows it, that is what is told.
    counting = [role for role in matching if decisions.role_counts(counts(role))] or matching

    def principals(field: str) -> list[str]:
        return decisions.principals(_values(counting, "allow", field), _values(roles, "deny", field))

    return KubernetesAccess(
        reached=bool(matching) and not denied,
        users=principals("kubernetes_users"),
        groups=principals("kubernetes_groups"),
        resources=[
            rule for role in matching for rule in role["spec"]["allow"].get("kubernetes_resources") or []
        ],
        every_kind=any(_every_kind(role) for role in matching),
    )


def principals(roles: Sequence[Resource], field: str, decisions: Decisions) -> tuple[str, ...]:
    """Kubernetes users or groups of all roles together, as a certificate has them.

    Args:
        roles: resources of the roles.
        field: kubernetes_users or kubernetes_groups.
        decisions: of the program.
    """
    return tuple(decisions.principals(_values(roles, "allow", field), _values(roles, "deny", field)))


def impersonated(
    access: KubernetesAccess,
    user: str,
    requested: tuple[Sequence[str], Sequence[str]],
    decisions: Decisions,
    imitation: Imitation,
) -> tuple[str, list[str]]:
    """User and groups that the agent impersonates for a request.

    Args:
        access: to the cluster.
        user: name of the Teleport user.
        requested: users and groups that the request itself asks to impersonate.
        decisions: of the program.
        imitation: the version.

    Raises:
        TeleportError: NotFound where there is nothing to impersonate, AccessDenied where too much is asked.
    """
    if not decisions.kubernetes_access(access.users, access.groups):
        raise TeleportError("NotFound", imitation.text("no-kubernetes-groups"))
    users = access.users or [user]
    for what, wanted, allowed in (("user", requested[0], users), ("group", requested[1], access.groups)):
        refused = decisions.impersonation_allowed(wanted, allowed)
        if refused is not None:
            raise TeleportError("AccessDenied", imitation.text(f"impersonated-{what}-denied", value=refused))
    chosen = decisions.user_chosen(list(requested[0]) or users)
    if chosen is None:
        raise TeleportError("AccessDenied", imitation.text("several-users"))
    return chosen, decisions.impersonated_groups(list(requested[1]) or access.groups)


def _every_kind(role: Resource) -> bool:
    return int(role["version"][1:]) >= 7


def _values(roles: Iterable[Resource], side: str, field: str) -> list[str]:
    return [
        value
        for role in roles
        for value in role["spec"].get(side, {}).get(field) or []
        # Local users have no traits here, so a template stands for nothing.
        if "{{" not in value
    ]
