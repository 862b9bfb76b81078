"""Real programs made wrong, so that scenarios are seen to fail on the product itself (issue 5).

The chart under test is published with one line of a template replaced, or one of Teleport's programs is run
through a script. The user's own files are never touched: both are made in the run's folder.
"""

from __future__ import annotations

import shlex
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.documents import read_yaml
from harness.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = ("teleport", "tctl", "tsh")


@dataclass(frozen=True)
class Misconfiguration:
    """A real chart or program made wrong.

    Attributes:
        name: As `--fault` takes it.
        text: What is wrong, in a sentence.
        claims: Ids of claims of the guide that it breaks.
        scenarios: Ids of scenarios that notice.
        chart: File of the chart, text to find in it, text to put there; None for a program.
        program: Name of the program, and the script that runs in its place; None for the chart.
        at: As of `Fault`.
        images: Those of the scenarios that notice where Teleport's programs run from images, since the harness's own
            `tctl` runs in a container there; None for all.
    """

    name: str
    text: str
    claims: tuple[str, ...]
    scenarios: tuple[str, ...]
    chart: Mapping[str, str] | None
    program: Mapping[str, str] | None
    at: tuple[tuple[str, str], ...] = ()
    images: tuple[str, ...] | None = None

    @property
    def fits_images(self) -> bool:
        """Whether it can be made, and noticed, where `teleport` runs from an image: no script takes its place."""
        return self.images != () and (self.program is None or self.program["name"] != "teleport")

    @property
    def component(self) -> str:
        """What has to be real for it: `chart` or `teleport`."""
        return "chart" if self.chart else "teleport"

    @property
    def decision(self) -> str:
        """What is wrong, in a word: the chart's file, or the program."""
        return self.chart["file"] if self.chart else (self.program or {})["name"]


def _read() -> dict[str, Misconfiguration]:
    document: dict[str, dict[str, Any]] = read_yaml(
        Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    )
    return {
        name: Misconfiguration(
            name,
            row["text"],
            tuple(row["claims"]),
            tuple(row["scenarios"]),
            row.get("chart"),
            row.get("program"),
            tuple(row.get("at", {}).items()),
            images=tuple(row["images"]) if "images" in row else None,
        )
        for name, row in document.items()
    }


MISCONFIGURATIONS = _read()
"""All of them, by name."""


def wrong_chart(name: str | None, given: Path, folder: Path) -> Path:
    """Gives the chart to publish: the one given, or a copy of it made wrong.

    Args:
        name: Of a misconfiguration; any other fault, or None, changes nothing.
        given: The real chart, a folder or an archive.
        folder: Where the copy is made; it must not exist.

    Raises:
        UsageError: The chart has no such line, so that nothing would be wrong with it.
    """
    wrong = MISCONFIGURATIONS.get(name or "")
    if wrong is None or wrong.chart is None:
        return given
    if given.is_dir():
        shutil.copytree(given, folder)
        chart = folder
    else:
        with tarfile.open(given) as packed:
            packed.extractall(folder, filter="data")
        chart = next(folder.iterdir())
    file = chart / wrong.chart["file"]
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if wrong.chart["find"] not in text:
        raise UsageError(
            expected=f"{wrong.chart['file']} of the chart to hold {wrong.chart['find']!r} (fault {wrong.name})",
            seen=f"no such text in {given}",
            remedy="choose another fault; this chart cannot be made wrong in that way",
        )
    file.write_text(text.replace(wrong.chart["find"], wrong.chart["put"]), encoding="utf-8")
    return chart


def wrong_programs(name: str | None, given: Path, folder: Path) -> Path:
    """Gives the folder with `teleport`, `tctl` and `tsh`: the one given, or one with a script among them.

    Args:
        name: Of a misconfiguration; any other fault, or None, changes nothing.
        given: The folder with the real programs.
        folder: Where the other folder is made; it must not exist.
    """
    wrong = MISCONFIGURATIONS.get(name or "")
    if wrong is None or wrong.program is None:
        return given
    marks = folder / "marks"
    marks.mkdir(parents=True)
    for program in PROGRAMS:
        real, place = (given / program).resolve(), folder / program
        if program != wrong.program["name"]:
            place.symlink_to(real)
            continue
        head = f"#!/bin/sh\nREAL={shlex.quote(str(real))}\nMARKS={shlex.quote(str(marks))}\n"
        place.write_text(head + wrong.program["script"], encoding="utf-8")
        place.chmod(0o755)
    return folder
