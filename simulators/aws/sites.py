"""What is not an API: the clusters' OIDC issuers, the Helm chart repository, and GitHub's sign-in pages."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import unquote

from .answers import Answer, Request

if TYPE_CHECKING:
    from .calls import Call
    from .clusters import Clusters
    from .config import ChartRepository

GITHUB = "github.com"
"""Teleport asks it, before it takes a GitHub connector, whether an organisation signs in elsewhere."""

_TYPES = {".yaml": "text/yaml", ".tgz": "application/gzip", ".prov": "application/pgp-signature"}


def issuer_answer(request: Request, clusters: Clusters, call: Call) -> Answer:
    """Serve an issuer's discovery document or its keys, as EKS does for every cluster.

    Args:
        request: A request to an issuer's host.
        clusters: The clusters that exist.
        call: Gets what was asked, and a refusal.
    """
    call.service, call.action = "oidc", f"{request.method} {request.path}"
    if request.method == "GET":
        base, _, _ = f"https://{request.host}{request.path}".partition("/.well-known/")
        if request.path.endswith("/.well-known/openid-configuration") and clusters.by_issuer(base):
            return _json(_discovery(base))
        issuer = f"https://{request.host}{request.path.removesuffix('/keys')}"
        keys = clusters.keys(issuer) if request.path.endswith("/keys") else None
        if keys is not None:
            return _json(keys)
    return _not_found(call, "no such issuer document")


async def chart_answer(request: Request, repository: ChartRepository, call: Call) -> Answer:
    """Serve a file of the chart repository.

    Args:
        request: A request to the repository's host.
        repository: Its host and folder.
        call: Gets what was asked, and a refusal.
    """
    call.service, call.action = "charts", f"{request.method} {request.path}"
    folder = repository.folder.resolve()
    path = (folder / unquote(request.path).lstrip("/")).resolve()
    if request.method not in {"GET", "HEAD"} or not path.is_relative_to(folder) or not path.is_file():
        return _not_found(call, "no such file in the chart repository")
    # A thread, since a chart is big enough to hold other calls up.
    content = await asyncio.to_thread(path.read_bytes)
    return Answer(200, content, _TYPES.get(path.suffix, "application/octet-stream"))


def github_answer(request: Request, call: Call) -> Answer:
    """Answer as GitHub does for an organisation without a sign-in page of its own: there is none.

    Args:
        request: A request to GitHub's host.
        call: Gets what was asked.
    """
    call.service, call.action = "github", f"{request.method} {request.path}"
    return _not_found(call, "no organisation signs in elsewhere, and nothing else of GitHub is here")


def _discovery(issuer: str) -> dict[str, object]:
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/keys",
        "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "claims_supported": ["sub", "iss"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def _json(document: object) -> Answer:
    return Answer(200, json.dumps(document).encode(), "application/json")


def _not_found(call: Call, reason: str) -> Answer:
    call.verdict, call.code, call.reason = "refused", "NotFound", reason
    return Answer(404, b"not found\n", "text/plain")
