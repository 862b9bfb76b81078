"""Helm on a workstation of the kind environment, over programs that write down what they are told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import yaml

from harness.adapters.kind_clients import helm_with_values, values

if TYPE_CHECKING:
    from pathlib import Path

Told = Callable[..., list[str]]
NOTES = 'printf "%s" "$(basename "$0")" >>"$NOTED"; printf " %s" "$@" >>"$NOTED"; echo >>"$NOTED"\n'


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """Runs the script with arguments; what kubectl and Helm were told, in order."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("kubectl", "helm-of-the-user"):
        (programs / name).write_text("#!/bin/sh\n" + NOTES)
        (programs / name).chmod(0o755)

    def run(*arguments: str, credentials: Path | None = None) -> list[str]:
        noted = tmp_path / "noted"
        noted.write_text("")
        text = helm_with_values(
            "helm-of-the-user", {"tls": 1}, tmp_path, authority=tmp_path / "ca.pem", credentials=credentials
        )
        script = tmp_path / "helm"
        script.write_text(text)
        subprocess.run(
            ["sh", str(script), *arguments],
            env={"PATH": f"{programs}:/usr/bin:/bin", "NOTED": str(noted)},
            check=True,
        )
        return noted.read_text().splitlines()

    return run


@pytest.mark.parametrize("spelling", [["--namespace", "one"], ["-n", "one"], ["--namespace=one"]])
def test_an_install_gets_the_values_and_the_secret_that_they_name(
    told: Told, tmp_path: Path, spelling: list[str]
) -> None:
    seen = told("install", "agent", "repository/chart", "--set", "roles=kube", *spelling)
    made, installed = seen
    assert made.startswith("kubectl create secret generic conformance-authority --namespace one ")
    assert made.endswith(f"--from-file=ca.pem={tmp_path}/ca.pem")
    assert installed == " ".join(
        [
            "helm-of-the-user install --values",
            f"{tmp_path}/added-values.yaml",
            "agent repository/chart --set roles=kube",
            *spelling,
        ]
    )
    assert yaml.safe_load((tmp_path / "added-values.yaml").read_text()) == {"tls": 1}


def test_a_namespace_is_made_only_where_helm_would_make_it(told: Told) -> None:
    assert told("upgrade", "agent", "chart", "--create-namespace", "-n", "one")[0] == (
        "kubectl create namespace one"
    )
    assert not any("create namespace" in line for line in told("upgrade", "agent", "chart", "-n", "one"))


def test_what_is_rendered_gets_the_values_too(told: Told, tmp_path: Path) -> None:
    seen = told("template", "agent", "chart", "-n", "one", "--no-hooks")[-1]
    assert (
        seen
        == f"helm-of-the-user template --values {tmp_path}/added-values.yaml agent chart -n one --no-hooks"
    )


def test_credentials_of_a_registry_go_by_file(told: Told, tmp_path: Path) -> None:
    seen = told("install", "agent", "chart", "-n", "one", credentials=tmp_path / "config.json")
    assert seen[1] == (
        "kubectl create secret docker-registry conformance-registry --namespace one "
        f"--from-file=.dockerconfigjson={tmp_path}/config.json"
    )


@pytest.mark.parametrize("command", ["uninstall", "list", "version", "repo"])
def test_other_commands_pass_as_they_are(told: Told, command: str) -> None:
    assert told(command, "agent", "-n", "one") == [f"helm-of-the-user {command} agent -n one"]


def test_arguments_keep_their_blanks_and_commas(told: Told) -> None:
    assert "a b\\,c" in told("install", "agent", "chart", "--set", "x=a b\\,c")[1]


def test_an_image_becomes_the_charts_three_values() -> None:
    assert values("registry:5000/team/teleport:14.0.1", pull_secret=True) == {
        "tls": {"existingCASecretName": "conformance-authority"},
        "image": "registry:5000/team/teleport",
        "enterpriseImage": "registry:5000/team/teleport",
        "teleportVersionOverride": "14.0.1",
        "imagePullSecrets": [{"name": "conformance-registry"}],
    }
    assert values(None, pull_secret=False) == {"tls": {"existingCASecretName": "conformance-authority"}}
