"""Lists without what a user's roles do not allow."""

import json
from typing import Any

import pytest

from simulators.teleport.errors import TeleportError
from simulators.teleport.listing import without


def named(namespace: str, name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}}


def first(namespace: str, name: str) -> bool:
    return (namespace, name) == ("apps", "a")


def test_a_list_keeps_what_is_allowed() -> None:
    body = json.dumps({"kind": "PodList", "items": [named("apps", "a"), named("apps", "b"), named("b", "a")]})
    assert json.loads(without(body.encode(), first)) == {"kind": "PodList", "items": [named("apps", "a")]}


def test_a_table_keeps_rows_of_what_is_allowed() -> None:
    rows = [{"cells": [name], "object": named("apps", name)} for name in ("a", "b")]
    body = json.dumps({"kind": "Table", "rows": rows})
    assert json.loads(without(body.encode(), first))["rows"] == rows[:1]


def test_what_is_no_list_is_as_it_was() -> None:
    assert json.loads(without(b'{"kind":"Status"}', first)) == {"kind": "Status"}
    assert json.loads(without(b'{"items":null}', first)) == {"items": []}


def test_another_form_than_json_is_not_simulated() -> None:
    with pytest.raises(TeleportError, match="only lists in JSON"):
        without(b"k8s\x00", first)
