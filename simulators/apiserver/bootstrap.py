"""What a new cluster holds: namespaces, and the default roles and bindings that matter here.

Rules as kube-apiserver 1.32.2 makes them, without those for groups that this server does not have.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from simulators.apiserver.defaults import decoded
from simulators.apiserver.kinds import ALL, RBAC, of
from simulators.apiserver.objects import Object, timestamp

if TYPE_CHECKING:
    from simulators.apiserver.store import Store

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_AGGREGATE = f"{RBAC}/aggregate-to-"
_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
_ISSUER = ["/.well-known/openid-configuration", "/openid/v1/jwks"]
_RUN = ["deployments", "replicasets", "statefulsets"]


def _rule(verbs: list[str], group: str, *resources: str) -> Object:
    return {"verbs": verbs, "apiGroups": [group], "resources": list(resources)}


def _paths(paths: list[str]) -> Object:
    return {"verbs": ["get"], "nonResourceURLs": paths}


def _view() -> list[Object]:
    return [
        _rule(
            _READ,
            "",
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "pods",
            "serviceaccounts",
            "services",
        ),
        _rule(_READ, "", "bindings", "events", "namespaces", "namespaces/status", "pods/log", "pods/status"),
        _rule(_READ, "apps", "daemonsets", *_RUN, *(f"{name}/status" for name in _RUN)),
        _rule(_READ, "batch", "jobs", "jobs/status"),
        _rule(_READ, "policy", "poddisruptionbudgets", "poddisruptionbudgets/status"),
    ]


def _edit() -> list[Object]:
    into = ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"]
    written = ["configmaps", "events", "persistentvolumeclaims", "secrets", "serviceaccounts", "services"]
    return [
        _rule(_READ, "", *into, "secrets"),
        _rule(["impersonate"], "", "serviceaccounts"),
        _rule(_WRITE, "", "pods", *into, *written),
        _rule(["create"], "", "pods/eviction", "serviceaccounts/token"),
        _rule(_WRITE, "apps", "daemonsets", *_RUN),
        _rule(_WRITE, "batch", "jobs"),
        _rule(_WRITE, "policy", "poddisruptionbudgets"),
        _rule(list(ALL), "coordination.k8s.io", "leases"),
    ]


def _admin() -> list[Object]:
    return [
        _rule(["create"], "authorization.k8s.io", "localsubjectaccessreviews"),
        _rule(list(ALL), RBAC, "rolebindings", "roles"),
    ]


def _roles() -> list[Object]:
    everything = [_rule(["*"], "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}]
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    basic = [
        _rule(["create"], "authorization.k8s.io", *reviews),
        _rule(["create"], "authentication.k8s.io", "selfsubjectreviews"),
    ]
    return [
        _role("cluster-admin", everything),
        _role("system:aggregate-to-view", _view(), "view"),
        _role("system:aggregate-to-edit", _edit(), "edit"),
        _role("system:aggregate-to-admin", _admin(), "admin"),
        _role("view", None, "edit"),
        _role("edit", None, "admin"),
        _role("admin", None),
        _role("system:basic-user", basic),
        _role("system:discovery", [_paths([*_DISCOVERY, *_HEALTH])]),
        _role("system:public-info-viewer", [_paths(_HEALTH)]),
        _role(
            "system:service-account-issuer-discovery", [_paths([p for u in _ISSUER for p in (u, f"{u}/")])]
        ),
    ]


def _role(name: str, rules: list[Object] | None, aggregated_to: str = "") -> Object:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    if aggregated_to:
        labels[_AGGREGATE + aggregated_to] = "true"
    role: Object = {"kind": "ClusterRole", "metadata": _metadata(name, labels)}
    if rules is None:
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {_AGGREGATE + name: "true"}}]}
    else:
        role["rules"] = rules
    return role


def _binding(role: str, *groups: str) -> Object:
    return {
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(role, {"kubernetes.io/bootstrapping": "rbac-defaults"}),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group} for group in groups],
    }


def _metadata(name: str, labels: dict[str, str]) -> Object:
    return {
        "name": name,
        "labels": labels,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }


def populate(store: Store) -> None:
    """Fill an empty store.

    Args:
        store: of the cluster.
    """
    made = [
        ({"kind": "Namespace", "metadata": {"name": n}, "status": {"phase": "Active"}}) for n in NAMESPACES
    ]
    bindings = [
        _binding("cluster-admin", "system:masters"),
        _binding("system:basic-user", "system:authenticated"),
        _binding("system:discovery", "system:authenticated"),
        _binding("system:public-info-viewer", "system:authenticated", "system:unauthenticated"),
        _binding("system:service-account-issuer-discovery", "system:serviceaccounts"),
    ]
    plurals = {
        "Namespace": "namespaces",
        "ClusterRole": "clusterroles",
        "ClusterRoleBinding": "clusterrolebindings",
    }
    for obj in [*made, *_roles(), *bindings]:
        resource = of(plurals[obj["kind"]])
        obj["apiVersion"] = resource.api_version
        obj["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        store.put(resource, decoded(obj))
