"""The stand-in chart with one decision made wrongly.

A chart is data: there is no process at whose start a decision could be replaced. So each decision of the stand-in
chart is a template file of its own, and a fault is the file that takes its place in the copy that a run publishes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.faults.catalogue import named

if TYPE_CHECKING:
    from harness.core.settings import Settings

SIMULATED = Path(__file__).resolve().parents[2] / "simulators" / "chart"
FAULTS = SIMULATED / "faults"
DECISIONS = Path("templates") / "decisions"
"""Folder of the decisions within the chart."""


def with_fault(chart: Path, folder: Path, settings: Settings) -> Path:
    """The chart to publish: the one given, or a copy of it with the chosen fault.

    Args:
        chart: The stand-in chart, a folder.
        folder: Where the copy is made; it must not exist.
        settings: What the user chose; a fault of another component changes nothing here.
    """
    fault = named(settings.fault)
    if fault is None or fault.component != "chart":
        return chart
    shutil.copytree(chart, folder)
    shutil.copyfile(FAULTS / f"{fault.name}.tpl", folder / DECISIONS / f"_{fault.decision}.tpl")
    return folder
