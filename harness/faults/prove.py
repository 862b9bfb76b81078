"""Tries the faults: a clean run of each scenario, then each fault on the scenarios that rest on its decision."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from harness.core.errors import EnvironmentBroken, UsageError
from harness.core.verdicts import Verdict
from harness.faults.catalogue import Fault
from harness.faults.matrix import Outcome, counts, row
from harness.faults.misconfigurations import MISCONFIGURATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from harness.faults.labs import Lab, Runs
    from harness.faults.matrix import Row
    from harness.faults.plan import Subject, Trial

EXCLUDED = frozenset({Verdict.NOT_APPLICABLE, Verdict.WITHHELD})
"""Verdicts of scenarios that judge nothing here, fault or not."""


def clean_labs(
    subjects: Sequence[Subject], runs: Runs, tell: Callable[[str], None], *, labs: int
) -> tuple[dict[str, Lab], dict[str, str]]:
    """Runs each scenario alone and without a fault.

    Alone, so that the decisions that are taken are those of this scenario.

    Args:
        subjects: Scenarios.
        runs: Runs some of them.
        tell: Prints one line.
        labs: How many side by side.

    Returns:
        Id to lab of those that passed, and id to reason of those that judge nothing here.

    Raises:
        EnvironmentBroken: One did not pass: nothing can be proven of it.
    """
    seen: dict[str, Lab] = {}
    with _side_by_side(labs, runs) as pool:
        running = {pool.submit(runs.run, [one.id], None): one.id for one in subjects}
        for done in as_completed(running):
            name, lab = running[done], done.result()
            seen[name] = lab
            tell(f"clean: {lab.of(name).verdict:<14} {name}  rests on {len(lab.taken)} decisions")
    # In the order of the features, whichever ended first.
    return _passed({one.id: seen[one.id] for one in subjects})


def clean_lab(
    subjects: Sequence[Subject], runs: Runs, tell: Callable[[str], None]
) -> tuple[dict[str, Lab], dict[str, str]]:
    """Runs all scenarios together and without a fault, where nobody asks what each of them rests on.

    Arguments and results as of `clean_labs`.

    Raises:
        EnvironmentBroken: One did not pass: nothing can be proven of it.
    """
    if not subjects:
        return {}, {}
    lab = runs.run([one.id for one in subjects], None)
    tell(f"clean: {sum(one.verdict == Verdict.PASSED for one in lab.scenarios.values())} passed")
    return _passed({one.id: lab for one in subjects})


def _passed(seen: Mapping[str, Lab]) -> tuple[dict[str, Lab], dict[str, str]]:
    judged = {name: lab.of(name) for name, lab in seen.items()}
    excluded = {
        name: f"{one.verdict}: {one.reason}" for name, one in judged.items() if one.verdict in EXCLUDED
    }
    passed = {name: lab for name, lab in seen.items() if judged[name].verdict == Verdict.PASSED}
    wrong = [
        f"{name} {one.verdict}: {one.reason[:300]}"
        for name, one in judged.items()
        if name not in passed and name not in excluded
    ]
    if wrong:
        raise EnvironmentBroken(
            expected="every scenario to pass where nothing is made wrong",
            seen="; ".join(sorted(wrong)),
            remedy="run these without a fault and mend what they show; then the faults can be tried",
        )
    return passed, excluded


def try_faults(trials: Sequence[Trial], runs: Runs, tell: Callable[[str], None], *, labs: int) -> list[Row]:
    """Runs each trial in a lab of its own; in the order of the trials.

    Args:
        trials: Faults and scenarios.
        runs: Runs some scenarios, with a fault.
        tell: Prints one line.
        labs: How many side by side.
    """
    rows: dict[str, Row] = {}

    def tried(trial: Trial) -> tuple[Trial, Lab, float]:
        began = time.monotonic()
        return trial, runs.run(trial.scenarios, trial.fault.name), time.monotonic() - began

    with _side_by_side(labs, runs) as pool:
        for number, done in enumerate(as_completed([pool.submit(tried, trial) for trial in trials]), start=1):
            trial, lab, seconds = done.result()
            made = rows[trial.fault.name] = row(trial, lab)
            shown = ", ".join(f"{count} {outcome}" for outcome, count in counts([made]).items() if count)
            tell(f"[{number}/{len(trials)}] {trial.fault.name}  {shown}  {seconds:.1f} s")
            for cell in made.cells:
                if cell.outcome in (Outcome.DISTURBED, Outcome.BROKE):
                    tell(f"    {cell.scenario} {cell.outcome}: {cell.reason[:300]}")
    return [rows[trial.fault.name] for trial in trials]


@contextlib.contextmanager
def _side_by_side(labs: int, runs: Runs) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(labs) as pool:
        try:
            yield pool
        except BaseException:
            # The pool ends when its labs have; those that wait are not begun.
            pool.shutdown(wait=False, cancel_futures=True)
            runs.end()
            raise


def chosen(
    faults: Iterable[Fault], names: Sequence[str], real: Sequence[str], *, images: bool = False
) -> list[Fault]:
    """The faults to try: those named, or all that there can be where some components are real.

    Args:
        faults: Of simulators and clients.
        names: The user's choice; all where there are none.
        real: Components that are real, and decisions of one that is not: what is wrong with these is a
            misconfiguration.
        images: Whether real programs run from images.

    Raises:
        UsageError: A name is unknown.
    """
    known = {fault.name: fault for fault in faults}
    for wrong in MISCONFIGURATIONS.values():
        if wrong.component in real and (wrong.fits_images or not images):
            noticed = wrong.images if images and wrong.images is not None else wrong.scenarios
            known[wrong.name] = Fault(
                wrong.name, "real", wrong.decision, wrong.claims, noticed, wrong.text, at=wrong.at
            )
    for name in names:
        if name not in known:
            raise UsageError(
                expected="a fault that `./conformance faults list` shows",
                seen=f"unknown fault {name!r}",
                remedy="choose one of the list",
            )

    def is_simulated(fault: Fault) -> bool:
        # What is wrong on purpose with a real program is called after it.
        return fault.component == "real" or not {fault.component, fault.decision} & set(real)

    return [fault for name, fault in known.items() if is_simulated(fault) and (name in names or not names)]
