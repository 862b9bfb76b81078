"""The gateway's configuration file: one JSON document, read once into frozen dataclasses."""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_ACCOUNT = re.compile(r"[0-9]{12}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:]+")


class ConfigurationError(Exception):
    """The configuration file cannot be used; the text is one line for the person who wrote it."""


@dataclass(frozen=True)
class Address:
    """A TCP address written `host:port`; port 0 lets the system choose when listening."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `host:port`.

        Args:
            text: The written form, for example `127.0.0.1:0` or `[::1]:443`.

        Raises:
            ValueError: It is not an address.
        """
        host, separator, port = text.rpartition(":")
        if not separator or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"is not host:port: {text!r}")
        return cls(host.strip("[]").lower(), int(port))

    def __str__(self) -> str:
        """The written form, as `parse` reads it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Listen:
    """Where each of the gateway's listeners binds."""

    proxy: Address
    https: Address
    control: Address
    metadata: Address
    webhook: Address


@dataclass(frozen=True)
class Authority:
    """The run's certificate authority, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Administrator:
    """A long-lived IAM user that may do everything in its own account."""

    access_key_id: str
    account: str
    arn: str
    user_id: str
    secret_access_key: str = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        """Check what can be checked without the other parts."""
        _require_account(self.account)


@dataclass(frozen=True)
class Cluster:
    """An EKS cluster that `eks:DescribeCluster` tells about, and whose issuer the gateway serves.

    `issuer` is None for a cluster without OIDC provider; `jwks` is the file with the issuer's public keys.
    """

    name: str
    account: str
    region: str
    version: str
    endpoint: str
    certificate_authority: str
    issuer: str | None = None
    jwks: Path | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without the other parts."""
        _require_account(self.account)
        if self.issuer is not None and (
            urlsplit(self.issuer).scheme != "https" or not urlsplit(self.issuer).hostname
        ):
            raise ValueError(f"has an issuer that is no https:// URL: {self.issuer!r}")


@dataclass(frozen=True)
class ChartRepository:
    """A Helm repository served from a folder under its real host name."""

    host: str
    folder: Path


@dataclass(frozen=True)
class Webhook:
    """Settings of the pod identity webhook; `expiration` is in seconds."""

    kubeconfig: Path
    region: str
    audience: str = "sts.amazonaws.com"
    expiration: int = 86400


@dataclass(frozen=True)
class Config:
    """Everything the gateway is told at start; `host` is the name or address by which others reach it."""

    run: str
    listen: Listen
    certificate_authority: Authority
    backend: str
    administrators: tuple[Administrator, ...]
    accounts: tuple[str, ...]
    call_log: Path
    ready: Path
    clusters: tuple[Cluster, ...] = ()
    routes: dict[str, str] = dataclasses.field(default_factory=dict)
    chart_repository: ChartRepository | None = None
    webhook: Webhook | None = None
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        """Check what concerns several parts."""
        for account in (*self.accounts, *(cluster.account for cluster in self.clusters)):
            _require_account(account)
        for administrator in self.administrators:
            if administrator.account not in self.accounts:
                raise ValueError(
                    f"has administrator {administrator.arn} of an account not listed in 'accounts'"
                )
        for target in (*self.routes, *self.routes.values()):
            Address.parse(target)
        if not _HOST.fullmatch(self.host):
            raise ValueError(f"has a host that is no lower-case host name or address: {self.host!r}")
        if urlsplit(self.backend).scheme not in {"http", "https"}:
            raise ValueError(f"has a backend that is no URL: {self.backend!r}")


def load(path: Path) -> Config:
    """Read and check the configuration file.

    Args:
        path: The JSON file. It holds secrets, so it should be readable by its owner only.

    Returns:
        The configuration.

    Raises:
        ConfigurationError: The file is missing, is not JSON or does not fit.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from error
    config = build(Config, document, "configuration")
    for needed in (config.certificate_authority.certificate, config.certificate_authority.key):
        if not needed.is_file():
            raise ConfigurationError(f"configuration.certificate_authority: no such file: {needed}")
    return config


def build(kind: type[T], value: Any, where: str) -> T:
    """Make a dataclass of this module from decoded JSON.

    Args:
        kind: The dataclass.
        value: The decoded JSON object.
        where: The path in the document, for messages.

    Raises:
        ConfigurationError: A key is missing, unknown or of the wrong type.
    """
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: expected an object, got {_shown(value)}")
    fields = {field.name: field for field in dataclasses.fields(typing.cast("Any", kind))}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise ConfigurationError(
            f"{where}: unknown key {unknown[0]!r}; the known ones are {', '.join(fields)}"
        )
    hints = typing.get_type_hints(kind)
    arguments = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _convert(hints[name], value[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigurationError(f"{where}: key {name!r} is missing")
    try:
        return kind(**arguments)
    except ValueError as error:
        raise ConfigurationError(f"{where} {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return None if value is None else _convert(arguments[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigurationError(f"{where}: expected a list, got {_shown(value)}")
        return tuple(_convert(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigurationError(f"{where}: expected an object, got {_shown(value)}")
        return {key: _convert(arguments[1], item, f"{where}[{key!r}]") for key, item in value.items()}
    if hint is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigurationError(f"{where}: expected a whole number, got {_shown(value)}")
        return value
    if hint in {str, Path, Address}:
        return _convert_text(hint, value, where)
    return build(hint, value, where)


def _convert_text(hint: Any, value: Any, where: str) -> Any:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{where}: expected a text, got {_shown(value)}")
    if hint is str:
        return value
    if hint is Path:
        if not Path(value).is_absolute():
            raise ConfigurationError(f"{where}: expected an absolute path, got {value!r}")
        return Path(value)
    try:
        return Address.parse(value)
    except ValueError as error:
        raise ConfigurationError(f"{where} {error}") from error


def _shown(value: Any) -> str:
    # The type only: a misplaced value may be a secret.
    return "nothing" if value in (None, "") else f"a JSON {type(value).__name__}"


def _require_account(account: str) -> None:
    if not _ACCOUNT.fullmatch(account):
        raise ValueError(f"has an account id that is not twelve digits: {account!r}")
