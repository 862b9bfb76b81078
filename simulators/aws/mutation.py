"""The pod identity webhook's effect on a pod, as a JSON Patch.

Source: facts of the lab, section 5; compared with answers of the official webhook, v0.6.17 and what came after it.
"""

from __future__ import annotations

import csv
import re
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
_SHORTEST = 600
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
# As Go's ParseBool has it; what is neither that nor a yes is passed over.
_NO = {"0", "f", "F", "FALSE", "false", "False"}


@dataclass(frozen=True)
class Injection:
    """What a pod is given; `region` may be empty, `expiration` is in seconds, `token_file` a path in the pod."""

    role_arn: str
    audience: str
    expiration: int
    region: str
    regional_sts: bool
    skipped: frozenset[str]
    token_file: str


def injection(
    pod: Mapping[str, Any],
    account_annotations: Mapping[str, str],
    *,
    role_arn: str,
    region: str,
    audience: str,
    expiration: int,
) -> Injection:
    """Work out what a pod is given.

    Args:
        pod: The pod.
        account_annotations: The annotations of its service account.
        role_arn: The role that they name.
        region: The region to set, empty for none.
        audience: The token's audience unless the service account names one.
        expiration: The token's lifetime in seconds unless pod or service account name one.
    """
    pod_annotations = pod.get("metadata", {}).get("annotations") or {}
    for told in (account_annotations, pod_annotations):
        written = told.get(f"{PREFIX}/token-expiration", "")
        expiration = int(written) if _NUMBER.fullmatch(written) else expiration
    # EKS runs the official webhook with regional endpoints on; only the annotation turns them off.
    regional = account_annotations.get(f"{PREFIX}/sts-regional-endpoints", "true")
    return Injection(
        role_arn=role_arn,
        audience=account_annotations.get(f"{PREFIX}/audience", audience),
        expiration=max(expiration, _SHORTEST),
        region=region,
        regional_sts=regional not in _NO,
        skipped=_skipped(pod_annotations.get(f"{PREFIX}/skip-containers", "")),
        token_file=_token_file(pod),
    )


def _skipped(written: str) -> frozenset[str]:
    """The names in a line of CSV: a blank after a comma belongs to the name."""
    lines = csv.reader(written.splitlines(), strict=True)
    try:
        return frozenset(next(filter(None, lines), []))
    except csv.Error:
        return frozenset()


def _token_file(pod: Mapping[str, Any]) -> str:
    path = f"{MOUNT_PATH}/token"
    selector = pod["spec"].get("nodeSelector") or {}
    windows = "windows" in (selector.get("beta.kubernetes.io/os"), selector.get("kubernetes.io/os"))
    return "C:" + path.replace("/", "\\") if windows else path


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
    has_sts, has_region, has_role = _STS_VARIABLE in names, names & _REGION_VARIABLES, names & _ROLE_VARIABLES
    if has_sts and has_region and has_role:
        return dict(container)
    added: dict[str, str] = {}
    if wanted.regional_sts and not has_sts:
        added[_STS_VARIABLE] = "regional"
    if wanted.region and not has_region:
        added |= {"AWS_DEFAULT_REGION": wanted.region, "AWS_REGION": wanted.region}
    if not has_role:
        added |= {"AWS_ROLE_ARN": wanted.role_arn, "AWS_WEB_IDENTITY_TOKEN_FILE": wanted.token_file}
    changed = dict(container)
    if added:
        changed["env"] = [*existing, *({"name": name, "value": value} for name, value in added.items())]
    mounts = container.get("volumeMounts") or []
    if all(mount["name"] != VOLUME for mount in mounts):
        changed["volumeMounts"] = [*mounts, {"name": VOLUME, "readOnly": True, "mountPath": MOUNT_PATH}]
    return changed
