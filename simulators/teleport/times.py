"""Points in time as Teleport writes them: RFC 3339 with up to nine digits, trailing zeros left out."""

from __future__ import annotations

import time
from datetime import UTC, datetime

NEVER = "0001-01-01T00:00:00Z"
"""The zero value of a time."""


def written(seconds: float | None = None, *, nanoseconds: int | None = None) -> str:
    """Write a time.

    Args:
        seconds: since 1970; now where neither is given.
        nanoseconds: the same, exactly.
    """
    if nanoseconds is None:
        nanoseconds = time.time_ns() if seconds is None else round(seconds * 1e9)
    whole, rest = divmod(nanoseconds, 10**9)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def read(text: str) -> float:
    """Read a time; seconds since 1970.

    Raises:
        ValueError: it is none.
    """
    head, _, tail = text.removesuffix("Z").partition(".")
    # datetime knows six digits only.
    return datetime.fromisoformat(f"{head}.{(tail or '0')[:6]:0<6}+00:00").timestamp()


def in_log() -> str:
    """Now, to the second, as a log line begins."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def in_audit(nanoseconds: int) -> str:
    """To the millisecond, as the audit log has it."""
    return written(nanoseconds=nanoseconds // 10**6 * 10**6)
