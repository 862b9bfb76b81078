"""The IAM of the backend (moto, LocalStack or anything that speaks the AWS API): look-ups and forwarding.

Plain requests instead of boto3: loading its models costs longer than the whole start of the gateway.
"""

from __future__ import annotations

import re
import urllib.parse
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp

from .answers import Answer, AwsError, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .credentials import RoleArn

_TIMEOUT = aiohttp.ClientTimeout(total=30)
# What concerns one connection, and what must not leave the gateway.
_NOT_FORWARDED = {
    "authorization",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-amz-security-token",
    "x-moto-account-id",
}
# Partition -> region and host of its IAM.
_IAM = {
    "aws": ("us-east-1", "iam.amazonaws.com"),
    "aws-cn": ("cn-north-1", "iam.cn-north-1.amazonaws.com.cn"),
}


@dataclass(frozen=True)
class Role:
    """A role as the backend keeps it; `max_session` is in seconds."""

    role_id: str
    trust_policy: str
    max_session: int


class Backend:
    """The AWS API behind the gateway.

    Args:
        url: Where it listens.
        session: The HTTP client to use.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._session = session
        # (account, partition, action, name) -> what a look-up found. Nobody but the gateway calls the backend, so it
        # holds until a write of the same thing has passed: an agent that is refused asks for the same again and again.
        self._found: dict[tuple[str, str, str, str], ET.Element | None] = {}
        self._writes = 0

    async def role(self, arn: RoleArn) -> Role | None:
        """Look a role up by its ARN; the path counts, as it does at AWS.

        Returns:
            The role, or None when the account has none of that ARN.
        """
        found = await self._look_up(arn.account, arn.partition, "GetRole", RoleName=arn.name)
        if found is None or _text(found, "Arn") != arn.text:
            return None
        return Role(
            role_id=_text(found, "RoleId"),
            trust_policy=urllib.parse.unquote(_text(found, "AssumeRolePolicyDocument")),
            max_session=int(_text(found, "MaxSessionDuration") or 3600),
        )

    async def provider_client_ids(self, account: str, partition: str, arn: str) -> tuple[str, ...] | None:
        """Look up the audiences registered with an OIDC provider.

        Returns:
            The client ids, or None when the account has no such provider.
        """
        found = await self._look_up(
            account, partition, "GetOpenIDConnectProvider", OpenIDConnectProviderArn=arn
        )
        if found is None:
            return None
        return tuple(item.text or "" for item in found.iterfind(".//{*}ClientIDList/{*}member"))

    async def forward(self, request: Request, account: str, region: str) -> Answer:
        """Pass a verified call on, as a call of an account, and give the backend's answer as it is.

        Args:
            request: The call as the client sent it.
            account: The account it acts in.
            region: The region of the call's scope.

        Raises:
            AwsError: The backend does not answer.
        """
        headers = {name: value for name, value in request.headers if name.lower() not in _NOT_FORWARDED}
        try:
            return await self._send(
                request.method, request.target, {**headers, **_acting_as(account, region)}, request.body
            )
        finally:
            self._forget(request.parameters())

    def _forget(self, parameters: Mapping[str, str]) -> None:
        """Forget what a call may have changed."""
        action, role = parameters.get("Action", ""), parameters.get("RoleName")
        if action.startswith(("Get", "List")):
            return
        self._writes += 1
        for key in list(self._found):
            if role is None or key[2:] == ("GetRole", role):
                del self._found[key]

    async def _look_up(
        self, account: str, partition: str, action: str, **parameters: str
    ) -> ET.Element | None:
        key = (account, partition, action, "".join(parameters.values()))
        if key in self._found:
            return self._found[key]
        writes = self._writes
        found = await self._ask(account, partition, action, **parameters)
        # An answer that a write has overtaken may be one of before.
        if writes == self._writes:
            self._found[key] = found
        return found

    async def _ask(self, account: str, partition: str, action: str, **parameters: str) -> ET.Element | None:
        form = {"Action": action, "Version": "2010-05-08", **parameters}
        region, host = _IAM.get(partition, _IAM["aws"])
        headers = {
            # moto goes by the region for the partition, LocalStack by the host.
            "Host": host,
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            **_acting_as(account, region),
        }
        answer = await self._send("POST", "/", headers, urllib.parse.urlencode(form).encode())
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise AwsError("InternalFailure", "Internal error", f"backend: {action} gave {answer.status}")
        return ET.fromstring(answer.body)  # noqa: S314 - the run's own backend, not a stranger

    async def _send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        try:
            async with self._session.request(
                method,
                self._url + target,
                data=body,
                headers=headers,
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                return Answer(
                    status=response.status,
                    body=await response.read(),
                    content_type=response.headers.get("Content-Type", "text/xml"),
                    headers={
                        name: value
                        for name, value in response.headers.items()
                        if name.lower().startswith("x-amz")
                    },
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise AwsError(
                "ServiceUnavailable", "Service Unavailable", f"backend: {type(error).__name__}"
            ) from error


def error_code(answer: Answer) -> str:
    """Find the AWS error code in a backend's XML answer, or give an empty text."""
    match = re.search(rb"<Code>(\w+)</Code>", answer.body) if answer.status >= 400 else None
    return match[1].decode() if match else ""


def _acting_as(account: str, region: str) -> dict[str, str]:
    # moto goes by its header, LocalStack by an access key id of twelve digits; neither verifies.
    date = datetime.now(UTC).strftime("%Y%m%d")
    return {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={account}/{date}/{region}/iam/aws4_request,"
        f" SignedHeaders=host, Signature={'0' * 64}",
        "x-moto-account-id": account,
    }


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f".//{{*}}{name}") or ""
