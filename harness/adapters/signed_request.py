"""The signed request by which an agent proves who it is, and what somebody else could make of it.

Genuine is what the agent signs: GetCallerIdentity for STS, with Teleport's challenge in a header that the signature
covers (lib/auth/join_iam.go; AWS Signature Version 4 by botocore).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage

CHALLENGE = "X-Teleport-Challenge"
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
CHINA = "cn-north-1"
DIGEST = "X-Amz-Content-Sha256"


@dataclass(frozen=True)
class SignedRequest:
    """A request for STS.

    Attributes:
        method: Of HTTP.
        host: Host name that it is for.
        headers: All of them, the signature's too.
        body: As it is sent.
    """

    method: str
    host: str
    headers: Mapping[str, str]
    body: bytes

    def wire(self) -> bytes:
        """As it goes over a connection."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"{self.method} / HTTP/1.1\r\n{head}\r\n".encode() + self.body

    def having(self, **headers: str) -> SignedRequest:
        """The same with other headers, `_` for `-` in their names; the signature is not made anew."""
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **changed})


@dataclass(frozen=True)
class Signer:
    """Who signs.

    Attributes:
        credentials: Of AWS.
        region: Of the signature.
        host: STS's name.
    """

    credentials: Credentials
    region: str
    host: str

    def sign(
        self, challenge: str, *, method: str = "POST", body: bytes = BODY, digest_of: bytes | None = None
    ) -> SignedRequest:
        """A request whose signature is right.

        Args:
            challenge: Teleport's; empty for a request without.
            method: Of HTTP.
            body: What it asks.
            digest_of: The body that it says it has; none that it says nothing of it.
        """
        headers = {
            "Accept": "application/json",
            "Content-Length": str(len(body)),
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "Host": self.host,
        }
        if challenge:
            headers[CHALLENGE] = challenge
        if digest_of is not None:
            headers[DIGEST] = hashlib.sha256(digest_of).hexdigest()
        request = AWSRequest(method, f"https://{self.host}/", data=body, headers=headers)
        SigV4Auth(self.credentials, "sts", self.region).add_auth(request)
        return SignedRequest(method, self.host, dict(request.headers.items()), body)


@dataclass(frozen=True)
class Scene:
    """What somebody else has at hand.

    Attributes:
        signer: The agent's, whose requests can be had.
        challenge: Of Teleport, to be answered now.
        earlier: Requests of the agent's that Teleport took.
        another: Session token of the same role that belongs to another key.
    """

    signer: Signer
    challenge: str
    earlier: tuple[SignedRequest, ...]
    another: str


def _with_another_signature(scene: Scene) -> SignedRequest:
    genuine = scene.signer.sign(scene.challenge)
    signed = genuine.headers["Authorization"]
    return genuine.having(Authorization=signed[:-1] + ("0" if signed[-1] != "0" else "1"))


def _with_its_date_unsigned(scene: Scene) -> SignedRequest:
    """The signature is right for what it covers: the date is a part of what is signed in any case."""
    signer = _WithoutDate(scene.signer.credentials, "sts", scene.signer.region)
    genuine = scene.signer.sign(scene.challenge)
    kept = {name: value for name, value in genuine.headers.items() if name != "Authorization"}
    request = AWSRequest("POST", f"https://{genuine.host}/", data=genuine.body, headers=kept)
    request.context["timestamp"] = kept["X-Amz-Date"]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    covered = signer.signed_headers(signer.headers_to_sign(request))
    return genuine.having(
        Authorization=f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={covered}, "
        f"Signature={signer.signature(text, request)}"
    )


class _WithoutDate(SigV4Auth):
    """Signs all that botocore would, but the date's header."""

    def headers_to_sign(self, request: AWSRequest) -> HTTPMessage:
        covered = super().headers_to_sign(request)
        del covered["x-amz-date"]
        return covered


def _with_the_token_of_another(scene: Scene) -> SignedRequest:
    own = scene.signer.credentials
    mixed = Credentials(own.access_key, own.secret_key, scene.another)
    return replace(scene.signer, credentials=mixed).sign(scene.challenge)


FORGERIES: Mapping[str, Callable[[Scene], SignedRequest]] = MappingProxyType(
    {
        "request-replayed": lambda scene: scene.earlier[-1],
        "challenge-rewritten": lambda scene: scene.earlier[-1].having(**{CHALLENGE: scene.challenge}),
        "challenge-unsigned": lambda scene: scene.signer.sign("").having(**{CHALLENGE: scene.challenge}),
        "signature-altered": _with_another_signature,
        "body-changed": lambda scene: scene.signer.sign(
            scene.challenge, body=b"Version=2011-06-15&Action=GetCallerIdentity"
        ),
        "body-signed-for-another": lambda scene: scene.signer.sign(
            scene.challenge, digest_of=b"Action=GetSessionToken&Version=2011-06-15"
        ),
        "foreign-sts-host": lambda scene: replace(scene.signer, host=f"{scene.signer.host}.example.com").sign(
            scene.challenge
        ),
        "request-not-posted": lambda scene: scene.signer.sign(scene.challenge, method="GET"),
        "date-unsigned": _with_its_date_unsigned,
        "session-of-another": _with_the_token_of_another,
        "sts-of-another-partition": lambda scene: replace(
            scene.signer, host=f"sts.{CHINA}.amazonaws.com.cn", region=CHINA
        ).sign(scene.challenge),
        "genuine": lambda scene: scene.signer.sign(scene.challenge),
    }
)
"""What somebody asks with, by the failure's name; `genuine` is the agent's own."""
