"""Label and field selectors, from their written forms and from objects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simulators.apiserver.status import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulators.apiserver.objects import Object

_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_TERM = re.compile(r"[^,(]*(?:\([^)]*\))?")


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


def fields(text: str) -> Callable[[Object], bool]:
    """A test for `fieldSelector` as clients write it; any field of an object can be selected by here."""
    tests = []
    for term in text.split(","):
        key, _, value = term.partition("=")
        if key:
            tests.append((key.rstrip("!"), value.lstrip("="), key.endswith("!")))
    return lambda obj: all((_field(obj, key) == value) != negative for key, value, negative in tests)


def _field(obj: Object, path: str) -> str:
    found: object = obj
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def exact_name(text: str) -> str:
    """The name that a field selector asks for alone; empty when it does not."""
    for term in text.split(","):
        key, _, value = term.partition("=")
        if key == "metadata.name":
            return value.lstrip("=")
    return ""
