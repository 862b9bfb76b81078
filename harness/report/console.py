"""What the command prints: a line per finished scenario, a block per failure, the last lines of a run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.core.verdicts import Verdict
from harness.guide.claims import CLAIMS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.catalogue import ScenarioRecord
    from harness.report.model import ComponentEntry, Report, Result

# The product under test; Kubernetes is what it runs on, but a simulated one makes the product's half of
# the talk with it a guess.
_PRODUCT = ("teleport", "chart", "kubernetes")
_NAMES = {
    "teleport": "Teleport",
    "chart": "chart",
    "kubernetes": "Kubernetes",
    "kubelet": "kubelet",
    "aws": "AWS",
}
_WIDTH = len(Verdict.WITHHELD)


def progress_line(number: int, of: int, name: str, result: Result) -> str:
    """Gives the one line of a finished scenario.

    Args:
        number: Its place among the finished ones, from 1.
        of: How many were planned.
        name: As in the feature file.
        result: What became of it.
    """
    place = f"[{number:>{len(str(of))}}/{of}]"
    # The frequent verdicts line up; not-applicable is rare, and long.
    return f"{place} {result.verdict:<{_WIDTH}}  {result.id}  {name}  {result.seconds:.1f} s"


def failure_block(
    record: ScenarioRecord | None, result: Result, evidence: Path | None, again: str
) -> list[str]:
    """Gives what a person needs when a scenario failed or broke: claim, step, reason, evidence, command.

    Args:
        record: The scenario, or None if it is unknown.
        result: What became of it.
        evidence: Folder with its evidence, or None.
        again: The command that runs this scenario alone.
    """
    lines = [
        f"claim     {claim}: {CLAIMS[claim].text if claim in CLAIMS else 'unknown claim'}"
        for claim in (record.claims if record else ())
    ]
    broken = next((s for s in result.steps if s.verdict not in (Verdict.PASSED, Verdict.NOT_RUN)), None)
    if broken and record:
        lines.append(f"step      {broken.keyword} {broken.text}  ({record.feature}:{broken.line})")
    if result.reason:
        first, *rest = result.reason.text.splitlines() or [""]
        lines += [f"{result.reason.code}: {first}", *rest]
    if evidence:
        lines.append(f"evidence  {evidence}")
    lines.append(f"again     {again}")
    return [f"    {line}" for line in lines]


def summary_lines(
    report: Report,
    *,
    report_path: Path,
    page: Path | None = None,
    leftovers: Sequence[str] = (),
    interrupted: bool = False,
) -> list[str]:
    """Gives the last lines of a run; the very last says what of the product was tested.

    Args:
        report: The report.
        report_path: Where it lies.
        page: The same for people, or None if there is none.
        leftovers: What clean-up could not remove, one text each.
        interrupted: Whether a signal ended the run.
    """
    counts = [f"{count} {verdict}" for verdict, count in report.summary.items() if count]
    lines = [f"{', '.join(counts) or 'no scenario'} of {len(report.scenarios)} planned"]
    if interrupted:
        lines.append("interrupted: the report covers what had finished by then")
    not_run = {s.reason.text for s in report.scenarios if s.verdict == Verdict.NOT_RUN and s.reason}
    lines += [f"not run: {text}" for text in sorted(not_run)]
    # Several scenarios may note the same; the report has each.
    lines += dict.fromkeys(f"finding ({f.of}, {f.claim}, {f.scenario}): {f.text}" for f in report.findings)
    lines += [f"left behind: {leftover}" for leftover in leftovers]
    conformant = ", ".join(f"{name} {_WORDS[value]}" for name, value in report.conformant.items())
    if report.environment.texts:
        lines.append(texts_line(report))
    lines += [
        f"conformant: {conformant}",
        f"time: {report.timing.seconds:.1f} s, {report.timing.setup_seconds:.1f} s of it to set up",
        f"report: {report_path}",
    ]
    if page:
        lines.append(f"page: {page}")
    return [*lines, product_line(report)]


def texts_line(report: Report) -> str:
    """Counts the texts of the simulated Teleport by how they are known; empty without any.

    Args:
        report: The report.
    """
    texts = report.environment.texts
    counts = Counter(text.provenance for text in texts)
    listed = ", ".join(
        f"{counts[provenance]} {provenance}" for provenance in ("measured", "read", "inferred")
    )
    return f"texts of the simulated Teleport: {listed}; only measured ones decide a check" if texts else ""


_WORDS = {True: "yes", False: "no", None: "cannot be said"}


def product_line(report: Report) -> str:
    """Says in one line what of the product was tested: all of it, part of it or nothing.

    Args:
        report: The report.
    """
    components = report.environment.components
    if not any(scenario.verdict in _RAN for scenario in report.scenarios):
        return "nothing of the product was tested: no scenario ran to a verdict"
    real = [name for name in _PRODUCT if name in components and not components[name].simulated]
    stand_ins = [
        name for name in (*_PRODUCT, "kubelet") if name not in real and _simulated(components.get(name))
    ]
    if "aws" in components and components["aws"].simulated:
        stand_ins.append("aws")
    if "teleport" not in real and "chart" not in real:
        return f"nothing of the product was tested: simulated are {_listed(stand_ins, report)}"
    tested = f"tested: real {_listed(real, report)}"
    return f"{tested}; simulated {_listed(stand_ins, report)}" if stand_ins else tested


_RAN = {Verdict.PASSED, Verdict.FAILED, Verdict.KNOWN_DEVIATION}


def _simulated(component: ComponentEntry | None) -> bool:
    return component is None or component.simulated


def _listed(names: Sequence[str], report: Report) -> str:
    components = report.environment.components

    def told(name: str) -> str:
        component = components.get(name)
        if component is None:
            return _NAMES[name]
        # What keeps AWS's state is the part of it that has a version.
        by = f" by {component.kind.rpartition(' over ')[2]}" if name == "aws" else ""
        return f"{_NAMES[name]}{by} {component.version}"

    return ", ".join(told(name) for name in names)
