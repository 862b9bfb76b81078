"""The Security Token Service: GetCallerIdentity and AssumeRoleWithWebIdentity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .answers import Answer, AwsError, Protocol, Request, protocol_of, query_answer
from .hosts import partition

if TYPE_CHECKING:
    from datetime import datetime

    from .calls import Call
    from .decisions import Decisions
    from .hosts import Endpoint
    from .sigv4 import Verifier
    from .webidentity import WebIdentity

_VERSION = "2011-06-15"


class Sts:
    """Answers calls of the STS API.

    Args:
        verifier: Tells who signed.
        web_identity: Decides on web identity tokens.
        decisions: What is decided and how.
    """

    def __init__(self, verifier: Verifier, web_identity: WebIdentity, decisions: Decisions) -> None:
        self._verifier = verifier
        self._web_identity = web_identity
        self._decisions = decisions

    async def answer(self, request: Request, endpoint: Endpoint, call: Call) -> Answer:
        """Answer one call.

        Raises:
            AwsError: The call is turned down, or is none that the gateway knows.
        """
        parameters = request.parameters()
        protocol = protocol_of("sts", request.header("Accept"))
        action, version = parameters.get("Action", ""), parameters.get("Version", "")
        call.action = action
        if version == _VERSION and action == "GetCallerIdentity":
            return await self._get_caller_identity(request, endpoint, call, protocol)
        if version == _VERSION and action == "AssumeRoleWithWebIdentity":
            return await self._assume_role_with_web_identity(parameters, call, protocol)
        if not action:
            raise AwsError("MissingAction", "Action is missing", refused=True)
        raise AwsError(
            "InvalidAction", f"Could not find operation {action} for version {version}", refused=True
        )

    async def _get_caller_identity(
        self, request: Request, endpoint: Endpoint, call: Call, protocol: Protocol
    ) -> Answer:
        identity = await self._verifier.verify(request, endpoint, call)
        if not self._decisions.identity_told(identity.role):
            raise AwsError(
                "AccessDenied", f"User: {identity.arn} is not authorized to perform: sts:GetCallerIdentity"
            )
        own = identity.arn if identity.role else _in_partition(identity.arn, endpoint.region)
        account, arn = self._decisions.caller_told(identity.role, identity.account, own)
        call.answer = {"account": account, "arn": arn}
        result = {"Arn": arn, "UserId": identity.user_id, "Account": account}
        return query_answer("sts", protocol, "GetCallerIdentity", result)

    async def _assume_role_with_web_identity(
        self, parameters: dict[str, str], call: Call, protocol: Protocol
    ) -> Answer:
        assumed = await self._web_identity.assume(parameters, call)
        identity, token = assumed.identity, assumed.token
        if identity.expiration is None:
            raise TypeError("a role session has an expiration")
        result = {
            "Audience": token.audiences[0],
            "AssumedRoleUser": {"AssumedRoleId": identity.user_id, "Arn": identity.arn},
            "Provider": assumed.provider_arn,
            "Credentials": {
                "AccessKeyId": identity.access_key_id,
                "SecretAccessKey": identity.secret_access_key,
                "SessionToken": identity.session_token,
                "Expiration": _expiration(identity.expiration, protocol),
            },
            "SubjectFromWebIdentityToken": token.subject,
        }
        return query_answer("sts", protocol, "AssumeRoleWithWebIdentity", result)


def _in_partition(arn: str, region: str) -> str:
    """A user's ARN where it was asked for: the run's account is the reader's in every partition."""
    _, _, rest = arn.removeprefix("arn:").partition(":")
    return f"arn:{partition(region)}:{rest}"


def _expiration(when: datetime, protocol: Protocol) -> Any:
    # JSON of the Query protocol has times as seconds since the epoch.
    return when.timestamp() if protocol == "json" else when.strftime("%Y-%m-%dT%H:%M:%SZ")
