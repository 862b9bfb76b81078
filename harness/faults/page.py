"""The matrix as a page for people: one file, nothing loaded from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from harness.faults.matrix import Outcome, counts

if TYPE_CHECKING:
    from harness.faults.matrix import Matrix

SIGNS = {
    Outcome.KILLED: "✕",
    Outcome.SURVIVED: "○",
    Outcome.NOT_REACHED: "·",
    Outcome.DISTURBED: "!",
    Outcome.BROKE: "?",
}


def page(matrix: Matrix) -> str:
    """The page's HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cells = {row.fault.name: {cell.scenario: cell for cell in row.cells} for row in matrix.rows}
    return environment.get_template("matrix.html.j2").render(
        matrix=matrix, cells=cells, signs=SIGNS, counts=counts(matrix.rows), pairs=matrix.pairs()
    )
