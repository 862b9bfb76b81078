"""Why an environment could not be made, in one line that says what to do."""

import re
from typing import NamedTuple


class SetupFailedError(Exception):
    """The environment could not be made.

    Args:
        expected: what should have been there or happened.
        seen: what was there or happened instead.
        remedy: what the user can do.
    """

    def __init__(self, *, expected: str, seen: str, remedy: str) -> None:
        super().__init__(f"expected {expected}; seen: {seen}; way out: {remedy}")


class _Cause(NamedTuple):
    signs: str  # a regular expression over the installer's output, case ignored
    expected: str
    remedy: str


# uv's and pip's error lines, and those of uv's drawn as a tree.
_TELLING = r"(error|cause|caused by|fatal)\b|[\u00d7\u2570\u251c]"

# The first that matches counts: a full disk or a foreign certificate is reported as a failed download too.
_CAUSES = (
    _Cause(
        r"no space left on device|disk quota exceeded",
        "about 1.5 GB of free space in the clone and in uv's cache",
        "free some, or set UV_CACHE_DIR to a folder on the clone's disk",
    ),
    _Cause(
        r"certificate verify failed|certificate_verify_failed|invalid peer certificate|UnknownIssuer|SSLError"
        r"|TLS CA certificate",
        "a package index whose certificate is trusted",
        "set SSL_CERT_FILE (uv) and PIP_CERT (pip) to the certificate authorities of your network",
    ),
    _Cause(
        r"hash mismatch|do not match the hashes",
        "packages with the hashes of the lock",
        "ask who runs your package index why its files differ from PyPI's",
    ),
    _Cause(
        r"dns error|name or service not known|name resolution|nodename nor servname|network is unreachable"
        r"|connection refused|connection reset|NewConnectionError|tunnel|proxy|timed? ?out"
        r"|error sending request|failed to fetch|network connectivity is disabled",
        "a package index within reach",
        "connect, or set HTTPS_PROXY, or name a mirror in UV_DEFAULT_INDEX (uv) or PIP_INDEX_URL (pip)",
    ),
    _Cause(
        r"read-only file system|permission denied",
        "folders that can be written",
        "clone to a place of your own, and set UV_CACHE_DIR if uv's cache is the one refused",
    ),
    _Cause(
        r"no usable wheels|no compatible wheel|doesn't have a .*wheel|building from source is disabled"
        r"|no matching distribution",
        "ready-built packages for this Python and platform",
        "set CONFORMANCE_PYTHON to a released CPython from 3.11 to 3.14",
    ),
)


def explain(what: str, output: str) -> SetupFailedError:
    """Turn an installer's output into the one line for the user.

    Args:
        what: what the installer was to do, as in "uv to install the locked packages".
        output: what it wrote, whole.

    Returns:
        The failure, with a cause where the output shows a known one.
    """
    seen = _last_words(output)
    for cause in _CAUSES:
        if re.search(cause.signs, output, re.IGNORECASE):
            return SetupFailedError(expected=cause.expected, seen=seen, remedy=cause.remedy)
    return SetupFailedError(expected=what, seen=seen, remedy="see what it says; nothing half-made was left")


def _last_words(output: str, limit: int = 160) -> str:
    """Take the first and the last line that tell the error, without a password of an index address."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(_TELLING, line, re.IGNORECASE)] or lines[-1:]
    ends = telling if len(telling) < 2 else [telling[0], telling[-1]]
    shown = [re.sub(r"(\w+://)[^/@\s]+@", r"\1****@", line) for line in ends]
    return (
        " … ".join(line if len(line) <= limit else line[: limit - 1] + "…" for line in shown) or "no output"
    )
