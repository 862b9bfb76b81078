"""RBAC: which rules a user has, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.kinds import RBAC, of
from simulators.apiserver.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulators.apiserver.decisions import Attributes, Decisions
    from simulators.apiserver.objects import Object, User
    from simulators.apiserver.store import Store


class Authorizer:
    """Decides by the roles and bindings in the store.

    Args:
        store: of the cluster.
        decisions: of the server.
    """

    def __init__(self, store: Store, decisions: Decisions) -> None:
        self._store = store
        self._decisions = decisions

    def allowed(self, user: User, asked: Attributes) -> tuple[bool, str]:
        """Whether a user may do something, and why.

        Args:
            user: who asks.
            asked: for what.
        """
        if self._decisions.everything_allowed(user):
            return True, ""
        missing: list[str] = []
        for rules, why in self._bound(user, asked.namespace, missing):
            if any(self._decisions.rule_allows(rule, asked) for rule in rules):
                return True, why
        if not missing:
            return False, ""
        return False, f"RBAC: {missing[0]}" if len(missing) == 1 else f"RBAC: [{', '.join(missing)}]"

    def require(self, user: User, asked: Attributes) -> str:
        """Let a request pass; returns why it may.

        Raises:
            StatusError: it may not (403).
        """
        allowed, why = self.allowed(user, asked)
        if not allowed:
            raise refusal(user, asked, why)
        return why

    def _bound(self, user: User, namespace: str, missing: list[str]) -> Iterator[tuple[list[Object], str]]:
        """Rules and the reason why they count; roles that do not exist are added to `missing`."""
        bindings = [("", binding) for binding in self._store.find(of("clusterrolebindings"))]
        if namespace:
            bindings += [(namespace, b) for b in self._store.find(of("rolebindings"), namespace)]
        for place, binding in bindings:
            subjects = binding.get("subjects") or []
            subject = next((s for s in subjects if self._decisions.subject_is_user(s, user, place)), None)
            if subject is None:
                continue
            reference, name = binding["roleRef"], binding["metadata"]["name"]
            cluster = reference["kind"] == "ClusterRole"
            resource = of("clusterroles" if cluster else "roles")
            role = self._store.get(resource, "" if cluster else place, reference["name"])
            if role is None:
                missing.append(f'{resource.plural[:-1]}.{RBAC} "{reference["name"]}" not found')
                continue
            where = f'{binding["kind"]} "{name}/{place}"' if place else f'{binding["kind"]} "{name}"'
            who = subject["name"]
            if subject["kind"] == "ServiceAccount":
                who = f"{who}/{subject.get('namespace') or place}"
            reason = f'of {reference["kind"]} "{reference["name"]}" to {subject["kind"]} "{who}"'
            yield role.get("rules") or [], f"RBAC: allowed by {where} {reason}"


def refusal(user: User, asked: Attributes, why: str) -> StatusError:
    """The 403 for a request that no rule allows.

    Args:
        user: who asked.
        asked: for what.
        why: more than "no rule"; mostly empty.
    """
    if asked.path:
        text = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"'
        details: Object = {}
    else:
        plural = asked.resource.partition("/")[0]
        qualified = f"{plural}.{asked.group}" if asked.group else plural
        subject = f'{qualified} "{asked.name}"' if asked.name else qualified
        where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        text = (
            f'{subject} is forbidden: User "{user.name}" cannot {asked.verb} resource "{asked.resource}" '
            f'in API group "{asked.group}" {where}'
        )
        details = {"name": asked.name} if asked.name else {}
        details |= ({"group": asked.group} if asked.group else {}) | {"kind": plural}
    return StatusError(403, "Forbidden", f"{text}: {why}" if why else text, details)
