"""Verification of AWS Signature Version 4, with botocore doing the arithmetic.

Source: AWS "Signature Version 4 signing process", its troubleshooting page for the messages, and
facts of the lab, section 3.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import ReadOnlyCredentials

from .answers import AwsError, Request
from .hosts import partition

if TYPE_CHECKING:
    from .calls import Call
    from .credentials import Credentials, Identity
    from .decisions import Decisions
    from .disruptions import Disruptions
    from .hosts import Endpoint

WINDOW = dt.timedelta(minutes=5)

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[\w-]{1,128})/(?P<date>[0-9]{8})/(?P<region>[\w-]+)/(?P<service>[\w-]+)"
    r"/aws4_request\s*,\s*SignedHeaders=(?P<headers>[a-z0-9-]+(?:;[a-z0-9-]+)*)\s*,\s*"
    r"Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)
_DATE = "%Y%m%dT%H%M%SZ"
_BAD_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - a message
_BAD_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
    " Access Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True)
class Authorization:
    """A taken-apart `Authorization` header."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


def parse(request: Request) -> Authorization:
    """Take the `Authorization` header apart.

    Raises:
        AwsError: It is missing, or not one of Signature Version 4.
    """
    header = request.header("Authorization")
    if not header:
        raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token")
    match = _AUTHORIZATION.fullmatch(header.strip())
    if match is None:
        raise AwsError(
            "IncompleteSignature",
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.",
        )
    return Authorization(
        match["key"],
        match["date"],
        match["region"],
        match["service"],
        tuple(match["headers"].split(";")),
        match["signature"],
    )


class Verifier:
    """Tells who signed a request, or why nobody did.

    Args:
        credentials: The access keys that exist.
        disruptions: The clocks by which dates count, and the delays.
        decisions: What is decided and how.
    """

    def __init__(self, credentials: Credentials, disruptions: Disruptions, decisions: Decisions) -> None:
        self._credentials = credentials
        self._disruptions = disruptions
        self._decisions = decisions

    async def verify(self, request: Request, endpoint: Endpoint, call: Call) -> Identity:
        """Verify a request's signature.

        Args:
            request: The request as sent.
            endpoint: The API it was sent to; the signature must be scoped to it.
            call: Gets what becomes known on the way, also when the request is turned down.

        Returns:
            Who signed.

        Raises:
            AwsError: As AWS names the fault, or as set for the signer's role through control.
        """
        authorization = parse(request)
        call.access_key_id = authorization.access_key_id
        call.signed_headers = list(authorization.signed_headers)
        identity = self._credentials.find(authorization.access_key_id)
        if identity is not None:
            call.by(identity)
            await self._disruptions.hold(identity.role, call.action)
        self._check_scope(authorization, endpoint)
        if identity is None or not self._decisions.session_token_matches(
            identity.session_token, request.header("X-Amz-Security-Token")
        ):
            why = "no such access key" if identity is None else "the session token is missing or another's"
            raise AwsError("InvalidClientTokenId", _BAD_TOKEN, why)
        # The run's users are known everywhere, being the reader in each partition.
        home, here = identity.arn.split(":")[1], partition(endpoint.region)
        if identity.role and not self._decisions.session_known_in(home, here):
            raise AwsError("InvalidClientTokenId", _BAD_TOKEN, f"a session of {home} is none of {here}")
        now = self._disruptions.now(identity.role)
        self._check_date(authorization, request, now)
        self._check_signature(authorization, request, identity)
        if not self._decisions.session_alive(identity.expiration, now):
            raise AwsError("ExpiredToken", "The security token included in the request is expired")
        self._disruptions.refuse(identity.role)
        return identity

    def _check_scope(self, authorization: Authorization, endpoint: Endpoint) -> None:
        if authorization.service != endpoint.service:
            raise AwsError(
                "SignatureDoesNotMatch",
                f"Credential should be scoped to correct service: '{endpoint.service}'.",
            )
        if not self._decisions.scope_fits_host(authorization.region, endpoint.region):
            raise AwsError(
                "SignatureDoesNotMatch",
                f"Credential should be scoped to a valid region, not '{authorization.region}'.",
                f"scope {authorization.region}, the host is of {endpoint.region}",
            )

    def _check_date(self, authorization: Authorization, request: Request, now: dt.datetime) -> None:
        stamp = request.header("X-Amz-Date")
        try:
            signed_at = dt.datetime.strptime(stamp, _DATE).replace(tzinfo=dt.UTC)
        except ValueError:
            raise AwsError(
                "IncompleteSignature",
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
                "X-Amz-Date is missing or malformed",
            ) from None
        if stamp[:8] != authorization.date:
            raise AwsError(
                "SignatureDoesNotMatch",
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP:"
                f" '{authorization.date}' != '{stamp[:8]}', from '{stamp}'.",
            )
        if self._decisions.within_date_window(signed_at, now, WINDOW):
            return
        shown = now.strftime(_DATE)
        if signed_at < now:
            limit = (now - WINDOW).strftime(_DATE)
            message = f"Signature expired: {stamp} is now earlier than {limit} ({shown} - 5 min.)"
        else:
            limit = (now + WINDOW).strftime(_DATE)
            message = f"Signature not yet current: {stamp} is still later than {limit} ({shown} + 5 min.)"
        raise AwsError("SignatureDoesNotMatch", message)

    def _check_signature(self, authorization: Authorization, request: Request, identity: Identity) -> None:
        signed = authorization.signed_headers
        present = {name.lower() for name, _ in request.headers}
        uncovered = self._decisions.uncovered_headers(frozenset(present), frozenset(signed))
        if uncovered:
            raise AwsError(
                "IncompleteSignature",
                f"'{uncovered[0]}' must be a 'SignedHeader' in the AWS Authorization.",
            )
        absent = sorted(set(signed) - present)
        if absent or list(signed) != sorted(set(signed)):
            raise AwsError(
                "SignatureDoesNotMatch",
                _BAD_SIGNATURE,
                f"signed header {absent[0]} was not sent" if absent else "signed headers are not sorted",
            )
        digest = request.header("X-Amz-Content-Sha256")
        # botocore would take the digest's word for the body.
        if digest and not self._decisions.digest_fits(digest, hashlib.sha256(request.body).hexdigest()):
            raise AwsError("SignatureDoesNotMatch", _BAD_SIGNATURE, "the body is not the one that was signed")
        if not self._decisions.signature_valid(
            calculate(request, authorization, identity), authorization.signature
        ):
            raise AwsError("SignatureDoesNotMatch", _BAD_SIGNATURE, "the signature differs")


class _ExactlySigned(SigV4Auth):
    """Covers exactly the headers it is handed; botocore would leave some out, such as User-Agent."""

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        return request.headers


def calculate(request: Request, authorization: Authorization, identity: Identity) -> str:
    """Calculate the signature that a request should carry.

    Args:
        request: The request as sent.
        authorization: Its header: which headers are covered, and the scope.
        identity: Whose secret to sign with.

    Returns:
        Sixty-four hexadecimal digits.
    """
    signer = _ExactlySigned(
        ReadOnlyCredentials(identity.access_key_id, identity.secret_access_key, None),
        authorization.service,
        authorization.region,
    )
    covered = HTTPHeaders()
    for name, value in request.headers:
        if name.lower() in authorization.signed_headers:
            covered.add_header(name.lower(), value)
    to_sign = AWSRequest(
        method=request.method, url=f"https://{request.host}{request.target}", data=request.body
    )
    to_sign.headers = covered
    to_sign.context["timestamp"] = request.header("X-Amz-Date")
    text = signer.string_to_sign(to_sign, signer.canonical_request(to_sign))
    return str(signer.signature(text, to_sign))
