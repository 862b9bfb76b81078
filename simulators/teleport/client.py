"""How `tctl` and `tsh` call a service: plain requests, with little to import, since they start often."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from simulators.teleport.errors import TeleportError
from simulators.teleport.transport import present, trust

if TYPE_CHECKING:
    from collections.abc import Mapping

CALL_SECONDS = 30.0


@dataclass(frozen=True)
class Service:
    """A service to call.

    Attributes:
        host: name or address.
        port: TCP port.
        identity: certificate and key of the caller, PEM; empty for none.
        secret: of the Auth Service's administrator; with one it is called directly, and without TLS.
    """

    host: str
    port: int
    identity: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)

    def call(self, environ: Mapping[str, str], method: str, **given: Any) -> Any:
        """Call a method.

        Args:
            environ: of the program.
            method: below `/simulated/`.
            given: arguments.

        Raises:
            TeleportError: it refused, or was not reached.
        """
        headers = {"Content-Type": "application/json"}
        if self.secret:
            headers["Authorization"] = f"Bearer {self.secret}"
        try:
            connection = self._connection(environ)
            connection.request("POST", f"/simulated/{method}", json.dumps(given), headers)
            answer = connection.getresponse()
            document = json.load(answer)
            connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"failed to connect to {self.host}:{self.port}: {error or type(error).__name__}"
            raise TeleportError("ConnectionProblem", message) from error
        if answer.status != 200:
            problem = document.get("error", {})
            raise TeleportError(
                problem.get("kind", "ConnectionProblem"), problem.get("message", answer.reason)
            )
        return document

    def _connection(self, environ: Mapping[str, str]) -> http.client.HTTPConnection:
        if self.secret:
            return http.client.HTTPConnection(self.host, self.port, timeout=CALL_SECONDS)
        context = trust(environ)
        present(context, self.identity)
        proxy = urlsplit(environ.get("HTTPS_PROXY") or environ.get("https_proxy") or "")
        if not proxy.hostname:
            return http.client.HTTPSConnection(self.host, self.port, timeout=CALL_SECONDS, context=context)
        connection = http.client.HTTPSConnection(
            proxy.hostname, proxy.port, timeout=CALL_SECONDS, context=context
        )
        connection.set_tunnel(self.host, self.port)
        return connection
