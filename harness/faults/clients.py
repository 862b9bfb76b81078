"""The workstation with one client that misbehaves.

Clients are real programs; what takes one's place for a fault is a shell script that answers wrongly.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.faults.catalogue import named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.core.settings import Settings

FAULTS = Path(__file__).resolve().parents[2] / "simulators" / "clients" / "faults"


def with_fault(programs: Mapping[str, Path | str], settings: Settings) -> dict[str, Path | str]:
    """The workstation's programs, with the chosen fault in the place of one.

    Args:
        programs: Name of a command -> executable, or text of a shell script.
        settings: What the user chose; a fault of another component changes nothing here.
    """
    fault = named(settings.fault)
    if fault is None or fault.component != "clients":
        return dict(programs)
    return {**programs, fault.decision: (FAULTS / f"{fault.name}.sh").read_text(encoding="utf-8")}
