"""EKS as far as the guide uses it: DescribeCluster, and ListClusters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .answers import Answer, AwsError, Request, rest_answer
from .hosts import Endpoint, partition

if TYPE_CHECKING:
    from .calls import Call
    from .clusters import Clusters
    from .config import Cluster
    from .decisions import Decisions
    from .sigv4 import Verifier

_PATH = re.compile(r"/clusters(?:/(?P<name>[^/]+))?")
# EKS gives a creation time; nothing reads it, and a fixed one keeps answers equal.
_CREATED = 1700000000


class Eks:
    """Answers calls of the EKS API from the run's clusters.

    Args:
        verifier: Tells who signed.
        clusters: The clusters that exist.
        decisions: What is decided and how.
    """

    def __init__(self, verifier: Verifier, clusters: Clusters, decisions: Decisions) -> None:
        self._verifier = verifier
        self._clusters = clusters
        self._decisions = decisions

    async def answer(self, request: Request, endpoint: Endpoint, call: Call) -> Answer:
        """Answer one call.

        Raises:
            AwsError: The call is turned down, names no cluster, or is none that the gateway knows.
        """
        match = _PATH.fullmatch(request.path)
        name = unquote(match["name"]) if match and match["name"] else ""
        call.action = "DescribeCluster" if name else "ListClusters"
        if match is None or request.method != "GET":
            call.action = f"{request.method} {request.path}"
            raise AwsError("UnknownOperationException", "Unknown operation", refused=True)
        identity = await self._verifier.verify(request, endpoint, call)
        if not self._decisions.principal_may_call(identity.role, identity.account, identity.account):
            resource = _arn(endpoint.region, identity.account, name or "*")
            raise AwsError(
                "AccessDenied",
                f"User: {identity.arn} is not authorized to perform: eks:{call.action}"
                f" on resource: {resource}",
            )
        if not name:
            return rest_answer({"clusters": self._clusters.names(identity.account, endpoint.region)})
        cluster = self._clusters.find(identity.account, endpoint.region, name)
        if cluster is None:
            raise AwsError("ResourceNotFoundException", f"No cluster found for name: {name}.")
        issuer = self._decisions.issuer_told(cluster.issuer or "")
        return rest_answer({"cluster": _described(cluster, issuer)})


def _arn(region: str, account: str, name: str) -> str:
    return f"arn:{partition(region)}:eks:{region}:{account}:cluster/{name}"


def _described(cluster: Cluster, issuer: str) -> dict[str, Any]:
    identity = {"identity": {"oidc": {"issuer": issuer}}} if issuer else {}
    return {
        "name": cluster.name,
        "arn": _arn(cluster.region, cluster.account, cluster.name),
        "createdAt": _CREATED,
        "version": cluster.version,
        "endpoint": cluster.endpoint,
        **identity,
        "status": "ACTIVE",
        "certificateAuthority": {"data": cluster.certificate_authority},
        "tags": {},
    }
