"""Who is let in, who may do what, and what the audit log tells of it."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any

import jwt
import pytest

VIEW = "/apis/rbac.authorization.k8s.io/v1"
Object = dict[str, Any]


def token_for(admin: Any, namespace: str, account: str = "default", **spec: Any) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return str(admin.do("POST", path, {"spec": spec})["status"]["token"])


def bind(admin: Any, namespace: str, role: Object, subject: Object) -> None:
    place = f"{VIEW}/namespaces/{namespace}"
    admin.do("POST", f"{place}/roles", {"metadata": {"name": "r"}, "rules": [role]})
    reference = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    admin.do(
        "POST",
        f"{place}/rolebindings",
        {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]},
    )


def test_nobody_may_see_the_version_and_nothing_else(server: Any) -> None:
    nobody = server.client()
    assert nobody.call("GET", "/version")[0] == 200
    assert nobody.raw("GET", "/readyz") == (200, "ok")
    status, refused = nobody.call("GET", "/api/v1/pods")
    assert status == 403
    assert refused["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope'
    )


def test_credentials_that_do_not_count_are_unauthorized(server: Any) -> None:
    status, refused = server.client(token="nonsense").call("GET", "/version")
    assert (status, refused["reason"], refused["message"]) == (401, "Unauthorized", "Unauthorized")


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        (
            "GET",
            "/apis/apps/v1/namespaces/n/statefulsets",
            (
                'statefulsets.apps is forbidden: User "jane" cannot list resource "statefulsets" in API group "apps" '
                'in the namespace "n"'
            ),
        ),
        (
            "GET",
            "/api/v1/namespaces/n/pods/p/log",
            'pods "p" is forbidden: User "jane" cannot get resource "pods/log" in API group "" in the namespace "n"',
        ),
        (
            "DELETE",
            "/api/v1/namespaces/n/pods",
            (
                'pods is forbidden: User "jane" cannot deletecollection resource "pods" in API group "" in the '
                'namespace "n"'
            ),
        ),
        (
            "GET",
            "/api/v1/namespaces/n",
            (
                'namespaces "n" is forbidden: User "jane" cannot get resource "namespaces" in API group "" in the '
                'namespace "n"'
            ),
        ),
        (
            "GET",
            "/api/v1/secrets?watch=1&fieldSelector=metadata.name%3Ds",
            (
                'secrets "s" is forbidden: User "jane" cannot watch resource "secrets" in API group "" at the '
                "cluster scope"
            ),
        ),
        ("GET", "/metrics", 'forbidden: User "jane" cannot get path "/metrics"'),
    ],
)
def test_refusals_read_as_the_real_ones(server: Any, method: str, path: str, text: str) -> None:
    status, refused = server.client("jane").call(method, path)
    assert (status, refused["reason"], refused["message"]) == (403, "Forbidden", text)


def test_view_may_read_and_neither_write_nor_read_secrets(server: Any, admin: Any, namespace: str) -> None:
    name = f"viewers-{namespace}"
    subject = {"kind": "Group", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}
    body = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    pods, secrets = (f"/api/v1/namespaces/{namespace}/{kind}" for kind in ("pods", "secrets"))
    viewer = server.client("vic", name)
    assert viewer.call("GET", pods)[0] == 403
    admin.do("POST", f"{VIEW}/clusterrolebindings", body)
    assert viewer.call("GET", pods)[0] == 200
    assert viewer.call("DELETE", f"{pods}/p")[0] == 403
    assert viewer.call("GET", secrets)[0] == 403
    assert (
        viewer.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "c"}})[0]
        == 403
    )
    admin.do("DELETE", f"{VIEW}/clusterrolebindings/{name}")
    assert viewer.call("GET", pods)[0] == 403


def test_a_role_that_does_not_exist_is_told(server: Any, admin: Any, namespace: str) -> None:
    reference = {"kind": "ClusterRole", "name": "nonesuch"}
    body = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [{"kind": "User", "name": "rob"}]}
    admin.do("POST", f"{VIEW}/namespaces/{namespace}/rolebindings", body)
    _, refused = server.client("rob").call("GET", f"/api/v1/namespaces/{namespace}/pods")
    assert refused["message"].endswith(': RBAC: clusterrole.rbac.authorization.k8s.io "nonesuch" not found')


def test_resource_names_limit_a_rule(server: Any, admin: Any, namespace: str) -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["mine"]}
    bind(admin, namespace, rule, {"kind": "User", "name": "sue"})
    sue, place = server.client("sue"), f"/api/v1/namespaces/{namespace}/secrets"
    assert sue.call("GET", f"{place}/mine")[0] == 404
    assert sue.call("GET", f"{place}/other")[0] == 403
    assert sue.call("GET", place)[0] == 403


def test_a_service_account_token_is_signed_and_counts(server: Any, admin: Any, namespace: str) -> None:
    token = token_for(admin, namespace, audiences=["sts.amazonaws.com"], expirationSeconds=900)
    keys = admin.get("/openid/v1/jwks")["keys"]
    discovered = admin.get("/.well-known/openid-configuration")
    key = next(key for key in keys if key["kid"] == jwt.get_unverified_header(token)["kid"])
    claims = jwt.decode(
        token, jwt.PyJWK(key), algorithms=["RS256"], audience="sts.amazonaws.com", issuer=discovered["issuer"]
    )
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default"
    assert claims["exp"] - claims["iat"] == 900
    assert server.client(token=token).call("GET", "/version")[0] == 401, "it is not for this server"
    own = server.client(token=token_for(admin, namespace))
    review = own.do("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    info = review["status"]["userInfo"]
    assert info["username"] == f"system:serviceaccount:{namespace}:default"
    assert info["groups"] == [
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        "system:authenticated",
    ]


def test_a_token_ends_with_its_account(server: Any, admin: Any, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    admin.do("POST", path, {"metadata": {"name": "a"}})
    client = server.client(token=token_for(admin, namespace, "a"))
    assert client.call("GET", "/version")[0] == 200
    admin.do("DELETE", f"{path}/a")
    assert client.call("GET", "/version")[0] == 401
    admin.do("POST", path, {"metadata": {"name": "a"}})
    assert client.call("GET", "/version")[0] == 401, "another account of the same name"


def test_a_token_ends_with_the_pod_it_is_bound_to(server: Any, admin: Any, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"nodeName": "", "containers": [{"name": "c", "image": "i:1"}]}
    admin.do("POST", pods, {"metadata": {"name": "p"}, "spec": spec})
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    client = server.client(token=token_for(admin, namespace, boundObjectRef=bound))
    assert client.call("GET", "/version")[0] == 200
    admin.do("DELETE", f"{pods}/p")
    assert client.call("GET", "/version")[0] == 401


def test_forged_and_expired_tokens_do_not_count(server: Any, admin: Any, namespace: str) -> None:
    token = token_for(admin, namespace)
    head, claims, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(claims + "=="))
    forged = (
        base64.urlsafe_b64encode(json.dumps(content | {"sub": "system:admin"}).encode()).rstrip(b"=").decode()
    )
    assert server.client(token=f"{head}.{forged}.{signature}").call("GET", "/version")[0] == 401
    now = int(time.time())
    key = (server.folder / "sa.key").read_text()
    expired = jwt.encode(content | {"exp": now - 1}, key, algorithm="RS256")
    current = jwt.encode(content | {"exp": now + 60}, key, algorithm="RS256")
    assert server.client(token=expired).call("GET", "/version")[0] == 401
    assert server.client(token=current).call("GET", "/version")[0] == 200


def test_token_requests_are_refused_as_by_the_real_server(admin: Any, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    assert admin.call("POST", f"{accounts}/zz/token", {})[1]["message"] == 'serviceaccounts "zz" not found'
    status, refused = admin.call("POST", f"{accounts}/default/token", {"spec": {"expirationSeconds": 5}})
    assert status == 422
    assert refused["message"] == (
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 5: may not '
        "specify a duration less than 10 minutes"
    )


def test_impersonation_needs_the_right_and_gives_the_other_s(server: Any, admin: Any, namespace: str) -> None:
    agent = server.client(token=token_for(admin, namespace))
    pods = f"/api/v1/namespaces/{namespace}/pods"
    status, refused = agent.acting_as("jane").call("GET", pods)
    user = f"system:serviceaccount:{namespace}:default"
    assert (status, refused["message"]) == (
        403,
        (
            f'users "jane" is forbidden: User "{user}" cannot impersonate resource "users" in API group "" at the '
            "cluster scope"
        ),
    )
    name = f"impersonators-{namespace}"
    rules = [{"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]}]
    admin.do("POST", f"{VIEW}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    binding = {
        "metadata": {"name": name},
        "roleRef": {"kind": "ClusterRole", "name": name},
        "subjects": [subject],
    }
    admin.do("POST", f"{VIEW}/clusterrolebindings", binding)
    status, refused = agent.acting_as("jane", "devs").call("GET", pods)
    assert (status, refused["message"].partition(":")[0]) == (403, "pods is forbidden")
    assert 'User "jane" cannot list' in refused["message"]
    bind(
        admin,
        namespace,
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"kind": "Group", "name": "devs"},
    )
    assert agent.acting_as("jane", "devs").call("GET", pods)[0] == 200
    assert agent.call("GET", pods)[0] == 403
    record = next(
        r for r in reversed(server.audited()) if r["requestURI"] == pods and "impersonatedUser" in r
    )
    assert record["user"]["username"] == user
    assert record["impersonatedUser"] == {"username": "jane", "groups": ["devs", "system:authenticated"]}


def test_groups_without_a_user_are_no_impersonation(admin: Any) -> None:
    status, refused = admin.call("GET", "/api/v1/pods", Impersonate_Group="g")
    assert (status, "without impersonating a user" in refused["message"]) == (400, True)
    status, refused = admin.call("GET", "/api/v1/pods", Impersonate_User="u", Impersonate_Uid="1")
    assert (status, "uids and extras" in refused["message"]) == (501, True)


def test_reviews_answer_as_rbac_decides(server: Any, admin: Any) -> None:
    path = "/apis/authorization.k8s.io/v1"
    asked = {"verb": "create", "resource": "selfsubjectaccessreviews", "group": "authorization.k8s.io"}
    jane = server.client("jane")
    own = jane.do("POST", f"{path}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": asked}})
    assert own["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "system:basic-user" of ClusterRole "system:basic-user" to '
        'Group "system:authenticated"',
    }
    about = {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods"}}
    assert admin.do("POST", f"{path}/subjectaccessreviews", {"spec": about})["status"] == {"allowed": False}
    masters = about | {"groups": ["system:masters"]}
    assert admin.do("POST", f"{path}/subjectaccessreviews", {"spec": masters})["status"] == {"allowed": True}


def test_whoever_has_an_answer_finds_it_in_the_audit_log(server: Any, admin: Any, namespace: str) -> None:
    mark = str(uuid.uuid4())
    pods = f"/api/v1/namespaces/{namespace}/pods/p"
    admin.call("GET", pods, Audit_ID=mark, User_Agent="me/1")
    record = server.audited()[-1]
    assert record["auditID"] == mark
    assert (record["kind"], record["apiVersion"], record["level"]) == ("Event", "audit.k8s.io/v1", "Metadata")
    assert (record["stage"], record["verb"], record["requestURI"]) == ("ResponseComplete", "get", pods)
    assert record["objectRef"] == {
        "resource": "pods",
        "namespace": namespace,
        "name": "p",
        "apiVersion": "v1",
    }
    assert record["responseStatus"]["code"] == 404
    assert record["responseStatus"]["reason"] == "NotFound"
    assert (record["userAgent"], record["sourceIPs"]) == ("me/1", ["127.0.0.1"])
    assert record["user"]["groups"] == ["system:masters", "system:authenticated"]
    assert record["annotations"]["authorization.k8s.io/decision"] == "allow"


def test_no_content_of_objects_reaches_the_audit_log(server: Any, admin: Any, namespace: str) -> None:
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "hush-hush"}}
    admin.do("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    written = server.audit_log.read_text()
    assert '"name":"s","apiVersion":"v1"' in written.replace(" ", "")
    assert "hush-hush" not in written
    assert base64.b64encode(b"hush-hush").decode() not in written
