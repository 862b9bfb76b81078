"""A resource in the user's own editor, for `tctl edit`."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = ("TELEPORT_EDITOR", "VISUAL", "EDITOR")
"""Name the editor; the first that is set counts."""


def edited(text: str, environ: Mapping[str, str], cwd: Path) -> str:
    """A text as the user leaves it in an editor; it may hold secrets, so nobody else can read the file.

    Args:
        text: to edit.
        environ: of the program.
        cwd: of the program.

    Raises:
        TeleportError: the editor cannot be started, or fails.
    """
    editor = next((environ[name] for name in VARIABLES if environ.get(name)), "vi")
    with tempfile.TemporaryDirectory(prefix="teleport-resource", dir=environ.get("TMPDIR")) as folder:
        path = Path(folder) / "resource.yaml"
        path.write_text(text)
        try:
            ended = subprocess.run(
                [*editor.split(), str(path)], env=dict(environ), cwd=cwd, check=False
            ).returncode
        except OSError as error:
            message = f"could not start editor {editor}: {error.strerror}"
            raise TeleportError("BadParameter", message) from error
        if ended:
            message = f"skipping resource update, editor did not complete successfully: exit status {ended}"
            raise TeleportError("BadParameter", message)
        return path.read_text()
