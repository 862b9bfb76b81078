"""`./conformance failures`: the table of failures as a page."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from harness.catalogue import read_catalogue
from harness.failures.table import FAILURES
from harness.report.coverage_command import FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.failures.table import Failure

FAMILIES = {
    "aws": "In AWS",
    "token": "The joining token",
    "impostor": "Someone else",
    "teleport": "Teleport itself",
    "agent": "The agent",
    "chart": "The chart and its releases",
    "user": "The user",
}
"""Headings, in the order of the page."""

HEAD = """# Failures: what breaks, where it shows, what mends it

`./conformance failures` prints this page; a test compares it with `harness/failures/table`. `./conformance explain`
looks up a text or a log in it. A text is *measured* where the real program of that version was seen to print it, *read*
in its source or documentation, or *inferred*; only measured ones decide a check. `{name}` stands for what differs.
"""

AFTERWARDS = {
    "nothing": "",
    "restart": " Then delete the agent's pod.",
    "reinstall": " Then install the release again.",
    "sign-in": " Then sign in again.",
}


@click.command()
def failures() -> None:
    """Prints every failure that is known: where it shows, in which words, what it means and what mends it."""
    shown: dict[str, list[str]] = {}
    for record in read_catalogue(FEATURES):
        for mode in record.failures:
            shown.setdefault(mode, []).append(record.id)
    click.echo(page(shown), nl=False)


def page(scenarios: Mapping[str, Iterable[str]]) -> str:
    """The page.

    Args:
        scenarios: Failure to ids of the scenarios that show it.
    """
    parts = [HEAD]
    for family, heading in FAMILIES.items():
        rows = [failure for failure in FAILURES.values() if failure.family == family]
        if rows:
            parts.append(f"## {heading}\n")
            parts += [_section(failure, sorted(scenarios.get(failure.name, ()))) for failure in rows]
    return "\n".join(parts)


def _section(failure: Failure, scenarios: Iterable[str]) -> str:
    shown = ", ".join(f"`{one}`" for one in scenarios) or "no scenario"
    mended = " It goes away by itself once the cause has." if failure.passes else ""
    cause = f"{failure.cause[0].upper()}{failure.cause[1:]}. ({shown})"
    words = f"{failure.diagnosis} **Fix:** {failure.fix}{AFTERWARDS[failure.besides]}{mended}"
    lines = [f"### {failure.name}\n", f"{_wrapped(cause)}\n", f"{_wrapped(words)}\n"]
    if failure.texts:
        lines += ["| place | versions | text | known |", "|---|---|---|---|"]
        lines += [
            f"| {text.place} | {str(text.versions).replace('|', '')} | `{text.text.replace('|', '¦')}` "
            f"| {text.provenance}, {text.source} |"
            for text in failure.texts
        ]
        lines.append("")
    else:
        lines.append(f"It shows in no words of its own ({failure.source}).\n")
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
