"""`./conformance faults`: tries the faults and writes what they showed."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import EnvironmentBroken
from harness.core.files import write_atomically
from harness.core.settings import Settings
from harness.core.verdicts import Verdict
from harness.faults import labs, plan, prove, shown, touched
from harness.faults.catalogue import CATALOGUE, FAULTS, NOT_APPLICABLE, OTHERWISE, WITHHELD, real_parts
from harness.faults.matrix import Matrix
from harness.faults.page import page
from harness.faults.plan import FAILURE
from harness.faults.touched import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.faults.catalogue import Fault
    from harness.faults.plan import Subject, Trial

MATRIX_NAME = "faults.json"
PAGE_NAME = "faults.html"
MADE_OF = (
    *("env", "teleport", "control_plane", "chart", "helm", "kubectl", "guide_edition", "simulated_teleport"),
    *("teleport_image", "node_image", "agent_image", "aws_backend", "localstack_image", "gateway_image"),
    *("other_agent_image", "webhook_image", "licence", "registry_secret", "kind"),
)
"""Settings that an environment is made of."""

SAMPLE = 6
"""Pairs of fault and scenario that are tried at each change beside what it touches: a minute or two."""


@dataclass(frozen=True)
class Wanted:
    """What to try.

    Attributes:
        names: Faults; all where there are none.
        seed: Of the random choices.
        labs: How many labs side by side.
        workers: Scenarios at a time in each lab. Most of them wait for what does not come.
        named: Whether each fault is tried only on the scenarios that the catalogue names: enough to prove claims,
            and it shows nothing of who else notices.
        record: File of the guide's data to note in what was seen red; None for none.
        change: Since when only what is touched is tried, and a sample; None for all.
    """

    names: Sequence[str] = ()
    seed: int = 1
    labs: int = 2
    workers: int = 4
    named: bool = False
    record: Path | None = None
    change: Change | None = None


@dataclass(frozen=True)
class Ways:
    """How the command reaches what it may not import.

    Attributes:
        run: Runs the suite with arguments into a folder.
        end: Ends those runs.
        read: Reads the report of such a run.
        tell: Prints one line.
    """

    run: Callable[[Sequence[str], Path], int]
    end: Callable[[], None]
    read: Callable[[Path], labs.Lab]
    tell: Callable[[str], None]


def faults(
    settings: Settings, subjects: Sequence[Subject], wanted: Wanted, ways: Ways, facts: Mapping[str, object]
) -> int:
    """Tries faults, writes matrix and page into the report folder, tells what is to mend.

    Args:
        settings: What the environments are made of.
        subjects: Scenarios that are chosen.
        wanted: What to try.
        ways: How.
        facts: Versions and the like, for the matrix.

    Returns:
        0 where every claim of every scenario is proven and every fault has a victim or a reason, else 1.

    Raises:
        EnvironmentBroken: A scenario does not pass where nothing is made wrong.
        UsageError: A fault is unknown.
    """
    began = time.monotonic()
    known = plan.expanded(
        prove.chosen(FAULTS, wanted.names, _real(settings), images=settings.env == "kind"), subjects
    )
    runs = _Runs(settings, wanted, ways)
    excluded: dict[str, str] = {}
    if wanted.change is not None:
        trials, touching, quiet = _of_change(known, subjects, wanted, ways)
        tried_on = {one for trial in trials for one in trial.aimed} | touching
        # What fails by the change itself would be taken for noticing any fault.
        clean, excluded = prove.clean_lab([one for one in subjects if one.id in tried_on], runs, ways.tell)
        trials = [replace(trial, aimed=tuple(one for one in trial.aimed if one in clean)) for trial in trials]
        subjects = [one for one in subjects if one.id in touching]
    elif wanted.named:
        clean, excluded = prove.clean_lab(subjects, runs, ways.tell)
        trials = plan.by_catalogue(known, [one for one in subjects if one.id in clean])
        quiet = known
    else:
        clean, excluded = prove.clean_labs(subjects, runs, ways.tell, labs=wanted.labs)
        trials, quiet = plan.by_decisions(known, clean, wanted.seed), known
    rows = prove.try_faults([trial for trial in trials if trial.scenarios], runs, ways.tell, labs=wanted.labs)
    tried = {row.fault.name for row in rows}
    untried = [fault for fault in quiet if fault.name not in tried]
    facts = {**facts, "seed": wanted.seed, "seconds": round(time.monotonic() - began, 1)}
    matrix = Matrix(subjects, excluded, rows, untried, _otherwise(excluded), facts)
    if wanted.record is not None:
        day = datetime.now(UTC).date().isoformat()
        claims = {pair: names for pair, names in matrix.pairs().items() if not pair[1].startswith(FAILURE)}
        new = shown.notes(claims, shown.environment(settings.env, _real(settings)), day)
        write_atomically(wanted.record, shown.merged(wanted.record.read_text(encoding="utf-8"), new))
    return _conclude(matrix, settings.report_dir.resolve(), ways.tell)


def _of_change(
    known: Sequence[Fault], subjects: Sequence[Subject], wanted: Wanted, ways: Ways
) -> tuple[list[Trial], frozenset[str], list[Fault]]:
    """Trials of a change; ids of the scenarios that it touches; the faults that it touches."""
    change = wanted.change or Change({}, {})
    clone, catalogue = CATALOGUE.parents[2], CATALOGUE.read_text(encoding="utf-8")
    modules = {
        file: (clone / file).read_text(encoding="utf-8") if (clone / file).is_file() else ""
        for file in change.text
        if file.startswith(touched.STEPS)
    }
    ids = touched.scenarios(change, subjects, modules)
    names = touched.faults(change, known, catalogue)
    for file in touched.uncovered(change, known, catalogue, subjects):
        ways.tell(f"not covered: {file} differs, and no scenario or fault is tried for it")
    ways.tell(f"touched: {len(names)} faults, {len(ids)} scenarios; {SAMPLE} pairs more")
    trials = plan.for_change(known, subjects, (names, ids), seed=wanted.seed, size=SAMPLE)
    return trials, ids, [fault for fault in known if fault.name in names]


def _otherwise(excluded: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Pairs that need no fault: those of no program, and of scenarios that judged nothing, now and by the file."""
    absent = {
        pair: why
        for verdict, pairs in {Verdict.NOT_APPLICABLE: NOT_APPLICABLE, Verdict.WITHHELD: WITHHELD}.items()
        for pair, why in pairs.items()
        if excluded.get(pair[0], "").startswith(verdict)
    }
    return {**OTHERWISE, **absent}


def _conclude(matrix: Matrix, folder: Path, tell: Callable[[str], None]) -> int:
    document = matrix.document()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / MATRIX_NAME, json.dumps(document, indent=1) + "\n")
    write_atomically(folder / PAGE_NAME, page(matrix))
    for text in (*document["notes"], *document["problems"]):
        tell(text)
    pairs = matrix.pairs()
    tell(
        f"{len(matrix.rows)} faults tried; {len(pairs) - len(matrix.unproven())} of {len(pairs)} pairs of scenario "
        f"and claim proven; {len(document['problems'])} to mend; {document['seconds']} s"
    )
    tell(f"matrix: {folder / MATRIX_NAME}")
    tell(f"page: {folder / PAGE_NAME}")
    return 1 if document["problems"] else 0


def _real(settings: Settings) -> tuple[str, ...]:
    return tuple(part for part, what in real_parts(settings).items() if what is not None)


class _Runs:
    """Runs of the suite, each in a lab and a folder of its own."""

    def __init__(self, settings: Settings, wanted: Wanted, ways: Ways) -> None:
        chosen = {name: getattr(settings, name) for name in MADE_OF}
        files = {name: value.resolve() for name, value in chosen.items() if isinstance(value, Path)}
        # Of the user's choices those that an environment is made of; whatever else has its default.
        self._settings = Settings(**{**chosen, **files})
        self._wanted = wanted
        self._ways = ways
        self._folder = settings.report_dir.resolve() / "labs"

    def run(self, scenarios: Sequence[str], fault: str | None) -> labs.Lab:
        made = replace(
            self._settings,
            scenario=tuple(scenarios),
            fault=fault,
            workers=min(self._wanted.workers, len(scenarios)),
        )
        alone = scenarios[0].replace("[", "-").replace("]", "") if len(scenarios) == 1 else "all"
        folder = self._folder / (fault or f"clean-{alone}")
        # What an earlier run left there must not be taken for what this one showed.
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            raise EnvironmentBroken(
                expected=f"{folder} to be removed, since an earlier run left it",
                seen="it is there still",
                remedy="remove it, or choose another --report-dir",
            )
        code = self._ways.run(made.command_line()[2:], folder)
        return labs.ended(self._ways.read(folder), code)

    def end(self) -> None:
        self._ways.end()
