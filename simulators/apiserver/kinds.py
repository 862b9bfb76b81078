"""The resources that the server knows, and how a path names one."""

from __future__ import annotations

from dataclasses import dataclass

ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_WRITE = ("get", "patch", "update")
CREATE = ("create",)
RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"

SUBRESOURCES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "status": ("", "", READ_WRITE),
    "scale": ("autoscaling/v1", "Scale", READ_WRITE),
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


def _core() -> list[Resource]:
    whole: tuple[str, ...] = ("all",)
    pod = ("attach", "binding", "eviction", "exec", "log", "portforward", "status")
    return [
        Resource("", "v1", "configmaps", "ConfigMap", short=("cm",)),
        Resource("", "v1", "endpoints", "Endpoints", short=("ep",)),
        Resource("", "v1", "events", "Event", short=("ev",)),
        Resource(
            "",
            "v1",
            "namespaces",
            "Namespace",
            namespaced=False,
            short=("ns",),
            subresources=("finalize", "status"),
            verbs=tuple(verb for verb in ALL if verb != "deletecollection"),
            returned=True,
        ),
        Resource("", "v1", "nodes", "Node", namespaced=False, short=("no",), subresources=("status",)),
        Resource(
            "",
            "v1",
            "persistentvolumeclaims",
            "PersistentVolumeClaim",
            short=("pvc",),
            subresources=("status",),
            returned=True,
        ),
        Resource("", "v1", "pods", "Pod", short=("po",), categories=whole, subresources=pod, returned=True),
        Resource("", "v1", "secrets", "Secret"),
        Resource(
            "",
            "v1",
            "serviceaccounts",
            "ServiceAccount",
            short=("sa",),
            subresources=("token",),
            returned=True,
        ),
        Resource(
            "",
            "v1",
            "services",
            "Service",
            short=("svc",),
            categories=whole,
            subresources=("status",),
            returned=True,
        ),
    ]


def _workloads() -> list[Resource]:
    rows = [
        ("apps", "daemonsets", "DaemonSet", "ds", ("status",)),
        ("apps", "deployments", "Deployment", "deploy", ("scale", "status")),
        ("apps", "replicasets", "ReplicaSet", "rs", ("scale", "status")),
        ("apps", "statefulsets", "StatefulSet", "sts", ("scale", "status")),
        ("batch", "jobs", "Job", "", ("status",)),
    ]
    return [
        Resource("apps", "v1", "controllerrevisions", "ControllerRevision"),
        *(
            Resource(
                group,
                "v1",
                plural,
                kind,
                short=(short,) if short else (),
                categories=("all",),
                subresources=subresources,
                has_generation=True,
            )
            for group, plural, kind, short, subresources in rows
        ),
    ]


def _others() -> list[Resource]:
    reviews = [
        ("authentication", "selfsubjectreviews", "SelfSubjectReview"),
        ("authentication", "tokenreviews", "TokenReview"),
        ("authorization", "localsubjectaccessreviews", "LocalSubjectAccessReview"),
        ("authorization", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        ("authorization", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
        ("authorization", "subjectaccessreviews", "SubjectAccessReview"),
    ]
    return [
        Resource(
            "policy",
            "v1",
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            short=("pdb",),
            subresources=("status",),
            has_generation=True,
        ),
        Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
        Resource(RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
        Resource(RBAC, "v1", "rolebindings", "RoleBinding"),
        Resource(RBAC, "v1", "roles", "Role"),
        *(
            Resource(
                ADMISSION,
                "v1",
                f"{name}webhookconfigurations",
                f"{name.capitalize()}WebhookConfiguration",
                namespaced=False,
                categories=("api-extensions",),
                has_generation=True,
            )
            for name in ("mutating", "validating")
        ),
        Resource("coordination.k8s.io", "v1", "leases", "Lease"),
        *(
            Resource(
                f"{group}.k8s.io", "v1", plural, kind, namespaced=plural.startswith("local"), verbs=CREATE
            )
            for group, plural, kind in reviews
        ),
    ]


RESOURCES = (*_core(), *_workloads(), *_others())

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
