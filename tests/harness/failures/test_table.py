"""The table of failures: every row is whole, has a cause of its own, and a scenario shows it or says why none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalogue import read_catalogue
from harness.causes.course import CAUSES
from harness.core.errors import ConformanceError, Withheld
from harness.failures.table import (
    FAILURES,
    FOLDER,
    _load,
    failure_named,
    failure_with_cause,
    measured_texts,
)

ROOT = Path(__file__).parents[3]
SCENARIOS = read_catalogue(ROOT / "features")
SHOWN = {mode for record in SCENARIOS for mode in record.failures}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=lambda failure: failure.name)
def test_a_failure_says_what_it_is_and_what_mends_it(failure: object) -> None:
    row = failure_named(failure.name)  # type: ignore[attr-defined]  # of the table
    assert row.texts or row.source, "where is it known from?"
    assert failure_with_cause(row.cause) == row
    for words in (row.diagnosis, row.fix):
        assert words.endswith("."), words
        assert len(words) > 20, words
    assert not row.cause.endswith(".")
    assert row.cause[0].islower() or row.cause.split()[0] in {"AWS", "STS", "Teleport", "Kubernetes"}


def test_every_failure_mode_of_a_scenario_is_in_the_table() -> None:
    assert sorted(SHOWN - set(FAILURES)) == []


def test_a_row_of_an_outline_has_the_cause_of_its_failure() -> None:
    for record in SCENARIOS:
        row = dict(record.example)
        if {"failure", "cause"} <= row.keys():
            assert failure_named(row["failure"]).cause == row["cause"], record.id


def test_every_cause_is_of_a_failure_and_a_scenario_brings_it_about() -> None:
    assert sorted(set(CAUSES) - set(FAILURES)) == []
    assert sorted(set(CAUSES) - SHOWN) == []


def test_the_table_is_one_file_for_each_family() -> None:
    assert {failure.family for failure in FAILURES.values()} == {file.stem for file in FOLDER.iterdir()}


@pytest.mark.parametrize("name", ["trust-subject-difers", ""])
def test_a_misspelt_name_is_an_error(name: str) -> None:
    with pytest.raises(ConformanceError, match="a failure of the table"):
        failure_named(name)


def test_a_cause_in_other_words_is_an_error() -> None:
    with pytest.raises(ConformanceError, match="0 with 'no role'"):
        failure_with_cause("no role")


def test_only_measured_texts_decide() -> None:
    assert {text.place for text in measured_texts("token-removed", "13.0.0-dev")} == {"agent-log", "auth-log"}
    with pytest.raises(Withheld):
        measured_texts("token-removed", "13.9.9")


@pytest.mark.parametrize(
    "row", ["{a: {cause: c, diagnosis: d, fix: f, besides: prayer}}", "{b: {besides: nothing}}"]
)
def test_a_row_that_is_not_whole_is_refused(tmp_path: Path, row: str) -> None:
    (tmp_path / "one.yaml").write_text(row)
    (tmp_path / "two.yaml").write_text("{b: {cause: c, diagnosis: d, fix: f, besides: nothing}}")
    with pytest.raises((ConformanceError, TypeError)):
        _load(tmp_path)
