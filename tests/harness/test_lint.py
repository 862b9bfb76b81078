"""Every trap of pytest-bdd is reported; a sound feature is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_bdd.parsers import parse, re, string
from pytest_bdd.steps import StepFunctionContext

from harness.guide.claims import CLAIMS, Claim
from harness.lint import lint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_bdd.parsers import StepParser

SOUND = """
Feature: Joining
  @id:s3.install @guide:s3.install @needs:aws-call-log
  Scenario: An agent joins
    Given a token
    When the chart is installed
    Then the agent joined
"""


def a_token() -> None: ...
def chart_is_installed() -> None: ...
def agent_joined() -> None: ...
def role(name: str) -> None: ...
def forgets() -> None: ...
def rows(datatable: list[list[str]]) -> None: ...
def text(docstring: str) -> None: ...
async def later() -> None: ...


def defined(kind: str | None, parser: StepParser, function: Callable[..., object]) -> StepFunctionContext:
    return StepFunctionContext(kind, function, parser)  # type: ignore[arg-type]  # a literal type


DEFINITIONS = [
    defined("given", string("a token"), a_token),
    defined("when", string("the chart is installed"), chart_is_installed),
    defined("then", string("the agent joined"), agent_joined),
    defined("given", parse("a role {name}"), role),
    defined("given", re(r"a forgotten (?P<name>\w+)"), forgets),
    defined("given", string("rows"), rows),
    defined("given", string("a text"), text),
    defined(None, string("anything goes"), a_token),
]


@pytest.fixture
def linted(tmp_path: Path) -> Callable[..., list[str]]:
    def run(
        text: str, *, name: str = "1.feature", definitions: list[StepFunctionContext] = DEFINITIONS
    ) -> list[str]:
        path = tmp_path / "features" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return lint(tmp_path / "features", definitions)

    return run


def steps(
    *lines: str, tags: str = "@id:a @guide:s3.install", keyword: str = "Scenario", rest: str = ""
) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"Feature: F\n  {tags}\n  {keyword}: S\n{body}\n{rest}"


SOUND_STEPS = ("Given a token", "When the chart is installed", "Then the agent joined")


def test_a_sound_feature_has_no_problem(linted: Callable[..., list[str]]) -> None:
    assert linted(SOUND) == []


def test_a_sound_outline_has_no_problem(linted: Callable[..., list[str]]) -> None:
    rest = "    Examples:\n      | role |\n      | one |\n      | two |\n"
    lines = ("Given a role <role>", "And anything goes", *SOUND_STEPS[1:])
    assert linted(steps(*lines, keyword="Scenario Outline", rest=rest)) == []


@pytest.mark.parametrize(
    ("feature", "problem"),
    [
        pytest.param(
            SOUND + SOUND.partition("\n  @id")[2].replace("s3.install @", "b @").join(["  @id", ""]),
            "twice: one of them would not run",
            id="duplicate name",
        ),
        pytest.param(
            SOUND
            + "  @id:s3.install @guide:s3.install\n  Scenario: Another\n    "
            + "\n    ".join(SOUND_STEPS),
            "1.feature:9: id 's3.install' is that of features/1.feature:4",
            id="duplicate id",
        ),
        pytest.param(steps(), "a scenario without steps passes", id="no steps"),
        pytest.param(
            steps("Givn a token", *SOUND_STEPS[1:]), "is no step: 'Givn a token'", id="misspelt keyword"
        ),
        pytest.param("Feature: F\n", "no scenario of it would run", id="feature without scenario"),
        pytest.param("", "no scenario of it would run", id="empty file"),
        pytest.param(
            steps("Given a forgotten role", *SOUND_STEPS[1:]), "captures name, which", id="unused capture"
        ),
        pytest.param(
            steps("Given a token", "  | a |", *SOUND_STEPS[1:]),
            "has a data table, which",
            id="table not taken",
        ),
        pytest.param(
            steps("Given a token", '  """', "  x", '  """', *SOUND_STEPS[1:]),
            "has a doc string, which",
            id="doc string not taken",
        ),
        pytest.param(steps("Given a fake", *SOUND_STEPS[1:]), "has no step definition", id="undefined step"),
        pytest.param(
            steps("Given a token", "When the agent joined", "Then the agent joined"),
            "is defined for Then only: keywords count",
            id="keyword-typed miss",
        ),
        pytest.param(
            steps(
                "Given a role <r>",
                *SOUND_STEPS[1:],
                rest="    Examples:\n      | r |\n",
                keyword="Scenario Outline",
            ),
            "the Outline has no Examples row",
            id="empty Examples",
        ),
        pytest.param(
            steps("Given a role <r>", *SOUND_STEPS[1:]),
            "the Outline has no Examples row",
            id="placeholder alone",
        ),
        pytest.param(
            steps(*SOUND_STEPS, "And a token"),
            "'And a token' is defined for Given only",
            id="And after Then is Then",
        ),
        pytest.param(steps(*SOUND_STEPS, "Given a token"), "Given after Then in line", id="Given after Then"),
        pytest.param(
            steps(*SOUND_STEPS, "When the chart is installed"),
            "2 When steps",
            id="several When, one after Then",
        ),
        pytest.param(
            steps(
                "Given a token", "When the chart is installed", "And anything goes", "Then the agent joined"
            ),
            "2 When steps (And counted)",
            id="several When",
        ),
        pytest.param(steps("Given a token", "Then the agent joined"), "0 When steps", id="no When"),
        pytest.param(steps("Given a token", "When the chart is installed"), "no Then step", id="no Then"),
        pytest.param(steps("And a token", *SOUND_STEPS), "the first step must be", id="And first"),
        pytest.param(
            steps("Given a token", *["And anything goes"] * 3, *SOUND_STEPS[1:]),
            "6 steps, Background",
            id="six steps",
        ),
        pytest.param(
            "Feature: F\n  Background:\n    Given a token\n    And anything goes\n    And a role x\n"
            + steps(*SOUND_STEPS).partition("\n")[2],
            "6 steps, Background counted",
            id="six steps with the Background",
        ),
        pytest.param(steps(*SOUND_STEPS, tags="@guide:s3.install"), "exactly one @id: tag", id="no id"),
        pytest.param(steps(*SOUND_STEPS, tags="@id:a @id:b @failure:x"), "there are 2", id="two ids"),
        pytest.param(
            steps(*SOUND_STEPS, tags="@id:A_b @failure:x"), "@id:A_b: after the colon", id="malformed id"
        ),
        pytest.param(steps(*SOUND_STEPS, tags="@id:a"), "neither @guide: nor @failure:", id="checks nothing"),
        pytest.param(
            steps(*SOUND_STEPS, tags="@id:a @guide:s3.instal"), "did you mean s3.install?", id="unknown claim"
        ),
        pytest.param(
            steps(*SOUND_STEPS, tags="@id:a @guide:s3.install~9"),
            "newest revision of the claim is 2",
            id="unknown revision",
        ),
        pytest.param(
            steps(*SOUND_STEPS, tags="@id:a @failure:x @alon"),
            "unknown tag @alon: did you mean alone?",
            id="typo",
        ),
        pytest.param(
            steps(*SOUND_STEPS, tags="@id:a @failure:x @need:y"), "did you mean needs:?", id="unknown family"
        ),
        pytest.param(
            steps(
                "Given a role <r>",
                *SOUND_STEPS[1:],
                keyword="Scenario Outline",
                rest="    @alone\n    Examples:\n      | r |\n      | x |\n",
            ),
            "tags on Examples are not the scenario's",
            id="Examples-only tag",
        ),
        pytest.param(
            steps(
                "Given a role <r>",
                *SOUND_STEPS[1:],
                keyword="Scenario Outline",
                rest="    Examples:\n      | r |\n      | x/y |\n      | x-y |\n",
            ),
            "id 'a[x-y]' is that of",
            id="rows that share a folder",
        ),
        pytest.param(
            steps("Given a text", '  """', "  kind: Role", '  """', *SOUND_STEPS[1:]),
            "YAML has no place",
            id="YAML",
        ),
        pytest.param(steps("Given a role proxy:3080", *SOUND_STEPS[1:]), "a port has no place", id="port"),
        pytest.param(
            steps("Given a role that waits for 5 seconds", *SOUND_STEPS[1:]),
            "a time-out has no place",
            id="time-out",
        ),
        pytest.param(
            "Feature: F\n  It has a timeout.\n" + steps(*SOUND_STEPS).partition("\n")[2],
            "a time-out has no place",
            id="time-out in a description",
        ),
    ],
)
def test_each_trap_is_reported(linted: Callable[..., list[str]], feature: str, problem: str) -> None:
    problems = linted(feature)
    assert any(problem in line for line in problems), problems
    assert all(line.startswith("features/1.feature:") for line in problems), problems


def test_ambiguous_steps_are_reported_with_their_places(linted: Callable[..., list[str]]) -> None:
    definitions = [
        *DEFINITIONS,
        defined("given", parse("a {thing}"), role),
        defined(None, string("a token"), forgets),
    ]
    [problem] = [line for line in linted(SOUND, definitions=definitions) if "ambiguous" in line]
    assert problem.startswith("features/1.feature:5: 'Given a token' is ambiguous")
    assert problem.count("test_lint.py:") == 3


def test_async_steps_are_reported(linted: Callable[..., list[str]]) -> None:
    problems = linted(SOUND, definitions=[*DEFINITIONS, defined("given", string("later"), later)])
    assert len(problems) == 1
    assert "step 'later' is async: it would pass without running" in problems[0]


@pytest.mark.parametrize("name", ["deeper/2.feature", "2.Feature", "2.feature.md"])
def test_feature_files_that_nobody_collects_are_reported(linted: Callable[..., list[str]], name: str) -> None:
    linted(SOUND)
    assert linted(SOUND, name=name)[0].startswith(f"features/{name}:1: no scenario of it would run")


def test_an_editors_swap_file_is_no_feature(linted: Callable[..., list[str]]) -> None:
    linted(SOUND)
    assert linted("b0VIM", name=".1.feature.swp") == []


@pytest.mark.parametrize("row", ["arn:aws:iam::123456789012:role", "sts:GetCallerIdentity", "three minutes"])
def test_words_of_the_field_are_not_taken_for_technicalities(
    linted: Callable[..., list[str]], row: str
) -> None:
    assert linted(steps(f"Given a role {row}", *SOUND_STEPS[1:])) == []


def test_table_and_doc_string_are_fine_where_they_are_taken(linted: Callable[..., list[str]]) -> None:
    lines = ("Given rows", "  | a |", "And a text", '  """', "  x", '  """', *SOUND_STEPS[1:])
    assert linted(steps(*lines)) == []


def test_a_raised_revision_stops_no_run(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "1.feature").write_text(SOUND, encoding="utf-8")
    claim = CLAIMS["s3.install"]
    raised = {claim.id: Claim(claim.id, claim.section, claim.text, revisions={"18": 7})}
    # It is `coverage` that fails on it: a run against an older edition may need the scenario as it is.
    assert lint(tmp_path / "features", DEFINITIONS, raised) == []
