"""A `helm` command over the Helm library from PyPI, for machines without the executable.

It is a program of its own, put into the workstation's PATH under the name `helm`: the guide's lines
run as printed. Only what the guide and the scenarios need is there; anything else is refused, never
ignored. Its library is Helm 4's, which applies on the server's side; `helm version` says what it is.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click
import helm_python

REPOSITORIES = "HELM_REPOSITORY_CONFIG"

namespaced = click.option("--namespace", "-n", default="default", help="Namespace of the release.")
waiting = click.option("--wait", is_flag=True, help="Wait until the release's objects are ready.")
patience = click.option("--timeout", default="5m0s", help="How long hooks and --wait may take (5m0s).")


def values_options(command: Any) -> Any:
    """Adds the options that a chart's values come from."""
    for option in (
        click.option("--set", "settings", multiple=True, help="A value, as name=value."),
        click.option("--values", "-f", "files", multiple=True, type=click.Path(exists=True, path_type=Path)),
        click.option("--version", "chart_version", default=None, help="Version of the chart."),
    ):
        command = option(command)
    return command


@click.group()
def main() -> None:
    """Helm, by its library."""


@main.command()
def version() -> None:
    """Prints the library's version in the form of `helm version`."""
    click.echo(
        f'version.BuildInfo{{Version:"v{helm_python.helm_sdk_version().lstrip("v")}", '
        'GitCommit:"", GitTreeState:"", GoVersion:"", Driver:"helm-python-sdk"}'
    )


@main.group()
def repo() -> None:
    """Chart repositories."""


@repo.command()
@click.argument("name")
@click.argument("url")
def add(name: str, url: str) -> None:
    """Adds a chart repository, once its index could be read."""
    _index(url)
    import yaml  # noqa: PLC0415  # slow to load, and most calls need none

    known = {**_repositories(), name: url}
    path = Path(os.environ[REPOSITORIES])
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [{"name": key, "url": value} for key, value in known.items()]
    path.write_text(yaml.safe_dump({"apiVersion": "", "repositories": entries}))
    click.echo(f'"{name}" has been added to your repositories')


@repo.command()
def update() -> None:
    """Reads the index of every repository again."""
    known = _repositories()
    if not known:
        raise click.ClickException("no repositories found. You must add one before updating")
    click.echo("Hang tight while we grab the latest from your chart repositories...")
    for name, url in known.items():
        _index(url)
        click.echo(f'...Successfully got an update from the "{name}" chart repository')
    click.echo("Update Complete.")


@main.command()
@click.argument("release")
@click.argument("chart")
@values_options
@namespaced
@waiting
@patience
@click.option("--create-namespace", is_flag=True, help="Create the namespace if it is not there.")
def install(  # noqa: PLR0917  # helm's own options
    release: str,
    chart: str,
    settings: tuple[str, ...],
    files: tuple[Path, ...],
    chart_version: str | None,
    namespace: str,
    wait: bool,
    timeout: str,
    create_namespace: bool,
) -> None:
    """Installs a chart."""
    reference, source = _chart(chart, chart_version)
    made = _configuration(namespace).install(
        reference,
        release,
        _values(settings, files),
        namespace=namespace,
        create_namespace=create_namespace,
        timeout=_seconds(timeout),
        wait="watcher" if wait else None,
        **source,
    )
    _print(made)


@main.command()
@click.argument("release")
@click.argument("chart")
@values_options
@namespaced
@waiting
@patience
def upgrade(  # noqa: PLR0917  # helm's own options
    release: str,
    chart: str,
    settings: tuple[str, ...],
    files: tuple[Path, ...],
    chart_version: str | None,
    namespace: str,
    wait: bool,
    timeout: str,
) -> None:
    """Upgrades a release."""
    reference, source = _chart(chart, chart_version)
    made = _configuration(namespace).upgrade(
        reference,
        release,
        _values(settings, files),
        namespace=namespace,
        timeout=_seconds(timeout),
        wait="watcher" if wait else None,
        **source,
    )
    _print(made)


@main.command()
@click.argument("release")
@click.argument("chart")
@values_options
@namespaced
@click.option("--no-hooks", is_flag=True, help="Leave hooks out.")
def template(  # noqa: PLR0917  # helm's own options
    release: str,
    chart: str,
    settings: tuple[str, ...],
    files: tuple[Path, ...],
    chart_version: str | None,
    namespace: str,
    no_hooks: bool,
) -> None:
    """Prints what becomes of a chart, no cluster asked."""
    import yaml  # noqa: PLC0415  # slow to load, and most calls need none

    reference, source = _chart(chart, chart_version)
    if source:
        raise click.ClickException(
            "the chart of a repository is not rendered here: name a folder or an archive"
        )
    rendered = helm_python.Chart.load(reference).render(
        _values(settings, files), name=release, namespace=namespace
    )
    manifests = [text for name, text in sorted(rendered.items()) if not name.endswith("NOTES.txt")]
    objects = [item for text in manifests for item in yaml.safe_load_all(text) if item]
    click.echo(yaml.safe_dump_all(item for item in objects if not (no_hooks and _is_hook(item))))


def _is_hook(item: dict[str, Any]) -> bool:
    return "helm.sh/hook" in (item["metadata"].get("annotations") or {})


@main.command()
@click.argument("release")
@namespaced
@waiting
@patience
def uninstall(release: str, namespace: str, wait: bool, timeout: str) -> None:
    """Uninstalls a release, its hooks run."""
    _configuration(namespace).uninstall(release, timeout=_seconds(timeout), wait="watcher" if wait else None)
    click.echo(f'release "{release}" uninstalled')


@main.command(name="list")
@namespaced
@click.option("--output", "-o", type=click.Choice(["json"]), required=True)
def list_(namespace: str, output: str) -> None:  # noqa: ARG001  # json is the only form there is
    """Lists the releases of a namespace."""
    click.echo(json.dumps(list(_configuration(namespace).list())))


def _configuration(namespace: str) -> helm_python.Config:
    return helm_python.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=namespace)


def _repositories() -> dict[str, str]:
    import yaml  # noqa: PLC0415  # slow to load, and most calls need none

    path = Path(os.environ[REPOSITORIES])
    if not path.exists():
        return {}
    entries = yaml.safe_load(path.read_text())["repositories"]
    return {entry["name"]: entry["url"] for entry in entries}


def _index(url: str) -> None:
    """Has the library read a repository's index, through the proxy and authority of the environment."""
    helm_python.repo_index(url)


def _chart(chart: str, chart_version: str | None) -> tuple[str, dict[str, str]]:
    """A chart reference as the library takes it: a path, or a name with its repository's URL."""
    if Path(chart).exists():
        return chart, {}
    repository, _, name = chart.partition("/")
    known = _repositories()
    if not name or repository not in known:
        raise click.ClickException(f"repo {repository} not found")
    source = {"chart_repo_url": known[repository]}
    return name, source | ({"chart_version": chart_version} if chart_version else {})


def _values(settings: tuple[str, ...], files: tuple[Path, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for file in files:
        import yaml  # noqa: PLC0415  # slow to load, and most calls need none

        values = _merged(values, yaml.safe_load(file.read_text()) or {})
    if settings:
        # All at once: several may be of one item of a list.
        values = _merged(values, helm_python.parse_set_string(",".join(settings)))
    return values


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _seconds(text: str) -> int:
    """Seconds of a Go duration of minutes and seconds (`5m0s`, `90s`)."""
    minutes, _, seconds = text.removesuffix("s").rpartition("m")
    try:
        return int(minutes or 0) * 60 + int(seconds or 0)
    except ValueError:
        raise click.BadParameter(f"{text} is not a duration like 5m0s") from None


def _print(release: Any) -> None:
    click.echo(f"NAME: {release['name']}\nNAMESPACE: {release['namespace']}\nSTATUS: {release['status']}")
    click.echo(f"REVISION: {release['revision']}")


if __name__ == "__main__":
    try:
        main(prog_name="helm")
    except helm_python.HelmError as error:
        sys.exit(f"Error: {error}")
