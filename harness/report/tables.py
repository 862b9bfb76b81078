"""Tables for people: columns on a terminal, and Markdown."""

from collections.abc import Sequence


def as_columns(rows: Sequence[Sequence[str]]) -> str:
    """Gives rows in columns, two spaces apart; a cell of several lines takes several.

    Args:
        rows: All of the same length, the heading first.
    """
    cells = [[cell.split("\n") for cell in row] for row in rows]
    widths = [max(len(line) for row in cells for line in row[at]) for at in range(len(rows[0]))]
    lines = []
    for row in cells:
        for number in range(max(map(len, row))):
            parts = [cell[number] if number < len(cell) else "" for cell in row]
            padded = [f"{part:<{width}}" for part, width in zip(parts, widths, strict=True)]
            lines.append("  ".join(padded).rstrip())
    return "".join(f"{line}\n" for line in lines)


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Gives rows as a table in Markdown.

    Args:
        rows: All of the same length, the heading first.
    """
    lines = [[cell.replace("|", r"\|").replace("\n", ", ") for cell in row] for row in rows]
    lines.insert(1, ["---"] * len(rows[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
