"""Server certificates minted by the run's certificate authority, one per host name, when first asked for."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from .config import Authority, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import trustme

_LOCAL = ("127.0.0.1", "localhost")


class Certificates:
    """Mints and keeps server certificates.

    Args:
        authority: The run's certificate authority.
        serves: Tells whether a host name is one that this gateway may pass for.
        own_name: Host name or address under which others reach the gateway itself.

    Raises:
        ConfigurationError: The authority's files are no certificate and its key.
    """

    def __init__(
        self, authority: Authority, serves: Callable[[str], bool], own_name: str = _LOCAL[0]
    ) -> None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(authority.certificate, authority.key)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"configuration.certificate_authority: no certificate and key in PEM that fit: {error}"
            ) from error
        self._authority = authority
        self._serves = serves
        self._own_names = tuple(dict.fromkeys((*_LOCAL, own_name)))
        self._minter: trustme.CA | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    def server_context(self) -> ssl.SSLContext:
        """Make the context of a listener: it shows the certificate of the server that the client names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        host = (name or "").lower()
        # None is named by who goes by an address, such as the API server calling the lab's webhook.
        if host in {"", *self._own_names}:
            connection.context = self._context(self._own_names)
        elif self._serves(host):
            connection.context = self._context((host,))
        else:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    def _context(self, names: tuple[str, ...]) -> ssl.SSLContext:
        known = self._contexts.get(names[0])
        if known is not None:
            return known
        # Imported when the first connection comes: cryptography costs a tenth of a second to load.
        import trustme  # noqa: PLC0415 - see above

        if self._minter is None:
            self._minter = trustme.CA.from_pem(
                self._authority.certificate.read_bytes(), self._authority.key.read_bytes()
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._minter.issue_cert(*names).configure_cert(context)
        self._contexts[names[0]] = context
        return context
