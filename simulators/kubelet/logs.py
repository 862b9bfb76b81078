"""What a container prints: one file per attempt, every line with its time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

LONGEST_LINE = 1 << 20


def nano_timestamp() -> str:
    """Now, as RFC 3339 in UTC with nine digits: such texts sort as their times do."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{nanoseconds:09d}Z"


class Log:
    """The output of one attempt of a container.

    Args:
        path: file to write; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False
        self._file = path.open("wb", buffering=0)
        self._rest = b""
        self._changed = asyncio.Event()

    def write(self, data: bytes) -> None:
        """Take output as it comes; whole lines are written, the rest is kept for the next call."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        if lines:
            stamp = nano_timestamp().encode() + b" "
            self._file.write(b"".join(stamp + line + b"\n" for line in lines))
            self._announce()

    def close(self) -> None:
        """Write what is left, and tell followers that nothing comes after it."""
        if self.closed:
            return
        if self._rest:
            self.write(b"\n")
        self._file.close()
        self.closed = True
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def read(self, offset: int) -> tuple[list[bytes], int]:
        """Whole lines, each with its time, from a byte offset on; and the offset after them."""
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read()
        return data.splitlines(keepends=True), offset + len(data)

    async def changed(self) -> None:
        """Wait until more is written, or the log is closed."""
        await self._changed.wait()


@dataclass(frozen=True)
class Options:
    """Which part of a log is wanted: the query of the kubelet's containerLogs.

    Args:
        follow: wait for what is written later, until the container ends.
        timestamps: keep each line's time.
        tail: lines from the end; None for all.
        since: only lines later than this; None for all.
        limit: bytes after which to stop; None for no limit.
    """

    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: datetime | None = None
    limit: int | None = None

    @classmethod
    def parse(cls, query: dict[str, str]) -> Options:
        """Read a query string's fields.

        Raises:
            ValueError: a field is not what it should be.
        """
        since = None
        if "sinceSeconds" in query:
            since = datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))
        elif "sinceTime" in query:
            since = datetime.fromisoformat(query["sinceTime"])
        return cls(
            follow=_flag(query, "follow"),
            timestamps=_flag(query, "timestamps"),
            tail=int(query["tailLines"]) if "tailLines" in query else None,
            since=since,
            limit=int(query["limitBytes"]) if "limitBytes" in query else None,
        )


def _flag(query: dict[str, str], name: str) -> bool:
    return query.get(name, "false").lower() in {"true", "1"}


async def stream(log: Log, options: Options) -> AsyncIterator[bytes]:
    """The wanted part of a log, piece by piece.

    Args:
        log: of one attempt.
        options: which part.
    """
    left = options.limit
    oldest = (
        options.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode() if options.since else b""
    )
    lines: Iterable[bytes]
    lines, offset = log.read(0)
    lines = [line for line in lines if line.partition(b" ")[0] >= oldest]
    if options.tail is not None:
        lines = deque(lines, maxlen=options.tail)
    while True:
        piece = b"".join(line if options.timestamps else line.partition(b" ")[2] for line in lines)
        if left is not None:
            piece = piece[:left]
            left -= len(piece)
        if piece:
            yield piece
        if not options.follow or left == 0:
            return
        done = log.closed
        lines, offset = log.read(offset)
        if not lines:
            if done:
                return
            await log.changed()
