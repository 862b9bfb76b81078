"""What IAM refuses of a trust policy when a role is made of it.

Source: IAM API reference, CreateRole (MalformedPolicyDocument), and the texts that IAM answers.
"""

from __future__ import annotations

import json
import re
from typing import Any

_PROVIDER = re.compile(
    r"arn:(?:aws|aws-cn|aws-us-gov):iam::[0-9]{12}:(?:oidc|saml)-provider/\S+|[a-z0-9-]+(?:\.[a-z0-9-]+)+"
)


def trust_fault(document: str) -> str:
    """What is wrong with a trust policy, in IAM's words; an empty text where IAM takes it.

    Args:
        document: The trust policy as it was sent.
    """
    try:
        policy = json.loads(document)
    except ValueError:
        return "This policy contains invalid Json"
    if not isinstance(policy, dict):
        return "Syntax errors in policy."
    if not all(_PROVIDER.fullmatch(name) for name in _federated(policy)):
        return "Federated principals must be valid domain names or SAML metadata ARNs"
    return ""


def _federated(policy: dict[str, Any]) -> list[str]:
    """The federated principals of all statements."""
    found: list[str] = []
    for statement in _several(policy.get("Statement")):
        principal = statement.get("Principal") if isinstance(statement, dict) else None
        if isinstance(principal, dict):
            found += map(str, _several(principal.get("Federated")))
    return found


def _several(value: Any) -> list[Any]:
    """IAM takes one where it takes a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
