"""The Teleport cluster seen from a scenario: `tctl`, the web API, a `tsh` on a terminal, the audit log."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harness.adapters import daemons, processes, teleport
from harness.adapters.teleport import Teleport, newest
from harness.adapters.teleport_server import Administrator, Server
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.environment import Completed
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.adapters.certificates import Authority
    from tests.harness.adapters.conftest import Evidence, Site

NAMES = Names.unique("t1")
INVITE = "0123456789abcdef0123456789abcdef"

TSH = """
import getpass, json, os, sys
os.chdir(os.environ["HOME"])
with open("tsh-calls", "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
command = sys.argv[1]
if command == "logout":
    if os.path.exists("profile"):
        os.remove("profile")
    sys.exit()
if command == "status":
    print(open("profile").read())
    sys.exit()
user = next(word for word in sys.argv if word.startswith("--user=")).partition("=")[2]
mode = open("mode").read() if os.path.exists("mode") else ""
if mode == "dies":
    sys.exit("ERROR: failed to reach the proxy")
if mode == "never asks":
    import time
    print("If browser window does not open automatically, open it", flush=True)
    time.sleep(60)
if mode == "echoes":
    print(f"Enter password for Teleport user {user}:", flush=True)
    given = input()
    sys.exit(f"ERROR: invalid password {given}")
given = getpass.getpass(f"Enter password for Teleport user {user}:\\n")
if given != open("password").read():
    sys.exit("ERROR: invalid username, password or second factor")
roles = open("roles").read().splitlines()
if len(roles) > 1:
    open("roles", "w").write("\\n".join(roles[1:]))
with open("profile", "w") as file:
    json.dump({"active": {"username": user, "roles": roles[0].split(",")}}, file)
print("> Profile URL: https://tele.example.com:443")
"""


@dataclass
class Tctl(Administrator):
    """Takes the place of `tctl`: remembers what it was asked and answers what it is told to."""

    asked: list[tuple[tuple[str, ...], str | None]] = field(default_factory=list)
    answers: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    later: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """Answers from the second time on."""

    def run(self, *arguments: str, stdin: str | None = None) -> Completed:
        self.asked.append((arguments, stdin))
        question = " ".join(arguments[:2])
        code, stdout, stderr = self.answers.get(question, (0, "", ""))
        if question in self.later:
            self.answers[question] = self.later.pop(question)
        return Completed(" ".join(arguments), code, stdout, stderr)


class Lab:
    """A Teleport of the test's own."""

    def __init__(self, home: Path, authority: Authority, env: dict[str, str], tsh: Path, site: Site) -> None:
        self.home = home
        self.site = site
        self.tctl: Any = Tctl()
        self.tctl.answers["users add"] = (0, json.dumps({"metadata": {"name": INVITE}}), "")
        self.server = Server(
            address=site.address,
            configuration=home / "teleport.yaml",
            audit_log=home / "events.log",
            log=home / "teleport.log",
            version="13.4.3",
        )
        self.authority = authority
        self.env = env
        self.tsh = tsh

    def attach(self, *, lasting: bool = True) -> Teleport:
        return Teleport(
            names=NAMES,
            server=self.server,
            administrator=self.tctl,
            ca_file=self.authority.pair.certificate,
            tsh=self.tsh,
            workstation=self.env,
            lasting=lasting,
        )

    def create_user(self, password: str | None = None) -> Teleport:
        """A user whose password tsh knows, and who gets the role that was asked for."""
        made = self.attach()
        made.create_user([NAMES.access_role])
        (self.home / "password").write_text(password or made._password)
        (self.home / "roles").write_text(NAMES.access_role)
        return made

    def log(self, *events: dict[str, Any]) -> None:
        with self.server.audit_log.open("a") as log:
            log.writelines(json.dumps(event) + "\n" for event in events)


@pytest.fixture
def lab(
    *,
    tmp_path: Path,
    env: dict[str, str],
    authority: Authority,
    program: Callable[..., Path],
    serve: Callable[..., Site],
    monkeypatch: pytest.MonkeyPatch,
) -> Lab:
    monkeypatch.setattr(teleport, "SIGN_IN_SECONDS", 20.0)
    # A folder that the user named may have a space.
    tsh = program(tmp_path / "unpacked teleport", "tsh", TSH)
    site = serve(lambda _: (200, {}), tls=True)
    return Lab(tmp_path / "home", authority, env, tsh, site)


class TestUser:
    """A local user and its password."""

    def test_the_password_is_set_as_the_web_page_sets_it(self, lab: Lab) -> None:
        made = lab.create_user()
        assert lab.tctl.asked[0][0] == (
            "users",
            "add",
            NAMES.user,
            f"--roles={NAMES.access_role}",
            "--format=json",
        )
        (request,) = lab.site.requests
        assert (request.method, request.path) == ("PUT", "/v1/webapi/users/password/token")
        assert request.json["token"] == INVITE
        assert base64.b64decode(request.json["password"]).decode() == made._password
        assert len(made._password) >= 16
        assert request.headers["Host"] == "tele.example.com"
        # The pair that stands against forged requests: a cookie that is sent back as a header.
        assert request.headers["X-Csrf-Token"]
        assert request.headers["Cookie"] == f"__Host-grv_csrf={request.headers['X-Csrf-Token']}"

    def test_each_user_has_another_password(self, lab: Lab) -> None:
        assert lab.create_user()._password != lab.create_user()._password

    def test_no_secret_reaches_the_evidence(self, lab: Lab, evidence: Evidence) -> None:
        made = lab.create_user()
        processes.run(["echo", INVITE, made._password], env=lab.env, cwd=lab.home)
        made.sign_in(with_roles=[NAMES.access_role])
        assert evidence.commands()
        for secret in (INVITE, made._password):
            assert secret not in evidence.text()

    def test_an_invitation_is_never_in_the_evidence(
        self, lab: Lab, program: Callable[..., Path], evidence: Evidence
    ) -> None:
        # What tctl prints is written down before anyone could read the invitation out of it. One of a
        # hard-coded text would be known from other tests.
        invitation = secrets.token_hex(16)
        printed = {
            "kind": "user_token",
            "sub_kind": "invite",
            "version": "v3",
            "metadata": {"name": invitation, "expires": "2026-01-01T00:00:00Z"},
            "spec": {
                "user": NAMES.user,
                "url": f"https://tele.example.com:443/web/invite/{invitation}",
                "created": "2026-01-01T00:00:00Z",
            },
        }
        (lab.home / "answer.json").write_text(json.dumps(printed, indent=2))
        folder = program(lab.home / "bin", "tctl", '#!/bin/sh\ncat "$HOME/answer.json"\n').parent
        lab.tctl = Administrator(folder, lab.home / "teleport.yaml", lab.env)
        made = lab.attach()
        made.create_user([NAMES.access_role])
        (request,) = lab.site.requests
        assert request.json["token"] == invitation  # it was read, all the same
        (command,) = evidence.commands()
        assert json.loads(command["stdout"])["metadata"]["name"] == "<redacted>"
        assert json.loads(command["stdout"])["spec"]["user"] == NAMES.user
        assert invitation not in evidence.text()
        assert made._password not in evidence.text()

    def test_a_password_that_is_refused_is_told(self, lab: Lab) -> None:
        lab.site.answer = lambda _: (400, {"error": {"message": "second factor required"}})
        with pytest.raises(EnvironmentBroken, match="second factor required") as caught:
            lab.attach().create_user(["access"])
        assert caught.value.seen.startswith("400: ")

    def test_a_proxy_that_does_not_answer_is_told(self, lab: Lab) -> None:
        lab.site.address = f"127.0.0.1:{daemons.free_port()}"
        lab.server = Server(**{**vars(lab.server), "address": lab.site.address})
        with pytest.raises(EnvironmentBroken, match="is the proxy still running"):
            lab.attach().create_user(["access"])

    def test_the_users_own_proxy_is_not_asked(
        self, lab: Lab, serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy = serve(lambda _: (200, {}))
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        lab.create_user()
        assert proxy.requests == []
        assert len(lab.site.requests) == 1

    def test_a_role_is_added_to_those_there_are(self, lab: Lab) -> None:
        made = lab.create_user()
        made.grant("auditor")
        assert lab.tctl.asked[-1][0] == (
            "users",
            "update",
            NAMES.user,
            f"--set-roles={NAMES.access_role},auditor",
        )


class TestSigningIn:
    """`tsh login` on a terminal."""

    def test_the_password_is_typed_on_a_terminal(self, lab: Lab) -> None:
        made = lab.create_user()
        made.sign_in(with_roles=[NAMES.access_role])
        (lab.home / ".tsh").mkdir()
        made.sign_in(with_roles=[NAMES.access_role])
        calls = (lab.home / "tsh-calls").read_text().splitlines()
        signed_in = [f"login --proxy=tele.example.com:443 --user={NAMES.user}", "status --format=json"]
        # Signed out first where there is a profile: one that is still valid would be used as it is.
        assert calls == [*signed_in, "logout", *signed_in]
        assert made._password not in "".join(calls)

    def test_it_goes_on_until_the_certificate_has_the_roles(self, lab: Lab) -> None:
        made = lab.create_user()
        (lab.home / "roles").write_text(f"old\nold\n{NAMES.access_role},more")
        made.sign_in(with_roles=["more", NAMES.access_role])
        assert (lab.home / "tsh-calls").read_text().count("login") == 3

    def test_other_roles_than_these_are_told(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        made = lab.create_user()
        (lab.home / "roles").write_text(f"{NAMES.access_role},more")
        monkeypatch.setattr(teleport, "SIGN_IN_SECONDS", 1.2)
        expected = f"{NAMES.user} to be signed in with roles {NAMES.access_role}"
        with pytest.raises(NotObserved, match=rf"(?s){expected}.*more"):
            made.sign_in(with_roles=[NAMES.access_role])

    def test_a_wrong_password_is_told(self, lab: Lab, evidence: Evidence) -> None:
        made = lab.create_user(password="another")
        with pytest.raises(EnvironmentBroken, match=r"exit status 1: .*") as caught:
            made.sign_in(with_roles=[NAMES.access_role])
        assert "invalid username, password" in caught.value.seen
        assert made._password not in str(caught.value) + evidence.text()

    def test_a_password_that_the_terminal_echoes_is_not_told(self, lab: Lab, evidence: Evidence) -> None:
        made = lab.create_user()
        (lab.home / "mode").write_text("echoes")
        with pytest.raises(EnvironmentBroken, match="invalid password") as caught:
            made.sign_in(with_roles=[NAMES.access_role])
        assert made._password not in str(caught.value)
        assert made._password not in evidence.text()

    def test_one_that_dies_is_told_with_its_last_words(self, lab: Lab) -> None:
        made = lab.create_user()
        (lab.home / "mode").write_text("dies")
        with pytest.raises(EnvironmentBroken, match="failed to reach the proxy") as caught:
            made.sign_in(with_roles=[NAMES.access_role])
        assert caught.value.expected == f"tsh to sign {NAMES.user} in"

    def test_one_that_never_asks_is_told_when_its_time_is_over(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = lab.create_user()
        (lab.home / "mode").write_text("never asks")
        monkeypatch.setattr(teleport, "SIGN_IN_SECONDS", 1.2)
        with pytest.raises(EnvironmentBroken, match="If browser window does not open"):
            made.sign_in(with_roles=[NAMES.access_role])


class TestResources:
    """Resources by `tctl`."""

    def test_a_resource_goes_by_standard_input(self, lab: Lab) -> None:
        resource = {"kind": "token", "metadata": {"name": NAMES.token}, "spec": {"roles": ["Kube"]}}
        lab.attach().create(resource)
        ((arguments, stdin),) = lab.tctl.asked
        assert arguments == ("create", "-f")
        assert json.loads(stdin or "") == resource

    def test_one_that_is_there_is_read_and_another_is_none(self, lab: Lab) -> None:
        lab.tctl.answers["get token/x"] = (0, '[{"kind": "token"}]', "")
        lab.tctl.answers["get token/y"] = (1, "", 'ERROR: provisioning token("y") not found')
        made = lab.attach()
        assert made.get("token/x") == {"kind": "token"}
        assert made.get("token/y") is None

    def test_removing_what_is_gone_is_fine_and_any_other_failure_is_not(self, lab: Lab) -> None:
        lab.tctl.answers["rm token/x"] = (1, "", "ERROR: token x not found")
        lab.tctl.answers["rm role/x"] = (1, "", "ERROR: role is in use")
        made = lab.attach()
        made.remove("token/x")
        with pytest.raises(EnvironmentBroken, match="role is in use"):
            made.remove("role/x")

    def test_removing_waits_until_it_is_gone(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(teleport, "GONE_SECONDS", 20.0)
        lab.tctl.answers["get token/x"] = (0, '[{"kind": "token"}]', "")
        lab.tctl.later["get token/x"] = (1, "", "ERROR: token x not found")
        lab.attach().remove("token/x", wait=True)
        asked = [arguments[:2] for arguments, _ in lab.tctl.asked]
        assert asked == [("rm", "token/x"), ("get", "token/x"), ("get", "token/x")]

    def test_one_that_stays_is_told(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(teleport, "GONE_SECONDS", 0.1)
        lab.tctl.answers["get token/x"] = (0, '[{"kind": "token"}]', "")
        with pytest.raises(NotObserved, match="token/x to be gone"):
            lab.attach().remove("token/x", wait=True)

    def test_a_change_that_shows_late_is_waited_for(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        looks: list[str] = []

        def late(resource: Any) -> bool:
            looks.append(resource["kind"])
            return len(looks) == 3

        lab.tctl.answers["get token/x"] = (0, '[{"kind": "token"}]', "")
        assert lab.attach().becomes("token/x", late) == {"kind": "token"}
        monkeypatch.setattr(teleport, "GONE_SECONDS", 0.1)
        with pytest.raises(NotObserved, match="token/x to be as it shall be"):
            lab.attach().becomes("token/x", lambda _: False)
        lab.tctl.answers["get token/y"] = (1, "", "ERROR: token y not found")
        with pytest.raises(NotObserved, match="token/y to be"):
            lab.attach().becomes("token/y", lambda _: True)

    @pytest.mark.parametrize("served", [True, False])
    def test_clearing_removes_what_another_run_left_under_these_names(self, lab: Lab, served: bool) -> None:
        others = [server("b", "1", "another")]
        own = [server("a", "1"), server("b", "2")] if served else []
        lab.tctl.answers["get kube_server"] = (0, json.dumps(others + own), "")
        for reference in (f"users/{NAMES.user}", f"role/{NAMES.access_role}", f"token/{NAMES.token}"):
            lab.tctl.answers[f"rm {reference}"] = (1, "", f'ERROR: "{reference}" not found')
        made = lab.attach()
        made.clear()
        removed = [arguments[1] for arguments, _ in lab.tctl.asked if arguments[0] == "rm"]
        assert removed[0] == f"users/{NAMES.user}"  # a role in use can not be removed
        assert sorted(removed[1:]) == sorted(
            [f"role/{NAMES.access_role}", f"token/{NAMES.token}"]
            + ([f"kube_server/{NAMES.cluster}"] if served else [])
        )
        lab.tctl.asked.clear()
        made.undo()
        assert lab.tctl.asked == []

    def test_what_can_not_be_cleared_is_told(self, lab: Lab) -> None:
        lab.tctl.answers["get kube_server"] = (0, "null", "")
        lab.tctl.answers[f"rm role/{NAMES.access_role}"] = (1, "", "ERROR: role is in use")
        with pytest.raises(EnvironmentBroken, match="role is in use"):
            lab.attach().clear()

    def test_undoing_removes_users_first_and_each_thing_once(self, lab: Lab) -> None:
        made = lab.attach()
        role = {"kind": "role", "metadata": {"name": NAMES.access_role}}
        made.create(role)
        made.create({"kind": "token", "metadata": {"name": NAMES.token}})
        made.create_user([NAMES.access_role])
        made.create(role)
        lab.tctl.answers[f"rm token/{NAMES.token}"] = (1, "", "ERROR: not found")
        lab.tctl.asked.clear()
        made.undo()
        assert [arguments for arguments, _ in lab.tctl.asked] == [
            ("rm", f"users/{NAMES.user}"),
            ("rm", f"role/{NAMES.access_role}"),
            ("rm", f"token/{NAMES.token}"),
        ]
        made.undo()
        assert len(lab.tctl.asked) == 3

    def test_what_counts_by_its_name_alone_goes_with_a_cluster_that_ends(self, lab: Lab) -> None:
        made = lab.attach(lasting=False)
        made.create_user([NAMES.access_role])
        for kind in ("role", "token", "user", "github", "kube_server"):
            made.create({"kind": kind, "metadata": {"name": "x"}})
        lab.tctl.asked.clear()
        made.undo()
        assert [arguments for arguments, _ in lab.tctl.asked] == [("rm", "github/x"), ("rm", "kube_server/x")]

    def test_what_the_reader_makes_is_undone_and_what_was_refused_is_not(self, lab: Lab) -> None:
        made = lab.attach()
        made.adopt("role/x")
        made.adopt("saml/x")
        made.disown("saml/x")
        made.undo()
        assert [arguments for arguments, _ in lab.tctl.asked] == [("rm", "role/x")]

    def test_what_could_not_be_created_is_undone_all_the_same(self, lab: Lab) -> None:
        made = lab.attach()
        lab.tctl.answers["create -f"] = (1, "", "ERROR: connection reset")
        with pytest.raises(EnvironmentBroken, match="connection reset"):
            made.create({"kind": "role", "metadata": {"name": "half"}})
        made.undo()
        assert lab.tctl.asked[-1][0] == ("rm", "role/half")

    def test_what_can_not_be_removed_does_not_keep_the_rest(self, lab: Lab) -> None:
        made = lab.attach()
        for name in ("one", "two"):
            made.create({"kind": "role", "metadata": {"name": name}})
        lab.tctl.answers["rm role/one"] = (1, "", "ERROR: role is in use")
        with pytest.raises(EnvironmentBroken, match="role is in use"):
            made.undo()
        assert lab.tctl.asked[-1][0] == ("rm", "role/two")


def server(host_id: str, expires: str, cluster: str = NAMES.cluster) -> dict[str, Any]:
    return {
        "metadata": {"expires": expires},
        "spec": {"host_id": host_id, "cluster": {"metadata": {"name": cluster}}},
    }


class TestOracles:
    """What is read of Teleport."""

    def test_kube_servers_are_those_of_the_scenarios_cluster(self, lab: Lab) -> None:
        own = server("a", "1")
        lab.tctl.answers["get kube_server"] = (0, json.dumps([own, server("b", "1", "another")]), "")
        assert lab.attach().kube_servers() == [own]

    def test_the_newest_of_a_host_is_the_one_that_expires_last(self) -> None:
        resources = [
            server("a", "2026-01-01T00:10:00Z"),
            server("a", "2026-01-01T00:20:00Z"),
            server("b", "2027-01-01T00:00:00Z"),
        ]
        assert newest(resources, "a") == resources[1]
        assert newest(resources, "c") is None

    def test_events_before_the_scenario_are_not_its_own(self, lab: Lab) -> None:
        lab.log({"event": "instance.join", "n": 1})
        made = lab.attach()
        lab.log({"event": "user.login", "n": 2}, {"event": "instance.join", "n": 3})
        assert made.audit("instance.join") == [{"event": "instance.join", "n": 3}]

    def test_half_a_line_is_left_for_later(self, lab: Lab) -> None:
        with lab.server.audit_log.open("a") as log:
            log.write('{"event": "instance.')
        made = lab.attach()
        assert made.audit("instance.join") == []
        with lab.server.audit_log.open("a") as log:
            log.write('join"}\n{"event": "instance.join", "n"')
        assert made.audit("instance.join") == [{"event": "instance.join"}]

    def test_a_log_that_is_not_there_yet_is_empty(self, lab: Lab) -> None:
        made = lab.attach()
        assert made.audit("instance.join") == []
        lab.log({"event": "instance.join"})
        assert made.audit("instance.join") == [{"event": "instance.join"}]

    def test_a_teleport_without_its_data_writes_another_log(self, lab: Lab) -> None:
        for name in ("first", "second"):
            (lab.home / name).touch()
        lab.server.audit_log.symlink_to(lab.home / "first")
        lab.log({"event": "instance.join", "n": 1})
        made = lab.attach()
        lab.server.audit_log.unlink()
        lab.server.audit_log.symlink_to(lab.home / "second")
        lab.log({"event": "instance.join", "n": 2})
        assert made.audit("instance.join") == [{"event": "instance.join", "n": 2}]
        # Its data are back, and it goes on where it was.
        lab.server.audit_log.unlink()
        lab.server.audit_log.symlink_to(lab.home / "first")
        lab.log({"event": "instance.join", "n": 3})
        assert made.audit("instance.join") == [{"event": "instance.join", "n": 3}]

    def test_the_proxy_is_pinged_anew(self, lab: Lab) -> None:
        lab.site.answer = lambda _: (200, {"server_version": "13.4.3"})
        assert lab.attach().ping() == {"server_version": "13.4.3"}

    def test_a_proxy_that_tells_no_version_is_told(self, lab: Lab) -> None:
        with pytest.raises(NotObserved, match="server_version"):
            lab.attach().ping()

    def test_pins_are_computed_from_what_tsh_was_given(self, lab: Lab, authority: Authority) -> None:
        made = lab.attach()
        assert made.trusted_pins() == []
        keys = lab.home / ".tsh" / "keys" / "tele.example.com"
        keys.mkdir(parents=True)
        pem = authority.pair.certificate.read_bytes()
        (keys / "certs.pem").write_bytes(pem + pem)
        key = x509.load_pem_x509_certificate(pem).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        pin = hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()
        assert made.trusted_pins() == [f"sha256:{pin}"] * 2


class TestAdministrator:
    """`tctl` beside the Auth Service."""

    def test_what_it_makes_goes_with_the_scenario(self, lab: Lab) -> None:
        made = lab.attach()
        lab.tctl.answers["get users"] = (1, "", "access denied")
        resource = {"kind": "role", "metadata": {"name": "r"}}
        assert made.administer("create", resource=resource).exit_code == 0
        assert made.administer("get", "users").exit_code == 1
        assert lab.tctl.asked == [(("create",), json.dumps(resource)), (("get", "users"), None)]
        made.undo()
        assert lab.tctl.asked[-1] == (("rm", "role/r"), None)
