"""One way to the Kubernetes API for every adapter: plain objects in and out, nothing of the user's."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from harness.core.errors import EnvironmentBroken, TransientOracleError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.environment import JSON

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
FIELD_MANAGER = "conformance"

COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Secret": "/api/v1/namespaces/{namespace}/secrets",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{namespace}/statefulsets",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "MutatingWebhookConfiguration": ("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"),
}
"""Where objects of a kind live; only kinds that the harness itself makes or changes."""


PASSING = frozenset({429, 503})
"""HTTP statuses of an API server that is overloaded, starting or stopping: asking again may help."""


class RefusedError(EnvironmentBroken):
    """The API server refused a call of the harness.

    Attributes:
        status: HTTP status.
        message: The message of the API server's Status object.
    """

    def __init__(self, call: str, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(
            expected=f"{call} to succeed",
            seen=f"{status}: {message}",
            remedy="check that the environment is still what it was, or start a new one",
        )


class KubernetesAPI:
    """The API server, with the rights of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        """Reads the kubeconfig; connects on first use.

        Args:
            kubeconfig: The file to use; the user's own KUBECONFIG is never looked at.
        """
        settings = client.Configuration()
        config.load_kube_config(
            config_file=str(kubeconfig), client_configuration=settings, persist_config=False
        )
        # The client would send loopback traffic through the user's HTTPS_PROXY.
        settings.proxy = None
        settings.retries = False
        self._host = str(settings.host)
        self.address = self._host.partition("://")[2]
        self._client = client.ApiClient(settings)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def text(
        self, method: str, path: str, body: JSON | Sequence[JSON] | None = None, *, content_type: str = ""
    ) -> str:
        """One call; the body of the answer.

        Raises:
            RefusedError: The API server refused.
            TransientOracleError: It did not answer.
        """
        headers = {"Accept": "application/json, */*", "Content-Type": content_type or "application/json"}
        answer = self._send(method, path, headers, body)
        data = answer.data or b""
        text: str = data.decode(errors="replace") if isinstance(data, bytes) else str(data)
        if answer.status >= 400:
            try:
                message = str(json.loads(text)["message"])
            except (ValueError, KeyError, TypeError):
                message = text[:300]
            if answer.status in PASSING:
                raise TransientOracleError(f"the API server could not serve: {answer.status}: {message}")
            raise RefusedError(f"{method} {path}", answer.status, message)
        return text

    def impersonating(self, user: str, path: str) -> str:
        """One GET in another user's name; the id under which the audit log has it, which is chosen here.

        Raises:
            TransientOracleError: The API server did not answer.
        """
        audit_id = str(uuid.uuid4())
        headers = {"Accept": "application/json", "Impersonate-User": user, "Audit-ID": audit_id}
        self._send("GET", path, headers, None)
        return audit_id

    def _send(
        self, method: str, path: str, headers: dict[str, str], body: JSON | Sequence[JSON] | None
    ) -> Any:
        """One call; the answer, read."""
        try:
            answer = self._client.call_api(
                method, self._host + path, header_params=headers, body=body, _request_timeout=30
            )
            answer.read()
        except client.ApiException as error:  # the client's own word for a failure of TLS
            if "CERTIFICATE_VERIFY_FAILED" in str(error.reason):
                raise EnvironmentBroken(
                    expected=f"the API server at {self._host} to be the kubeconfig's",
                    seen=str(error.reason),
                    remedy="check that the environment is still what it was, or start a new one",
                ) from error
            raise TransientOracleError(f"the API server did not answer: {error.reason}") from error
        except HTTPError as error:
            raise TransientOracleError(f"the API server did not answer: {error}") from error
        return answer

    def call(
        self, method: str, path: str, body: JSON | Sequence[JSON] | None = None, *, content_type: str = ""
    ) -> Any:
        """One call; the parsed answer. Raises as `text` does."""
        return json.loads(self.text(method, path, body, content_type=content_type) or "null")

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, or None where there is none. Raises as `text` does for anything else."""
        try:
            found: dict[str, Any] = self.call("GET", path)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise
        return found

    def apply(self, manifest: JSON) -> None:
        """Creates an object, or brings it to this state, by server-side apply."""
        path = f"{self.collection(manifest)}/{manifest['metadata']['name']}"
        self.call("PATCH", f"{path}?fieldManager={FIELD_MANAGER}&force=true", manifest, content_type=APPLY)

    def delete(self, path: str, *, grace: int | None = None) -> None:
        """Deletes an object; that it is gone already is fine.

        Args:
            path: Of the object.
            grace: Seconds of grace for a pod; the object's own where None.
        """
        body: JSON = {"propagationPolicy": "Background"}
        if grace is not None:
            body = {**body, "gracePeriodSeconds": grace}
        try:
            self.text("DELETE", path, body)
        except RefusedError as error:
            if error.status != 404:
                raise

    def collection(self, manifest: JSON) -> str:
        """Path of the collection that an object belongs to."""
        return COLLECTIONS[manifest["kind"]].format(namespace=manifest["metadata"].get("namespace", ""))
