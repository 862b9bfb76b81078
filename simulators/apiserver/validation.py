"""What an object cannot do without: whoever reads objects in this server counts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulators.apiserver.status import missing, not_simulated

if TYPE_CHECKING:
    from simulators.apiserver.objects import Object

_TEMPLATE = "spec.template.spec.containers"
_ROLE = ("roleRef.kind", "roleRef.name")
_REQUIRED = {
    "Pod": ("spec.containers",),
    "StatefulSet": ("spec.selector", _TEMPLATE),
    "Deployment": ("spec.selector", _TEMPLATE),
    "Job": (_TEMPLATE,),
    "RoleBinding": _ROLE,
    "ClusterRoleBinding": _ROLE,
}
_ITEMS = {
    "Pod": (("spec.containers", "name"), ("spec.initContainers", "name"), ("spec.volumes", "name")),
    "RoleBinding": (("subjects", "kind"), ("subjects", "name")),
    "ClusterRoleBinding": (("subjects", "kind"), ("subjects", "name")),
    "MutatingWebhookConfiguration": (("webhooks", "name"), ("webhooks", "clientConfig")),
}
_NOT_SIMULATED = {"StatefulSet": ("spec.volumeClaimTemplates", "spec.updateStrategy.rollingUpdate.partition")}
_JOB_POLICIES = {"OnFailure", "Never"}


def check(obj: Object, group: str) -> None:
    """See that nothing is missing.

    Args:
        obj: with its defaults.
        group: of its kind.

    Raises:
        StatusError: a field is missing (422), or not simulated (501).
    """
    kind, name = obj["kind"], obj["metadata"]["name"]
    for path in _REQUIRED.get(kind, ()):
        if not _at(obj, path):
            raise missing(kind, group, name=name, field=path, problem="Required value")
    for path, member in _ITEMS.get(kind, ()):
        for number, item in enumerate(_at(obj, path) or []):
            if not item.get(member):
                field = f"{path}[{number}].{member}"
                raise missing(kind, group, name=name, field=field, problem="Required value")
    if kind == "Job" and obj["spec"]["template"]["spec"]["restartPolicy"] not in _JOB_POLICIES:
        problem = 'Required value: valid values: "OnFailure", "Never"'
        field = "spec.template.spec.restartPolicy"
        raise missing(kind, group, name=name, field=field, problem=problem)
    for path in _NOT_SIMULATED.get(kind, ()):
        if _at(obj, path):
            raise not_simulated(path)


def _at(obj: Any, path: str) -> Any:
    for part in path.split("."):
        obj = (obj or {}).get(part)
    return obj
