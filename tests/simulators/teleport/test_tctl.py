"""`tctl`, command lines and the web API: forms as observed, refusals as worded by 13.0.0-dev."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKEN = """\
kind: token
version: v2
metadata:
  name: {name}
spec:
  roles: [Kube]
  join_method: iam
  allow:
  - aws_account: "123456789012"
    aws_arn: "arn:aws:sts::123456789012:assumed-role/kube-iam-role/*"
"""


def error(text: str) -> str:
    return f"\x1b[31mERROR: \x1b[0m{text}\n\n"


@pytest.mark.parametrize("program", ["teleport", "tctl", "tsh"])
@pytest.mark.parametrize("major", ["13", "17"])
def test_version_says_that_it_is_simulated(lab: Any, program: str, major: str) -> None:
    done = lab.spawn(program, "version", env={**lab.env(), "CONFORMANCE_SIMULATED_TELEPORT": major})
    found = re.search(r"Teleport (?:Enterprise )?v(\S+)", done.stdout)
    assert found
    version = Version(found[1])
    assert (version.major, version.local) == (int(major), "simulated")


def test_version_that_is_not_imitated(lab: Any) -> None:
    done = lab.run("tctl", "version", env={**lab.env(), "CONFORMANCE_SIMULATED_TELEPORT": "16"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected 13 or 17, seen '16'" in done.stderr


def test_ping_has_the_form_of_the_real_one(lab: Any, observed: Callable[[str], Any]) -> None:
    status, seen = lab.https("GET", "/v1/webapi/ping")
    real = observed("webapi-ping.json")
    assert status == 200
    assert set(seen) == set(real)
    assert {name: set(part) for name, part in seen["proxy"].items() if isinstance(part, dict)} == {
        name: set(part) for name, part in real["proxy"].items() if isinstance(part, dict)
    }
    assert Version(seen["server_version"]).local == "simulated"


def test_status_has_the_form_of_the_real_one(lab: Any, observed: Callable[[str], Any]) -> None:
    seen, real = lab.tctl("status").stdout, observed("tctl-status.txt")
    assert [line.split("  ")[0] for line in seen.splitlines()] == [
        line.split("  ")[0] for line in real.splitlines()
    ]
    assert {len(line) for line in seen.splitlines()} == {len(line) for line in real.splitlines()}
    assert "+simulated" in seen


def test_token_is_replaced_without_a_word_and_lives_half_an_hour(
    lab: Any, tmp_path: Path, observed: Callable[[str], Any]
) -> None:
    name = lab.unique("token")
    (tmp_path / "token.yaml").write_text(TOKEN.format(name=name))
    for _ in range(2):
        done = lab.tctl("create", str(tmp_path / "token.yaml"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    seen, real = lab.get(f"token/{name}"), observed("tctl-get-token.json")
    assert [list(one) for one in seen] == [list(one) for one in real]
    assert seen[0]["spec"] == real[0]["spec"]
    table = lab.tctl("tokens", "ls").stdout
    assert re.search(
        rf"^{name} +Kube +\d\d \w{{3}} \d\d \d\d:\d\d UTC \((29m5\ds|30m0s)\) +$", table, re.MULTILINE
    )
    text = lab.tctl("get", f"token/{name}").stdout
    assert '  - aws_account: "123456789012"\n    aws_arn: arn:aws:sts::' in text
    assert lab.tctl("rm", f"token/{name}").stdout == f'token "{name}" has been deleted\n'


def test_token_of_17_lives_for_ever(tmp_path: Path) -> None:
    from simulators.teleport import resources  # noqa: PLC0415  # one test speaks to it directly
    from simulators.teleport.decisions import Decisions  # noqa: PLC0415  # the same
    from simulators.teleport.texts import Imitation  # noqa: PLC0415  # the same

    given = {"metadata": {"name": "t"}, "spec": {"roles": ["Kube"], "join_method": "token"}}
    assert "expires" not in resources.token(given, Imitation(17), Decisions())["metadata"]
    assert "expires" in resources.token(given, Imitation(13), Decisions())["metadata"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"allow": []}, 'the "iam" join method requires defined token allow rules'),
        ({"roles": []}, "provisioning token is missing roles"),
        ({"roles": ["Kubernetes"]}, "role Kubernetes is not registered"),
        ({"allow": [{}]}, 'allow rule for "ec2" join method must set "aws_account" or "aws_arn"'),
        ({"join_method": "magic"}, 'unknown join method "magic"'),
        ({"join_method": "token"}, 'allow rules are not compatible with the "token" join method'),
        (
            {"join_method": None, "allow": [{"aws_account": "1", "aws_arn": "a"}]},
            'the "ec2" join method does not support the "aws_arn" parameter',
        ),
        (
            {"allow": [{"aws_account": 1}]},
            (
                "types.ProvisionTokenV2.Spec: types.ProvisionTokenSpecV2.Allow: []*types.TokenRule: "
                'types.TokenRule.AWSAccount: ReadString: expects " or n, but found 1'
            ),
        ),
    ],
)
def test_token_that_is_refused(lab: Any, change: dict[str, Any], text: str) -> None:
    spec = {"roles": ["Kube"], "join_method": "iam", "allow": [{"aws_account": "1"}], **change}
    resource = {"kind": "token", "version": "v2", "metadata": {"name": "refused"}, "spec": spec}
    done = lab.tctl("create", "-f", stdin=json.dumps(resource))
    assert (done.returncode, done.stderr) == (1, error(text))
    assert lab.tctl("get", "token/refused").returncode == 1


def test_role_needs_force_and_cannot_go_while_in_use(lab: Any) -> None:
    role, user = lab.unique("role"), lab.unique("bob")
    resource = json.dumps(
        {"kind": "role", "version": "v5", "metadata": {"name": role}, "spec": {"allow": {}}}
    )
    assert lab.tctl("create", stdin=resource).stdout == f"role '{role}' has been created\n"
    again = lab.tctl("create", stdin=resource)
    assert again.stderr == error(f"use -f or --force flag to overwrite\nrole '{role}' already exists")
    assert lab.tctl("create", "-f", stdin=resource).returncode == 0
    assert lab.tctl("users", "add", user, f"--roles={role}").returncode == 0
    assert "still in use by a user" in lab.tctl("rm", f"role/{role}").stderr
    assert lab.tctl("rm", f"users/{user}").stdout == f'user "{user}" has been deleted\n'
    assert lab.tctl("rm", f"role/{role}").stdout == f'role "{role}" has been deleted\n'
    events = [(event["event"], event["code"]) for event in lab.audit("role.created", name=role)]
    assert events == [("role.created", "T9000I")] * 2


def test_role_version_that_is_too_new(lab: Any) -> None:
    resource = json.dumps({"kind": "role", "version": "v7", "metadata": {"name": "x"}, "spec": {"allow": {}}})
    assert lab.tctl("create", stdin=resource).stderr == error('role version "v7" is not supported')


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("get", "token/none"), "provisioning token(***e) not found"),
        (("get", "role/none"), "role none is not found"),
        (("rm", "users/none"), 'user "none" is not found'),
        (("rm", "kube_server/none"), 'kubernetes server "none" not found'),
        (("users", "update", "none", "--set-roles=access"), 'user "none" is not found'),
        (("users", "add", "new", "--roles=none"), "role none is not found"),
        (("get", "token,role", "--format=json"), "mixed resource types only support YAML formatting"),
    ],
)
def test_what_is_not_there(lab: Any, arguments: tuple[str, ...], text: str) -> None:
    done = lab.tctl(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", error(text))


def test_nothing_is_null_in_json(lab: Any, viewer: tuple[str, Path]) -> None:
    # As a user who sees no cluster, whatever other tests have made.
    _, home = lab.user("editor")
    done = lab.run("tctl", "get", "kube_server", "--format=json", env=lab.env(home))
    assert (done.returncode, done.stdout) == (0, "null\n")


def test_signed_in_user_may_what_the_roles_say(lab: Any, outsider: tuple[str, Path]) -> None:
    _, home = lab.user("access", "editor")
    name = lab.unique("token")
    assert lab.run("tctl", "create", env=lab.env(home), stdin=TOKEN.format(name=name)).returncode == 0
    assert name in lab.run("tctl", "get", f"token/{name}", env=lab.env(home)).stdout
    refused = lab.run("tctl", "get", "token", env=lab.env(outsider[1]))
    denied = 'access denied to perform action "{0}" on "token"'
    assert refused.stderr == error(f"{denied.format('list')}, {denied.format('read')}")
    assert lab.run("tctl", "status", env=lab.env(outsider[1])).returncode == 0


def test_without_profile_or_configuration(lab: Any) -> None:
    done = lab.run("tctl", "status", env=lab.env(lab.home()))
    assert (done.returncode, done.stderr) == (1, error("no profile provided and no current profile"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("tctl", "auth", "sign"),
        ("tctl", "get", "token", "--nosuch"),
        ("tctl", "--identity=x", "status"),
        ("tsh", "ssh", "host"),
        ("tsh", "kube", "ls", "--all"),
        ("teleport", "start", "--nosuch"),
        ("teleport", "configure"),
        ("frobnicate",),
    ],
)
def test_what_is_not_simulated_is_refused(lab: Any, arguments: tuple[str, ...]) -> None:
    done = lab.run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "simulated" in done.stderr
    assert "Traceback" not in done.stderr


def test_configuration_with_something_unknown(lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "teleport.yaml"
    path.write_text(lab.configuration.read_text().replace("proxy_listener_mode", "proxy_listener_moed"))
    done = lab.spawn("teleport", "start", "-c", str(path))
    assert done.returncode == 1
    assert "auth_service.proxy_listener_moed: this key is not simulated" in done.stderr


def test_only_who_has_the_secret_is_the_administrator(lab: Any, tmp_path: Path) -> None:
    path, data = tmp_path / "teleport.yaml", lab.configuration.parent / "data"
    path.write_text(lab.configuration.read_text().replace(str(data), str(tmp_path)))
    refused = lab.run("tctl", "-c", str(path), "status")
    assert "expected the secret of the Auth Service's administrator" in refused.stderr
    (tmp_path / "simulated-administrator.secret").write_text("another")
    refused = lab.run("tctl", "-c", str(path), "status")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == error("access denied: expected a client certificate")


def test_auth_service_listens_on_loopback_alone(lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "teleport.yaml"
    path.write_text(
        re.sub(r"listen_addr: 127.0.0.1:", "listen_addr: 0.0.0.0:", lab.configuration.read_text())
    )
    done = lab.spawn("teleport", "start", "-c", str(path))
    assert done.returncode == 1
    assert "auth_service.listen_addr: only a loopback address is simulated" in done.stderr


def test_secrets_are_private_and_in_no_log(lab: Any, viewer: tuple[str, Path]) -> None:
    data = lab.configuration.parent / "data"
    private = [
        *data.glob("authorities/*.key"),
        data / "simulated-administrator.secret",
        data / "backend" / "state.json",
    ]
    private += [path for path in (viewer[1] / ".tsh" / "keys").rglob("*") if path.is_file()]
    assert len(private) >= 7
    assert {path.stat().st_mode & 0o077 for path in private} == {0}
    logs = "".join(path.read_text() for path in lab.folder.glob("simulators.teleport-*.log"))
    assert "correct horse battery" not in logs + lab.audit_log.read_text()
    assert "PRIVATE KEY" not in logs


def test_texts_tell_their_provenance(lab: Any) -> None:
    env = {**lab.env(), "CONFORMANCE_SIMULATED_TELEPORT": "17"}
    table = json.loads(lab.run("texts", env=env).stdout)["texts"]
    assert {row["provenance"] for row in table.values()} <= {"read", "inferred"}
    measured = json.loads(lab.run("texts").stdout)["texts"]
    assert measured["no-kubernetes-groups"]["provenance"] == "measured"


def test_state_survives_the_auth_service(lab: Any, wait: Callable[..., Any]) -> None:
    from simulators.teleport.store import Store  # noqa: PLC0415  # reads the file as a second start would

    path = lab.configuration.parent / "data" / "backend" / "state.json"
    name = lab.token("role")
    again = wait(lambda: (kept := Store(path)).tokens.get(name) and kept)
    assert not again.fresh
    assert again.tokens[name]["spec"]["join_method"] == "iam"


def test_a_user_may_read_the_roles_of_ones_own_alone(lab: Any, outsider: tuple[str, Path]) -> None:
    env = lab.env(outsider[1])
    assert lab.run("tctl", "get", "roles/access", "--format=json", env=env).returncode == 0
    refused = lab.run("tctl", "get", "roles/editor", env=env)
    assert refused.stderr == error('access denied to perform action "read" on "role"')
