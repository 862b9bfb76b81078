"""What comes out of Teleport's image, and whether it runs here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import teleport_container
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from pathlib import Path

ENGINE: Any = SimpleNamespace(client=object(), run="abc123")


@pytest.mark.parametrize(
    ("text", "seen"),
    [("#!/bin/sh\necho wrong >&2; exit 3\n", "exit status 3: wrong"), ("\x7fELF of another machine", "rror")],
)
def test_a_tsh_that_does_not_run_here_is_told(tmp_path: Path, text: str, seen: str) -> None:
    tsh = tmp_path / "tsh"
    tsh.write_text(text)
    tsh.chmod(0o755)
    with pytest.raises(EnvironmentBroken, match="tsh of the image to run on this machine") as raised:
        teleport_container.must_run(tsh, env={"PATH": "/usr/bin:/bin"})
    assert seen in raised.value.seen
    assert "platform" in raised.value.remedy


def test_a_tsh_that_runs_is_fine(tmp_path: Path) -> None:
    tsh = tmp_path / "tsh"
    tsh.write_text('#!/bin/sh\ntest "$*" = version\n')
    tsh.chmod(0o755)
    teleport_container.must_run(tsh, env={"PATH": "/usr/bin:/bin"})


def test_programs_are_looked_for_where_images_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def copy_out(client: object, image: str, path: str, target: Path, **_: object) -> bool:
        asked.append(path)
        return path.startswith("/usr/bin/")

    monkeypatch.setattr(teleport_container.image_store, "copy_out", copy_out)
    assert teleport_container.clients(ENGINE, "an-image", tmp_path / "made") == tmp_path / "made"
    assert asked == ["/usr/local/bin/tsh", "/usr/bin/tsh", "/usr/local/bin/tctl", "/usr/bin/tctl"]


def test_an_image_without_tsh_is_not_teleports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teleport_container.image_store, "copy_out", lambda *_, **__: False)
    with pytest.raises(EnvironmentBroken, match="the program tsh in the image nginx:1"):
        teleport_container.clients(ENGINE, "nginx:1", tmp_path / "made")
