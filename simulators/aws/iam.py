"""IAM: verified here, kept in the backend. Only an administrator may call, and in its own account."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from .answers import Answer, AwsError, Request
from .backend_api import Backend, error_code
from .hosts import Endpoint, partition

if TYPE_CHECKING:
    from .calls import Call
    from .decisions import Decisions
    from .sigv4 import Verifier

_TRUST = "AssumeRolePolicyDocument"
_AUDIENCE = "ClientIDList.member.1"
_DOCUMENTS = (_TRUST, "PolicyDocument")


class Iam:
    """Answers calls of the IAM API.

    Args:
        verifier: Tells who signed.
        backend: Where allowed calls go.
        decisions: What is decided and how.
    """

    def __init__(self, verifier: Verifier, backend: Backend, decisions: Decisions) -> None:
        self._verifier = verifier
        self._backend = backend
        self._decisions = decisions

    async def answer(self, request: Request, endpoint: Endpoint, call: Call) -> Answer:
        """Answer one call.

        Raises:
            AwsError: The call is turned down.
        """
        parameters = request.parameters()
        call.action = parameters.get("Action", "")
        identity = await self._verifier.verify(request, endpoint, call)
        if not call.action:
            raise AwsError("MissingAction", "Action is missing", refused=True)
        if not self._decisions.principal_may_call(identity.role, identity.account, identity.account):
            resource = _resource(parameters, identity.account, partition(endpoint.region))
            raise AwsError(
                "AccessDenied",
                f"User: {identity.arn} is not authorized to perform: iam:{call.action} on resource:"
                f" {resource} because no identity-based policy allows the iam:{call.action} action",
            )
        fault = self._decisions.trust_fault(parameters[_TRUST]) if _TRUST in parameters else ""
        if fault:
            raise AwsError("MalformedPolicyDocument", fault)
        answer = await self._backend.forward(
            self._kept(request, parameters, identity.account), identity.account, endpoint.region
        )
        call.code = error_code(answer)
        return answer

    def _kept(self, request: Request, parameters: dict[str, str], account: str) -> Request:
        """The call with what it names as it is kept; the call as it was sent where that is the same."""
        kept = dict(parameters)
        for name in _DOCUMENTS:
            if name in kept:
                kept[name] = self._decisions.policy_kept(kept[name])
        if _AUDIENCE in kept:
            kept[_AUDIENCE] = self._decisions.audience_kept(kept[_AUDIENCE])
        if kept.get("Action") == "AttachRolePolicy" and "PolicyArn" in kept:
            kept["PolicyArn"] = self._decisions.policy_meant(kept["PolicyArn"], account)
        return request if kept == parameters else replace(request, body=urlencode(kept).encode())


def _resource(parameters: dict[str, str], account: str, partition_: str) -> str:
    for name in ("PolicyArn", "OpenIDConnectProviderArn"):
        if name in parameters:
            return parameters[name]
    for name, kind in (("RoleName", "role"), ("UserName", "user"), ("PolicyName", "policy")):
        if name in parameters:
            return f"arn:{partition_}:iam::{account}:{kind}/{parameters[name]}"
    return "*"
