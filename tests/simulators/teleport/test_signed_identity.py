"""What the agent finds in its environment of an AWS identity."""

from __future__ import annotations

import pytest

from simulators.teleport.signed_identity import distant_host, has_web_identity

URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        ({}, ""),
        ({URI: ""}, ""),
        ({URI: "http://127.0.0.1:8080/credentials"}, ""),
        ({URI: "http://[::1]/credentials"}, ""),
        ({URI: "http://169.254.170.23/v1/credentials"}, "169.254.170.23"),
    ],
)
def test_credentials_of_a_container_are_looked_for_in_the_pod_alone(
    environ: dict[str, str], host: str
) -> None:
    assert distant_host(environ) == host


@pytest.mark.parametrize(
    ("names", "there"),
    [
        ((), False),
        (("AWS_ROLE_ARN",), False),
        (("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"), True),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), True),
        (("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"), False),
    ],
)
def test_keys_and_web_identities_are_pairs(names: tuple[str, ...], there: bool) -> None:
    assert has_web_identity(dict.fromkeys(names, "x")) is there
