"""Requests about resources: each verb, with the forms in which clients want the answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulators.apiserver import patches, requests, selectors, subresources, tables
from simulators.apiserver.objects import Writer
from simulators.apiserver.status import StatusError, bad_request, no_such_resource, not_simulated
from simulators.apiserver.watching import LONGEST_SECONDS, Wish, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.apiserver.audit import Record
    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.kubelets import Kubelets
    from simulators.apiserver.objects import Object, User
    from simulators.apiserver.registry import Registry
    from simulators.apiserver.requests import Target
    from simulators.apiserver.reviews import Reviews
    from simulators.apiserver.tokens import Tokens

_JSON_PATCH = "application/json-patch+json"
_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/merge-patch+json": patches.merge,
    "application/strategic-merge-patch+json": patches.strategic,
    _JSON_PATCH: patches.json_patch,
}
_APPLY = "application/apply-patch+yaml"
_NOT_OFFERED = {"attach", "portforward"}
_OF_MANY = {"list", "watch"}


class Resources:
    """Answers requests about resources, once they are allowed.

    Args:
        registry: writes.
        reviews: answers reviews.
        tokens: issues tokens.
        kubelets: gives logs.
    """

    def __init__(self, registry: Registry, reviews: Reviews, tokens: Tokens, kubelets: Kubelets) -> None:
        self._registry = registry
        self._reviews = reviews
        self._tokens = tokens
        self._kubelets = kubelets

    async def answer(
        self, request: web.Request, target: Target, user: User, record: Record
    ) -> tuple[int, Object] | web.StreamResponse:
        """Do what a request asks for.

        Args:
            request: the request.
            target: what it is about.
            user: whom it is made as.
            record: its audit record, for answers that take long.

        Returns:
            HTTP status and content, or a response that was sent already.

        Raises:
            StatusError: it is refused.
        """
        resource = target.resource
        if resource is None:
            raise no_such_resource()
        if target.verb not in _OF_MANY and bool(target.place) != resource.namespaced:
            raise no_such_resource()
        _check_verb(resource, target)
        if target.subresource:
            return await self._below(request, resource, target, user, record)
        if target.verb in {"list", "watch", "get"}:
            return await self._read(request, resource, target, record)
        content = requests.body(await request.read(), _content_type(request))
        if not isinstance(content, dict) and target.verb != "patch":
            raise bad_request(f"expected an object in the body, seen: {type(content).__name__}")
        return await self._write(request, resource, target, content, _writer(request, user))

    async def _write(
        self, request: web.Request, resource: Resource, target: Target, content: Any, writer: Writer
    ) -> tuple[int, Object]:
        match target.verb:
            case "create":
                return 201, await self._create(resource, target, content, writer)
            case "patch":
                return await self._patch(request, resource, target, content, writer)
            case "update":
                place = (target.place, target.name)
                return 200, await self._registry.change(resource, *place, lambda _: dict(content), writer)
            case _:
                return self._delete(request, resource, target, content, writer)

    async def _create(self, resource: Resource, target: Target, content: Object, writer: Writer) -> Object:
        if resource.verbs == ("create",):
            return self._reviews.answer(resource, content, writer.user)
        return await self._registry.create(resource, target.place, content, writer)

    async def _patch(
        self, request: web.Request, resource: Resource, target: Target, content: Any, writer: Writer
    ) -> tuple[int, Object]:
        if _content_type(request) != _JSON_PATCH and not isinstance(content, dict):
            raise bad_request(f"expected an object as the patch, seen: {type(content).__name__}")
        if _content_type(request) == _APPLY:
            place = (target.place, target.name)
            made, obj = await self._registry.apply(resource, *place, content, writer)
            return 201 if made else 200, obj
        edit = _edit(request, content)
        return 200, await self._registry.change(resource, target.place, target.name, edit, writer)

    def _delete(
        self, request: web.Request, resource: Resource, target: Target, content: Object, writer: Writer
    ) -> tuple[int, Object]:
        options = requests.delete_options(content, request.query)
        dry_run = writer.dry_run or bool(options.get("dryRun"))
        return 200, self._registry.delete(resource, target.place, target.name, options, dry_run=dry_run)

    async def _read(
        self, request: web.Request, resource: Resource, target: Target, record: Record
    ) -> tuple[int, Object] | web.StreamResponse:
        if target.verb == "get":
            one = self._registry.get(resource, target.place, target.name)
            return 200, _shaped(request, resource, one)
        if target.verb == "list":
            found = self._list(resource, self._selected(request, resource, target))
            return 200, _shaped_list(request, resource, found)
        fits = _fits(request)
        query = request.query
        wish = Wish(
            resource,
            target.place,
            requests.number(query, "resourceVersion", 0),
            fits,
            lambda obj: _shaped(request, resource, obj),
            requests.number(query, "timeoutSeconds", LONGEST_SECONDS),
            initial=requests.is_true(query, "sendInitialEvents"),
            bookmarks=requests.is_true(query, "allowWatchBookmarks"),
        )
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Audit-Id": record.id})
        record.started()
        try:
            await response.prepare(request)
            await watch(self._registry.store, wish, response)
        finally:
            record.complete(200, None)
        await response.write_eof()
        return response

    def _selected(self, request: web.Request, resource: Resource, target: Target) -> list[Object]:
        fits = _fits(request)
        return [obj for obj in self._registry.store.find(resource, target.place) if fits(obj)]

    def _list(self, resource: Resource, items: list[Object]) -> Object:
        return {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": str(self._registry.store.version)},
            "items": items,
        }

    async def _below(
        self, request: web.Request, resource: Resource, target: Target, user: User, record: Record
    ) -> tuple[int, Object] | web.StreamResponse:
        """Subresources."""
        kind, place = target.subresource, (target.place, target.name)
        if kind in _NOT_OFFERED:
            raise not_simulated(f"{kind} into pods")
        if kind == "log":
            return await self._log(request, resource, target, record)
        if kind == "exec":
            return await self._kubelets.execute(request, self._registry.get(resource, *place), record)
        if target.verb == "get":
            return 200, self._registry.get(resource, *place)
        content = requests.body(await request.read(), _content_type(request))
        if target.verb == "create":
            return 201, self._create_below(resource, target, content)
        edit = _edit(request, content) if target.verb == "patch" else lambda _: dict(content)
        writer = _writer(request, user)
        return 200, await self._registry.change(resource, *place, edit, writer, part=kind)

    def _create_below(self, resource: Resource, target: Target, content: Object) -> Object:
        place = (target.place, target.name)
        if target.subresource == "binding":
            return subresources.bind(self._registry, resource, *place, content)
        if target.subresource == "eviction":
            return subresources.evict(self._registry, resource, *place, content)
        return self._tokens.request(*place, content)

    async def _log(
        self, request: web.Request, resource: Resource, target: Target, record: Record
    ) -> web.StreamResponse:
        pod = self._registry.get(resource, target.place, target.name)
        pieces = self._kubelets.log(pod, request.query)
        await anext(pieces)
        record.started()
        response = web.StreamResponse(headers={"Content-Type": "text/plain", "Audit-Id": record.id})
        try:
            await response.prepare(request)
            async for piece in pieces:
                await response.write(piece)
        finally:
            record.complete(200, None)
        await response.write_eof()
        return response


def _check_verb(resource: Resource, target: Target) -> None:
    if target.subresource:
        if target.subresource not in resource.subresources:
            raise no_such_resource()
    elif target.verb not in resource.verbs:
        text = "the server does not allow this method on the requested resource"
        raise StatusError(405, "MethodNotAllowed", text, {})


def _content_type(request: web.Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip()


def _writer(request: web.Request, user: User) -> Writer:
    return Writer(
        user,
        manager=request.query.get("fieldManager", ""),
        dry_run="dryRun" in request.query,
    )


def _edit(request: web.Request, content: Any) -> Callable[[Object], Object]:
    change = _PATCHES.get(_content_type(request))
    if change is None:
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    return lambda obj: dict(change(obj, content))


def _fits(request: web.Request) -> Callable[[Object], bool]:
    by_label = selectors.labels(request.query.get("labelSelector", ""))
    by_field = selectors.fields(request.query.get("fieldSelector", ""))
    return lambda obj: by_label(obj) and by_field(obj)


def _shaped(request: web.Request, resource: Resource, obj: Object) -> Object:
    """An object, or the Table of it, as the client wants it."""
    accept = request.headers.get("Accept", "")
    if "as=Table" in accept:
        meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return tables.table(resource.plural, [obj], meta, _include(request))
    return obj


def _shaped_list(request: web.Request, resource: Resource, found: Object) -> Object:
    accept = request.headers.get("Accept", "")
    if "as=Table" in accept:
        return tables.table(resource.plural, found["items"], found["metadata"], _include(request))
    return found


def _include(request: web.Request) -> str:
    return request.query.get("includeObject", "Metadata")


def encoded(content: Object) -> bytes:
    """An answer as it is sent."""
    return json.dumps(content, separators=(",", ":")).encode()
