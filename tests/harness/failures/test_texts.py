"""The table of texts: only what was measured decides, and nothing looser matches."""

from typing import get_args

import pytest
from packaging.version import Version

from harness.core.errors import ConformanceError, Withheld
from harness.failures.table import TEXTS, measured_text, text_for
from harness.failures.texts import Place, texts_of

MEASURED_AT = "13.0.0-dev"
RELEASES = ("12.0.0-alpha.2", "12.4.1", "13.0.0-dev", "13.4.26", "14.0.0", "16.5.1", "17.7.23", "18.7.6")


@pytest.mark.parametrize(
    ("failure", "place"),
    [
        ("wrong-account", "agent-log"),
        ("wrong-arn", "agent-log"),
        ("not-joined", "readyz"),
        ("token-removed", "auth-log"),
        ("no-kubernetes-groups", "kubectl-raw"),
        ("no-kubernetes-groups", "kubectl"),
        ("group-not-bound", "kubectl"),
    ],
)
def test_the_first_scenarios_have_measured_texts(failure: str, place: Place) -> None:
    assert measured_text(failure, place, MEASURED_AT).provenance == "measured"


@pytest.mark.parametrize("version", RELEASES)
def test_a_version_has_one_text_of_each_provenance(version: str) -> None:
    rows = [
        (row.failure, row.place, row.provenance)
        for row in TEXTS
        if row.versions.contains(Version(version), prereleases=True)
    ]
    assert len(rows) == len(set(rows))


def test_measured_are_the_builds_that_were_measured() -> None:
    measured = [row for row in TEXTS if row.provenance == "measured"]
    holding = {v for v in RELEASES for row in measured if row.versions.contains(v, prereleases=True)}
    assert holding == {MEASURED_AT, "12.0.0-alpha.2"}


def test_the_best_known_text_comes_first() -> None:
    found = {
        v: text_for("wrong-account", "agent-log", v) for v in ("13.0.0-dev", "13.4.26", "18.7.6", "16.5.1")
    }
    assert {v: text and text.provenance for v, text in found.items()} == {
        "13.0.0-dev": "measured",
        "13.4.26": "read",
        "18.7.6": "inferred",
        "16.5.1": None,
    }


@pytest.mark.parametrize(
    ("version", "known"),
    [("13.4.26", "only read"), ("16.5.1", "is unknown"), ("18.7.6-cloud.1", "is unknown")],
)
def test_what_nobody_measured_is_withheld(version: str, known: str) -> None:
    with pytest.raises(Withheld, match=known) as raised:
        measured_text("wrong-account", "agent-log", version)
    assert raised.value.code == "text-not-measured"


def test_a_misspelt_failure_is_an_error_not_withheld() -> None:
    with pytest.raises(ConformanceError, match="wrong-acount"):
        text_for("wrong-acount", "agent-log", MEASURED_AT)


def test_a_text_is_found_literally_with_its_placeholders_filled() -> None:
    text = measured_text("group-not-bound", "kubectl", MEASURED_AT)
    seen = (
        'Error from server (Forbidden): pods is forbidden: User "alice" cannot list resource "pods" '
        'in API group "" in the namespace "default"\n'
    )
    assert text.placeholders == {"user", "namespace"}
    assert text.found_in(seen, user="alice", namespace="default")
    assert not text.found_in(seen, user="bob", namespace="default")
    assert not text.found_in(seen.replace("list", "get"), user="alice", namespace="default")
    assert not text.found_in(seen.upper(), user="alice", namespace="default")


def test_a_value_is_not_a_pattern() -> None:
    text = measured_text("unknown-cluster", "tsh", MEASURED_AT)
    assert not text.found_in(text.filled(cluster="iam"), cluster=".*")
    assert text.filled(cluster="{user}").startswith('kubernetes cluster "{user}" not found')


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"user": "alice"},
        {"user": "alice", "namespace": ""},
        {"user": "a", "namespace": "b", "x": "c"},
        {"user": "a", "namespace": "b", "x": ""},
    ],
)
def test_placeholders_take_exactly_their_values(values: dict[str, str]) -> None:
    text = measured_text("group-not-bound", "kubectl", MEASURED_AT)
    with pytest.raises(ConformanceError, match="group-not-bound"):
        text.found_in("anything", **values)


def test_every_row_is_whole_and_brackets_are_placeholders() -> None:
    for row in TEXTS:
        assert row.place in get_args(Place)
        assert len(row.text) > 20
        assert row.source
        assert row.text.count("{") == row.text.count("}") == len(row.placeholders)


def test_a_row_with_an_unknown_place_is_refused() -> None:
    row = {"place": "nowhere", "versions": "", "provenance": "read", "source": "s", "text": "t"}
    with pytest.raises(ConformanceError, match="nowhere"):
        texts_of("f", [row])
