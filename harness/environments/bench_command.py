"""`./conformance bench kind`: the bare commands one after the other, then ours, each part timed.

The bare ones are what a reader would type: `kind create cluster --wait`, `kind load docker-image`, `helm install
--wait`. Ours is a whole environment and an agent in it that has joined.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness import environments
from harness.adapters import (
    containers,
    docker_engine,
    image_store,
    images,
    kind_cluster,
    processes,
)
from harness.adapters.certificates import signing_key
from harness.environments import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.core.settings import Settings
    from harness.environments.provisioning import Provisioning

    Tell = Callable[[str], None]


def kind(settings: Settings, tell: Tell) -> None:
    """Times both and tells the parts of each.

    Args:
        settings: Of env kind.
        tell: Prints one line for the user.

    Raises:
        EnvironmentBroken: A part failed.
    """
    tell("the bare commands, one after the other")
    bare = _bare(settings, tell)
    tell("ours")
    parts, ours, helm = _ours(settings, tell)
    bare["helm install, until the pod is ready"] = helm
    tell("")
    _table("bare commands", bare, sum(bare.values()), tell)
    _table("ours, in part side by side", parts, ours, tell)


def _bare(settings: Settings, tell: Tell) -> dict[str, float]:
    """Seconds of each bare command that makes a cluster and brings the agent's image into it."""
    with environments.owned(settings, tell) as environment:
        try:
            return _by_hand(settings, environment.making)
        finally:
            _end(environment, tell)


def _by_hand(settings: Settings, making: Provisioning) -> dict[str, float]:
    env = processes.base_environment(making.folder, making.run) | docker_engine.client_environment()
    needed = images.needed(settings)
    program = kind_cluster.require_program(settings.kind, node=needed.node, env=env)
    engine = containers.Engine(making.run, making.ledger)
    image_store.provide(engine.client, needed.all)
    engine.make_network()
    keys = making.folder / "keys"
    keys.mkdir()
    commands = kind_cluster.bare_commands(
        program,
        making.folder / "kubernetes",
        engine=engine,
        image=needed.node,
        agent=needed.agent,
        issuer=making.issuer,
        signing=signing_key(keys),
        ledger=making.ledger,
    )
    env = kind_cluster.environment_of_kind(env, engine.network_name)
    seconds = {}
    for name, argv in commands.items():
        began = time.monotonic()
        completed = processes.run(argv, env=env, cwd=making.folder, within=kind_cluster.CREATE_SECONDS)
        processes.checked(completed, expected=f"`{name}` to succeed")
        seconds[name] = time.monotonic() - began
    return seconds


def _ours(settings: Settings, tell: Tell) -> tuple[dict[str, float], float, float]:
    """Seconds by part of ours, all of it, and of one more agent, until its pod is ready."""
    began = time.monotonic()
    with environments.owned(settings, tell) as environment:
        try:
            written = environment.start()
            parts = {name: seconds for name, seconds in written.seconds.items() if name != "total"}
            parts["environment"] = time.monotonic() - began
            joined, whole = _joined_agent(written, began)
            parts["agent, until it has joined"] = joined
            return parts, whole, _helm_alone(written)
        finally:
            _end(environment, tell)


def _end(environment: environments.Provisioned, tell: Tell) -> None:
    for leftover in environments.described(environment.end()):
        tell(f"left behind: {leftover}")


def _joined_agent(written: state.State, began: float) -> tuple[float, float]:
    with environments.attach(written.folder / state.STATE_FILE).open("bench", alone=False) as scenario:
        scenario.make_service_account()
        scenario.make_token()
        started = time.monotonic()
        scenario.agent.install()
        scenario.agent.joined()
        return time.monotonic() - started, time.monotonic() - began


def _helm_alone(written: state.State) -> float:
    with environments.attach(written.folder / state.STATE_FILE).open("bench", alone=False) as scenario:
        scenario.make_service_account()
        scenario.make_token()
        began = time.monotonic()
        scenario.agent.install()
        scenario.agent.ready()
        return time.monotonic() - began


def _table(title: str, parts: dict[str, float], total: float, tell: Tell) -> None:
    width = max(map(len, (*parts, title)))
    tell(title)
    for name, seconds in parts.items():
        tell(f"  {name:<{width}} {seconds:6.1f} s")
    tell(f"  {'total':<{width}} {total:6.1f} s")
