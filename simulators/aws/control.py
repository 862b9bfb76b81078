"""The control listener: what the harness reads and disturbs. Plain HTTP on loopback."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web

from .config import Cluster, ConfigurationError, build
from .credentials import RoleArn
from .disruptions import Disruption, Disruptions
from .metadata import Metadata, Node

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .backend_api import Backend
    from .calls import CallLog
    from .clusters import Clusters
    from .proxy import Routes

_LONGEST_DELAY = 600
_LONGEST_SHIFT = 10 * 365 * 86400


@dataclasses.dataclass
class Control:
    """Carries out control requests; a wrong one gets status 400 and a line that says why.

    Attributes:
        run: The name of the run, so that a client can tell whose gateway it has found.
        log: The call log.
        disruptions: What is wrong for which role.
        routes: The proxy's routes.
        clusters: The EKS clusters.
        metadata: The node identities.
        backend: Where the roles of node identities are looked up.
        listen_for: Opens the listener of a node's metadata, once there are any; gives where others reach it.
    """

    run: str
    log: CallLog
    disruptions: Disruptions
    routes: Routes
    clusters: Clusters
    metadata: Metadata
    backend: Backend
    listen_for: Callable[[str], Awaitable[str]] | None = None

    def application(self) -> web.Application:
        """Make the listener's application."""
        application = web.Application(middlewares=[_explain])
        application.router.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/calls", self._calls),
                web.get("/roles", self._roles),
                web.get("/connections", self._connections),
                web.put("/roles/{role}/disruption", self._disrupt),
                web.delete("/roles/{role}/disruption", self._calm),
                web.put("/routes/{target}", self._put_route),
                web.delete("/routes/{target}", self._delete_route),
                web.put("/node-identities/{name}", self._put_node),
                web.delete("/node-identities/{name}", self._delete_node),
                web.put("/clusters/{name}", self._put_cluster),
                web.delete("/clusters/{name}", self._delete_cluster),
            ]
        )
        return application

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "run": self.run})

    async def _calls(self, request: web.Request) -> web.Response:
        calls = self.log.after(int(request.query.get("after", "0")), request.query.get("role"))
        return web.json_response({"calls": calls, "last": self.log.last})

    async def _roles(self, _: web.Request) -> web.Response:
        roles = {role: _shown(disruption) for role, disruption in self.disruptions.all().items()}
        return web.json_response({"roles": roles})

    async def _connections(self, _: web.Request) -> web.Response:
        return web.json_response({"connections": self.routes.open()})

    async def _disrupt(self, request: web.Request) -> web.Response:
        role = request.match_info["role"]
        self.disruptions.put(
            role, _disruption(await _object(request, {"deny", "delay", "clock_shift", "cut"}))
        )
        return web.json_response({"role": role, **_shown(self.disruptions.all()[role])})

    async def _calm(self, request: web.Request) -> web.Response:
        self.disruptions.remove(request.match_info["role"])
        return web.json_response({})

    async def _put_route(self, request: web.Request) -> web.Response:
        wanted = await _object(request, {"target"})
        self.routes.put(_target(request), str(wanted["target"]))
        return web.json_response({})

    async def _delete_route(self, request: web.Request) -> web.Response:
        _require(self.routes.remove(_target(request)), "no such route")
        return web.json_response({})

    async def _put_node(self, request: web.Request) -> web.Response:
        wanted = await _object(request, {"role_arn", "region", "for_pods"})
        arn = RoleArn.parse(str(wanted["role_arn"]))
        if arn is None:
            raise ValueError("role_arn is no ARN of a role")
        role = await self.backend.role(arn)
        if role is None:
            raise ValueError(f"there is no role {arn.text}")
        name = request.match_info["name"]
        node = Node(arn, role.role_id, str(wanted["region"]), for_pods=bool(wanted.get("for_pods", True)))
        self.metadata.put(name, node)
        return web.json_response({"endpoint": await self.listen_for(name) if self.listen_for else ""})

    async def _delete_node(self, request: web.Request) -> web.Response:
        _require(self.metadata.remove(request.match_info["name"]), "no such node identity")
        return web.json_response({})

    async def _put_cluster(self, request: web.Request) -> web.Response:
        fields = {field.name for field in dataclasses.fields(Cluster)}
        wanted = {**await _object(request, fields), "name": request.match_info["name"]}
        self.clusters.put(build(Cluster, wanted, "cluster"))
        return web.json_response({})

    async def _delete_cluster(self, request: web.Request) -> web.Response:
        _require(self.clusters.remove(request.match_info["name"]), "no such cluster")
        return web.json_response({})


@web.middleware
async def _explain(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except KeyError as error:
        return web.json_response({"error": f"key {error} is missing"}, status=400)
    except (ValueError, TypeError, ConfigurationError) as error:
        return web.json_response({"error": str(error)}, status=400)


async def _object(request: web.Request, known: set[str]) -> dict[str, Any]:
    wanted = await request.json()
    if not isinstance(wanted, dict):
        raise TypeError("the body is no JSON object")
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; the known ones are {', '.join(sorted(known))}")
    return wanted


def _disruption(wanted: dict[str, Any]) -> Disruption:
    deny = wanted.get("deny") or {}
    if deny and set(deny) != {"code", "message"}:
        raise ValueError("deny has the keys code and message, or is null")
    delay, shift = float(wanted.get("delay", 0)), float(wanted.get("clock_shift", 0))
    if not 0 <= delay <= _LONGEST_DELAY or not abs(shift) <= _LONGEST_SHIFT:
        raise ValueError(f"delay must be from 0 to {_LONGEST_DELAY} seconds, clock_shift within ten years")
    cut = str(wanted.get("cut", ""))
    return Disruption(str(deny.get("code", "")), str(deny.get("message", "")), delay, shift, cut)


def _shown(disruption: Disruption) -> dict[str, Any]:
    deny = {"code": disruption.deny_code, "message": disruption.deny_message}
    return {
        "deny": deny if disruption.deny_code else None,
        "delay": disruption.delay,
        "clock_shift": disruption.clock_shift,
        "cut": disruption.cut,
    }


def _target(request: web.Request) -> str:
    return unquote(request.match_info["target"])


def _require(found: bool, message: str) -> None:
    if not found:
        raise web.HTTPNotFound(text=f'{{"error": "{message}"}}', content_type="application/json")
