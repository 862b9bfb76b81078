"""All containers of a run: whether they live, which they are, what they wrote, and their removal."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import requests.exceptions

from harness.adapters import containers, docker_engine
from harness.core.errors import EnvironmentBroken, TransientOracleError
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.core.ledger import Entry

REMOVE_SECONDS = 180.0
"""Budget for the engine to remove a container after it did not answer within a minute: a node, on a busy machine."""


def must_all_be_alive(run: str, cluster: str) -> None:
    """Checks that every container of a run still runs, and every node of its cluster.

    Raises:
        EnvironmentBroken: One ended, with its last words; or the engine does not answer.
    """
    client = docker_engine.connect()
    with contextlib.closing(client):
        found = containers.all_of(client, run, cluster)
        if not found:
            raise EnvironmentBroken(
                expected=f"the containers of run {run}",
                seen="none",
                remedy="they were removed; `./conformance cleanup --all` removes the rest",
            )
        for container in found:
            # Of one that was made to copy a file out nothing ever runs.
            if container.status not in ("running", "created"):
                containers.Container(client, container.name).must_be_alive()


def identities(run: str, cluster: str) -> dict[str, str]:
    """Ids of a run's containers and of its cluster's nodes, by name: another one of that name has another id."""
    client = docker_engine.connect()
    with contextlib.closing(client):
        found = containers.all_of(client, run, cluster)
        return {str(container.name): str(container.id) for container in found}


def addresses(run: str) -> dict[str, str]:
    """Address of each container of a run on the run's network, by name."""
    client = docker_engine.connect()
    with contextlib.closing(client):
        return {
            str(one.name): containers.Container(client, one.name).ip()
            for one in containers.labelled(client, f"{docker_engine.LABEL}={run}")
        }


def logs(run: str) -> Iterator[tuple[str, str]]:
    """Name and log of each container of a run."""
    client = docker_engine.connect()
    with contextlib.closing(client):
        for container in containers.labelled(client, f"{docker_engine.LABEL}={run}"):
            yield (
                container.name.removeprefix(f"conformance-{run}-"),
                containers.Container(client, container.name).log(),
            )


def undo_container(entry: Entry) -> None:
    """Ledger undo: removes the container that the entry names, if the run made it."""
    client = docker_engine.connect()
    with contextlib.closing(client):
        try:
            container = client.containers.get(str(entry.what["name"]))
        except docker_engine.GONE:
            return
        _must_be_marked(container.labels, entry)
        # Somebody else, or an ending engine, may remove it at the same time.
        _remove(container)


def undo_network(entry: Entry) -> None:
    """Ledger undo: removes the network that the entry names, if the run made it, and what is left of the run.

    No entry names a container that was made to copy a file out, and a node may come after its cluster was undone:
    the engine goes on with what a killed `kind` asked for. The network is the first thing made, and undone last.
    """
    run, name = str(entry.what["run"]), str(entry.what["name"])
    client = docker_engine.connect()
    with contextlib.closing(client):
        # Only of the network that goes by the run: its name is the cluster's, too.
        for container in containers.all_of(client, run, name) if name == containers.network_of(run) else ():
            _remove(container)
        try:
            network = client.networks.get(name)
        except docker_engine.GONE:
            return
        _must_be_marked(network.attrs.get("Labels") or {}, entry)
        with contextlib.suppress(*docker_engine.GONE):
            network.remove()


def undo_cluster(entry: Entry) -> None:
    """Ledger undo: removes the nodes of the kind cluster that the entry names; its name carries the run's id."""
    name = str(entry.what["name"])
    if str(entry.what["run"]) not in name:
        raise EnvironmentBroken(
            expected=f"the name of a cluster of run {entry.what['run']}",
            seen=name,
            remedy=f"if it is yours, leave it; else `kind delete cluster --name {name}`",
        )
    client = docker_engine.connect()
    with contextlib.closing(client):
        for node in containers.labelled(client, f"{docker_engine.KIND_LABEL}={name}"):
            _remove(node)


def _remove(container: Any) -> None:
    """Removes a container, gone already or not; a busy engine goes on with what it did not answer in time."""
    with contextlib.suppress(*docker_engine.GONE):
        try:
            container.remove(force=True, v=True)
        except requests.exceptions.Timeout:
            eventually(
                lambda: _is_gone(container),
                bool,
                expected=f"the engine to remove container {container.name}",
                within=REMOVE_SECONDS,
            )


def _is_gone(container: Any) -> bool:
    try:
        container.reload()
    except docker_engine.GONE:
        return True
    except docker_engine.BROKEN as error:
        raise TransientOracleError(str(error)) from error
    return False


def _must_be_marked(labels: Mapping[str, str], entry: Entry) -> None:
    if labels.get(docker_engine.LABEL) != entry.what["run"]:
        raise EnvironmentBroken(
            expected=f"{entry.what['name']} with the label {docker_engine.LABEL}={entry.what['run']}",
            seen=f"{docker_engine.LABEL}={labels.get(docker_engine.LABEL)}",
            remedy="something else has taken the name: remove it by hand if it is yours",
        )
