"""Versions as programs tell them, in whatever words they put around them."""

import re

_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_OF_TELEPORT = re.compile(r"^Teleport v(\S+)", re.MULTILINE)
_OF_KUBECTL = re.compile(
    r"^(Client|Server) Version: (?:version\.Info\{.*?GitVersion:\")?(v\d+\.\d+\.\d+[^\s\",]*)", re.MULTILINE
)


def numbers(text: str) -> tuple[int, int, int]:
    """The first version in a text as major, minor and patch; what follows them does not count.

    Args:
        text: For instance `v1.32.2`, `13.0.0-dev` or a program's line with its version in it.

    Raises:
        AssertionError: There is none.
    """
    found = _NUMBERS.search(text)
    if found is None:
        raise AssertionError(f"expected: a version\nseen: {text.strip()[:200] or 'nothing'}")
    major, minor, patch = found.groups(default="0")
    return int(major), int(minor), int(patch)


def told_by_clients(output: str) -> tuple[str, ...]:
    """Versions in the output of `tctl version` and `tsh version`, in its order."""
    return tuple(_OF_TELEPORT.findall(output))


def told_by_kubectl(output: str) -> dict[str, str]:
    """Versions of `Client` and `Server` in the output of `kubectl version`, of old clients and of new ones."""
    return dict(_OF_KUBECTL.findall(output))


def told_by_status(output: str) -> dict[str, str]:
    """Rows of `tctl status`: `Cluster`, `Version`, `CA pin` and more."""
    rows = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in output.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}
