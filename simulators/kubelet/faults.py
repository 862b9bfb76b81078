"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from simulators import noted
from simulators.kubelet.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "CONFORMANCE_FAULT"


def _always(answer: object) -> Callable[..., object]:
    return lambda *_: answer


def _with(decision: str, function: Any) -> Callable[[Decisions], Decisions]:
    return lambda decisions: dataclasses.replace(decisions, **{decision: function})


FAULTS: Mapping[str, Callable[[Decisions], Decisions]] = MappingProxyType(
    {
        "no-image-is-known": _with("image_known", _always(False)),
        "containers-never-restart": _with("restart_after_exit", _always(False)),
        "no-back-off": _with("back_off", _always(0.0)),
        "back-off-never-forgotten": _with("back_off_forgotten", _always(False)),
        "slow-set-up": _with("setup_delay", _always(3600.0)),
        "probes-never-succeed": _with("state_after_probe", _always(False)),
        "pods-never-ready": _with("ready_after_probes", _always(False)),
        "tokens-never-renewed": _with("token_due_for_renewal", _always(False)),
        "no-grace": _with("grace_period", _always(0.0)),
    }
)
"""Name of a fault -> the decisions with one of them replaced."""


def chosen(environ: Mapping[str, str]) -> Decisions:
    """The decisions to run with: the simulator's own, or with the fault that the environment names.

    Args:
        environ: of the program.
    """
    decisions = FAULTS.get(environ.get(VARIABLE, ""), dataclasses.replace)(Decisions())
    return noted(decisions, "kubelet", environ)
