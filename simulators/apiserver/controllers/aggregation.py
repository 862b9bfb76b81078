"""ClusterRoles that aggregate, such as `view`, get the rules of those that their rule selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.controllers.loop import Key, writer
from simulators.apiserver.kinds import of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.objects import Object
    from simulators.apiserver.registry import Registry
    from simulators.apiserver.store import Change

_ROLES = of("clusterroles")
_ALL: Key = ("all",)


class Aggregation:
    """Fills in rules.

    Args:
        registry: of the cluster.
        decisions: of the controllers.
    """

    def __init__(self, registry: Registry, decisions: Decisions) -> None:
        self._registry = registry
        self._decisions = decisions

    def initial(self) -> Iterable[Key]:
        """All roles at once: one may select another that aggregates itself."""
        return [_ALL]

    def due(self, change: Change) -> Iterable[Key]:
        """All roles, when one changed."""
        return [_ALL] if change.resource is _ROLES else []

    async def sync(self, key: Key) -> float | None:  # noqa: ARG002  # there is one key
        """Bring all aggregating roles up to date; what they change comes back as due."""
        for role in self._registry.store.find(_ROLES):
            if role.get("aggregationRule"):
                rules = self._rules(role)
                if rules != (role.get("rules") or []):
                    await self._write(role["metadata"]["name"], rules)
        return None

    async def _write(self, name: str, rules: list[Object]) -> None:
        made = {"rules": rules}
        as_controller = writer("clusterrole-aggregation-controller")
        await self._registry.change(_ROLES, "", name, lambda obj: obj | made, as_controller)

    def _rules(self, role: Object) -> list[Object]:
        rules: list[Object] = []
        selectors = role["aggregationRule"].get("clusterRoleSelectors") or []
        for other in self._registry.store.find(_ROLES):
            labels = other["metadata"].get("labels") or {}
            if other is not role and self._decisions.aggregated(selectors, labels):
                rules += [rule for rule in other.get("rules") or [] if rule not in rules]
        return rules
