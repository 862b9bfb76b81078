"""The whole suite on simulated programs, as CI and a first-time user run it: nothing given, nothing but Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

CLONE = Path(__file__).resolve().parents[1]


@pytest.mark.timeout(400)
def test_every_scenario_passes_and_nothing_of_the_product_was_tested(tmp_path: Path) -> None:
    name = f"test-{tmp_path.parent.name}-{tmp_path.name}"[:40]
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "run",
        f"--report-dir={tmp_path / 'report'}",
        f"--name={name}",
    ]
    completed = subprocess.run(
        command,
        cwd=CLONE,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    report = json.loads((tmp_path / "report" / "conformance-report.json").read_text())
    everything = {scenario for ids in report["suite"]["profiles"].values() for scenario in ids}
    assert {scenario["id"] for scenario in report["scenarios"]} == everything
    assert {scenario["verdict"] for scenario in report["scenarios"]} == {"passed"}
    # Not the least of it may be taken for the product's.
    assert set(report["conformant"].values()) == {None}
    components = report["environment"]["components"]
    assert [
        part
        for part in ("teleport", "kubernetes", "chart", "kubelet", "aws")
        if components[part]["simulated"]
    ] == [
        "teleport",
        "kubernetes",
        "chart",
        "kubelet",
        "aws",
    ]
    assert all("simulated" in components[part]["version"] for part in ("teleport", "kubernetes", "chart"))
    assert not [finding for finding in report["findings"] if finding["of"] == "product"]
    assert completed.stdout.splitlines()[-1].startswith("nothing of the product was tested: simulated are ")
    assert not (CLONE / ".conformance" / "runs" / name).exists()
    left = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if f"runs/{name}/" in " ".join(p.info["cmdline"] or [])
    ]
    assert left == []
