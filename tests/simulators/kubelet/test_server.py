"""The kubelet API: logs and refusals."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.simulators.kubelet.conftest import Lab, Make


LINES = "for i in 1 2 3 4 5; do echo line $i; done; echo to stderr >&2; printf unfinished"


@pytest.fixture
def pod(lab: Lab, make: type[Make]) -> str:
    name = lab.pod(make.sh(LINES), restartPolicy="Never")
    lab.until(lambda: lab.phase(name) == "Succeeded")
    return name


def test_both_streams_are_logged_in_order(lab: Lab, pod: str) -> None:
    lines = [f"line {i}" for i in range(1, 6)]
    assert lab.logs(pod).splitlines() == [*lines, "to stderr", "unfinished"]


def test_a_log_can_be_cut(lab: Lab, pod: str) -> None:
    assert lab.logs(pod, tailLines=2) == "to stderr\nunfinished\n"
    assert lab.logs(pod, limitBytes=8) == "line 1\nl"
    assert lab.logs(pod, tailLines=0) == ""
    assert lab.logs(pod, sinceSeconds=600).startswith("line 1")
    assert lab.logs(pod, sinceTime="2999-01-01T00:00:00Z") == ""


def test_lines_can_have_their_times(lab: Lab, pod: str) -> None:
    stamp, _, text = lab.logs(pod, timestamps="true").splitlines()[0].partition(" ")
    assert text == "line 1"
    assert stamp[-11] == "."
    assert abs((datetime.fromisoformat(stamp) - datetime.now(UTC)).total_seconds()) < 60


def test_following_ends_with_the_container(lab: Lab, make: type[Make]) -> None:
    flag = lab.folder / "follow-flag"
    pod = lab.pod(
        make.sh(f"echo early; until test -e {flag}; do sleep 0.05; done; echo late"), restartPolicy="Never"
    )
    lab.until(lambda: lab.running(pod) and lab.printed(pod, "early"))
    with lab.call(f"/containerLogs/default/{pod}/main?follow=true") as response:
        assert response.readline() == b"early\n"
        flag.touch()
        assert response.read() == b"late\n"


def test_the_attempt_before_has_a_log_of_its_own(lab: Lab, make: type[Make]) -> None:
    flag = lab.folder / "previous-flag"
    script = f"if test -e {flag}; then echo second; exec sleep 60; fi; touch {flag}; echo first; exit 1"
    pod = lab.pod(make.sh(script))
    lab.until(lambda: lab.running(pod) and lab.printed(pod, "second"))
    assert lab.logs(pod, previous="true") == "first\n"


def test_what_is_not_there_is_refused(lab: Lab, pod: str) -> None:
    answers = {
        f"/containerLogs/default/{pod}/other": (404, "is not found in pod"),
        "/containerLogs/default/nobody/main": (404, "not found"),
        f"/containerLogs/default/{pod}/main?previous=true": (400, "previous terminated container"),
        f"/containerLogs/default/{pod}/main?tailLines=x": (400, "invalid literal"),
        f"/attach/default/{pod}/main": (501, "does not offer attach"),
    }
    for path, (status, text) in answers.items():
        with lab.call(path) as response:
            assert (response.status, text in response.read().decode()) == (status, True), path


def test_health_is_told_to_callers_with_a_certificate_only(lab: Lab) -> None:
    with lab.call("/healthz") as response:
        assert response.read() == b"ok"
    with pytest.raises((ssl.SSLError, ConnectionError)), lab.call("/healthz", certificate=False):
        pass
