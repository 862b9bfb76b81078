"""The agent's proof of who it is: AWS credentials as its pod has them, and a signed GetCallerIdentity.

`AssumeRoleWithWebIdentity` is a plain request, since it is not signed and loading AWS's models would take longer than
the whole join; the signature is botocore's.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from simulators.teleport.decisions import STS_BODY
from simulators.teleport.errors import TeleportError
from simulators.teleport.files import mounted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.teleport.texts import Imitation
    from simulators.teleport.transport import Outbound

CALL_SECONDS = 20.0
METADATA_SECONDS = 2.0
USER_AGENT = {"User-Agent": "simulated-teleport"}
METADATA = "http://169.254.169.254"
GLOBAL_HOST, GLOBAL_REGION = "sts.amazonaws.com", "us-east-1"


class CredentialsError(Exception):
    """There are no credentials; the text is the one of AWS's SDK in the imitated version."""


@dataclass(frozen=True)
class Credentials:
    """AWS credentials.

    Attributes:
        key_id: access key id.
        secret: secret access key.
        session: session token; empty for none.
    """

    key_id: str
    secret: str = field(repr=False)
    session: str = field(default="", repr=False)


@dataclass(frozen=True)
class Endpoint:
    """An STS endpoint.

    Attributes:
        name: regional or global, as the log calls it.
        host: host name.
        region: of the signature; empty where nobody told it.
    """

    name: str
    host: str = ""
    region: str = ""


LEGACY = frozenset(
    {
        "ap-northeast-1",
        "ap-south-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ca-central-1",
        "eu-central-1",
        "eu-north-1",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "sa-east-1",
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
    }
)
"""Regions for which AWS's SDK for Go 1 asks the global endpoint, where it is to; for others it asks their own."""


def endpoints(environ: Mapping[str, str]) -> list[Endpoint]:
    """The endpoints that an agent of 13 tries, one after the other.

    Args:
        environ: with AWS_REGION or AWS_DEFAULT_REGION.
    """
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    own = regional(region) if region else Endpoint("regional")
    if region and region not in LEGACY:
        return [own, replace(own, name="global")]
    return [own, Endpoint("global", GLOBAL_HOST, GLOBAL_REGION)]


def has_web_identity(environ: Mapping[str, str]) -> bool:
    """Whether the environment has keys or a web identity, which AWS's SDK takes first.

    Args:
        environ: of the process.
    """
    pairs = (
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    )
    return any(all(environ.get(name) for name in pair) for pair in pairs)


def distant_host(environ: Mapping[str, str]) -> str:
    """Host that the environment names for a container's credentials, where it is not the pod itself; else empty.

    Args:
        environ: with AWS_CONTAINER_CREDENTIALS_FULL_URI, as EKS Pod Identity sets it.
    """
    host = urlsplit(environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")).hostname or ""
    return "" if host in {"localhost", "127.0.0.1", "::1"} else host


def regional(region: str) -> Endpoint:
    """The endpoint of a region."""
    suffix = ".cn" if region.startswith("cn-") else ""
    return Endpoint("regional", f"sts.{region}.amazonaws.com{suffix}", region)


class Prover:
    """Makes signed requests.

    Args:
        outbound: how AWS is reached.
        imitation: the version.
    """

    def __init__(self, outbound: Outbound, imitation: Imitation) -> None:
        self._outbound = outbound
        self._environ = outbound.environ
        self._imitation = imitation

    async def signed(self, endpoint: Endpoint, challenge: str) -> dict[str, Any]:
        """A signed GetCallerIdentity that holds the challenge: host, headers and body (base64 by the caller).

        Args:
            endpoint: of STS.
            challenge: of the Auth Service.

        Raises:
            CredentialsError: there are none.
            TeleportError: STS was not reached.
        """
        if not endpoint.region:
            endpoint = regional(await self._region_of_node())
        # As AWS's SDK does in Teleport, credentials are fetched anew for each request.
        credentials = await self._credentials(endpoint)
        import botocore.auth  # noqa: PLC0415  # a fifth of a second that an agent with an identity need not wait
        import botocore.awsrequest  # noqa: PLC0415  # the same
        import botocore.credentials  # noqa: PLC0415  # the same

        headers = {
            "Accept": "application/json",
            "Content-Length": str(len(STS_BODY)),
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "Host": endpoint.host,
            "X-Teleport-Challenge": challenge,
        }
        request = botocore.awsrequest.AWSRequest(
            "POST", f"https://{endpoint.host}/", data=STS_BODY, headers=headers
        )
        keys = botocore.credentials.Credentials(
            credentials.key_id, credentials.secret, credentials.session or None
        )
        botocore.auth.SigV4Auth(keys, "sts", endpoint.region).add_auth(request)
        return {"host": endpoint.host, "headers": {**dict(request.headers.items()), **USER_AGENT}}

    async def _credentials(self, endpoint: Endpoint) -> Credentials:
        environ = self._environ
        if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
            session = environ.get("AWS_SESSION_TOKEN", "")
            return Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], session)
        if environ.get("AWS_ROLE_ARN") and environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
            return await self._by_web_identity(endpoint)
        if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
            found = await self._of_node()
            if found:
                return found
        raise CredentialsError(self._imitation.text("no-aws-credentials"))

    async def _by_web_identity(self, endpoint: Endpoint) -> Credentials:
        environ = self._environ
        token = mounted(environ["AWS_WEB_IDENTITY_TOKEN_FILE"], environ).read_text().strip()
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": environ["AWS_ROLE_ARN"],
            # As the AWS SDK for Go names a session that nobody named.
            "RoleSessionName": environ.get("AWS_ROLE_SESSION_NAME") or str(time.time_ns()),
            "WebIdentityToken": token,
        }
        try:
            async with (
                self._outbound.session(CALL_SECONDS) as session,
                session.post(
                    f"https://{endpoint.host}/", data=form, headers=USER_AGENT, **self._outbound.proxied
                ) as answer,
            ):
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TeleportError(
                "ConnectionProblem",
                "WebIdentityErr: failed to retrieve credentials\ncaused by: RequestError: send request failed\n"
                f'caused by: Post "https://{endpoint.host}/": {error or type(error).__name__}',
            ) from error
        if answer.status != HTTPStatus.OK:
            told = {name.lower(): _element(text, name) for name in ("Code", "Message")}
            request = _element(text, "RequestId")
            raise CredentialsError(
                self._imitation.text("web-identity-refused", status=answer.status, request=request, **told)
            )
        return Credentials(
            _element(text, "AccessKeyId"), _element(text, "SecretAccessKey"), _element(text, "SessionToken")
        )

    async def _region_of_node(self) -> str:
        base = (self._environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or METADATA).rstrip("/")
        disabled = self._environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._outbound.session(METADATA_SECONDS) as session:
                if not disabled:
                    async with session.get(f"{base}/latest/meta-data/placement/region") as answer:
                        answer.raise_for_status()
                        return (await answer.text()).strip()
        raise CredentialsError(self._imitation.text("region-unknown"))

    async def _of_node(self) -> Credentials | None:
        base = (self._environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or METADATA).rstrip("/")
        roles = f"{base}/latest/meta-data/iam/security-credentials/"
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        try:
            async with self._outbound.session(METADATA_SECONDS) as session:
                async with session.put(f"{base}/latest/api/token", headers=lifetime) as answer:
                    answer.raise_for_status()
                    proof = {"X-aws-ec2-metadata-token": await answer.text()}
                async with session.get(roles, headers=proof) as answer:
                    answer.raise_for_status()
                    role = (await answer.text()).split()[0]
                async with session.get(roles + role, headers=proof) as answer:
                    answer.raise_for_status()
                    found = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, IndexError, ValueError):
            return None
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])


def _element(xml: str, name: str) -> str:
    return xml.partition(f"<{name}>")[2].partition("<")[0]
