"""Connectors of identity providers: made where the product has them, and mapped as printed."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any
from unittest.mock import create_autospec

import pytest
import yaml

from harness.adapters.connectors import Connectors
from harness.adapters.teleport import Teleport
from harness.adapters.workstation import Workstation
from harness.core.errors import EnvironmentBroken, NotApplicable, NotApplicableCode
from harness.core.findings import FindingsOfScenario, current_findings
from harness.core.redaction import redact
from harness.environment import Completed, Mapped
from harness.scenario import Names

if TYPE_CHECKING:
    from pathlib import Path

    from harness.environment import Provider

NAMES = Names.unique("t1")
SECRET = "not-a-secret-of-anyone"
KEY, CLIENT = "spec.signing_key_pair.private_key", "spec.client_secret"
FIELDS = {"github": "teams_to_roles", "saml": "attributes_to_roles", "oidc": "claims_to_roles"}


def completed(stderr: str = "", exit_code: int = 0) -> Completed:
    return Completed("tctl", exit_code, "", stderr, ("tctl",) if exit_code else ())


class Machine:
    """A workstation whose `tctl get` writes a connector, and on which scripts run."""

    def __init__(self, home: Path, spec: dict[str, Any]) -> None:
        self.home, self.spec = home, spec
        self.guided: list[tuple[str, dict[str, str] | None]] = []

    def guide(self, claim: str, *, variables: dict[str, str] | None = None) -> Completed:
        self.guided.append((claim, variables))
        if claim.endswith("-secret"):
            kind = claim.removeprefix("ts.").removesuffix("-secret")
            rules = [{"name": "groups", "roles": ["access"]}]
            document = {"kind": kind, "spec": {**self.spec, FIELDS[kind]: rules}}
            (self.home / f"{kind}.yaml").write_text(yaml.safe_dump(document))
        elif claim in {"ts.saml", "ts.oidc"}:
            kind = claim.removeprefix("ts.")
            self.written = yaml.safe_load((self.home / f"{kind}.yaml").read_text())
        return completed()

    def run(self, script: str) -> Completed:
        ended = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
        return Completed(script, ended.returncode, ended.stdout, ended.stderr)


def connectors(folder: Path, **ports: Any) -> Connectors:
    found = {
        "teleport": create_autospec(Teleport, instance=True),
        "workstation": create_autospec(Workstation, instance=True),
        **ports,
    }
    return Connectors(names=NAMES, home=folder, **found)


@pytest.mark.parametrize("kind", ["github", "saml", "oidc"])
def test_a_connector_maps_what_the_guide_maps_before_its_role(tmp_path: Path, kind: Provider) -> None:
    teleport = create_autospec(Teleport, instance=True)
    teleport.administer.return_value = completed()
    connectors(tmp_path, teleport=teleport).create(kind)
    resource = teleport.administer.call_args.kwargs["resource"]
    name = {"github": NAMES.github, "saml": NAMES.saml, "oidc": NAMES.oidc}[kind]
    assert (resource["kind"], resource["metadata"]["name"]) == (kind, name)
    assert [rule["roles"] for rule in resource["spec"][FIELDS[kind]]] == [["access"]]
    # Its secret is known as one from now on.
    secret = resource["spec"].get("client_secret")
    assert kind == "saml" or secret not in str(redact(json.dumps(resource)))
    teleport.sign_in.assert_called_once_with(with_roles=("access", "editor"))


@pytest.mark.parametrize(
    "told",
    [
        "\x1b[31mERROR: \x1b[0mSAML is only available in Teleport Enterprise\n\n",
        "ERROR: GitHub organization octocats uses external SSO, please purchase a Teleport Enterprise license\n",
    ],
)
def test_what_needs_a_licence_does_not_apply(tmp_path: Path, told: str) -> None:
    teleport = create_autospec(Teleport, instance=True)
    teleport.administer.return_value = completed(told, 1)
    with pytest.raises(NotApplicable) as raised:
        connectors(tmp_path, teleport=teleport).create("saml")
    assert raised.value.code == NotApplicableCode.SSO_NEEDS_ENTERPRISE
    assert "\x1b" not in raised.value.text
    assert "Teleport Enterprise" in raised.value.text
    # Nothing was made, so nothing has to be removed.
    teleport.disown.assert_called_once_with(f"saml/{NAMES.saml}")
    teleport.create_user.assert_not_called()


def test_github_needs_no_licence(tmp_path: Path) -> None:
    teleport = create_autospec(Teleport, instance=True)
    told = "ERROR: GitHub organization octocats uses external SSO, please purchase a Teleport Enterprise license\n"
    teleport.administer.return_value = completed(told, 1)
    with pytest.raises(AssertionError, match="which needs no licence"):
        connectors(tmp_path, teleport=teleport).create("github")


def test_a_warning_about_a_licence_is_no_refusal(tmp_path: Path) -> None:
    teleport = create_autospec(Teleport, instance=True)
    told = "SAML is only available in Teleport Enterprise\n"
    teleport.administer.return_value = completed(told, 0)
    connectors(tmp_path, teleport=teleport).create("saml")
    teleport.sign_in.assert_called_once()


def test_any_other_refusal_breaks_the_scenario(tmp_path: Path) -> None:
    teleport = create_autospec(Teleport, instance=True)
    teleport.administer.return_value = completed("Unknown error trying to reach GitHub", 1)
    with pytest.raises(EnvironmentBroken, match="trying to reach GitHub"):
        connectors(tmp_path, teleport=teleport).create("github")


def test_github_is_edited_in_an_editor(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    mapped = connectors(tmp_path, workstation=machine).map_role("github")
    editor = str(tmp_path / "editor")
    assert machine.guided == [("ts.github", {"TELEPORT_EDITOR": editor})]
    assert (mapped.failed, mapped.held) == ((), ())
    file = tmp_path / "resource.yaml"
    file.write_text(
        "spec:\n  teams_to_roles:\n  - organization: octocats\n    roles:\n    - access\n    team: admins\n"
    )
    subprocess.run([editor, str(file)], check=True)
    assert yaml.safe_load(file.read_text())["spec"]["teams_to_roles"] == [
        {"organization": "octocats", "roles": ["access", NAMES.access_role], "team": "admins"}
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "held"),
    [
        ("saml", {"signing_key_pair": {"private_key": SECRET, "cert": "c"}}, (KEY,)),
        ("saml", {"signing_key_pair": {"private_key": "", "cert": "c"}}, ()),
        ("oidc", {"client_secret": SECRET}, (CLIENT,)),
        ("oidc", {"client_secret": ""}, ()),
        ("oidc", {"client_secret": SECRET, "signing_key_pair": {"private_key": SECRET}}, (KEY, CLIENT)),
    ],
)
def test_a_file_is_read_edited_applied_and_removed(
    tmp_path: Path, kind: Provider, spec: dict[str, Any], held: tuple[str, ...]
) -> None:
    machine = Machine(tmp_path, spec)
    mapped = connectors(tmp_path, workstation=machine).map_role(kind)
    assert [claim for claim, _ in machine.guided] == [f"ts.{kind}-secret", f"ts.{kind}"]
    assert machine.written["spec"][FIELDS[kind]][0]["roles"] == ["access", NAMES.access_role]
    assert (mapped.held, mapped.exit_code, mapped.failed) == (held, 0, ())
    assert SECRET not in f"{mapped}"
    assert not (tmp_path / f"{kind}.yaml").exists()


def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    (tmp_path / "saml.yaml").write_text("kind: saml\n")
    workstation = create_autospec(Workstation, instance=True)
    workstation.guide.side_effect = [completed("no such connector", 1), completed()]
    workstation.run.side_effect = machine.run
    mapped = connectors(tmp_path, workstation=workstation).map_role("saml")
    assert (mapped.exit_code, mapped.failed, "no such connector" in mapped.stderr) == (1, ("tctl",), True)


def test_whom_a_connector_maps_to_which_roles_is_read(tmp_path: Path) -> None:
    teleport = create_autospec(Teleport, instance=True)
    rules = [
        {"organization": "octocats", "team": "admins", "roles": ["access"]},
        {"organization": "octocats", "team": "others", "roles": ["b", "c"]},
        {"roles": []},
    ]
    teleport.get.return_value = {"spec": {"teams_to_roles": rules}}
    found = connectors(tmp_path, teleport=teleport)
    assert found.mapped("github") == [
        ({"organization": "octocats", "team": "admins"}, ["access"]),
        ({"organization": "octocats", "team": "others"}, ["b", "c"]),
        ({}, []),
    ]
    teleport.get.assert_called_once_with(f"github/{NAMES.github}")
    teleport.get.return_value = None
    with pytest.raises(AssertionError, match=r"seen: none"):
        found.mapped("github")


@pytest.mark.parametrize(
    ("held", "expected"), [((CLIENT,), (CLIENT,)), ((KEY,), ()), ((KEY, CLIENT), ())], ids=str
)
def test_a_secret_that_the_guide_does_not_name_is_a_finding(
    tmp_path: Path, held: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    findings = FindingsOfScenario("roles.oidc-secret-as-printed")
    token = current_findings.set(findings)
    for version in ("13.0.0-dev+simulated", "13.0.0-dev"):
        teleport = create_autospec(Teleport, instance=True)
        teleport.version = version
        seen = connectors(tmp_path, teleport=teleport).named_wrongly(Mapped("tctl", 0, "", "", (), held))
        assert seen == expected
        # A simulated Teleport finds out nothing about the guide.
        found = ["ts.oidc-secret"] if expected and "simulated" not in version else []
        assert [finding.claim for finding in findings.noted] == found
    current_findings.reset(token)


def test_the_lab_has_no_identity_provider(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable) as raised:
        connectors(tmp_path).sign_in()
    assert raised.value.code == NotApplicableCode.NO_IDENTITY_PROVIDER
