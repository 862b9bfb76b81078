"""The roles that a new cluster has: access, auditor, editor (as `tctl get role` of 13.0.0-dev shows them)."""

from __future__ import annotations

import uuid
from typing import Any

Resource = dict[str, Any]

READ_WRITE = ("list", "create", "read", "update", "delete")
READ_ONLY = ("list", "read")
EDITED = (
    "user", "role", "oidc", "saml", "github", "oidc_request", "saml_request", "github_request",
    "cluster_audit_config", "cluster_auth_preference", "auth_connector", "cluster_name",
    "cluster_networking_config", "session_recording_config", "trusted_cluster", "remote_cluster", "token",
    "connection_diagnostic", "db", "database_certificate", "installer", "device", "db_service", "instance",
    "login_rule",
)  # fmt: skip
EDITOR_VERBS = {
    "device": (*READ_WRITE, "create_enroll_token", "enroll"),
    "db_service": READ_ONLY,
    "instance": READ_ONLY,
}

OPTIONS: Resource = {
    "forward_agent": False,
    "max_session_ttl": "30h0m0s",
    "port_forwarding": True,
    "cert_format": "standard",
    "enhanced_recording": ["command", "network"],
    "record_session": {"desktop": True, "default": "best_effort"},
    "desktop_clipboard": True,
    "desktop_directory_sharing": True,
    "create_host_user": False,
    "pin_source_ip": False,
    "ssh_file_copy": True,
}
"""What a role's options are where it sets none."""

EVERYTHING = {"*": "*"}


def _rule(resource: str, verbs: tuple[str, ...], **more: str) -> Resource:
    return {"resources": [resource], "verbs": list(verbs), **more}


def preset_roles(version: int) -> list[Resource]:
    """The preset roles.

    Args:
        version: of the role resource: 6 in Teleport 13, 7 in 17.
    """
    session_of_ones_own = "contains(session.participants, user.metadata.name)"
    access = {
        "logins": ["{{internal.logins}}"],
        "node_labels": EVERYTHING,
        "app_labels": EVERYTHING,
        "db_labels": EVERYTHING,
        "db_names": ["{{internal.db_names}}"],
        "db_users": ["{{internal.db_users}}"],
        "aws_role_arns": ["{{internal.aws_role_arns}}"],
        "azure_identities": ["{{internal.azure_identities}}"],
        "gcp_service_accounts": ["{{internal.gcp_service_accounts}}"],
        "kubernetes_groups": ["{{internal.kubernetes_groups}}"],
        "kubernetes_labels": EVERYTHING,
        "kubernetes_resources": default_resources(5),
        "kubernetes_users": ["{{internal.kubernetes_users}}"],
        "windows_desktop_labels": EVERYTHING,
        "windows_desktop_logins": ["{{internal.windows_logins}}"],
        "rules": [
            _rule("event", READ_ONLY),
            _rule("session", ("read", "list"), where=session_of_ones_own),
            _rule("instance", READ_ONLY),
        ],
    }
    auditor = {
        "logins": [f"no-login-{uuid.uuid4()}"],
        "rules": [_rule(resource, READ_ONLY) for resource in ("session", "event", "session_tracker")],
    }
    editor = {"rules": [_rule(resource, EDITOR_VERBS.get(resource, READ_WRITE)) for resource in EDITED]}
    return [
        _role(version, "access", "Access cluster resources", access, desktop=True),
        _role(version, "auditor", "Review cluster events and replay sessions", auditor, desktop=False),
        _role(version, "editor", "Edit cluster configuration", editor, desktop=False),
    ]


def default_resources(version: int) -> list[Resource]:
    """What `kubernetes_resources` is where a role sets none (facts/teleport.md 3.3).

    Args:
        version: of the role resource.
    """
    if version == 6:
        return []
    kind = "pod" if version < 6 else "*"
    rule: Resource = {"kind": kind, "namespace": "*", "name": "*"}
    return [rule if version < 7 else {**rule, "verbs": ["*"]}]


def _role(version: int, name: str, description: str, allow: Resource, *, desktop: bool) -> Resource:
    options = {**OPTIONS, "forward_agent": name != "auditor", "record_session": {"desktop": desktop}}
    return {
        "kind": "role",
        "version": f"v{version}",
        "metadata": {"name": name, "description": description},
        "spec": {"options": options, "allow": allow, "deny": {}},
    }
