"""Tables that programs print for people, with a line of dashes below the header."""

from __future__ import annotations

import re


def read_table(text: str) -> list[dict[str, str]]:
    """Rows of the first table in a text: header of each column to the row's cell.

    Args:
        text: What a program printed. The dashes below the header tell where each column begins and ends.

    Returns:
        One mapping per row, up to the first empty line; no row where there is no table, or an empty one. Which
        columns there are, `columns` tells.
    """
    spans, header, rows = _parts(text)
    names = [header[begin:end].strip() for begin, end in spans]
    return [dict(zip(names, (row[begin:end].strip() for begin, end in spans), strict=True)) for row in rows]


def columns(text: str) -> tuple[str, ...]:
    """Headers of the first table in a text, from left to right; none where there is no table."""
    spans, header, _ = _parts(text)
    return tuple(header[begin:end].strip() for begin, end in spans)


def _parts(text: str) -> tuple[list[tuple[int, int | None]], str, list[str]]:
    """Where columns begin and end (the last one ends with its line), the header, and the rows."""
    lines = text.splitlines()
    for header, dashes, number in zip(lines, lines[1:], range(2, len(lines) + 1), strict=False):
        if re.fullmatch(r"-+( +-+)* *", dashes):
            begins = [match.start() for match in re.finditer(r"-+", dashes)]
            spans = list(zip(begins, [*begins[1:], None], strict=True))
            rows = []
            for line in lines[number:]:
                if not line.strip():
                    break
                rows.append(line)
            return spans, header, rows
    return [], "", []
