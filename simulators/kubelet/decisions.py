"""What the kubelet decides, as pure functions in one frozen object.

A kubelet that misbehaves on purpose is this object with one function replaced at process
start; nothing else in the program knows of it. Behaviour follows the Kubernetes
documentation ("Pod Lifecycle", "Configure Liveness, Readiness and Startup Probes") and
what a real kubelet 1.32 does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_BACK_OFF = 10.0
LONGEST_BACK_OFF = 300.0
RESET_AFTER = 600.0
LONGEST_TOKEN_USE = timedelta(hours=24)


def image_known(reference: str, pattern: str) -> bool:
    """Whether an image reference is one that a local program stands for.

    Args:
        reference: the container's image, whole.
        pattern: glob of the configuration.
    """
    return fnmatchcase(reference, pattern)


def restart_after_exit(policy: str, exit_code: int) -> bool:
    """Whether a container that ended is started again.

    Args:
        policy: the pod's restartPolicy.
        exit_code: of the program.
    """
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def back_off(times: int) -> float:
    """Seconds to wait before trying again: none at first, then 10 doubling to 300.

    Args:
        times: how often it has failed before in this series.
    """
    if times <= 0:
        return 0.0
    return min(FIRST_BACK_OFF * float(2 ** min(times - 1, 10)), LONGEST_BACK_OFF)


def back_off_forgotten(ran: float) -> bool:
    """Whether a program ran long enough for its earlier ends to count no more.

    Args:
        ran: seconds.
    """
    return ran >= RESET_AFTER


def setup_delay(attempt: int) -> float:
    """Seconds before a volume or an environment that could not be set up is tried again.

    A real kubelet goes up to two minutes; here nobody waits for a cloud's disk.

    Args:
        attempt: 1 for the first failure.
    """
    return float(min(0.5 * 2 ** min(attempt - 1, 10), 8.0))


def state_after_probe(
    before: bool | None, succeeded: bool, in_a_row: int, thresholds: tuple[int, int]
) -> bool | None:
    """What a probe says after one more result.

    Args:
        before: what it said; None is undecided.
        succeeded: the new result.
        in_a_row: how many results like it there are by now, the new one included.
        thresholds: successThreshold and failureThreshold.
    """
    needed = thresholds[0] if succeeded else thresholds[1]
    return succeeded if in_a_row >= needed else before


def ready_after_probes(running: bool, started: bool, readiness: bool) -> bool:
    """Whether a container is ready.

    Args:
        running: its program runs.
        started: its startup probe has succeeded, or it has none.
        readiness: what its readiness probe says, true without one.
    """
    return running and started and readiness


def token_due_for_renewal(issued: datetime, expires: datetime, now: datetime) -> bool:
    """Whether a service account token is to be replaced: at 80 % of its life, or after a day.

    Args:
        issued: when it was requested.
        expires: as the API server said.
        now: the time.
    """
    return now >= issued + (expires - issued) * 0.8 or now - issued >= LONGEST_TOKEN_USE


def grace_period(spec_seconds: int | None, deletion_seconds: int | None) -> float:
    """Seconds a pod gets between SIGTERM and SIGKILL.

    Args:
        spec_seconds: the pod's terminationGracePeriodSeconds.
        deletion_seconds: its deletionGracePeriodSeconds, None when it is not being deleted.
    """
    if deletion_seconds is not None:
        return float(deletion_seconds)
    return 30.0 if spec_seconds is None else float(spec_seconds)


@dataclass(frozen=True)
class Decisions:
    """The functions of this module, each replaceable."""

    image_known: Callable[[str, str], bool] = image_known
    restart_after_exit: Callable[[str, int], bool] = restart_after_exit
    back_off: Callable[[int], float] = back_off
    back_off_forgotten: Callable[[float], bool] = back_off_forgotten
    setup_delay: Callable[[int], float] = setup_delay
    state_after_probe: Callable[[bool | None, bool, int, tuple[int, int]], bool | None] = state_after_probe
    ready_after_probes: Callable[[bool, bool, bool], bool] = ready_after_probes
    token_due_for_renewal: Callable[[datetime, datetime, datetime], bool] = token_due_for_renewal
    grace_period: Callable[[int | None, int | None], float] = grace_period
