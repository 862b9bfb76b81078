"""`pytest features/x.feature` as a user types it, and runs that must not begin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness.core.errors import EnvironmentBroken
from harness.plugin import ENVIRONMENT_VARIABLE, PLAN_VARIABLE, RESULTS_VARIABLE
from harness.report.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project

OUTLINE = """
Feature: Rows
  @id:rows @failure:wrong-role
  Scenario Outline: The product <does> it
    Given a product
    When it <does>
    Then it did as claimed

    Examples:
      | does  |
      | works |
      | fails |
"""


def test_node_ids_are_those_of_the_feature_file(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works", "two.b": "works"})
    project.feature("b.feature", OUTLINE)
    done = project.pytest("features", "--collect-only", "-q")
    assert done.returncode == 0, done.stdout
    assert done.stdout.split()[:4] == [
        "features/a.feature::one.a",
        "features/a.feature::two.b",
        "features/b.feature::rows[works]",
        "features/b.feature::rows[fails]",
    ]


def test_one_scenario_can_be_run_by_its_node_id_again_and_again(project: Project) -> None:
    project.environment_file()
    project.feature("b.feature", OUTLINE)
    for _ in range(2):
        done = project.pytest("features/b.feature::rows[works]", "--reuse", "mine")
        assert done.returncode == 0, done.stdout
        assert "1 passed" in done.stdout
    runs = list((project.root / ".conformance" / "runs" / "mine" / "pytest").glob("*/evidence/rows-works/*"))
    assert runs, "evidence lies beside the environment"


def test_pytests_own_outcomes_agree_with_the_verdicts(project: Project) -> None:
    project.environment_file()
    project.feature("b.feature", OUTLINE)
    project.scenarios("c.feature", {"c.withholds": "withholds", "c.skips": "skips"})
    done = project.pytest("features", "--reuse", "mine", "-rs")
    assert done.returncode == 1
    assert "2 failed, 1 passed, 1 skipped" in done.stdout
    assert "oracle-missing: no call log" in done.stdout


def test_without_an_environment_one_line_says_what_to_do(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works"})
    done = project.pytest("features/a.feature")
    assert done.returncode == 4
    assert done.stderr.startswith("ERROR: no environment for the scenarios: start one with './conformance up")
    assert "--reuse NAME" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unknown_environment_is_a_usage_error(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works"})
    done = project.pytest("features", "--reuse", "other")
    assert done.returncode == 4
    assert "runs/other/environment.json is missing" in done.stderr


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_unsound_features_stop_the_run_before_it_begins(project: Project, workers: tuple[str, ...]) -> None:
    project.scenarios("a.feature", {"one.a": "works", "two.b": "works"})
    project.feature(
        "b.feature", "Feature: B\n  @id:b.x @failure:x\n  Scenario: B\n    Given an unknown thing\n"
    )
    done = project.pytest("features/a.feature", "--reuse", "mine", *workers)
    assert done.returncode == 2
    assert "features/b.feature:4: 'Given an unknown thing' has no step definition" in done.stderr
    assert not (project.root / "closed.txt").exists()


def test_a_broken_feature_file_is_told_without_a_traceback(project: Project) -> None:
    project.feature("b.feature", "Nonsense")
    done = project.pytest("features", "--reuse", "mine")
    assert done.returncode == 2
    assert "features/b.feature" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unknown_planned_scenario_stops_the_run(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works"})
    Plan(("one.a", "gone.b")).write(project.root / "plan.json")
    done = project.pytest(
        "features", **{PLAN_VARIABLE: "plan.json", ENVIRONMENT_VARIABLE: str(project.environment_file())}
    )
    assert done.returncode == 4
    assert "planned, but not in features/: gone.b" in done.stderr


def test_a_planned_scenario_that_is_not_collected_stops_the_run(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works"})
    project.scenarios("b.feature", {"two.b": "works"})
    Plan(("one.a", "two.b")).write(project.root / "plan.json")
    done = project.pytest(
        "features/a.feature",
        **{PLAN_VARIABLE: "plan.json", ENVIRONMENT_VARIABLE: str(project.environment_file())},
    )
    assert done.returncode == 4
    assert "planned, but not collected: two.b" in done.stderr


def test_the_plan_is_all_that_runs_and_numbers_go_on(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works", "two.b": "works", "three.c": "works"})
    Plan(("three.c", "one.a"), first=4, of=9, command=("./conformance", "run", "--env", "lab")).write(
        project.root / "plan.json"
    )
    results = project.root / "results.jsonl"
    results.write_text('{"earlier": "phase"}\n', encoding="utf-8")
    done = project.pytest(
        "features",
        **{
            PLAN_VARIABLE: "plan.json",
            ENVIRONMENT_VARIABLE: str(project.environment_file()),
            RESULTS_VARIABLE: str(results),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["[4/9]", "passed", "three.c"],
        ["[5/9]", "passed", "one.a"],
    ]
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line.get("id") for line in lines] == [None, "three.c", "one.a"]


def test_results_that_cannot_be_written_are_not_green(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works"})
    (project.root / "results.jsonl").mkdir()
    done = project.pytest(
        "features",
        **{
            ENVIRONMENT_VARIABLE: str(project.environment_file()),
            RESULTS_VARIABLE: str(project.root / "results.jsonl"),
        },
    )
    assert done.returncode == 3
    assert "results.jsonl" in done.stderr


def test_a_folder_with_evidence_of_an_earlier_run_is_an_error(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works"})
    evidence = project.root / "report-1" / "evidence" / "one.a"

    evidence.mkdir(parents=True)
    (evidence / "index.json").write_text("{}", encoding="utf-8")
    finished = project.run()
    assert finished.verdicts() == {"one.a": "error"}
    assert "of an earlier run" in finished.output


def test_runs_without_feature_files_are_left_alone(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works"})
    (project.root / "test_other.py").write_text("def test_it():\n    pass\n", encoding="utf-8")
    done = project.pytest("test_other.py")
    assert done.returncode == 0
    assert "1 passed" in done.stdout


def test_strict_markers_stay_on_for_others(project: Project) -> None:
    project.scenarios("a.feature", {"one.a": "works"}, tags="@failure:denied @alone")
    (project.root / "test_other.py").write_text(
        "import pytest\n@pytest.mark.alone\ndef test_it():\n    pass\n", encoding="utf-8"
    )
    done = project.pytest("test_other.py")
    assert done.returncode == 2
    assert "'alone' not found in `markers`" in done.stdout


@pytest.mark.parametrize("content", ["", "{", "[]", '{"scenarios": 3}', '{"scenarios": [], "of": "x"}'])
def test_a_plan_that_is_none_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content, encoding="utf-8")
    with pytest.raises(EnvironmentBroken, match="a plan in"):
        Plan.read(tmp_path / "plan.json")


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = Plan(("a", "b"), first=3, of=7, command=("./conformance", "run", "--name", "x"))
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
    (tmp_path / "plan.json").write_text('{"scenarios": ["a"]}', encoding="utf-8")
    assert Plan.read(tmp_path / "plan.json") == Plan(("a",), of=1)
