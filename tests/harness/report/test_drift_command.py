"""`drift` shows each difference with its claims and scenarios, and ends with the right code."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from harness.guide.drift import Comparison, Drift
from harness.report.drift_command import as_json, as_markdown, as_text

CLONE = Path(__file__).parents[3]
STORED = CLONE / "harness" / "guide" / "editions"

SCENARIOS = {"s3.install": ["step3.one", "step3.two"], "s3.repo": ["step3.one"]}
FOUND = Comparison(
    "17",
    (
        Drift(
            "changed",
            "command",
            "helm install \\\n  --a=1 \\\n  --b",
            "helm install \\ --a=2 \\ --b",
            7,
            ("s3.install",),
        ),
        Drift("changed", "command", "x", "x", 8, (), "with another indentation"),
        Drift(
            "moved",
            "sentence",
            "First words",
            "First words and more",
            9,
            ("s3.repo",),
            "with the 2 pieces after it",
        ),
        Drift("gone", "warning", "Never do", "", None, ("s3.repo", "s3.install")),
        Drift("new", "prose", "", "A sentence that is of no use to anybody.", 3, ("ts.oidc",)),
    ),
    52,
    ("plain text: nothing else",),
)
TEXT = r"""changed command, line 7
  printed: helm install \
  - install \ --a=1 \ --b
  + install \ --a=2 \ --b
  claims: s3.install
  scenarios: step3.one, step3.two

changed command, line 8 (with another indentation)
  printed: x
  now: x
  claims: none
  scenarios: none

moved sentence, line 9 (with the 2 pieces after it)
  printed: First words
  claims: s3.repo
  scenarios: step3.one

gone warning
  printed: Never do
  claims: s3.repo, s3.install
  scenarios: step3.one, step3.two

new prose, line 3
  now: A sentence that is of no use to anybody.
  beside claims: ts.oidc
  scenarios: none

note: plain text: nothing else
edition 17: 52 pieces compared; 1 gone, 2 changed, 1 moved, 1 new
"""


def test_text_has_a_block_for_each_difference() -> None:
    assert as_text(FOUND, SCENARIOS) == TEXT


def test_markdown_says_the_same() -> None:
    plain = re.sub(r"\*\*|^- (?=\*\*)|^  ```(text)?\n", "", as_markdown(FOUND, SCENARIOS), flags=re.MULTILINE)
    assert [line.strip() for line in plain.splitlines() if line] == [
        line.strip() for line in TEXT.splitlines() if line
    ]


def test_json_has_scenarios_and_the_row_of_a_new_passage() -> None:
    found = json.loads(as_json(FOUND, SCENARIOS))
    assert [len(each["scenarios"]) for each in found["drifts"]] == [2, 0, 1, 2, 0]
    assert [sorted(each.get("row", ())) for each in found["drifts"]][-1] == ["digest", "quote", "sample"]
    assert (found["edition"], found["compared"], found["notes"]) == ("17", 52, list(FOUND.notes))


def test_no_drift_is_0(project: Any) -> None:
    ended = project.main("drift", STORED / "18.mdx", "--edition", "18")
    assert ended.exit_code == 0
    assert "0 gone, 0 changed, 0 moved, 0 new" in ended.stdout


def test_drift_is_1_and_names_scenarios(project: Any) -> None:
    ended = project.main("drift", STORED / "18.mdx", "--commands-only")
    assert ended.exit_code == 1
    [line] = [line for line in ended.stdout.splitlines() if line.startswith("  scenarios: ")]
    assert "step2.token-as-printed" in line


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"", b"# Nothing of the guide\n"])
def test_what_cannot_be_compared_is_4(content: bytes | None, project: Any, tmp_path: Path) -> None:
    file = tmp_path / "file.md"
    if content is not None:
        file.write_bytes(content)
    assert project.main("drift", file).exit_code == 4
    assert project.main("drift", tmp_path).exit_code == 4
    assert project.main("drift", STORED / "17.mdx", "--edition", "16").exit_code == 4


def _shown() -> list[tuple[str, str]]:
    """Gives each command of the page about drift with the output below it."""
    page = (CLONE / "docs" / "drift.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n\$ \./conformance (drift [^\n]*)\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    return blocks


@pytest.mark.parametrize(("command", "output"), _shown(), ids=lambda text: text.split("\n")[0])
def test_the_docs_show_what_the_command_prints(
    command: str, output: str, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CLONE)
    printed = project.main(*shlex.split(command)).stdout.splitlines()
    for shown, now in zip(output.splitlines(), printed, strict=True):
        if shown.startswith("  scenarios: "):
            # A scenario more for a claim does not make the page wrong, one less does.
            assert set(re.split(r"[ ,]+", shown)) <= set(re.split(r"[ ,]+", now))
        else:
            assert shown == now
