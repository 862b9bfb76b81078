"""Keeps credentials out of what a run writes down.

Called at the two choke points of the evidence (and where a time-out quotes what it last saw).
Works on copies, keeps keys and masks values. Two nets: values that the run knows to be secret
are registered and found in any encoding; everything else goes by its shape or its key. The name
of an IAM join token is no secret (guide, step 2) and survives.
"""

import base64
import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, overload
from urllib.parse import quote, quote_plus

from harness.core import secret_shapes
from harness.core.secret_shapes import MASK

SHORTEST_SECRET = 6
_SHORT = 300  # characters of a text that is remembered
_MOST_REMEMBERED = 10_000

_JSON_START = re.compile(r"^[ \t]*(?=[\[{])", re.MULTILINE)


class Redactor:
    """Masks secrets in texts and objects; one for the whole process, `redactor`."""

    def __init__(self) -> None:
        self._forms: list[str] = []
        # What short texts became; the same keys and values come with every reading. Registering takes a new
        # one, after the forms, so that nothing masked by fewer forms is ever found in it.
        self._remembered: dict[str, str] = {}

    def register(self, secret: str | bytes) -> None:
        """Make a value known as secret: from now on it is masked in every text, in any encoding.

        Args:
            secret: The value, at least 6 characters long.

        Raises:
            ValueError: It is shorter; masking it would destroy every text.
        """
        data = secret.encode() if isinstance(secret, str) else secret
        if len(data) < SHORTEST_SECRET:
            raise ValueError(
                f"a secret of {len(data)} bytes cannot be masked; make it {SHORTEST_SECRET} or longer"
            )
        # The longest first, or a part of one would be masked and the rest of it be left.
        self._forms = sorted({*self._forms, *_forms(data)}, key=lambda form: (-len(form), form))
        self._remembered = {}

    @overload
    def redact(self, value: str) -> str: ...
    @overload
    def redact(self, value: bytes) -> bytes: ...
    @overload
    def redact(self, value: object) -> Any: ...
    def redact(self, value: object) -> Any:
        """A copy of a value without its secrets; redacting it again changes nothing.

        Args:
            value: Text, bytes, or an object of mappings and sequences; dataclasses and
                objects with `to_dict` become mappings, what JSON does not know becomes text.

        Returns:
            str for str, bytes for bytes, else what `json.dumps` accepts.
        """
        if isinstance(value, bytes):
            return self._text(value.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        return self._plain(value)

    def _plain(self, value: object) -> Any:
        if type(value) is str:  # what most are
            return self._text(value)
        if isinstance(value, bytes | bytearray):
            value = value.decode(errors="replace")
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
        elif callable(to_dict := getattr(value, "to_dict", None)) and isinstance(made := to_dict(), Mapping):
            value = made
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple | set | frozenset):
            return self._sequence(list(value))
        return self._text(value.isoformat() if isinstance(value, date) else str(value))

    def _sequence(self, items: list[Any]) -> list[Any]:
        follows_flag = [
            False,
            *(isinstance(item, str) and secret_shapes.is_secret_flag(item) for item in items),
        ]
        return [
            MASK if masked and isinstance(item, str) and not item.startswith("-") else self._plain(item)
            for masked, item in zip(follows_flag, items, strict=False)
        ]

    def _mapping(self, mapping: Mapping[Any, Any]) -> dict[str, Any]:
        is_secret = _is_kubernetes_secret(mapping)
        name = mapping.get("name")
        is_secret_variable = isinstance(name, str) and secret_shapes.names_secret_variable(name)
        result: dict[str, Any] = {}
        for raw_key, value in mapping.items():
            key = str(raw_key)
            masked: Any
            if is_secret and key in {"data", "stringData", "string_data"} and isinstance(value, Mapping):
                masked = {
                    self._known(str(entry)): secret_shapes.mask_size(content, encoded=key == "data")
                    for entry, content in value.items()
                }
            elif secret_shapes.names_secret(key) or (key == "value" and is_secret_variable):
                masked = self._masked(value)
            elif secret_shapes.names_credential_header(key):
                masked = self._header(value)
            else:
                masked = self._plain(value)
            result[self._known(key)] = masked
        return result

    def _header(self, value: object) -> Any:
        if isinstance(value, list | tuple):  # Go has a list of values for each header
            return [self._header(item) for item in value]
        return secret_shapes.mask_header(self._known(value)) if isinstance(value, str) else self._plain(value)

    def _masked(self, value: object) -> Any:
        if value is None or isinstance(value, bool) or value in ("", b""):
            return self._plain(value)
        if isinstance(value, Mapping):  # a projected `serviceAccountToken` says where, not what
            return self._mapping(value)
        if isinstance(value, list | tuple):
            return [self._masked(item) for item in value]
        return value if isinstance(value, str) and secret_shapes.SIZE.match(value) else MASK

    def _known(self, text: str) -> str:
        if not self._forms or len(text) < len(self._forms[-1]):
            return text
        for form in self._forms:
            if len(form) <= len(text):
                text = text.replace(form, MASK)
        return text

    def _text(self, text: str) -> str:
        remembered = self._remembered
        if (masked := remembered.get(text)) is not None:
            return masked
        masked = secret_shapes.mask_text(self._json_inside(self._known(text)))
        if len(text) <= _SHORT:
            if len(remembered) >= _MOST_REMEMBERED:
                remembered.clear()
            remembered[text] = masked
        return masked

    def _json_inside(self, text: str) -> str:
        """Documents in a text (all of it, one per line, after a warning) are masked as objects."""
        parts: list[str] = []
        read = 0
        for start in _JSON_START.finditer(text):
            if start.end() < read:
                continue
            try:
                document, end = json.JSONDecoder().raw_decode(text, start.end())
            except (ValueError, RecursionError):
                continue
            between, original = text[read : start.end()], text[start.end() : end]
            masked = self._plain(document)
            if masked != document:
                original = json.dumps(masked, ensure_ascii=False, indent=2 if "\n" in original else None)
            parts += [secret_shapes.mask_json_secrets(between), original]
            read = end
        return "".join([*parts, secret_shapes.mask_json_secrets(text[read:])])


def _forms(secret: bytes) -> set[str]:
    """The texts in which a secret can appear."""
    forms = set()
    for skipped, carried in ((0, 0), (1, 2), (2, 3)):
        # Base64 of a text with the secret somewhere inside: the characters that also carry bits of
        # what stands before and behind it are left out.
        encoded = base64.b64encode(bytes(skipped) + secret).decode().rstrip("=")
        end = len(encoded) if (skipped + len(secret)) % 3 == 0 else len(encoded) - 1
        forms |= {encoded[carried:end], encoded[carried:end].replace("+", "-").replace("/", "_")}
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return forms
    quoted = {quote(text, safe=""), quote(text), quote_plus(text)}
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    # Go's encoder escapes these three as well.
    escaped |= {re.sub("[&<>]", lambda found: f"\\u{ord(found[0]):04x}", form) for form in escaped}
    lower = {re.sub("%..", lambda found: found[0].lower(), form) for form in quoted}
    return {*forms, text, repr(text)[1:-1], *quoted, *lower, *escaped}


def _is_kubernetes_secret(mapping: Mapping[Any, Any]) -> bool:
    """A Secret; items of a list have no kind, but no other kind has a type beside its data."""
    kind, type_ = mapping.get("kind"), mapping.get("type")
    typed = isinstance(type_, str) and (type_ == "Opaque" or "/" in type_)
    return kind == "Secret" or (not kind and typed and isinstance(mapping.get("data"), Mapping))


redactor = Redactor()


@overload
def redact(value: str) -> str: ...
@overload
def redact(value: bytes) -> bytes: ...
@overload
def redact(value: object) -> Any: ...
def redact(value: object) -> Any:
    """`Redactor.redact` of the process's own redactor."""
    return redactor.redact(value)
