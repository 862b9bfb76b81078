"""Failures of the pod that becomes of the chart: its volumes, and an AWS identity beside the service account's."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.causes.cause import Cause
from harness.core.waiting import eventually
from harness.environment import OTHER_AGENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.environment import JSON
    from harness.scenario import Scenario

HELD = {"nodeSelector.conformance": "nowhere"}
"""Values with which no node is right for the agent's pod: it does not start before it was changed."""

MADE_SECONDS = 30.0
"""Budget for Kubernetes to make the pod of a release that was just installed."""

OWNER_ALONE = 0o400
"""Mode of a file that nobody but its owner may read; Kubernetes makes root its owner where users differ."""

ANOTHER_IMAGE = "public.ecr.aws/aws-cli/aws-cli:latest"
"""Image of a second container: any will do that runs as another user than the agent and stays."""

POD_SPEC = "/spec/template/spec"


def _arrange(scenario: Scenario) -> None:
    scenario.make_service_account()
    scenario.make_token()


def _upgrade(scenario: Scenario) -> None:
    scenario.agent.upgrade({})


def _without_volume_group(scenario: Scenario, *others: JSON) -> None:
    """Has the agent's pod, which no node took, made again without a group for its volumes, and with other changes."""
    eventually(
        scenario.kubernetes.pods,
        lambda found: len(found) > 0,
        expected="the release's pod to be made",
        within=MADE_SECONDS,
    )
    changes = [{"op": "remove", "path": f"{POD_SPEC}/{name}"} for name in ("securityContext", "nodeSelector")]
    scenario.kubernetes.change("StatefulSet", scenario.names.release, [*changes, *others])
    # A StatefulSet does not replace a pod that was never ready.
    scenario.agent.again()


def _users_differ(scenario: Scenario) -> None:
    container = {
        "name": "of-another-user",
        "image": ANOTHER_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["timeout", "3600", "sleep", "3600"],
    }
    _without_volume_group(scenario, {"op": "add", "path": f"{POD_SPEC}/containers/-", "value": container})


def _own_volume(_: Scenario) -> Mapping[str, str]:
    """Values with a volume of the name that the identity webhook leaves alone, and a mode of its own."""
    volume = "extraVolumes[0]"
    source = f"{volume}.projected.sources[0].serviceAccountToken"
    return {
        **HELD,
        f"{volume}.name": "aws-iam-token",
        f"{volume}.projected.defaultMode": str(OWNER_ALONE),
        f"{source}.audience": "sts.amazonaws.com",
        f"{source}.path": "token",
    }


def _other_version(scenario: Scenario) -> Mapping[str, str]:
    """Values with which the agent is of another major; the environment has such an image (`@needs:`)."""
    image = scenario.description.components[OTHER_AGENT]
    return {
        "image": image.kind,
        "enterpriseImage": image.kind,
        "teleportVersionOverride": image.version,
    }


def _upgrade_and_restart(scenario: Scenario) -> None:
    _upgrade(scenario)
    scenario.agent.again()


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "web-identity-unreadable": Cause(_arrange, _upgrade, _own_volume, _users_differ),
        "agent-newer": Cause(_arrange, _upgrade_and_restart, _other_version),
        "agent-older": Cause(_arrange, values=_other_version),
        "no-volume-group": Cause(_arrange, values=lambda _: HELD, late=_without_volume_group),
    }
)


def volume_groups(scenario: Scenario) -> Sequence[object]:
    """Groups that the agent's pod has for its volumes: one or none."""
    context = scenario.agent.deployed()["spec"].get("securityContext") or {}
    return [context["fsGroup"]] if "fsGroup" in context else []


def other_version(scenario: Scenario) -> str:
    """Version of the agent where it is of another major than Teleport."""
    return scenario.description.components[OTHER_AGENT].version
