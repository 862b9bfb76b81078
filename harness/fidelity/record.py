"""What the command leaves: `fidelity.json` for machines and `fidelity.md` for people."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from harness.fidelity.comparison import Comparison, Difference
    from harness.fidelity.observations import SeenRun

JSON_NAME, MARKDOWN_NAME = "fidelity.json", "fidelity.md"
_SHOWN = 12
_LONGEST = 300


def write(folder: Path, simulated: SeenRun, real: SeenRun, comparison: Comparison) -> None:
    """Writes both files.

    Args:
        folder: Where to; it exists.
        simulated: The run on simulated programs.
        real: The run on real ones.
        comparison: What came of comparing them.
    """
    document = {
        "simulated": dict(simulated.components),
        "real": dict(real.components),
        **asdict(comparison),
    }
    write_atomically(folder / JSON_NAME, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    lines = _markdown(simulated, real, comparison)
    write_atomically(folder / MARKDOWN_NAME, "\n".join(lines) + "\n")


def difference_lines(difference: Difference) -> list[str]:
    """Gives a difference as lines of text: where, in which scenarios, and both observations.

    Args:
        difference: One of a comparison.
    """
    where = " ".join(difference.key.split())
    lines = [
        f"{_short(where)} | {difference.path or 'whole'} ({', '.join(difference.scenarios)})",
        *_side("simulated", difference.simulated),
        *_side("real", difference.real),
    ]
    return [*lines, f"  because: {difference.reason}"] if difference.reason else lines


def _side(name: str, values: tuple[str, ...]) -> Iterator[str]:
    for value in values[:_SHOWN]:
        yield f"  {name} alone: {_short(value) or '(empty)'}"
    if len(values) > _SHOWN:
        yield f"  {name} alone: and {len(values) - _SHOWN} more"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _markdown(simulated: SeenRun, real: SeenRun, comparison: Comparison) -> Iterator[str]:
    yield "# Fidelity of the simulated programs"
    yield ""
    yield "| component | simulated run | real run |"
    yield "|---|---|---|"
    for name in sorted({*simulated.components, *real.components}):
        yield f"| {name} | {simulated.components.get(name, '')} | {real.components.get(name, '')} |"
    yield ""
    yield (
        f"{len(comparison.compared)} scenarios, {comparison.observations} observations: "
        f"{len(comparison.unexplained)} differences unexplained, {len(comparison.explained)} explained."
    )
    if comparison.bare:
        yield ""
        yield f"Compared in verdict and findings alone: {', '.join(comparison.bare)}."
    yield from _section("Unexplained", comparison.unexplained)
    yield from _section("Explained", comparison.explained)


def _section(title: str, differences: Iterable[Difference]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield "```"
    for difference in differences:
        yield from difference_lines(difference)
    yield "```"
