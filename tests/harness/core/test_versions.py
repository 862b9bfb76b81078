"""Versions are read from what programs really print."""

import pytest

from harness.core.versions import numbers, told_by_clients, told_by_kubectl, told_by_status


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v1.32.2", (1, 32, 2)),
        ("13.0.0-dev+simulated", (13, 0, 0)),
        ("12.0.0-aa", (12, 0, 0)),
        ('version.BuildInfo{Version:"v3.22", GitCommit:""}', (3, 22, 0)),
        ("aws-cli/1.46.3 Python/3.11.7 botocore/1.43.62", (1, 46, 3)),
    ],
)
def test_the_first_version_counts(text: str, expected: tuple[int, int, int]) -> None:
    assert numbers(text) == expected


@pytest.mark.parametrize("text", ["", "no version here", "1"])
def test_a_text_without_a_version_is_no_version(text: str) -> None:
    with pytest.raises(AssertionError, match="expected: a version"):
        numbers(text)


def test_versions_compare_as_numbers() -> None:
    assert numbers("1.9.9") < numbers("1.10.0") < numbers("2.0.0")


def test_clients_tell_theirs_and_not_the_proxys() -> None:
    assert told_by_clients("Teleport v13.0.0-dev git: go1.19.5\nProxy version: 12.4.0\n") == ("13.0.0-dev",)
    assert told_by_clients("ERROR: no Teleport v1.0.0") == ()


@pytest.mark.parametrize(
    "output",
    [
        "Client Version: v1.17.0\nKustomize Version: v5.5.0\nServer Version: v1.32.2\n",
        (
            'Client Version: version.Info{Major:"1", Minor:"17", GitVersion:"v1.17.0", GitCommit:"x"}\n'
            'Server Version: version.Info{Major:"1", Minor:"32", GitVersion:"v1.32.2", GitCommit:"x"}\n'
        ),
    ],
)
def test_kubectl_tells_both(output: str) -> None:
    assert told_by_kubectl(output) == {"Client": "v1.17.0", "Server": "v1.32.2"}
    assert told_by_kubectl(output.partition("Server")[0]) == {"Client": "v1.17.0"}


def test_status_is_rows() -> None:
    output = "Cluster     tele.example.com       \nhost CA     never updated \nCA pin      sha256:00 \n\n"
    assert told_by_status(output) == {
        "Cluster": "tele.example.com",
        "host CA": "never updated",
        "CA pin": "sha256:00",
    }
