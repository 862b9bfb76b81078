"""What is decided and computed, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulators.apiserver import apply, decisions, patches, protobuf, requests, selectors, tables
from simulators.apiserver.decisions import Attributes, Decisions
from simulators.apiserver.kinds import of
from simulators.apiserver.objects import User
from simulators.apiserver.status import StatusError
from simulators.apiserver.store import Store

PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


@pytest.mark.parametrize(
    ("rule", "asked", "allowed"),
    [
        (PODS, Attributes("get", "", "pods", "p", "n"), True),
        (PODS, Attributes("list", "", "pods"), False),
        (PODS, Attributes("get", "apps", "pods"), False),
        (PODS, Attributes("get", "", "pods/log"), False),
        (PODS | {"resources": ["*"]}, Attributes("get", "", "pods/log"), True),
        (PODS | {"resources": ["*/log"]}, Attributes("get", "", "pods/log"), True),
        (PODS | {"resources": ["*/log"]}, Attributes("get", "", "pods"), False),
        (PODS | {"verbs": ["*"], "apiGroups": ["*"]}, Attributes("watch", "x", "pods"), True),
        (PODS | {"resourceNames": ["p"]}, Attributes("get", "", "pods", "p"), True),
        (PODS | {"resourceNames": ["p"]}, Attributes("get", "", "pods", "q"), False),
        (PODS, Attributes("get", path="/version"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, Attributes("get", path="/api/v1"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, Attributes("get", path="/apis"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, Attributes("get", "", "pods"), False),
    ],
)
def test_rules(rule: dict[str, list[str]], asked: Attributes, allowed: bool) -> None:
    assert decisions.rule_allows(rule, asked) is allowed


def test_subjects() -> None:
    user = User("system:serviceaccount:n:a", ("g",))
    assert decisions.subject_is_user({"kind": "ServiceAccount", "name": "a", "namespace": "n"}, user, "")
    assert decisions.subject_is_user({"kind": "ServiceAccount", "name": "a"}, user, "n")
    assert not decisions.subject_is_user({"kind": "ServiceAccount", "name": "a"}, user, "m")
    assert decisions.subject_is_user({"kind": "Group", "name": "g"}, user, "")
    assert not decisions.subject_is_user({"kind": "User", "name": "g"}, user, "")
    assert not decisions.everything_allowed(User("system:masters", ("g",)))


def test_impersonated_groups() -> None:
    accounts = ("system:serviceaccounts", "system:serviceaccounts:n")
    assert decisions.impersonated_groups((), ()) == ("system:authenticated",)
    assert decisions.impersonated_groups(("g",), accounts) == ("g", "system:authenticated")
    assert decisions.impersonated_groups((), accounts) == (*accounts, "system:authenticated")
    assert decisions.impersonated_groups(("system:unauthenticated",), ()) == ("system:unauthenticated",)


def test_tokens_count_from_their_beginning_to_their_end() -> None:
    assert decisions.token_unexpired(10, 20, 10)
    assert decisions.token_unexpired(10, 20, 19.9)
    assert not decisions.token_unexpired(10, 20, 9)
    assert not decisions.token_unexpired(10, 20, 20)


def test_webhooks_are_chosen() -> None:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["pods"]}
    webhook = {
        "rules": [rule],
        "namespaceSelector": {"matchExpressions": [{"key": "n", "operator": "NotIn", "values": ["x"]}]},
        "objectSelector": {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
    }
    called = decisions.webhook_called
    assert called(webhook, "CREATE", "/v1/pods", ({"n": "y"}, {}))
    assert not called(webhook, "CREATE", "/v1/pods", ({"n": "x"}, {}))
    assert not called(webhook, "CREATE", "/v1/pods", ({}, {"skip": "1"}))
    assert not called(webhook, "UPDATE", "/v1/pods", ({}, {}))
    assert not called(webhook, "CREATE", "apps/v1/pods", ({}, {}))


def test_jobs_give_up_after_failures_or_restarts() -> None:
    gives_up = decisions.job_gives_up
    assert [gives_up(failed, 0, 1) for failed in (0, 1, 2)] == [False, False, True]
    assert [gives_up(0, restarts, 2) for restarts in (0, 1, 2)] == [False, False, True]
    assert [gives_up(0, restarts, 0) for restarts in (0, 1)] == [False, True]


def test_each_decision_can_be_replaced_alone() -> None:
    changed = Decisions(rule_allows=lambda rule, asked: True)
    assert changed.rule_allows({}, Attributes("get"))
    assert changed.job_complete is Decisions().job_complete


@pytest.mark.parametrize(
    ("method", "path", "query", "verb", "place"),
    [
        ("GET", "/api/v1/pods", {}, "list", ("", "", "pods", "", "", "")),
        ("GET", "/api/v1/pods", {"watch": "true"}, "watch", ("", "", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/n/pods/p/log", {}, "get", ("", "n", "pods", "p", "log", "n")),
        (
            "POST",
            "/apis/apps/v1/namespaces/n/statefulsets",
            {},
            "create",
            ("apps", "n", "statefulsets", "", "", "n"),
        ),
        ("GET", "/api/v1/namespaces", {}, "list", ("", "", "namespaces", "", "", "")),
        ("PUT", "/api/v1/namespaces/n/finalize", {}, "update", ("", "n", "namespaces", "n", "finalize", "")),
        ("DELETE", "/api/v1/namespaces/n", {}, "delete", ("", "n", "namespaces", "n", "", "")),
        ("DELETE", "/api/v1/namespaces/n/pods", {}, "deletecollection", ("", "n", "pods", "", "", "n")),
        ("GET", "/apis/apps/v1", {}, "get", ("", "", "", "", "", "")),
        ("GET", "/version", {}, "get", ("", "", "", "", "", "")),
    ],
)
def test_request_lines(
    method: str, path: str, query: dict[str, str], verb: str, place: tuple[str, ...]
) -> None:
    found = requests.target(method, path, query)
    assert found.verb == verb
    seen = (found.group, found.namespace, found.plural, found.name, found.subresource, found.place)
    assert seen == place


def test_strategic_patches_know_keys_and_directives() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    target = {"env": env, "args": ["x"], "finalizers": ["f"], "ports": [{"containerPort": 1, "name": "a"}]}
    change: dict[str, Any] = {
        "$setElementOrder/env": [{"name": "B"}],
        "env": [{"name": "A", "$patch": "delete"}, {"name": "C", "value": "3"}],
        "args": ["y"],
        "finalizers": ["g"],
        "ports": [{"containerPort": 1, "name": "b"}],
    }
    assert patches.strategic(target, change) == {
        "env": [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
        "args": ["y"],
        "finalizers": ["f", "g"],
        "ports": [{"containerPort": 1, "name": "b"}],
    }
    assert target["env"] == env
    assert patches.strategic({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}) == {"a": {"c": 2}}
    removal = {"$deleteFromPrimitiveList/finalizers": ["f"]}
    assert patches.strategic({"finalizers": ["f", "g"]}, removal) == {"finalizers": ["g"]}


def test_json_patches() -> None:
    operations = [
        {"op": "add", "path": "/a/0", "value": "x"},
        {"op": "add", "path": "/a/-", "value": "z"},
        {"op": "replace", "path": "/m~1n", "value": 2},
        {"op": "test", "path": "/b", "value": 1},
        {"op": "remove", "path": "/b"},
    ]
    assert patches.json_patch({"a": ["y"], "b": 1, "m/n": 1}, operations) == {"a": ["x", "y", "z"], "m/n": 2}
    for wrong in (
        {"op": "remove", "path": "/q"},
        {"op": "replace", "path": "/q", "value": 1},
        {"op": "what"},
    ):
        with pytest.raises(StatusError):
            patches.json_patch({}, [wrong])


def test_apply_merges_keyed_lists_and_drops_what_is_applied_no_more() -> None:
    live = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}

    def wanted(*names: str) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": name, "image": "i", "args": ["1"]} for name in names]}}

    first = apply.apply(live, wanted("a", "b"), "m")
    both = apply.apply(first, wanted("c"), "n")
    assert [c["name"] for c in both["spec"]["containers"]] == ["a", "b", "c"]
    less = apply.apply(both, wanted("b"), "m")
    assert [c["name"] for c in less["spec"]["containers"]] == ["b", "c"]
    again = apply.apply(less, wanted("b"), "m")
    assert again == less, "an apply that changes nothing"
    assert "spec" not in live


def test_apply_keeps_the_fields_of_what_was_an_empty_object() -> None:
    live = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}
    empty = apply.apply(live, {"metadata": {"annotations": {}}}, "m")
    filled = apply.apply(empty, {"metadata": {"annotations": {"k": "v"}}}, "m")
    assert filled["metadata"]["annotations"] == {"k": "v"}


def test_protobuf_of_the_wire() -> None:
    """A Namespace as kubectl sends it, with the bytes written out."""
    meta = b"\x0a\x01n" + b"\x5a\x06\x0a\x01k\x12\x01v"
    unknown = b"\x0a\x0f\x0a\x02v1\x12\x09Namespace" + bytes([0x12, len(meta) + 2, 0x0A, len(meta)]) + meta
    assert protobuf.decode(b"k8s\0" + unknown) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "n", "labels": {"k": "v"}},
    }
    for broken in (b"", b"k8s\0", b"k8s\0" + unknown[:-3], b"k8s\0\xff"):
        with pytest.raises(StatusError) as seen:
            protobuf.decode(broken)
        assert seen.value.code == 400
    with pytest.raises(StatusError) as seen:
        protobuf.decode(b"k8s\0" + unknown.replace(b"Namespace", b"Unheardof"))
    assert seen.value.code == 415


def test_ages_are_printed_as_by_kubectl() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def shown(seconds: int) -> str:
        return tables.age((now - timedelta(seconds=seconds)).isoformat(), now.isoformat())

    spans = [0, 119, 120, 330, 599, 600, 10799, 10800, 28799, 28800, 172799, 172800, 691200]
    printed = ["0s", "119s", "2m", "5m30s", "9m59s", "10m", "179m", "3h", "7h59m", "8h", "47h", "2d", "8d"]
    assert [shown(seconds) for seconds in spans] == printed
    assert tables.age("") == "<unknown>"


@pytest.mark.parametrize(
    ("status", "printed"),
    [
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Running", "containerStatuses": [{"state": {"running": {}}, "ready": True}]}, "Running"),
        (
            {
                "phase": "Running",
                "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
            },
            "CrashLoopBackOff",
        ),
        (
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]},
            "ExitCode:3",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [{"state": {"running": {}}}]},
            "Init:0/1",
        ),
    ],
)
def test_the_status_column_of_pods(status: dict[str, Any], printed: str) -> None:
    meta = {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}
    pod = {"metadata": meta, "spec": {"containers": [{}], "initContainers": [{}]}, "status": status}
    row = tables.table("pods", [pod], {}, "None")["rows"][0]
    assert row["cells"][2] == printed
    leaving = pod | {"metadata": meta | {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert tables.table("pods", [leaving], {}, "None")["rows"][0]["cells"][2] == "Terminating"


def test_old_versions_are_gone() -> None:
    store, maps = Store(history=3), of("configmaps")
    for number in range(5):
        store.put(maps, {"metadata": {"name": f"m{number}", "namespace": "n"}})
    assert [change.object["metadata"]["name"] for change in store.since(store.version - 3)] == [
        "m2",
        "m3",
        "m4",
    ]
    with pytest.raises(StatusError) as seen:
        store.since(store.version - 4)
    assert (seen.value.code, seen.value.reason) == (410, "Expired")


def test_selectors_of_objects() -> None:
    assert selectors.matches_labels({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"})
    assert selectors.matches_labels({}, {})
    assert not selectors.matches_labels(None, {})
    with pytest.raises(StatusError):
        selectors.labels("a b")
