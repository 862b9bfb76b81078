"""The controllers, with the test in the part of the kubelet."""

from __future__ import annotations

from typing import Any

import pytest

RBAC = "/apis/rbac.authorization.k8s.io/v1"
Object = dict[str, Any]


def template(image: str = "i:1") -> Object:
    containers = [{"name": "c", "image": image}]
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": containers}}


class Workloads:
    """Makes workloads in a namespace and plays their kubelet."""

    def __init__(self, admin: Any, namespace: str, poll: Any) -> None:
        self.admin = admin
        self.poll = poll
        self.core = f"/api/v1/namespaces/{namespace}"
        self.sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
        self.jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"

    def stateful_set(self, **spec: Any) -> Object:
        wanted = {
            "serviceName": "s",
            "selector": {"matchLabels": {"app": "a"}},
            "template": template(),
        } | spec
        made: Object = self.admin.do("POST", self.sets, {"metadata": {"name": "s"}, "spec": wanted})
        return made

    def job(self, policy: str = "Never", **spec: Any) -> Object:
        pod = template()
        pod["spec"]["restartPolicy"] = policy
        wanted = {"metadata": {"name": "j"}, "spec": {"template": pod} | spec}
        made: Object = self.admin.do("POST", self.jobs, wanted)
        return made

    def pod(self, name: str) -> Object:
        found: Object = self.poll(lambda: self.admin.get(f"{self.core}/pods/{name}"))
        return found

    def pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.admin.get(f"{self.core}/pods")["items"]]

    def run(self, name: str) -> Object:
        """Bring a pod to a node, and let it be ready."""
        pod = self.pod(name)
        if not pod["spec"].get("nodeName"):
            self.admin.do(
                "POST", f"{self.core}/pods/{name}/binding", {"target": {"kind": "Node", "name": "n"}}
            )
        self.state(name, "Running", ready=True)
        return pod

    def state(self, name: str, phase: str, *, ready: bool = False, restarts: int = 0) -> None:
        status = {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": "c", "ready": ready, "restartCount": restarts, "state": {}}],
        }
        self.admin.merge(f"{self.core}/pods/{name}/status", {"status": status})

    def end(self, name: str) -> None:
        """What the kubelet does once a deleted pod has stopped."""
        self.admin.do("DELETE", f"{self.core}/pods/{name}", {"gracePeriodSeconds": 0})

    def leaving(self, name: str) -> Object:
        found: Object = self.poll(
            lambda: self.pod(name)["metadata"].get("deletionTimestamp") and self.pod(name)
        )
        return found


@pytest.fixture
def workloads(admin: Any, namespace: str, poll: Any) -> Workloads:
    return Workloads(admin, namespace, poll)


def test_each_namespace_has_an_account_and_the_authority(
    server: Any, admin: Any, namespace: str, poll: Any
) -> None:
    place = f"/api/v1/namespaces/{namespace}"
    published = poll(lambda: admin.get(f"{place}/configmaps/kube-root-ca.crt"))
    assert published["data"] == {"ca.crt": (server.folder / "ca.pem").read_text()}
    account = admin.get(f"{place}/serviceaccounts/default")["metadata"]["uid"]
    admin.do("DELETE", f"{place}/serviceaccounts/default")
    poll(lambda: admin.get(f"{place}/serviceaccounts/default")["metadata"]["uid"] != account)


def test_roles_aggregate_what_their_labels_select(admin: Any, namespace: str, poll: Any) -> None:
    rule = {"apiGroups": ["x.example"], "resources": [namespace], "verbs": ["get"]}
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    path = f"{RBAC}/clusterroles"
    admin.do("POST", path, {"metadata": {"name": namespace, "labels": labels}, "rules": [rule]})
    for role in ("view", "edit", "admin"):
        poll(lambda role=role: rule in admin.get(f"{path}/{role}")["rules"])
    admin.do("DELETE", f"{path}/{namespace}")
    poll(lambda: rule not in admin.get(f"{path}/admin")["rules"])
    resources = {r for rule in admin.get(f"{path}/view")["rules"] for r in rule["resources"]}
    assert "pods" in resources
    assert "secrets" not in resources


def test_what_is_owned_goes_with_its_owner(admin: Any, workloads: Workloads) -> None:
    maps = f"{workloads.core}/configmaps"
    uid = admin.do("POST", maps, {"metadata": {"name": "owner"}})["metadata"]["uid"]
    other = admin.do("POST", maps, {"metadata": {"name": "other"}})["metadata"]["uid"]

    def reference(name: str, uid: str) -> Object:
        return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}

    owners = {"one": [reference("owner", uid)], "two": [reference("owner", uid), reference("other", other)]}
    for name, references in owners.items():
        admin.do("POST", maps, {"metadata": {"name": name, "ownerReferences": references}})
    admin.do("DELETE", f"{maps}/owner")
    workloads.poll(lambda: admin.call("GET", f"{maps}/one")[0] == 404)
    assert admin.call("GET", f"{maps}/two")[0] == 200, "it has another owner"
    admin.do("POST", maps, {"metadata": {"name": "late", "ownerReferences": owners["one"]}})
    workloads.poll(lambda: admin.call("GET", f"{maps}/late")[0] == 404)


def test_a_stateful_set_starts_its_pods_in_order(admin: Any, workloads: Workloads) -> None:
    made = workloads.stateful_set(replicas=2)
    pod = workloads.pod("s-0")
    assert pod["spec"]["hostname"] == "s-0"
    assert pod["spec"]["subdomain"] == "s"
    assert pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "s-0"
    assert pod["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    workloads.poll(lambda: admin.get(f"{workloads.sets}/s")["status"].get("replicas") == 1)
    assert workloads.pods() == ["s-0"], "the second waits for the first"
    workloads.run("s-0")
    workloads.run("s-1")
    wanted = {
        "replicas": 2,
        "readyReplicas": 2,
        "updatedReplicas": 2,
        "currentReplicas": 2,
        "observedGeneration": 1,
    }
    workloads.poll(lambda: wanted.items() <= admin.get(f"{workloads.sets}/s")["status"].items())
    status = admin.get(f"{workloads.sets}/s")["status"]
    assert status["currentRevision"] == status["updateRevision"]
    admin.merge(f"{workloads.sets}/s", {"spec": {"replicas": 1}})
    workloads.leaving("s-1")
    workloads.end("s-1")
    workloads.poll(lambda: admin.get(f"{workloads.sets}/s")["status"]["replicas"] == 1)
    assert workloads.pods() == ["s-0"]


def test_a_deleted_pod_has_a_successor(workloads: Workloads, admin: Any) -> None:
    workloads.stateful_set()
    uid = workloads.run("s-0")["metadata"]["uid"]
    admin.do("DELETE", f"{workloads.core}/pods/s-0")
    assert workloads.leaving("s-0")["metadata"]["uid"] == uid
    workloads.end("s-0")
    workloads.poll(lambda: workloads.pod("s-0")["metadata"]["uid"] != uid)


def test_a_new_template_replaces_ready_pods_one_by_one_from_the_last(
    workloads: Workloads, admin: Any
) -> None:
    workloads.stateful_set(replicas=2)
    for name in ("s-0", "s-1"):
        workloads.run(name)
    workloads.poll(lambda: admin.get(f"{workloads.sets}/s")["status"].get("readyReplicas") == 2)
    admin.merge(f"{workloads.sets}/s", {"spec": {"template": template("i:2")}})
    for name, other in (("s-1", "s-0"), ("s-0", "s-1")):
        workloads.leaving(name)
        assert "deletionTimestamp" not in workloads.pod(other)["metadata"]
        workloads.end(name)
        workloads.poll(lambda name=name: workloads.pod(name)["spec"]["containers"][0]["image"] == "i:2")
        workloads.run(name)
    workloads.poll(lambda: admin.get(f"{workloads.sets}/s")["status"]["updatedReplicas"] == 2)
    workloads.poll(
        lambda: len(set(map(_revision, workloads.admin.get(f"{workloads.core}/pods")["items"]))) == 1
    )


def _revision(pod: Object) -> str:
    return str(pod["metadata"]["labels"]["controller-revision-hash"])


def test_a_pod_that_is_not_ready_is_not_replaced(workloads: Workloads, admin: Any) -> None:
    workloads.stateful_set()
    workloads.run("s-0")
    workloads.state("s-0", "Running", ready=False)
    changed = admin.merge(f"{workloads.sets}/s", {"spec": {"template": template("i:2")}})
    generation = changed["metadata"]["generation"]
    workloads.poll(lambda: admin.get(f"{workloads.sets}/s")["status"]["observedGeneration"] == generation)
    assert "deletionTimestamp" not in workloads.pod("s-0")["metadata"]
    workloads.state("s-0", "Running", ready=True)
    workloads.leaving("s-0")


def test_a_pod_that_is_refused_is_told_and_tried_again(workloads: Workloads, admin: Any) -> None:
    wanted = template()
    wanted["spec"]["serviceAccountName"] = "late"
    workloads.stateful_set(template=wanted)

    def refused() -> list[str]:
        events = admin.get(f"{workloads.core}/events")["items"]
        return [event["message"] for event in events if event["reason"] == "FailedCreate"]

    text = workloads.poll(refused)[0]
    assert text.startswith("create Pod s-0 in StatefulSet s failed error: ")
    assert text.endswith('serviceaccount "late" not found')
    admin.do("POST", f"{workloads.core}/serviceaccounts", {"metadata": {"name": "late"}})
    assert workloads.pod("s-0")["spec"]["serviceAccountName"] == "late"


def test_a_stateful_set_goes_at_once_and_its_pods_after_it(workloads: Workloads, admin: Any) -> None:
    workloads.stateful_set()
    workloads.run("s-0")
    path = f"{workloads.sets}/s"
    for policy in ("Foreground", "Orphan"):
        status, refused = admin.call("DELETE", path, {"propagationPolicy": policy})
        assert (status, "other than Background" in refused["message"]) == (501, True)
    status, answer = admin.call("DELETE", path, {"propagationPolicy": "Background"})
    assert (status, answer["kind"]) == (200, "Status")
    assert admin.call("GET", path)[0] == 404
    workloads.leaving("s-0")
    workloads.end("s-0")
    workloads.poll(lambda: workloads.pods() == [])


def test_what_nothing_would_act_on_is_refused(workloads: Workloads, admin: Any) -> None:
    made = workloads.stateful_set(replicas=0)
    claims = {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}}
    change = admin.call(
        "PATCH",
        f"{workloads.sets}/{made['metadata']['name']}",
        claims,
        Content_Type="application/merge-patch+json",
    )
    assert (change[0], "spec.volumeClaimTemplates" in change[1]["message"]) == (501, True)


def test_a_job_is_complete_when_its_pod_succeeded(workloads: Workloads, admin: Any) -> None:
    made = workloads.job()
    assert made["metadata"]["labels"]["job-name"] == "j"
    (name,) = workloads.poll(workloads.pods)
    assert workloads.pod(name)["metadata"]["labels"]["job-name"] == "j"
    workloads.poll(lambda: admin.get(f"{workloads.jobs}/j")["status"].get("active") == 1)
    workloads.state(name, "Succeeded")
    status = workloads.poll(lambda: _status_with(admin.get(f"{workloads.jobs}/j"), "Complete"))
    assert status["succeeded"] == 1
    assert status["completionTime"]
    assert "active" not in status
    assert workloads.pods() == [name]
    admin.do("DELETE", f"{workloads.jobs}/j", {"propagationPolicy": "Background"})
    workloads.poll(lambda: workloads.pods() == [])


def _status_with(job: Object, condition: str) -> Object | None:
    status: Object = job["status"]
    found = {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}
    return status if condition in found else None


def test_a_job_has_failed_when_its_limit_is_passed(workloads: Workloads, admin: Any) -> None:
    workloads.job(backoffLimit=1)
    (first,) = workloads.poll(workloads.pods)
    workloads.state(first, "Failed")
    second = workloads.poll(lambda: [name for name in workloads.pods() if name != first])
    workloads.state(second[0], "Failed")
    status = workloads.poll(lambda: _status_with(admin.get(f"{workloads.jobs}/j"), "Failed"))
    reasons = {c["reason"] for c in status["conditions"]}
    assert reasons == {"BackoffLimitExceeded"}
    assert status["failed"] == 2


def test_restarts_count_as_failures(workloads: Workloads, admin: Any) -> None:
    workloads.job("OnFailure", backoffLimit=2)
    (name,) = workloads.poll(workloads.pods)
    workloads.state(name, "Running", restarts=1)
    workloads.poll(lambda: admin.get(f"{workloads.jobs}/j")["status"].get("active") == 1)
    workloads.state(name, "Running", restarts=2)
    assert workloads.poll(lambda: _status_with(admin.get(f"{workloads.jobs}/j"), "Failed"))
    workloads.poll(lambda: workloads.pods() == [])
