"""Volumes, seen as files of a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulators.kubelet.conftest import Lab, Make


FOREVER = "trap 'exit 0' TERM; sleep 300 & wait"


def volume(lab: Lab, pod: str, name: str) -> Path:
    uid: str = lab.api.get("pods", pod)["metadata"]["uid"]
    return lab.folder / "pods" / uid / "volumes" / name


def test_config_maps_and_secrets_become_files(lab: Lab, make: type[Make]) -> None:
    lab.api.put("configmaps", "vol-config", {"data": {"a": "one", "b": "two"}, "binaryData": {"c": "AAE="}})
    lab.api.put("secrets", "vol-secret", make.secret(key="hidden", other="x"))
    item = {"key": "key", "path": "deep/er/file", "mode": 0o400}
    volumes = [
        {"name": "all", "configMap": {"name": "vol-config"}},
        {"name": "some", "secret": {"secretName": "vol-secret", "items": [item], "defaultMode": 0o440}},
        {"name": "none", "secret": {"secretName": "absent", "optional": True}},
    ]
    pod = lab.pod(make.sh(FOREVER), volumes=volumes)
    lab.until(lambda: lab.ready(pod))
    everything = {path.name: path.read_bytes() for path in volume(lab, pod, "all").iterdir()}
    assert everything == {"a": b"one", "b": b"two", "c": b"\0\1"}
    assert [path.name for path in volume(lab, pod, "some").rglob("*") if path.is_file()] == ["file"]
    file = volume(lab, pod, "some") / "deep/er/file"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("hidden", 0o400)
    assert list(volume(lab, pod, "none").iterdir()) == []
    assert (lab.folder / "pods").stat().st_mode & 0o077 == 0


def test_a_projected_volume_gathers_its_sources(lab: Lab, make: type[Make]) -> None:
    lab.api.put("configmaps", "root-ca", {"data": {"ca.crt": "CA"}})
    lab.api.put("secrets", "projected-secret", make.secret(s="S"))
    downward = [
        {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
        {
            "path": "cpu",
            "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"},
        },
    ]
    sources = [
        {
            "serviceAccountToken": {
                "path": "token",
                "expirationSeconds": 3607,
                "audience": "sts.amazonaws.com",
            }
        },
        {"configMap": {"name": "root-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"secret": {"name": "projected-secret"}},
        {"downwardAPI": {"items": downward}},
    ]
    main = make.sh(FOREVER, resources={"limits": {"cpu": "1500m"}})
    volumes = [{"name": "access", "projected": {"sources": sources}}]
    pod = lab.pod(main, volumes=volumes, serviceAccountName="agent")
    lab.until(lambda: lab.ready(pod))
    files = {path.name: path.read_text() for path in volume(lab, pod, "access").iterdir()}
    assert files == {"token": files["token"], "ca.crt": "CA", "s": "S", "namespace": "default", "cpu": "1500"}
    assert files["token"] in lab.api.tokens
    wanted = lab.api.seen("POST", "/serviceaccounts/agent/token")[-1]["spec"]
    uid = lab.api.get("pods", pod)["metadata"]["uid"]
    assert wanted == {
        "expirationSeconds": 3607,
        "audiences": ["sts.amazonaws.com"],
        "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": uid},
    }


def test_a_token_is_renewed_in_place_before_it_expires(lab: Lab, make: type[Make]) -> None:
    sources = [{"serviceAccountToken": {"path": "token"}}]
    lab.api.token_seconds = 1.5
    pod = lab.pod(make.sh(FOREVER), volumes=[{"name": "t", "projected": {"sources": sources}}])
    lab.until(lambda: lab.ready(pod))
    file = volume(lab, pod, "t") / "token"
    seen, first = set(), file.read_text()

    def renewed_twice() -> bool:
        seen.add(file.read_text())
        return len(seen) == 3

    lab.until(renewed_twice)
    lab.api.token_seconds = 3600
    assert first in seen
    assert "" not in seen  # it was never seen half written
    assert list(file.parent.iterdir()) == [file]


def test_a_missing_config_map_holds_the_pod_back_until_it_is_there(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh(FOREVER), volumes=[{"name": "cfg", "configMap": {"name": "late-config"}}])
    lab.until(lambda: "FailedMount" in lab.reasons(pod))
    text = next(e["message"] for e in lab.api.events(pod) if e["reason"] == "FailedMount")
    assert text == 'MountVolume.SetUp failed for volume "cfg" : configmap "late-config" not found'
    assert lab.container(pod)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert lab.phase(pod) == "Pending"
    lab.api.put("configmaps", "late-config", {"data": {}})
    lab.until(lambda: lab.ready(pod))


@pytest.mark.parametrize("kind", ["hostPath", "persistentVolumeClaim"])
def test_volumes_of_other_kinds_are_refused_aloud(lab: Lab, make: type[Make], kind: str) -> None:
    pod = lab.pod(make.sh(FOREVER), volumes=[{"name": "v", kind: {}}])
    lab.until(lambda: "FailedMount" in lab.reasons(pod))
    messages = " ".join(event["message"] for event in lab.api.events(pod))
    assert f"{kind} volumes are not supported" in messages
    lab.api.delete_pod(pod)
    lab.until(lambda: lab.gone(pod))


def test_without_isolation_a_container_is_told_where_its_volumes_are(lab: Lab, make: type[Make]) -> None:
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "data", "mountPath": "/sub", "subPath": "x/y"}]
    pod = lab.pod(
        make.sh("echo $CONFORMANCE_MOUNTS", volumeMounts=mounts),
        volumes=[{"name": "data", "emptyDir": {}}],
        restartPolicy="Never",
    )
    lab.until(lambda: lab.phase(pod) == "Succeeded")
    place = volume(lab, pod, "data")
    assert lab.logs(pod) == f'{{"/data": "{place}", "/sub": "{place}/x/y"}}\n'
    assert (place / "x/y").is_dir()
