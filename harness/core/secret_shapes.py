"""What a secret looks like when nobody has said that it is one: by its key, its form, its place.

Part of `redaction`, which is the door; nothing else calls this.
"""

import base64
import re
from collections.abc import Callable
from functools import lru_cache

MASK = "<redacted>"
SIZE = re.compile(r"<\d+ bytes>\Z")

# What the key of a secret value ends in: `token`, not `token_name` nor `token_file`.
_ENDING = (
    r"(?:passw(?:or)?d|passphrase|secret|token|signature"
    r"|(?:secret|private|api)[-_]?(?:access[-_]?)?key|key[-_]?data)"
)
_KEY = re.compile(rf"{_ENDING}\Z", re.IGNORECASE)
_VARIABLE = re.compile(rf"\w*{_ENDING}\Z", re.IGNORECASE)
_FLAG_NAME = re.compile(rf"--?[\w-]*{_ENDING}\Z", re.IGNORECASE)
_HEADER_NAME = re.compile(r"(?:authorization|cookie)\Z", re.IGNORECASE)

_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----"
    r"(?:.*?-----END (?P=kind)-----|[A-Za-z0-9+/=\s\\]*)",  # the second: cut off before its end
    re.DOTALL,
)
_ENCODED_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/_=-]+")  # base64 of "-----BEGIN "
_JWT = re.compile(r"eyJ[\w-]{5,}\.eyJ[\w-]{5,}(?:\.[\w-]*)?")
_AWS_SESSION_TOKEN = re.compile(r"(?:FwoG|FQoG|IQoJ)[A-Za-z0-9+/%=]{60,}")
_INVITE = re.compile(r"(/web/(?:invite|reset)/)[^/\s\"'?#<\\]+")
# `tctl users add` and `tctl users reset` print the invitation as the name of a user_token.
_USER_TOKEN = re.compile(r"(name\\*[\"']?\s*:\s*\\*[\"']?)[0-9a-f]{32}(?![0-9a-f-])")
_BEARER = re.compile(r"(\bbearer[ \t]+)[A-Za-z0-9._~+/-]{8,}=*", re.IGNORECASE)
_HEADER = re.compile(
    r"((?:authorization|cookie)(?:\\*[\"'])?[ \t]*[:=][ \t]*\[?(?:\\*[\"'])?)([^\r\n\"'\\\]]+)",
    re.IGNORECASE,
)
_XML_ELEMENT = re.compile(rf"({_ENDING}>)[^<]+(</)", re.IGNORECASE)
_MASKED = r"(?!<redacted>|<\d+ bytes>)"
_VALUE = (
    rf"(?:(?P<quote>\\*\"){_MASKED}(?:\\.|[^\"\\\n])+?(?:(?P=quote)|$)"
    rf"|(?P<single>'){_MASKED}[^'\n]+(?:'|$)"
    rf"|(?!(?:true|false|null)(?:[\s,}}\]]|$)|[{{\[]|[|>][-+\d]*\s|\\*[\"']){_MASKED}\S[^\s\"'&<]*)"
)
_CASELESS_LINES = re.IGNORECASE | re.MULTILINE
_ASSIGNMENT = re.compile(rf"({_ENDING}(?:\\*[\"'])?[ \t]*[:=][ \t]*(?:\[[ \t]*)?){_VALUE}", _CASELESS_LINES)
_FLAG = re.compile(rf"((?<![\w-])--(?:[a-z][\w-]{{0,40}})?{_ENDING}[ \t]+(?!-)){_VALUE}", _CASELESS_LINES)
_POD_VARIABLE = re.compile(
    rf"(name:[ \t]*[\"']?\w{{0,80}}{_ENDING}[\"']?[ \t]*\n[ \t]*value:[ \t]*){_VALUE}", _CASELESS_LINES
)
_BLOCK_SCALAR = re.compile(
    rf"^(?P<head>(?P<indent>[ \t]*)(?:- )?[\"']?[\w.-]{{0,60}}{_ENDING}[\"']?:[ \t]*)[|>][-+\d]*[ \t]*\n"
    r"(?:(?P=indent)[ \t]+\S.*\n?|[ \t]*\n)+",
    _CASELESS_LINES,
)

# What each match of a pattern contains, in small letters: to look for it is many times quicker than to search for
# the pattern in vain, and most texts have none of it.
_ENDING_CONTAINS = (
    *("passw", "passphrase", "secret", "token", "signature"),
    *(
        f"{owner}{joint}{what}"
        for owner in ("private", "api")
        for joint in ("", "-", "_")
        for what in ("key", "access")
    ),
    *("keydata", "key-data", "key_data"),
)
_HEADER_CONTAINS = ("authorization", "cookie")

_JSON_SECRET = re.compile(r"kind\\*\":\s*\\*\"Secret(?:List)?\\*\"")
_JSON_DATA = re.compile(r"\\*\"(?:data|stringData)\\*\":\s*\{[^}]*(?:\}|\Z)")
_JSON_ENTRY = re.compile(r"(:\s*\\*\")((?:\\.|[^\"\\])+?)(?=\\*\"|\Z)")
_YAML_DOCUMENT = re.compile(r"^(?=---)", re.MULTILINE)
_YAML_SECRET = re.compile(r"^[ \t]*(?:- )?kind:[ \t]*[\"']?Secret(?:List)?[\"']?[ \t]*$", re.MULTILINE)
_YAML_DATA = re.compile(r"(?P<before> *(?:- )?)(?P<key>data|stringData):[ \t]*(?P<rest>.*)")
_YAML_ENTRY = re.compile(r"(?P<key> *[^\s:][^:]*:)[ \t]*(?P<value>.*)")


@lru_cache
def names_secret(key: str) -> bool:
    """Whether a key of this name holds a secret value."""
    return bool(_KEY.search(key))


@lru_cache
def names_secret_variable(name: str) -> bool:
    """Whether an environment variable of this name holds a secret value."""
    return bool(_VARIABLE.match(name))


def is_secret_flag(argument: str) -> bool:
    """Whether the argument after this one is a secret (`--token VALUE`)."""
    return bool(_FLAG_NAME.match(argument))


@lru_cache
def names_credential_header(name: str) -> bool:
    """Whether an HTTP header of this name carries a credential behind a scheme."""
    return bool(_HEADER_NAME.search(name))


def mask_header(value: str) -> str:
    """A credential header: the scheme stays; of AWS's signature all but the signature itself."""
    if value.startswith("AWS4-") and "Signature=" in value:
        return _ASSIGNMENT.sub(_assigned, value)
    scheme, space, credential = value.strip().partition(" ")
    return f"{scheme} {MASK}" if space and credential and "=" not in scheme else MASK


def mask_size(value: object, *, encoded: bool) -> str:
    """What stands for a value of a Kubernetes Secret: `<N bytes>`.

    Args:
        value: The value; one already masked stays.
        encoded: It is base64, as in `data`; N is the size of what it encodes.
    """
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if SIZE.match(text):
        return text
    try:
        data = base64.b64decode(text, validate=True) if encoded else text.encode()
    except ValueError:
        data = text.encode()
    return f"<{len(data)} bytes>"


def mask_json_secrets(text: str) -> str:
    """The data of Secrets in JSON that is quoted in, or broken off by, something else."""
    if not _JSON_SECRET.search(text):
        return text

    def entry(found: re.Match[str]) -> str:
        return found[0] if SIZE.match(found[2]) else found[1] + MASK

    return _JSON_DATA.sub(lambda data: _JSON_ENTRY.sub(entry, data[0]), text)


def mask_text(text: str) -> str:
    """A text without what has the form or the place of a secret; again changes nothing."""
    if "kind:" in text and _YAML_SECRET.search(text):
        parts = _YAML_DOCUMENT.split(text)
        text = "".join(_yaml_secret(part) if _YAML_SECRET.search(part) else part for part in parts)
    # Not lower(): patterns that ignore case also find the two letters outside ASCII that fold to "s" and "k".
    folded = text.casefold()
    for contained, pattern, replacement in _SHAPES:
        if any(part in folded for part in contained):
            text = pattern.sub(replacement, text)
    if any(part in folded for part in _ENDING_CONTAINS):
        for part, pattern, replacement in _NAMED_SHAPES:
            if part in folded:
                text = pattern.sub(replacement, text)
    return text


def _assigned(found: re.Match[str]) -> str:
    mark = found["quote"] or found["single"] or ""
    return f"{found[1]}{mark}{MASK}{mark}"


def _encoded_pem(found: re.Match[str]) -> str:
    head = found[0][:64].replace("-", "+").replace("_", "/").rstrip("=")
    label = base64.b64decode(head[: len(head) // 4 * 4])
    return MASK if b"PRIVATE KEY" in label else found[0]


def _yaml_secret(document: str) -> str:
    """A Secret written as YAML: `data` and `stringData` keep their keys and lose their values."""
    lines: list[str] = []
    column, level, encoded = -1, -1, False  # of `data:`, of its entries; outside: -1
    for line in document.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        indent = len(bare) - len(bare.lstrip(" "))
        if column >= 0 and (indent > column or not bare.strip()):
            level = indent if level < 0 else level
            entry = _YAML_ENTRY.match(bare)
            if indent == level and entry:
                value = entry["value"].strip().strip("\"'")
                lines.append(f"{entry['key']} {mask_size(value, encoded=encoded)}{line[len(bare) :]}")
            continue  # a line of a longer value: gone with it
        column, level = -1, -1
        header = _YAML_DATA.match(bare)
        if header and header["rest"].strip() not in {"", "{}", "null", MASK}:  # a flow mapping
            lines.append(f"{header['before']}{header['key']}: {MASK}{line[len(bare) :]}")
            continue
        if header:
            column, encoded = len(header["before"]), header["key"] == "data"
        lines.append(line)
    return mask_json_secrets("".join(lines))  # in the annotation of `kubectl apply`


_Replacement = str | Callable[[re.Match[str]], str]
_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str], _Replacement], ...] = (
    (("private key-----",), _PRIVATE_KEY, MASK),
    (("ls0tls1crudjti",), _ENCODED_PEM, _encoded_pem),
    (("eyj",), _JWT, MASK),
    (("fwog", "fqog", "iqoj"), _AWS_SESSION_TOKEN, MASK),
    (("/web/",), _INVITE, rf"\g<1>{MASK}"),
    (("name",), _USER_TOKEN, rf"\g<1>{MASK}"),
    (_HEADER_CONTAINS, _HEADER, lambda found: found[1] + mask_header(found[2])),
    (("bearer",), _BEARER, rf"\g<1>{MASK}"),
)
"""What the fold of a match contains (any of these), the pattern, what stands in its place; in this order."""

_NAMED_SHAPES: tuple[tuple[str, re.Pattern[str], _Replacement], ...] = (
    ("</", _XML_ELEMENT, rf"\g<1>{MASK}\g<2>"),
    (":", _BLOCK_SCALAR, rf"\g<head>{MASK}\n"),
    ("value:", _POD_VARIABLE, _assigned),
    ("", _ASSIGNMENT, _assigned),
    ("--", _FLAG, _assigned),
)
"""The same of patterns with the name of a secret in them; what a match contains besides the name."""
