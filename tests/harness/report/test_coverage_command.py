"""`coverage` reads feature files and reports, and fails on what is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.catalogue import read_catalogue
from harness.core.errors import UsageError
from harness.core.verdicts import Verdict
from harness.faults.catalogue import FAULT_MARK
from harness.guide.claims import CLAIMS
from harness.guide.coverage import Carrier, ShownRed, coverage
from harness.report import coverage_command
from harness.report.coverage_command import as_json, as_markdown_page, as_text, carriers, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.report.build import RunFacts
    from harness.report.model import Report, Result

STEPS = "    Given a product\n    When it runs\n    Then it ran\n"
FEATURE = f"""Feature: F

  @id:a.one @guide:s1.policy @guide:s3.install~2 @failure:x
  Scenario: One
{STEPS}
  @id:a.rows @guide:s1.policy
  Scenario Outline: Rows
    Given a product in <shell>
    When it runs
    Then it ran

    Examples:
      | shell |
      | bash  |
      | zsh   |
"""


@pytest.fixture
def features(tmp_path: Path) -> Path:
    folder = tmp_path / "suite" / "features"
    folder.mkdir(parents=True)
    (folder / "1.feature").write_text(FEATURE, encoding="utf-8")
    return folder


@pytest.fixture
def save(
    tmp_path: Path,
    facts: RunFacts,
    build: Callable[..., Report],
    document: Callable[[Report], dict[str, Any]],
) -> Callable[..., Path]:
    """Writes a sound report of these results, with changes of the environment and the day."""

    def write(file: str, /, *results: Result, day: str = "01", **environment: Any) -> Path:
        changed = replace(
            facts,
            environment=replace(facts.environment, **environment),
            timing=replace(facts.timing, finished=f"2026-01-{day}T00:00:00+00:00"),
        )
        path = tmp_path / file
        path.write_text(json.dumps(document(build(*results, facts=changed))), encoding="utf-8")
        return path

    return write


def test_tags_give_claims_with_their_revision_and_an_outline_counts_once(features: Path) -> None:
    assert list(dict.fromkeys(carriers(read_catalogue(features)))) == [
        Carrier("a.one", "s1.policy", 1),
        Carrier("a.one", "s3.install", 2),
        Carrier("a.rows", "s1.policy", 1),
    ]


def test_verdicts_are_kept_apart_by_environment(
    save: Callable[..., Path],
    make_result: Callable[..., Result],
    facts: RunFacts,
    simulate: Callable[..., RunFacts],
) -> None:
    simulated = simulate(facts, "teleport", "chart", "kubernetes").environment
    mixed = simulate(facts, "chart").environment
    reports = [
        save("real.json", make_result("s1.policy")),
        save("mixed.json", make_result("s1.policy"), components=mixed.components),
        save(
            "simulated.json",
            make_result("s1.policy", Verdict.FAILED),
            components=simulated.components,
            texts=simulated.texts,
        ),
        save("kind.json", make_result("s1.policy"), name="kind"),
    ]
    edition = facts.guide.edition
    assert {where: seen["s1.policy"] for where, seen in outcomes(reports).items()} == {
        f"lab-real, edition {edition}": "passed",
        f"lab-mixed, edition {edition}": "passed",
        f"lab-simulated, edition {edition}": "failed",
        f"kind, edition {edition}": "passed",
    }


def test_the_latest_report_counts(save: Callable[..., Path], make_result: Callable[..., Result]) -> None:
    late = save("late.json", make_result("s1.policy"), day="09")
    early = save("early.json", make_result("s1.policy", Verdict.FAILED), day="02")
    [seen] = outcomes([late, early]).values()
    assert seen["s1.policy"] == "passed"


def test_a_report_of_a_fault_is_refused(
    save: Callable[..., Path], make_result: Callable[..., Result]
) -> None:
    report = save("fault.json", make_result("s1.policy"), additions=[f"{FAULT_MARK}x: broken"])
    with pytest.raises(UsageError, match="without a fault"):
        outcomes([report])


def test_a_report_that_disagrees_with_itself_is_refused(
    save: Callable[..., Path], make_result: Callable[..., Result]
) -> None:
    report = save("report.json", make_result("s1.policy"))
    document = json.loads(report.read_text())
    document["summary"]["passed"] += 1
    report.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="agrees with itself"):
        outcomes([report])


@pytest.mark.parametrize("content", [None, "no JSON", "\xff"])
def test_no_report_is_a_usage_error(content: str | None, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    if content is not None:
        report.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match="conformance report"):
        outcomes([report])


def test_every_form_has_scenario_verdict_day_and_problem() -> None:
    found = coverage(
        [Carrier("a.one", "s1.policy")],
        {"lab-real, edition 17": {"a.one": "failed"}},
        [ShownRed("kind", "a.one", ("s1.policy",), "why", "2026-02-03")],
    )
    text = as_text(found)
    row = next(line for line in text.splitlines() if line.startswith("s1.policy "))
    assert row.split() == ["s1.policy", "a.one", "failed", "-", "-", "2026-02-03"]
    assert "s1.trust has neither a scenario nor a reason" in text
    assert text.endswith("58 claims: 1 with a scenario, 0 untestable, 57 with neither; 57 problems\n")
    assert "| s1.policy | a.one | failed | - | - | 2026-02-03 |" in as_markdown_page(found)
    machine = json.loads(as_json(found))
    assert machine["problems"] == list(found.problems)
    entry = next(claim for claim in machine["claims"] if claim["id"] == "s1.policy")
    assert entry["verdicts"] == {"lab-real, edition 17": "failed"}
    assert entry["shown_red"] == {"kind": {"day": "2026-02-03", "scenario": "a.one", "by": "why"}}


def test_a_reason_is_shown() -> None:
    claims = {claim.id: replace(claim, untestable="nobody sees it") for claim in CLAIMS.values()}
    found = coverage([], {}, [], claims)
    assert found.problems == ()
    assert "s1.policy is untestable: nobody sees it" in as_text(found)


def test_the_command_fails_on_what_is_missing(
    project: Any, features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage_command, "FEATURES", features)
    ended = project.main("coverage")
    assert ended.exit_code == 1
    assert "how.no-secret has neither" in ended.stdout


def test_the_command_is_content_with_a_scenario_for_each_claim(
    project: Any, features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = " ".join(f"@guide:{claim.id}~{claim.revision}" for claim in CLAIMS.values())
    (features / "1.feature").write_text(f"Feature: F\n\n  @id:a.all {tags}\n  Scenario: All\n{STEPS}")
    monkeypatch.setattr(coverage_command, "FEATURES", features)
    monkeypatch.setattr(coverage_command, "load_shown_red", tuple)
    ended = project.main("coverage", "--format", "markdown")
    assert ended.exit_code == 0
    assert "58 with a scenario" in ended.stdout
    assert project.main("coverage", "nothing.json").exit_code == 4
