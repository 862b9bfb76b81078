"""The real clients of the workstation: which they are and what versions they tell."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.adapters import processes
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.adapters.simulators import Launcher

HELM_COMMAND = Path(__file__).with_name("helm_command.py")
LAUNCHER_ARGUMENTS = (
    "--program=aws=awscli.__main__",
    "--import=awscli.clidriver",
    "--import=awscli.handlers",
    "--program=helm=harness.adapters.helm_command",
    "--import=click",
    "--import=logging",
    "--import=ctypes",
)
"""For a launcher of the AWS CLI, which saves half a second of imports at each call, and of the Helm command.

Helm's library itself is loaded in the fork: a process that has loaded it cannot be forked. Go looks at the
environment of the process's start, which is the launcher's; so what reaches a chart repository by the proxy is
started from nothing.
"""

_FORKED_HELM = """\
case "$1" in
install | upgrade)
  for argument; do
    case "$argument" in *.tgz) exec {forked} "$@" ;; esac
  done ;;
uninstall) exec {forked} "$@" ;;
esac
"""
"""Calls that speak to Kubernetes alone, by the kubeconfig that they name."""

AWS_CLI_IMAGE = "public.ecr.aws/aws-cli/aws-cli:latest"
"""Image of the pod that shows a service account's AWS identity; in the lab a name for the local `aws`."""


def package_version(name: str) -> str:
    """Version of a package of the suite's own environment."""
    return importlib.metadata.version(name)


def programs(launcher: Launcher | None) -> dict[str, str]:
    """The AWS CLI and the Helm command that the suite brings, as programs of a folder.

    Args:
        launcher: One with `LAUNCHER_ARGUMENTS`, to fork for both; None starts them from nothing.

    Returns:
        `aws` and `helm`: text of a shell script.
    """
    helm = f"exec {shlex.join([sys.executable, '-I', str(HELM_COMMAND)])}"
    aws = f"exec {shlex.quote(str(Path(sys.executable).parent / 'aws'))}"
    if launcher is not None:
        package = importlib.util.find_spec("awscli")
        folders = (package and package.submodule_search_locations) or ()
        # The AWS CLI sets this when it is imported, which was in the launcher.
        data = shlex.quote(":".join(f"{folder}/data" for folder in folders))
        aws = f"export AWS_DATA_PATH={data}\nexec {shlex.join(launcher.command('aws'))}"
        helm = _FORKED_HELM.format(forked=shlex.join(launcher.command("helm"))) + helm
    return {"aws": f'#!/bin/sh\n{aws} "$@"\n', "helm": f'#!/bin/sh\n{helm} "$@"\n'}


def versions(programs: Path, *, env: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """Versions of `aws`, `kubectl` and `helm`, as each tells it of itself (claims pre.*-version).

    Args:
        programs: The workstation's folder of programs.
        env: Environment of the children.
        cwd: Working directory.

    Raises:
        EnvironmentBroken: One does not run.
    """

    def output(*argv: str) -> str:
        completed = processes.run([str(programs / argv[0]), *argv[1:]], env=env, cwd=cwd, within=60)
        return processes.checked(completed, expected=f"{' '.join(argv)} to succeed").stdout

    def number(text: str) -> str:
        found = re.search(r"\d+\.\d+(\.\d+)?\S*", text)
        return found.group().rstrip('",') if found else text.strip()

    return {
        "aws": number(output("aws", "--version")),
        "kubectl": _kubectl_version(output("kubectl", "version", "--client", "-o", "json")),
        "helm": number(output("helm", "version")),
    }


def _kubectl_version(text: str) -> str:
    try:
        return str(json.loads(text)["clientVersion"]["gitVersion"])
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentBroken(
            expected="`kubectl version --client -o json` to tell clientVersion.gitVersion",
            seen=text.strip()[:300] or "nothing",
            remedy="check that kubectl beside kube-apiserver is a real one",
        ) from error
