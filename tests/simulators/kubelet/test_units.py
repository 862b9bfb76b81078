"""Decisions, expansion, ports and configuration, each on its own."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.kubelet import decisions, environment, ports
from simulators.kubelet.config import ConfigError, load
from simulators.kubelet.objects import ContainerStatus, State, Terminated, Waiting
from simulators.kubelet.status import PodState, phase

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_back_off_doubles_from_ten_seconds_to_five_minutes() -> None:
    assert [decisions.back_off(n) for n in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert decisions.back_off(10_000) == 300
    assert decisions.back_off_forgotten(600)
    assert not decisions.back_off_forgotten(599)


@pytest.mark.parametrize(
    ("policy", "code", "restarted"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_restart_policy(policy: str, code: int, restarted: bool) -> None:
    assert decisions.restart_after_exit(policy, code) is restarted


@pytest.mark.parametrize(
    ("life", "age", "due"),
    [(3600, 2879, False), (3600, 2880, True), (10**6, 86_399, False), (10**6, 86_400, True)],
)
def test_a_token_is_due_at_four_fifths_of_its_life_or_after_a_day(life: int, age: int, due: bool) -> None:
    expires, now = NOW + timedelta(seconds=life), NOW + timedelta(seconds=age)
    assert decisions.token_due_for_renewal(NOW, expires, now) is due


def test_thresholds_count_results_in_a_row() -> None:
    assert decisions.state_after_probe(False, True, 1, (2, 3)) is False
    assert decisions.state_after_probe(False, True, 2, (2, 3)) is True
    assert decisions.state_after_probe(True, False, 2, (2, 3)) is True
    assert decisions.state_after_probe(True, False, 3, (2, 3)) is False
    assert decisions.state_after_probe(None, False, 1, (1, 2)) is None


def test_grace_periods() -> None:
    assert decisions.grace_period(None, None) == 30
    assert decisions.grace_period(5, None) == 5
    assert decisions.grace_period(5, 0) == 0


def test_images_are_globs_on_the_whole_reference() -> None:
    assert decisions.image_known("public.example/team/agent:13", "public.example/team/agent:*")
    assert not decisions.image_known(
        "evil.example/public.example/team/agent:13", "public.example/team/agent:*"
    )


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2"}) == expanded


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", "1", "2"),
        ("limits.cpu", "1m", "1500"),
        ("limits.memory", "1Mi", "128"),
        ("limits.memory", "0", "134217728"),
        ("requests.cpu", "1", "0"),
    ],
)
def test_resource_fields(resource: str, divisor: str, value: str) -> None:
    container = {"resources": {"limits": {"cpu": "1500m", "memory": "128Mi"}}}
    assert environment.resource_value(container, {"resource": resource, "divisor": divisor}) == value


def test_fields_of_the_pod() -> None:
    pod = {
        "metadata": {
            "name": "p",
            "namespace": "n",
            "uid": "u",
            "labels": {"b": "2", "a": "1"},
            "annotations": {"x/y": "z"},
        },
        "spec": {"nodeName": "node", "serviceAccountName": "sa"},
    }
    wanted = {
        "metadata.labels['a']": "1",
        "metadata.annotations['x/y']": "z",
        "metadata.annotations['none']": "",
        "metadata.labels": 'a="1"\nb="2"',
        "spec.nodeName": "node",
        "spec.serviceAccountName": "sa",
        "metadata.uid": "u",
        "status.podIP": "127.0.0.1",
    }
    assert {path: environment.field_value(pod, path) for path in wanted} == wanted
    with pytest.raises(environment.ConfigurationError, match=r"status\.phase"):
        environment.field_value(pod, "status.phase")


@pytest.mark.parametrize(
    ("argument", "rewritten"),
    [
        ("--diag-addr=0.0.0.0:3000", "--diag-addr=127.0.0.1:41234"),
        ("--diag-addr=:3000", "--diag-addr=127.0.0.1:41234"),
        (":3000", "127.0.0.1:41234"),
        ("http://0.0.0.0:3000/path", "http://127.0.0.1:41234/path"),
        ("--diag-addr=0.0.0.0:30001", "--diag-addr=0.0.0.0:30001"),
        ("--proxy=tele.example:3000", "--proxy=tele.example:3000"),
        ("--diag-addr=0.0.0.0:9090", "--diag-addr=127.0.0.1:3000"),
    ],
)
def test_ports_are_moved_where_they_are_listened_on(argument: str, rewritten: str) -> None:
    assert ports.rewrite([argument], {9090: 3000, 3000: 41234})[0] == [rewritten]


def test_ports_have_names() -> None:
    container = {
        "ports": [{"name": "diag", "containerPort": 3000}],
        "livenessProbe": {"tcpSocket": {"port": 81}},
    }
    assert ports.declared(container) == {81: "81", 3000: "diag"}
    assert ports.resolve(container, "diag") == 3000
    with pytest.raises(LookupError, match="nothing"):
        ports.resolve(container, "nothing")


def ended(code: int) -> Terminated:
    return Terminated(code, "", "", NOW, NOW, "id")


@pytest.mark.parametrize(
    ("states", "policy", "leaving", "expected"),
    [
        ([ended(0), ended(0)], "Never", False, "Succeeded"),
        ([ended(0), ended(1)], "Never", False, "Failed"),
        ([ended(0), ended(1)], "OnFailure", False, "Running"),
        ([ended(0), ended(0)], "Always", False, "Running"),
        ([ended(0), ended(0)], "Always", True, "Succeeded"),
        ([ended(0), Waiting("ContainerCreating")], "Always", False, "Pending"),
        ([ended(0), Waiting("ContainerCreating")], "Always", True, "Failed"),
    ],
)
def test_phases(states: list[State], policy: str, leaving: bool, expected: str) -> None:
    main = [ContainerStatus(str(i), "image", state) for i, state in enumerate(states)]
    assert phase(PodState([], main, initialized=True, leaving=leaving), policy) == expected


GOOD = {
    "run": "a",
    "node": "n",
    "kubeconfig": "/k",
    "folder": "/f",
    "listen": "127.0.0.1:0",
    "serving_certificate": "/c",
    "serving_key": "/k",
    "client_ca": "/a",
    "images": [{"name": "*", "entrypoint": ["x"]}],
    "environment": {},
    "isolation": "none",
    "ready": "/r",
}


def test_a_good_configuration_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(GOOD))
    config = load(path)
    assert (config.host, config.port, config.images[0].path) == ("127.0.0.1", 0, None)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"listen": "0.0.0.0:10250"}, "loopback"),
        ({"isolation": "container"}, "isolation"),
        ({"isolaton": "none"}, "isolaton"),
        ({"images": [{"entrypoint": []}]}, "name"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_4(
    tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(ConfigError, match=text) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 1


def test_the_program_tells_a_user_of_a_wrong_configuration(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators.kubelet", str(tmp_path / "absent.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 4
    assert done.stderr.startswith("kubelet: expected a configuration file at")
    assert len(done.stderr.splitlines()) == 1


def test_without_mounts_variables_name_the_folders() -> None:
    places = {"/var/run/secrets": "/pods/a", "/var/run/secrets/inner": "/pods/b"}
    variables = {
        "FILE": "/var/run/secrets/token",
        "INNER": "/var/run/secrets/inner/token",
        "FOLDER": "/var/run/secrets",
        "BESIDE": "/var/run/secrets-of-another/token",
        "TEXT": "see /var/run/secrets/token",
    }
    assert environment.relocated(variables, places) == variables | {
        "FILE": "/pods/a/token",
        "INNER": "/pods/b/token",
        "FOLDER": "/pods/a",
    }
