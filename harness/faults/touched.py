"""What a change touches: scenarios by the lines of their feature files, faults by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.faults.catalogue import Fault
    from harness.faults.plan import Subject

CATALOGUE = "harness/faults/catalogue.yaml"


@dataclass(frozen=True)
class Change:
    """What differs from an earlier commit.

    Attributes:
        lines: File, relative to the repository, to the numbers of its new and changed lines.
        text: File to its lines that are new, changed or gone, joined.
    """

    lines: Mapping[str, frozenset[int]]
    text: Mapping[str, str]


def scenarios(change: Change, subjects: Iterable[Subject]) -> frozenset[str]:
    """Ids of the scenarios of which a line is new or changed."""
    return frozenset(
        subject.id for subject in subjects if change.lines.get(subject.feature, frozenset()) & subject.lines
    )


def faults(change: Change, known: Iterable[Fault], catalogue: str) -> frozenset[str]:
    """Names of the faults of which the catalogue's entry, the function or the decision is new or changed.

    Args:
        change: What differs.
        known: All faults.
        catalogue: The text of the catalogue.
    """
    lines = entries(catalogue)
    changed = change.lines.get(CATALOGUE, frozenset())
    return frozenset(
        fault.name
        for fault in known
        if changed & set(lines.get(fault.name, ())) or _named(fault, change.text)
    )


def _named(fault: Fault, text: Mapping[str, str]) -> bool:
    where = f"simulators/{fault.component}/"
    name = re.compile(rf"(?<![\w-])({re.escape(fault.name)}|{re.escape(fault.decision)})(?![\w-])")
    return any(
        file.startswith(where) and (name.search(lines) or name.search(file)) for file, lines in text.items()
    )


def entries(text: str) -> dict[str, range]:
    """Name of each fault to the numbers of its lines in the catalogue's text, from 1."""
    starts = [
        (number, match[1])
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := re.fullmatch(r" {0,2}([\w-]+):", line))
    ]
    ends = [number for number, _ in starts[1:]] + [len(text.splitlines()) + 1]
    return {name: range(start, end) for (start, name), end in zip(starts, ends, strict=True)}
