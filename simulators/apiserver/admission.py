"""What a new object has to pass before it is stored, and what is added to it on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulators.apiserver.defaults import decoded
from simulators.apiserver.kinds import of
from simulators.apiserver.objects import Object, Writer, copied, random_suffix
from simulators.apiserver.status import forbidden, invalid, not_found
from simulators.apiserver.validation import check
from simulators.apiserver.webhooks import Question, Webhooks

if TYPE_CHECKING:
    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.store import Store

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ROOT_CA = "kube-root-ca.crt"
_TOKEN_SECONDS = 3607
_PREFIX = "kube-api-access-"


class Admission:
    """The admission plugins that the lab depends on: namespaces, service accounts, webhooks.

    Args:
        store: of the cluster.
        webhooks: asks the registered ones.
        decisions: of the server.
    """

    def __init__(self, store: Store, webhooks: Webhooks, decisions: Decisions) -> None:
        self._store = store
        self._webhooks = webhooks
        self._decisions = decisions

    async def create(self, resource: Resource, obj: Object, writer: Writer) -> Object:
        """Admit a new object; returns it with what was added.

        Raises:
            StatusError: it is refused.
        """
        if resource.namespaced:
            self._check_namespace(resource, obj)
        check(obj, resource.group)
        if resource.plural == "pods":
            obj = self._with_account(resource, obj)
            self._check_mounts(resource, obj)
        return await self._ask(Question("CREATE", resource, None, writer), obj)

    async def update(self, resource: Resource, obj: Object, old: Object, writer: Writer) -> Object:
        """Admit a changed object; returns it with what was added.

        Raises:
            StatusError: it is refused.
        """
        check(obj, resource.group)
        return await self._ask(Question("UPDATE", resource, old, writer), obj)

    async def _ask(self, question: Question, obj: Object) -> Object:
        for webhook in self._webhooks.wanted(question, obj):
            obj = decoded(await self._webhooks.ask(webhook, question, obj))
        return obj

    def _check_namespace(self, resource: Resource, obj: Object) -> None:
        name = obj["metadata"]["namespace"]
        namespace = self._store.get(of("namespaces"), "", name)
        if namespace is None:
            raise not_found(of("namespaces"), name)
        if namespace["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {name} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {name} is being terminated",
                "field": "metadata.namespace",
            }
            raise forbidden(resource, obj["metadata"]["name"], why, causes=[cause])

    def _check_mounts(self, resource: Resource, pod: Object) -> None:
        """See that each volume that is mounted is one of the pod's; a StatefulSet's template is not looked at."""
        spec = pod["spec"]
        known = {volume["name"] for volume in spec.get("volumes") or []}
        for part in ("initContainers", "containers"):
            for number, container in enumerate(spec.get(part) or []):
                for place, mount in enumerate(container.get("volumeMounts") or []):
                    if not self._decisions.volume_known(mount["name"], known):
                        field = f"spec.{part}[{number}].volumeMounts[{place}].name"
                        problem = f'Not found: "{mount["name"]}"'
                        name, reason = pod["metadata"]["name"], "FieldValueNotFound"
                        raise invalid(
                            "Pod", resource.group, name, field=field, problem=problem, reason=reason
                        )

    def _with_account(self, resource: Resource, pod: Object) -> Object:
        """The pod with its service account's token, and what else the real server adds to each."""
        pod = copied(pod)
        spec, meta = pod["spec"], pod["metadata"]
        name = spec.setdefault("serviceAccountName", "default")
        spec.setdefault("serviceAccount", name)
        account = self._store.get(of("serviceaccounts"), meta["namespace"], name)
        if self._decisions.service_account_needed(account is not None):
            place = f"{meta['namespace']}/{name}"
            why = f'error looking up service account {place}: serviceaccount "{name}" not found'
            raise forbidden(resource, meta["name"], why)
        account = account or {}
        mount = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        if mount:
            _mount_token(spec)
        if account.get("imagePullSecrets"):
            spec.setdefault("imagePullSecrets", account["imagePullSecrets"])
        return pod


def _mount_token(spec: Object) -> None:
    volumes = spec.setdefault("volumes", [])
    name = next((v["name"] for v in volumes if v["name"].startswith(_PREFIX)), "")
    chosen = name or _PREFIX + random_suffix()
    used = False
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        mounts = container.setdefault("volumeMounts", [])
        if all(mount["mountPath"] != MOUNT_PATH for mount in mounts):
            mounts.append({"name": chosen, "readOnly": True, "mountPath": MOUNT_PATH})
            used = True
    if used and not name:
        volumes.append(_token_volume(chosen))
    if not volumes:
        del spec["volumes"]


def _token_volume(name: str) -> Object:
    field = {"fieldPath": "metadata.namespace"}
    sources: list[dict[str, Any]] = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    return {"name": name, "projected": {"sources": sources}}
