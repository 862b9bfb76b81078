"""Real programs made wrong in the run's folder, and nowhere else."""

from __future__ import annotations

import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from harness.catalogue import read_catalogue
from harness.core.errors import UsageError
from harness.core.settings import load
from harness.faults.catalogue import FAULTS, announcement, check_fault, lines
from harness.faults.misconfigurations import MISCONFIGURATIONS, wrong_chart, wrong_programs
from harness.guide.claims import CLAIMS
from harness.running import CLONE

if TYPE_CHECKING:
    from pathlib import Path

OF_CHART = [name for name, wrong in MISCONFIGURATIONS.items() if wrong.chart]
OF_PROGRAMS = [name for name, wrong in MISCONFIGURATIONS.items() if wrong.program]


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart that has every line that a misconfiguration replaces."""
    folder = tmp_path / "teleport-kube-agent"
    for name in OF_CHART:
        wrong = MISCONFIGURATIONS[name].chart or {}
        file = folder / wrong["file"]
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_text() if file.exists() else ""
        file.write_text(f"{before}before\n{wrong['find']} after\n")
    return folder


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Programs that print their name, arguments and input."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("teleport", "tctl", "tsh"):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $* $TELEPORT_REPLICA_NAME $KUBECONFIG"\ncat\n')
        (folder / name).chmod(0o755)
    return folder


def run(program: Path, *words: str, given: str = "", **environment: str) -> str:
    return subprocess.run(
        [program, *words],
        input=given,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_at_least_twelve_each_named_once_with_claims_and_scenarios_that_there_are() -> None:
    assert len(MISCONFIGURATIONS) >= 12, "issue 5"
    assert not set(MISCONFIGURATIONS) & {fault.name for fault in FAULTS}
    known = {record.id for record in read_catalogue(CLONE / "features")}
    listed = "\n".join(lines())
    for wrong in MISCONFIGURATIONS.values():
        assert set(wrong.scenarios) <= known, wrong.name
        assert wrong.scenarios, wrong.name
        assert set(wrong.claims) <= set(CLAIMS), wrong.name
        assert (wrong.chart is None) != (wrong.program is None), wrong.name
        assert wrong.name in listed


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize("name", OF_CHART)
def test_a_chart_is_made_wrong_in_a_copy(chart: Path, tmp_path: Path, name: str, *, packed: bool) -> None:
    wrong = MISCONFIGURATIONS[name].chart or {}
    given, before = chart, (chart / wrong["file"]).read_text()
    if packed:
        given = tmp_path / "chart.tgz"
        with tarfile.open(given, "w:gz") as archive:
            archive.add(chart, arcname=chart.name)
    made = wrong_chart(name, given, tmp_path / "wrong")
    assert (chart / wrong["file"]).read_text() == before
    assert (made / wrong["file"]).read_text() == before.replace(wrong["find"], wrong["put"]) != before


def test_a_chart_without_that_line_is_refused(chart: Path, tmp_path: Path) -> None:
    wrong = MISCONFIGURATIONS["real-never-ready"].chart or {}
    (chart / wrong["file"]).write_text("nothing like it\n")
    with pytest.raises(UsageError, match="cannot be made wrong in that way"):
        wrong_chart("real-never-ready", chart, tmp_path / "wrong")


def test_nothing_changes_without_a_misconfiguration_of_it(
    chart: Path, programs: Path, tmp_path: Path
) -> None:
    for name in (None, "any-arn-counts", "real-rules-loosened"):
        assert wrong_chart(name, chart, tmp_path / "wrong") == chart
    for name in (None, "any-arn-counts", "real-never-ready"):
        assert wrong_programs(name, programs, tmp_path / "wrong") == programs
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("name", OF_PROGRAMS)
def test_a_script_takes_the_place_of_one_program_and_runs_it(
    programs: Path, tmp_path: Path, name: str
) -> None:
    made = wrong_programs(name, programs, tmp_path / "wrong")
    assert {file.name for file in made.iterdir()} == {"teleport", "tctl", "tsh", "marks"}
    for program in ("teleport", "tctl", "tsh"):
        assert run(made / program, "version", given="in\n").startswith(f"{program} version")


def test_rules_are_loosened_from_file_and_input(programs: Path, tmp_path: Path) -> None:
    tctl = wrong_programs("real-rules-loosened", programs, tmp_path / "wrong") / "tctl"
    assert '"aws_arn": "*"}' in run(tctl, "create", "-f", given='{"aws_arn": "arn:aws:sts::1:x/*"}')
    file = tmp_path / "token.yaml"
    file.write_text('    aws_arn: "arn:aws:sts::1:x/*"\n')
    run(tctl, "create", str(file))
    assert file.read_text() == '    aws_arn: "*"\n'


def test_roles_get_administrators(programs: Path, tmp_path: Path) -> None:
    tctl = wrong_programs("real-roles-allow-administrators", programs, tmp_path / "wrong") / "tctl"
    told = run(tctl, "create", "-f", given='{"kubernetes_groups": ["viewers"]}')
    assert '["system:masters", "viewers"]' in told


def test_given_roles_are_forgotten(programs: Path, tmp_path: Path) -> None:
    tctl = wrong_programs("real-given-roles-forgotten", programs, tmp_path / "wrong") / "tctl"
    assert run(tctl, "users", "update", "alice") == "User has been updated\n"


def test_the_kubeconfig_goes_elsewhere(programs: Path, tmp_path: Path) -> None:
    tsh = wrong_programs("real-kubeconfig-elsewhere", programs, tmp_path / "wrong") / "tsh"
    assert "/mine" in run(tsh, "kube", "ls", KUBECONFIG="/mine")
    assert "/mine" not in run(tsh, "kube", "login", "x", KUBECONFIG="/mine")


def test_an_agent_forgets_itself_from_its_second_start_on(programs: Path, tmp_path: Path) -> None:
    teleport = wrong_programs("real-identity-forgotten-at-restart", programs, tmp_path / "wrong") / "teleport"
    pod = {"TELEPORT_REPLICA_NAME": "agent-0", "KUBE_NAMESPACE": "n", "RELEASE_NAME": "r"}
    assert " agent-0 " in run(teleport, "start", **pod)
    assert " new-agent-0 " in run(teleport, "start", **pod)
    assert " agent-0 " in run(teleport, "start", **{**pod, "KUBE_NAMESPACE": "other"})


def test_it_needs_the_real_program_and_is_announced() -> None:
    for name, wrong in MISCONFIGURATIONS.items():
        with pytest.raises(UsageError, match=f"a real {wrong.component}"):
            check_fault(load({"fault": name}, {}))
        given = load({"fault": name, wrong.component: "/real"}, {})
        check_fault(given)
        (line,) = announcement(given)
        assert wrong.text in line
