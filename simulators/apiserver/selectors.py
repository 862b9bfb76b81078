"""Label and field selectors, from their written forms and from objects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simulators.apiserver.status import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.objects import Object

_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_TERM = re.compile(r"[^,(]*(?:\([^)]*\))?")

_FIELDS = {
    "pods": {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    },
    "events": {
        *(
            f"involvedObject.{name}"
            for name in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")
        ),
        "involvedObject.resourceVersion",
        "reason",
        "source",
        "type",
    },
    "secrets": {"type"},
    "namespaces": {"status.phase"},
    "nodes": {"spec.unschedulable"},
    "jobs": {"status.successful"},
}
_COMMON = {"metadata.name", "metadata.namespace"}


def matches_labels(selector: Mapping[str, object] | None, labels: Mapping[str, str]) -> bool:
    """Whether labels fit a metav1.LabelSelector; an empty one fits everything, None nothing.

    Args:
        selector: with `matchLabels` and `matchExpressions`.
        labels: of the object.
    """
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    if not isinstance(wanted, dict) or not isinstance(expressions, list):
        return False
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression(e["key"], e["operator"], e.get("values") or [], labels) for e in expressions)


def _expression(key: str, operator: str, values: list[str], labels: Mapping[str, str]) -> bool:
    answers = {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return answers.get(operator, False)


def labels(text: str) -> Callable[[Object], bool]:
    """A test for `labelSelector` as clients write it.

    Raises:
        StatusError: it cannot be read (400).
    """
    terms = [_label_term(term.strip()) for term in _TERM.findall(text) if term.strip()]
    if not terms:
        return lambda _: True

    def test(obj: Object) -> bool:
        own = obj["metadata"].get("labels") or {}
        return all(_expression(key, operator, values, own) for key, operator, values in terms)

    return test


def _label_term(term: str) -> tuple[str, str, list[str]]:
    if found := _SET.fullmatch(term):
        values = [value.strip() for value in found[3].split(",")]
        return found[1], "In" if found[2] == "in" else "NotIn", values
    if found := _EQUAL.fullmatch(term):
        return found[1], "NotIn" if found[2] == "!=" else "In", [found[3]]
    if found := _EXISTS.fullmatch(term):
        return found[2], "DoesNotExist" if found[1] else "Exists", []
    raise bad_request(f"unable to parse requirement: {term!r}")


def fields(text: str, resource: Resource) -> Callable[[Object], bool]:
    """A test for `fieldSelector` as clients write it.

    Raises:
        StatusError: it names a field that cannot be selected by (400).
    """
    terms = [term for term in text.split(",") if term]
    tests = []
    for term in terms:
        key, _, value = term.partition("=")
        negative = key.endswith("!")
        key = key.rstrip("!")
        if key not in _COMMON | _FIELDS.get(resource.plural, set()):
            raise bad_request(f"field label not supported: {key}")
        tests.append((key, value.lstrip("="), negative))
    return lambda obj: all((_field(obj, key) == value) != negative for key, value, negative in tests)


def _field(obj: Object, path: str) -> str:
    found: object = obj
    for part in ("source.component" if path == "source" else path).split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if path == "status.successful":
        found = obj.get("status", {}).get("succeeded", 0)
    if path == "spec.unschedulable":
        return "true" if found else "false"
    return "" if found is None else str(found)


def exact_name(text: str) -> str:
    """The name that a field selector asks for alone; empty when it does not."""
    for term in text.split(","):
        key, _, value = term.partition("=")
        if key == "metadata.name":
            return value.lstrip("=")
    return ""
