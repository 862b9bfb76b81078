"""Mutating admission webhooks, asked over TLS as their configurations say."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import ssl
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from simulators.apiserver.kinds import of
from simulators.apiserver.patches import json_patch
from simulators.apiserver.status import StatusError

if TYPE_CHECKING:
    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.objects import Object, Writer
    from simulators.apiserver.store import Store

log = logging.getLogger(__name__)

CONFIGURATIONS = of("mutatingwebhookconfigurations")


@dataclass(frozen=True)
class Question:
    """What a webhook is asked about, beside the object.

    Args:
        operation: CREATE or UPDATE.
        resource: of the object.
        old: as it was before an update.
        writer: who writes.
    """

    operation: str
    resource: Resource
    old: Object | None
    writer: Writer


class FailedError(Exception):
    """A webhook could not be asked, or gave no usable answer; the text is the cause."""


class Webhooks:
    """The registered webhooks.

    Args:
        store: of the configurations.
        session: for the calls.
        decisions: of the server.
    """

    def __init__(self, store: Store, session: aiohttp.ClientSession, decisions: Decisions) -> None:
        self._store = store
        self._session = session
        self._decisions = decisions
        self._contexts: dict[str, ssl.SSLContext] = {}

    def wanted(self, question: Question, obj: Object) -> list[Object]:
        """The webhooks that want to see a request, in the order in which they are asked."""
        resource = question.resource
        if resource.group == CONFIGURATIONS.group:
            return []
        namespace = obj["metadata"].get("namespace", "")
        place = self._store.get(of("namespaces"), "", namespace) if namespace else None
        around = (place["metadata"].get("labels") or {}) if place else None
        labels = (around, obj["metadata"].get("labels") or {})
        name = f"{resource.group}/{resource.version}/{resource.plural}"
        return [
            webhook
            for configuration in self._store.find(CONFIGURATIONS)
            for webhook in configuration.get("webhooks") or []
            if self._decisions.webhook_called(webhook, question.operation, name, labels)
        ]

    async def ask(self, webhook: Object, question: Question, obj: Object) -> Object:
        """Ask one webhook; returns the object as it wants it.

        Raises:
            StatusError: it denies the request, or it cannot be asked and its policy is to refuse then.
        """
        try:
            answer = await self._post(webhook, _review(question, obj))
            patched = _patched(obj, answer) if answer["allowed"] else None
        except (FailedError, KeyError, TypeError, ValueError, binascii.Error) as error:
            text = f'failed calling webhook "{webhook["name"]}": failed to call webhook: {error}'
            log.warning("%s", text)
            if self._decisions.failing_webhook_refuses(webhook.get("failurePolicy", "Fail")):
                cause = {"causes": [{"message": text}]}
                raise StatusError(500, "InternalError", f"Internal error occurred: {text}", cause) from error
            return obj
        if patched is None:
            raise _denial(webhook["name"], answer.get("status") or {})
        return patched

    async def _post(self, webhook: Object, review: Object) -> Any:
        client, seconds = webhook["clientConfig"], webhook.get("timeoutSeconds", 10)
        if "url" not in client:
            raise FailedError("the simulated API server reaches webhooks by url only, not by service")
        url = f"{client['url']}?timeout={seconds}s"
        try:
            async with self._session.post(
                url,
                json=review,
                ssl=self._context(client.get("caBundle", "")),
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                text = await response.text()
        except TimeoutError as error:
            raise FailedError(f'Post "{url}": context deadline exceeded') from error
        except (aiohttp.ClientError, OSError) as error:
            raise FailedError(f'Post "{url}": {error}') from error
        if response.status == 503:
            raise FailedError("the server is currently unable to handle the request")
        if response.status != 200:
            raise FailedError(
                f'an error on the server ("{text.strip()}") has prevented the request from succeeding'
            )
        answer = json.loads(text)["response"]
        if answer["uid"] != review["request"]["uid"]:
            raise FailedError("expected response.uid to be that of the request")
        return answer

    def _context(self, bundle: str) -> ssl.SSLContext:
        if bundle not in self._contexts:
            data = base64.b64decode(bundle).decode() if bundle else None
            self._contexts[bundle] = ssl.create_default_context(cadata=data)
        return self._contexts[bundle]


def _patched(obj: Object, answer: Object) -> Object:
    if not answer.get("patch"):
        return obj
    if answer.get("patchType") != "JSONPatch":
        raise FailedError(f"unsupported patch type {answer.get('patchType')}")
    return dict(json_patch(obj, json.loads(base64.b64decode(answer["patch"]))))


def _review(question: Question, obj: Object) -> Object:
    resource, operation = question.resource, question.operation
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    place = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    meta = obj["metadata"]
    request: Object = {
        "uid": str(uuid.uuid4()),
        "kind": kind,
        "resource": place,
        "requestKind": kind,
        "requestResource": place,
        "name": meta["name"],
        "operation": operation,
        "userInfo": question.writer.user.info(),
        "object": obj,
        "oldObject": question.old,
        "dryRun": question.writer.dry_run,
        "options": {"kind": f"{operation.capitalize()}Options", "apiVersion": "meta.k8s.io/v1"},
    }
    if "namespace" in meta:
        request["namespace"] = meta["namespace"]
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def _denial(name: str, status: Object) -> StatusError:
    why = f": {status['message']}" if status.get("message") else " without explanation"
    code = status.get("code") or 400
    reason = status.get("reason") or {400: "BadRequest", 403: "Forbidden"}.get(code, "")
    return StatusError(max(code, 400), reason, f'admission webhook "{name}" denied the request{why}')
