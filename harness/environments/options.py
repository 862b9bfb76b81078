"""Options of the command that choose what an environment is made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.core import images

if TYPE_CHECKING:
    from collections.abc import Callable

path = click.Path(path_type=Path)
"""Type of an option that takes a path."""


def environment_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that choose what an environment is made of; defaults stand in `harness.core.settings`."""
    options = [
        click.option("--env", metavar="lab|kind|existing", help="Where scenarios run (lab)."),
        click.option(
            "--teleport",
            metavar="DIR|VERSION|IMAGE",
            help="Folder with teleport, tctl and tsh; with env kind a version or an image.",
        ),
        click.option(
            "--control-plane",
            metavar="DIR|VERSION|IMAGE",
            help="Folder with etcd, kube-apiserver, kube-controller-manager; with env kind a Kubernetes version "
            "or an image of a node.",
        ),
        click.option("--chart", type=path, help="Chart teleport-kube-agent: folder or archive."),
        click.option("--helm", type=path, help="Helm executable (the one on PATH, else the library)."),
        click.option("--kubectl", type=path, help="kubectl (the control plane's, else the suite's own)."),
        click.option(
            "--guide-edition", metavar="13|17|18", help="Edition of the guide, against the version's."
        ),
        click.option(
            "--simulated-teleport", metavar="13|17", help="Version that a simulated Teleport imitates (13)."
        ),
        click.option("--name", help="Name of the environment (random)."),
        click.option(
            "--agent", metavar="VERSION|IMAGE", help="kind: the agent, where it is not the chart's own."
        ),
        click.option(
            "--other-agent",
            metavar="VERSION|IMAGE",
            help="kind: an agent of another major than Teleport (none).",
        ),
        click.option("--kind", type=path, help="kind: its executable (the one on PATH)."),
        click.option(
            "--aws-backend", metavar="localstack|moto", help="kind: behind the AWS gateway (localstack)."
        ),
        click.option("--localstack-image", metavar="IMAGE", help=f"kind: LocalStack ({images.LOCALSTACK})."),
        click.option("--gateway-image", metavar="IMAGE", help="kind: the AWS gateway (one is built)."),
        click.option(
            "--webhook-image", metavar="IMAGE", help="kind: the pod identity webhook (the gateway's)."
        ),
        click.option("--licence", type=path, metavar="FILE", help="kind: licence of an Enterprise Teleport."),
        click.option(
            "--registry-secret",
            type=path,
            metavar="FILE",
            help="kind: docker config.json with the credentials of a private registry.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command
