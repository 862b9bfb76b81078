"""Sentinel secrets through every channel; what is no secret survives."""

import base64
import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness.core import redaction, secret_shapes
from harness.core.redaction import Redactor

SENTINEL = 's3nt/inel+"va<lue>&=é\\x'
PLAIN = "sentinelsentinelsentinel"
INVITATION = "5e971e150000beef5e971e150000beef"
MASK = "<redacted>"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture
def redactor() -> Redactor:
    return Redactor()


def secret_object(**data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "teleport-agent-0-state", "namespace": "teleport-agent"},
        "type": "Opaque",
        "data": data,
    }


# Each channel holds PLAIN where no rule but the shape of its surroundings can find it.
CHANNELS = {
    "assignment": f"AWS_SECRET_ACCESS_KEY={PLAIN}",
    "credentials file": f"[default]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = {PLAIN}\n",
    "session token": f"aws_session_token={PLAIN}\n",
    "STS answer as JSON": json.dumps({"Credentials": {"SecretAccessKey": PLAIN, "SessionToken": PLAIN}}),
    "STS answer as XML": f"<Credentials><SecretAccessKey>{PLAIN}</SecretAccessKey></Credentials>",
    "signed header": (
        f"Authorization: AWS4-HMAC-SHA256 Credential=AKIA/1, SignedHeaders=host, Signature={PLAIN}"
    ),
    "bearer header": f"authorization: Bearer {PLAIN}",
    "basic header": f"Proxy-Authorization: Basic {PLAIN}",
    "Go's header map": f"map[Authorization:[Basic {PLAIN}] X-Amz-Security-Token:[{PLAIN}]]",
    "bearer in a sentence": f"sent with bearer {PLAIN} to the proxy",
    "session token of the real AWS, anywhere": f"got IQoJ{PLAIN * 3} from the service",
    "cookie": f"Cookie: theme=dark; __Host-session={PLAIN}",
    "security token": f"X-Amz-Security-Token: {PLAIN}",
    "presigned URL": f"https://sts.amazonaws.com/?X-Amz-Security-Token={PLAIN}&X-Amz-Signature={PLAIN}&Action=A",
    "form": f"Action=AssumeRoleWithWebIdentity&WebIdentityToken={PLAIN}&RoleArn=arn",
    "YAML": f"user:\n  password: {PLAIN}\n",
    "YAML, single quotes": f"password: '{PLAIN} with a space'\n",
    "YAML block": f"password: |\n  first line\n  {PLAIN}\nuser: jane\n",
    "JSON with an escaped quote": f'warning\n"password": "a\\"b{PLAIN}"',
    "JSON in JSON": json.dumps({"body": json.dumps({"token": PLAIN})}),
    "JSON in a quoted log field": f'level=debug body="{{\\"password\\": \\"{PLAIN}\\"}}"',
    "JSON line": f'{{"level":"info"}}\n{{"level":"info","token":["{PLAIN}"]}}\n',
    "JSON cut off": f'{{"a": {{"password": "{PLAIN}',
    "list under a secret key": json.dumps({"token": [PLAIN]}),
    "number as password": json.dumps({"password": 123456789012}).replace("123456789012", PLAIN, 0)
    + f" token={PLAIN}",
    "kubeconfig": f"users:\n- name: a\n  user:\n    client-key-data: {PLAIN}\n",
    "invite": f"https://teleport.example.com/web/invite/{PLAIN}?x=1",
    "invitation": json.dumps({"kind": "user_token", "metadata": {"name": INVITATION}}),
    "invitation, indented": json.dumps({"kind": "user_token", "metadata": {"name": INVITATION}}, indent=2),
    "invitation as YAML": f"kind: user_token\nmetadata:\n  name: {INVITATION}\n",
    "invitation in a JSON string": json.dumps({"stdout": json.dumps({"metadata": {"name": INVITATION}})}),
    "invitation in a JSON string in one": json.dumps(
        json.dumps({"stdout": json.dumps({"metadata": {"name": INVITATION}})})
    ),
    "invitation in a log line": f"INFO made user_token name:{INVITATION} kind:user_token",
    "reset": f"https://teleport.example.com/web/reset/{PLAIN}",
    "flag": f"tsh login --auth-token {PLAIN} --proxy=p",
    "helm value": f"helm install --set authToken={PLAIN}",
    "pod variable": f"env:\n- name: AWS_SECRET_ACCESS_KEY\n  value: {PLAIN}\n",
    "pod variable as JSON": json.dumps({"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": PLAIN}]}),
    "Secret as JSON": json.dumps(secret_object(note=encoded(PLAIN)), indent=4),
    "Secret as JSON after a warning": "Warning: old\n"
    + json.dumps(secret_object(note=encoded(PLAIN)), indent=4),
    "Secret as YAML": yaml.safe_dump(secret_object(note=encoded(PLAIN))),
    "Secret as YAML, written by hand": f"kind: Secret\nstringData:\n  note: |\n    {PLAIN}\n  b: {PLAIN}\n",
    "Secret as YAML, on one line": f"kind: Secret\ndata: {{note: {encoded(PLAIN)}}}\n",
    "Secrets in a YAML list": yaml.safe_dump({"kind": "List", "items": [secret_object(note=encoded(PLAIN))]}),
    "Secret as JSON in a log line": f"INFO {json.dumps(secret_object(note=encoded(PLAIN)))}",
    "Secret as JSON in a quoted log field": (
        f"INFO body={json.dumps(json.dumps(secret_object(note=encoded(PLAIN))))}"
    ),
    "Secret as JSON, cut off": '{"kind": "Secret", "data": {"note": "' + encoded(PLAIN),
    "Secret's last applied": yaml.safe_dump(
        {
            "kind": "Secret",
            "metadata": {"annotations": {"last-applied": json.dumps(secret_object(note=encoded(PLAIN)))}},
        }
    ),
}


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS.keys())
def test_a_sentinel_survives_no_channel_and_again_changes_nothing(redactor: Redactor, channel: str) -> None:
    assert PLAIN in channel or encoded(PLAIN) in channel or INVITATION in channel
    clean = redactor.redact(channel)
    assert INVITATION not in clean
    assert PLAIN not in clean
    assert encoded(PLAIN) not in clean
    assert redactor.redact(clean) == clean


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS.keys())
def test_a_sentinel_survives_no_channel_as_bytes_nor_inside_an_object(
    redactor: Redactor, channel: str
) -> None:
    assert PLAIN.encode() not in redactor.redact(channel.encode())
    assert INVITATION.encode() not in redactor.redact(channel.encode())
    inside = json.dumps(redactor.redact({"stdout": channel, "lines": [channel]}))
    assert PLAIN not in inside
    assert INVITATION not in inside


def test_a_registered_secret_is_found_in_every_encoding(redactor: Redactor) -> None:
    redactor.register(SENTINEL)
    forms = {
        SENTINEL,
        quote(SENTINEL),
        quote(SENTINEL, safe=""),
        quote_plus(SENTINEL),
        quote(SENTINEL, safe="").lower(),
        json.dumps(SENTINEL),
        json.dumps(SENTINEL, ensure_ascii=False),
        repr(SENTINEL),
        *(encoded("x" * before + SENTINEL + "x" * after) for before in range(4) for after in range(4)),
        base64.urlsafe_b64encode(SENTINEL.encode()).decode(),
    }
    for form in forms:
        clean = redactor.redact(f"before {form} after")
        assert MASK in clean, form
        assert "s3nt" not in clean
        assert encoded(SENTINEL)[2:-4] not in clean
        assert redactor.redact(clean) == clean


def test_a_registered_secret_is_masked_in_keys_bytes_and_odd_objects(redactor: Redactor) -> None:
    redactor.register(b"\xff\xfe\xfd raw \xff")
    redactor.register(PLAIN)

    @dataclass
    class Answer:
        body: bytes
        path: Path

    clean = redactor.redact({PLAIN: Answer(PLAIN.encode(), Path("/a") / PLAIN), "set": {PLAIN}})
    assert clean == {MASK: {"body": MASK, "path": f"/a/{MASK}"}, "set": [MASK]}
    assert MASK in redactor.redact(base64.b64encode(b"\xff\xfe\xfd raw \xff").decode())


def test_the_longer_of_two_secrets_goes_first(redactor: Redactor) -> None:
    redactor.register("abcdef")
    redactor.register("abcdef-ghijkl")
    assert redactor.redact("abcdef-ghijkl") == MASK


@pytest.mark.parametrize("short", ["", "abcde", b"abcde"])
def test_a_secret_too_short_to_mask_is_refused_loudly(redactor: Redactor, short: str | bytes) -> None:
    with pytest.raises(ValueError, match="cannot be masked"):
        redactor.register(short)


def test_private_keys_go_and_certificates_stay(redactor: Redactor) -> None:
    key = private_key()
    body = key.splitlines()[1]
    certificate = "-----BEGIN CERTIFICATE-----\nMIIBsentinel\n-----END CERTIFICATE-----\n"
    for text in (key, textwrap.indent(key, "    "), json.dumps(key), key[:90], f"a\n{key}b"):
        assert body[:20] not in redactor.redact(text)
    assert redactor.redact(encoded(key)) == MASK
    assert redactor.redact(f"{certificate}{key}{certificate}") == f"{certificate}{MASK}\n{certificate}"
    assert redactor.redact(encoded(certificate)) == encoded(certificate)


def test_web_tokens_go_wherever_they_stand(redactor: Redactor) -> None:
    token = jwt.encode({"iss": "https://oidc", "sub": "system:serviceaccount:a:b"}, "k" * 32)
    assert redactor.redact(f"log {token}, end") == f"log {MASK}, end"
    assert redactor.redact({"argv": ["curl", token]}) == {"argv": ["curl", MASK]}


def test_a_secret_object_keeps_its_keys_and_tells_sizes_and_the_original_is_untouched(
    redactor: Redactor,
) -> None:
    original = secret_object(**{"auth-token": encoded("kube-iam-token\n"), "empty": ""})
    before = json.dumps(original)
    clean = redactor.redact(original)
    assert clean["data"] == {"auth-token": "<15 bytes>", "empty": "<0 bytes>"}
    assert clean["metadata"] == original["metadata"]
    assert json.dumps(original) == before
    assert redactor.redact(clean) == clean
    assert json.loads(redactor.redact(before)) == clean
    assert yaml.safe_load(redactor.redact(yaml.safe_dump(original))) == clean


def test_secrets_of_a_client_library_are_recognised_without_their_kind(redactor: Redactor) -> None:
    class Model:
        def to_dict(self) -> Mapping[str, object]:
            return {"api_version": None, "kind": None, "type": "Opaque", "data": {"note": encoded(PLAIN)}}

    assert redactor.redact([Model()])[0]["data"] == {"note": f"<{len(PLAIN)} bytes>"}
    release = {"type": "helm.sh/release.v1", "data": {"release": encoded(PLAIN)}}
    assert redactor.redact(release)["data"] == {"release": f"<{len(PLAIN)} bytes>"}


def test_only_the_secrets_of_a_manifest_lose_their_data(redactor: Redactor) -> None:
    config = "kind: ConfigMap\ndata:\n  teleport.yaml: |\n    version: v3\n"
    secret = "kind: Secret\ndata:\n  note: aGVsbG8=\nmetadata:\n  name: a\n"
    clean = redactor.redact(f"---\n{config}---\n{secret}---\n{config}")
    assert clean == f"---\n{config}---\n{secret.replace('aGVsbG8=', '<5 bytes>')}---\n{config}"


def test_argv_loses_what_follows_a_secret_flag(redactor: Redactor) -> None:
    assert redactor.redact(["tsh", "--token", PLAIN, "--proxy", "p"]) == [
        "tsh",
        "--token",
        MASK,
        "--proxy",
        "p",
    ]
    assert redactor.redact(["tsh", f"--token={PLAIN}"]) == ["tsh", f"--token={MASK}"]


def test_a_number_can_be_a_password(redactor: Redactor) -> None:
    assert redactor.redact({"password": 12345678}) == {"password": MASK}
    assert "12345678" not in redactor.redact('{"password": 12345678}')


def test_headers_in_objects_lose_their_credentials(redactor: Redactor) -> None:
    clean = redactor.redact(
        {
            "Authorization": [f"Basic {PLAIN}"],
            "authorization": f"AWS4-HMAC-SHA256 Credential=AKIA/1, Signature={PLAIN}",
            "X-Amz-Security-Token": [PLAIN],
            "Accept": ["application/json"],
        }
    )
    assert clean == {
        "Authorization": [f"Basic {MASK}"],
        "authorization": f"AWS4-HMAC-SHA256 Credential=AKIA/1, Signature={MASK}",
        "X-Amz-Security-Token": [MASK],
        "Accept": ["application/json"],
    }


NOT_SECRET = [
    "kind: token\nversion: v2\nmetadata:\n  name: kube-iam-token\nspec:\n  join_method: iam\n",
    "join_params:\n  method: iam\n  token_name: kube-iam-token\n",
    "helm install --set joinParams.tokenName=kube-iam-token --set joinParams.method=iam",
    '{"event": "instance.join", "method": "iam", "token_name": "kube-iam-token"}',
    "tctl rm token/kube-iam-token",
    'the token does not allow "Kube" role',
    # Names that are no invitation: one has 32 hexadecimal digits, and a host's id has dashes.
    '{"name": "0123abcd-0123-4abc-8def-0123456789ab"}',
    json.dumps({"stdout": '{"name": "0123abcd-0123-4abc-8def-0123456789ab"}'}),
    "name: 0123abcd-0123-4abc-8def-0123456789ab",
    f'{{"name": "{"0123456789abcdef" * 4}"}}',
    '{"name": "0123456789abcdef"}',
    '{"name": "teleport-kube-agent-a1b2c3-state"}',
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    '{"uid": "0123456789abcdef0123456789abcdef"}',
    "AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    "automountServiceAccountToken: true\nvolumes:\n- secret:\n    secretName: state\n",
    "volumes:\n- projected:\n    sources:\n    - serviceAccountToken:\n        path: token\n",
    "AWS_ROLE_ARN=arn:aws:iam::123456789012:role/kube-iam-role",
    "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
    '{"a": 1,   "b": [1, 2]}',
    "password: null\ntoken: false\n",
]


@pytest.mark.parametrize("text", NOT_SECRET)
def test_what_is_no_secret_survives_byte_for_byte(redactor: Redactor, text: str) -> None:
    assert redactor.redact(text) == text


def test_objects_that_hold_no_secret_come_back_equal(redactor: Redactor) -> None:
    value = {
        "metadata": {"name": "kube-iam-token", "expires": None},
        "spec": {"token_name": "kube-iam-token", "tokenName": "kube-iam-token", "count": 3, "ratio": 0.5},
        "serviceAccountToken": {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"},
        "automountServiceAccountToken": True,
        "password": "",
    }
    assert redactor.redact(value) == value


def test_everything_becomes_what_json_knows(redactor: Redactor) -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    clean = redactor.redact({"at": moment, 1: (b"raw", Path("/a")), "none": None})
    assert clean == {"at": "2024-01-02T03:04:05+00:00", "1": ["raw", "/a"], "none": None}
    assert redactor.redact(b"\xff not text \xff") == b"\xff not text \xff"


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "text", ["a" * 300_000, "-" * 300_000, "{" * 3_000, "[\n" * 3_000, '{"a":\n' * 2_000]
)
def test_long_texts_take_no_unreasonable_time(redactor: Redactor, text: str) -> None:
    assert redactor.redact(text) == text


def test_a_text_seen_before_is_masked_once_its_secret_is_known(redactor: Redactor) -> None:
    assert redactor.redact([PLAIN]) == [PLAIN]
    redactor.register(PLAIN)
    assert redactor.redact([PLAIN]) == [MASK]


def test_many_texts_are_not_kept(redactor: Redactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_MOST_REMEMBERED", 2)
    assert redactor.redact(["a", "b", "c", "d", "a"]) == ["a", "b", "c", "d", "a"]
    assert len(redactor._remembered) <= 2


def test_no_pattern_matches_what_is_not_searched_for_it() -> None:
    texts = [changed for text in CHANNELS.values() for changed in (text, text.upper(), text.swapcase())]
    texts += [
        "tOKEN=abcdef",
        "\u017fecret=abcdef",
        "api\u212aey=abcdef",
        private_key(),
        encoded(private_key()),
    ]
    texts += [jwt.encode({"sub": "a" * 20}, "k" * 32), f"FwoG{'a' * 70}", "--my-token abcdef"]
    seen: set[str] = set()
    for text in texts:
        for contained, pattern, _ in secret_shapes._SHAPES:
            for match in pattern.finditer(text):
                assert any(part in match[0].casefold() for part in contained), pattern.pattern
                seen.add(pattern.pattern)
        for part, pattern, _ in secret_shapes._NAMED_SHAPES:
            for match in pattern.finditer(text):
                assert part in match[0].casefold(), pattern.pattern
                assert any(name in match[0].casefold() for name in secret_shapes._ENDING_CONTAINS)
                seen.add(pattern.pattern)
    shapes = (*secret_shapes._SHAPES, *secret_shapes._NAMED_SHAPES)
    assert seen == {pattern.pattern for _, pattern, _ in shapes}
