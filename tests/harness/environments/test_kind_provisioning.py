"""What the user named on the command line, as containers get it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from harness.adapters import images, teleport_container
from harness.adapters.certificates import Authority
from harness.core.settings import load
from harness.environments.kind_provisioning import KindProvisioning

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_licence_is_mounted_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Docker mounts nothing by a relative path, and Teleport starts in another folder.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(teleport_container, "start", lambda *_, **told: told["licence"])

    def mounted(**options: str) -> object:
        required = {"env": "kind", "teleport": "13.0.0", "agent": "13.0.0", "chart": "chart"}
        made = KindProvisioning(load({**required, **options}, {}))
        made.needed = images.needed(made._settings)
        made.engine = SimpleNamespace()  # type: ignore[assignment]
        made.authority = Authority(tmp_path)
        return made._start_teleport()

    assert mounted(licence="licence.pem") == tmp_path / "licence.pem"
    assert mounted() is None
