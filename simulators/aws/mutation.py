"""The pod identity webhook's effect on a pod, as a JSON Patch.

Source: facts of the lab, section 5 (read in the official webhook, tags up to v0.6.17).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

VOLUME = "aws-iam-token"
MOUNT_PATH = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
PREFIX = "eks.amazonaws.com"

_ROLE_VARIABLES = {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}
_REGION_VARIABLES = {"AWS_DEFAULT_REGION", "AWS_REGION"}
_STS_VARIABLE = "AWS_STS_REGIONAL_ENDPOINTS"
_SHORTEST, _LONGEST = 600, 86400


@dataclass(frozen=True)
class Injection:
    """What a pod is given; `region` may be empty, `expiration` is in seconds."""

    role_arn: str
    audience: str
    expiration: int
    region: str
    regional_sts: bool
    skipped: frozenset[str]


def injection(
    pod: Mapping[str, Any],
    account_annotations: Mapping[str, str],
    *,
    region: str,
    audience: str,
    expiration: int,
) -> Injection:
    """Work out what a pod is given.

    Args:
        pod: The pod.
        account_annotations: The annotations of its service account.
        region: The region to set, empty for none.
        audience: The token's audience unless the service account names one.
        expiration: The token's lifetime in seconds unless pod or service account name one.
    """
    pod_annotations = pod.get("metadata", {}).get("annotations") or {}
    written = pod_annotations.get(
        f"{PREFIX}/token-expiration", account_annotations.get(f"{PREFIX}/token-expiration", "")
    )
    seconds = int(written) if written.isdecimal() else expiration
    # EKS runs the official webhook with regional endpoints on; only the annotation turns them off.
    regional = account_annotations.get(f"{PREFIX}/sts-regional-endpoints", "true").lower()
    return Injection(
        role_arn=account_annotations[f"{PREFIX}/role-arn"],
        audience=account_annotations.get(f"{PREFIX}/audience", audience),
        expiration=min(max(seconds, _SHORTEST), _LONGEST),
        region=region,
        regional_sts=regional == "true",
        skipped=frozenset(
            name.strip() for name in pod_annotations.get(f"{PREFIX}/skip-containers", "").split(",")
        ),
    )


def patch(pod: Mapping[str, Any], wanted: Injection) -> list[dict[str, Any]]:
    """Make the patch for a pod; an empty one when there is nothing to change.

    Args:
        pod: The pod as it came; it is not changed.
        wanted: What it is given.
    """
    spec = pod["spec"]
    operations: list[dict[str, Any]] = []
    volumes = spec.get("volumes") or []
    if all(volume["name"] != VOLUME for volume in volumes):
        volume = _volume(wanted)
        operations.append(
            {"op": "add", "path": "/spec/volumes/0", "value": volume}
            if volumes
            else {"op": "add", "path": "/spec/volumes", "value": [volume]}
        )
    for kind in ("containers", "initContainers"):
        containers = spec.get(kind) or []
        changed = [_injected(container, wanted) for container in containers]
        if changed != containers:
            operations.append({"op": "add", "path": f"/spec/{kind}", "value": changed})
    return operations


def _volume(wanted: Injection) -> dict[str, Any]:
    token = {"audience": wanted.audience, "expirationSeconds": wanted.expiration, "path": "token"}
    return {"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}}


def _injected(container: Mapping[str, Any], wanted: Injection) -> dict[str, Any]:
    if container["name"] in wanted.skipped:
        return dict(container)
    existing = container.get("env") or []
    names = {variable["name"] for variable in existing}
    added: dict[str, str] = {}
    if wanted.regional_sts and _STS_VARIABLE not in names:
        added[_STS_VARIABLE] = "regional"
    if wanted.region and not names & _REGION_VARIABLES:
        added |= {"AWS_DEFAULT_REGION": wanted.region, "AWS_REGION": wanted.region}
    if not names & _ROLE_VARIABLES:
        added |= {
            "AWS_ROLE_ARN": wanted.role_arn,
            "AWS_WEB_IDENTITY_TOKEN_FILE": f"{MOUNT_PATH}/token",
        }
    if not added:
        return dict(container)
    mounts = container.get("volumeMounts") or []
    if all(mount["name"] != VOLUME for mount in mounts):
        mounts = [*mounts, {"name": VOLUME, "readOnly": True, "mountPath": MOUNT_PATH}]
    env = [*existing, *({"name": name, "value": value} for name, value in added.items())]
    return {**container, "env": env, "volumeMounts": mounts}
