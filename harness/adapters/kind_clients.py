"""Helm on a workstation of the kind environment: the chart's own values bring the run's authority to the agent."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import yaml

from harness.adapters.kubernetes import AUTHORITY, AUTHORITY_KEY, PULL_SECRET

if TYPE_CHECKING:
    from pathlib import Path


def values(agent_image: str | None, *, pull_secret: bool) -> dict[str, Any]:
    """What the harness adds to the values of every release.

    Args:
        agent_image: Image with a tag that the agent shall be; None for the chart's own choice.
        pull_secret: Whether the image needs credentials.
    """
    image: dict[str, Any] = {}
    if agent_image is not None:
        name, _, tag = agent_image.rpartition(":")
        # The chart takes the one or the other by its value `enterprise`.
        image = {"image": name, "enterpriseImage": name, "teleportVersionOverride": tag}
    secrets = {"imagePullSecrets": [{"name": PULL_SECRET}]} if pull_secret else {}
    return {"tls": {"existingCASecretName": AUTHORITY}, **image, **secrets}


def helm_with_values(
    helm: str, added: dict[str, Any], folder: Path, *, authority: Path, credentials: Path | None = None
) -> str:
    """The text of a script that runs Helm with the harness's values below the reader's own.

    The Secrets that the values name are made first, in the release's namespace, which Helm would make else
    (`--create-namespace`); where it would refuse for want of a namespace it still does.

    Args:
        helm: Shell words that run Helm.
        added: Made by `values`.
        folder: For the file of values.
        authority: The run's certificate authority.
        credentials: A Docker configuration with the credentials of a registry.
    """
    file = folder / "added-values.yaml"
    file.write_text(yaml.safe_dump(added))
    authority_secret = (
        f'kubectl create secret generic {AUTHORITY} --namespace "$namespace" '
        f"--from-file={AUTHORITY_KEY}={shlex.quote(str(authority))}"
    )
    make = [authority_secret]
    if credentials is not None:
        make.append(
            f'kubectl create secret docker-registry {PULL_SECRET} --namespace "$namespace" '
            f"--from-file=.dockerconfigjson={shlex.quote(str(credentials))}"
        )
    made = "\n    ".join(f"{command} >/dev/null 2>&1" for command in make)
    return f"""#!/bin/sh
# The suite's: adds values and the Secrets that they name, then runs Helm with the same arguments.
namespace=default create= before=
for word in "$@"; do
    case $before in -n | --namespace) namespace=$word ;; esac
    case $word in --namespace=*) namespace=${{word#*=}} ;; --create-namespace) create=yes ;; esac
    before=$word
done
case $1 in
install | upgrade | template)
    [ -z "$create" ] || kubectl create namespace "$namespace" >/dev/null 2>&1
    {made}
    command=$1
    shift
    # Before the reader's own: of two files of values the later one counts.
    set -- "$command" --values {shlex.quote(str(file))} "$@"
    ;;
esac
exec {helm} "$@"
"""
