"""What is being provisioned, while it is: in place on a terminal, as plain lines elsewhere.

No colours are used, so there is nothing for NO_COLOR to turn off. A terminal that says it is dumb gets the
plain lines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REDRAWN_EVERY = 0.1
"""Seconds between two looks of the clock; nothing waits for it."""

UP = "\x1b[{count}F"
CLEAR_BELOW = "\x1b[J"
"""ECMA-48: cursor to the beginning of an earlier line; erase from the cursor on."""


class Progress(Protocol):
    """Whom provisioning tells what it does."""

    def say(self, text: str) -> None:
        """Takes a line about what begins."""

    def part(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Marks a part as begun, and on leaving as done."""


@contextlib.contextmanager
def shown(tell: Callable[[str], None], stream: TextIO | None = None) -> Iterator[Progress]:
    """Shows progress for as long as the block lasts, in the way that suits the stream.

    Args:
        tell: Prints one line for the user.
        stream: Where the user looks; standard output where not given.
    """
    stream = stream or sys.stdout
    if not stream.isatty() or (os.environ.get("TERM") or "dumb") == "dumb":
        yield Lines(tell)
        return
    live = InPlace(stream)
    live.begin()
    try:
        yield live
    except BaseException:
        live.end(keep=True)
        raise
    live.end(keep=False)


@dataclass(frozen=True)
class Lines:
    """Progress as lines that stay.

    Attributes:
        tell: Prints one line.
    """

    tell: Callable[[str], None]

    def say(self, text: str) -> None:
        """Prints the line."""
        self.tell(text)

    def part(self, name: str) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002  # lines tell no parts
        """Says nothing: what begins has been said."""
        return contextlib.nullcontext()


@dataclass
class _Part:
    name: str
    began: float
    state: str = "starting"
    ended: float | None = None


@dataclass
class InPlace:
    """Progress as a block of lines that is drawn over itself: each part with its seconds.

    Attributes:
        stream: The terminal.
        clock: Seconds.
    """

    stream: TextIO
    clock: Callable[[], float] = time.monotonic
    _parts: list[_Part] = field(default_factory=list)
    _drawn: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Draws from now on."""
        self._thread = threading.Thread(target=self._redraw, daemon=True, name="progress")
        self._thread.start()

    def end(self, *, keep: bool) -> None:
        """Draws no more.

        Args:
            keep: Whether what was under way stays visible, as it should when something failed.
        """
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.draw(keep=keep)

    def say(self, text: str) -> None:
        """Says nothing: the parts tell it."""

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Shows a part with its seconds, and on leaving how it ended."""
        part = _Part(name, self.clock())
        self._parts.append(part)
        try:
            yield
            part.state = "done"
        except BaseException:
            part.state = "failed"
            raise
        finally:
            part.ended = self.clock()

    def lines(self) -> list[str]:
        """The block as it is now, as large as fits on the terminal."""
        columns, rows = shutil.get_terminal_size()
        now = self.clock()
        texts = [
            f"{part.state:<9}{(part.ended or now) - part.began:5.1f} s  {part.name}"
            # The parts begin in several threads.
            for part in list(self._parts)
        ]
        # A line that wraps, or one that scrolls away, could not be drawn over.
        return [text[: columns - 1] for text in texts[-max(1, rows - 2) :]]

    def draw(self, *, keep: bool = True) -> None:
        """Draws the block over the last one, or only takes that away."""
        lines = self.lines() if keep else []
        over = f"{UP.format(count=self._drawn)}{CLEAR_BELOW}" if self._drawn else ""
        self.stream.write(over + "".join(f"{line}\n" for line in lines))
        self.stream.flush()
        self._drawn = len(lines)

    def _redraw(self) -> None:
        while not self._ended.wait(REDRAWN_EVERY):
            self.draw()
