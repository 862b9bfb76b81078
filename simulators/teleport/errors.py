"""What goes wrong, as Teleport sorts it."""

from __future__ import annotations

STATUSES = {
    "AccessDenied": 403,
    "AlreadyExists": 409,
    "BadParameter": 400,
    "ConnectionProblem": 504,
    "NotFound": 404,
    "Unknown": 502,
}
"""HTTP status for each sort of failure."""

RPC_CODES = {
    "AccessDenied": "PermissionDenied",
    "AlreadyExists": "AlreadyExists",
    "BadParameter": "InvalidArgument",
    "ConnectionProblem": "Unavailable",
    "NotFound": "NotFound",
    "Unknown": "Unknown",
}
"""Name of the sort in gRPC, which Teleport 13's agent prints before the text."""


class TeleportError(Exception):
    """Something was refused or not found; the text is what a user of Teleport reads.

    Args:
        kind: a key of STATUSES.
        message: the text.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class UsageError(Exception):
    """A command or an option that the simulation does not know; it is refused, never ignored."""


class ConfigurationError(Exception):
    """A `teleport.yaml` that the simulation cannot follow; the text names the key."""
