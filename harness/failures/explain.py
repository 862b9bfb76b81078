"""What a text or a log of the reader's tells of the failures in the table."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, get_args

from harness.failures.table import FAILURES
from harness.failures.texts import Provenance

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from packaging.version import Version

    from harness.failures.table import Failure
    from harness.failures.texts import Text

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")

_MILD = re.compile(r"\b(?:INFO|DEBU|DEBUG)\b")

_LONGEST_MESSAGE = 20
"""Lines of one message at most; more is a log, the lines of which have nothing to do with each other."""


@dataclass(frozen=True)
class Sighting:
    """A text of the table that stands in a line.

    Attributes:
        number: of the line, from 1.
        line: the line, as it was read; it may hold secrets.
        text: the table's.
    """

    number: int
    line: str
    text: Text


@dataclass(frozen=True)
class Explained:
    """A failure that a text shows.

    Attributes:
        failure: of the table.
        sightings: of its words, the most telling first.
    """

    failure: Failure
    sightings: tuple[Sighting, ...]

    @property
    def words(self) -> str:
        """The most telling of its words; failures that share them are told apart by their diagnoses alone."""
        return without_names(self.sightings[0].text)


def without_names(text: Text) -> str:
    """Give the words of a text without what differs from run to run."""
    return _PLACEHOLDER.sub("{}", text.text)


def explained(
    seen: str, version: Version | None = None, failures: Collection[Failure] | None = None
) -> tuple[tuple[Explained, ...], ...]:
    """Find the failures whose words stand in a text; no others, and none by words that are only alike.

    Args:
        seen: a text, or a log of many lines.
        version: the Teleport version that wrote it; without one, texts of all versions count.
        failures: of which the words are looked for; all of the table.

    Returns:
        Groups of failures, likeliest first: what is no mere information, then the longest words, then the best
        known. The failures of one group are told by the same words.
    """
    lines = [_ways(line) for line in _COLOUR.sub("", seen).splitlines()]
    whole = "\n".join("\n".join(ways) for ways in lines)
    found = [
        Explained(failure, sightings)
        for failure in (FAILURES.values() if failures is None else failures)
        if (sightings := _sightings(lines, whole, failure, version))
    ]
    # Of a message that a terminal or a letter has wrapped, no line is whole.
    if not found and 1 < len(lines) <= _LONGEST_MESSAGE:
        return explained(" ".join(ways[0].strip() for ways in lines), version, failures)
    found.sort(key=lambda each: (each.words, each.failure.name))
    groups = [tuple(group) for _, group in groupby(found, key=lambda each: each.words)]

    def rank(group: tuple[Explained, ...]) -> tuple[bool, tuple[int, int]]:
        first = group[0].sightings[0]
        return _is_mild(first.line), _rank(first)

    return tuple(sorted(groups, key=rank))


def _sightings(
    lines: Sequence[Sequence[str]], whole: str, failure: Failure, version: Version | None
) -> tuple[Sighting, ...]:
    found: dict[str, Sighting] = {}
    for text in sorted(failure.texts, key=_rank_of):
        words = without_names(text)
        if words in found or not (version is None or text.versions.contains(version, prereleases=True)):
            continue  # known better by another version or place, or none of this version's
        # Most texts are not in a log at all, which is told quickest by what they have in one piece.
        piece, pattern = max(words.split("{}"), key=len), text.pattern()
        if piece not in whole:
            continue
        seen = [
            Sighting(number, ways[0], text)
            for number, ways in enumerate(lines, start=1)
            if any(piece in way and pattern.search(way) for way in ways)
        ]
        if seen:
            found[words] = min(seen, key=lambda sighting: (_is_mild(sighting.line), sighting.number))
    return tuple(sorted(found.values(), key=_rank))


def _ways(line: str) -> Sequence[str]:
    """A line as it is, as it reads out of JSON, and as it reads where Teleport wrote an error's quotes as HTML."""
    return tuple(dict.fromkeys((line, line.replace('\\"', '"'), html.unescape(line))))


def _is_mild(line: str) -> bool:
    """Whether whoever wrote the line took it for no error."""
    return _MILD.search(line) is not None


def _rank(sighting: Sighting) -> tuple[int, int]:
    return _rank_of(sighting.text)


def _rank_of(text: Text) -> tuple[int, int]:
    return -len(_PLACEHOLDER.sub("", text.text)), get_args(Provenance).index(text.provenance)
