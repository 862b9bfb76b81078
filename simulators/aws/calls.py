"""The call log: one record for every call, allowed or not. It is an oracle, and holds no secret."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from .credentials import Identity

Verdict = Literal["allowed", "denied", "refused"]


@dataclass
class Call:
    """One call, filled in while it is worked on.

    `principal` and the role's members tell whom the access key (or the request) names; only the
    verdict tells whether that was proved. Never put a secret, token or signature here.

    Attributes:
        verdict: `refused` is for what the gateway does not serve at all, `denied` for a call that was
            understood and turned down.
        code: AWS's error code, also one passed on from the backend for an allowed call.
        reason: Why, in more detail than AWS would tell the client.
        answer: For an allowed GetCallerIdentity the account and ARN that were answered.
    """

    host: str
    service: str = ""
    region: str = ""
    action: str = ""
    account: str = ""
    principal: str = ""
    access_key_id: str = ""
    role: str = ""
    role_arn: str = ""
    session: str = ""
    signed_headers: list[str] = field(default_factory=list)
    user_agent: str = ""
    verdict: Verdict = "allowed"
    code: str = ""
    reason: str = ""
    answer: dict[str, str] | None = None

    def by(self, identity: Identity) -> None:
        """Note whom the call names as its author."""
        self.account = identity.account
        self.principal = identity.arn
        self.role = identity.role
        self.role_arn = identity.role_arn
        self.session = identity.session


class CallLog:
    """The records in memory, and the file that gets a line for each as it is made.

    Args:
        path: The file, appended to.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._records: list[dict[str, Any]] = []

    @property
    def last(self) -> int:
        """The sequence number of the newest record, 0 when there is none."""
        return len(self._records)

    def add(self, call: Call) -> None:
        """Record a call; it is in the file when this returns."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        record = {"seq": self.last + 1, "time": now.replace("+00:00", "Z"), **dataclasses.asdict(call)}
        self._records.append(record)
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def after(self, sequence: int, role: str | None = None) -> list[dict[str, Any]]:
        """Give the records newer than a sequence number.

        Args:
            sequence: The number of the last record already seen, 0 for none.
            role: Only the calls of this role, by name.
        """
        records = self._records[max(sequence, 0) :]
        return [record for record in records if role is None or record["role"] == role]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
