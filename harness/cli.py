"""The command: `./conformance run`, `up`, `down`, `images`, `bench`, `faults`, `report verify`, `test` and so on."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import environments, running
from harness.adapters import changes, daemons, processes, scenario_runner
from harness.adapters.checks import run_checks
from harness.adapters.suite_runs import SuiteRuns
from harness.catalogue import read_catalogue, select
from harness.core import settings as settings_
from harness.core.credentials import localstack_token
from harness.core.errors import ConformanceError, EnvironmentBroken, UsageError
from harness.core.redaction import redact
from harness.environments import state
from harness.environments.options import environment_options, path
from harness.failures import explain_command
from harness.faults import catalogue
from harness.faults import command as faults_command
from harness.faults import labs as fault_labs
from harness.faults.plan import subjects
from harness.fidelity import command as fidelity_command
from harness.guide.coverage import SHOWN_RED
from harness.report import coverage_command, drift_command, failures_page
from harness.report.model import REPORT_NAME
from harness.report.verify import verify

if TYPE_CHECKING:
    from types import ModuleType

USAGE = 4
"""Exit code of a bad option; click's own would be 2, which means that the environment broke."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Does what Teleport's guide "Register a Kubernetes Cluster using IAM Joining" says, and judges."""


@main.command()
@environment_options
@click.option("-k", "--keyword", metavar="EXPR", help="Scenarios that match, in the syntax of pytest -k.")
@click.option(
    "--scenario", multiple=True, metavar="ID", default=None, help="Only this scenario (repeatable)."
)
@click.option(
    "--profile", multiple=True, metavar="guide|robustness|upgrade", default=None, help="Only this profile."
)
@click.option("--report-dir", type=path, help="Where the report goes (conformance-report/).")
@click.option("--workers", help="Scenarios at a time (2; 6 where all is simulated).")
@click.option("--reuse", metavar="NAME", help="Run in a standing environment, see `up`.")
@click.option("--keep", metavar="never|on-failure|always", help="Leave the environment standing (never).")
@click.option(
    "--require-real", metavar="LIST", default=None, help="Of teleport,kubernetes,chart: simulated is exit 3."
)
@click.option("--exit-first", is_flag=True, default=None, help="Stop at the first failure.")
@click.option("--fault", metavar="NAME", help="A simulator misbehaves on purpose, see `faults list`.")
def run(**options: Any) -> None:
    """Runs scenarios and writes the conformance report.

    Exit codes: 0 all as claimed, 1 something failed, 2 harness or environment error, 3 incomplete or real
    components missing, 4 usage error, 5 nothing selected.
    """
    sys.exit(running.run(_settings(options), _tell))


@main.command()
@environment_options
def up(**options: Any) -> None:
    """Starts an environment and leaves it standing, for `run --reuse NAME`."""
    with running.signals(), environments.owned(_settings(options), _tell) as environment:
        try:
            written = environment.start()
        except BaseException:
            for leftover in environments.described(environment.end()):
                _tell(f"left behind: {leftover}")
            raise
        environment.stand()
    _tell(f"{written.name} is up after {written.seconds['total']} s")
    _tell(f"  export KUBECONFIG={written.paths['kubeconfig']}")
    _tell(f"  ./conformance run --reuse {written.name}")
    _tell(f"  ./conformance down {written.name}")


@main.command()
@click.argument("name")
def down(name: str) -> None:
    """Ends a standing environment and removes all that it made."""
    _end(environments.folder(name))


@main.command()
def status() -> None:
    """Lists the environments of this clone."""
    if not environments.names():
        _tell("no environments")
    for name in environments.names():
        found = environments.folder(name)
        if environments.is_owned(found):
            what = "in use"
        elif environments.is_standing(found):
            what = "standing"
        else:
            what = "left over: ./conformance cleanup"
        try:
            written, _ = state.read(found / state.STATE_FILE)
            pieces = [f"{part} {c.version}" for part, c in written.description.components.items()]
            alive = len(daemons.marked(written.run))
            what += f"; {alive} processes; {', '.join(pieces)}"
        except ConformanceError:
            what += "; not up"
        _tell(f"{name}: {what}")


@main.command()
@click.option("--all", "everything", is_flag=True, help="Standing environments too.")
def cleanup(*, everything: bool) -> None:
    """Removes what ended runs left behind; spares environments in use, and standing ones."""
    failed = False
    for name in environments.names():
        found = environments.folder(name)
        if environments.is_owned(found) or (environments.is_standing(found) and not everything):
            _tell(f"{name}: spared, it is {'in use' if environments.is_owned(found) else 'standing'}")
            continue
        try:
            _end(found)
        except ConformanceError as error:
            failed = True
            _tell(str(error))
    sys.exit(2 if failed else 0)


@main.group()
def images() -> None:
    """Container images of env kind: what it needs, from a registry or an archive."""


@images.command(name="list")
@environment_options
def list_images(**options: Any) -> None:
    """Lists the images that a kind environment of these options needs, their size, or "absent"."""
    _images_command().listing(_kind_settings(options), _tell)


@images.command()
@environment_options
def pull(**options: Any) -> None:
    """Pulls what is absent of them, and builds the AWS gateway's."""
    _images_command().pull(_kind_settings(options), _tell)


@images.command()
@click.argument("file", type=path)
@environment_options
def save(file: Path, **options: Any) -> None:
    """Writes all of them into one archive, for a machine without a network."""
    _images_command().save(_kind_settings(options), file, _tell)


@images.command()
@click.argument("file", type=path)
def load(file: Path) -> None:
    """Brings the images of such an archive into the Docker engine."""
    _images_command().load(file, _tell)


@main.command()
@environment_options
@click.option("-k", "--keyword", metavar="EXPR", help="Scenarios that match, in the syntax of pytest -k.")
@click.option(
    "--scenario", multiple=True, metavar="ID", default=None, help="Only this scenario (repeatable)."
)
@click.option("--report-dir", type=path, help="Where both reports and the record go (conformance-report/).")
@click.option("--workers", help="Scenarios at a time (2).")
@click.option(
    "--compare", nargs=2, type=path, metavar="SIMULATED REAL", help="Report folders of runs made before."
)
def fidelity(compare: tuple[Path, Path] | None, **options: Any) -> None:
    """Runs scenarios on simulated and on real programs, and lists every difference.

    Exit codes: 0 none that is unexplained, 1 some, else as of `run`.
    """
    settings = _settings(options)
    if compare:
        sys.exit(fidelity_command.compare_runs(*compare, settings.report_dir, _tell, whole=False))
    if settings.env != "lab":
        raise UsageError(
            expected="env lab with `fidelity`, which makes a simulated lab and a real one",
            seen=f"env {settings.env} from {settings.source('env')}",
            remedy="leave --env out; for two runs that were made there is --compare",
        )
    sys.exit(fidelity_command.fidelity(settings, _tell))


@main.group()
def bench() -> None:
    """Times environments."""


@bench.command()
@environment_options
def kind(**options: Any) -> None:
    """Times the bare commands (kind, docker, helm) one after the other, then ours, part by part."""
    from harness.environments import bench_command  # noqa: PLC0415  # slow to load, for this command only

    settings = _kind_settings(options)
    with running.signals():
        bench_command.kind(settings, _tell)


@main.group(invoke_without_command=True)
@environment_options
@click.option("-k", "--keyword", metavar="EXPR", help="Scenarios that match, in the syntax of pytest -k.")
@click.option(
    "--scenario", multiple=True, metavar="ID", default=None, help="Only this scenario (repeatable)."
)
@click.option("--report-dir", type=path, help="Where matrix and page go (conformance-report/).")
@click.option("--fault", "names", multiple=True, metavar="NAME", help="Only this fault (repeatable).")
@click.option("--named", is_flag=True, help="Each fault only on scenarios that the catalogue names.")
@click.option("--touched", metavar="COMMIT", help="Only what differs from it, and a sample of the rest.")
@click.option("--record", is_flag=True, help="Note what was seen red, for `coverage`.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random choices.")
@click.option("--labs", type=click.IntRange(1), default=2, show_default=True, help="Labs side by side.")
@click.pass_context
def faults(  # click passes each option
    context: click.Context,
    /,
    names: tuple[str, ...],
    *,
    named: bool,
    record: bool,
    touched: str | None,
    seed: int,
    labs: int,
    **options: Any,
) -> None:
    """Makes deliberate misbehaviours, to prove that scenarios can fail; writes who noticed what.

    Exit codes: 0 each claim of each scenario is proven, 1 not, 2 a scenario fails without any fault.
    """
    if context.invoked_subcommand is None:
        settings = _settings(options)
        wanted = faults_command.Wanted(
            names=names,
            seed=seed,
            labs=labs,
            named=named,
            record=SHOWN_RED if record else None,
            change=changes.since(touched) if touched else None,
        )
        sys.exit(_try_faults(settings, wanted))


@faults.command(name="list")
def list_() -> None:
    """Lists name, component, decision, claims, and the scenarios that notice, or "unowned"."""
    for line in catalogue.lines():
        _tell(line)


@main.group()
def report() -> None:
    """Works on a conformance report."""


@report.command(name="verify")
@click.argument("file", type=click.Path(path_type=Path))
def verify_(file: Path) -> None:
    """Recomputes what a report says of itself; exit code 1 where it disagrees."""
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            expected=f"a conformance report in {file}",
            seen=str(error),
            remedy="name a conformance-report.json",
        ) from error
    problems = verify(document)
    for problem in problems:
        _tell(problem)
    _tell(f"{file}: {len(problems)} problems" if problems else f"{file}: agrees with itself")
    sys.exit(1 if problems else 0)


@main.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(pytest_arguments: tuple[str, ...]) -> None:
    """Checks the suite itself: style, types, layers, tests; arguments go to pytest."""
    sys.exit(run_checks(list(pytest_arguments)))


def _try_faults(settings: settings_.Settings, wanted: faults_command.Wanted) -> int:
    records = read_catalogue(running.CLONE / "features")
    chosen = select(records, keyword=settings.keyword, ids=settings.scenario, profiles=settings.profile)
    runs = SuiteRuns()
    ways = faults_command.Ways(
        run=runs.run,
        end=runs.end,
        read=lambda folder: fault_labs.read(folder, REPORT_NAME, running.LOGS_FOLDER),
        tell=_tell,
    )
    facts = {"suite": state.SUITE_VERSION, "commit": scenario_runner.commit()}
    with running.signals():
        return faults_command.faults(settings, subjects(records, chosen), wanted, ways, facts)


def _settings(options: dict[str, Any]) -> settings_.Settings:
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if isinstance(given.get("require_real"), str):
        given["require_real"] = tuple(given["require_real"].split(","))
    loaded = settings_.load(given, os.environ, Path("pyproject.toml"))
    # Known as secret before anything can write it down.
    localstack_token(os.environ)
    # From here on nothing of the user's set-up may be found by a library.
    processes.seal(os.environ)
    environments.check(loaded)
    return loaded


def _kind_settings(options: dict[str, Any]) -> settings_.Settings:
    """Settings of env kind, which needs not be named: nothing else has images."""
    return _settings({**options, "env": options["env"] or "kind"})


def _images_command() -> ModuleType:
    from harness.environments import images_command  # noqa: PLC0415  # slow to load, for these commands only

    return images_command


def _end(found: Path) -> None:
    leftovers = environments.end(found)
    if leftovers:
        things: dict[str, list[str]] = {}
        for left in leftovers:
            things.setdefault(left.reason, []).append(f"{left.entry.kind} {left.entry.what}")
        raise EnvironmentBroken(
            expected=f"nothing to be left of {found.name}",
            seen="; ".join(f"{', '.join(named)}: {reason}" for reason, named in things.items()),
            # The folder has the ledger, without which nobody knows what is left.
            remedy=f"mend what is said and repeat the command; {found} goes last, by itself",
        )
    _tell(f"{found.name}: removed")


def _tell(text: str) -> None:
    click.echo(str(redact(text)))


main.add_command(coverage_command.coverage_)
main.add_command(drift_command.drift)
main.add_command(explain_command.explain)
main.add_command(failures_page.failures)


def entry() -> None:
    """What `./conformance` runs: one clear paragraph instead of a traceback, and the design's exit codes."""
    try:
        main(prog_name="./conformance", standalone_mode=False)
    except ConformanceError as error:
        click.echo(str(redact(str(error))), err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(3)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except running.Interrupted as interrupted:
        click.echo(f"{interrupted.signal_name}: ended", err=True)
        sys.exit(3)
    except Exception:  # noqa: BLE001  # Python's own exit code would be 1: "a scenario failed"
        click.echo(f"the suite broke, please report it:\n{redact(traceback.format_exc())}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    entry()
