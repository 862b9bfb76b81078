"""`./conformance drift`: what another text of the guide has gone, changed, moved or new."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.catalogue import read_catalogue
from harness.core.errors import UsageError
from harness.guide.drift import Comparison, Drift, compare
from harness.guide.editions import EDITIONS
from harness.guide.passages import row_for
from harness.report.coverage_command import FEATURES, carriers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_AROUND = 2
"""Words shown on each side of a difference."""

_LONGEST = 300
"""Characters shown of what a text has; JSON has all of it."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--edition", default="17", metavar="|".join(EDITIONS), help="Edition to compare with (17).")
@click.option("--commands-only", is_flag=True, help="Leave the prose out, for a FILE that has none.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    help="How it is printed.",
)
def drift(file: Path, edition: str, *, commands_only: bool, form: str) -> None:
    """Compares FILE, another text of the guide (plain, Markdown or MDX), with an edition of it.

    Exit code 0: no difference; 1: some; 4: FILE cannot be read, or is no text of the guide.
    """
    found = compare(_source(file), edition, commands_only=commands_only)
    scenarios: dict[str, list[str]] = {}
    for carrier in carriers(read_catalogue(FEATURES)):
        scenarios.setdefault(carrier.claim, []).append(carrier.scenario)
    render = {"text": as_text, "json": as_json, "markdown": as_markdown}[form]
    click.echo(render(found, scenarios), nl=False)
    sys.exit(1 if found.drifts else 0)


def _source(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            expected=f"a text of the guide in {file}",
            seen=str(error),
            remedy="Name a file in UTF-8: text, Markdown or MDX.",
        ) from error


def as_text(found: Comparison, scenarios: Mapping[str, Sequence[str]]) -> str:
    """Gives a block per difference, then the notes, then a line that counts.

    Args:
        found: What to show.
        scenarios: Claim id to the scenarios that carry it.
    """
    blocks = ["".join(f"{line}\n" for line in _block(each, scenarios)) for each in found.drifts]
    end = "".join(f"{line}\n" for line in _end(found))
    return "\n".join([*blocks, end])


def as_markdown(found: Comparison, scenarios: Mapping[str, Sequence[str]]) -> str:
    """Gives the same as Markdown: a list."""
    lines = []
    for each in found.drifts:
        heading, *rest = _block(each, scenarios)
        lines += [f"- **{each.kind}**{heading.removeprefix(each.kind)}", "", "  ```text"]
        lines += [f"  {line.strip()}" for line in rest]
        lines += ["  ```", ""]
    return "".join(f"{line}\n" for line in [*lines, *_end(found)])


def as_json(found: Comparison, scenarios: Mapping[str, Sequence[str]]) -> str:
    """Gives everything, for machines; of new prose also the row for the passages' file."""
    drifts = [
        {
            **asdict(each),
            "scenarios": touched(each, scenarios),
            **({"row": row_for(each.now)} if (each.kind, each.what) == ("new", "prose") else {}),
        }
        for each in found.drifts
    ]
    document = {
        "edition": found.edition,
        "compared": found.compared,
        "drifts": drifts,
        "notes": list(found.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def touched(each: Drift, scenarios: Mapping[str, Sequence[str]]) -> list[str]:
    """Gives the scenarios that carry one of the claims touched."""
    return list(dict.fromkeys(scenario for claim in each.claims for scenario in scenarios.get(claim, ())))


def _block(each: Drift, scenarios: Mapping[str, Sequence[str]]) -> Iterator[str]:
    place = f", line {each.line}" if each.line else ""
    yield f"{each.kind} {each.what}{place}{f' ({each.remark})' if each.remark else ''}"
    if each.kind == "changed" and each.what in ("command", "file", "output", "remark") and not each.remark:
        yield f"  printed: {_short(each.printed.splitlines()[0])}"
        yield from (f"  {line}" for line in _differences(each.printed, each.now))
    else:
        if each.printed:
            yield f"  printed: {_short(' '.join(each.printed.split()))}"
        if each.now and each.kind != "moved":
            yield f"  now: {_short(each.now)}"
    beside = "beside claims" if each.kind == "new" else "claims"
    yield f"  {beside}: {', '.join(each.claims) or 'none'}"
    yield f"  scenarios: {', '.join(touched(each, scenarios)) or 'none'}"


def _differences(printed: str, now: str) -> Iterator[str]:
    """Gives the words that differ, with a few around them."""
    before, after = printed.split(), now.split()
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for tag, start, end, now_start, now_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        lead = before[max(start - _AROUND, 0) : start]
        trail = before[end : end + _AROUND]
        if start < end:
            yield f"- {_short(' '.join([*lead, *before[start:end], *trail]))}"
        if now_start < now_end:
            yield f"+ {_short(' '.join([*lead, *after[now_start:now_end], *trail]))}"


def _end(found: Comparison) -> Iterator[str]:
    for note in found.notes:
        yield f"note: {note}"
    kinds = [each.kind for each in found.drifts]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("gone", "changed", "moved", "new"))
    yield f"edition {found.edition}: {found.compared} pieces compared; {counts}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
