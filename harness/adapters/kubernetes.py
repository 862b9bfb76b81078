"""The Kubernetes cluster with an administrator's eyes; oracle of state and of the API server's audit log."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from harness.core import recording
from harness.core.errors import EnvironmentBroken, Withheld
from harness.core.waiting import eventually, stays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.adapters.kubernetes_api import KubernetesAPI
    from harness.environment import JSON
    from harness.scenario import Names

POD_SECONDS = 60.0
"""Budget for a one-shot pod: start, one program, end."""

ALLOWED_SECONDS = 60.0
"""Budget for RBAC to know a new binding; 0.3 s were seen, 5 s right after the control plane's start."""

WATCH_SECONDS = 1.5
"""How long requests of a user are watched for; a routed one is on the log within a second."""

AUTHORITY = "conformance-authority"
"""Secret of the harness's own with the run's certificate authority, where nodes do not give it to containers."""

AUTHORITY_KEY = "ca.pem"
"""Its key; what the chart's `tls.existingCASecretName` expects."""

PULL_SECRET = "conformance-registry"  # noqa: S105  # its name
"""Secret of the harness's own with the credentials of a registry."""

_WRITTEN_AS_IT_IS = re.compile(r"[\w.:@-]+", re.ASCII)
JSON_PATCH = "application/json-patch+json"

_AUTHORITY_FOLDER = "/etc/conformance"

ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"


class Cluster:
    """`harness.environment.Cluster` over the Kubernetes API."""

    def __init__(
        self, api: KubernetesAPI, audit_log: Path | None, names: Names, authority: Path | None = None
    ) -> None:
        """Binds a cluster to a scenario.

        Args:
            api: The API server with an administrator's rights.
            audit_log: JSON lines of the API server's audit log; None where the environment has none.
            names: The scenario's names.
            authority: The run's certificate authority, where its nodes do not give it to every container.
        """
        self.names = names
        self._api = api
        self._audit_log = audit_log
        self._authority = authority
        # Only what is written from now on concerns this scenario.
        self._audit_from = end_of_lines(audit_log) if audit_log else 0

    @property
    def _namespace(self) -> str:
        return f"/api/v1/namespaces/{self.names.namespace}"

    def apply(self, manifest: JSON) -> None:
        """Creates an object, or brings it to this state."""
        self._api.apply(manifest)

    def delete(self, kind: str, name: str) -> None:
        """Deletes an object of the scenario's namespace; that it is gone already is fine.

        Args:
            kind: As in manifests.
            name: Of the object.
        """
        metadata = {"name": name, "namespace": self.names.namespace}
        self._api.delete(f"{self._api.collection({'kind': kind, 'metadata': metadata})}/{name}")

    def change(self, kind: str, name: str, changes: Sequence[JSON]) -> None:
        """Changes an object of the scenario's namespace, as `kubectl patch --type=json` does (RFC 6902).

        Args:
            kind: As in manifests.
            name: Of the object.
            changes: Operations of the patch.
        """
        metadata = {"name": name, "namespace": self.names.namespace}
        path = f"{self._api.collection({'kind': kind, 'metadata': metadata})}/{name}"
        self._api.call("PATCH", path, changes, content_type=JSON_PATCH)

    def create_namespace(self) -> None:
        """Creates the scenario's namespace."""
        self._api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.names.namespace}})

    def create_service_account(
        self, role_arn: str | None, *, labels: Mapping[str, str] | None = None
    ) -> None:
        """Creates the agent's service account, annotated with the IAM role (claim s1.annotate).

        Args:
            role_arn: The role; None for an account without the annotation.
            labels: Of the account.
        """
        self._api.apply(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {
                    "name": self.names.service_account,
                    "namespace": self.names.namespace,
                    **({"annotations": {ROLE_ANNOTATION: role_arn}} if role_arn else {}),
                    **({"labels": dict(labels)} if labels else {}),
                },
            }
        )

    def service_account(self) -> JSON:
        """The agent's service account as the API has it; empty where there is none."""
        found = self._api.get(f"{self._namespace}/serviceaccounts/{self.names.service_account}") or {}
        recording.record_oracle("kubernetes", f"service account {self.names.service_account}", found)
        return found

    def service_accounts(self) -> list[str]:
        """Names of the service accounts of the scenario's namespace."""
        found = (self._api.get(f"{self._namespace}/serviceaccounts") or {}).get("items", [])
        names = [str(account["metadata"]["name"]) for account in found]
        recording.record_oracle("kubernetes", f"service accounts of {self.names.namespace}", names)
        return names

    def version(self) -> str:
        """Version that the API server tells, as in `v1.32.2`."""
        found: str = self._api.call("GET", "/version")["gitVersion"]
        recording.record_oracle("kubernetes", "version", found)
        return found

    def issuer(self) -> str:
        """Issuer of service account tokens, as the API server tells it."""
        found: str = self._api.call("GET", "/.well-known/openid-configuration")["issuer"]
        recording.record_oracle("kubernetes", "issuer of service account tokens", found)
        return found

    def run_pod(
        self, name: str, image: str, args: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> str:
        """Runs a pod as the agent's service account to its end; returns its log.

        Args:
            name: Of the pod.
            image: Of its one container.
            args: Arguments of the image's program.
            environment: Variables of the container.

        Raises:
            NotObserved: It did not end in time.
        """
        told = dict(environment or {})
        volumes: dict[str, Any] = {}
        mounts: dict[str, Any] = {}
        if self._authority is not None:
            self._api.apply(authority_secret(self.names.namespace, self._authority))
            told |= {"AWS_CA_BUNDLE": f"{_AUTHORITY_FOLDER}/{AUTHORITY_KEY}"}
            volumes = {"volumes": [{"name": "authority", "secret": {"secretName": AUTHORITY}}]}
            mounts = {"volumeMounts": [{"name": "authority", "mountPath": _AUTHORITY_FOLDER}]}
        variables = [{"name": key, "value": value} for key, value in told.items()]
        env = {"env": variables} if variables else {}
        # The tag `latest` would have the node ask a registry for what it has.
        container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "args": list(args)}
        self._api.call(
            "POST",
            f"{self._namespace}/pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {
                    "serviceAccountName": self.names.service_account,
                    "restartPolicy": "Never",
                    "containers": [{**container, **env, **mounts}],
                    **volumes,
                },
            },
        )
        path = f"{self._namespace}/pods/{name}"

        def phase() -> str:
            status = (self._api.get(path) or {}).get("status", {})
            recording.record_oracle("kubernetes", f"status of pod {name}", status)
            return str(status.get("phase", "absent"))

        eventually(
            phase,
            lambda seen: seen in {"Succeeded", "Failed"},
            expected=f"pod {name} to run to its end",
            within=POD_SECONDS,
        )
        log = self._api.text("GET", f"{path}/log")
        recording.record_oracle("kubernetes", f"log of pod {name}", log)
        return log

    def pods(self) -> Sequence[JSON]:
        """Pods of the scenario's namespace."""
        found: list[JSON] = (self._api.get(f"{self._namespace}/pods") or {}).get("items", [])
        recording.record_oracle(
            "kubernetes", f"pods of {self.names.namespace}", [_brief(pod) for pod in found]
        )
        return found

    def secret(self, name: str) -> JSON | None:
        """A Secret of the scenario's namespace, its values decoded, or None."""
        found = self._api.get(f"{self._namespace}/secrets/{name}")
        recording.record_oracle("kubernetes", f"Secret {name}", found)
        if found is None:
            return None
        decoded = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
        return {**found, "data": decoded}

    def secrets(self) -> dict[str, dict[str, bytes]]:
        """Every Secret of the namespace but Helm's records and the harness's own: name to its decoded values."""
        found = (self._api.get(f"{self._namespace}/secrets") or {}).get("items", [])
        kept = {
            str(secret["metadata"]["name"]): {
                key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()
            }
            for secret in found
            if secret.get("type") != "helm.sh/release.v1"
            and secret["metadata"]["name"] not in {AUTHORITY, PULL_SECRET}
        }
        # Keys alone: what a Secret holds that nobody expected may be secret in earnest.
        recording.record_oracle(
            "kubernetes",
            f"Secrets of {self.names.namespace}",
            {name: sorted(data) for name, data in kept.items()},
        )
        return kept

    def allowed(self, verb: str, resource: str, groups: Sequence[str], *, user: str | None = None) -> bool:
        """Whether RBAC lets these groups, or this user, do that in the scenario's namespace."""
        review = self._api.call(
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": user or self.names.user,
                    "groups": list(groups),
                    "resourceAttributes": {
                        "namespace": self.names.namespace,
                        "verb": verb,
                        "resource": resource,
                    },
                },
            },
        )
        recording.record_oracle("kubernetes", f"may {user or groups} {verb} {resource}", review["status"])
        return bool(review["status"]["allowed"])

    def audit(self, user: str) -> Sequence[JSON]:
        """Records of the API server's audit log in which this user acts or is impersonated.

        Raises:
            Withheld: The environment gives no audit log.
        """
        if self._audit_log is None:
            raise Withheld("oracle-missing", "this environment has no audit log of the API server")
        found = []
        for record in read_json_lines(self._audit_log, self._audit_from, naming=user):
            impersonated = record.get("impersonatedUser", {})
            if user in {record.get("user", {}).get("username"), impersonated.get("username")}:
                found.append(record)
        recording.record_oracle("kubernetes-audit", f"requests of user {user}", found)
        return found

    def wait_allowed(
        self, verb: str, resource: str, groups: Sequence[str], *, user: str | None = None
    ) -> None:
        """Waits until RBAC lets these groups, or this user, do that in the scenario's namespace.

        The rules of ClusterRole `view` are filled in by the controller manager, seconds after its start.

        Raises:
            NotObserved: It does not.
        """
        eventually(
            lambda: self.allowed(verb, resource, groups, user=user),
            bool,
            expected=f"RBAC to let {user or ', '.join(groups)} {verb} {resource}",
            within=ALLOWED_SECONDS,
        )

    def untouched_by(self, user: str) -> Sequence[JSON]:
        """Watches that no request of this user reaches the API server; those seen: none.

        What shows that the watching could see one (design rule 4): a request that the harness makes in the
        user's name appears in the same log, before and afterwards.

        Raises:
            NotObserved: There was a request.
            EnvironmentBroken: The watching was blind.
        """
        control = _RequestsInTheirName(self, user)
        return stays(
            lambda: [record for record in self.audit(user) if not control.made(record)],
            lambda seen: len(seen) == 0,
            expected=f"no request of {user} on the API server's audit log",
            budget=WATCH_SECONDS,
            control=control,
        )

    def request_as(self, user: str) -> str:
        """Makes one harmless request in a user's name; returns the audit id that marks it."""
        return self._api.impersonating(user, "/version")


def authority_secret(namespace: str, authority: Path) -> dict[str, Any]:
    """The Secret by which containers of a namespace get the run's certificate authority."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": AUTHORITY, "namespace": namespace},
        "data": {AUTHORITY_KEY: base64.b64encode(authority.read_bytes()).decode()},
    }


class _RequestsInTheirName:
    """Control of "no request of that user": one that the harness makes shows in the log."""

    def __init__(self, cluster: Cluster, user: str) -> None:
        self._cluster = cluster
        self._user = user
        self._own: set[str] = set()

    def made(self, record: JSON) -> bool:
        return str(record.get("auditID")) in self._own

    def before(self) -> None:
        self._show()

    def after(self) -> None:
        self._show()

    def _show(self) -> None:
        audit_id = self._cluster.request_as(self._user)
        self._own.add(audit_id)
        eventually(
            lambda: [record.get("auditID") for record in self._cluster.audit(self._user)],
            lambda seen: audit_id in seen,
            expected="the API server's audit log to show a request made by the harness",
            within=POD_SECONDS,
        )


def end_of_lines(path: Path) -> int:
    """Byte offset behind the last whole line of a growing file; 0 where there is none.

    The file's size will not do: whoever reads from within a line takes its rest for a broken one.
    """
    if not path.exists():
        return 0
    return path.read_bytes().rfind(b"\n") + 1


def read_json_lines(path: Path, start: int = 0, *, naming: str = "") -> list[dict[str, Any]]:
    """Whole JSON lines of a growing file from a byte offset on; a last half line is left for later.

    Args:
        path: The file; none holds no lines.
        start: Byte offset of the beginning of a line.
        naming: Only lines with this text are wanted. The others, of all scenarios beside, are not even parsed.

    Raises:
        EnvironmentBroken: A whole line is not JSON.
    """
    if not path.exists():
        return []
    with path.open("rb") as stream:
        stream.seek(start)
        data = stream.read()
    whole = data[: data.rfind(b"\n") + 1]
    # Other characters than these may be written as something else in JSON.
    sought = naming.encode() if _WRITTEN_AS_IT_IS.fullmatch(naming) else b""
    try:
        return [json.loads(line) for line in whole.splitlines() if sought in line and line.strip()]
    except ValueError as error:
        raise EnvironmentBroken(
            expected=f"{path.name} to hold JSON lines",
            seen=str(error),
            remedy="check what else writes to that file",
        ) from error


def _brief(pod: JSON) -> JSON:
    status = pod.get("status", {})
    return {
        "name": pod["metadata"]["name"],
        "uid": pod["metadata"]["uid"],
        "phase": status.get("phase"),
        "containers": status.get("containerStatuses", []),
    }
