"""The audit log: one line a request in the form of audit.k8s.io/v1, level Metadata.

Whoever reads an answer finds its line in the log already.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulators.apiserver.objects import micro_timestamp

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from aiohttp import web

    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.objects import Object, User
    from simulators.apiserver.requests import Target

_DECISION = "authorization.k8s.io/decision"
_REASON = "authorization.k8s.io/reason"


class AuditLog:
    """The log of one server; the file is open while the object is entered.

    Args:
        path: lines are appended to it.
        decisions: of the server.
    """

    def __init__(self, path: Path, decisions: Decisions) -> None:
        self._path = path
        self._decisions = decisions

    def __enter__(self) -> Self:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def begin(self, request: web.Request, target: Target) -> Record:
        """The record of a request that has just come."""
        return Record(self, request, target)

    def write(self, event: Object, target: Target) -> None:
        """Append one line, whole."""
        if self._decisions.audit_recorded(target.verb, target.plural):
            os.write(self._file, json.dumps(event, separators=(",", ":")).encode() + b"\n")


class Record:
    """What is known of one request, written when it is answered.

    Args:
        log: where to.
        request: the request.
        target: what it is about.
    """

    def __init__(self, log: AuditLog, request: web.Request, target: Target) -> None:
        self._log = log
        self._target = target
        self._received = datetime.now(UTC)
        self.id = request.headers.get("Audit-ID") or str(uuid.uuid4())
        self.user: User | None = None
        self.impersonated: User | None = None
        self.decision = ""
        self.reason = ""
        self.made_name = ""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self._source = peer[0] if peer else ""
        self._agent = request.headers.get("User-Agent", "")
        self._uri = request.raw_path

    def started(self, code: int = 200) -> None:
        """A long answer begins."""
        self._write("ResponseStarted", code, None)

    def complete(self, code: int, answer: Object | None) -> None:
        """The answer is known.

        Args:
            code: its HTTP status.
            answer: a Status, or None for anything else.
        """
        self._write("ResponseComplete", code, answer)

    def _write(self, stage: str, code: int, answer: Object | None) -> None:
        event: Object = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": self.id,
            "stage": stage,
            "requestURI": self._uri,
            "verb": self._target.verb,
            "user": self.user.info() if self.user else {},
        }
        if self.impersonated:
            event["impersonatedUser"] = self.impersonated.info()
        event |= {"sourceIPs": [self._source], "userAgent": self._agent}
        if self._target.plural:
            event["objectRef"] = self._reference()
        status = {key: value for key, value in (answer or {}).items() if key not in {"kind", "apiVersion"}}
        event["responseStatus"] = {"metadata": {}} | status | {"code": code}
        event["requestReceivedTimestamp"] = micro_timestamp(self._received)
        event["stageTimestamp"] = micro_timestamp(datetime.now(UTC))
        if self.decision:
            event["annotations"] = {_DECISION: self.decision, _REASON: self.reason}
        self._log.write(event, self._target)

    def _reference(self) -> Object:
        target = self._target
        members = {
            "resource": target.plural,
            "namespace": target.namespace,
            "name": target.name or self.made_name,
            "apiGroup": target.group,
            "apiVersion": target.version,
            "subresource": target.subresource,
        }
        return {key: value for key, value in members.items() if value}
