"""The catalogue: what is read from feature files, and what a selection leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _pytest.mark.expression import Expression

from harness.catalogue import folder_name, nearest, outline_id, read_catalogue, read_features, select
from harness.core.errors import ConformanceError, NothingSelected, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.catalogue import ScenarioRecord

JOIN = """
@needs:aws-call-log
Feature: Joining

  Background:
    Given a token

  @id:s3.install @guide:s3.install @guide:how.no-secret~1
  Scenario: An agent joins by IAM
    When the chart is installed
    Then the agent joined
    And no secret was handed out

  Rule: Only the named role joins

    @id:s2.refused @guide:s2.arn-restricts @failure:wrong-role @alone
    Scenario Outline: A role in another <place> is refused
      When an agent comes from another <place>
      Then it is refused for its <place>

      Examples:
        | place   | note |
        | account | one  |
        | path    | two  |
"""
ACCESS = """
Feature: Access
  @id:ts.upgrade @guide:ts.relogin @upgrade
  Scenario: A role counts after signing in again
    Given a table
      | a |
    When it is read
      \"\"\"
      text
      \"\"\"
    Then it counts
"""


@pytest.fixture
def features(tmp_path: Path) -> Path:
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / "2_join.feature").write_text(JOIN, encoding="utf-8")
    (folder / "3_access.feature").write_text(ACCESS, encoding="utf-8")
    return folder


@pytest.fixture
def records(features: Path) -> list[ScenarioRecord]:
    return read_catalogue(features)


def test_order_is_that_of_files_then_lines(records: list[ScenarioRecord]) -> None:
    assert [record.id for record in records] == [
        "s3.install",
        "s2.refused[account]",
        "s2.refused[path]",
        "ts.upgrade",
    ]


def test_a_plain_scenario(records: list[ScenarioRecord]) -> None:
    record = records[0]
    assert (record.name, record.feature, record.line) == (
        "An agent joins by IAM",
        "features/2_join.feature",
        9,
    )
    assert record.claims == ("s3.install", "how.no-secret")
    assert record.profiles == ("guide",)
    assert record.needs == ("aws-call-log",)
    assert (record.failures, record.alone, record.rule, record.example) == ((), False, None, ())


def test_steps_begin_with_the_background_and_inherit_their_kind(records: list[ScenarioRecord]) -> None:
    steps = [(step.keyword, step.kind, step.text, step.line) for step in records[0].steps]
    assert steps == [
        ("Given", "given", "a token", 6),
        ("When", "when", "the chart is installed", 10),
        ("Then", "then", "the agent joined", 11),
        ("And", "then", "no secret was handed out", 12),
    ]


def test_each_row_of_an_outline_is_a_scenario(records: list[ScenarioRecord]) -> None:
    account, path = records[1:3]
    assert account.name == "A role in another account is refused"
    assert account.template == path.template == "A role in another <place> is refused"
    assert path.steps[-1].text == "it is refused for its path"
    assert account.example == (("place", "account"), ("note", "one"))
    assert (account.line, path.line) == (23, 24)
    assert account.rule == "Only the named role joins"
    assert account.alone
    assert account.profiles == ("guide", "robustness")
    assert account.failures == ("wrong-role",)
    assert outline_id(account) == outline_id(path) == "s2.refused"


def test_step_arguments_are_noted(records: list[ScenarioRecord]) -> None:
    table, docstring, none = records[3].steps
    assert (table.has_table, table.docstring) == (True, None)
    assert (docstring.has_table, docstring.docstring) == (False, "text")
    assert (none.has_table, none.docstring) == (False, None)
    assert records[3].profiles == ("guide", "upgrade")


def test_an_empty_file_is_a_document_without_records(features: Path) -> None:
    (features / "9_empty.feature").write_text("# nothing\n", encoding="utf-8")
    assert read_features(features)[-1].records == ()


def test_what_is_not_gherkin_names_file_and_place(features: Path) -> None:
    text = "Feature: x\n  Scenario: y\n    Given z\n    Nonsense\n"
    (features / "1_bad.feature").write_text(text, encoding="utf-8")
    with pytest.raises(ConformanceError, match=r"(?s)features/1_bad\.feature.*4:5"):
        read_catalogue(features)


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("s3", ["s3.install"]),
        ("refused", ["s2.refused[account]", "s2.refused[path]"]),
        ("refused and not path", ["s2.refused[account]"]),
        ("JOINS or counts", ["s3.install", "ts.upgrade"]),
        ("guide:ts.relogin", ["ts.upgrade"]),
        ("3_access", ["ts.upgrade"]),
        ("alone and (account or nothing)", ["s2.refused[account]"]),
    ],
)
def test_keyword_is_pytests_expression_over_id_name_tags_and_feature(
    records: list[ScenarioRecord], keyword: str, expected: list[str]
) -> None:
    assert [record.id for record in select(records, keyword)] == expected


@pytest.mark.parametrize("keyword", ["and", "s3 and", "(s3", "s3 s2", "s3(a=1)", "@id", ""])
def test_an_expression_that_cannot_be_read_is_a_usage_error(
    records: list[ScenarioRecord], keyword: str
) -> None:
    with pytest.raises(UsageError, match="an expression such as"):
        select(records, keyword)


def test_pytests_private_expression_still_works_as_select_needs() -> None:
    # `select` leans on a private class: an upgrade of pytest that changes it shall fail here.
    expression = Expression.compile("a.b and not c")
    assert expression.evaluate(lambda name, /, **_: name in "a.b")
    assert not expression.evaluate(lambda name, /, **_: name in "a.b c")
    with pytest.raises(SyntaxError):
        Expression.compile("a and")


def test_ids_of_an_outline_stand_for_its_rows(records: list[ScenarioRecord]) -> None:
    assert [record.id for record in select(records, ids=["s2.refused"])] == [
        "s2.refused[account]",
        "s2.refused[path]",
    ]
    assert [record.id for record in select(records, ids=["s2.refused[path]"])] == ["s2.refused[path]"]


def test_conditions_must_all_hold(records: list[ScenarioRecord]) -> None:
    assert [record.id for record in select(records, profiles=["robustness"], keyword="path")] == [
        "s2.refused[path]"
    ]
    assert len(select(records)) == len(records)


def test_unknown_id_names_the_nearest(records: list[ScenarioRecord]) -> None:
    with pytest.raises(UsageError, match=r"s3\.instal.*(?s:.*)did you mean s3\.install\?"):
        select(records, ids=["s3.instal"])


def test_unknown_profile_is_a_usage_error(records: list[ScenarioRecord]) -> None:
    with pytest.raises(UsageError, match=r"did you mean guide\?"):
        select(records, profiles=["guid"])


def test_an_empty_selection_is_told(records: list[ScenarioRecord]) -> None:
    with pytest.raises(NothingSelected, match="none of the 4 scenarios"):
        select(records, keyword="nothing_like_it")
    with pytest.raises(NothingSelected):
        select([])


def test_nearest_lists_what_is_known_when_nothing_is_near() -> None:
    assert nearest("zzz", ["b", "a"]) == "known are: a, b"
    assert nearest("zzz", []) == "known are: none"


def test_folder_names_are_plain() -> None:
    assert folder_name("s2.refused[a/b c]") == "s2.refused-a-b-c"
    assert folder_name("../x") == "x"
