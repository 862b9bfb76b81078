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
from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
            request: challenge, token, host_id, node, role, method, and sts: host, headers, body (base64) and
                method (POST where it has none) of the signed request.
            tokens: by name.

        Raises:
            TeleportError: it is refused.
        """
        token = self._token(request, tokens)
        if request["method"] != "iam":
            return token
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
        rules = token["spec"].get("allow", [])
        account, arn = await self._identity(request["sts"], headers, rules)
        for rule in rules:
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
            by_iam = request["method"] == "iam"
            name, method = (
                ("token-of-other-method", spec["join_method"])
                if by_iam
                else ("token-of-method-iam", request["method"])
            )
            message = self._imitation.text(name, method=method)
            raise TeleportError("AccessDenied", message)
        return token

    def _signed_request(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        decide, host = self._decisions, request["sts"]["host"]
        if not decide.sts_host_accepted(host):
            raise TeleportError("AccessDenied", self._imitation.text("sts-host", host=host))
        if not decide.sts_method_expected(_method(request["sts"])):
            raise TeleportError("AccessDenied", self._imitation.text("sts-method"))
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
            message = self._imitation.text("sts-body", body=body.decode(errors="replace"))
            raise TeleportError("BadParameter", message)

    async def _identity(
        self, signed: Mapping[str, str], headers: Mapping[str, str], rules: Sequence[Mapping[str, Any]]
    ) -> tuple[str, str]:
        """Send the agent's request to STS as it was signed; account and ARN that it answers."""
        host = signed["host"]
        sent = {name: value for name, value in headers.items() if name != "content-length"}
        try:
            async with (
                self._outbound.session(STS_SECONDS) as session,
                session.request(
                    _method(signed),
                    f"https://{host}/",
                    data=base64.b64decode(signed["body"]),
                    headers=sent,
                    allow_redirects=False,
                    **self._outbound.proxied,
                ) as answer,
            ):
                body = await answer.text()
                status = f"{answer.status} {answer.reason}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            believed = self._decisions.identity_unheard(rules)
            if believed is not None:
                return believed
            raise TeleportError("Unknown", f'Post "https://{host}": {error or "timeout"}') from error
        if not self._decisions.sts_confirmed(answer.status):
            message = self._imitation.text("sts-refused", status=status, body=body)
            raise TeleportError("AccessDenied", message)
        try:
            result = json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
            return str(result["Account"]), str(result["Arn"])
        except (ValueError, KeyError, TypeError) as error:
            raise TeleportError("BadParameter", "received empty AWS account ID from sts API") from error


def _method(signed: Mapping[str, str]) -> str:
    return signed.get("method", "POST")
