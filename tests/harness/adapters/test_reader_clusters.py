"""Which clusters the reader's tsh lists, and which one the reader's kubectl points at."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness.adapters import reader_clusters
from harness.adapters.reader_clusters import ReaderClusters
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = Names.unique("abc")
TSH = '#!/bin/sh\ncat "$HOME/listed"\n'


@dataclass
class Registered:
    """Takes the place of Teleport: what is registered under the scenario's cluster name."""

    servers: list[dict[str, Any]] = field(default_factory=lambda: [{"kind": "kube_server"}])

    def kube_servers(self) -> list[dict[str, Any]]:
        return self.servers


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTED_SECONDS", "UNLISTED_SECONDS"):
        monkeypatch.setattr(reader_clusters, name, 0.3)


@pytest.fixture
def registered() -> Registered:
    return Registered()


@pytest.fixture
def reader(
    tmp_path: Path, env: dict[str, str], program: Callable[..., Path], registered: Registered
) -> ReaderClusters:
    program(tmp_path / "programs", "tsh", TSH)
    (tmp_path / "listed").write_text("[]")
    own = {
        **env,
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path / 'programs'}:{env['PATH']}",
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
    }
    teleport: Any = registered
    return ReaderClusters(names=NAMES, env=own, teleport=teleport)


def lists(folder: Path, *names: str) -> None:
    (folder / "listed").write_text(json.dumps([{"kube_cluster_name": name} for name in names]))


class TestUnlisted:
    """A list that lacks the cluster."""

    def test_what_is_missing_until_it_is_mended_was_watched(
        self, reader: ReaderClusters, tmp_path: Path
    ) -> None:
        lists(tmp_path, "another")
        assert reader.unlisted(lambda: lists(tmp_path, NAMES.cluster)) == ["another"]

    def test_a_cluster_in_the_list_is_told(self, reader: ReaderClusters, tmp_path: Path) -> None:
        lists(tmp_path, NAMES.cluster)
        with pytest.raises(NotObserved, match=f"not to list {NAMES.cluster}"):
            reader.unlisted(lambda: None)

    def test_one_that_is_never_listed_shows_a_blind_watch(
        self, reader: ReaderClusters, tmp_path: Path
    ) -> None:
        lists(tmp_path, f"{NAMES.cluster}-2")
        with pytest.raises(EnvironmentBroken, match="control after"):
            reader.unlisted(lambda: None)

    def test_one_that_is_not_registered_shows_a_blind_watch(
        self, reader: ReaderClusters, registered: Registered
    ) -> None:
        registered.servers.clear()
        with pytest.raises(EnvironmentBroken, match="control before"):
            reader.unlisted(lambda: None)


def test_kubectl_can_be_set_to_a_cluster_that_does_not_answer(reader: ReaderClusters, tmp_path: Path) -> None:
    admin = {
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:6443"}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
        "users": [{"name": "admin", "user": {}}],
        "current-context": "lab",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(admin))
    assert reader.point_elsewhere() == "lab"
    changed = reader.kubeconfig()
    assert changed["current-context"] != "lab"
    current = {entry["name"]: entry["context"] for entry in changed["contexts"]}[changed["current-context"]]
    servers = {entry["name"]: entry["cluster"]["server"] for entry in changed["clusters"]}
    assert servers[current["cluster"]] != servers["lab"]
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o077 == 0
