"""What a change touches: scenarios by their lines and by the modules of their steps, faults by their names."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.faults.catalogue import Fault
    from harness.faults.plan import Subject

CATALOGUE = "harness/faults/catalogue.yaml"

STEPS = "steps/"

EVERYWHERE = (
    "harness/adapters/",
    "harness/core/waiting.py",
    "harness/environment.py",
    "harness/premises.py",
    "harness/registration.py",
    "harness/scenario.py",
)
"""Where a change may make any scenario blind: what all of them look and judge with."""

FAILURES = ("harness/causes/", "harness/failures/")
"""Where a change may make any scenario of a failure mode blind."""

_PHRASE = re.compile(
    r"""@(?:given|when|then|step)\(\s*(?:parsers\.parse\(\s*)?"""
    r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
)


@dataclass(frozen=True)
class Change:
    """What differs from an earlier commit.

    Attributes:
        lines: File, relative to the repository, to the numbers of its new and changed lines.
        text: File to its lines that are new, changed or gone, joined.
    """

    lines: Mapping[str, frozenset[int]]
    text: Mapping[str, str]


def scenarios(change: Change, subjects: Iterable[Subject], modules: Mapping[str, str]) -> frozenset[str]:
    """Ids of the scenarios of which a line, a module of steps or what all of them use is new or changed.

    Args:
        change: What differs.
        subjects: All scenarios.
        modules: Each changed file below `steps/` to its text as it is now; empty where it is gone.
    """
    phrases: set[str] = set()
    everything = any(file.startswith(EVERYWHERE) for file in change.text)
    for file in _step_files(change):
        # What is gone from it was used as well.
        found = {ast.literal_eval(one) for one in _PHRASE.findall(modules[file] + "\n" + change.text[file])}
        # A module without a phrase is one that the others use.
        everything |= not found
        phrases |= found
    of_failures = any(file.startswith(FAILURES) for file in change.text)
    patterns = [_pattern(phrase) for phrase in phrases]
    return frozenset(
        subject.id
        for subject in subjects
        if everything
        or change.lines.get(subject.feature, frozenset()) & subject.lines
        or any(pattern.fullmatch(step) for pattern in patterns for step in subject.steps)
        or (of_failures and any(claim.startswith("failure:") for claim in subject.claims))
    )


def _pattern(phrase: str) -> re.Pattern[str]:
    """What finds the steps of a phrase, with anything in the place of its arguments."""
    return re.compile(".+".join(re.escape(part) for part in re.split(r"\{\w+\}", phrase)))


def _step_files(change: Change) -> list[str]:
    return [file for file in change.text if file.startswith(STEPS) and file.endswith(".py")]


def uncovered(
    change: Change, known: Sequence[Fault], catalogue: str, subjects: Iterable[Subject]
) -> list[str]:
    """Files that differ and by which nothing is touched: what is tried shows nothing of them.

    Args:
        change: What differs.
        known: All faults.
        catalogue: The text of the catalogue.
        subjects: All scenarios.
    """
    seen = {one.feature for one in subjects if change.lines.get(one.feature, frozenset()) & one.lines}
    steps = _step_files(change)
    return sorted(
        file
        for file in change.text
        if file not in seen
        and file not in steps
        and not file.startswith((*EVERYWHERE, *FAILURES))
        and not faults(
            Change({file: change.lines.get(file, frozenset())}, {file: change.text[file]}), known, catalogue
        )
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
