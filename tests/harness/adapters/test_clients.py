"""The versions that the workstation's clients tell of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.adapters import clients, daemons, processes, simulated_product
from harness.adapters.workstation import install_programs
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.adapters.simulators import Launcher
    from harness.core.ledger import Ledger

AWS = "#!/bin/sh\necho 'aws-cli/2.15.17 Python/3.11.6 Linux/6.1 exe/x86_64'\n"
KUBECTL = """#!/bin/sh
[ "$*" = "version --client -o json" ] || exit 9
echo '{"clientVersion": {"major": "1", "gitVersion": "v1.32.2"}, "kustomizeVersion": "v5.5.0"}'
"""
HELM = """#!/bin/sh
echo 'version.BuildInfo{Version:"v3.14.0", GitCommit:"3fc9f4b2", GoVersion:"go1.21.5"}'
"""


def test_versions_are_what_the_programs_tell(
    tmp_path: Path, env: dict[str, str], program: Callable[..., Path]
) -> None:
    for name, text in (("aws", AWS), ("kubectl", KUBECTL), ("helm", HELM)):
        program(tmp_path / "bin", name, text)
    assert clients.versions(tmp_path / "bin", env=env, cwd=tmp_path) == {
        "aws": "2.15.17",
        "kubectl": "v1.32.2",
        "helm": "3.14.0",
    }


@pytest.mark.parametrize("answer", ["not JSON", "{}", '{"clientVersion": null}', "[]"])
def test_a_kubectl_that_is_none_is_told(
    tmp_path: Path, env: dict[str, str], program: Callable[..., Path], answer: str
) -> None:
    for name, text in (("aws", AWS), ("kubectl", f"#!/bin/sh\necho '{answer}'\n"), ("helm", HELM)):
        program(tmp_path / "bin", name, text)
    with pytest.raises(EnvironmentBroken, match=r"to tell clientVersion.gitVersion"):
        clients.versions(tmp_path / "bin", env=env, cwd=tmp_path)


def test_a_client_that_fails_is_told_with_its_last_words(
    tmp_path: Path, env: dict[str, str], program: Callable[..., Path]
) -> None:
    for name, text in (("aws", AWS), ("kubectl", KUBECTL)):
        program(tmp_path / "bin", name, text)
    program(tmp_path / "bin", "helm", "#!/bin/sh\necho 'no module named helm_python' >&2\nexit 1\n")
    with pytest.raises(EnvironmentBroken, match="helm version to succeed") as caught:
        clients.versions(tmp_path / "bin", env=env, cwd=tmp_path)
    assert "no module named helm_python" in caught.value.seen


def test_a_package_is_known_by_its_version() -> None:
    assert clients.package_version("moto").split(".")[0].isdigit()


@pytest.fixture
def launcher(tmp_path: Path, env: dict[str, str], ledger: Ledger, run_id: str) -> Iterator[Launcher]:
    """A launcher of the AWS CLI."""
    yield simulated_product.start_launcher(
        tmp_path / "clients", env=env, ledger=ledger, arguments=clients.LAUNCHER_ARGUMENTS
    )
    daemons.stop_all(run_id)


def test_the_aws_cli_is_the_same_from_a_launcher(
    tmp_path: Path, env: dict[str, str], launcher: Launcher
) -> None:
    """Version, data, environment and exit status; nothing listens, so no call succeeds."""
    answers = []
    for name, made in (("forked", clients.programs(launcher)), ("own", clients.programs(None))):
        programs = install_programs(tmp_path / name, {"aws": made["aws"]})
        asked = [
            ["--version"],
            ["configure", "list"],
            ["sts", "get-caller-identity", "--no-sign-request", "--endpoint-url", "http://127.0.0.1:1"],
            ["iam", "no-such-command"],
        ]
        variables = env | {"AWS_MAX_ATTEMPTS": "1", "AWS_DEFAULT_REGION": "eu-west-9"}
        answers.append(
            [processes.run([str(programs / "aws"), *words], env=variables, cwd=tmp_path) for words in asked]
        )
    told = [[(one.exit_code, one.stdout, one.stderr) for one in answer] for answer in answers]
    assert told[0] == told[1]
    assert [one.exit_code for one in answers[0]] == [0, 0, 255, 2]
    assert "eu-west-9" in answers[0][1].stdout
    assert "Could not connect to the endpoint URL" in answers[0][2].stderr
