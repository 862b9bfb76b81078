"""Takes out of an observation what differs between any two runs: names, times, places, random values.

What is left differs only where two programs behave differently. Nothing that a program says of its own
accord is taken out: versions, messages, statuses and counts stay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_ACCOUNT = re.compile(r"(?<![0-9A-Za-z-])[0-9]{12}(?![0-9]|[0-9a-f]{8})")
_HALF = 30


def _validity(found: re.Match[str]) -> str:
    """Gives hours: what is left of 12 hours an instant later is 12 hours as well."""
    hours, minutes = int(found["hours"] or 0), int(found["minutes"] or 0)
    return f"valid for <{hours + (minutes >= _HALF)} hours>"


_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        # Before all others: what they would break.
        (r"-----BEGIN [A-Z ]+-----[\s\S]*?-----END [A-Z ]+-----", "<pem>"),
        (r"\b[0-9a-f]{32,}\b", "<hex>"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
        (r"/\S*?/\.conformance/runs/[\w.-]+", "<run>"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d(?: UTC)?)?", "<time>"),
        (r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", "<time>"),
        (r"valid for (?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m(?!s))?(?:[\d.]+m?s)?(?=\W|$)", _validity),
        (r"\b[EWI]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ", "<klog> "),
        (r"\b1[0-9]{18}\b", "<nanoseconds>"),
        (r"--version \S+", "--version <version>"),
        # An OIDC issuer's id, a policy's.
        (r"(?<=/id/)[0-9A-F]{32}", "<issuer>"),
        (r"(?<=\"PolicyId\": \")A[0-9A-Z]{20}", "<aws-id>"),
        (r"\bi-[0-9a-f]{17}\b", "i-<id>"),
        # curl's progress: sizes and speeds.
        (r"^[\d\s]*\d+ +\d+ +\d+ +\d+ +\d+ +\d+ .*--:--:--.*$", "<progress>"),
        # Sizes of what is hidden: keys and certificates are never equally long.
        (r"<\d+ bytes>", "<bytes>"),
        # What tctl leaves of a token's name.
        (r"(?<=\*)[0-9a-f]{6}(?=\))", "<id>"),
        (r"botocore-session-\d+", "botocore-session-<time>"),
        # Teleport's log ends a line with its place in the source, a simulated one says that it is simulated.
        (r"(?: [a-z0-9_]+/[a-z0-9_]+\.go:\d+| simulated:true)$", ""),
        (r"(?<=/homes/)[0-9a-f]{6}", "<id>"),
        # botocore lists the features that it used in no order.
        (r"\bm/[A-Za-z](?:,[A-Za-z])*", "m/<features>"),
        (r"(?<=-)[0-9a-f]{6}(?=$|[^0-9a-zA-Z])", "<id>"),
        (r"\b(?:AKIA|ASIA|AROA|AIDA|ANPA)[0-9A-Z]{12,17}\b", "<aws-id>"),
        (r"(?:127\.0\.0\.1|\[::1\]|localhost):\d+", "<loopback>"),
        (r"\bconformance-[0-9a-f]{8}\b", "conformance-<id>"),
        # kubectl's ages, and durations in logs.
        (r"(?<=\s)\d+(?:\.\d+)?(?:ms|µs|s|m|h)(?:\d+s)?(?=\s|$|\.)", "<duration>"),
    )
)


def normal(text: str) -> str:
    """Gives the text without what differs between any two runs.

    Args:
        text: A line, a field's value, a command's argument.
    """
    for pattern, put in _RULES:
        text = pattern.sub(put, text)
    return text


class Accounts:
    """Numbers the AWS accounts of one scenario as they appear: two that differ stay different."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def numbered(self, value: object) -> object:
        """Gives a value with a number in place of each account's id.

        Args:
            value: A text, or lists and mappings of texts as JSON knows them.
        """
        if isinstance(value, str):
            return _ACCOUNT.sub(self._number, value)
        if isinstance(value, list):
            return [self.numbered(item) for item in value]
        if isinstance(value, dict):
            return {self.numbered(name): self.numbered(inner) for name, inner in value.items()}
        return value

    def _number(self, found: re.Match[str]) -> str:
        return f"<account {self._numbers.setdefault(found[0], len(self._numbers) + 1)}>"
