"""The faults: every decision has one, and every scenario is proven to notice one."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness import environments
from harness.catalogue import read_catalogue
from harness.cli import main
from harness.core.errors import UsageError
from harness.core.settings import Settings, load
from harness.faults.catalogue import FAULTS, VARIABLE, announcement, check_fault
from harness.guide.claims import CLAIMS

ROOT = Path(__file__).parents[3]
COMPONENTS = ("aws", "kubelet", "apiserver", "teleport")
SCENARIOS = {record.id: record for record in read_catalogue(ROOT / "features")}


def faults_of(component: str) -> Mapping[str, Callable[[Any], Any]]:
    faults: Mapping[str, Callable[[Any], Any]] = importlib.import_module(
        f"simulators.{component}.faults"
    ).FAULTS
    return faults


def replaced(component: str, name: str) -> list[str]:
    module = importlib.import_module(f"simulators.{component}.faults")
    own, wrong = module.chosen({}), module.chosen({VARIABLE: name})
    return [
        field.name
        for field in dataclasses.fields(own)
        if getattr(own, field.name) is not getattr(wrong, field.name)
    ]


def test_names_are_unique() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_catalogue_has_the_faults_of_the_simulators(component: str) -> None:
    listed = {fault.name for fault in FAULTS if fault.component == component}
    assert listed == set(faults_of(component))


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_decision_has_a_fault(component: str) -> None:
    decisions = importlib.import_module(f"simulators.{component}.decisions").Decisions
    listed = {fault.decision for fault in FAULTS if fault.component == component}
    assert listed == {field.name for field in dataclasses.fields(decisions)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_replaces_its_decision_in_its_simulator_alone(fault: Any) -> None:
    for component in COMPONENTS:
        expected = [fault.decision] if component == fault.component else []
        assert replaced(component, fault.name) == expected


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_scenarios_of_a_fault_own_one_of_its_claims(fault: Any) -> None:
    assert set(fault.claims) <= set(CLAIMS)
    for scenario in fault.scenarios:
        assert set(fault.claims) & set(SCENARIOS[scenario].claims), scenario


def test_no_scenario_is_without_a_fault() -> None:
    assert {scenario for fault in FAULTS for scenario in fault.scenarios} == set(SCENARIOS)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    settings = load({"fault": "any-arn-count"}, {})
    with pytest.raises(UsageError, match="did you mean any-arn-counts"):
        check_fault(settings)


@pytest.mark.parametrize(
    ("fault", "option"), [("any-arn-counts", "teleport"), ("audit-log-stays-empty", "control_plane")]
)
def test_a_real_component_has_no_fault(fault: str, option: str) -> None:
    with pytest.raises(UsageError, match="the real one in /real"):
        environments.check(load({"fault": fault, option: "/real"}, {}))


def test_a_simulated_component_beside_real_ones_may_have_one() -> None:
    check_fault(load({"fault": "any-date-counts", "teleport": "/real", "control_plane": "/real"}, {}))
    check_fault(Settings())


def test_a_report_says_what_was_wrong_on_purpose() -> None:
    (line,) = announcement(load({"fault": "any-arn-counts"}, {}))
    assert line.startswith("fault any-arn-counts: teleport misbehaves on purpose (arn_matches): ")
    assert announcement(Settings()) == ()


def test_the_command_that_repeats_a_run_has_its_fault() -> None:
    words = load({"fault": "any-arn-counts"}, {}).command_line()
    assert words[-2:] == ["--fault", "any-arn-counts"]


def test_a_reused_environment_takes_no_other_fault() -> None:
    with pytest.raises(UsageError, match="either reuse or fault"):
        load({"reuse": "lab", "fault": "any-arn-counts"}, {})


def test_the_list_shows_owned_and_unowned_faults() -> None:
    result = CliRunner().invoke(main, ["faults", "list"])
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines()}
    assert set(rows) == {fault.name for fault in FAULTS}
    assert rows["any-arn-counts"] == ["teleport", "arn_matches", "s2.arn-restricts", "step2.wrong-role"]
    assert rows["any-date-counts"][-1] == "unowned"
