"""How the programs reach others: TLS by SSL_CERT_FILE, through HTTPS_PROXY, nothing else of the machine's."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simulators.teleport.files import mounted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp


def trust(environ: Mapping[str, str], *variables: str) -> ssl.SSLContext:
    """A client's TLS settings.

    Args:
        environ: the program's environment.
        variables: that may name a file with the authorities to trust, the first that is set counts;
            SSL_CERT_FILE where none are given.

    Raises:
        OSError: the file is missing or no certificate.
    """
    return ssl.create_default_context(cafile=_authorities(environ, *variables))


def _authorities(environ: Mapping[str, str], *variables: str) -> str | None:
    for variable in variables or ("SSL_CERT_FILE",):
        if environ.get(variable):
            return str(mounted(environ[variable], environ))
    return None


@lru_cache(maxsize=8)
def _shared(authorities: str | None) -> ssl.SSLContext:
    """Settings for all calls that trust a file and present nothing: as in Teleport, it is read once in a life."""
    return ssl.create_default_context(cafile=authorities)


@dataclass(frozen=True)
class Outbound:
    """Calls of a service to the outside.

    Attributes:
        environ: the program's environment.
        variables: see `trust`.
    """

    environ: Mapping[str, str]
    variables: tuple[str, ...] = ("SSL_CERT_FILE",)

    @property
    def proxied(self) -> dict[str, Any]:
        """Arguments of a request that send it through the proxy, if there is one."""
        proxy = self.environ.get("HTTPS_PROXY") or self.environ.get("https_proxy")
        return {"proxy": proxy} if proxy else {}

    def towards(self, host: str) -> dict[str, Any]:
        """As `proxied`, for a call of one host: NO_PROXY may name it.

        Args:
            host: of the call.
        """
        spared = self.environ.get("NO_PROXY") or self.environ.get("no_proxy") or ""
        return {} if host in {name.strip() for name in spared.split(",")} else self.proxied

    def session(
        self, seconds: float | None, *, identity: str = "", verify: bool = True
    ) -> aiohttp.ClientSession:
        """A client session.

        Args:
            seconds: each request may take; None for as long as it takes.
            identity: certificate and key of the caller, PEM.
            verify: whether the other side's certificate counts.
        """
        import aiohttp  # noqa: PLC0415  # a third of a second that `tctl` and `tsh` need not wait

        if verify and not identity:
            context = _shared(_authorities(self.environ, *self.variables))
        else:
            context = trust(self.environ, *self.variables)
            if not verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            present(context, identity)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            timeout=aiohttp.ClientTimeout(total=seconds),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )


def present(context: ssl.SSLContext, identity: str) -> None:
    """Let TLS settings present a certificate; OpenSSL takes one from a file only, which is gone at once.

    Args:
        context: of a client.
        identity: certificate and key, PEM; empty for none.
    """
    if identity:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # mode 0600
            file.write(identity)
            file.flush()
            context.load_cert_chain(file.name)
