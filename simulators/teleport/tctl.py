"""Simulated `tctl`: resources, users and tokens, beside the Auth Service or as a signed-in user."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulators.teleport import output, profile, times
from simulators.teleport.client import Service
from simulators.teleport.command_line import Parser, commands, parser
from simulators.teleport.errors import TeleportError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from simulators.teleport.texts import Imitation

CONFIGURATION = "/etc/teleport.yaml"
CONNECTORS = ("github", "saml", "oidc")
GO_FOREVER = "2562047h47m16.854775807s"
"""The longest duration that Go knows; `tctl tokens ls` of 13 shows it for a token of the year 3000."""


@dataclass(frozen=True)
class Tctl:
    """One run of `tctl`.

    Attributes:
        arguments: parsed.
        environ: of the program.
        cwd: of the program.
        imitation: the version.
        service: who is called.
    """

    arguments: argparse.Namespace
    environ: Mapping[str, str]
    cwd: Path
    imitation: Imitation
    service: Service

    def call(self, method: str, **given: Any) -> Any:
        """Call the Auth Service."""
        return self.service.call(self.environ, method, **given)

    def run(self) -> str:
        """Do what the command line says; what is printed.

        Raises:
            TeleportError: it was refused.
        """
        words = [self.arguments.command, getattr(self.arguments, "action", None)]
        method = "_".join(word for word in words if word)
        result: str = getattr(self, f"_{method}")()
        return result

    def _status(self) -> str:
        found = self.call("status")
        rows = [("Cluster", found["cluster"]), ("Version", found["version"])]
        rows += [(f"{name} CA", "never updated") for name in ("host", "user", "db", "openssh", "jwt")]
        rows += [("CA pin", found["pin"])]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "".join(f"{name:<{widths[0]}}  {value:<{widths[1]}} \n" for name, value in rows)

    def _create(self) -> str:
        given = self.arguments.file
        if given in {None, "-"}:
            text = sys.stdin.read()
        else:
            try:
                text = (self.cwd / given).read_text()
            except OSError as error:
                reason = str(error.strerror).lower()
                raise TeleportError("NotFound", f"lstat {self.cwd / given}: {reason}") from error
        printed = ""
        for document in _documents(text):
            printed += self.call("create", resource=document, force=self.arguments.force)
        return printed

    def _get(self) -> str:
        references = [reference.partition("/") for reference in self.arguments.references.split(",")]
        secrets = self.arguments.with_secrets
        found = [self._found(kind, name or None, secrets=secrets) for kind, _, name in references]
        resources = [resource for group in found for resource in group]
        if self.arguments.format == "yaml":
            return output.as_yaml(resources)
        if len(references) > 1:
            raise TeleportError("BadParameter", "mixed resource types only support YAML formatting")
        if self.arguments.format == "json":
            return output.as_json(resources or None, 4) + "\n"
        return _in_text(references[0][0], resources)

    def _found(self, kind: str, name: str | None, *, secrets: bool) -> list[dict[str, Any]]:
        if kind in CONNECTORS:
            found: list[dict[str, Any]] = self.call("get-connector", kind=kind, name=name, secrets=secrets)
        else:
            found = self.call("get", kind=kind, name=name)
        return found

    def _edit(self) -> str:
        from simulators.teleport import editing  # noqa: PLC0415  # starts a program, which nothing else does

        reference = self.arguments.reference
        kind, _, name = reference.partition("/")
        try:
            before = output.as_yaml(self._found(kind, name, secrets=True))
        except TeleportError as error:
            # 13 says it twice, once with what it was about.
            message = f"could not get resource {reference}: {error.message}\n{error.message}"
            raise TeleportError(error.kind, message) from error
        after = editing.edited(before, self.environ, self.cwd)
        if after == before:
            return "edit canceled, no changes made\n"
        return "".join(self.call("create", resource=document, force=True) for document in _documents(after))

    def _rm(self) -> str:
        kind, _, name = self.arguments.reference.partition("/")
        if not name:
            raise TeleportError("BadParameter", "resource definition must be type/name")
        return str(self.call("remove-connector" if kind in CONNECTORS else "remove", kind=kind, name=name))

    def _users_add(self) -> str:
        roles = _words(self.arguments.roles)
        invitation = self.call("add-user", name=self.arguments.name, roles=roles)
        if self.arguments.format == "json":
            return output.as_json(invitation)
        url = invitation["spec"]["url"]
        proxy = url.split("/")[2]
        return (
            f'User "{self.arguments.name}" has been created but requires a password. Share this URL with the user '
            f"to complete user setup, link is valid for 1h:\n{url}\n\n"
            f"NOTE: Make sure {proxy} points at a Teleport proxy which users can access.\n"
        )

    def _users_update(self) -> str:
        roles = _words(self.arguments.set_roles)
        self.call("update-user", name=self.arguments.name, roles=roles)
        return f"User {self.arguments.name} has been updated:\n\tNew roles: {','.join(roles)}\n"

    def _users_rm(self) -> str:
        self.call("remove", kind="user", name=self.arguments.name)
        return f'User "{self.arguments.name}" has been deleted\n'

    def _users_ls(self) -> str:
        users = self.call("get", kind="user", name=None)
        if self.arguments.format == "json":
            return output.as_json(users)
        return _in_text("user", users) + "\n"

    def _tokens_ls(self) -> str:
        tokens = self.call("tokens")
        if self.arguments.format == "json":
            return output.as_json(tokens)
        return output.table(
            ["Token", "Type", "Labels", "Expiry Time (UTC)"], [_token_row(token) for token in tokens]
        )

    def _tokens_rm(self) -> str:
        self.call("remove", kind="token", name=self.arguments.name)
        return f"Token {self.arguments.name} has been deleted\n"

    def _kube_ls(self) -> str:
        servers = self.call("get", kind="kube_server", name=None)
        if self.arguments.format == "json":
            return output.as_json(servers) + "\n"
        if self.arguments.format == "yaml":
            return output.as_yaml(servers)
        return _in_text("kube_server", servers)


def _parser() -> Parser:
    top = parser("tctl")
    top.add_argument("-c", "--config")
    known = commands(
        top, "command", ["version", "status", "create", "get", "edit", "rm", "users", "tokens", "kube"]
    )
    known["create"].add_argument("-f", "--force", action="store_true")
    known["create"].add_argument("file", nargs="?")
    known["get"].add_argument("references")
    known["get"].add_argument("--format", choices=["yaml", "json", "text"], default="yaml")
    # Nothing but a connector has secrets that are printed only on request.
    known["get"].add_argument("--with-secrets", action="store_true")
    known["edit"].add_argument("reference")
    known["rm"].add_argument("reference")
    users = commands(known["users"], "action", ["add", "update", "rm", "ls"])
    users["add"].add_argument("name")
    users["add"].add_argument("--roles", required=True)
    users["add"].add_argument("--format", choices=["text", "json"], default="text")
    users["update"].add_argument("name")
    users["update"].add_argument("--set-roles", required=True)
    users["rm"].add_argument("name")
    users["ls"].add_argument("--format", choices=["text", "json"], default="text")
    tokens = commands(known["tokens"], "action", ["ls", "rm"])
    tokens["ls"].add_argument("--format", choices=["text", "json"], default="text")
    tokens["rm"].add_argument("name")
    kube = commands(known["kube"], "action", ["ls"])
    kube["ls"].add_argument("--format", choices=["text", "json", "yaml"], default="text")
    return top


PARSER = _parser()
"""Made once, since a launcher forks whoever has imported this."""

# What argparse makes of the first command lines, such as its regular expressions, is made for all of them too.
for _words_of_one in (["get", "token/name", "--format", "json"], ["create", "-f", "file"], ["create"]):
    PARSER.parse_args(_words_of_one)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read a command line.

    Raises:
        UsageError: something in it is not simulated.
    """
    return PARSER.parse_args(list(argv))


def main(argv: Sequence[str], environ: Mapping[str, str], cwd: Path, imitation: Imitation) -> int:
    """Run `tctl`.

    Args:
        argv: after the program's name.
        environ: of the program.
        cwd: of the program.
        imitation: the version.

    Returns:
        Exit status.
    """
    try:
        arguments = parse(argv)
        if arguments.command == "version":
            sys.stdout.write(f"Teleport v{imitation.version} git: simulated\n")
            return 0
        service = _service(arguments.config, environ, cwd)
        sys.stdout.write(Tctl(arguments, environ, cwd, imitation, service).run())
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except TeleportError as error:
        output.error(error.message)
        return 1
    return 0


def _service(config: str | None, environ: Mapping[str, str], cwd: Path) -> Service:
    """The Auth Service beside which this runs, or the proxy where the user is signed in."""
    from simulators.teleport import configuration  # noqa: PLC0415  # reads YAML, which a profile needs not
    from simulators.teleport.errors import ConfigurationError  # noqa: PLC0415  # the same

    # Set but empty means none at all, as in the real one.
    named = config or environ.get("TELEPORT_CONFIG_FILE", CONFIGURATION)
    if named and (named != CONFIGURATION or Path(named).is_file()):
        try:
            read = configuration.read(named, cwd / named)
            host, port = read.auth_address
        except ConfigurationError as error:
            raise TeleportError("BadParameter", str(error)) from error
        path = Path(read.data) / "simulated-administrator.secret"
        try:
            secret = path.read_text()
        except OSError as error:
            message = f"expected the secret of the Auth Service's administrator in {path}: {error.strerror}"
            raise TeleportError("ConnectionProblem", message) from error
        return Service(host, port, secret=secret)
    found = profile.current(environ, cwd)
    if found is None:
        raise TeleportError("BadParameter", "no profile provided and no current profile")
    return found.service


def _documents(text: str) -> list[dict[str, Any]]:
    import yaml  # noqa: PLC0415  # only `create` reads YAML

    from simulators.teleport import quick_yaml  # noqa: PLC0415  # the same

    try:
        found = [document for document in quick_yaml.load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise TeleportError("BadParameter", f"yaml: {error}") from error
    if not found or not all(isinstance(document, dict) for document in found):
        raise TeleportError("BadParameter", "expected a resource, or several as YAML documents")
    # What YAML reads as a time goes as text.
    return [_plain(document) for document in found]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if hasattr(value, "isoformat"):
        return f"{value.isoformat().removesuffix('+00:00')}Z"
    return value


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _in_text(kind: str, resources: Sequence[Mapping[str, Any]]) -> str:
    if kind.startswith("kube_server"):
        rows = [
            [
                server["metadata"]["name"],
                _labels(server["spec"]["cluster"]["metadata"].get("labels")),
                server["spec"]["version"],
            ]
            for server in resources
        ]
        return output.table(["Cluster", "Labels", "Version"], rows)
    if kind.startswith("user"):
        rows = [[user["metadata"]["name"], ",".join(user["spec"]["roles"])] for user in resources]
        return output.table(["User", "Roles"], rows)
    raise TeleportError("BadParameter", f"--format=text of {kind} is not simulated")


def _labels(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))


def _token_row(token: Mapping[str, Any]) -> list[str]:
    metadata, spec = token["metadata"], token["spec"]
    return [metadata["name"], ",".join(spec["roles"]), "", _expiry(metadata.get("expires"))]


def _expiry(expires: str | None) -> str:
    if not expires:
        return "never"
    at = times.read(expires)
    left = int(at - time.time())
    minutes, seconds = divmod(left, 60)
    hours, minutes = divmod(minutes, 60)
    duration = f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s"
    if left > 292 * 365 * 86400:  # Go's longest duration is 292 years
        duration = GO_FOREVER
    return f"{time.strftime('%d %b %y %H:%M UTC', time.gmtime(at))} ({duration})"
