"""The pod identity webhook: an admission webhook with the effect of the official one.

A failure is an HTTP error, so that the configuration's failure policy decides, never a pod let through
unchanged.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .mutation import injection, patch
from .service_accounts import KubernetesUnavailableError, ServiceAccounts

if TYPE_CHECKING:
    from .config import Webhook
    from .decisions import Decisions


_REVIEW = ("admission.k8s.io/v1", "AdmissionReview")


class PodIdentityWebhook:
    """Answers admission reviews (`admission.k8s.io/v1`).

    Args:
        settings: Audience, lifetime and region of what is injected.
        accounts: Where service accounts are read.
        decisions: What is decided and how.
    """

    def __init__(self, settings: Webhook, accounts: ServiceAccounts, decisions: Decisions) -> None:
        self._settings = settings
        self._accounts = accounts
        self._decisions = decisions

    async def handle(self, request: web.Request) -> web.Response:
        """Answer `POST /mutate`."""
        try:
            review = await request.json()
            if (review["apiVersion"], review["kind"]) != _REVIEW:
                return web.Response(status=400, text=f"expected {' '.join(_REVIEW)}\n")
            response = await self._respond(review["request"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return web.Response(status=400, text=f"no usable admission review: {error!r}\n")
        except KubernetesUnavailableError as error:
            return web.Response(status=503, text=f"{error}\n")
        version, kind = _REVIEW
        return web.json_response({"apiVersion": version, "kind": kind, "response": response})

    async def _respond(self, asked: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = {"uid": asked["uid"], "allowed": True}
        pod = asked.get("object") or {}
        if asked["operation"] != "CREATE" or asked["kind"]["kind"] != "Pod":
            return response
        name = pod["spec"].get("serviceAccountName") or "default"
        annotations = await self._accounts.annotations(asked["namespace"], name)
        role_arn = "" if annotations is None else self._decisions.webhook_injects(annotations)
        if annotations is None or not role_arn:
            return response
        wanted = injection(
            pod,
            annotations,
            role_arn=role_arn,
            region=self._settings.region,
            audience=self._settings.audience,
            expiration=self._settings.expiration,
        )
        skipped = self._decisions.containers_passed_over(wanted.skipped)
        operations = patch(pod, dataclasses.replace(wanted, skipped=skipped))
        if operations:
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(json.dumps(operations).encode()).decode()
        return response
