"""From an installer's output to one line."""

import pytest

from bootstrap.failures import explain


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "error: x\n  cause: Failed to fetch: u\n  cause: No space left on device (os error 28)",
            "free space",
        ),
        ("ERROR: [Errno 122] Disk quota exceeded", "free space"),
        (
            "error: Failed to fetch: u\n  cause: invalid peer certificate: UnknownIssuer",
            "certificate is trusted",
        ),
        ("WARNING: Retrying SSLError(1)\nERROR: No matching distribution", "certificate is trusted"),
        ("error: Hash mismatch for `x`", "hashes of the lock"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "hashes of the lock"),
        ("error: x\n  cause: dns error", "index within reach"),
        ("WARNING: NewConnectionError\nERROR: No matching distribution found", "index within reach"),
        ("error: [Errno 30] Read-only file system: '/x'", "folders that can be written"),
        ("error: x has no usable wheels", "ready-built packages"),
        ("error: entirely new", "the thing"),
    ],
)
def test_the_cause_is_recognized(output: str, expected: str) -> None:
    text = str(explain("the thing", output))
    assert expected in text.partition("; seen: ")[0]
    assert "\n" not in text


def test_the_first_and_the_last_error_line_are_shown() -> None:
    text = str(explain("x", "Resolved 9\nerror: first\n  cause: middle\n  cause: last\n\nhint: no\n"))
    assert "seen: error: first … cause: last;" in text


def test_without_an_error_line_the_last_one_is_shown() -> None:
    assert "seen: two;" in str(explain("x", "one\ntwo\n"))
    assert "seen: no output;" in str(explain("x", "\n"))


def test_passwords_of_index_addresses_are_masked() -> None:
    text = str(explain("x", "error: https://me:hunter22@mirror/simple and http://tok@y/"))
    assert "hunter22" not in text
    assert "tok@" not in text
    assert "https://****@mirror/simple" in text


def test_a_long_line_is_cut() -> None:
    assert len(str(explain("x", "error: " + "a" * 5000))) < 400
