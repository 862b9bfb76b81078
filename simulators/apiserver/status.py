"""Refusals, as the Status objects of the Kubernetes API; texts as kube-apiserver 1.32.2 gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.objects import Object


class StatusError(Exception):
    """A request that is refused.

    Args:
        code: HTTP status.
        reason: machine-readable, as in metav1.StatusReason.
        message: for people.
        details: of the Status object; None leaves them out.
    """

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> Object:
        """The Status object."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


def success(resource: Resource, obj: Object) -> Object:
    """The Status that answers a deletion."""
    meta = obj["metadata"]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": _details(resource, meta["name"]) | {"uid": meta["uid"]},
    }


def _details(resource: Resource, name: str = "", kind: str = "") -> Object:
    details: Object = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return details | {"kind": kind or resource.plural}


def not_found(resource: Resource, name: str) -> StatusError:
    """There is no object of that name."""
    text = f'{resource.qualified} "{name}" not found'
    return StatusError(404, "NotFound", text, _details(resource, name))


def no_such_resource() -> StatusError:
    """The path names no resource of this server."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: Resource, name: str) -> StatusError:
    """The name is taken."""
    text = f'{resource.qualified} "{name}" already exists'
    return StatusError(409, "AlreadyExists", text, _details(resource, name))


def conflict(resource: Resource, name: str) -> StatusError:
    """The object was changed since the sender read it."""
    text = (
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return StatusError(409, "Conflict", text, _details(resource, name))


def wrong_uid(kind: str, name: str, sent: str, stored: str) -> StatusError:
    """A precondition names another object of that name."""
    text = (
        f'Operation cannot be fulfilled on {kind} "{name}": the UID in the precondition ({sent}) does not '
        f"match the UID in record ({stored}). The object might have been deleted and then recreated"
    )
    return StatusError(409, "Conflict", text, {"name": name, "kind": kind})


def forbidden(resource: Resource, name: str, why: str, **details: Any) -> StatusError:
    """Admission refuses the object."""
    text = f'{resource.qualified} "{name}" is forbidden: {why}'
    return StatusError(403, "Forbidden", text, _details(resource, name) | details)


def invalid(
    kind: str, group: str, name: str, *, field: str, problem: str, reason: str = "FieldValueInvalid"
) -> StatusError:
    """A field of the object is wrong.

    Args:
        kind: of the object.
        group: of the kind.
        name: of the object, empty when it has none.
        field: path of the field.
        problem: as the message tells it, for example `Invalid value: "x": is wrong`.
        reason: of the cause.
    """
    qualified = f"{kind}.{group}" if group else kind
    cause = {"reason": reason, "message": problem, "field": field}
    details: Object = {"name": name} if name else {}
    details |= ({"group": group} if group else {}) | {"kind": kind, "causes": [cause]}
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {field}: {problem}', details)


def missing(kind: str, group: str, *, field: str, problem: str, name: str = "") -> StatusError:
    """A field of the object is not there; arguments as for `invalid`."""
    return invalid(kind, group, name, field=field, problem=problem, reason="FieldValueRequired")


def bad_request(message: str) -> StatusError:
    """The request makes no sense."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """The credentials are not valid."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def not_simulated(what: str) -> StatusError:
    """Something that a real server has and this one has not."""
    return StatusError(501, "NotImplemented", f"the simulated API server does not offer {what}")
