"""Writing files so that a reader never sees half of one, and secrets so that only their owner can."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from harness.core.errors import EnvironmentBroken


def write_atomically(path: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Write a whole file: readers see the old content or the new, never a part.

    Args:
        path: The file; its folder must exist.
        content: What it shall hold; text is written as UTF-8.
        mode: Its permission bits, before which nobody else can open it.

    Raises:
        EnvironmentBroken: It could not be written; a file that was there is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = ""
    try:
        # mkstemp makes the file 0600, so that a secret is never readable by others, not even briefly.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            with suppress(OSError):
                Path(temporary).unlink()
        raise EnvironmentBroken(
            expected=f"to write {path}",
            seen=f"{error.strerror or error}",
            remedy="free space, or give a folder that you may write to",
        ) from error


def write_secret(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read (0600).

    Raises:
        EnvironmentBroken: It could not be written.
    """
    write_atomically(path, content, mode=0o600)
