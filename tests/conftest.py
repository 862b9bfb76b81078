"""A scenario whose ports answer what a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import create_autospec

import pytest

from harness.environment import (
    Account,
    Agent,
    Cluster,
    Component,
    Connectors,
    Description,
    Disruption,
    Impostor,
    Roles,
    Teleport,
    Workstation,
)
from harness.scenario import Names, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable


def build(**answers: Any) -> Scenario:
    """A real Scenario over ports that know only the methods of their protocols.

    Args:
        **answers: `port__method` to what the method returns (a list under `port__method__each`: one after
            another), `port__attribute` to its value.
    """
    ports: dict[str, Any] = {
        "aws": create_autospec(Account, instance=True, account_id="111111111111", region="eu-west-1"),
        "kubernetes": create_autospec(Cluster, instance=True),
        "teleport": create_autospec(Teleport, instance=True, version="13.0.0-dev"),
        "agent": create_autospec(Agent, instance=True),
        "workstation": create_autospec(
            Workstation, instance=True, guide_version="13.0.0", proxy_address="tele.example.com:443"
        ),
        "roles": create_autospec(Roles, instance=True, kubernetes_user="kubernetes-alice"),
        "connectors": create_autospec(Connectors, instance=True),
        "disruption": create_autospec(Disruption, instance=True),
        "impostor": create_autospec(Impostor, instance=True),
    }
    for path, answer in answers.items():
        port, name, *each = path.split("__")
        target = getattr(ports[port], name)
        if not callable(target):
            setattr(ports[port], name, answer)
        elif each:
            target.side_effect = answer
        else:
            target.return_value = answer
    description = Description(
        name="lab",
        run="abcdef",
        components={name: Component(name, "13.0.0-dev", simulated=False) for name in ("teleport", "chart")},
        capabilities=frozenset(),
        guide_edition="13",
    )
    return Scenario(id="s", names=Names.unique("abc"), description=description, **ports)


@pytest.fixture(scope="session")
def world() -> Callable[..., Scenario]:
    return build
