"""Per-role disruption: a refusal, a delay, a clock that is wrong, or connections that break.

Scoped to a role so that scenarios running beside each other do not disturb one another.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass

from .answers import AwsError


class ConnectionBroken(Exception):
    """The client gets no answer: its connection ends."""


@dataclass(frozen=True)
class Disruption:
    """What is wrong for one role: nothing, unless set.

    `delay` and `clock_shift` are in seconds, `cut` is the action whose calls get no answer.
    """

    deny_code: str = ""
    deny_message: str = ""
    delay: float = 0.0
    clock_shift: float = 0.0
    cut: str = ""


class Disruptions:
    """The disruptions in force, by role name; the empty name stands for callers without a role."""

    def __init__(self) -> None:
        self._by_role: dict[str, Disruption] = {}
        self._changed = asyncio.Event()

    def put(self, role: str, disruption: Disruption) -> None:
        """Set what is wrong for a role, in place of what was."""
        self._by_role[role] = disruption
        self._wake()

    def remove(self, role: str) -> None:
        """Let a role work again; calls still held back are answered at once."""
        self._by_role.pop(role, None)
        self._wake()

    def all(self) -> dict[str, Disruption]:
        """Give every disruption in force."""
        return dict(self._by_role)

    def now(self, role: str) -> dt.datetime:
        """Tell the time by a role's clock."""
        shift = self._by_role.get(role, Disruption()).clock_shift
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=shift)

    async def hold(self, role: str, action: str = "") -> None:
        """Hold a call of a role back for as long as its delay says, or until that changes.

        Raises:
            ConnectionBroken: Calls of this action are cut.
        """
        if action and action == self._by_role.get(role, Disruption()).cut:
            raise ConnectionBroken(f"cut for role {role} through control")
        loop = asyncio.get_running_loop()
        start = loop.time()
        while (left := start + self._by_role.get(role, Disruption()).delay - loop.time()) > 0:
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return

    def refuse(self, role: str) -> None:
        """Raise the refusal that is set for a role, if any.

        Raises:
            AwsError: As set through the control listener.
        """
        disruption = self._by_role.get(role, Disruption())
        if disruption.deny_code:
            raise AwsError(
                disruption.deny_code, disruption.deny_message, f"denied for role {role} through control"
            )

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
