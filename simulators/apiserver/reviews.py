"""Reviews: questions about users and rights that are answered and not stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.decisions import Attributes
from simulators.apiserver.objects import Object, User, timestamp
from simulators.apiserver.status import bad_request

if TYPE_CHECKING:
    from simulators.apiserver.authorization import Authorizer
    from simulators.apiserver.kinds import Resource


class Reviews:
    """Answers reviews.

    Args:
        authorizer: knows who may do what.
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def answer(self, resource: Resource, body: Object, user: User) -> Object:
        """The review with its status.

        Args:
            resource: which review.
            body: the review.
            user: who asks.

        Raises:
            StatusError: the review asks for nothing (400).
        """
        spec = body.get("spec") or {}
        answer: Object = {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": {"creationTimestamp": None},
        }
        if resource.plural == "selfsubjectreviews":
            answer["metadata"] = {"creationTimestamp": timestamp()}
            return answer | {"status": {"userInfo": user.info()}}
        answer["spec"] = spec
        about = user
        if resource.plural != "selfsubjectaccessreviews":
            about = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))
        allowed, why = self._authorizer.allowed(about, _attributes(spec))
        return answer | {"status": {"allowed": allowed} | ({"reason": why} if why else {})}


def _attributes(spec: Object) -> Attributes:
    path = spec.get("nonResourceAttributes")
    asked = spec.get("resourceAttributes")
    if path is not None:
        return Attributes(path.get("verb", ""), path=path.get("path", ""))
    if asked is None:
        raise bad_request(
            "spec: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        )
    resource = asked.get("resource", "")
    if asked.get("subresource"):
        resource = f"{resource}/{asked['subresource']}"
    return Attributes(
        asked.get("verb", ""),
        asked.get("group", ""),
        resource,
        asked.get("name", ""),
        asked.get("namespace", ""),
    )
