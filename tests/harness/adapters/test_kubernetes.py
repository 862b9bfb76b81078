"""The cluster with an administrator's eyes: requests, and the audit log as an oracle."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from harness.adapters import kubernetes
from harness.adapters.kubernetes import Cluster, end_of_lines, read_json_lines
from harness.adapters.kubernetes_api import KubernetesAPI
from harness.core.errors import EnvironmentBroken, NotObserved, Withheld
from harness.scenario import Names

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.adapters.conftest import Evidence

NAMES = Names.unique("t1")
NS = f"/api/v1/namespaces/{NAMES.namespace}"


@dataclass
class API:
    """Takes the place of `KubernetesAPI`."""

    objects: dict[str, Any] = field(default_factory=dict)
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    audit_log: Path | None = None
    deaf: int = 0
    """How many requests in another's name are shown in the log before it goes dead; 0 for all."""

    shown: int = 0

    def get(self, path: str) -> Any:
        found = self.objects.get(path)
        if isinstance(found, list):  # one state after another
            return found.pop(0) if len(found) > 1 else found[0]
        return found

    def text(self, method: str, path: str) -> str:
        return str(self.objects[path])

    def call(self, method: str, path: str, body: Any = None, *, content_type: str = "") -> Any:
        assert content_type in {"", "application/json-patch+json"}
        self.sent.append((method, path, body))
        return self.get(path) or {}

    def apply(self, manifest: Any) -> None:
        self.sent.append(("APPLY", manifest["kind"], manifest))

    def delete(self, path: str) -> None:
        self.sent.append(("DELETE", path, None))

    def collection(self, manifest: Any) -> str:
        return KubernetesAPI.collection(cast("Any", self), manifest)

    def impersonating(self, user: str, path: str) -> str:
        self.shown += 1
        audit_id = f"own-{self.shown}"
        if self.audit_log and (not self.deaf or self.shown <= self.deaf):
            write(self.audit_log, {"auditID": audit_id, "impersonatedUser": {"username": user}})
        return audit_id


def write(path: Path, *records: dict[str, Any]) -> None:
    with path.open("a") as log:
        log.writelines(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def api(log: Path) -> API:
    return API(audit_log=log)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "WATCH_SECONDS", 0.1)
    for name in ("POD_SECONDS", "ALLOWED_SECONDS"):
        monkeypatch.setattr(kubernetes, name, 0.4)


@pytest.fixture
def patient(hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For what has to be looked at more than once, however busy the machine."""
    for name in ("POD_SECONDS", "ALLOWED_SECONDS"):
        monkeypatch.setattr(kubernetes, name, 20.0)


def cluster(api: API, log: Path | None) -> Cluster:
    made: Any = Cluster
    return made(api, log, NAMES)  # type: ignore[no-any-return]  # the API in its place has no more than is used


class TestObjects:
    """What a scenario makes and reads."""

    def test_an_object_of_the_namespace_is_changed_by_a_json_patch(self, api: API, log: Path) -> None:
        changes = [{"op": "remove", "path": "/spec/x"}]
        cluster(api, log).change("StatefulSet", "teleport-agent", changes)
        path = f"/apis/apps/v1/namespaces/{NAMES.namespace}/statefulsets/teleport-agent"
        assert api.sent == [("PATCH", path, changes)]

    def test_namespace_and_service_account_are_the_scenarios(self, api: API, log: Path) -> None:
        here = cluster(api, log)
        here.create_namespace()
        here.create_service_account("arn:aws:iam::1:role/r")
        assert [manifest["metadata"]["name"] for _, _, manifest in api.sent] == [
            NAMES.namespace,
            NAMES.service_account,
        ]
        assert api.sent[1][2]["metadata"]["annotations"] == {
            "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"
        }
        assert api.sent[1][2]["metadata"]["namespace"] == NAMES.namespace

    def test_what_is_deleted_is_of_the_scenarios_namespace(self, api: API, log: Path) -> None:
        cluster(api, log).delete("RoleBinding", "teleport-agent")
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMES.namespace}/rolebindings/teleport-agent"
        assert api.sent == [("DELETE", path, None)]

    def test_service_accounts_are_those_of_the_namespace(
        self, api: API, log: Path, evidence: Evidence
    ) -> None:
        items = [{"metadata": {"name": name}} for name in ("default", "agent")]
        api.objects[f"{NS}/serviceaccounts"] = {"items": items}
        assert cluster(api, log).service_accounts() == ["default", "agent"]
        assert '"agent"' in evidence.text()

    def test_what_is_not_there_is_empty(self, api: API, log: Path) -> None:
        here = cluster(api, log)
        assert here.service_account() == {}
        assert here.service_accounts() == []
        assert here.secret("none") is None
        assert here.pods() == []

    def test_a_secret_is_decoded_and_not_written_down(self, api: API, log: Path, evidence: Evidence) -> None:
        encoded = base64.b64encode(b"a-very-private-key").decode()
        api.objects[f"{NS}/secrets/state"] = {
            "kind": "Secret",
            "metadata": {},
            "data": {".ids.kube.current": encoded},
        }
        secret = cluster(api, log).secret("state")
        assert secret is not None
        assert secret["data"] == {".ids.kube.current": b"a-very-private-key"}
        assert "a-very-private-key" not in evidence.text()
        assert encoded not in evidence.text()

    def test_a_secret_without_data_is_no_error(self, api: API, log: Path) -> None:
        api.objects[f"{NS}/secrets/state"] = {"metadata": {}, "data": None}
        assert (cluster(api, log).secret("state") or {})["data"] == {}

    def test_all_secrets_are_decoded_and_only_their_keys_are_written_down(
        self, api: API, log: Path, evidence: Evidence
    ) -> None:
        encoded = base64.b64encode(b"a-very-private-key").decode()
        api.objects[f"{NS}/secrets"] = {
            "items": [
                {"metadata": {"name": "joining"}, "type": "Opaque", "data": {"token": encoded}},
                {"metadata": {"name": "empty"}, "data": None},
                # The harness's own are nothing that the guide's reader was given.
                {"metadata": {"name": "conformance-authority"}, "data": {"ca.pem": "eA=="}},
                {"metadata": {"name": "conformance-registry"}, "data": {".dockerconfigjson": "eA=="}},
                {
                    "metadata": {"name": "sh.helm.release"},
                    "type": "helm.sh/release.v1",
                    "data": {"release": "eA=="},
                },
            ]
        }
        expected = {"joining": {"token": b"a-very-private-key"}, "empty": {}}
        assert cluster(api, log).secrets() == expected
        assert "joining" in evidence.text()
        assert "a-very-private-key" not in evidence.text()
        assert encoded not in evidence.text()

    def test_a_pod_is_run_to_its_end(self, api: API, log: Path, patient: None) -> None:
        path = f"{NS}/pods/whoami"
        api.objects[path] = [None, *({"status": {"phase": phase}} for phase in ("Pending", "Succeeded"))]
        api.objects[f"{path}/log"] = "arn:aws:sts::1:assumed-role/r/s\n"
        assert cluster(api, log).run_pod("whoami", "image", ["sts"]) == "arn:aws:sts::1:assumed-role/r/s\n"
        spec = api.sent[0][2]["spec"]
        assert spec["serviceAccountName"] == NAMES.service_account
        assert spec["restartPolicy"] == "Never"
        present = {"imagePullPolicy": "IfNotPresent"}
        assert spec["containers"] == [{"name": "main", "image": "image", "args": ["sts"], **present}]

    def test_a_pod_gets_the_runs_authority_where_nodes_do_not_give_it(
        self, api: API, log: Path, tmp_path: Path
    ) -> None:
        path = f"{NS}/pods/whoami"
        api.objects |= {path: {"status": {"phase": "Succeeded"}}, f"{path}/log": "x"}
        authority = tmp_path / "authority"
        authority.write_text("PEM")
        made: Any = Cluster
        made(api, log, NAMES, authority=authority).run_pod("whoami", "image", [])
        secret, pod = (sent[2] for sent in api.sent)
        assert secret["kind"] == "Secret"
        assert secret["data"] == {"ca.pem": base64.b64encode(b"PEM").decode()}
        spec = pod["spec"]
        (container,) = spec["containers"]
        (mount,) = container["volumeMounts"]
        assert spec["volumes"] == [
            {"name": mount["name"], "secret": {"secretName": secret["metadata"]["name"]}}
        ]
        assert container["env"] == [{"name": "AWS_CA_BUNDLE", "value": f"{mount['mountPath']}/ca.pem"}]

    def test_a_pod_finds_what_its_node_tells_it(self, api: API, log: Path) -> None:
        path = f"{NS}/pods/whoami"
        api.objects |= {path: {"status": {"phase": "Succeeded"}}, f"{path}/log": "x"}
        cluster(api, log).run_pod("whoami", "image", [], environment={"A": "1", "B": "2"})
        (container,) = api.sent[0][2]["spec"]["containers"]
        assert container["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]

    def test_version_and_issuer_are_the_api_servers(self, api: API, log: Path) -> None:
        api.objects["/version"] = {"gitVersion": "v1.32.2"}
        api.objects["/.well-known/openid-configuration"] = {"issuer": "https://issuer"}
        here = cluster(api, log)
        assert (here.version(), here.issuer()) == ("v1.32.2", "https://issuer")

    @pytest.mark.parametrize(
        ("role", "labels", "more"),
        [
            (None, None, {}),
            ("arn", None, {"annotations": {"eks.amazonaws.com/role-arn": "arn"}}),
            ("arn", {"a": "b"}, {"annotations": {"eks.amazonaws.com/role-arn": "arn"}, "labels": {"a": "b"}}),
        ],
    )
    def test_a_service_account_names_a_role_or_none(
        self, api: API, log: Path, role: str | None, labels: dict[str, str] | None, more: dict[str, Any]
    ) -> None:
        cluster(api, log).create_service_account(role, labels=labels)
        metadata = {"name": NAMES.service_account, "namespace": NAMES.namespace, **more}
        assert api.sent[0][2]["metadata"] == metadata

    def test_a_pod_that_does_not_end_is_not_observed(self, api: API, log: Path) -> None:
        api.objects[f"{NS}/pods/whoami"] = {"status": {"phase": "Running"}}
        with pytest.raises(NotObserved, match="pod whoami to run to its end\nlast seen: Running"):
            cluster(api, log).run_pod("whoami", "image", [])


class TestAllowed:
    """What RBAC says."""

    PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

    @pytest.mark.parametrize("allowed", [True, False])
    def test_rbac_is_asked_for_user_groups_and_namespace(self, api: API, log: Path, allowed: bool) -> None:
        api.objects[self.PATH] = {"status": {"allowed": allowed}}
        assert cluster(api, log).allowed("list", "pods", ["viewers"]) is allowed
        spec = api.sent[0][2]["spec"]
        assert (spec["user"], spec["groups"]) == (NAMES.user, ["viewers"])
        assert spec["resourceAttributes"] == {
            "namespace": NAMES.namespace,
            "verb": "list",
            "resource": "pods",
        }

    def test_rbac_is_asked_for_another_user(self, api: API, log: Path) -> None:
        api.objects[self.PATH] = {"status": {"allowed": True}}
        cluster(api, log).wait_allowed("list", "pods", [], user="kubernetes-bob")
        spec = api.sent[0][2]["spec"]
        assert (spec["user"], spec["groups"]) == ("kubernetes-bob", [])

    def test_a_permission_is_waited_for(self, api: API, log: Path, patient: None) -> None:
        api.objects[self.PATH] = [{"status": {"allowed": allowed}} for allowed in (False, True)]
        cluster(api, log).wait_allowed("list", "pods", ["viewers"])
        assert len(api.sent) == 2

    def test_a_permission_that_does_not_come_is_not_observed(self, api: API, log: Path) -> None:
        api.objects[self.PATH] = {"status": {"allowed": False}}
        with pytest.raises(NotObserved, match="RBAC to let viewers list pods"):
            cluster(api, log).wait_allowed("list", "pods", ["viewers"])


class TestAudit:
    """The audit log of the API server."""

    def test_who_acts_and_who_is_impersonated_are_both_found(self, api: API, log: Path) -> None:
        here = cluster(api, log)
        acting = {"auditID": "1", "user": {"username": "alice"}}
        impersonated = {
            "auditID": "2",
            "user": {"username": "system:serviceaccount:ns:sa"},
            "impersonatedUser": {"username": "alice", "groups": ["viewers"]},
        }
        other = {"auditID": "3", "user": {"username": "alice-2"}, "impersonatedUser": {"username": "bob"}}
        write(log, acting, other, impersonated, {"auditID": "4"})
        assert here.audit("alice") == [acting, impersonated]

    def test_only_what_came_later_concerns_the_scenario(self, api: API, log: Path) -> None:
        write(log, {"auditID": "old", "user": {"username": "alice"}})
        with log.open("a") as stream:
            stream.write('{"auditID": "half", "user": {"user')
        here = cluster(api, log)
        assert here.audit("alice") == []
        with log.open("a") as stream:
            stream.write('name": "alice"}}\n')
        assert [record["auditID"] for record in here.audit("alice")] == ["half"]

    def test_a_log_that_is_not_there_yet_is_empty(self, api: API, log: Path) -> None:
        here = cluster(api, log)
        assert here.audit("alice") == []
        write(log, {"auditID": "1", "user": {"username": "alice"}})
        assert len(here.audit("alice")) == 1

    def test_without_a_log_the_verdict_is_withheld(self, api: API) -> None:
        with pytest.raises(Withheld, match="no audit log") as caught:
            cluster(api, None).audit("alice")
        assert caught.value.code == "oracle-missing"


class TestUntouchedBy:
    """Watching that a user reaches nothing."""

    def test_nothing_of_the_users_is_seen_though_the_watch_could(self, api: API, log: Path) -> None:
        write(log, {"auditID": "0", "user": {"username": "bob"}})
        assert cluster(api, log).untouched_by("alice") == []
        # Before and after: what the harness asks in the user's name is on the log, and does not count.
        assert api.shown == 2

    def test_a_request_that_is_there_is_red(self, api: API, log: Path) -> None:
        here = cluster(api, log)
        write(log, {"auditID": "1", "requestURI": "/api/v1/pods", "impersonatedUser": {"username": "alice"}})
        with pytest.raises(NotObserved, match="no request of alice on the API server's audit log") as caught:
            here.untouched_by("alice")
        assert "/api/v1/pods" in str(caught.value)

    @pytest.mark.parametrize("deaf", [1, None])
    def test_a_watch_that_was_blind_says_nothing_of_the_product(
        self, api: API, log: Path, deaf: int | None
    ) -> None:
        here = cluster(api, log)
        if deaf is None:
            api.audit_log = None
        else:
            api.deaf = deaf
        with pytest.raises(EnvironmentBroken, match="blind"):
            here.untouched_by("alice")


class TestLines:
    """Reading a log that grows."""

    def test_a_half_line_is_left_for_later(self, tmp_path: Path) -> None:
        file = tmp_path / "log"
        file.write_text('{"n": 1}\n\n{"n": 2}\n{"n": 3')
        assert read_json_lines(file) == [{"n": 1}, {"n": 2}]
        assert end_of_lines(file) == len('{"n": 1}\n\n{"n": 2}\n')
        assert read_json_lines(file, end_of_lines(file)) == []

    @pytest.mark.parametrize("name", ["alice-1", "a\u00e9", 'a"b', "a<b"])
    def test_only_lines_that_name_something(self, tmp_path: Path, name: str) -> None:
        file = tmp_path / "log"
        escaped = json.dumps({"user": name}).replace("<", "\\u003c")
        file.write_text('{"user": "bob"}\n' + escaped + "\n")
        assert {"user": name} in read_json_lines(file, naming=name)
        assert read_json_lines(file, naming="alice-1") == ([{"user": name}] if name == "alice-1" else [])

    def test_a_whole_line_that_is_not_json_is_told(self, tmp_path: Path) -> None:
        file = tmp_path / "log"
        file.write_text('{"n": 1}\nnot JSON\n')
        with pytest.raises(EnvironmentBroken, match="log to hold JSON lines"):
            read_json_lines(file)

    def test_no_file_is_no_line(self, tmp_path: Path) -> None:
        assert read_json_lines(tmp_path / "none") == []
        assert end_of_lines(tmp_path / "none") == 0

    def test_half_a_line_alone_is_no_line(self, tmp_path: Path) -> None:
        file = tmp_path / "log"
        file.write_text('{"n": 1')
        assert end_of_lines(file) == 0
