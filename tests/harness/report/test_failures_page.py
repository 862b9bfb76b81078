"""docs/failures.md is what the command prints, and a failure is told with its words and what mends it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from harness.failures.table import FAILURES
from harness.report.failures_page import FAMILIES, failures, page

DOCUMENT = Path(__file__).parents[3] / "docs" / "failures.md"


def test_the_document_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(failures, catch_exceptions=False).stdout
    assert DOCUMENT.read_text(encoding="utf-8") == printed, "./conformance failures > docs/failures.md"


def test_every_failure_is_there_once() -> None:
    headings = [line for line in page({}).splitlines() if line.startswith("### ")]
    assert sorted(headings) == sorted(f"### {name}" for name in FAILURES)


def test_every_family_has_a_heading() -> None:
    assert {failure.family for failure in FAILURES.values()} <= FAMILIES.keys()


def test_a_failure_is_told_with_its_scenarios_its_words_and_what_mends_it() -> None:
    told = page({"no-aws-credentials": ["failures.b", "failures.a"]})
    section = told.split("### no-aws-credentials\n")[1].split("### ")[0]
    assert "(`failures.a`, `failures.b`)" in section
    assert "NoCredentialProviders" in section
    assert "Then delete the agent's pod." in section
