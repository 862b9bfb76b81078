"""Who may sign: administrators from the configuration and role sessions, which live in memory only."""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import Administrator

_ROLE_ARN = re.compile(
    r"arn:(?P<partition>aws|aws-cn|aws-us-gov):iam::(?P<account>[0-9]{12}):role/"
    r"(?P<path>(?:[\x21-\x7e]+/)?)(?P<name>[\w+=,.@-]{1,64})",
    re.ASCII,
)
_KEY_ALPHABET = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class RoleArn:
    """The parts of an IAM role's ARN; `path` is empty or ends with a slash."""

    text: str
    partition: str
    account: str
    path: str
    name: str

    @classmethod
    def parse(cls, text: str) -> RoleArn | None:
        """Take an ARN apart, or return None when it is none of a role."""
        match = _ROLE_ARN.fullmatch(text)
        return cls(text, **match.groupdict()) if match else None


@dataclass(frozen=True)
class Identity:
    """What stands behind an access key.

    `role`, `role_arn`, `session` and `expiration` are empty for a user. An assumed-role ARN leaves out
    the role's path, which is why Teleport's `aws_arn` rules cannot name one (facts of the guide, 2.2).
    """

    access_key_id: str
    account: str
    arn: str
    user_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    role: str = ""
    role_arn: str = ""
    session: str = ""
    expiration: datetime | None = None


class Credentials:
    """All access keys that the gateway knows.

    Args:
        administrators: The long-lived users.
    """

    def __init__(self, administrators: tuple[Administrator, ...]) -> None:
        self._identities = {
            user.access_key_id: Identity(
                access_key_id=user.access_key_id,
                account=user.account,
                arn=user.arn,
                user_id=user.user_id,
                secret_access_key=user.secret_access_key,
            )
            for user in administrators
        }

    def find(self, access_key_id: str) -> Identity | None:
        """Give the identity behind an access key, expired or not."""
        return self._identities.get(access_key_id)

    def mint(self, role: RoleArn, role_id: str, session: str, *, now: datetime, seconds: int) -> Identity:
        """Make the temporary credentials of a role session.

        Args:
            role: The role.
            role_id: The role's unique id (`AROA…`).
            session: The session's name.
            now: The time by the role's clock.
            seconds: How long they are good for.

        Returns:
            The new identity; from now on its key signs.
        """
        identity = Identity(
            access_key_id="ASIA" + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(16)),
            secret_access_key=secrets.token_urlsafe(30),
            session_token=secrets.token_urlsafe(240),
            account=role.account,
            arn=f"arn:{role.partition}:sts::{role.account}:assumed-role/{role.name}/{session}",
            user_id=f"{role_id}:{session}",
            role=role.name,
            role_arn=role.text,
            session=session,
            expiration=now.replace(microsecond=0) + timedelta(seconds=seconds),
        )
        self._identities[identity.access_key_id] = identity
        return identity
