"""The faults: every decision has one, and every scenario is proven to notice one."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness import environments
from harness.catalogue import outline_id, read_catalogue
from harness.cli import main
from harness.core.errors import UsageError
from harness.core.settings import Settings, load
from harness.faults import chart, clients
from harness.faults.catalogue import (
    FAULTS,
    NOT_APPLICABLE,
    OTHERWISE,
    TAKEN_VARIABLE,
    VARIABLE,
    WITHHELD,
    Fault,
    announcement,
    check_fault,
)
from harness.faults.misconfigurations import MISCONFIGURATIONS, Misconfiguration
from harness.guide.claims import CLAIMS

ROOT = Path(__file__).parents[3]
COMPONENTS = ("aws", "kubelet", "apiserver", "teleport")
"""Programs: their faults are functions. The chart is data: its faults are files."""

CHART = [fault for fault in FAULTS if fault.component == "chart"]
STAND_IN = chart.SIMULATED / "teleport-kube-agent"
TRIED: dict[str, tuple[str, tuple[Any, ...], Any]] = {
    "aws": ("session_token_matches", ("a", "b"), False),
    "kubelet": ("restart_after_exit", ("Always", 1), True),
    "apiserver": ("job_complete", (1, 1), True),
    "teleport": ("join_needed", (None,), True),
}
"""A decision of each, what it is asked and what it answers."""

SCENARIOS = {
    name: record for record in read_catalogue(ROOT / "features") for name in (record.id, outline_id(record))
}
"""An Outline as a whole too."""


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


def test_what_no_fault_can_prove_is_a_claim_of_a_scenario() -> None:
    for scenario, claim in (*OTHERWISE, *NOT_APPLICABLE, *WITHHELD):
        record = SCENARIOS[scenario]
        assert claim in {*record.claims, *(f"failure:{mode}" for mode in record.failures)}
    assert not set(OTHERWISE) & {*NOT_APPLICABLE, *WITHHELD}
    assert all(SCENARIOS[scenario].needs for scenario, _ in WITHHELD)


WITH_STEPS: list[Fault | Misconfiguration] = [
    *(fault for fault in FAULTS if fault.at),
    *(wrong for wrong in MISCONFIGURATIONS.values() if wrong.at),
]


@pytest.mark.parametrize("fault", WITH_STEPS, ids=lambda fault: fault.name)
def test_a_step_that_proves_beside_a_then_is_one_of_its_scenarios_and_has_a_reason(fault: Any) -> None:
    steps = {step.text: step.kind for scenario in fault.scenarios for step in SCENARIOS[scenario].steps}
    for step, why in fault.at:
        # A Given is arranged: what fails there shows nothing of the claim.
        assert steps[step] in ("when", "then")
        assert why.endswith(".")


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


def test_the_catalogue_has_the_faults_of_the_chart() -> None:
    assert {fault.name for fault in CHART} == {file.stem for file in chart.FAULTS.iterdir()}


def test_every_decision_of_the_chart_has_a_fault() -> None:
    decisions = STAND_IN / chart.DECISIONS
    assert {f"_{fault.decision}.tpl" for fault in CHART} == {file.name for file in decisions.iterdir()}


@pytest.mark.parametrize("fault", CHART, ids=lambda fault: fault.name)
def test_a_fault_of_the_chart_replaces_one_decision(fault: Any, tmp_path: Path) -> None:
    faulty = chart.with_fault(STAND_IN, tmp_path / "chart", load({"fault": fault.name}, {}))
    own, texts = (
        {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.*")}
        for folder in (STAND_IN, faulty)
    )
    changed = [name for name in own if texts[name] != own[name]]
    assert changed == [f"templates/decisions/_{fault.decision}.tpl"]
    assert set(texts) == set(own)
    # It has to define what it takes the place of.
    assert f'define "{fault.decision}"' in texts[changed[0]]


def test_the_catalogue_has_the_faults_of_the_clients() -> None:
    listed = {fault.name for fault in FAULTS if fault.component == "clients"}
    assert listed == {file.stem for file in clients.FAULTS.iterdir()}


def test_a_fault_of_a_client_takes_the_place_of_that_program() -> None:
    programs: dict[str, Path | str] = {"helm": Path("/helm"), "aws": Path("/aws")}
    faulty = clients.with_fault(programs, load({"fault": "helm-is-too-old"}, {}))
    assert faulty["aws"] == Path("/aws")
    assert "v3.4.1" in str(faulty["helm"])
    for settings in (Settings(), load({"fault": "any-arn-counts"}, {})):
        assert clients.with_fault(programs, settings) == programs


def test_other_faults_leave_the_chart_as_it_is(tmp_path: Path) -> None:
    for settings in (Settings(), load({"fault": "any-arn-counts"}, {})):
        assert chart.with_fault(STAND_IN, tmp_path / "chart", settings) == STAND_IN


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.component in COMPONENTS], ids=lambda f: f.name)
def test_a_fault_replaces_its_decision_in_its_simulator_alone(fault: Any) -> None:
    for component in COMPONENTS:
        expected = [fault.decision] if component == fault.component else []
        assert replaced(component, fault.name) == expected


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_scenarios_of_a_fault_own_one_of_its_claims(fault: Any) -> None:
    assert set(fault.claims) <= set(CLAIMS)
    for scenario in fault.scenarios:
        record = SCENARIOS[scenario]
        assert set(fault.claims) & set(record.claims) or record.failures, scenario


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    settings = load({"fault": "any-arn-count"}, {})
    with pytest.raises(UsageError, match="did you mean any-arn-counts"):
        check_fault(settings)


@pytest.mark.parametrize(
    ("fault", "option"),
    [
        ("any-arn-counts", "teleport"),
        ("audit-log-stays-empty", "control_plane"),
        ("another-joining-secret", "chart"),
    ],
)
def test_a_real_component_has_no_fault(fault: str, option: str) -> None:
    with pytest.raises(UsageError, match="the real one in /real"):
        environments.check(load({"fault": fault, option: "/real"}, {}))


@pytest.mark.parametrize(
    "fault",
    [next(one.name for one in FAULTS if one.component == name) for name in (*COMPONENTS[1:], "chart")],
)
def test_in_env_kind_only_aws_is_simulated(fault: str) -> None:
    of_kind = {"env": "kind", "teleport": "13.0.0", "chart": "/chart"}
    with pytest.raises(UsageError, match="the real one in"):
        check_fault(load({**of_kind, "fault": fault}, {}))
    aws = next(one.name for one in FAULTS if one.component == "aws")
    check_fault(load({**of_kind, "fault": aws}, {}))
    made = [name for name, wrong in MISCONFIGURATIONS.items() if wrong.fits_images]
    assert len(made) >= 12
    for wrong in made:
        check_fault(load({**of_kind, "fault": wrong}, {}))
    for wrong in MISCONFIGURATIONS.keys() - made:
        with pytest.raises(UsageError, match="`teleport` is an image"):
            check_fault(load({**of_kind, "fault": wrong}, {}))


def test_the_official_webhook_does_not_misbehave() -> None:
    of_kind = {"env": "kind", "teleport": "13.0.0", "chart": "/chart", "fault": "webhook-injects-nothing"}
    check_fault(load(of_kind, {}))
    with pytest.raises(UsageError, match="the real one in mine/webhook:1"):
        check_fault(load({**of_kind, "webhook_image": "mine/webhook:1"}, {}))


def test_a_simulated_component_beside_real_ones_may_have_one() -> None:
    check_fault(load({"fault": "any-date-counts", "teleport": "/real", "control_plane": "/real"}, {}))
    check_fault(Settings())


def test_a_report_says_what_was_wrong_on_purpose() -> None:
    (line,) = announcement(load({"fault": "any-arn-counts"}, {}))
    assert line.startswith("fault any-arn-counts, teleport misbehaves on purpose (arn_matches): ")
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
    assert set(rows) == {fault.name for fault in FAULTS} | set(MISCONFIGURATIONS)
    assert rows["no-cluster-is-listed"] == ["teleport", "server_listed", "s3.tsh-ls", "step3.printed-names"]
    assert "unowned:" in rows["roles-may-administer"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_has_scenarios_that_notice_or_a_reason_why_none_does(fault: Any) -> None:
    assert bool(fault.scenarios) != bool(fault.unowned)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_decision_that_is_taken_leaves_its_name(component: str, tmp_path: Path) -> None:
    module = importlib.import_module(f"simulators.{component}.faults")
    taking = module.chosen({TAKEN_VARIABLE: str(tmp_path)})
    own = module.chosen({})
    assert list(tmp_path.iterdir()) == []
    decision, arguments, answer = TRIED[component]
    for _ in range(2):
        assert getattr(taking, decision)(*arguments) == answer == getattr(own, decision)(*arguments)
        assert [mark.name for mark in tmp_path.iterdir()] == [f"{component}.{decision}"]
    # Whoever wants to know what is taken from now on empties the folder.
    (tmp_path / f"{component}.{decision}").unlink()
    getattr(taking, decision)(*arguments)
    assert (tmp_path / f"{component}.{decision}").exists()
