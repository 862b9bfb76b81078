"""The whole suite on simulated programs, as CI and a first-time user run it: nothing given, nothing but Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

CLONE = Path(__file__).resolve().parents[1]


LOGS = {
    "aws-aws.log": "simulated AWS",
    "aws-backend.log": "simulated AWS: moto",
    "kubelet-kubelet.log": "simulated kubelet",
    "kubernetes-apiserver.log": "simulated Kubernetes API server",
    "launcher-launcher.log": "everything that it starts is simulated",
    "teleport-teleport.log": "Simulation of Teleport 13",
}
"""Log of a program, as kept with the report -> what its first line has to say."""


def run(tmp_path: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Runs the command as a first-time user would; what became of it, and the environment's name."""
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
        [*command, *arguments],
        cwd=CLONE,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    return completed, name


@pytest.mark.timeout(1520)
def test_every_scenario_passes_and_nothing_of_the_product_was_tested(tmp_path: Path) -> None:
    completed, name = run(tmp_path)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    report = json.loads((tmp_path / "report" / "conformance-report.json").read_text())
    everything = {scenario for ids in report["suite"]["profiles"].values() for scenario in ids}
    assert {scenario["id"] for scenario in report["scenarios"]} == everything
    verdicts = [scenario["verdict"] for scenario in report["scenarios"]]
    # A tool that is on no machine, another edition's defect, sign-in by somebody else.
    assert set(verdicts) <= {"passed", "not-applicable", "withheld"}
    withheld = [scenario for scenario in report["scenarios"] if scenario["verdict"] == "withheld"]
    # The lab has no node to restart, and runs its pods as the suite; the simulated API server admits any pod, and the
    # simulated Teleport has the same authorities for good.
    assert {scenario["id"] for scenario in withheld} == {
        "how.restart-node",
        "failures.pod-security",
        "failures.web-identity-unreadable",
        "failures.no-volume-group",
        "failures.agent-newer",
        "failures.agent-older",
        "failures.host-authority-rotated",
        "failures.rotation-missed",
    }
    assert {scenario["reason"]["code"] for scenario in withheld} == {"capability-missing"}
    assert verdicts.count("passed") > 0.75 * len(verdicts)
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
    assert all(
        components[part]["detail"].startswith("simulated by the suite")
        for part in ("teleport", "kubernetes", "chart", "kubelet", "aws")
    )
    known = {text["provenance"] for text in report["environment"]["texts"]}
    assert {"measured"} <= known <= {"measured", "read", "inferred"}
    assert "texts of the simulated Teleport: " in completed.stdout
    for log, said in LOGS.items():
        first = (tmp_path / "report" / "environment" / log).read_text().splitlines()[0]
        assert said in first, log
    assert not [finding for finding in report["findings"] if finding["of"] == "product"]
    assert completed.stdout.splitlines()[-1].startswith("nothing of the product was tested: simulated are ")
    assert not (CLONE / ".conformance" / "runs" / name).exists()
    left = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if f"runs/{name}/" in " ".join(p.info["cmdline"] or [])
    ]
    assert left == []


@pytest.mark.timeout(1520)
def test_a_version_that_nobody_measured_passes_or_is_withheld(tmp_path: Path) -> None:
    chosen = (
        "step3.printed-names",
        "step2.wrong-role",
        "step2.token-as-printed",
        "how.restart-token-removed",
    )
    completed, _ = run(
        tmp_path, "--simulated-teleport=17", *(f"--scenario={scenario}" for scenario in chosen)
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    report = json.loads((tmp_path / "report" / "conformance-report.json").read_text())
    assert report["subject"]["teleport"] == "17.0.0+simulated"
    assert report["subject"]["chart"] == "17.0.0-simulated"
    assert report["guide"] == {"edition": "17", "overridden": False}
    verdicts = {scenario["id"]: scenario["verdict"] for scenario in report["scenarios"]}
    # Its last oracle needs the words of a refusal, and those of 17 were never seen.
    assert verdicts == dict.fromkeys(chosen, "passed") | {"step2.wrong-role": "withheld"}
    (withheld,) = [scenario for scenario in report["scenarios"] if scenario["verdict"] == "withheld"]
    assert withheld["reason"]["code"] == "text-not-measured"
    assert "measured" not in {text["provenance"] for text in report["environment"]["texts"]}
