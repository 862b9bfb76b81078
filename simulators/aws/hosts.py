"""Which AWS service a host name stands for.

Only names that exist at AWS count; Teleport refuses any other STS host before it calls it.
Source: AWS service endpoints of STS, IAM and EKS; `sts.amazonaws.com` is the global endpoint, which
takes signatures scoped to us-east-1 only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn")
_REGIONAL = re.compile(
    r"(?P<service>sts|eks)\.(?P<region>[a-z]{2,3}(?:-[a-z]+)+-[0-9])\.amazonaws\.com(?P<china>\.cn)?"
)
_GLOBAL = {
    "sts.amazonaws.com": ("sts", "us-east-1"),
    "iam.amazonaws.com": ("iam", "us-east-1"),
    "iam.cn-north-1.amazonaws.com.cn": ("iam", "cn-north-1"),
}


@dataclass(frozen=True)
class Endpoint:
    """An AWS API endpoint: the service and the region that a signature for it must be scoped to."""

    service: str
    region: str


def endpoint(host: str) -> Endpoint | None:
    """Tell which API a host name stands for.

    Args:
        host: A lower-case host name without port.

    Returns:
        The endpoint, or None when the gateway knows no API under that name.
    """
    if host in _GLOBAL:
        return Endpoint(*_GLOBAL[host])
    match = _REGIONAL.fullmatch(host)
    # Chinese regions exist under .cn only, the others never.
    if match is None or match["region"].startswith("cn-") != bool(match["china"]):
        return None
    return Endpoint(match["service"], match["region"])


def is_aws(host: str) -> bool:
    """Tell whether a host name belongs to AWS, known to the gateway or not."""
    return host.endswith(_SUFFIXES)


def partition(region: str) -> str:
    """Tell the partition, the second field of an ARN, of a region."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
