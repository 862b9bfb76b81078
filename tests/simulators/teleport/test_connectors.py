"""Connectors of identity providers: taken, shown, edited and removed as 13.0.0-dev's `tctl` does it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from simulators.teleport.connectors import Connectors
from simulators.teleport.decisions import Decisions
from simulators.teleport.errors import TeleportError
from simulators.teleport.faults import FAULTS
from simulators.teleport.store import Store
from simulators.teleport.texts import Imitation

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "not-a-secret-of-anyone"
RULES = {
    "github": {"teams_to_roles": [{"organization": "octocats", "team": "admins", "roles": ["access"]}]},
    "saml": {"attributes_to_roles": [{"name": "groups", "value": "my-group", "roles": ["access", "more"]}]},
    "oidc": {"claims_to_roles": [{"claim": "groups", "value": "my-group", "roles": ["access", "more"]}]},
}


def connector(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    secret = {} if kind == "saml" else {"client_secret": SECRET}
    return {
        "kind": kind,
        "version": "v3",
        "metadata": {"name": name},
        "spec": {"client_id": "teleport", **secret, **RULES[kind], **spec},
    }


def error(text: str) -> str:
    return f"\x1b[31mERROR: \x1b[0m{text}\n\n"


@pytest.fixture
def github(lab: Any) -> str:
    """A connector of GitHub; its name."""
    name = str(lab.unique("github"))
    done = lab.tctl("create", stdin=json.dumps(connector("github", name)))
    assert (done.returncode, done.stdout) == (
        0,
        f'authentication connector "{name}" has been created\n',
    ), done.stderr
    return name


class TestGithub:
    """What 13.0.0-dev was seen to do."""

    def test_its_secret_is_shown_on_request_alone(self, lab: Any, github: str) -> None:
        (plain,) = lab.get(f"github/{github}")
        (whole,) = json.loads(lab.tctl("get", f"github/{github}", "--with-secrets", "--format=json").stdout)
        assert plain["spec"].pop("client_secret") == ""
        assert whole["spec"].pop("client_secret") == SECRET
        assert plain == whole
        assert plain == {
            "kind": "github",
            "version": "v3",
            "metadata": {"name": github},
            "spec": {
                "client_id": "teleport",
                "redirect_url": "",
                "teams_to_logins": None,
                "display": "",
                **RULES["github"],
                "endpoint_url": "",
            },
        }

    def test_one_that_is_there_is_replaced_by_force_alone(self, lab: Any, github: str) -> None:
        document = json.dumps(connector("github", github, display="another"))
        done = lab.tctl("create", stdin=document)
        message = f'use -f or --force flag to overwrite\nauthentication connector "{github}" already exists'
        assert (done.returncode, done.stderr) == (1, error(message))
        assert lab.tctl("create", "-f", stdin=document).returncode == 0
        assert lab.get(f"github/{github}")[0]["spec"]["display"] == "another"

    def test_one_that_maps_nothing_is_refused(self, lab: Any) -> None:
        done = lab.tctl("create", stdin=json.dumps(connector("github", "empty", teams_to_roles=[])))
        message = "team_to_logins or team_to_roles mapping is invalid, no mappings defined."
        assert (done.returncode, done.stderr) == (1, error(message))

    def test_an_editor_changes_it_and_sees_its_secret(self, lab: Any, github: str, tmp_path: Path) -> None:
        editor = tmp_path / "editor"
        editor.write_text(
            f'#!/bin/sh\ngrep -q {SECRET} "$1" && exec sed -i "s/- access/- access\\n    - more/" "$1"\n'
        )
        editor.chmod(0o700)
        env = lab.env(tmp_path, TELEPORT_EDITOR=str(editor))
        done = lab.tctl("edit", f"github/{github}", env=env)
        assert (done.returncode, done.stderr) == (0, "")
        assert lab.get(f"github/{github}")[0]["spec"]["teams_to_roles"][0]["roles"] == ["access", "more"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["editor"]

    @pytest.mark.parametrize(
        ("editor", "code", "stdout", "stderr"),
        [
            ("true", 0, "edit canceled, no changes made\n", ""),
            (
                "false",
                1,
                "",
                error(
                    "skipping resource update, editor did not complete successfully: exit status 1",
                ),
            ),
            (
                "/nowhere/editor",
                1,
                "",
                error("could not start editor /nowhere/editor: No such file or directory"),
            ),
        ],
    )
    def test_an_editor_that_changes_nothing_changes_nothing(  # each is another fact
        self, lab: Any, github: str, *, editor: str, code: int, stdout: str, stderr: str
    ) -> None:
        before = lab.get(f"github/{github}")
        done = lab.tctl("edit", f"github/{github}", env=lab.env(TELEPORT_EDITOR=editor))
        assert (done.returncode, done.stdout, done.stderr) == (code, stdout, stderr)
        assert lab.get(f"github/{github}") == before

    def test_one_that_is_removed_is_gone(self, lab: Any, github: str) -> None:
        assert lab.tctl("rm", f"github/{github}").stdout == f'github connector "{github}" has been deleted\n'
        done = lab.tctl("rm", f"github/{github}")
        assert done.stderr == error(f"key /web/connectors/github/connectors/{github} is not found")


@pytest.mark.parametrize(("kind", "title"), [("saml", "SAML"), ("oidc", "OIDC")])
def test_others_need_a_licence(lab: Any, kind: str, title: str) -> None:
    done = lab.tctl("create", "-f", stdin=json.dumps(connector(kind, "one")))
    assert (done.returncode, done.stderr) == (1, error(f"{title} is only available in Teleport Enterprise"))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("github/none", 'github connector "none" is not configured'),
        ("saml/none", 'SAML connector "none" is not configured'),
        ("oidc/none", "OpenID connector 'none' is not configured"),
    ],
)
def test_one_that_is_not_there_is_told(lab: Any, reference: str, message: str) -> None:
    assert lab.tctl("get", reference, "--with-secrets").stderr == error(message)
    twice = f"could not get resource {reference}: {message}\n{message}"
    assert lab.tctl("edit", reference).stderr == error(twice)


def test_who_may_edit_nothing_sees_none(lab: Any, viewer: tuple[str, Path]) -> None:
    done = lab.run("tctl", "get", "github", env=lab.env(viewer[1]))
    assert "access denied" in done.stderr


class TestWithLicence:
    """What a licensed cluster would do with SAML and OIDC: the scenarios' faults rest on it."""

    @staticmethod
    def connectors(store: Store, fault: str = "") -> Connectors:
        """Those that a store remembers."""
        decisions = dataclasses.replace(Decisions(), connector_kept=lambda _, spec: spec)
        auth: Any = SimpleNamespace(
            authorize=lambda *_: None,
            decisions=FAULTS[fault](decisions) if fault else decisions,
            imitation=Imitation(13),
            store=store,
        )
        return Connectors(auth, SimpleNamespace())  # type: ignore[arg-type]  # GitHub alone is reached

    def taken(self, folder: Path, kind: str, fault: str = "", *, secrets: bool = True) -> dict[str, Any]:
        # What a file remembers, as a service that was started again has it.
        store = Store(folder / "state.json")
        connectors, caller = self.connectors(store, fault), SimpleNamespace(name="alice")
        told = asyncio.run(connectors.create(caller, connector(kind, "one"), force=True))  # type: ignore[arg-type]  # nobody asks who it is
        assert told == "authentication connector 'one' has been created\n"
        store.flush()
        (found,) = connectors.get(caller, kind, "one", secrets=secrets)  # type: ignore[arg-type]  # the same
        return dict(found["spec"])

    def test_saml_gets_a_key_that_stays(self, tmp_path: Path) -> None:
        key = self.taken(tmp_path, "saml")["signing_key_pair"]["private_key"]
        assert "PRIVATE KEY" in key
        assert self.taken(tmp_path, "saml")["signing_key_pair"]["private_key"] == key
        assert self.taken(tmp_path, "saml", secrets=False)["signing_key_pair"]["private_key"] == ""

    def test_oidc_keeps_its_secret(self, tmp_path: Path) -> None:
        assert self.taken(tmp_path, "oidc")["client_secret"] == SECRET
        assert self.taken(tmp_path, "oidc", secrets=False)["client_secret"] == ""
        assert "signing_key_pair" not in self.taken(tmp_path, "oidc")

    @pytest.mark.parametrize("kind", ["saml", "oidc"])
    def test_the_mapping_is_kept(self, tmp_path: Path, kind: str) -> None:
        assert RULES[kind].items() <= self.taken(tmp_path, kind).items()

    @pytest.mark.parametrize("kind", ["saml", "oidc"])
    def test_faults_spoil_what_is_kept(self, tmp_path: Path, kind: str) -> None:
        field = next(iter(RULES[kind]))
        assert self.taken(tmp_path, kind, "connectors-lose-their-mapping")[field][0]["roles"] == ["access"]
        others = self.taken(tmp_path, kind, "connectors-map-others")[field][0]
        assert (others["value"], others["roles"]) == ("other-my-group", RULES[kind][field][0]["roles"])
        bare = self.taken(tmp_path, kind, "connectors-without-secrets")
        assert {"client_secret", "signing_key_pair"} & set(bare) == set()
        assert self.taken(tmp_path, kind, "every-connector-has-a-key")["signing_key_pair"]["private_key"]

    def test_one_without_a_name_is_refused(self, tmp_path: Path) -> None:
        connectors, caller = self.connectors(Store(tmp_path / "state.json")), SimpleNamespace()
        with pytest.raises(TeleportError, match="missing parameter Name"):
            asyncio.run(connectors.create(caller, connector("oidc", ""), force=False))  # type: ignore[arg-type]  # nobody asks who it is
