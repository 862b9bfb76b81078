"""`report.html` from the conformance report: one page for people, which loads nothing and runs nothing.

The template beside this file has the page; here is what it shows. All text is escaped by the template
engine, and the page's own policy forbids scripts and everything from outside.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2

from harness.core.files import write_atomically
from harness.core.verdicts import DECIDING_COMPONENTS, Verdict, is_all_real
from harness.guide.claims import CLAIMS
from harness.report.console import product_line, texts_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.core.findings import Finding
    from harness.report.model import ClaimEntry, Report, ScenarioEntry

HTML_NAME = "report.html"
SHOWN_CHARACTERS = 8_000
"""How much of one evidence file the page shows; the file has the rest."""

_TEMPLATE = "report.html.j2"
# Control characters (terminals put them into messages), and those that turn the direction of a line and so
# could make a text read as another one.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Shown:
    """One piece of evidence as the page shows it.

    Attributes:
        title: What was asked or run.
        text: Its content, or why there is none.
        link: The whole file, relative to the page.
        cut: Whether `text` is only its beginning.
        seconds: How long it took, or None when that says nothing.
    """

    title: str
    text: str
    link: str
    cut: bool
    seconds: float | None = None


@dataclass(frozen=True)
class Section:
    """A section of the guide with its claims, in the guide's order.

    Attributes:
        title: The section's, shortened.
        claims: Its claims.
        counts: How many have which verdict, in words.
    """

    title: str
    claims: list[ClaimEntry]
    counts: str


def write_html(report: Report, path: Path, *, folder: Path) -> None:
    """Writes the report as one self-contained page, whole or not at all.

    Args:
        report: The report.
        path: The file; its folder must exist.
        folder: Where the evidence folders of the report begin, usually the page's own.

    Raises:
        EnvironmentBroken: It cannot be written.
    """
    page = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            report=report,
            simulated=_simulated_product(report),
            nothing_real=_nothing_real(report),
            faults=report.environment.faults,
            texts_line=texts_line(report),
            product=product_line(report),
            counts=_counts([scenario.verdict for scenario in report.scenarios]),
            conformant=[(profile, *_conformance(report, profile)) for profile in report.conformant],
            sections=list(_sections(report)),
            texts=CLAIMS,
            evidence={scenario.id: list(_evidence(scenario, folder)) for scenario in report.scenarios},
            findings=_findings(report),
            planned={scenario.id for scenario in report.scenarios},
        )
    )
    # Evidence may hold halves of a character, which UTF-8 cannot.
    write_atomically(path, page.encode("utf-8", "replace"))


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        autoescape=True,
        finalize=_visible,
        keep_trailing_newline=True,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _visible(value: object) -> object:
    # Exactly `str`: what is already marked as safe must stay so.
    return _UNSEEN.sub("\ufffd", value) if type(value) is str else value


def _simulated_product(report: Report) -> list[str]:
    """Names the simulated components that keep the run from being one of the product, and AWS beside them."""
    components = report.environment.components
    deciding = [name for name, seen in components.items() if name in DECIDING_COMPONENTS and seen.simulated]
    aws = components.get("aws")
    return [*deciding, "aws"] if deciding and aws and aws.simulated else deciding


def _nothing_real(report: Report) -> bool:
    """Tells whether Teleport and chart both ran, and neither of them was the product's."""
    components = report.environment.components
    return all(name in components and components[name].simulated for name in ("teleport", "chart"))


def _counts(verdicts: list[str]) -> str:
    counted = [f"{verdicts.count(verdict)} {verdict.value}" for verdict in Verdict if verdict in verdicts]
    return ", ".join(counted) or "none"


def _conformance(report: Report, profile: str) -> tuple[str, str]:
    """Says in words whether the product conforms to the profile, and why nothing can be said."""
    value = report.conformant[profile]
    suite = report.suite.profiles.get(profile, [])
    planned = [scenario for scenario in report.scenarios if profile in scenario.profiles]
    counts = _counts([scenario.verdict for scenario in planned])
    if value is not None:
        return ("conforms" if value else "does not conform"), counts
    if not suite:
        return "cannot be said", "the suite has no scenario of this profile"
    components = report.environment.components
    reasons = []
    if not is_all_real({name: seen.simulated for name, seen in components.items()}):
        names = sorted(n for n in DECIDING_COMPONENTS if n not in components or components[n].simulated)
        reasons.append(f"not real: {', '.join(names)}")
    missing = len(set(suite) - {scenario.id for scenario in planned})
    if missing:
        reasons.append(f"{missing} of its {len(suite)} scenarios were not selected")
    return "cannot be said", "; ".join([*reasons, counts])


def _sections(report: Report) -> Iterator[Section]:
    order = {claim: place for place, claim in enumerate(CLAIMS)}
    claims = sorted(report.claims, key=lambda claim: order.get(claim.id, len(order)))
    for title, group in groupby(claims, lambda claim: _section_of(claim.id)):
        members = list(group)
        yield Section(title, members, _counts([claim.verdict for claim in members]))


def _section_of(claim: str) -> str:
    return CLAIMS[claim].section if claim in CLAIMS else "Not in the guide"


def _findings(report: Report) -> list[tuple[Finding, list[str]]]:
    """Gives each finding once, with all scenarios that noted it."""
    noted: dict[tuple[str, str, str], tuple[Finding, list[str]]] = {}
    for finding in report.findings:
        key = (finding.of, finding.claim, finding.text)
        noted.setdefault(key, (finding, []))[1].append(finding.scenario)
    return list(noted.values())


def _evidence(scenario: ScenarioEntry, folder: Path) -> Iterator[Shown]:
    """Reads what was recorded, then tracebacks, which nobody records."""
    if scenario.evidence is None:
        return
    place = scenario.evidence.folder
    records = [(str(each["file"]), each) for each in scenario.evidence.records]
    tracebacks = sorted(each.name for each in (folder / place).glob("traceback-*.txt"))
    for name, record in [*records, *((name, {}) for name in tracebacks)]:
        text, cut = _content(folder, f"{place}/{name}")
        command = record.get("kind") == "command"
        yield Shown(
            title=str(record.get("title", name)),
            text=text,
            # The dot keeps a name with a colon from being read as the scheme of an address.
            link=f"./{quote(f'{place}/{name}')}",
            cut=cut,
            seconds=float(record["seconds"]) if command and "seconds" in record else None,
        )


def _content(folder: Path, name: str) -> tuple[str, bool]:
    file = folder / name
    try:
        if not file.resolve().is_relative_to(folder.resolve()):
            return "not shown: the file is outside the report's folder", False
        text = _readable(file.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        return f"not shown: the file cannot be read ({reason})", False
    return text[:SHOWN_CHARACTERS], len(text) > SHOWN_CHARACTERS


def _readable(text: str) -> str:
    """Shows a record as a terminal or an oracle would; anything else as it is."""
    try:
        record = json.loads(text)
    except ValueError:
        return text
    if not isinstance(record, dict):
        return text
    try:
        match record.get("kind"):
            case "command":
                return _command(record)
            case "oracle":
                return _oracle(record)
    except (KeyError, TypeError):
        pass  # made by another version; the raw text is right whatever it means
    return text


def _command(record: dict[str, Any]) -> str:
    parts = [f"$ {shlex.join(record['argv'])}", f"# exit code {record['exit_code']}, in {record['cwd']}"]
    streams = {stream: record[stream].rstrip() for stream in ("stdout", "stderr")}
    parts += [f"# {stream}\n{text}" for stream, text in streams.items() if text]
    return "\n".join(parts)


def _oracle(record: dict[str, Any]) -> str:
    query, value = (
        each if isinstance(each, str) else json.dumps(each, ensure_ascii=False, indent=2)
        for each in (record["query"], record["value"])
    )
    return f"# {record['oracle']}, at {record['at']}\n? {query}\n{value}"
