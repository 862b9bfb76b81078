"""Files: those with secrets, and those that a pod has mounted."""

from __future__ import annotations

import json
import os
import tempfile
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MOUNTS = "CONFORMANCE_MOUNTS"
"""Environment variable: JSON object, mount path -> folder, where the lab's kubelet mounts nothing."""


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Args:
        path: its folder is made if need be.
        text: what it holds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).replace(path)


def mounted(path: str, environ: Mapping[str, str]) -> Path:
    """Where a file of the container really is.

    Args:
        path: as the program knows it.
        environ: with CONFORMANCE_MOUNTS where there is no mount namespace.
    """
    return _mounted(path, environ.get(MOUNTS, "{}"))


@lru_cache(maxsize=64)
def _mounted(path: str, places: str) -> Path:
    wanted = f"{PurePosixPath(path)}/"
    for target, place in _places(places):
        if wanted.startswith(target):
            return Path(place, wanted.removeprefix(target))
    return Path(path)


@lru_cache(maxsize=8)
def _places(text: str) -> list[tuple[str, str]]:
    """Mount paths, each with a slash at its end, and their folders: the longest first, since one may lie in another."""
    places: dict[str, str] = json.loads(text)
    targets = sorted(places, key=len, reverse=True)
    return [(f"{PurePosixPath(target)}/".replace("//", "/"), places[target]) for target in targets]
