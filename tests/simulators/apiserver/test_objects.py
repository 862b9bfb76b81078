"""Objects: created, read, changed, watched and deleted by the rules of the real server."""

from __future__ import annotations

import json
from typing import Any

import pytest

STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
POD = {"containers": [{"name": "c", "image": "i:1"}]}
Object = dict[str, Any]


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def refusal(answer: tuple[int, Object]) -> tuple[int, str, str]:
    return answer[0], answer[1]["reason"], answer[1]["message"]


def test_what_is_created_has_an_identity(admin: Any, maps: str, namespace: str) -> None:
    made = admin.do("POST", maps, {"metadata": {"name": "a", "uid": "mine"}, "data": {"k": "v"}})
    assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", {"k": "v"})
    meta = made["metadata"]
    assert meta["namespace"] == namespace
    assert meta["uid"] != "mine"
    assert int(meta["resourceVersion"]) > 0
    assert admin.get(f"{maps}/a") == made
    assert refusal(admin.call("POST", maps, {"metadata": {"name": "a"}})) == (
        409,
        "AlreadyExists",
        'configmaps "a" already exists',
    )


def test_names_are_generated_and_checked(admin: Any, maps: str) -> None:
    names = {
        admin.do("POST", maps, {"metadata": {"generateName": "g-"}})["metadata"]["name"] for _ in range(3)
    }
    assert len(names) == 3
    assert all(name.startswith("g-") and len(name) == 7 for name in names)
    code, reason, text = refusal(admin.call("POST", maps, {"metadata": {"name": "X_x"}}))
    assert (code, reason) == (422, "Invalid")
    assert text.startswith(
        'ConfigMap "X_x" is invalid: metadata.name: Invalid value: "X_x": a lowercase RFC 1123'
    )
    text = 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
    assert refusal(admin.call("POST", maps, {})) == (422, "Invalid", text)


def test_what_is_not_there_is_told_by_name(admin: Any, namespace: str, maps: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/zz"
    assert refusal(admin.call("GET", path)) == (404, "NotFound", 'statefulsets.apps "zz" not found')
    assert admin.call("GET", path)[1]["details"] == {"name": "zz", "group": "apps", "kind": "statefulsets"}
    assert (
        admin.call("GET", "/api/v1/nonesuch")[1]["message"]
        == "the server could not find the requested resource"
    )
    assert admin.raw("GET", "/apis/nope.k8s.io/v1") == (404, "404 page not found\n")
    other = admin.call("POST", "/api/v1/namespaces/nope/configmaps", {"metadata": {"name": "a"}})
    assert refusal(other) == (404, "NotFound", 'namespaces "nope" not found')
    wrong = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}}
    assert admin.call("POST", maps, wrong)[0] == 400
    assert admin.call("POST", maps, {"metadata": {"name": "a", "namespace": "other"}})[0] == 400
    assert admin.call("POST", maps, b"{nojson")[0] == 400
    assert admin.call("POST", maps, b"x", Content_Type="text/plain")[0] == 415


def test_a_stale_change_is_a_conflict(admin: Any, maps: str) -> None:
    first = admin.do("POST", maps, {"metadata": {"name": "a"}})
    admin.merge(f"{maps}/a", {"data": {"k": "1"}})
    text = (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes '
        "to the latest version and try again"
    )
    assert refusal(admin.call("PUT", f"{maps}/a", first | {"data": {"k": "2"}})) == (409, "Conflict", text)
    del first["metadata"]["resourceVersion"]
    assert admin.do("PUT", f"{maps}/a", first | {"data": {"k": "3"}})["data"] == {"k": "3"}
    code, reason, _ = refusal(
        admin.call(
            "PATCH", f"{maps}/a", {"metadata": {"uid": "x"}}, Content_Type="application/merge-patch+json"
        )
    )
    assert (code, reason) == (422, "Invalid")


def test_a_change_that_changes_nothing_makes_no_version(admin: Any, maps: str) -> None:
    admin.do("POST", maps, {"metadata": {"name": "a"}, "data": {"k": "1"}})
    before = admin.merge(f"{maps}/a", {"data": {"k": "2"}})
    assert admin.merge(f"{maps}/a", {"data": {"k": "2"}}) == before


def test_patches_of_each_kind(admin: Any, maps: str, pods: str) -> None:
    admin.do("POST", maps, {"metadata": {"name": "a"}, "data": {"x": "1", "y": "2"}})
    assert admin.merge(f"{maps}/a", {"data": {"x": None}})["data"] == {"y": "2"}
    operations = [
        {"op": "replace", "path": "/data/y", "value": "3"},
        {"op": "add", "path": "/data/z", "value": "4"},
    ]
    assert admin.do("PATCH", f"{maps}/a", operations, Content_Type=JSON_PATCH)["data"] == {"y": "3", "z": "4"}
    failing = [{"op": "test", "path": "/data/y", "value": "9"}]
    assert admin.call("PATCH", f"{maps}/a", failing, Content_Type=JSON_PATCH)[0] == 422
    assert admin.call("PATCH", f"{maps}/a", {})[0] == 415
    admin.do(
        "POST",
        pods,
        {
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "image": "i:1", "args": ["kept"]}]},
        },
    )
    change = {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}
    changed = admin.do("PATCH", f"{pods}/p", change, Content_Type=STRATEGIC)
    container = changed["spec"]["containers"][0]
    assert len(changed["spec"]["containers"]) == 1
    assert (container["image"], container["args"]) == ("i:2", ["kept"])


def test_server_side_apply_keeps_what_others_own(admin: Any, maps: str) -> None:
    def apply(manager: str, data: Object) -> tuple[int, Object]:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}
        path = f"{maps}/a?fieldManager={manager}&force=true"
        found: tuple[int, Object] = admin.call("PATCH", path, body, Content_Type=APPLY)
        return found

    assert apply("f1", {"x": "1", "y": "1"})[0] == 201
    status, second = apply("f2", {"z": "1"})
    assert (status, second["data"]) == (200, {"x": "1", "y": "1", "z": "1"})
    assert apply("f2", {"x": "2", "z": "1"})[1]["data"]["x"] == "2"
    assert apply("f1", {"y": "1"})[1]["data"] == {"x": "2", "y": "1", "z": "1"}, "x is f2's by now"
    assert apply("f2", {"z": "1"})[1]["data"] == {"y": "1", "z": "1"}
    assert admin.call("PATCH", f"{maps}/a", {"kind": "ConfigMap"}, Content_Type=APPLY)[0] == 422


def test_generation_counts_wishes_not_states(admin: Any, namespace: str) -> None:
    sets = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD},
    }
    made = admin.do("POST", sets, {"metadata": {"name": "d"}, "spec": spec, "status": {"replicas": 9}})
    assert made["metadata"]["generation"] == 1
    assert made["status"] == {}
    assert admin.merge(f"{sets}/d", {"status": {"replicas": 9}})["status"] == {}
    state = admin.merge(f"{sets}/d/status", {"spec": {"replicas": 5}, "status": {"replicas": 1}})
    assert (state["spec"].get("replicas"), state["status"]) == (None, {"replicas": 1})
    assert state["metadata"]["generation"] == 1
    assert admin.merge(f"{sets}/d", {"spec": {"replicas": 2}})["metadata"]["generation"] == 2


def test_deletion_answers_as_the_real_server(admin: Any, maps: str, pods: str) -> None:
    uid = admin.do("POST", maps, {"metadata": {"name": "a"}})["metadata"]["uid"]
    status, refused = admin.call("DELETE", f"{maps}/a", {"preconditions": {"uid": "x"}})
    assert (status, refused["reason"]) == (409, "Conflict")
    answer = admin.do("DELETE", f"{maps}/a")
    assert (answer["status"], answer["details"]) == (
        "Success",
        {"name": "a", "kind": "configmaps", "uid": uid},
    )
    admin.do("POST", pods, {"metadata": {"name": "p"}, "spec": POD})
    assert admin.do("DELETE", f"{pods}/p")["kind"] == "Pod"
    assert admin.call("GET", f"{pods}/p")[0] == 404, "no node had it, so nothing needs its grace period"
    assert admin.call("DELETE", f"{pods}/p")[0] == 404


def test_a_pod_on_a_node_is_deleted_by_its_kubelet(admin: Any, pods: str) -> None:
    admin.do("POST", pods, {"metadata": {"name": "p"}, "spec": POD})
    target = {"kind": "Node", "name": "n"}
    admin.do("POST", f"{pods}/p/binding", {"metadata": {"name": "p"}, "target": target})
    again = admin.call("POST", f"{pods}/p/binding", {"metadata": {"name": "p"}, "target": target})
    assert again[1]["message"].endswith('pod p is already assigned to node "n"')
    marked = admin.do("DELETE", f"{pods}/p")["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 30
    assert admin.do("DELETE", f"{pods}/p", {"gracePeriodSeconds": 60})["metadata"] == marked
    assert (
        admin.do("DELETE", f"{pods}/p", {"gracePeriodSeconds": 5})["metadata"]["deletionGracePeriodSeconds"]
        == 5
    )
    admin.do("DELETE", f"{pods}/p", {"gracePeriodSeconds": 0, "preconditions": {"uid": marked["uid"]}})
    assert admin.call("GET", f"{pods}/p")[0] == 404


def test_a_finalizer_holds_an_object(admin: Any, maps: str) -> None:
    admin.do("POST", maps, {"metadata": {"name": "a", "finalizers": ["x.y/z"]}})
    assert admin.do("DELETE", f"{maps}/a")["metadata"]["deletionTimestamp"]
    assert admin.get(f"{maps}/a")["metadata"]["finalizers"] == ["x.y/z"]
    admin.merge(f"{maps}/a", {"metadata": {"finalizers": None}})
    assert admin.call("GET", f"{maps}/a")[0] == 404


def test_a_namespace_goes_with_all_that_is_in_it(admin: Any, namespace: str, maps: str, poll: Any) -> None:
    admin.do("POST", maps, {"metadata": {"name": "a", "finalizers": ["x.y/z"]}})
    assert admin.do("DELETE", f"/api/v1/namespaces/{namespace}")["status"]["phase"] == "Terminating"
    status, refused = admin.call("POST", maps, {"metadata": {"name": "b"}})
    assert status == 403
    assert refused["message"] == (
        f'configmaps "b" is forbidden: unable to create new content in namespace {namespace} because it is being '
        "terminated"
    )
    poll(lambda: "deletionTimestamp" in admin.get(f"{maps}/a")["metadata"])
    assert admin.get(f"/api/v1/namespaces/{namespace}")["status"]["phase"] == "Terminating"
    admin.merge(f"{maps}/a", {"metadata": {"finalizers": None}})
    poll(lambda: admin.call("GET", f"/api/v1/namespaces/{namespace}")[0] == 404)
    assert admin.get("/api/v1/configmaps?fieldSelector=metadata.namespace%3D" + namespace)["items"] == []
    assert admin.call("DELETE", "/api/v1/namespaces/default")[0] == 403


def test_lists_are_selected(admin: Any, pods: str) -> None:
    for name, app in (("p1", "a"), ("p2", "b"), ("p3", "")):
        labels = {"app": app} if app else {}
        admin.do("POST", pods, {"metadata": {"name": name, "labels": labels}, "spec": POD})

    def names(query: str) -> list[str]:
        return [item["metadata"]["name"] for item in admin.get(f"{pods}?{query}")["items"]]

    assert names("limit=1") == ["p1", "p2", "p3"]
    assert names("labelSelector=app%3Da") == ["p1"]
    assert names("labelSelector=app!%3Da") == ["p2", "p3"]
    assert names("labelSelector=app+in+(a,b),app+notin+(b)") == ["p1"]
    assert names("labelSelector=!app") == ["p3"]
    assert names("labelSelector=app") == ["p1", "p2"]
    assert names("fieldSelector=metadata.name%3Dp2,status.phase%3DPending") == ["p2"]
    assert names("fieldSelector=metadata.name!%3Dp2") == ["p1", "p3"]
    assert names("fieldSelector=foo%3Dbar") == []
    assert admin.call("GET", f"{pods}?labelSelector=a+b")[0] == 400
    assert admin.call("DELETE", f"{pods}?labelSelector=app")[0] == 405


def test_a_watch_tells_each_change(admin: Any, maps: str) -> None:
    version = admin.get(maps)["metadata"]["resourceVersion"]
    admin.do("POST", maps, {"metadata": {"name": "early"}})
    watch = admin.lines(f"{maps}?watch=1&resourceVersion={version}&labelSelector=!hidden&timeoutSeconds=10")
    first = next(watch)
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "early")
    admin.merge(f"{maps}/early", {"data": {"k": "v"}})
    assert next(watch)["type"] == "MODIFIED"
    admin.merge(f"{maps}/early", {"metadata": {"labels": {"hidden": "1"}}})
    assert next(watch)["type"] == "DELETED", "it is selected no more"
    admin.merge(f"{maps}/early", {"metadata": {"labels": None}})
    assert next(watch)["type"] == "ADDED"
    admin.do("DELETE", f"{maps}/early")
    last = next(watch)
    assert (last["type"], last["object"]["data"]) == ("DELETED", {"k": "v"})
    watch.close()


def test_a_watch_can_begin_with_what_is_there(admin: Any, maps: str) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    seen = list(admin.lines(f"{maps}?{query}&timeoutSeconds=0"))
    assert [event["type"] for event in seen] == ["ADDED", "BOOKMARK", "BOOKMARK"]
    assert seen[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_ends_when_its_time_is_over_and_audits_both_ends(server: Any, admin: Any, maps: str) -> None:
    path = f"{maps}?watch=1&timeoutSeconds=0"
    assert [event["type"] for event in admin.lines(path)] == ["ADDED"]
    stages = [record["stage"] for record in server.audited() if record["requestURI"] == path]
    assert stages == ["ResponseStarted", "ResponseComplete"]


def test_an_answer_can_be_a_table(admin: Any, pods: str) -> None:
    admin.do("POST", pods, {"metadata": {"name": "p"}, "spec": POD})
    _, table = admin.call("GET", pods, Accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    assert table["kind"] == "Table"
    names = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
    assert names == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert table["rows"][0]["cells"][:4] == ["p", "0/1", "Pending", "0"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_dry_run_stores_nothing(admin: Any, maps: str) -> None:
    assert admin.do("POST", f"{maps}?dryRun=All", {"metadata": {"name": "a"}})["metadata"]["uid"]
    assert admin.call("GET", f"{maps}/a")[0] == 404


def test_secrets_are_kept_as_data(admin: Any, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    made = admin.do("POST", path, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert (made["type"], made["data"]) == ("Opaque", {"k": "dg=="})
    assert "stringData" not in made


def test_json_is_read_under_the_name_of_yaml_and_yaml_is_not(admin: Any, maps: str) -> None:
    body = {"metadata": {"name": "y"}, "data": {"k": "v"}}
    assert admin.do("POST", maps, body, Content_Type="application/yaml")["data"] == {"k": "v"}
    assert admin.call("POST", maps, b"metadata: {name: z}\n", Content_Type="application/yaml")[0] == 400


def test_discovery_tells_the_same_in_both_forms(admin: Any) -> None:
    groups = {group["name"] for group in admin.get("/apis")["groups"]}
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    connection, response = admin.open("GET", "/apis", Accept=accept)
    assert response.getheader("Content-Type", "").startswith("application/json;g=apidiscovery.k8s.io;v=v2")
    whole = json.loads(response.read())
    connection.close()
    assert {item["metadata"]["name"] for item in whole["items"]} == groups
    for item in whole["items"]:
        version = item["versions"][0]
        plain = admin.get(f"/apis/{item['metadata']['name']}/{version['version']}")["resources"]
        found = {entry["resource"] for entry in version["resources"]}
        assert found == {entry["name"] for entry in plain if "/" not in entry["name"]}


def test_attach_is_refused_and_says_so(admin: Any, pods: str) -> None:
    status, refused = admin.call("POST", f"{pods}/p/attach")
    assert (status, refused["message"]) == (501, "the simulated API server does not offer attach into pods")


def test_a_watcher_that_leaves_ends_its_watch(server: Any, admin: Any, maps: str, poll: Any) -> None:
    path = f"{maps}?watch=1&resourceVersion=0"
    watch = admin.lines(path)
    assert next(watch)["type"] == "ADDED"
    watch.close()

    def stages() -> list[str]:
        return [record["stage"] for record in server.audited() if record["requestURI"] == path]

    poll(lambda: stages() == ["ResponseStarted", "ResponseComplete"])


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (
            "/api/v1/namespaces/default/pods",
            {"spec": {}},
            'Pod "x" is invalid: spec.containers: Required value',
        ),
        (
            "/apis/apps/v1/namespaces/default/statefulsets",
            {"spec": {"template": {"spec": POD}}},
            'StatefulSet.apps "x" is invalid: spec.selector: Required value',
        ),
        (
            "/apis/batch/v1/namespaces/default/jobs",
            {"spec": {"template": {"spec": POD}}},
            (
                'Job.batch "x" is invalid: spec.template.spec.restartPolicy: Required value: valid values: '
                '"OnFailure", "Never"'
            ),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            {"roleRef": {"kind": "ClusterRole"}},
            'ClusterRoleBinding.rbac.authorization.k8s.io "x" is invalid: roleRef.name: Required value',
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            {"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User"}]},
            'ClusterRoleBinding.rbac.authorization.k8s.io "x" is invalid: subjects[0].name: Required value',
        ),
    ],
)
def test_what_cannot_be_missing(admin: Any, path: str, body: Object, text: str) -> None:
    assert refusal(admin.call("POST", path, body | {"metadata": {"name": "x"}})) == (422, "Invalid", text)


def test_what_has_the_wrong_form_is_the_sender_s_mistake(admin: Any, pods: str) -> None:
    assert admin.call("POST", pods, {"metadata": {"name": "x"}, "spec": "text"})[0] == 400
    assert admin.call("POST", pods, [])[0] == 400
    assert admin.call("GET", f"{pods}?watch=1&resourceVersion=x")[0] == 400
