"""AssumeRoleWithWebIdentity: from a service account's token to the credentials of a role session.

Source: STS API reference for parameters and errors; the texts that Teleport's users see are in the
facts of the guide, 2.3. The checks run in AWS's order, so that the first fault is the one reported.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import trust
from .answers import AwsError
from .backend_api import Role
from .credentials import Credentials, Identity, RoleArn

if TYPE_CHECKING:
    from .backend_api import Backend
    from .calls import Call
    from .clusters import Clusters
    from .decisions import Decisions
    from .disruptions import Disruptions

_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_DEFAULT_SECONDS = 3600
# Clocks of issuers and AWS differ a little; how much AWS allows is not documented.
_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Parameters:
    """The checked parameters of a call."""

    role: RoleArn
    session: str
    token: str
    seconds: int


@dataclass(frozen=True)
class Token:
    """A web identity token's claims, before anything about them is believed."""

    text: str
    key_id: str
    issuer: str
    subject: str
    audiences: tuple[str, ...]
    expires: float
    not_before: float

    @property
    def provider(self) -> str:
        """The issuer as ARNs and condition keys write it: without its scheme."""
        return self.issuer.removeprefix("https://")


@dataclass(frozen=True)
class Assumed:
    """What a successful call gives."""

    identity: Identity
    token: Token
    provider_arn: str


@dataclass(frozen=True)
class WebIdentity:
    """Decides on AssumeRoleWithWebIdentity and mints the credentials.

    Attributes:
        backend: Where roles and providers are looked up.
        clusters: Where the issuers' keys are.
        credentials: Where sessions are made.
        disruptions: Clock, delay and refusal of each role.
        decisions: What is decided and how.
        accounts: The accounts that exist.
    """

    backend: Backend
    clusters: Clusters
    credentials: Credentials
    disruptions: Disruptions
    decisions: Decisions
    accounts: tuple[str, ...]

    async def assume(self, parameters: dict[str, str], call: Call) -> Assumed:
        """Carry out one call.

        Args:
            parameters: The call's form.
            call: Gets what becomes known on the way, also when the call is turned down.

        Returns:
            The session and what vouched for it.

        Raises:
            AwsError: As AWS names the fault, or as set for the role through control.
        """
        _note(parameters, call)
        checked = check_parameters(parameters)
        role = checked.role
        await self.disruptions.hold(role.name, call.action)
        token = parse_token(checked.token)
        now = self.disruptions.now(role.name)
        provider_arn = f"arn:{role.partition}:iam::{role.account}:oidc-provider/{token.provider}"
        await self._check_token(token, role, provider_arn, now)
        stored = await self._authorize(token, role, provider_arn)
        if checked.seconds > stored.max_session:
            raise AwsError(
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            )
        self.disruptions.refuse(role.name)
        identity = self.credentials.mint(
            role, stored.role_id, checked.session, now=now, seconds=checked.seconds
        )
        call.by(identity)
        call.access_key_id = identity.access_key_id
        return Assumed(identity, token, provider_arn)

    async def _check_token(self, token: Token, role: RoleArn, provider_arn: str, now: dt.datetime) -> None:
        client_ids = None
        if role.account in self.accounts:
            client_ids = await self.backend.provider_client_ids(role.account, role.partition, provider_arn)
        if not self.decisions.provider_registered(client_ids):
            raise AwsError(
                "InvalidIdentityToken",
                f"No OpenIDConnect provider found in your account for {token.issuer}",
            )
        if not self.decisions.token_signature_valid(token.text, self._key(token)):
            raise AwsError(
                "InvalidIdentityToken",
                "The web identity token that was passed could not be validated by AWS. Get a new identity"
                " token from the identity provider and then retry the request.",
                "the token was not signed with the issuer's key",
            )
        if not self.decisions.token_unexpired(token.expires, now):
            raise AwsError(
                "ExpiredTokenException",
                f"Token expired: current date/time {now.timestamp():.0f} must be before the expiration"
                f" date/time {token.expires:.0f}",
            )
        if not self.decisions.token_current(token.not_before, now, _SKEW):
            raise AwsError("InvalidIdentityToken", "The ID Token provided is not yet valid")
        if not self.decisions.audience_accepted(token.audiences, client_ids or ()):
            raise AwsError(
                "InvalidIdentityToken",
                "Incorrect token audience",
                f"the token is for {', '.join(token.audiences)}, the provider knows"
                f" {', '.join(client_ids or ())}",
            )

    def _key(self, token: Token) -> Any:
        # Imported when the first token comes: the libraries cost a tenth of a second.
        import jwt  # noqa: PLC0415 - see above

        unavailable = AwsError(
            "InvalidIdentityToken",
            "Couldn't retrieve verification key from your identity provider,  please reference"
            " AssumeRoleWithWebIdentity documentation for requirements",
            f"no key {token.key_id!r} of {token.issuer}",
        )
        published = self.clusters.keys(token.issuer)
        if published is None:
            raise unavailable
        try:
            return jwt.PyJWKSet.from_dict(published)[token.key_id]
        except (KeyError, jwt.PyJWTError) as error:
            raise unavailable from error

    async def _authorize(self, token: Token, role: RoleArn, provider_arn: str) -> Role:
        stored = await self.backend.role(role)
        refusal = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
        keys = {f"{token.provider}:sub": (token.subject,), f"{token.provider}:aud": token.audiences}
        # A role that is not there trusts nobody, and that is all that AWS tells of it.
        policy = stored.trust_policy if stored else "{}"
        judgement = self.decisions.trust_allows(policy, trust.Context(provider_arn, keys))
        if not judgement.allowed:
            raise AwsError("AccessDenied", refusal, judgement.reason if stored else f"no role {role.text}")
        return stored or Role(role_id="AROANOBODY", trust_policy=policy, max_session=_DEFAULT_SECONDS)


def check_parameters(parameters: dict[str, str]) -> Parameters:
    """Check a call's parameters.

    Raises:
        AwsError: One is missing or malformed.
    """
    names = {
        "RoleArn": "roleArn",
        "RoleSessionName": "roleSessionName",
        "WebIdentityToken": "webIdentityToken",
    }
    for name, member in names.items():
        if not parameters.get(name):
            raise _invalid(f"Value null at '{member}' failed to satisfy constraint: Member must not be null")
    role = RoleArn.parse(parameters["RoleArn"])
    if role is None:
        raise AwsError("ValidationError", "Request ARN is invalid")
    if not _SESSION_NAME.fullmatch(parameters["RoleSessionName"]):
        raise _invalid(
            "Value at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular"
            r" expression pattern: [\w+=,.@-]*"
        )
    seconds = parameters.get("DurationSeconds", str(_DEFAULT_SECONDS))
    if not seconds.isdecimal() or not 900 <= int(seconds) <= 43200:
        raise _invalid(
            "Value at 'durationSeconds' failed to satisfy constraint: Member must be from 900 to 43200"
        )
    return Parameters(role, parameters["RoleSessionName"], parameters["WebIdentityToken"], int(seconds))


def parse_token(text: str) -> Token:
    """Read a token's claims without believing them.

    Raises:
        AwsError: It is no JSON Web Token, or lacks a claim that AWS needs.
    """
    # Imported when the first token comes: the libraries cost a tenth of a second.
    import jwt  # noqa: PLC0415 - see above

    refusal = AwsError(
        "InvalidIdentityToken",
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
    )
    try:
        decoded = jwt.decode_complete(text, options={"verify_signature": False})
        claims = decoded["payload"]
        audience = claims["aud"]
        return Token(
            text=text,
            key_id=str(decoded["header"].get("kid", "")),
            issuer=str(claims["iss"]),
            subject=str(claims["sub"]),
            audiences=(audience,) if isinstance(audience, str) else tuple(map(str, audience)),
            expires=float(claims["exp"]),
            not_before=max(float(claims.get("nbf", 0)), float(claims.get("iat", 0))),
        )
    except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
        raise refusal from error


def _note(parameters: dict[str, str], call: Call) -> None:
    call.role_arn = parameters.get("RoleArn", "")
    call.session = parameters.get("RoleSessionName", "")
    role = RoleArn.parse(call.role_arn)
    if role is not None:
        call.role, call.account = role.name, role.account


def _invalid(detail: str) -> AwsError:
    return AwsError("ValidationError", f"1 validation error detected: {detail}")
