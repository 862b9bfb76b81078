"""Connectors of identity providers: GitHub's, which anybody may have, and SAML's and OIDC's, which need a licence.

Refusals of 13 are worded as its `tctl` words them; that SAML and OIDC are refused at all is measured, what a licensed
cluster would do with them is read in its source (lib/services/saml.go, api/types/oidc.go).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp

from simulators.teleport import certificates
from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.teleport.auth import Auth
    from simulators.teleport.certificates import Identity
    from simulators.teleport.store import Resource
    from simulators.teleport.transport import Outbound

GITHUB = "https://github.com"
GITHUB_SECONDS = 20.0
MAPPINGS = {"github": "teams_to_roles", "saml": "attributes_to_roles", "oidc": "claims_to_roles"}
"""Kind -> the field that maps what a provider says of a user to roles."""

VERSIONS = {"github": "v3", "saml": "v2", "oidc": "v3"}
TITLES = {"github": "github", "saml": "SAML", "oidc": "OIDC"}


class Connectors:
    """The connectors of one cluster.

    Args:
        auth: its Auth Service.
        outbound: how GitHub is reached.
    """

    def __init__(self, auth: Auth, outbound: Outbound) -> None:
        self._auth = auth
        self._outbound = outbound

    async def create(self, caller: Identity, given: Resource, *, force: bool) -> str:
        """Take a connector; what `tctl` prints about it.

        Raises:
            TeleportError: it is refused.
        """
        kind, name = str(given["kind"]), str((given.get("metadata") or {}).get("name") or "")
        if not name:
            raise TeleportError("BadParameter", "missing parameter Name")
        spec = _completed(kind, given.get("spec") or {})
        exists = (kind, name) in self._known()
        if exists and not force:
            message = f'use -f or --force flag to overwrite\nauthentication connector "{name}" already exists'
            raise TeleportError("AlreadyExists", message)
        self._auth.authorize(caller, kind, "create", "update")
        if kind == "saml" and exists and not spec.get("signing_key_pair"):
            spec["signing_key_pair"] = self._known()[kind, name]["spec"].get("signing_key_pair")
        if kind == "saml" and not spec.get("signing_key_pair"):
            key = certificates.private_key()
            spec["signing_key_pair"] = {"private_key": key, "cert": certificates.public_key(key)}
        kept = self._auth.decisions.connector_kept(kind, spec)
        if kept is None:
            message = self._auth.imitation.text("needs-enterprise", kind=TITLES[kind])
            raise TeleportError("AccessDenied", message)
        if kind == "github":
            for organisation in sorted({str(rule.get("organization")) for rule in spec[MAPPINGS[kind]]}):
                await self._refuse_own_sign_in(organisation)
        self._auth.store.connectors[f"{kind}/{name}"] = {
            "kind": kind,
            "version": VERSIONS[kind],
            "metadata": {"name": name},
            "spec": dict(kept),
        }
        self._auth.store.save()
        quoted = f'"{name}"' if kind == "github" else f"'{name}'"
        return f"authentication connector {quoted} has been created\n"

    def get(self, caller: Identity, kind: str, name: str | None, *, secrets: bool) -> list[Resource]:
        """Connectors of a kind, or one of them.

        Args:
            caller: who asks.
            kind: of the connectors.
            name: None for all.
            secrets: with their secrets.

        Raises:
            TeleportError: there is none of that name, or the caller may not.
        """
        self._auth.authorize(caller, kind, *(("list", "read") if name is None else ("read",)))
        found = {its: one for (of, its), one in self._known().items() if of == kind}
        if name is not None and name not in found:
            raise TeleportError("NotFound", self._auth.imitation.text(f"no-connector-{kind}", name=name))
        chosen = [found[one] for one in sorted(found) if name in {None, one}]
        return chosen if secrets else [_without_secrets(one) for one in chosen]

    def remove(self, caller: Identity, kind: str, name: str) -> str:
        """Remove a connector; what `tctl` prints about it.

        Raises:
            TeleportError: there is none of that name, or the caller may not.
        """
        self._auth.authorize(caller, kind, "delete")
        if self._auth.store.connectors.pop(f"{kind}/{name}", None) is None:
            raise TeleportError("NotFound", f"key /web/connectors/{kind}/connectors/{name} is not found")
        self._auth.store.save()
        shown = f'"{name}"' if kind == "github" else name
        return f"{TITLES[kind]} connector {shown} has been deleted\n"

    def _known(self) -> dict[tuple[str, str], Resource]:
        return {
            (key.partition("/")[0], key.partition("/")[2]): one
            for key, one in self._auth.store.connectors.items()
        }

    async def _refuse_own_sign_in(self, organisation: str) -> None:
        """Ask GitHub whether an organisation signs in elsewhere, as a cluster without a licence does."""
        page = f"{GITHUB}/orgs/{quote(organisation, safe='')}/sso"
        try:
            async with (
                self._outbound.session(GITHUB_SECONDS) as session,
                session.get(page, **self._outbound.proxied) as answer,
            ):
                found = answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = (
                "rpc error: code = Unknown desc = Unknown error trying to reach GitHub to check for organization "
                f'external SSO\n\tGet "{page}": {error or "timeout"}'
            )
            raise TeleportError("ConnectionProblem", message) from error
        if found:
            message = (
                f"GitHub organization {organisation} uses external SSO, please purchase a Teleport Enterprise "
                "license if you want to authenticate with this organization"
            )
            raise TeleportError("AccessDenied", message)


def _completed(kind: str, given: Mapping[str, object]) -> Resource:
    """A connector's spec with what it does not set filled in.

    Raises:
        TeleportError: BadParameter, nothing is mapped.
    """
    spec: Resource = copy.deepcopy(dict(given))
    if not spec.get(MAPPINGS[kind]) and kind == "github":
        message = "team_to_logins or team_to_roles mapping is invalid, no mappings defined."
        raise TeleportError("BadParameter", message)
    if kind == "github":
        fields = (
            "client_id",
            "client_secret",
            "redirect_url",
            "teams_to_logins",
            "display",
            "teams_to_roles",
            "endpoint_url",
        )
        return {name: spec.get(name, None if name == "teams_to_logins" else "") for name in fields}
    return spec


def _without_secrets(connector: Resource) -> Resource:
    spec = dict(connector["spec"])
    if "client_secret" in spec:
        spec["client_secret"] = ""
    if spec.get("signing_key_pair"):
        spec["signing_key_pair"] = {**spec["signing_key_pair"], "private_key": ""}
    return {**connector, "spec": spec}
