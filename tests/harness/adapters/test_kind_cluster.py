"""What kind is told, and what the user is told when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from harness.adapters import kind_cluster
from harness.adapters.certificates import signing_key
from harness.core.errors import EnvironmentBroken, TransientOracleError
from harness.core.ledger import Ledger

Fails = Callable[..., EnvironmentBroken]
ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"


class FakeNode:
    """A container that may end."""

    name = "conformance-abc123-control-plane"

    def __init__(self, ended: str | None = None, log: str = "") -> None:
        self._ended = iter([None, *([ended] * 1000)])
        self._log = log

    def exited(self) -> str | None:
        return next(self._ended)

    def log(self, lines: int) -> str:
        return self._log


def program(folder: Path, text: str) -> Path:
    path = folder / "kind"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def kind_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fails]:
    """Makes a cluster with a kind that prints something and fails; the error."""

    class Engine:
        run, network_name, client = "abc123", "conformance-abc123", object()

    def create(text: str, node: FakeNode, code: int = 1, *, seconds: float = 0) -> EnvironmentBroken:
        monkeypatch.setattr(kind_cluster.containers, "Container", lambda client, name: node)
        monkeypatch.setattr(kind_cluster._Import, "start", lambda self: None)
        kind = program(tmp_path, f"sleep {seconds}; echo '{text}'; exit {code}")
        (tmp_path / "keys").mkdir()
        with pytest.raises(EnvironmentBroken) as raised:
            kind_cluster.create(
                kind,
                tmp_path / "kubernetes",
                engine=Engine(),  # type: ignore[arg-type]
                image="kindest/node:v1.32.2",
                node_images=[],
                issuer=ISSUER,
                signing=signing_key(tmp_path / "keys"),
                env={"PATH": "/usr/bin:/bin", "CONFORMANCE_RUN": "abc123"},
                ledger=Ledger(tmp_path / "ledger.jsonl"),
            )
        entries = [entry.kind for entry in Ledger(tmp_path / "ledger.jsonl").open_entries()]
        assert entries == ["process", "kind-cluster"]
        return raised.value

    yield create
    kind_cluster.daemons.stop_all("abc123")


def test_the_api_server_is_told_issuer_audiences_and_audit_log(tmp_path: Path) -> None:
    signing = signing_key(tmp_path)
    told: dict[str, Any] = kind_cluster.configuration(tmp_path, issuer=ISSUER, signing=signing)
    node = told["nodes"][0]
    patch = yaml.safe_load(node["kubeadmConfigPatches"][0])
    # With one, kind would pass the patch over wherever kubeadm speaks another version.
    assert "apiVersion" not in patch
    arguments = patch["apiServer"]["extraArgs"]
    assert arguments["service-account-issuer"] == ISSUER
    assert arguments["service-account-jwks-uri"] == f"{ISSUER}/keys"
    assert ISSUER in arguments["api-audiences"].split(",")
    inside = {mount["containerPath"]: mount["hostPath"] for mount in node["extraMounts"]}
    assert inside["/etc/kubernetes/pki/sa.key"] == str(signing.private)
    assert inside["/etc/kubernetes/pki/sa.pub"] == str(signing.public)
    for file in ("audit-policy-file", "audit-log-path"):
        folder = str(Path(arguments[file]).parent)
        assert folder in inside
        assert folder in {volume["mountPath"] for volume in patch["apiServer"]["extraVolumes"]}


def test_nothing_of_the_cluster_listens_beyond_loopback(tmp_path: Path) -> None:
    told = kind_cluster.configuration(tmp_path, issuer=ISSUER, signing=signing_key(tmp_path))
    assert told["networking"]["apiServerAddress"] == "127.0.0.1"
    assert "extraPortMappings" not in told["nodes"][0]


@pytest.mark.parametrize(
    ("printed", "remedy"),
    [
        ("ERROR: write /x: no space left on device", "docker system df"),
        (
            'could not find a log line that matches "Reached target .*Multi-User System.*"',
            "max_user_instances",
        ),
        ("Bind for 127.0.0.1:1 failed: port is already allocated", "try again"),
        ('node(s) already exist for a cluster with the name "x"', "cleanup"),
    ],
)
def test_a_failure_that_is_known_names_the_way_out(kind_fails: Fails, printed: str, remedy: str) -> None:
    error = kind_fails(printed.replace("'", ""), FakeNode())
    assert printed in error.seen
    assert remedy in error.remedy


def test_a_failure_that_is_not_known_names_the_log(kind_fails: Fails) -> None:
    error = kind_fails("something new", FakeNode(), code=7)
    assert "exit status 7" in error.seen
    assert "something new" in error.seen
    assert "kind.log" in error.remedy


def test_a_node_that_dies_is_told_before_kind_gives_up(kind_fails: Fails) -> None:
    error = kind_fails("never printed", FakeNode("exit status 255", "Too many open files"), seconds=60)
    assert "exit status 255" in error.seen
    assert "max_user_instances" in error.remedy


def test_something_else_that_exists_already_is_no_cluster(kind_fails: Fails) -> None:
    error = kind_fails("new trouble", FakeNode(None, "namespaces kube-system already exists"))
    assert "kind.log" in error.remedy


def test_a_node_that_dies_is_no_longer_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead() -> None:
        raise EnvironmentBroken(expected="the node to keep running", seen="exit status 137", remedy="none")

    def refused(path: str) -> None:
        raise TransientOracleError(f"nobody answers for {path}")

    api = SimpleNamespace(get=refused, close=lambda: None)
    monkeypatch.setattr(kind_cluster, "KubernetesAPI", lambda kubeconfig: api)
    monkeypatch.setattr(kind_cluster, "READY_SECONDS", 3600)
    with pytest.raises(EnvironmentBroken, match="exit status 137"):
        kind_cluster._wait_until_ready(tmp_path, SimpleNamespace(must_be_alive=dead))  # type: ignore[arg-type]


def test_a_node_that_was_started_again_loses_its_way_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolated: list[str] = []
    monkeypatch.setattr(kind_cluster, "isolate", isolated.append)
    started = iter(["at eight", "at eight", "at nine", "at nine"])
    node: Any = SimpleNamespace(name="node", started=lambda: next(started))
    for times in (1, 1, 2, 2):
        kind_cluster.keep_isolated(node, tmp_path)
        assert len(isolated) == times


def test_a_node_that_keeps_its_way_out_is_told_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(node: str) -> None:
        raise EnvironmentBroken(expected="no way out", seen=node, remedy="none")

    monkeypatch.setattr(kind_cluster, "isolate", fail)
    node: Any = SimpleNamespace(name="node", started=lambda: "at eight")
    for _ in range(2):
        with pytest.raises(EnvironmentBroken, match="no way out"):
            kind_cluster.keep_isolated(node, tmp_path)


def test_kind_finds_docker_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "unix:///told.sock")
    # Neither is any business of the run.
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "podman")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    told = kind_cluster.environment_of_kind({"PATH": "/usr/bin", "HOME": "/h"}, "conformance-abc123")
    assert told == {
        "DOCKER_HOST": "unix:///told.sock",
        "PATH": f"/usr/bin:{tmp_path}",
        "HOME": "/h",
        "KIND_EXPERIMENTAL_DOCKER_NETWORK": "conformance-abc123",
    }
    (tmp_path / "docker").unlink()
    told = kind_cluster.environment_of_kind({"PATH": "/usr/bin"}, "conformance-abc123")
    assert told["PATH"] == "/usr/bin"


@pytest.mark.parametrize("text", ["kind v0.11.1 go1.16.4 linux/amd64", "kind version 9", ""])
def test_a_kind_that_is_too_old_or_none_is_refused(tmp_path: Path, text: str) -> None:
    kind = program(tmp_path, f"echo '{text}'")
    with pytest.raises(EnvironmentBroken, match=r"expected: kind 0\.20 or newer"):
        kind_cluster.require_program(kind, node="kindest/node:v1.35.0", env={"PATH": "/usr/bin:/bin"})


def test_a_kind_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    kind = program(tmp_path, "echo 'kind v0.27.0 go1.23.6 linux/amd64'")
    assert (
        kind_cluster.require_program(kind, node="kindest/node:v1.35.0", env={"PATH": "/usr/bin:/bin"}) == kind
    )


@pytest.mark.parametrize(("number", "fits"), [("0.31.0", False), ("0.32.0", True)])
def test_a_newer_kubernetes_needs_a_newer_kind(tmp_path: Path, number: str, fits: bool) -> None:
    kind = program(tmp_path, f"echo 'kind v{number} go1.26.0 linux/amd64'")

    def require() -> Path:
        return kind_cluster.require_program(kind, node="kindest/node:v1.36.1", env={"PATH": "/usr/bin:/bin"})

    if fits:
        assert require() == kind
    else:
        with pytest.raises(EnvironmentBroken, match=r"kind 0\.32 or newer.*\n.*\n.*--control-plane"):
            require()


def test_no_kind_at_all_names_the_lab(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken, match="the lab"):
        kind_cluster.require_program(tmp_path / "absent", node="kindest/node:v1.35.0", env={})
