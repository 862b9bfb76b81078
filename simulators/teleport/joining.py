"""Joining by IAM, as the Auth Service sees it: the token, the signed request, and what STS says about it."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from simulators.teleport import resources
from simulators.teleport.decisions import STS_BODY
from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.teleport.decisions import Decisions
    from simulators.teleport.log import Log
    from simulators.teleport.store import Resource
    from simulators.teleport.texts import Imitation
    from simulators.teleport.transport import Outbound

CHALLENGE_HEADER = "x-teleport-challenge"
STS_SECONDS = 20.0
CHALLENGE_SECONDS = 60.0


class Joining:
    """Checks joins.

    Args:
        decisions: of the program.
        imitation: the version.
        outbound: how STS is reached.
        log: the Auth Service's.
    """

    def __init__(self, decisions: Decisions, imitation: Imitation, outbound: Outbound, log: Log) -> None:
        self._decisions = decisions
        self._imitation = imitation
        self._outbound = outbound
        self._log = log
        self._challenges: dict[str, float] = {}

    def challenge(self) -> str:
        """A new challenge, good for one join within a minute."""
        now = time.time()
        self._challenges = {
            known: made for known, made in self._challenges.items() if now - made < CHALLENGE_SECONDS
        }
        made = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        self._challenges[made] = now
        return made

    async def check(self, request: Mapping[str, Any], tokens: Mapping[str, Resource]) -> Resource:
        """Check a join; returns the token that admits it.

        Args:
            request: challenge, token, host_id, node, role, method, and sts: host, headers and body (base64) of
                the signed request.
            tokens: by name.

        Raises:
            TeleportError: it is refused.
        """
        token = self._token(request, tokens)
        if self._challenges.pop(request["challenge"], None) is None:
            raise TeleportError("AccessDenied", self._imitation.text("challenge-missing"))
        headers = {name.lower(): value for name, value in request["sts"]["headers"].items()}
        try:
            self._signed_request(request, headers)
        except TeleportError as error:
            self._log.caution(
                "AUTH",
                "Detected an invalid sts:GetCallerIdentity used by a client attempting to use the IAM join "
                f"method. error:[{error}]",
            )
            raise
        account, arn = await self._identity(request["sts"]["host"], headers)
        for rule in token["spec"].get("allow", []):
            if self._decisions.account_matches(
                rule.get("aws_account", ""), account
            ) and self._decisions.arn_matches(rule.get("aws_arn", ""), arn):
                return token
        raise TeleportError("AccessDenied", self._imitation.text("no-rule-matched", arn=arn))

    def _token(self, request: Mapping[str, Any], tokens: Mapping[str, Resource]) -> Resource:
        decide = self._decisions
        about = {name: request[name] for name in ("node", "host_id", "role")}
        token: Resource | None = decide.token_named(request["token"], tokens)
        if token is None or not decide.token_usable(resources.expiry(token), time.time()):
            self._log.caution("AUTH", self._imitation.text("token-unusable-log", **about))
            raise TeleportError("AccessDenied", self._imitation.text("token-unusable", **about))
        spec = token["spec"]
        if not decide.role_allowed(request["role"], spec["roles"]):
            instance = request["role"] == "Instance"
            name = "token-for-no-service" if instance else "token-lacks-role"
            message = self._imitation.text(name, **about)
            self._log.caution("AUTH", message)
            raise TeleportError("AccessDenied" if instance else "BadParameter", message)
        if not decide.method_matches(spec["join_method"], request["method"]):
            message = self._imitation.text("token-of-other-method", method=spec["join_method"])
            raise TeleportError("AccessDenied", message)
        return token

    def _signed_request(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        decide, host = self._decisions, request["sts"]["host"]
        if not decide.sts_host_accepted(host):
            raise TeleportError("AccessDenied", self._imitation.text("sts-host", host=host))
        if not decide.challenge_answered(request["challenge"], headers.get(CHALLENGE_HEADER, "")):
            raise TeleportError("AccessDenied", self._imitation.text("challenge-missing"))
        authorization = headers.get("authorization", "")
        signed = re.search(r"SignedHeaders=([^,\s]+)", authorization)
        if not decide.challenge_signed(signed[1].split(";") if signed else ()):
            # The signature itself is no news to whoever reads the log.
            shown = authorization.partition("Signature=")[0]
            raise TeleportError("AccessDenied", self._imitation.text("challenge-unsigned", header=shown))
        body = base64.b64decode(request["sts"]["body"])
        if not decide.sts_body_expected(body):
            message = self._imitation.text(
                "sts-body", body=body.decode(errors="replace"), expected=STS_BODY.decode()
            )
            raise TeleportError("BadParameter", message)

    async def _identity(self, host: str, headers: Mapping[str, str]) -> tuple[str, str]:
        """Send the agent's request to STS as it was signed; account and ARN that it answers."""
        sent = {name: value for name, value in headers.items() if name != "content-length"}
        try:
            async with (
                self._outbound.session(STS_SECONDS) as session,
                session.post(
                    f"https://{host}/",
                    data=STS_BODY,
                    headers=sent,
                    allow_redirects=False,
                    **self._outbound.proxied,
                ) as answer,
            ):
                body = await answer.text()
                status = f"{answer.status} {answer.reason}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TeleportError(
                "ConnectionProblem", f'Post "https://{host}/": {error or "timeout"}'
            ) from error
        if not self._decisions.sts_confirmed(answer.status):
            message = self._imitation.text("sts-refused", status=status, body=body)
            raise TeleportError("AccessDenied", message)
        try:
            result = json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
            return str(result["Account"]), str(result["Arn"])
        except (ValueError, KeyError, TypeError) as error:
            raise TeleportError("BadParameter", "received empty AWS account ID from sts API") from error
