"""The resources that the server knows, and how a path names one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ALL = ("create", "delete", "get", "list", "patch", "update", "watch")
READ_WRITE = ("get", "patch", "update")
CREATE = ("create",)
RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"

SUBRESOURCES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "status": ("", "", READ_WRITE),
    "binding": ("", "Binding", CREATE),
    "eviction": ("policy/v1", "Eviction", CREATE),
    "exec": ("", "PodExecOptions", ("create", "get")),
    "attach": ("", "PodAttachOptions", ("create", "get")),
    "portforward": ("", "PodPortForwardOptions", ("create", "get")),
    "log": ("", "", ("get",)),
    "token": ("authentication.k8s.io/v1", "TokenRequest", CREATE),
    "finalize": ("", "", ("update",)),
}
"""Name -> API version and kind of its body (empty: those of the resource itself), verbs."""


@dataclass(frozen=True)
class Resource:
    """One kind of object.

    Args:
        group: of the API, empty for the core group.
        version: of the API.
        plural: its name in paths.
        kind: its name in objects.
        namespaced: whether its objects lie in namespaces.
        short: names for `kubectl get`.
        categories: such as `all`.
        subresources: offered below an object.
        verbs: offered.
        has_generation: whether `metadata.generation` counts changes of what is wished.
        returned: whether a deletion answers with the object instead of a Status.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL
    has_generation: bool = False
    returned: bool = False

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As messages name the resource, for example `statefulsets.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> str:
        """Path of its API version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"


def _row(group: str, plural: str, kind: str, short: str = "", *below: str, **more: Any) -> Resource:
    """A resource of version v1; what is below it are its subresources."""
    return Resource(group, "v1", plural, kind, short=(short,) if short else (), subresources=below, **more)


_PODS = ("attach", "binding", "eviction", "exec", "log", "portforward", "status")
_WORKLOAD: dict[str, Any] = {"categories": ("all",), "has_generation": True}
_CLUSTER: dict[str, Any] = {"namespaced": False}
_REVIEW: dict[str, Any] = {"namespaced": False, "verbs": CREATE}
RESOURCES = (
    _row("", "configmaps", "ConfigMap", "cm"),
    _row("", "events", "Event", "ev"),
    _row("", "namespaces", "Namespace", "ns", "finalize", "status", returned=True, **_CLUSTER),
    _row("", "nodes", "Node", "no", "status", **_CLUSTER),
    _row("", "pods", "Pod", "po", *_PODS, categories=("all",), returned=True),
    _row("", "secrets", "Secret"),
    _row("", "serviceaccounts", "ServiceAccount", "sa", "token", returned=True),
    _row("apps", "deployments", "Deployment", "deploy", "status", **_WORKLOAD),
    _row("apps", "statefulsets", "StatefulSet", "sts", "status", **_WORKLOAD),
    _row("batch", "jobs", "Job", "", "status", **_WORKLOAD),
    _row("policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", "status", has_generation=True),
    _row(RBAC, "clusterrolebindings", "ClusterRoleBinding", **_CLUSTER),
    _row(RBAC, "clusterroles", "ClusterRole", **_CLUSTER),
    _row(RBAC, "rolebindings", "RoleBinding"),
    _row(RBAC, "roles", "Role"),
    _row(
        ADMISSION,
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        categories=("api-extensions",),
        has_generation=True,
        **_CLUSTER,
    ),
    _row("coordination.k8s.io", "leases", "Lease"),
    _row("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", **_REVIEW),
    _row("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", **_REVIEW),
    _row("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", **_REVIEW),
)
"""What is stored without that anything acts on it is there because the chart looks for it or may have it."""

_BY_PATH = {(r.group, r.version, r.plural): r for r in RESOURCES}
_BY_PLURAL = {r.plural: r for r in RESOURCES}


def find(group: str, version: str, plural: str) -> Resource | None:
    """The resource that a path names, or None."""
    return _BY_PATH.get((group, version, plural))


def of(plural: str) -> Resource:
    """The resource of that name, for the server's own use: no two groups share one here."""
    return _BY_PLURAL[plural]


def group_versions() -> list[tuple[str, str]]:
    """Groups and versions in the order of discovery."""
    return list(dict.fromkeys((r.group, r.version) for r in RESOURCES))


def in_group(group: str, version: str) -> list[Resource]:
    """The resources of one API version, by name."""
    return sorted((r for r in RESOURCES if (r.group, r.version) == (group, version)), key=lambda r: r.plural)
