"""All controllers of a cluster, running."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from simulators.apiserver.controllers.accounts import Accounts
from simulators.apiserver.controllers.aggregation import Aggregation
from simulators.apiserver.controllers.garbage import Garbage
from simulators.apiserver.controllers.jobs import Jobs
from simulators.apiserver.controllers.loop import Controller, Loop
from simulators.apiserver.controllers.namespaces import Namespaces
from simulators.apiserver.controllers.statefulsets import StatefulSets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.registry import Registry
    from simulators.apiserver.store import Store


@asynccontextmanager
async def controllers(registry: Registry, decisions: Decisions, root_ca: str) -> AsyncIterator[None]:
    """Run all controllers while this is entered.

    Args:
        registry: of the cluster.
        decisions: of the controllers.
        root_ca: PEM, for kube-root-ca.crt.
    """
    all_of_them: list[Controller] = [
        Accounts(registry, root_ca),
        Aggregation(registry, decisions),
        Garbage(registry, decisions),
        Jobs(registry, decisions),
        Namespaces(registry),
        StatefulSets(registry, decisions),
    ]
    loops = [Loop(controller) for controller in all_of_them]
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    tasks.append(asyncio.create_task(_tell(registry.store, loops)))
    # So that no change can come before the loops listen.
    await asyncio.sleep(0)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _tell(store: Store, loops: list[Loop]) -> None:
    with store.listening() as changes:
        while True:
            change = await changes.get()
            for loop in loops:
                loop.tell(change)
