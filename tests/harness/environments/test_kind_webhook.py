"""Which pod identity webhook a kind environment has, and that its report says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import (
    image_store,
    images,
    kind_cluster,
    pod_identity_webhook,
    run_containers,
)
from harness.adapters.certificates import Authority
from harness.adapters.kind_cluster import KindCluster
from harness.adapters.teleport_server import Server
from harness.core.settings import Settings, load
from harness.environments import kind_provisioning
from harness.environments.kind_provisioning import KindProvisioning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OFFICIAL = "registry.example.com/eks/webhook:v0.6.17"


class FakeAPI:
    """Keeps what is applied."""

    def __init__(self) -> None:
        self.applied: list[dict[str, Any]] = []

    def apply(self, manifest: dict[str, Any]) -> None:
        self.applied.append(manifest)


@pytest.fixture
def provisioning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], KindProvisioning]:
    """Makes a kind environment's provisioning, short of everything that takes an engine."""
    monkeypatch.setattr(image_store, "identity", lambda client, image: f"digest of {image}")
    monkeypatch.setattr(run_containers, "identities", lambda run, network: {})

    def make(webhook: str | None) -> KindProvisioning:
        options = {"env": "kind", "teleport": "13.0.0", "agent": "13.0.0", "chart": "chart"}
        settings: Settings = load({**options, "webhook_image": webhook}, {})
        made = KindProvisioning(settings)
        made.needed = images.needed(settings)
        made.engine = SimpleNamespace(client=None, network_name="conformance-abc123")  # type: ignore[assignment]
        made.authority = Authority(tmp_path)
        made.addresses = {"webhook": "aws-gateway:8443"}
        made.backend = None
        made.chart = SimpleNamespace(version="13.0.0", app_version="13.0.0", archive=tmp_path)  # type: ignore[assignment]
        made.programs = made.teleport = tmp_path
        return made

    return make


def described(made: KindProvisioning, folder: Path) -> Any:
    cluster = KindCluster("abc123", "node", folder, folder, "v1.32.2")
    server = Server(address="", configuration=folder, audit_log=folder, log=folder, version="13.0.0")
    return made._state(cluster, server, {}).description


def test_the_official_one_is_brought_into_the_node_and_deployed(
    provisioning: Callable[[str | None], KindProvisioning], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed: list[str] = []
    monkeypatch.setattr(pod_identity_webhook, "deploy", lambda api, *, image, **_: deployed.append(image))
    brought: list[str] = []
    monkeypatch.setattr(kind_cluster, "create", lambda *_, node_images, **__: brought.extend(node_images))
    made, api = provisioning(OFFICIAL), FakeAPI()
    made.signing = made.plain = made.ledger = None  # type: ignore[assignment]
    made._start_cluster(tmp_path)
    made._prepare_webhook(api)  # type: ignore[arg-type]
    assert OFFICIAL in brought
    assert deployed == [OFFICIAL]
    assert api.applied == []
    told = described(made, tmp_path)
    assert kind_provisioning.OFFICIAL_WEBHOOK in told.additions
    assert kind_provisioning.GATEWAYS_WEBHOOK not in told.additions
    webhook = told.components["webhook"]
    assert (webhook.version, webhook.simulated) == ("v0.6.17", False)
    assert webhook.detail == f"image {OFFICIAL}, digest of {OFFICIAL}"


def test_without_it_the_gateway_is_asked(
    provisioning: Callable[[str | None], KindProvisioning], tmp_path: Path
) -> None:
    made, api = provisioning(None), FakeAPI()
    made._prepare_webhook(api)  # type: ignore[arg-type]
    (configuration,) = api.applied
    assert configuration["webhooks"][0]["clientConfig"]["url"] == "https://aws-gateway:8443/mutate"
    told = described(made, tmp_path)
    assert kind_provisioning.GATEWAYS_WEBHOOK in told.additions
    assert "webhook" not in told.components
