"""`teleport start` of Auth and Proxy Service as one process."""

from __future__ import annotations

import asyncio
import secrets
import signal
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulators.teleport import certificates
from simulators.teleport.audit import Audit
from simulators.teleport.auth import Auth
from simulators.teleport.configuration import address
from simulators.teleport.connectors import Connectors
from simulators.teleport.errors import ConfigurationError
from simulators.teleport.files import write_secret
from simulators.teleport.joining import Joining
from simulators.teleport.kubernetes_proxy import KubernetesProxy
from simulators.teleport.store import Store
from simulators.teleport.transport import Outbound
from simulators.teleport.web_api import WebApi

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.teleport.configuration import Configuration
    from simulators.teleport.decisions import Decisions
    from simulators.teleport.log import Log
    from simulators.teleport.texts import Imitation

ADMINISTRATOR = "simulated-administrator.secret"
"""File of the data folder, for `tctl` beside the Auth Service: whoever may read it is its administrator."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


async def run(
    configuration: Configuration,
    environ: Mapping[str, str],
    *,
    decisions: Decisions,
    imitation: Imitation,
    log: Log,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        configuration: of both services.
        environ: the process's environment.
        decisions: of the program.
        imitation: the version.
        log: where to write.

    Raises:
        ConfigurationError: something is missing or not simulated.
        OSError: an address is taken, or a file cannot be read.
    """
    outbound = Outbound(environ)
    data = Path(configuration.data)
    auth = Auth(
        cluster=_required(configuration.cluster, "auth_service.cluster_name"),
        data=data,
        decisions=decisions,
        imitation=imitation,
        store=Store(data / "backend" / "state.json"),
        audit=Audit(data / "log" / "events.log", configuration.cluster, log),
        joining=Joining(decisions, imitation, outbound, log),
        log=log,
    )
    _check(configuration)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host, port = configuration.auth_address
    web_host, web_port = address(
        configuration.section("proxy_service").get("web_listen_addr"), "proxy_service.web_listen_addr"
    )
    for_kubernetes = _own_certificate(auth, f"kube.{auth.cluster}", f"*.{auth.cluster}")
    secret = secrets.token_urlsafe(32)
    api = WebApi(
        auth,
        KubernetesProxy(auth),
        Connectors(auth, outbound),
        ping(configuration, imitation, f"{web_host}:{web_port}", decisions),
        for_kubernetes,
        secret=secret,
    )
    # A client that goes away ends its request, so that a watch is given up.
    runner = web.AppRunner(api.application(), handler_cancellation=True, access_log=None)
    await runner.setup()
    try:
        # Without TLS, which would be half of what a call of `tctl` costs.
        await web.TCPSite(runner, host, port, shutdown_timeout=0.5).start()
        write_secret(data / ADMINISTRATOR, secret)
        log.inform("AUTH:1", f"Auth service {imitation.version}: is starting on {host}:{port}.")
        outer = _web_certificate(configuration, auth, for_kubernetes)
        await web.TCPSite(runner, web_host, web_port, ssl_context=outer, shutdown_timeout=0.5).start()
        log.inform(
            "PROXY:SER", f"Web proxy service {imitation.version}: is starting on {web_host}:{web_port}."
        )
        await stop.wait()
    finally:
        await runner.cleanup()
        auth.store.flush()


def ping(
    configuration: Configuration, imitation: Imitation, listening: str, decisions: Decisions
) -> dict[str, Any]:
    """What `/v1/webapi/ping` answers.

    Args:
        configuration: of both services.
        imitation: the version.
        listening: `host:port` of the proxy.
        decisions: of the program.
    """
    section = configuration.section("proxy_service")
    public = section.get("public_addr") or [listening]
    addresses = public if isinstance(public, list) else [public]
    return {
        "auth": {
            "type": "local",
            "second_factor": "off",
            "local": {"name": ""},
            "private_key_policy": "none",
            "device_trust_disabled": True,
            "has_motd": False,
        },
        "proxy": {
            "kube": {"enabled": True, "listen_addr": listening} if configuration.serves_kubernetes else {},
            "ssh": {
                "listen_addr": listening,
                "tunnel_listen_addr": listening,
                "web_listen_addr": listening,
                "public_addr": addresses[0],
                **(
                    {"ssh_tunnel_public_addr": configuration.tunnel_apart}
                    if configuration.tunnel_apart
                    else {}
                ),
            },
            "db": {"postgres_listen_addr": listening, "mysql_listen_addr": listening},
            "tls_routing_enabled": not configuration.tunnel_apart,
        },
        "server_version": decisions.version_told(imitation.version),
        "min_client_version": decisions.oldest_client(imitation.major),
        "cluster_name": configuration.cluster,
    }


def _check(configuration: Configuration) -> None:
    section = configuration.section("auth_service")
    wanted = {"type": "local", "second_factor": "off"}
    if section.get("authentication", wanted) != wanted:
        raise ConfigurationError(f"auth_service.authentication: only {wanted} is simulated")
    if section.get("proxy_listener_mode", "multiplex") != "multiplex" and not configuration.tunnel_apart:
        raise ConfigurationError(
            "auth_service.proxy_listener_mode: only multiplex is simulated, and a tunnel that is elsewhere"
        )
    if configuration.auth_address[0] not in LOOPBACK:
        raise ConfigurationError("auth_service.listen_addr: only a loopback address is simulated")
    if section.get("tokens"):
        raise ConfigurationError("auth_service.tokens: static tokens are not simulated")


def _required(value: Any, where: str) -> Any:
    if not value:
        raise ConfigurationError(f"{where}: expected a value, seen none")
    return value


def _own_certificate(auth: Auth, *names: str) -> ssl.SSLContext:
    """TLS with a certificate of the cluster's own host authority."""
    key = certificates.private_key()
    certificate = auth.host_certificate(auth.host_id, "Proxy", certificates.public_key(key), names)
    path = auth.data / "proc" / f"{names[0]}.pem"
    write_secret(path, certificate + key)
    return _tls(auth, path, path)


def _web_certificate(
    configuration: Configuration, auth: Auth, for_kubernetes: ssl.SSLContext
) -> ssl.SSLContext:
    """TLS of the web address: the given certificate, save for connections to `kube.HOST`."""
    pairs = _required(
        configuration.section("proxy_service").get("https_keypairs"), "proxy_service.https_keypairs"
    )
    context = _tls(auth, Path(pairs[0]["cert_file"]), Path(pairs[0]["key_file"]))

    def choose(tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        if name and name.startswith("kube."):
            tls.context = for_kubernetes

    context.sni_callback = choose
    return context


def _tls(auth: Auth, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cadata=auth.hosts.certificate + auth.people.certificate
    )
    context.load_cert_chain(certificate, key)
    # Who needs none (ping, signing in, joining) comes without a certificate; a wrong one is refused by TLS.
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context
