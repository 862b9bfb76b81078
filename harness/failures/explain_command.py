"""`./conformance explain`: which failure a text or a log tells of, what it means and what mends it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from packaging.version import InvalidVersion, Version

from harness.core.errors import UsageError
from harness.core.redaction import redact
from harness.failures.explain import Explained, explained, without_names
from harness.failures.table import FAILURES, TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.failures.explain import Sighting

_LONGEST = 300
"""Characters shown of a line."""

_BESIDES = {
    "nothing": "nothing",
    "restart": "a new pod of the agent",
    "reinstall": "installing the release again",
    "sign-in": "signing in again",
}


@click.command()
@click.argument("seen", metavar="TEXT|LOGFILE|-")
@click.option("--version", metavar="VERSION", help="Teleport's, to leave out what other versions say.")
def explain(seen: str, version: str | None) -> None:
    """Says which failure a message or a log tells of, what it means and what mends it.

    Exit code 0: found; 1: unknown, none of the table's words are in it; 4: usage error.
    """
    given, is_file = _read(seen)
    at = _version(version)
    groups = explained(given, at)
    lines = as_text(groups, numbered=is_file) if groups else unknown(given, at)
    for line in lines:
        click.echo(line)
    sys.exit(0 if groups else 1)


def _read(seen: str) -> tuple[str, bool]:
    """What to look in, and whether it has line numbers that the reader knows."""
    file = Path(seen)
    try:
        if seen == "-":
            text, is_file = sys.stdin.buffer.read().decode(errors="replace"), True
        elif _names_a_file(seen):
            text, is_file = file.read_text(encoding="utf-8", errors="replace"), True
        else:
            text, is_file = seen, False
    except OSError as error:
        raise UsageError(
            expected=f"a log in {file}",
            seen=str(error),
            remedy="Name a file, or give the text itself in quotes.",
        ) from error
    if not text.strip():
        raise UsageError(
            expected="a text, or a log with something in it",
            seen="nothing",
            remedy="Give the message in quotes, a file, or - for standard input.",
        )
    return text, is_file


def _names_a_file(seen: str) -> bool:
    try:
        if Path(seen).exists():
            return True
    except (OSError, ValueError):  # longer than a name may be, or with what none may have
        return False
    # No message is one word that ends so: the name is misspelt.
    return len(seen.split()) == 1 and seen.endswith((".log", ".txt", ".json"))


def _version(version: str | None) -> Version | None:
    try:
        return Version(version) if version else None
    except InvalidVersion as error:
        raise UsageError(
            expected="a version of Teleport, as 13.0.0-dev", seen=str(version), remedy="Correct --version."
        ) from error


def unknown(given: str, version: Version | None) -> Iterator[str]:
    """Give the lines for a text that shows no failure of the table.

    Args:
        given: the text.
        version: that it was looked for at, if any.
    """
    of = f" of Teleport {version}" if version else ""
    yield f"unknown: none of the {len(TEXTS)} texts of {len(FAILURES)} failures{of} stands in it"
    others = {each.failure.cause for group in explained(given) for each in group} if version else set()
    if others:
        yield f"known of other versions, where it means: {'; or '.join(sorted(others))}"


def as_text(groups: Sequence[Sequence[Explained]], *, numbered: bool) -> Iterator[str]:
    """Give the lines for what was found, likeliest first.

    Args:
        groups: as `explained` gives them.
        numbered: whether to say in which line the words stand.
    """
    for index, group in enumerate(groups):
        if index:
            yield ""
        if len(group) > 1:
            yield f"{len(group)} failures have these words; what each means tells them apart"
        for each in group:
            yield from _block(each, numbered=numbered)


def _block(each: Explained, *, numbered: bool) -> Iterator[str]:
    failure = each.failure
    yield f"{failure.cause} ({failure.name})"
    for sighting in _telling(each.sightings):
        yield f"  {f'line {sighting.number}' if numbered else 'seen'}: {_shown(sighting)}"
        known = [text for text in failure.texts if without_names(text) == without_names(sighting.text)]
        yield f"  known: {'; '.join(f'{t.provenance} {t.place} {t.versions} ({t.source})' for t in known)}"
    yield f"  means: {failure.diagnosis}"
    yield f"  fix: {failure.fix}"
    yield f"  needed besides: {_BESIDES[failure.besides]}"
    if failure.passes:
        yield "  goes away by itself once the cause has gone"


def _telling(sightings: Sequence[Sighting]) -> Sequence[Sighting]:
    """Those that are no part of what another says of the same line."""
    return [
        part
        for index, part in enumerate(sightings)
        if not any(
            whole.number == part.number and without_names(part.text) in without_names(whole.text)
            for whole in sightings[:index]
        )
    ]


def _shown(sighting: Sighting) -> str:
    line = redact(sighting.line).strip()
    if len(line) <= _LONGEST:
        return line
    piece = max(without_names(sighting.text).split("{}"), key=len)
    start = max(line.find(piece) - _LONGEST // 3, 0)
    end = start + _LONGEST
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"
