"""`./conformance coverage`: which scenario checks which claim, with what verdict, and when it was shown red."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.catalogue import outline_id, read_catalogue
from harness.core.errors import UsageError
from harness.core.verdicts import claim_verdict
from harness.faults.catalogue import FAULT_MARK
from harness.guide.coverage import ENVIRONMENTS, Carrier, Coverage, coverage, load_shown_red
from harness.report.tables import as_columns, as_markdown
from harness.report.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.catalogue import ScenarioRecord

FEATURES = Path(__file__).parents[2] / "features"

_PRODUCT = ("teleport", "chart", "kubernetes")


@click.command(name="coverage")
@click.argument("reports", metavar="[REPORT]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    help="How it is printed.",
)
def coverage_(reports: tuple[Path, ...], form: str) -> None:
    """Lists the claims of the guide with their scenarios; verdicts are those of the reports given.

    Exit code 1 where a claim has neither scenario nor reason, a tag names no claim, a scenario checks
    an older revision than the claim has, or a record of a scenario shown red fits no scenario.
    """
    found = coverage(carriers(read_catalogue(FEATURES)), outcomes(reports), load_shown_red())
    click.echo({"text": as_text, "json": as_json, "markdown": as_markdown_page}[form](found), nl=False)
    sys.exit(1 if found.problems else 0)


def carriers(records: Sequence[ScenarioRecord]) -> list[Carrier]:
    """Gives the pairs of scenario and claim in the feature files; an Outline counts as one scenario.

    Args:
        records: The catalogue.
    """
    return [
        Carrier(outline_id(record), claim, int(revision) if revision.isdigit() else 1)
        for record in records
        for family, _, value in (tag.partition(":") for tag in record.tags)
        if family == "guide"
        for claim, _, revision in [value.partition("~")]
    ]


def outcomes(reports: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Gives environment -> scenario -> verdict; of several reports the latest one that has the scenario counts.

    Args:
        reports: Files of conformance reports.

    Raises:
        UsageError: One cannot be read, disagrees with itself, or was made with a fault.
    """
    documents = sorted(
        (_document(path) for path in reports), key=lambda document: document["timing"]["finished"]
    )
    found: dict[str, dict[str, str]] = {}
    for document in documents:
        seen: dict[str, list[str]] = {}
        for scenario in document["scenarios"]:
            seen.setdefault(scenario["id"].partition("[")[0], []).append(scenario["verdict"])
        verdicts = {scenario: claim_verdict(each).value for scenario, each in seen.items()}
        found.setdefault(_where(document), {}).update(verdicts)
    return found


def _document(path: Path) -> dict[str, Any]:
    remedy = "Give a conformance-report.json; `./conformance report verify` tells more."
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            expected=f"a conformance report in {path}", seen=str(error), remedy=remedy
        ) from error
    problems = verify(document)
    if problems:
        raise UsageError(
            expected=f"a report in {path} that agrees with itself", seen=problems[0], remedy=remedy
        )
    faults = [text for text in document["environment"]["additions"] if text.startswith(FAULT_MARK)]
    if faults:
        raise UsageError(
            expected="reports of runs without a fault",
            seen=f"{path}: {faults[0]}",
            remedy="Leave it out: what a faulty run shows says nothing of the claims.",
        )
    return document


def _where(document: Mapping[str, Any]) -> str:
    """Names an environment by what of the product was real in it, and the guide's edition."""
    name = document["environment"]["name"]
    components = document["environment"]["components"]
    simulated = {part: components.get(part, {}).get("simulated", True) for part in _PRODUCT}
    if name == "lab":
        kind = "simulated" if all(simulated.values()) else "mixed" if any(simulated.values()) else "real"
        name = f"lab-{kind}"
    return f"{name}, edition {document['guide']['edition']}"


def as_text(found: Coverage) -> str:
    """Gives the table for a terminal, then the problems, then a line that counts."""
    return "\n".join([as_columns(list(_table(found))), *_end(found), ""])


def as_markdown_page(found: Coverage) -> str:
    """Gives the same as Markdown."""
    *problems, last = _end(found)
    return "\n".join([as_markdown(list(_table(found))), *(f"- {each}" for each in problems), "", last, ""])


def as_json(found: Coverage) -> str:
    """Gives everything, for machines."""
    claims = [
        {
            "id": row.claim.id,
            "section": row.claim.section,
            "text": row.claim.text,
            "revision": row.claim.revision,
            "untestable": row.claim.untestable,
            "scenarios": list(row.scenarios),
            "verdicts": dict(row.verdicts),
            "shown_red": {
                environment: {"day": shown.day, "scenario": shown.scenario, "by": shown.by}
                for environment, shown in row.shown_red.items()
            },
        }
        for row in found.rows
    ]
    return (
        json.dumps({"claims": claims, "problems": list(found.problems)}, indent=2, ensure_ascii=False) + "\n"
    )


def _table(found: Coverage) -> Iterator[list[str]]:
    judged = list(dict.fromkeys(environment for row in found.rows for environment in row.verdicts))
    seen = {environment for row in found.rows for environment in row.shown_red}
    red = [*ENVIRONMENTS, *sorted(seen - set(ENVIRONMENTS))]
    yield ["claim", "scenarios", *judged, *(f"red in {environment}" for environment in red)]
    for row in found.rows:
        none = "untestable" if row.claim.untestable else "NONE"
        shown = [row.shown_red.get(environment) for environment in red]
        yield [
            row.claim.id,
            "\n".join(row.scenarios) or none,
            *(row.verdicts.get(environment, "-") for environment in judged),
            *(each.day if each else "-" for each in shown),
        ]


def _end(found: Coverage) -> list[str]:
    untestable = [
        f"{row.claim.id} is untestable: {row.claim.untestable}" for row in found.rows if row.claim.untestable
    ]
    covered = sum(bool(row.scenarios) for row in found.rows)
    open_ = sum(not row.scenarios and row.claim.untestable is None for row in found.rows)
    count = (
        f"{len(found.rows)} claims: {covered} with a scenario, {len(untestable)} untestable, "
        f"{open_} with neither; {len(found.problems)} problems"
    )
    return [*untestable, *found.problems, count]
