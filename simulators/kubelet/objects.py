"""The shapes that the kubelet's modules hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Object = dict[str, Any]
"""An object of the Kubernetes API, as in its JSON."""

Isolation = Literal["mount-namespace", "none"]

ADDRESS = "127.0.0.1"
"""Address of the node and of all its pods: they share the host's network, on loopback."""


@dataclass(frozen=True)
class Waiting:
    """A container that is not running now but may run later."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """A container whose program runs."""

    started_at: datetime
    container_id: str


@dataclass(frozen=True)
class Terminated:
    """A container whose program has ended, or could not be started.

    Args:
        exit_code: 0 to 255; 128 plus the signal's number when it was killed by one.
        reason: Completed, Error or StartError.
        message: only for StartError.
        started_at: when this attempt began.
        finished_at: when it ended.
        container_id: of this attempt.
    """

    exit_code: int
    reason: str
    message: str
    started_at: datetime
    finished_at: datetime
    container_id: str


State = Waiting | Running | Terminated


@dataclass
class ContainerStatus:
    """What is known of one container of a pod."""

    name: str
    image: str
    state: State
    last: Terminated | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    container_id: str = ""


@dataclass(frozen=True)
class Mount:
    """One volume mount of a container.

    Args:
        source: file or folder on the host.
        target: where the container sees it.
        read_only: whether it may not write there.
    """

    source: str
    target: str
    read_only: bool


@dataclass
class Condition:
    """One condition of a pod's status."""

    status: bool
    reason: str = ""
    message: str = ""
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as the Kubernetes API writes metav1.Time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Read a metav1.Time."""
    return datetime.fromisoformat(text)


def find(items: list[Object], name: str) -> Object | None:
    """The item of a list of named objects with that name; None when there is none."""
    return next((item for item in items if item["name"] == name), None)
