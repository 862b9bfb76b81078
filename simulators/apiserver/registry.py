"""Creating, changing and deleting objects, by the rules that all kinds share."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from simulators.apiserver import apply as server_side
from simulators.apiserver.defaults import decoded, initial_status, job_identity
from simulators.apiserver.kinds import RBAC, of
from simulators.apiserver.objects import Object, random_suffix, timestamp, without_nulls
from simulators.apiserver.status import (
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    missing,
    not_found,
    success,
    wrong_uid,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.apiserver.admission import Admission
    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.objects import Writer
    from simulators.apiserver.store import Store

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    rf"'{_LABEL}(\.{_LABEL})*')"
)
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_PROTECTED = {"default", "kube-system", "kube-public"}
_GRACE_SECONDS = 30
_OVER = {"Succeeded", "Failed"}


class Registry:
    """Writes to the store.

    Args:
        store: of the cluster.
        admission: what new and changed objects have to pass.
        decisions: of the server.
    """

    def __init__(self, store: Store, admission: Admission, decisions: Decisions) -> None:
        self.store = store
        self._admission = admission
        self._decisions = decisions

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """An object.

        Raises:
            StatusError: there is none (404).
        """
        found = self.store.get(resource, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    async def create(self, resource: Resource, namespace: str, body: Object, writer: Writer) -> Object:
        """Store a new object.

        Args:
            resource: of the object.
            namespace: of the path; empty for a cluster-scoped one.
            body: as the sender wants it; not changed.
            writer: who writes, and how.

        Raises:
            StatusError: it is refused, or there is one of that name.
        """
        obj = _named(resource, namespace, body)
        obj = await self._admission.create(resource, decoded(obj), writer)
        meta = obj["metadata"]
        if self.store.get(resource, namespace, meta["name"]) is not None:
            raise already_exists(resource, meta["name"])
        for key in (*_KEPT, "resourceVersion"):
            meta.pop(key, None)
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        if resource.has_generation:
            meta["generation"] = 1
        initial_status(obj)
        if resource.plural == "jobs":
            job_identity(obj)
        stored = self._decisions.kept(resource.plural) and not writer.dry_run
        return self.store.put(resource, obj) if stored else obj

    async def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        edit: Callable[[Object], Object],
        writer: Writer,
        *,
        part: str = "",
    ) -> Object:
        """Change an object.

        Args:
            resource: of the object.
            namespace: of the object.
            name: of the object.
            edit: gives the new form, and leaves the old one as it is; its resourceVersion, if any, is the one that
                it is based on.
            writer: who writes, and how.
            part: `status` to change the status alone, `finalize` for a namespace's finalizers.

        Raises:
            StatusError: there is none, it was changed meanwhile, or the change is refused.
        """
        old = self.get(resource, namespace, name)
        new = self._updated(resource, old, edit(old), part)
        if not part:
            new = await self._admission.update(resource, new, old, writer)
            if self.store.get(resource, namespace, name) is not old:
                raise conflict(resource, name)
        if new == old or writer.dry_run or not self._decisions.change_kept(resource.plural):
            return new
        if resource.has_generation and _wish(new) != _wish(old):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        stored = self.store.put(resource, new)
        return self._removed_if_done(resource, stored)

    def _updated(self, resource: Resource, old: Object, new: Object, part: str) -> Object:
        before, sent = old["metadata"], new.get("metadata") or {}
        name = before["name"]
        if sent.get("name", name) != name:
            text = f"the name of the object ({sent['name']}) does not match the name on the URL ({name})"
            raise bad_request(text)
        if not self._decisions.version_current(sent.get("resourceVersion") or "", before["resourceVersion"]):
            raise conflict(resource, name)
        if (sent.get("uid") or before["uid"]) != before["uid"]:
            problem = f'Invalid value: "{sent["uid"]}": field is immutable'
            raise invalid(resource.kind, resource.group, name, field="metadata.uid", problem=problem)
        if part:
            # The rest is as it was: it has been decoded before.
            name_of_part = {"status": "status", "finalize": "spec"}[part]
            return {**old, name_of_part: without_nulls(new.get(name_of_part) or {}), "metadata": dict(before)}
        if "status" in resource.subresources:
            new = {**new, "status": old.get("status") or {}}
        meta = dict(sent)
        meta |= {key: before[key] for key in ("name", "namespace", *_KEPT) if key in before}
        if "managedFields" in before:
            meta.setdefault("managedFields", before["managedFields"])
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            if key not in before:
                meta.pop(key, None)
        identity = {"kind": resource.kind, "apiVersion": resource.api_version}
        result = decoded({**new, **identity, "metadata": meta})
        result["metadata"]["resourceVersion"] = before["resourceVersion"]
        return result

    async def apply(
        self, resource: Resource, namespace: str, name: str, applied: Object, writer: Writer
    ) -> tuple[bool, Object]:
        """Bring an object to a state by server-side apply; returns whether it is new, and the object.

        Raises:
            StatusError: the applier names no field manager, or the result is refused.
        """
        if not writer.manager:
            problem = "Required value: is required for apply patch"
            raise missing("PatchOptions", "meta.k8s.io", field="fieldManager", problem=problem)
        meta: Object = {"name": name} | ({"namespace": namespace} if namespace else {})
        empty = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
        found = self.store.get(resource, namespace, name)
        if found is None:
            made = server_side.apply(empty, applied, writer.manager)
            return True, await self.create(resource, namespace, made, writer)

        def edit(obj: Object) -> Object:
            return server_side.apply(obj, applied, writer.manager)

        return False, await self.change(resource, namespace, name, edit, writer)

    def delete(
        self, resource: Resource, namespace: str, name: str, options: Object, *, dry_run: bool = False
    ) -> Object:
        """Delete an object, or mark it as to be deleted; returns the answer.

        Args:
            resource: of the object.
            namespace: of the object.
            name: of the object.
            options: DeleteOptions.
            dry_run: nothing is stored.

        Raises:
            StatusError: there is none, or a precondition does not hold.
        """
        obj = self.get(resource, namespace, name)
        meta = obj["metadata"]
        wanted = options.get("preconditions") or {}
        if wanted.get("uid", meta["uid"]) != meta["uid"]:
            raise wrong_uid(resource.kind, name, wanted["uid"], meta["uid"])
        if wanted.get("resourceVersion", meta["resourceVersion"]) != meta["resourceVersion"]:
            raise conflict(resource, name)
        if resource.plural == "namespaces" and name in _PROTECTED:
            raise forbidden(resource, name, "this namespace may not be deleted")
        if dry_run:
            return obj if resource.returned else success(resource, obj)
        marked = _marked(resource, obj, options)
        if _held(marked):
            return obj if marked is obj else self.store.put(resource, marked)
        gone = self.store.remove(resource, obj)
        return gone if resource.returned else success(resource, gone)

    def _removed_if_done(self, resource: Resource, obj: Object) -> Object:
        """Take an object out when it is to be deleted and nothing holds it any more."""
        if obj["metadata"].get("deletionTimestamp") and not _held(obj):
            return self.store.remove(resource, obj)
        return obj


def _held(obj: Object) -> bool:
    """Whether something keeps an object that is to be deleted."""
    meta = obj["metadata"]
    own = obj.get("spec", {}).get("finalizers") if obj["kind"] == "Namespace" else None
    return bool(meta.get("finalizers") or meta.get("deletionGracePeriodSeconds") or own)


def _wish(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in {"metadata", "status"}}


def _named(resource: Resource, namespace: str, body: Object) -> Object:
    kind = body.get("kind") or resource.kind
    if (body.get("apiVersion") or resource.api_version, kind) != (resource.api_version, resource.kind):
        text = f'{kind} in version "{body.get("apiVersion")}" cannot be handled as a {resource.kind}'
        raise bad_request(text)
    meta: Any = dict(body.get("metadata") or {})
    if meta.get("namespace") not in {None, "", namespace}:
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise bad_request(text)
    if not meta.get("name"):
        if not meta.get("generateName"):
            problem = "Required value: name or generateName is required"
            raise missing(resource.kind, resource.group, field="metadata.name", problem=problem)
        meta["name"] = meta["generateName"] + random_suffix()
    # Roles may be named with anything that fits into a path.
    free = resource.group == RBAC and not set(meta["name"]) & set("/%")
    if not free and not _NAME.fullmatch(meta["name"]):
        problem = f'Invalid value: "{meta["name"]}": {_NAME_RULE}'
        raise invalid(resource.kind, resource.group, meta["name"], field="metadata.name", problem=problem)
    meta.pop("namespace", None)
    if namespace:
        meta["namespace"] = namespace
    return {**body, "kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}


def _marked(resource: Resource, obj: Object, options: Object) -> Object:
    """The object as it is once its deletion is wanted; itself when nothing changes."""
    meta = dict(obj["metadata"])
    grace = _grace(resource, obj, options)
    if meta.get("deletionTimestamp"):
        if grace >= meta.get("deletionGracePeriodSeconds", 0):
            return obj
    elif resource.has_generation:
        meta["generation"] += 1
    meta["deletionTimestamp"] = timestamp(datetime.now(UTC) + timedelta(seconds=grace))
    meta["deletionGracePeriodSeconds"] = grace
    marked = {**obj, "metadata": meta}
    if resource == of("namespaces"):
        del meta["deletionGracePeriodSeconds"]
        marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return marked


def _grace(resource: Resource, obj: Object, options: Object) -> int:
    if resource.plural != "pods":
        return 0
    spec, over = obj["spec"], obj.get("status", {}).get("phase") in _OVER
    if over or not spec.get("nodeName"):
        return 0
    wanted = options.get("gracePeriodSeconds")
    return int(spec.get("terminationGracePeriodSeconds", _GRACE_SECONDS) if wanted is None else wanted)
