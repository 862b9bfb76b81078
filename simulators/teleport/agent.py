"""`teleport start` of a Kubernetes agent: join or reconnect, announce the cluster, serve by the reverse tunnel."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import signal
import socket
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp

from simulators.teleport import certificates, state
from simulators.teleport.cluster_api import ApiError, ClusterApi, within_cluster
from simulators.teleport.configuration import address
from simulators.teleport.decisions import STS_BODY
from simulators.teleport.diagnostics import Diagnostics
from simulators.teleport.dialling import told
from simulators.teleport.errors import RPC_CODES, ConfigurationError, TeleportError
from simulators.teleport.files import mounted
from simulators.teleport.signed_identity import (
    CredentialsError,
    Endpoint,
    Prover,
    distant_host,
    endpoints,
    has_web_identity,
)
from simulators.teleport.transport import Outbound
from simulators.teleport.tunnel import HEARTBEAT_SECONDS, AgentEnd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.teleport.configuration import Configuration
    from simulators.teleport.decisions import Decisions
    from simulators.teleport.log import Log
    from simulators.teleport.texts import Imitation
    from simulators.teleport.tunnel import Forward, SendData, SendHead

FIRST_SECONDS, STEP_SECONDS, MAX_SECONDS = 0.2, 0.4, 2.0
"""Pauses between attempts: a thirtieth of Teleport's (6, 12 and at most 60 s, halved at random), to save time."""

ANNOUNCE_SECONDS = 60.0
"""How often the Kubernetes cluster is announced; its kube_server lives ten times as long."""

CALL_SECONDS = 30.0
FEATURES = "features loaded from auth server: Kubernetes:true App:true DB:true Desktop:true"


class InitializationError(Exception):
    """The agent cannot start; it ends, and the kubelet starts it again."""


class Agent:
    """One agent process.

    Args:
        configuration: of the agent.
        environ: of the process.
        decisions: of the program.
        imitation: the version.
        log: where to write.
        verify: whether the proxy's certificate counts.
    """

    def __init__(
        self,
        configuration: Configuration,
        environ: Mapping[str, str],
        *,
        decisions: Decisions,
        imitation: Imitation,
        log: Log,
        verify: bool = True,
    ) -> None:
        self._configuration = configuration
        self._environ = environ
        self._decisions = decisions
        self._imitation = imitation
        self._log = log
        self._verify = verify
        teleport = configuration.section("teleport")
        self._proxy = str(teleport.get("proxy_server") or "")
        address(self._proxy, "teleport.proxy_server")
        join = teleport.get("join_params") or {}
        self._method = str(join.get("method"))
        if self._method not in {"iam", "token"}:
            raise ConfigurationError(
                f"teleport.join_params.method: iam and token are simulated, seen {self._method!r}"
            )
        self._token = str(join.get("token_name") or "")
        self._node = str(teleport.get("nodename") or environ.get("HOSTNAME") or socket.gethostname())
        self._outbound = Outbound(environ)
        self._prover = Prover(Outbound(environ, ("AWS_CA_BUNDLE", "SSL_CERT_FILE")), imitation)
        self._api = ClusterApi(environ) if within_cluster(environ) else None
        self._storage = state.storage(configuration.data, environ, self._api)
        self._writing = asyncio.Lock()
        self._diagnostics = Diagnostics(imitation)
        self._host_id = ""
        self._started: set[str] = set()
        self._joins_anew = False

    async def run(self, diagnostics: str | None) -> None:
        """Serve until SIGTERM or SIGINT.

        Args:
            diagnostics: `host:port` of the diagnostics; None for none.

        Raises:
            InitializationError: what the agent remembers cannot be read or written, or AWS's SDK does not start.
            OSError: the diagnostics address is taken.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        host = distant_host(self._environ)
        if host and self._decisions.container_credentials_asked(has_web_identity(self._environ)):
            text = self._imitation.text("container-host", host=host)
            raise InitializationError(f"initialization failed\n{text}")
        try:
            kept = await self._storage.read()
            await self._settle_host_id(kept)
        except (ApiError, TeleportError, OSError) as error:
            raise InitializationError(f"{error}, initialization failed") from error
        if diagnostics:
            host, port = address(diagnostics, "--diag-addr")
            self._log.inform("PROC:1", f"Service diag is creating new listener on {host}:{port}. pid:1.1")
            await self._diagnostics.start(host, port)
            self._log.inform("DIAG:1", f"Starting diagnostic service on {host}:{port}. pid:1.1")
        opened = [
            await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
            for port in self._decisions.ports_opened()
        ]
        roles = ["Instance", *self._configuration.services]
        serving = [
            asyncio.create_task(self._serve(role, kept.get(state.identity_key(role)))) for role in roles
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopping, *serving], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (stopping, *serving):
                task.cancel()
            await asyncio.gather(stopping, *serving, return_exceptions=True)
            await self._diagnostics.stop()
            for server in opened:
                server.close()
            if self._api:
                await self._api.close()

    async def _settle_host_id(self, kept: Mapping[str, str]) -> None:
        fresh = str(uuid.uuid4())
        self._host_id = self._decisions.host_id(kept.get(state.HOST_ID), fresh)
        if self._host_id != kept.get(state.HOST_ID):
            self._log.inform("PROC:1", f"Generating new host UUID: {self._host_id}. pid:1.1")
            await self._storage.write({state.HOST_ID: self._host_id})

    async def _serve(self, role: str, identity: str | None) -> None:
        """Connect one service, again and again, for as long as the process lives."""
        attempt = 0
        while True:
            try:
                if attempt:
                    # Seen on 13: whoever deletes it meanwhile has the agent join anew.
                    identity = (await self._storage.read()).get(state.identity_key(role))
                items: dict[str, str] = {}
                if self._joins_anew or self._decisions.join_needed(identity):
                    items = await self._joined(role)
                elif self._decisions.aws_asked(identity):
                    await self._asked_aws()
                known = items.get(state.identity_key(role)) or identity or "{}"
                await self._connected(role, json.loads(known)["spec"], items)
                attempt = 0
            except (TeleportError, CredentialsError, ApiError, OSError, aiohttp.ClientError) as error:
                self._tell_failure(role, error)
                if self._decisions.gives_up():
                    raise InitializationError(str(error)) from error
            await asyncio.sleep(_pause(attempt))
            attempt += 1

    async def _asked_aws(self) -> None:
        """Get AWS credentials though they are not needed; whatever comes of it."""
        with suppress(CredentialsError, TeleportError, OSError):
            await self._prover.signed(endpoints(self._environ)[0], "")

    def _tell_failure(self, role: str, error: Exception) -> None:
        if role == "Instance" and "token expired or not found" in str(error):
            self._log.inform("PROC:1", self._imitation.text("token-too-old"))
        else:
            text = self._imitation.text("connection-failed", role=role, error=error or type(error).__name__)
            self._log.failure("PROC:1", f"{text} pid:1.1")

    async def _joined(self, role: str) -> dict[str, str]:
        """Join; what is to be kept of it."""
        self._log.inform("PROC:1", "Joining the cluster with a secure token. pid:1.1")
        self._log.inform("AUTH", "Attempting registration via proxy server.")
        key = certificates.private_key()
        certificate, authority = await self._registered(role, key)
        self._log.inform("AUTH", "Successfully registered via proxy server.")
        self._log.inform("PROC:1", f"{role} has obtained credentials to connect to the cluster. pid:1.1")
        return state.identity_items(role, key, certificate, authority)

    async def _keep(self, role: str, items: Mapping[str, str]) -> None:
        """Write down what came of a join: not before it was good for a connection."""
        if not self._decisions.identity_kept(role):
            return
        try:
            async with self._writing:
                await self._storage.write(items)
        except ApiError as error:
            # As Teleport does: what cannot be written down is told, and the service goes on.
            self._log.failure("PROC:1", f"Failed to write {role} identity: {error}.")
        else:
            text = f"The process successfully wrote the credentials and state of {role} to the disk. pid:1.1"
            self._log.inform("PROC:1", text)

    async def _registered(self, role: str, key: str) -> tuple[str, str]:
        if self._method == "token":
            async with self._outbound.session(CALL_SECONDS, verify=self._verify) as session:
                return await self._admitted(session, role, key)
        refused = []
        for by_region in endpoints(self._environ):
            meant = self._decisions.sts_meant(by_region.host, self._environ.get("AWS_ENDPOINT_URL_STS", ""))
            endpoint, name = replace(by_region, host=meant), by_region.name
            self._log.inform(
                "AUTH", f"Attempting to register {role} with IAM method using {name} STS endpoint"
            )
            try:
                result = await self._registered_by(role, key, endpoint)
            except (TeleportError, CredentialsError, OSError) as error:
                reason = self._decisions.reason_told(str(error))
                self._log.report("AUTH", f"Failed to register {role} using {name} STS endpoint", reason)
                refused.append(reason)
            else:
                text = f"Successfully registered {role} with IAM method using {name} STS endpoint"
                self._log.inform("AUTH", text)
                return result
        raise TeleportError("AccessDenied", ", ".join(refused))

    async def _registered_by(self, role: str, key: str, endpoint: Endpoint) -> tuple[str, str]:
        async with self._outbound.session(CALL_SECONDS, verify=self._verify) as session:
            challenge = await self._call(session, "challenge")
            signed = await self._prover.signed(endpoint, challenge)
            sts = {**signed, "body": base64.b64encode(STS_BODY).decode()}
            return await self._admitted(session, role, key, challenge=challenge, sts=sts)

    async def _admitted(
        self, session: aiohttp.ClientSession, role: str, key: str, **proof: Any
    ) -> tuple[str, str]:
        given = {
            "token": self._token_name(),
            "host_id": self._host_id,
            "node": self._node,
            "role": role,
            "method": self._method,
            "public_key": certificates.public_key(key),
            **proof,
        }
        answer = await self._call(session, "join", given)
        return answer["certificate"], answer["authority"]

    def _token_name(self) -> str:
        # A path stands for the file's content (the chart's way), anything else for itself.
        if not self._token.startswith("/"):
            return self._token
        return mounted(self._token, self._environ).read_text().strip()

    async def _call(self, session: aiohttp.ClientSession, method: str, given: Any = None) -> Any:
        url = f"https://{self._proxy}/simulated/{method}"
        towards = self._outbound.towards(self._proxy.rpartition(":")[0])
        try:
            async with session.post(url, json=given or {}, **towards) as answer:
                result = await answer.json(content_type=None)
        except (
            aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.InvalidURL, UnicodeError
        ) as problem:  # fmt: skip
            words = told(problem, self._proxy, self._imitation)
            raise TeleportError("ConnectionProblem", words) from problem
        if answer.ok:
            return result
        error = result.get("error", {})
        text, kind = str(error.get("message", answer.reason)), str(error.get("kind", "ConnectionProblem"))
        # Joining by method token is no gRPC call in 13.
        if method == "join" and self._method == "iam" and self._imitation.major < 14:
            text = f"rpc error: code = Unknown desc = rpc error: code = {RPC_CODES[kind]} desc = {text}"
        raise TeleportError(kind, text)

    async def _connected(self, role: str, identity: Mapping[str, Any], items: Mapping[str, str]) -> None:
        """Be connected with an identity; returns when a connection was lost.

        Args:
            role: as which.
            identity: that was kept, or that the agent has just joined with.
            items: to be kept of a join; none where it needed none.
        """
        pem = identity["tls_cert"] + identity["key"]
        if self._configuration.enabled("kubernetes_service") and role == "Kube" and self._api is None:
            raise TeleportError(
                "BadParameter", "no Kubernetes cluster: this is not a pod with a service account"
            )
        async with self._outbound.session(None, identity=pem, verify=self._verify) as session:
            if not items:
                cluster = certificates.identity_in(identity["tls_cert"]).cluster
                text = f"Connecting to the cluster {cluster} with TLS client certificate. pid:1.1"
                self._log.inform("PROC:1", text)
            proxy = await self._greeted(session, role, identity)
            dialled = self._decisions.tunnel_dialled(self._proxy, proxy["listening"], proxy["tunnel"])
            if dialled == proxy["tunnel"]:
                await self._reached(dialled)
            if items:
                await self._keep(role, items)
            self._log.inform("PROC:1", f"{role}: {FEATURES}  pid:1.1")
            if role == "Kube" and self._api:
                await self._tunnelled(session, self._api, dialled)
            else:
                if role == "Instance":
                    self._log.inform("INSTANCE:", "Successfully registered instance client. pid:1.1")
                else:
                    self._service_started(role)
                await asyncio.Event().wait()

    async def _greeted(
        self, session: aiohttp.ClientSession, role: str, identity: Mapping[str, Any]
    ) -> dict[str, str]:
        """What the proxy tells a host that it knows.

        Raises:
            TeleportError: it does not know it, or is of another cluster than the identity.
        """
        try:
            greeted: dict[str, str] = await self._call(session, "hello", {"role": role})
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # So TLS ends for a certificate of another authority. A real agent looks at the proxy's own.
            async with self._outbound.session(CALL_SECONDS, verify=self._verify) as stranger:
                if await self._call(stranger, "authority") in identity["tls_ca_certs"]:
                    raise
            self._joins_anew = self._decisions.joins_another_cluster()
            words = self._imitation.text("identity-of-another-cluster", proxy=self._proxy)
            raise TeleportError("ConnectionProblem", words) from None
        return greeted

    async def _reached(self, address: str) -> None:
        """Dial the reverse tunnel where it is apart from the proxy's own address.

        Raises:
            TeleportError: nobody answers.
        """
        host, _, port = address.rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError as error:
            words = self._imitation.text("tunnel-refused", address=address)
            raise TeleportError("ConnectionProblem", words) from error
        writer.close()

    def _service_started(self, role: str) -> None:
        self._started.add(role)
        # Seen on 13: not as long as one of them is refused.
        if self._started == set(self._configuration.services):
            text = "The new service has started successfully. Starting syncing rotation status with period 10m0s."
            self._log.inform("PROC:1", f"{text} pid:1.1")

    async def _tunnelled(self, session: aiohttp.ClientSession, api: ClusterApi, dialled: str) -> None:
        url = f"https://{dialled}/simulated/tunnel"
        await self._test_permissions(api)
        async with session.ws_connect(
            url, heartbeat=HEARTBEAT_SECONDS, max_msg_size=0, **self._outbound.proxied
        ) as tunnel:
            self._log.inform("KUBERNETE", 'Cache "kube" first init succeeded.')
            self._log.inform("KUBERNETE", "Started reverse tunnel client. pid:1.1")
            end = AgentEnd(tunnel, self._forwarder(api))
            announcing = asyncio.create_task(self._announce(end))
            try:
                await end.serve()
            finally:
                announcing.cancel()
                await asyncio.gather(announcing, return_exceptions=True)
        self._log.caution("PROXY:AGE", "The reverse tunnel was closed. pid:1.1")

    def _forwarder(self, api: ClusterApi) -> Forward:
        async def forward(
            head: dict[str, Any],
            body: bytes,
            messages: asyncio.Queue[bytes],
            send_head: SendHead,
            send_data: SendData,
        ) -> None:
            if "protocol" in head:
                await api.execute(head, messages, send_head, send_data)
                return
            began = time.monotonic()

            async def noted(answer: dict[str, Any]) -> None:
                milliseconds = (time.monotonic() - began) * 1000
                self._log.inform(
                    "KUBERNETE",
                    f"Round trip: {head['method']} https://{api.address}{head['target']}, code: {answer['status']}, "
                    f"duration: {milliseconds:.6f}ms",
                )
                await send_head(answer)

            await api.forward(head, body, noted, send_data)

        return forward

    async def _announce(self, end: AgentEnd) -> None:
        section = self._configuration.section("kubernetes_service")
        told = {
            "cluster": str(section.get("kube_cluster_name") or ""),
            "labels": {str(key): str(value) for key, value in (section.get("labels") or {}).items()},
            "version": self._imitation.version,
            "address": self._decisions.address_announced(),
        }
        await end.heartbeat(told)
        self._diagnostics.ready = True
        text = f"Kubernetes service {self._imitation.version}: is starting via proxy reverse tunnel. pid:1.1"
        self._log.inform("KUBERNETE", "Starting Kube service via proxy reverse tunnel. pid:1.1")
        self._log.inform("KUBERNETE", text)
        self._service_started("Kube")
        while True:
            await asyncio.sleep(ANNOUNCE_SECONDS)
            with suppress(ConnectionError):
                await end.heartbeat(told)

    async def _test_permissions(self, api: ClusterApi) -> None:
        """Tell what the agent's ClusterRole lacks; requests are handled all the same."""
        for resource in ("users", "groups", "serviceaccounts"):
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {"verb": "impersonate", "resource": resource}},
            }
            try:
                path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
                allowed = (await api.call("POST", path, review))["status"]["allowed"]
                problem = (
                    "" if allowed else f"proxy can't impersonate Kubernetes {resource} at the cluster level"
                )
            except (ApiError, TeleportError) as error:
                problem = f"failed to verify impersonation permissions for Kubernetes: {error}"
            if problem:
                self._log.caution("KUBERNETE", self._imitation.text("permissions-untested", error=problem))
                return


def _pause(attempt: int) -> float:
    """Seconds to wait after an attempt that failed."""
    seconds = min(MAX_SECONDS, STEP_SECONDS * attempt) or FIRST_SECONDS
    return seconds * random.uniform(0.5, 1)  # noqa: S311  # jitter is no secret
