"""What all controllers share: keys that became due, worked off one after the other."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from simulators.apiserver.kinds import of
from simulators.apiserver.objects import User, Writer
from simulators.apiserver.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.store import Change

log = logging.getLogger(__name__)

Key = tuple[str, ...]
_RETRY_SECONDS = 0.2
_LONGEST_RETRY_SECONDS = 10.0


class Controller(Protocol):
    """One control loop."""

    def initial(self) -> Iterable[Key]:
        """What to look at when the loop begins."""

    def due(self, change: Change) -> Iterable[Key]:
        """What to look at because of a change."""

    async def sync(self, key: Key) -> float | None:
        """Bring one thing to its wished state; returns in how many seconds to look again, if at all."""


def workload_keys(change: Change, workload: Resource, kind: str) -> list[Key]:
    """The workload that changed, or whose pod did.

    Args:
        change: what happened.
        workload: the controller's own resource.
        kind: of its objects, as owner references name it.
    """
    meta = change.object["metadata"]
    if change.resource is workload:
        return [(meta["namespace"], meta["name"])]
    if change.resource is not of("pods"):
        return []
    owners = [owner["name"] for owner in meta.get("ownerReferences") or [] if owner["kind"] == kind]
    return [(meta["namespace"], name) for name in owners]


def writer(name: str) -> Writer:
    """As whom a controller writes.

    Args:
        name: of the controller, as its service account has it in a real cluster.
    """
    account = f"system:serviceaccount:kube-system:{name}"
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
    return Writer(User(account, groups))


class Loop:
    """Runs one controller.

    Args:
        controller: knows what to do.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._due: dict[Key, None] = dict.fromkeys(controller.initial())
        self._failures: dict[Key, int] = {}
        self._awake = asyncio.Event()
        self._awake.set()

    def tell(self, change: Change) -> None:
        """Hand on a change of the store."""
        self._notice(self._controller.due(change))

    def _notice(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._due[key] = None
            self._awake.set()

    async def run(self) -> None:
        """Work, for ever; what fails is tried again later, and later each time."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._due:
                key = next(iter(self._due))
                del self._due[key]
                await self._work(key)

    async def _work(self, key: Key) -> None:
        try:
            again = await self._controller.sync(key)
            self._failures.pop(key, None)
        except StatusError as error:
            # Such as a pod that admission refuses: the cause may go away.
            log.warning("%s %s: %s", type(self._controller).__name__, "/".join(key), error.message)
            again = self._later(key)
        except Exception:
            log.exception("%s %s", type(self._controller).__name__, "/".join(key))
            again = self._later(key)
        if again is not None:
            asyncio.get_running_loop().call_later(again, self._notice, [key])

    def _later(self, key: Key) -> float:
        """Seconds until a failed key is tried again, longer each time."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return min(_RETRY_SECONDS * 2.0**failures, _LONGEST_RETRY_SECONDS)
