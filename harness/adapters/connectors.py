"""Connectors of identity providers, and the commands by which the guide has its role mapped in them.

The lab has no identity provider: a connector is taken, kept and mapped, and nobody can sign in by it. Before Teleport
without a licence takes GitHub's it asks GitHub whether the organisation signs in elsewhere; the gateway answers that.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

import yaml

from harness.core.errors import EnvironmentBroken, NotApplicable, NotApplicableCode
from harness.core.findings import note
from harness.core.redaction import redactor
from harness.environment import MEMBERS, Mapped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.adapters.teleport import Teleport
    from harness.adapters.workstation import Workstation
    from harness.environment import Completed, Provider
    from harness.scenario import Names

NEEDS_LICENCE = re.compile(r"[^\n]*Teleport Enterprise[^\n]*")
"""How 13 refuses connectors of SAML and OIDC without a licence, and of GitHub organisations that use them."""

MAPPINGS: Mapping[Provider, str] = {
    "github": "teams_to_roles",
    "saml": "attributes_to_roles",
    "oidc": "claims_to_roles",
}
READ: Mapping[Provider, str] = {"saml": "ts.saml-secret", "oidc": "ts.oidc-secret"}
"""Claims whose command writes the connector into a file; GitHub's goes straight into an editor."""

WRITTEN: Mapping[Provider, str] = {"github": "ts.github", "saml": "ts.saml", "oidc": "ts.oidc"}
PRIVATE_KEY = "spec.signing_key_pair.private_key"
SECRETS = (PRIVATE_KEY, "spec.client_secret")

# The guide's example has the role below the one of before, in a list of its own line for each.
_EDITOR = "#!/bin/sh\nexec sed -i 's/^\\( *\\)- access$/&\\n\\1- {role}/' \"$1\"\n"


class Connectors:
    """`harness.environment.Connectors` over `tctl`."""

    def __init__(
        self,
        *,
        names: Names,
        teleport: Teleport,
        workstation: Workstation,
        home: Path,
    ) -> None:
        """Binds connectors to a scenario.

        Args:
            names: The scenario's names.
            teleport: The scenario's Teleport.
            workstation: The scenario's workstation.
            home: Of the workstation.
        """
        self.names = names
        self._teleport = teleport
        self._workstation = workstation
        self._home = home

    def create(self, kind: Provider) -> None:
        """Makes the connector that the guide takes for given, the guide's role, and a reader who may edit both.

        Raises:
            NotApplicable: Teleport takes no connector of that kind without a licence.
            AssertionError: It asks a licence for GitHub.
            EnvironmentBroken: It refused for another reason.
        """
        secret = secrets.token_urlsafe(18)
        redactor.register(secret)
        connector = self._connector(kind, secret)
        completed = self._teleport.administer("create", resource=connector)
        refusal = NEEDS_LICENCE.search(completed.stderr) if completed.exit_code != 0 else None
        if refusal and kind == "github":
            raise AssertionError(
                "expected: Teleport to take a connector of github, which needs no licence\n"
                f"seen: {_last_words(completed)}"
            )
        if refusal:
            self._teleport.disown(f"{kind}/{connector['metadata']['name']}")
            # Without the colour of `ERROR:`.
            told = refusal[0].rpartition("\x1b[0m")[2]
            raise NotApplicable(NotApplicableCode.SSO_NEEDS_ENTERPRISE, told)
        if completed.exit_code != 0:
            raise EnvironmentBroken(
                expected=f"Teleport to take a connector of {kind}",
                seen=_last_words(completed),
                remedy="see the evidence of this scenario, and the gateway's log for what GitHub was asked",
            )
        self._teleport.create(self._workstation.file("kube-access.yaml"))
        self._teleport.create_user(("access", "editor"))
        self._teleport.sign_in(with_roles=("access", "editor"))

    def map_role(self, kind: Provider) -> Mapped:
        """Maps the guide's role in a connector, as printed for that kind."""
        editor = self._home / "editor"
        editor.write_text(_EDITOR.format(role=self.names.access_role))
        editor.chmod(0o700)
        if kind not in READ:
            completed = self._workstation.guide(WRITTEN[kind], variables={"TELEPORT_EDITOR": str(editor)})
            return Mapped(**vars(completed))
        file = self._home / f"{kind}.yaml"  # removed by hand: the guide asks for it and prints no command
        first = self._workstation.guide(READ[kind])
        held = _secrets_in(file.read_text())
        steps = (
            first,
            self._workstation.run(f"{editor} {file}"),
            self._workstation.guide(WRITTEN[kind]),
        )
        file.unlink()
        return Mapped(
            script="".join(step.script for step in steps),
            exit_code=max((step.exit_code for step in steps), key=abs),
            stdout="".join(step.stdout for step in steps),
            stderr="".join(step.stderr for step in steps),
            failed=tuple(command for step in steps for command in step.failed),
            held=held,
        )

    def mapped(self, kind: Provider) -> list[tuple[dict[str, str], list[str]]]:
        """The connector's mapping as Teleport has it: each team, attribute or claim, and its roles.

        Raises:
            AssertionError: There is no such connector.
        """
        name = self._name(kind)
        found = self._teleport.get(f"{kind}/{name}")
        if found is None:
            raise AssertionError(f"expected: connector {kind}/{name} in Teleport\nseen: none")
        return [
            ({name: value for name, value in rule.items() if name != "roles"}, list(rule["roles"]))
            for rule in found["spec"][MAPPINGS[kind]]
        ]

    def named_wrongly(self, mapped: Mapped) -> tuple[str, ...]:
        """Secrets that the file held, where the one that the guide names is not among them; a finding.

        Args:
            mapped: What mapping the role left behind.
        """
        if PRIVATE_KEY in mapped.held:
            return ()
        if "+simulated" not in self._teleport.version:
            note("guide", "ts.oidc-secret", f"no {PRIVATE_KEY} is in the file, but {', '.join(mapped.held)}")
        return mapped.held

    def sign_in(self) -> tuple[str, ...]:
        """Signs in a member of a mapped team, attribute or claim by the identity provider; the roles given.

        Raises:
            NotApplicable: Always: this environment has no identity provider.
        """
        raise NotApplicable(
            NotApplicableCode.NO_IDENTITY_PROVIDER, "this environment has no identity provider"
        )

    def _name(self, kind: Provider) -> str:
        return {"github": self.names.github, "saml": self.names.saml, "oidc": self.names.oidc}[kind]

    def _connector(self, kind: Provider, secret: str) -> dict[str, Any]:
        """A connector whose mapping is the one of the guide's example, before the guide's role is added."""
        callback = f"https://tele.example.com/v1/webapi/{kind}"
        provider = "https://idp.example.com"
        client = {"client_id": "teleport", "client_secret": secret, "redirect_url": f"{callback}/callback"}
        spec = {
            "github": {**client, "display": "GitHub"},
            "saml": {
                "acs": f"{callback}/acs/mysaml",
                "issuer": provider,
                "sso": f"{provider}/sso",
                "cert": "",
            },
            "oidc": {**client, "issuer_url": provider},
        }[kind]
        return {
            "kind": kind,
            "version": "v2" if kind == "saml" else "v3",
            "metadata": {"name": self._name(kind)},
            "spec": {**spec, MAPPINGS[kind]: [{**MEMBERS[kind], "roles": ["access"]}]},
        }


def _secrets_in(text: str) -> tuple[str, ...]:
    """Which of the secrets that a connector may have are in its YAML."""
    document: Any = yaml.safe_load(text)
    found = []
    for path in SECRETS:
        value = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found += [path] if value else []
    return tuple(found)


def _last_words(completed: Completed) -> str:
    return completed.stderr.strip()[-300:] or f"exit status {completed.exit_code}"
