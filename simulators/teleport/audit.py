"""The audit log: a JSON object a line, fields and codes as 13.0.0-dev writes them."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from simulators.teleport import times

if TYPE_CHECKING:
    from pathlib import Path

    from simulators.teleport.log import Log

CODES = {
    "cert.create": "TC000I",
    "exec": "T3002I",
    "exec failed": "T3002E",
    "instance.join": "TJ002I",
    "instance.join failed": "TJ002E",
    "kube.request": "T3009I",
    "reset_password_token.create": "T6000I",
    "role.created": "T9000I",
    "role.deleted": "T9001I",
    "session.end": "T2004I",
    "session.start": "T2000I",
    "user.create": "T1002I",
    "user.delete": "T1004I",
    "user.login": "T1000I",
    "user.login failed": "T1000W",
}
"""Event -> code (observed; TJ002E read in lib/events/codes.go)."""


class Audit:
    """Writes audit events.

    Args:
        path: of the log; the folder is made.
        cluster: name of the Teleport cluster.
        log: where each event is told as well.
    """

    def __init__(self, path: Path, cluster: str, log: Log) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self.cluster = cluster
        self._log = log

    def emit(self, event: str, **fields: Any) -> None:
        """Write an event.

        Args:
            event: its type; a failed one has ` failed` after it and another code.
            fields: in their order; None leaves a field out, `_` in `addr_local` and `addr_remote` is a dot.
        """
        kind = event.removesuffix(" failed")
        record = {
            "ei": 0,
            "event": kind,
            "uid": str(uuid.uuid4()),
            "code": CODES[event],
            "time": times.in_audit(time.time_ns()),
            "cluster_name": self.cluster,
        }
        for name, value in fields.items():
            if value is not None:
                record[name.replace("addr_", "addr.")] = value
        with self._path.open("a") as file:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._log.inform("AUDIT", f"{kind} code:{record['code']} uid:{record['uid']}")
