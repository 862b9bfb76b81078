"""What a request is about, read from its line and body."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulators.apiserver import kinds, protobuf
from simulators.apiserver.decisions import Attributes
from simulators.apiserver.selectors import exact_name
from simulators.apiserver.status import StatusError, bad_request, not_simulated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.objects import Object

_VERBS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "GET": "get",
    "HEAD": "get",
    "DELETE": "delete",
}
_OF_NAMESPACES = {"status", "finalize"}
_TRUE = {"1", "true", "True"}


@dataclass(frozen=True)
class Target:
    """What a request is about.

    Args:
        verb: as RBAC has it.
        path: without the query.
        group: of the API.
        version: of the API; empty for a path that is no resource's.
        plural: of the resource.
        namespace: empty at the cluster scope.
        name: empty for a collection.
        subresource: empty for the object itself.
    """

    verb: str
    path: str
    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> Resource | None:
        """The resource, when the server knows it."""
        return kinds.find(self.group, self.version, self.plural)

    @property
    def place(self) -> str:
        """Namespace of the object: a Namespace itself lies in none."""
        return "" if self.plural == "namespaces" else self.namespace

    def attributes(self) -> Attributes:
        """What authorization is asked."""
        if not self.plural:
            return Attributes(self.verb, path=self.path)
        resource = f"{self.plural}/{self.subresource}" if self.subresource else self.plural
        return Attributes(self.verb, self.group, resource, self.name, self.namespace)


def target(method: str, path: str, query: Mapping[str, str]) -> Target:
    """Read a request line, as kube-apiserver's RequestInfo does.

    Args:
        method: HTTP method.
        path: unquoted, without the query.
        query: its parameters.
    """
    parts = [part for part in path.split("/") if part]
    plain = Target(method.lower(), path)
    if len(parts) < 3 or parts[0] not in {"api", "apis"}:
        return plain
    if parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) < 4:
        return plain
    else:
        group, version, rest = parts[1], parts[2], parts[3:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
            rest = rest[2:]
    name, subresource = (*rest[1:3], "", "")[:2]
    verb = _VERBS.get(method, method.lower())
    if not name and verb == "get":
        name = exact_name(query.get("fieldSelector", ""))
        verb = "list"
    elif not name and verb == "delete":
        verb = "deletecollection"  # which no resource here offers
    if verb == "list" and is_watch(query):
        verb = "watch"
    return Target(verb, path, group, version, rest[0], namespace, name, subresource)


def is_watch(query: Mapping[str, str]) -> bool:
    """Whether the query asks to watch."""
    return query.get("watch") in _TRUE


def is_true(query: Mapping[str, str], name: str) -> bool:
    """Whether a parameter is set."""
    return query.get(name) in _TRUE


def number(query: Mapping[str, str], name: str, default: int) -> int:
    """A parameter that is a number; its default where it is empty.

    Raises:
        StatusError: it is none (400).
    """
    text = query.get(name) or str(default)
    if not text.isdecimal():
        raise bad_request(f'Invalid value: "{text}": {name} is not a number')
    return int(text)


def body(data: bytes, content_type: str) -> Any:
    """The content of a request; an empty object for an empty body.

    Args:
        data: as it came.
        content_type: of the header.

    Raises:
        StatusError: it cannot be read (400), or has a type that is not (415).
    """
    if not data:
        return {}
    kind = content_type.partition(";")[0].strip()
    if kind == "application/vnd.kubernetes.protobuf":
        return protobuf.decode(data)
    if kind.endswith(("json", "yaml")) or not kind:
        return _json(data)  # clients send JSON under the name of YAML, too
    text = (
        "the body of the request was in an unknown format - accepted media types include: application/json, "
        "application/vnd.kubernetes.protobuf"
    )
    raise StatusError(415, "UnsupportedMediaType", text)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise bad_request(
            f"the object provided is unrecognized: couldn't get version/kind; {error}"
        ) from error


def delete_options(content: Object, query: Mapping[str, str]) -> Object:
    """DeleteOptions from a body, or from the query where there is none.

    Raises:
        StatusError: what is owned is to go first, or to stay (501).
    """
    options = {key: value for key, value in content.items() if value is not None}
    if not options and "propagationPolicy" in query:
        options["propagationPolicy"] = query["propagationPolicy"]
    if not content and "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = number(query, "gracePeriodSeconds", 0)
    if options.get("propagationPolicy") not in {None, "Background"} or options.get("orphanDependents"):
        raise not_simulated("propagation policies other than Background")
    return options
