"""What a lab says it can do, by which of its programs are real."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.environments import kind_provisioning
from harness.environments.lab_components import Given
from harness.environments.lab_provisioning import CAPABILITIES, capabilities

REAL = Path("programs")


@pytest.mark.parametrize(
    ("teleport", "control_plane", "runs_commands"),
    [(None, None, True), (None, REAL, True), (REAL, REAL, True), (REAL, None, False)],
)
def test_commands_run_where_what_is_before_the_kubelet_speaks_spdy_or_websockets_alike(
    teleport: Path | None, control_plane: Path | None, *, runs_commands: bool
) -> None:
    seen = capabilities(Given(teleport=teleport, control_plane=control_plane, chart=None))
    assert seen - CAPABILITIES - {"pod-security", "rotation"} == ({"exec"} if runs_commands else set())
    assert seen >= CAPABILITIES


@pytest.mark.parametrize(("control_plane", "admits"), [(None, False), (REAL, True)])
def test_pod_security_is_the_real_api_servers(control_plane: Path | None, *, admits: bool) -> None:
    seen = capabilities(Given(teleport=None, control_plane=control_plane, chart=None))
    assert ("pod-security" in seen) is admits


@pytest.mark.parametrize(("teleport", "rotates"), [(None, False), (REAL, True)])
def test_only_a_real_teleport_has_its_authorities_rotated(teleport: Path | None, *, rotates: bool) -> None:
    seen = capabilities(Given(teleport=teleport, control_plane=REAL, chart=None))
    assert ("rotation" in seen) is rotates


def test_a_node_is_stopped_and_started_where_it_is_a_container() -> None:
    assert kind_provisioning.CAPABILITIES >= CAPABILITIES
    assert {
        "exec",
        "pod-security",
        "restart-node",
        "security-context",
    } == kind_provisioning.CAPABILITIES - CAPABILITIES


@pytest.mark.parametrize(
    ("image", "shows"),
    [
        (None, set()),
        ("teleport:12.0.0-alpha.2", {"older-agent"}),
        ("registry:5000/teleport:14.1.0", {"newer-agent"}),
        ("teleport:13.4.1", set()),
        ("teleport:latest", set()),
    ],
)
def test_an_agent_of_another_major_shows_what_it_is(image: str | None, shows: set[str]) -> None:
    assert kind_provisioning.other_majors(image, "13.0.0-dev") == shows
