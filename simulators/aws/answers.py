"""What goes over the wire: requests as read, answers and errors in the shapes that AWS uses.

Three protocols: Query in XML (STS, IAM), Query in JSON (STS when `Accept` asks for it, which Teleport
does) and REST-JSON (EKS).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

Protocol = Literal["xml", "json", "rest"]

NAMESPACES = {
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
}

# HTTP status of the codes that are not 400.
_STATUS = {
    "AccessDenied": 403,
    "AccessDeniedException": 403,
    "ExpiredToken": 403,
    "IncompleteSignature": 403,
    "InvalidClientTokenId": 403,
    "MissingAuthenticationToken": 403,
    "SignatureDoesNotMatch": 403,
    "ResourceNotFoundException": 404,
    "InternalFailure": 500,
    "ServiceUnavailable": 503,
}

# The same refusals have other names in the JSON protocols.
_REST_CODES = {
    "AccessDenied": "AccessDeniedException",
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}


class AwsError(Exception):
    """A refusal that the client is told.

    Args:
        code: AWS's error code.
        message: AWS's text.
        reason: Why, for the call log, where the gateway knows more than AWS would tell.
        refused: True when the gateway does not speak this host or action at all.
    """

    def __init__(self, code: str, message: str, reason: str = "", *, refused: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.reason = reason or message
        self.verdict: Literal["denied", "refused"] = "refused" if refused else "denied"
        self.status = _STATUS.get(code, 400)


@dataclass(frozen=True)
class Request:
    """One HTTP request as it was sent: nothing decoded, since signatures cover the raw form."""

    method: str
    host: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """Give the first value of a header, or an empty text."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")

    @property
    def path(self) -> str:
        """The path as sent, without the query."""
        return urlsplit(self.target).path

    def parameters(self) -> dict[str, str]:
        """Give the parameters of a Query call: the form in the body, or the query of a GET."""
        text = self.body.decode("utf-8", "replace") if self.body else urlsplit(self.target).query
        return dict(parse_qsl(text, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)


def protocol_of(service: str, accept: str) -> Protocol:
    """Choose the protocol of an answer.

    Args:
        service: `sts`, `iam` or another service name.
        accept: The request's `Accept` header; STS honours `application/json`.
    """
    if service not in NAMESPACES:
        return "rest"
    wants_json = (
        accept.split(",", maxsplit=1)[0].split(";", maxsplit=1)[0].strip().lower() == "application/json"
    )
    return "json" if wants_json and service == "sts" else "xml"


def query_answer(service: str, protocol: Protocol, action: str, result: dict[str, Any]) -> Answer:
    """Shape the result of a Query action.

    Args:
        service: `sts` or `iam`.
        protocol: `xml` or `json`.
        action: The action's name; AWS wraps the result in elements named after it.
        result: The result's members; nested dictionaries become nested elements.
    """
    request_id = str(uuid.uuid4())
    response = {f"{action}Result": result, "ResponseMetadata": {"RequestId": request_id}}
    if protocol == "json":
        return _json_answer(HTTPStatus.OK, {f"{action}Response": response}, request_id)
    body = f'<{action}Response xmlns="{NAMESPACES[service]}">\n{_elements(response, 1)}</{action}Response>\n'
    return Answer(HTTPStatus.OK, body.encode(), "text/xml", {"x-amzn-RequestId": request_id})


def rest_answer(document: dict[str, Any]) -> Answer:
    """Shape the result of a REST-JSON action."""
    return _json_answer(HTTPStatus.OK, document, str(uuid.uuid4()))


def error_answer(service: str, protocol: Protocol, error: AwsError) -> Answer:
    """Shape an error as the service would.

    Args:
        service: The service that answers.
        protocol: The protocol of the answer.
        error: What to tell.
    """
    request_id = str(uuid.uuid4())
    kind = "Receiver" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "Sender"
    if protocol == "rest":
        code = _REST_CODES.get(error.code, error.code)
        answer = _json_answer(error.status, {"message": error.message}, request_id)
        return Answer(
            answer.status, answer.body, answer.content_type, {**answer.headers, "x-amzn-ErrorType": code}
        )
    details = {"Type": kind, "Code": error.code, "Message": error.message}
    if protocol == "json":
        return _json_answer(error.status, {"Error": details, "RequestId": request_id}, request_id)
    content = _elements({"Error": details, "RequestId": request_id}, 1)
    namespace = NAMESPACES[service]
    body = f'<ErrorResponse xmlns="{namespace}">\n{content}</ErrorResponse>\n'
    return Answer(error.status, body.encode(), "text/xml", {"x-amzn-RequestId": request_id})


def _json_answer(status: int, document: dict[str, Any], request_id: str) -> Answer:
    body = json.dumps(document).encode()
    return Answer(status, body, "application/json", {"x-amzn-RequestId": request_id})


def _elements(members: dict[str, Any], depth: int) -> str:
    indent = "  " * depth
    lines = []
    for name, value in members.items():
        if isinstance(value, dict):
            lines.append(f"{indent}<{name}>\n{_elements(value, depth + 1)}{indent}</{name}>\n")
        else:
            lines.append(f"{indent}<{name}>{escape(str(value))}</{name}>\n")
    return "".join(lines)
