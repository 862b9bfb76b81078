"""Commands that a user runs in a pod through Teleport."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from harness.causes import user
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from harness.environment import JSON
    from harness.failures.table import Failure
    from harness.scenario import Scenario

COMMAND = ("teleport", "version")
"""What a user runs in the agent's pod: a program that each image of it has, and whose words are known."""

RECORDED_SECONDS = 15.0
"""Budget for Teleport to put a command on record that has ended."""


def run_when_mended(scenario: Scenario, failure: Failure) -> str:
    """Mends what keeps the user from running commands, and runs one; what it printed.

    Raises:
        NotObserved: It never ended well.
    """
    user.TROUBLES[failure.name].mend(scenario)
    names = scenario.names
    pod = f"{names.release}-0"
    ran = eventually(
        lambda: scenario.workstation.kubectl("exec", pod, f"--namespace={names.namespace}", "--", *COMMAND),
        lambda seen: seen.completed.exit_code == 0,
        expected="a command in the agent's pod to end well",
        within=user.ANSWERED_SECONDS,
    )
    return ran.completed.stdout


def words_of_command(scenario: Scenario) -> set[str]:
    """What the command prints: the version that each agent of the cluster told Teleport."""
    return {f"Teleport v{server['spec']['version']}" for server in scenario.teleport.kube_servers()}


def recorded_command(scenario: Scenario) -> tuple[str, str]:
    """Waits until Teleport's audit log has a command of the user's that ended well: its words, and the pod's name.

    Raises:
        NotObserved: It does not.
    """

    def ended_well() -> list[JSON]:
        return [
            event
            for event in scenario.teleport.audit("exec")
            if event.get("user") == scenario.names.user and not event.get("exitError")
        ]

    found = eventually(
        ended_well,
        lambda events: len(events) > 0,
        expected=f"a command of {scenario.names.user} on Teleport's audit log",
        within=RECORDED_SECONDS,
    )
    return str(found[-1].get("command")), str(found[-1].get("kubernetes_pod_name"))


def let_through(scenario: Scenario) -> set[str]:
    """Subresources that the API server let the user have, by its audit log."""
    return {
        user.resource_of(record)
        for record in scenario.kubernetes.audit(scenario.names.user)
        if record.get("objectRef", {}).get("subresource")
        and int(record["responseStatus"]["code"]) < HTTPStatus.BAD_REQUEST
    }
