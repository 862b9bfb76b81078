"""Reviews: questions about users and rights that are answered and not stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.decisions import Attributes
from simulators.apiserver.objects import Object, User, timestamp
from simulators.apiserver.status import bad_request

if TYPE_CHECKING:
    from simulators.apiserver.authorization import Authorizer
    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.tokens import Tokens


class Reviews:
    """Answers reviews.

    Args:
        authorizer: knows who may do what.
        tokens: knows who a token stands for.
    """

    def __init__(self, authorizer: Authorizer, tokens: Tokens) -> None:
        self._authorizer = authorizer
        self._tokens = tokens

    def answer(self, resource: Resource, namespace: str, body: Object, user: User) -> Object:
        """The review with its status.

        Args:
            resource: which review.
            namespace: of the path.
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
        if resource.plural == "tokenreviews":
            return answer | {"status": self._token(spec)}
        if resource.plural == "selfsubjectrulesreviews":
            answer["spec"] = {}
            return answer | {"status": self._rules(user, spec.get("namespace") or "")}
        about = user
        if resource.plural != "selfsubjectaccessreviews":
            about = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))
        return answer | {"status": self._access(about, spec, namespace)}

    def _access(self, user: User, spec: Object, namespace: str) -> Object:
        allowed, why = self._authorizer.allowed(user, _attributes(spec, namespace))
        return {"allowed": allowed} | ({"reason": why} if why else {})

    def _rules(self, user: User, namespace: str) -> Object:
        rules = self._authorizer.rules(user, namespace)
        return {
            "resourceRules": [rule for rule in rules if rule.get("resources")],
            "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
            "incomplete": False,
        }

    def _token(self, spec: Object) -> Object:
        found = self._tokens.user(spec.get("token", ""), tuple(spec.get("audiences") or ()))
        if found is None:
            return {"user": {}, "error": "invalid bearer token"}
        user, audiences = found
        return {"authenticated": True, "user": user.info(), "audiences": audiences}


def _attributes(spec: Object, namespace: str) -> Attributes:
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
        asked.get("namespace") or namespace,
    )
