"""`./conformance fidelity`: the same scenarios on simulated and on real programs, and what differs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness import running
from harness.core.errors import UsageError
from harness.fidelity import record
from harness.fidelity.comparison import Comparison, compare, load_explanations
from harness.fidelity.observations import SeenRun, read_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.core.settings import Settings

SIMULATED, REAL = "simulated", "real"
_REPLACED = ("teleport", "control_plane", "chart")


def fidelity(settings: Settings, tell: Callable[[str], None]) -> int:
    """Runs the selected scenarios twice and compares what was seen.

    Args:
        settings: As for a run, with at least one real program.
        tell: Prints one line for the user.

    Returns:
        0 without unexplained differences; 1 with; 2 or 3 where a run broke or was incomplete.

    Raises:
        UsageError: No real program was given, or something else is wrong with the options.
    """
    if not any(getattr(settings, name) for name in _REPLACED) or settings.reuse or settings.fault:
        raise UsageError(
            expected="real programs to compare the simulated ones with, and neither --reuse nor --fault",
            seen=" ".join(settings.command_line()[2:]) or "no option",
            remedy="give --teleport, --control-plane and --chart; see 'Real programs' in README.md",
        )
    folder = settings.report_dir.resolve()
    for name, chosen in ((SIMULATED, _simulated(settings)), (REAL, settings)):
        tell(f"{name} programs:")
        status = running.run(replace(chosen, report_dir=folder / name), tell)
        if status not in (0, 1):  # 1: a verdict, and it is compared
            return status
    return compare_runs(folder / SIMULATED, folder / REAL, folder, tell, whole=not _selected(settings))


def compare_runs(
    simulated: Path, real: Path, folder: Path, tell: Callable[[str], None], *, whole: bool
) -> int:
    """Compares two runs that were made before, and leaves `fidelity.json` and `fidelity.md`.

    Args:
        simulated: Report folder of the run on simulated programs.
        real: Of the one on real programs.
        folder: Where the record goes.
        tell: Prints one line for the user.
        whole: Whether all scenarios ran: an explanation that explained nothing then is told.

    Returns:
        As `fidelity`.

    Raises:
        UsageError: A folder holds no report with its evidence, or the two are not what they should be.
    """
    left, right = read_run(simulated), read_run(real)
    _check_sides(left, right)
    result = compare(left, right, load_explanations())
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder, left, right, result)
    for difference in result.unexplained:
        for line in record.difference_lines(difference):
            tell(line)
    if whole and result.unused:
        tell(f"explanations that explained nothing this time: {', '.join(result.unused)}")
    if result.bare:
        tell(f"compared in verdict and findings alone, nothing else was recorded: {', '.join(result.bare)}")
    _tell_end(folder, result, tell)
    return 1 if result.unexplained or not result.compared else 0


def _simulated(settings: Settings) -> Settings:
    """The same run on simulated programs, with the same clients."""
    beside = settings.control_plane and settings.control_plane / "kubectl"
    kubectl = settings.kubectl or (beside if beside and beside.is_file() else None)
    return replace(settings, teleport=None, control_plane=None, chart=None, kubectl=kubectl, require_real=())


def _selected(settings: Settings) -> bool:
    return bool(settings.keyword or settings.scenario or settings.profile)


def _check_sides(simulated: SeenRun, real: SeenRun) -> None:
    """Two runs on the same programs would agree, and say nothing."""
    both = {"teleport", "kubernetes", "chart"}
    if not simulated.components or not real.components:
        raise UsageError(
            expected="two runs whose environment came up",
            seen="a report without components",
            remedy="name the report folders of two such runs",
        )
    if both - simulated.simulated or not both - real.simulated:
        raise UsageError(
            expected="a run on simulated programs alone and one with real ones, in this order",
            seen=f"real in the first: {', '.join(sorted(both - simulated.simulated)) or 'nothing'}; "
            f"in the second: {', '.join(sorted(both - real.simulated)) or 'nothing'}",
            remedy="name the report folders of two such runs",
        )


def _tell_end(folder: Path, result: Comparison, tell: Callable[[str], None]) -> None:
    tell(f"record: {folder / record.MARKDOWN_NAME}")
    tell(
        f"fidelity: {len(result.unexplained)} unexplained and {len(result.explained)} explained differences "
        f"in {result.observations} observations of {len(result.compared)} scenarios"
    )
