"""The log: lines in Teleport's form, each marked as simulated; the first says what this is."""

from __future__ import annotations

import sys
from typing import TextIO

from simulators.teleport import times


class Log:
    """Writes log lines.

    Args:
        stream: where to; standard error where not given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def banner(self, text: str) -> None:
        """Write the first line."""
        self._write("WARN", "SIMULATED", text)

    def inform(self, component: str, message: str) -> None:
        """Write a line of level INFO.

        Args:
            component: as in Teleport, without brackets; empty for none.
            message: the text.
        """
        self._write("INFO", component, message)

    def report(self, component: str, message: str, error: str) -> None:
        """Write a line of level INFO with an error as Teleport reports one, over several lines.

        Args:
            component: as in Teleport, without brackets.
            message: the text.
            error: what went wrong; there is no stack behind it.
        """
        # Teleport's template for reports escapes quotation marks as for a web page.
        shown = error.replace('"', "&#34;")
        told = f"\nERROR REPORT:\nOriginal Error: *status.Error {shown}\nUser Message: {shown}"
        self._write("INFO", component, f"{message} error:[{told}]", quoted=False)

    def caution(self, component: str, message: str) -> None:
        """Write a line of level WARN; arguments as for inform."""
        self._write("WARN", component, message)

    def failure(self, component: str, message: str) -> None:
        """Write a line of level ERRO; arguments as for inform."""
        self._write("ERRO", component, message)

    def _write(self, level: str, component: str, message: str, *, quoted: bool = True) -> None:
        # A text of several lines is quoted, so that each line of the log is one event; reports are not.
        if quoted and "\n" in message:
            message = '"' + message.replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
        label = f"[{component}]" if component else ""
        self._stream.write(f"{times.in_log()} {level} {label:<12}{message} simulated:true\n")
        self._stream.flush()
