"""A fault in a real run: the scenario that owns its claim fails, and everybody is told why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[3]


def run(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", "run", f"--report-dir={tmp_path / 'report'}", *options],
        cwd=CLONE,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


# One fault of the server, one of a program in a pod: each is told by another way.
@pytest.mark.parametrize(
    ("fault", "scenario"),
    [
        ("nothing-to-impersonate-is-enough", "access.no-groups"),
        ("agent-joins-at-each-start", "how.restart-pod-deleted"),
    ],
)
def test_a_fault_turns_its_scenario_red(tmp_path: Path, fault: str, scenario: str) -> None:
    completed = run(tmp_path, "--fault", fault, "--scenario", scenario)
    assert completed.returncode == 1, completed.stdout + completed.stderr
    report = json.loads((tmp_path / "report" / "conformance-report.json").read_text())
    assert [(one["id"], one["verdict"]) for one in report["scenarios"]] == [(scenario, "failed")]
    mark = f"fault {fault}, teleport misbehaves on purpose"
    assert [text for text in report["environment"]["additions"] if text.startswith(mark)]
    assert completed.stdout.splitlines()[-2].startswith(mark)


def test_a_misspelt_fault_starts_nothing(tmp_path: Path) -> None:
    completed = run(tmp_path, "--fault", "host-id-forgoten")
    assert completed.returncode == 4
    assert "did you mean host-id-forgotten?" in completed.stderr
    assert not (tmp_path / "report").exists()
