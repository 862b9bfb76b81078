"""All containers of a run: alive or not, and removed without touching anybody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import docker.errors
import pytest
import requests.exceptions

from harness.adapters import run_containers
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.ledger import Entry, Ledger, replay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUN = "abc123"
ABSENT = docker.errors.NotFound("no such thing")


def entry(kind: str, name: str, run: str = RUN) -> Entry:
    return Entry("1", kind, {"name": name, "run": run}, "")


def test_all_of_a_run_have_to_be_alive(engine_is: Callable[..., Any], strict: Any, calls: Any) -> None:
    def listed(status: str) -> Any:
        return strict(status=status, name=f"conformance-abc123-{status}")

    # One that is made for a file to be copied out is no sign of anything.
    both = calls([listed("running")], [listed("running"), listed("created")])
    client = engine_is(containers=strict(list=both))
    run_containers.must_all_be_alive(RUN, "cluster")
    assert [named["filters"]["label"] for _, named in both] == [
        "conformance.run=abc123",
        "io.x-k8s.kind.cluster=cluster",
    ]
    assert len(client.close) == 1
    gone = strict(attrs={"State": {"Running": False, "ExitCode": 2}}, logs=calls(b"last words"))
    dead = strict(list=calls([listed("running")], [listed("exited")]), get=calls(gone))
    engine_is(containers=dead)
    with pytest.raises(EnvironmentBroken, match="last words"):
        run_containers.must_all_be_alive(RUN, "cluster")
    engine_is(containers=strict(list=calls([])))
    with pytest.raises(EnvironmentBroken, match="the containers of run abc123"):
        run_containers.must_all_be_alive(RUN, "cluster")
    engine_is(containers=strict(list=calls(requests.exceptions.ConnectionError("reset"))))
    with pytest.raises(EnvironmentBroken, match="Docker engine to answer"):
        run_containers.must_all_be_alive(RUN, "cluster")


def test_what_the_run_made_is_removed(engine_is: Callable[..., Any], strict: Any, calls: Any) -> None:
    one = strict(labels={"conformance.run": RUN}, remove=calls(None))
    network = strict(attrs={"Labels": {"conformance.run": RUN}}, remove=calls(None))
    node = strict(remove=calls(None))
    nodes = calls([node])
    engine_is(containers=strict(get=calls(one), list=nodes), networks=strict(get=calls(network)))
    run_containers.undo_container(entry("container", "one"))
    run_containers.undo_cluster(entry("kind-cluster", f"conformance-{RUN}"))
    assert one.remove == node.remove == [((), {"force": True, "v": True})]
    ((_, named),) = nodes
    assert named["filters"] == {"label": f"io.x-k8s.kind.cluster=conformance-{RUN}"}
    assert network.remove == []


def test_an_engine_too_busy_to_answer_has_removed_it_all_the_same(
    engine_is: Callable[..., Any], strict: Any, calls: Any
) -> None:
    slow = requests.exceptions.ReadTimeout("read timed out")
    looks = calls(None, slow, ABSENT)
    node = strict(name="node", remove=calls(slow), reload=looks)
    engine_is(containers=strict(list=calls([node])))
    run_containers.undo_cluster(entry("kind-cluster", f"conformance-{RUN}"))
    assert len(looks) == 3


def test_one_that_it_does_not_remove_is_told(
    engine_is: Callable[..., Any], strict: Any, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_containers, "REMOVE_SECONDS", 0.1)
    slow = requests.exceptions.ReadTimeout("read timed out")
    node = strict(name="node", remove=calls(slow), reload=calls(None))
    engine_is(containers=strict(list=calls([node])))
    with pytest.raises(NotObserved, match="the engine to remove container node"):
        run_containers.undo_cluster(entry("kind-cluster", f"conformance-{RUN}"))


def test_what_no_entry_names_goes_before_the_network(
    engine_is: Callable[..., Any], strict: Any, calls: Any
) -> None:
    network = strict(attrs={"Labels": {"conformance.run": RUN}}, remove=calls(None))
    copied, late = strict(remove=calls(None)), strict(remove=calls(ABSENT))
    left = calls([copied], [late])
    engine_is(containers=strict(list=left), networks=strict(get=calls(network)))
    run_containers.undo_network(entry("docker-network", f"conformance-{RUN}"))
    assert [named["filters"]["label"] for _, named in left] == [
        f"conformance.run={RUN}",
        f"io.x-k8s.kind.cluster=conformance-{RUN}",
    ]
    assert copied.remove == late.remove == [((), {"force": True, "v": True})]
    assert network.remove == [((), {})]
    # The engine was killed between the two: what is left goes, though the network is gone already.
    engine_is(containers=strict(list=calls([copied], [])), networks=strict(get=calls(ABSENT)))
    run_containers.undo_network(entry("docker-network", f"conformance-{RUN}"))
    assert len(copied.remove) == 2


def test_what_is_gone_needs_no_undoing(engine_is: Callable[..., Any], strict: Any, calls: Any) -> None:
    labels = {"conformance.run": RUN}
    for get in (
        ABSENT,
        # Gone between the look and the removal.
        strict(labels=labels, attrs={"Labels": labels}, remove=calls(ABSENT)),
    ):
        there = [] if get is ABSENT else [get]
        engine_is(containers=strict(get=calls(get), list=calls(there)), networks=strict(get=calls(get)))
        run_containers.undo_container(entry("container", "one"))
        run_containers.undo_network(entry("docker-network", "net"))
        run_containers.undo_cluster(entry("kind-cluster", f"conformance-{RUN}"))


@pytest.mark.parametrize("labels", [{}, None, {"conformance.run": "of-another"}])
def test_what_another_made_under_the_same_name_stays(
    engine_is: Callable[..., Any], labels: dict[str, str] | None, strict: Any, calls: Any
) -> None:
    # Neither has a `remove`.
    engine_is(
        containers=strict(get=calls(strict(labels=labels or {})), list=calls([])),
        networks=strict(get=calls(strict(attrs={"Labels": labels}))),
    )
    with pytest.raises(EnvironmentBroken, match="remove it by hand"):
        run_containers.undo_container(entry("container", "one"))
    with pytest.raises(EnvironmentBroken, match="remove it by hand"):
        run_containers.undo_network(entry("docker-network", "net"))
    with pytest.raises(EnvironmentBroken, match="a cluster of run abc123"):
        run_containers.undo_cluster(entry("kind-cluster", "kind"))


def test_without_an_engine_things_stay_in_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    ledger = Ledger(tmp_path / "ledger")
    ledger.will_create("container", name="one", run=RUN)
    (left,) = replay(ledger, {"container": run_containers.undo_container})
    assert "a Docker engine" in left.reason
    assert len(ledger.open_entries()) == 1
