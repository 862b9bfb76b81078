"""Verdicts, and what follows from them: exit code, conformance, a claim's verdict."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum


class Verdict(StrEnum):
    """What a run says about one scenario (design, "Verdicts, profiles, exit codes")."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    KNOWN_DEVIATION = "known-deviation"
    NOT_APPLICABLE = "not-applicable"
    WITHHELD = "withheld"
    NOT_RUN = "not-run"


# Worst first: a claim is what the worst of its scenarios is. A scenario that does not apply
# says nothing, so it comes after "passed"; one that was not judged leaves the claim open.
_WORST_FIRST = (
    Verdict.FAILED,
    Verdict.ERROR,
    Verdict.KNOWN_DEVIATION,
    Verdict.NOT_RUN,
    Verdict.WITHHELD,
    Verdict.PASSED,
    Verdict.NOT_APPLICABLE,
)
_COUNTS = {Verdict.PASSED, Verdict.FAILED, Verdict.ERROR, Verdict.KNOWN_DEVIATION}
_CONFORMS = {Verdict.PASSED, Verdict.NOT_APPLICABLE}

# AWS is simulated wherever a run must not touch the real one, and the clients are always real:
# neither is part of the product under test or of what the product runs on.
DECIDING_COMPONENTS = frozenset({"teleport", "chart", "kubernetes", "kubelet"})


def exit_code(
    verdicts: Iterable[str] | Mapping[str, int],
    *,
    usage: bool = False,
    environment_error: bool = False,
    interrupted: bool = False,
    missing_real: bool = False,
    nothing_selected: bool = False,
) -> int:
    """The command's exit code: the first that holds of 4, 1, 2, 3, 5, else 0.

    Args:
        verdicts: One verdict per planned scenario, or a count per verdict.
        usage: A usage error was made.
        environment_error: Harness or environment broke outside a scenario.
        interrupted: SIGINT or SIGTERM came; 3 even when all that was planned had run.
        missing_real: A real component that was required is missing.
        nothing_selected: The selection left nothing to run.

    Returns:
        0, 1, 2, 3, 4 or 5 as in the design's table.

    Raises:
        ValueError: A verdict is none of `Verdict`: nothing unknown may leave the code 0.
    """
    seen = _present(verdicts)
    holds = {
        4: usage,
        1: Verdict.FAILED in seen,
        2: environment_error or Verdict.ERROR in seen,
        3: interrupted or missing_real or Verdict.NOT_RUN in seen,
        5: nothing_selected or not seen & _COUNTS,
    }
    return next((code for code, true in holds.items() if true), 0)


def conformant(verdicts: Iterable[str], *, all_real: bool, complete: bool) -> bool | None:
    """Whether the product conforms to one profile.

    Args:
        verdicts: The verdict of each scenario of the profile.
        all_real: What `is_all_real` says of the run's components.
        complete: Every scenario that the profile has was planned; a selection that leaves
            some out (`-k`, `--scenario`) can show a failure but never conformance.

    Returns:
        True when every scenario passed or does not apply and at least one passed. False when
        one did otherwise. None when nothing can be said: a component that decides is
        simulated, the profile was run in part, or no scenario of it ran.

    Raises:
        ValueError: A verdict is none of `Verdict`.
    """
    seen = _present(verdicts)
    if not all_real:
        return None
    if seen - _CONFORMS:
        return False
    if not complete or Verdict.PASSED not in seen:
        return None
    return True


def is_all_real(simulated: Mapping[str, bool]) -> bool:
    """Whether Teleport, chart, Kubernetes and kubelet are real; one not named counts as simulated.

    Args:
        simulated: Component name (as in the report) to whether it is simulated.
    """
    return all(simulated.get(component, True) is False for component in DECIDING_COMPONENTS)


def claim_verdict(verdicts: Iterable[str]) -> Verdict:
    """The verdict of a claim of the guide from those of its scenarios.

    Args:
        verdicts: The verdict of each scenario that checks the claim; none is "not-run".

    Returns:
        The worst of them. A claim is "passed" only when a scenario passed and every other
        one passed or does not apply.

    Raises:
        ValueError: A verdict is none of `Verdict`.
    """
    seen = _present(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in seen), Verdict.NOT_RUN)


def _present(verdicts: Iterable[str] | Mapping[str, int]) -> set[Verdict]:
    counted = Counter(verdicts) if not isinstance(verdicts, Mapping) else verdicts
    return {Verdict(verdict) for verdict, count in counted.items() if count}
