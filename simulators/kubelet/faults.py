"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from simulators import always, replaced, settled
from simulators.kubelet.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAULTS: Mapping[str, Callable[[Decisions], Decisions]] = MappingProxyType(
    {
        "no-image-is-known": replaced("image_known", always(False)),
        "containers-never-restart": replaced("restart_after_exit", always(False)),
        "no-back-off": replaced("back_off", always(0.0)),
        "back-off-never-forgotten": replaced("back_off_forgotten", always(False)),
        "slow-set-up": replaced("setup_delay", always(3600.0)),
        "probes-never-succeed": replaced("state_after_probe", always(False)),
        "pods-never-ready": replaced("ready_after_probes", always(False)),
        "tokens-never-renewed": replaced("token_due_for_renewal", always(False)),
        "no-grace": replaced("grace_period", always(0.0)),
    }
)
"""Name of a fault -> the decisions with one of them replaced."""


def chosen(environ: Mapping[str, str]) -> Decisions:
    """The decisions to run with: the simulator's own, or with the fault that the environment names.

    Args:
        environ: of the program.
    """
    return settled(Decisions(), FAULTS, "kubelet", environ)
