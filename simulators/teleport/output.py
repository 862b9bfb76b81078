"""What `tctl` and `tsh` print: tables, YAML and JSON in Teleport's form."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: titles, a line of dashes, the rows; every cell is followed by a space.

    Args:
        titles: of the columns.
        rows: cells.
    """
    widths = [max(len(cell) for cell in column) for column in zip(titles, *rows, strict=True)]
    lines = [titles, ["-" * width for width in widths], *rows]
    return "".join(
        "".join(f"{cell:<{width}} " for cell, width in zip(line, widths, strict=True)) + "\n"
        for line in lines
    )


def as_json(document: Any, indent: int = 2) -> str:
    """JSON, without a newline at the end."""
    return json.dumps(document, indent=indent)


def as_yaml(documents: Sequence[Any]) -> str:
    """YAML documents as Go writes them: keys sorted, a text that would be no text in double quotes."""
    import yaml  # noqa: PLC0415  # the JSON form needs none

    class Dumper(yaml.SafeDumper):
        """Quotes as Go does."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        plain = dumper.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]  # has no types
        # `*` alone has a tag of its own in PyYAML; it is no other value, so single quotes are enough.
        style = None if plain in {"tag:yaml.org,2002:str", "tag:yaml.org,2002:yaml"} else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return (
        str(yaml.dump_all(documents, Dumper=Dumper, default_flow_style=False, width=10**6))
        if documents
        else ""
    )


def error(message: str) -> None:
    """Print an error as Teleport's programs do, on standard error."""
    sys.stderr.write(f"\x1b[31mERROR: \x1b[0m{message}\n\n")
