"""Every planned scenario is in the report exactly once, however it ended, with and without workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Finished, Project

ENDINGS = {
    "ends.passes": ("works", "passed"),
    "ends.fails": ("fails", "failed"),
    "ends.breaks": ("breaks", "error"),
    "ends.withholds": ("withholds", "withheld"),
    "ends.inapplicable": ("does not apply", "not-applicable"),
    "ends.skips": ("skips", "error"),
    "ends.not-found": ("is not found", "error"),
    "teardown.of-passed": ("works", "error"),
    "teardown.of-failed": ("fails", "failed"),
    "setup.breaks": ("works", "error"),
    "ends.noted": ("differs from the guide", "passed"),
}
REASONS = {
    "ends.fails": "not-as-claimed",
    "ends.breaks": "step-broke",
    "ends.withholds": "oracle-missing",
    "ends.inapplicable": "tool-absent",
    "ends.skips": "skipped-in-step",
    "ends.not-found": "step-broke",
    "teardown.of-passed": "tear-down-broke",
    "teardown.of-failed": "not-as-claimed",
    "setup.breaks": "set-up-broke",
}


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "two-workers"])
def finished(request: pytest.FixtureRequest, new_project: Callable[[], Project]) -> Finished:
    project = new_project()
    project.scenarios("a.feature", {scenario: behaviour for scenario, (behaviour, _) in ENDINGS.items()})
    project.scenarios("b.feature", {"needs.missing": "works"}, tags="@failure:denied @needs:clock")
    return project.run(workers=request.param)


def test_every_ending_has_its_verdict(finished: Finished) -> None:
    expected = {scenario: verdict for scenario, (_, verdict) in ENDINGS.items()}
    assert finished.verdicts() == {**expected, "needs.missing": "withheld"}, finished.output


def test_every_scenario_is_reported_once(finished: Finished) -> None:
    assert set(finished.times_reported().values()) == {1}
    assert len(finished.lines) == len(finished.report.scenarios) == len(ENDINGS) + 1


def test_reasons_name_their_cause(finished: Finished) -> None:
    reasons = {entry.id: entry.reason for entry in finished.report.scenarios if entry.reason}
    assert {scenario: reasons[scenario].code for scenario in REASONS} == REASONS
    assert "connection lost" in reasons["ends.breaks"].text
    assert "expected: an agent that joins" in reasons["ends.fails"].text
    assert "the namespace would not go" in reasons["teardown.of-failed"].text
    assert "clock" in reasons["needs.missing"].text


def test_steps_tell_how_far_it_came(finished: Finished) -> None:
    steps = {entry.id: [step.verdict for step in entry.steps] for entry in finished.report.scenarios}
    assert steps["ends.passes"] == ["passed", "passed", "passed"]
    assert steps["ends.fails"] == ["passed", "passed", "failed"]
    assert steps["ends.breaks"] == ["passed", "error", "not-run"]
    assert steps["ends.withholds"] == ["passed", "withheld", "not-run"]
    assert steps["ends.skips"] == ["passed", "error", "not-run"]
    assert steps["ends.not-found"] == ["error", "not-run", "not-run"]
    assert steps["setup.breaks"] == steps["needs.missing"] == ["not-run", "not-run", "not-run"]


def test_nothing_is_opened_for_a_missing_capability(finished: Finished) -> None:
    closed = (finished.folder.parent / "closed.txt").read_text().splitlines()
    assert "ends.passes" in closed
    assert "needs.missing" not in closed


def test_evidence_lies_with_its_scenario(finished: Finished) -> None:
    entry = next(entry for entry in finished.report.scenarios if entry.id == "ends.fails")
    assert entry.evidence is not None
    titles = [record["title"] for record in entry.evidence.records]
    assert titles[0].startswith("gateway"), titles
    folder = finished.folder / entry.evidence.folder
    assert all((folder / record["file"]).is_file() for record in entry.evidence.records)
    assert "an agent that joins" in (folder / "traceback-call.txt").read_text()


def test_findings_are_collected(finished: Finished) -> None:
    [finding] = finished.report.findings
    assert (finding.of, finding.claim, finding.scenario) == ("guide", "s3.tsh-ls", "ends.noted")


def test_only_our_lines_are_printed(finished: Finished) -> None:
    lines = finished.output.splitlines()
    progress = [line for line in lines if line.startswith("[")]
    assert len(progress) == len(ENDINGS) + 1
    assert {line[1:3].strip() for line in progress} == {str(number) for number in range(1, len(ENDINGS) + 2)}
    assert "test session starts" not in finished.output
    assert "Traceback" not in finished.output
    [failed] = [line for line in progress if "ends.fails" in line]
    assert "/12] failed" in failed
    assert "The product fails in ends.fails" in failed
    assert failed.endswith(" s")


def test_a_failure_is_explained(finished: Finished) -> None:
    block = finished.output.partition("  ends.fails ")[2].partition("\n[")[0]
    assert "claim     s3.install: " in block
    assert "step      Then it did as claimed  (features/a.feature:13)" in block
    assert "expected: an agent that joins, seen: none" in block
    assert "again     ./conformance run --scenario ends.fails" in block
    assert f"evidence  {finished.folder}/evidence/ends.fails" in block


def test_pytest_is_red(finished: Finished) -> None:
    assert finished.exit_code == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_dies_loses_no_scenario(project: Project, workers: int) -> None:
    behaviours = {"one.passes": "works", "two.dies": "dies", "three.passes": "works"}
    project.scenarios("a.feature", behaviours)
    finished = project.run(workers=workers)
    after = "passed" if workers > 1 else "not-run"
    died = "error" if workers > 1 else "not-run"
    expected = {"one.passes": "passed", "two.dies": died, "three.passes": after}
    assert finished.verdicts() == expected, finished.output
    reason = next(entry.reason for entry in finished.report.scenarios if entry.id == "two.dies")
    assert reason is not None
    assert reason.code == ("worker-crashed" if workers > 1 else "not-reported")


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_tears_down_and_leaves_the_rest_not_run(project: Project, workers: int) -> None:
    behaviours = {
        "one.passes": "works",
        "two.ends": "is terminated",
        "three.passes": "works",
        "four.hangs": "hangs",
    }
    project.scenarios("a.feature", behaviours)
    finished = project.run(workers=workers)
    verdicts = finished.verdicts()
    assert list(verdicts) == list(behaviours)
    assert verdicts["one.passes"] == "passed", finished.output
    assert verdicts["two.ends"] == "not-run", finished.output
    assert verdicts["four.hangs"] == "not-run", finished.output
    assert finished.exit_code == 2
    closed = (project.root / "closed.txt").read_text().splitlines()
    assert "two.ends" in closed, finished.output


def test_exit_first_ends_the_run(project: Project) -> None:
    project.scenarios(
        "a.feature", {"one.withholds": "withholds", "two.fails": "fails", "three.passes": "works"}
    )
    finished = project.run(exit_first=True)
    assert finished.verdicts() == {
        "one.withholds": "withheld",
        "two.fails": "failed",
        "three.passes": "not-run",
    }


def test_no_secret_leaves_in_a_reason(project: Project) -> None:
    project.scenarios("a.feature", {"one.leaks": "leaks"})
    finished = project.run()
    assert finished.verdicts() == {"one.leaks": "failed"}
    everything = finished.output + "".join(
        path.read_text() for path in finished.folder.rglob("*") if path.is_file()
    )
    assert "seen: Authorization" in everything
    assert "abcdefghijklmnopqrstuvwxyz0123456789" not in everything
