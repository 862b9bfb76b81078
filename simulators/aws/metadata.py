"""Instance metadata (IMDS, versions 1 and 2) for the nodes that a scenario asks for, and for nobody else.

Each node has a listener of its own, so an agent reaches it by AWS_EC2_METADATA_SERVICE_ENDPOINT only.
Source: EC2 user guide, "Instance metadata and user data".
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .answers import Answer, Request

if TYPE_CHECKING:
    from .calls import Call
    from .credentials import Credentials, Identity, RoleArn
    from .decisions import Decisions
    from .disruptions import Disruptions

_CREDENTIAL_SECONDS = 6 * 3600
_TOKEN_TTL = "X-aws-ec2-metadata-token-ttl-seconds"  # noqa: S105 - the name of a header
_TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105 - the name of a header
_CREDENTIALS = "meta-data/iam/security-credentials"
_LONGEST_TTL = 21600


@dataclass
class Node:
    """A node that has an identity: its role, and the credentials it was given last.

    `for_pods`: whether its pods may have it (a hop limit of 2 and more).
    """

    role: RoleArn
    role_id: str
    region: str
    for_pods: bool = True
    instance: str = field(default_factory=lambda: f"i-0{secrets.token_hex(8)}")
    identity: Identity | None = None


class Metadata:
    """Answers metadata requests.

    Args:
        credentials: Where a node's keys are made.
        disruptions: Clock and refusals of the node's role.
        decisions: What is decided and how.
    """

    def __init__(self, credentials: Credentials, disruptions: Disruptions, decisions: Decisions) -> None:
        self._credentials = credentials
        self._disruptions = disruptions
        self._decisions = decisions
        self._nodes: dict[str, Node] = {}
        self._tokens: dict[str, dt.datetime] = {}

    def put(self, name: str, node: Node) -> None:
        """Grant a node identity."""
        self._nodes[name] = node

    def remove(self, name: str) -> bool:
        """Take a node identity away; False when there was none."""
        return self._nodes.pop(name, None) is not None

    async def answer(self, request: Request, call: Call) -> Answer:
        """Answer one request, its path after the node's name; `call` gets who asked for what, and a refusal."""
        _, name, *rest = [*request.path.split("/", 2), ""]
        path = rest[0].strip("/")
        call.service, call.action = "ec2metadata", f"{request.method} /{path}"
        node = self._nodes.get(name)
        if node is None or not self._decisions.node_identity_granted(node.for_pods):
            return _refused(call, 404, "no node identity was granted here")
        call.region, call.account, call.role = node.region, node.role.account, node.role.name
        call.role_arn, call.session = node.role.text, node.instance
        await self._disruptions.hold(node.role.name)
        if request.method == "PUT" and path == "latest/api/token":
            return self._token(request, call)
        token = request.header(_TOKEN)
        now = dt.datetime.now(dt.UTC)
        if token and self._tokens.get(token, now) <= now:
            return _refused(call, 401, "the metadata token is unknown or expired")
        if request.method != "GET":
            return _refused(call, 405, "metadata is read by GET")
        content = self._content(node, path.removeprefix("latest/"))
        if content is None:
            return _refused(call, 404, "no such metadata")
        return Answer(200, content.encode(), "text/plain")

    def _token(self, request: Request, call: Call) -> Answer:
        seconds = request.header(_TOKEN_TTL)
        if not seconds.isdecimal() or not 1 <= int(seconds) <= _LONGEST_TTL:
            return _refused(call, 400, f"{_TOKEN_TTL} must be from 1 to {_LONGEST_TTL}")
        token = secrets.token_urlsafe(40)
        now = dt.datetime.now(dt.UTC)
        self._tokens[token] = now + dt.timedelta(seconds=int(seconds))
        return Answer(200, token.encode(), "text/plain", {_TOKEN_TTL: seconds})

    def _content(self, node: Node, path: str) -> str | None:
        plain = {
            "meta-data/instance-id": node.instance,
            "meta-data/placement/region": node.region,
            "meta-data/placement/availability-zone": f"{node.region}a",
            _CREDENTIALS: node.role.name,
        }
        if path in plain:
            return plain[path]
        if path == f"{_CREDENTIALS}/{node.role.name}":
            return self._credential_document(node)
        if path == "dynamic/instance-identity/document":
            document = {
                "accountId": node.role.account,
                "availabilityZone": f"{node.region}a",
                "instanceId": node.instance,
                "region": node.region,
                "version": "2017-09-30",
            }
            return json.dumps(document)
        return None

    def _credential_document(self, node: Node) -> str:
        now = self._disruptions.now(node.role.name)
        soon = now + dt.timedelta(minutes=5)
        identity = node.identity
        if identity is None or identity.expiration is None or identity.expiration <= soon:
            identity = node.identity = self._credentials.mint(
                node.role, node.role_id, node.instance, now=now, seconds=_CREDENTIAL_SECONDS
            )
        stamp = "%Y-%m-%dT%H:%M:%SZ"
        document = {
            "Code": "Success",
            "LastUpdated": now.strftime(stamp),
            "Type": "AWS-HMAC",
            "AccessKeyId": identity.access_key_id,
            "SecretAccessKey": identity.secret_access_key,
            "Token": identity.session_token,
            "Expiration": identity.expiration.strftime(stamp) if identity.expiration else "",
        }
        return json.dumps(document)


def _refused(call: Call, status: int, reason: str) -> Answer:
    call.verdict, call.code, call.reason = "refused", str(status), reason
    return Answer(status, b"", "text/plain")
