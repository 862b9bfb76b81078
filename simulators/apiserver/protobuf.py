r"""Bodies in protobuf, as kubectl and Helm send them for what they create with typed clients.

A body is `k8s\0` and a message runtime.Unknown (1: TypeMeta, 2: the object). Field numbers are those of
Kubernetes' generated.proto files; what a schema does not name is passed over.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from simulators.apiserver.status import StatusError, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulators.apiserver.objects import Object

MAGIC = b"k8s\0"
Kind = Any
"""A field's form: a text in `_FORMS`, a schema for a message, or (`list` or `map`, form)."""

_TEXT, _BYTES, _NUMBER, _BOOLEAN = "text", "bytes", "number", "boolean"
_META = {
    1: ("name", _TEXT),
    2: ("generateName", _TEXT),
    3: ("namespace", _TEXT),
    5: ("uid", _TEXT),
    6: ("resourceVersion", _TEXT),
    11: ("labels", ("map", _TEXT)),
    12: ("annotations", ("map", _TEXT)),
    14: ("finalizers", ("list", _TEXT)),
}
_TEXTS = ("list", _TEXT)
_RULE = {
    1: ("verbs", _TEXTS),
    2: ("apiGroups", _TEXTS),
    3: ("resources", _TEXTS),
    4: ("resourceNames", _TEXTS),
    5: ("nonResourceURLs", _TEXTS),
}
_SUBJECT = {1: ("kind", _TEXT), 2: ("apiGroup", _TEXT), 3: ("name", _TEXT), 4: ("namespace", _TEXT)}
_ROLE_REF = {1: ("apiGroup", _TEXT), 2: ("kind", _TEXT), 3: ("name", _TEXT)}
_RESOURCE_ATTRIBUTES = {
    1: ("namespace", _TEXT),
    2: ("verb", _TEXT),
    3: ("group", _TEXT),
    4: ("version", _TEXT),
    5: ("resource", _TEXT),
    6: ("subresource", _TEXT),
    7: ("name", _TEXT),
}
_ACCESS = {
    1: ("resourceAttributes", _RESOURCE_ATTRIBUTES),
    2: ("nonResourceAttributes", {1: ("path", _TEXT), 2: ("verb", _TEXT)}),
}
_BOUND_OBJECT = {1: ("kind", _TEXT), 2: ("apiVersion", _TEXT), 3: ("name", _TEXT), 4: ("uid", _TEXT)}
_TOKEN_SPEC = {
    1: ("audiences", _TEXTS),
    3: ("boundObjectRef", _BOUND_OBJECT),
    4: ("expirationSeconds", _NUMBER),
}
_DELETE_OPTIONS = {
    1: ("gracePeriodSeconds", _NUMBER),
    2: ("preconditions", {1: ("uid", _TEXT), 2: ("resourceVersion", _TEXT)}),
    3: ("orphanDependents", _BOOLEAN),
    4: ("propagationPolicy", _TEXT),
    5: ("dryRun", _TEXTS),
}


def _object(*fields: tuple[int, str, Kind]) -> dict[int, tuple[str, Kind]]:
    return {1: ("metadata", _META)} | {number: (name, form) for number, name, form in fields}


_BINDING = _object((2, "subjects", ("list", _SUBJECT)), (3, "roleRef", _ROLE_REF))
SCHEMAS: dict[str, dict[int, tuple[str, Kind]]] = {
    "Namespace": _object(),
    "ServiceAccount": _object((4, "automountServiceAccountToken", _BOOLEAN)),
    "Secret": _object(
        (2, "data", ("map", _BYTES)),
        (3, "type", _TEXT),
        (4, "stringData", ("map", _TEXT)),
        (5, "immutable", _BOOLEAN),
    ),
    "ConfigMap": _object(
        (2, "data", ("map", _TEXT)), (3, "binaryData", ("map", _BYTES)), (4, "immutable", _BOOLEAN)
    ),
    "Role": _object((2, "rules", ("list", _RULE))),
    "ClusterRole": _object((2, "rules", ("list", _RULE))),
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "SelfSubjectAccessReview": _object((2, "spec", _ACCESS)),
    "SelfSubjectReview": _object(),
    "TokenRequest": _object((2, "spec", _TOKEN_SPEC)),
    "Eviction": _object((2, "deleteOptions", _DELETE_OPTIONS)),
    "DeleteOptions": _DELETE_OPTIONS,
}


def decode(body: bytes) -> Object:
    """The object of a protobuf body.

    Args:
        body: as it came.

    Raises:
        StatusError: it is broken (400), or of a kind without a schema (415).
    """
    if not body.startswith(MAGIC):
        raise bad_request("the body does not start with the bytes of Kubernetes' protobuf")
    try:
        envelope = dict(_wire(body[len(MAGIC) :]))
        version, kind = (dict(_wire(envelope[1])).get(number, b"").decode() for number in (1, 2))
        if kind not in SCHEMAS:
            text = f"the simulated API server reads no protobuf of kind {kind}; send JSON"
            raise StatusError(415, "UnsupportedMediaType", text)
        return {"apiVersion": version, "kind": kind} | _message(envelope.get(2, b""), SCHEMAS[kind])
    except (IndexError, KeyError, TypeError, UnicodeDecodeError, AttributeError) as error:
        raise bad_request(f"the protobuf body cannot be read: {type(error).__name__}") from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _wire(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and raw values: numbers for varints, bytes for everything else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, form = tag >> 3, tag & 7
        if form == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if form == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}[form]
        if at + size > len(data):
            raise IndexError(at)
        yield number, data[at : at + size]
        at += size


def _message(data: bytes, schema: dict[int, tuple[str, Kind]]) -> Object:
    found: Object = {}
    for number, raw in _wire(data):
        if number not in schema:
            continue
        name, form = schema[number]
        if not isinstance(form, tuple):
            value = _value(raw, form)
            if value not in ("", {}):
                found[name] = value
        elif form[0] == "list":
            found.setdefault(name, []).append(_value(raw, form[1]))
        else:
            entry = dict(_wire(raw))
            found.setdefault(name, {})[entry.get(1, b"").decode()] = _value(entry.get(2, b""), form[1])
    return found


def _value(raw: Any, form: Kind) -> Any:
    if isinstance(form, dict):
        return _message(raw, form)
    if form == _TEXT:
        return raw.decode()
    if form == _BYTES:
        return base64.b64encode(raw).decode()
    return bool(raw) if form == _BOOLEAN else raw
