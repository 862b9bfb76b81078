"""What making any environment has in common: names and keys of the run, its folder, work done side by side."""

from __future__ import annotations

import secrets as random
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from harness.adapters import daemons
from harness.adapters.aws import Clients
from harness.core.errors import EnvironmentBroken
from harness.core.ledger import Ledger
from harness.core.redaction import redactor
from harness.environments import state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.adapters.certificates import Authority
    from harness.adapters.chart import Chart
    from harness.adapters.teleport_server import Server
    from harness.core.settings import Settings
    from harness.environment import Description
    from harness.environments.progress import Progress

REGION = "eu-west-1"


class Provisioning:
    """One environment in the making; on failure everything that was begun is undone."""

    # What each kind of environment makes in its own way.
    authority: Authority
    chart: Chart
    addresses: dict[str, str]
    programs: Path
    teleport: Path

    def __init__(self, settings: Settings) -> None:
        """Draws the run's names and keys.

        Args:
            settings: What the user chose.
        """
        self._settings = settings
        self.run = random.token_hex(3)
        self.name = settings.name or self.run
        self.folder = state.RUNS / self.name
        self.account_id = str(random.randbelow(9 * 10**11) + 10**11)
        # As EKS names issuers: 32 upper-case hexadecimal digits.
        self.issuer = f"https://oidc.eks.{REGION}.amazonaws.com/id/{random.token_hex(16).upper()}"
        self.key_id = f"AKIA{random.token_hex(8).upper()}"
        self.secret = random.token_urlsafe(30)
        redactor.register(self.secret)
        self.seconds: dict[str, float] = {}

    def begin(self) -> None:
        """Makes the run's folder and its ledger.

        Raises:
            FileExistsError: An environment of that name is there.
        """
        state.RUNS.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        (self.folder / state.OWNER_FILE).touch()
        self.ledger = Ledger(self.folder / state.LEDGER_FILE)

    def provision(self, progress: Progress) -> state.State:
        """Starts everything that does not depend on another at the same time; returns what there is.

        Args:
            progress: Told what is being done.

        Raises:
            EnvironmentBroken: Something did not start; what did is stopped.
        """
        self._progress = progress
        try:
            return self._provision()
        except BaseException:
            # Once more, for what a thread started while the first round went on.
            self._stop()
            raise

    def _provision(self) -> state.State:
        raise NotImplementedError

    def _stop(self) -> None:
        """Ends what runs, so that whoever waits for it ends too; what is left is the ledger's affair."""
        daemons.stop_all(self.run)

    def _shown(self, part: str) -> str:
        """A part in words for the user."""
        raise NotImplementedError

    def _side_by_side(self, **work: Callable[[], Any]) -> dict[str, Any]:
        """Does all at once; the first that fails stops the others and is the one that is told."""
        with ThreadPoolExecutor() as pool:
            making = {name: pool.submit(self._timed, name, call) for name, call in work.items()}
            try:
                done, _ = wait(making.values(), return_when=FIRST_EXCEPTION)
                for failed in done:
                    failed.result()
            except BaseException:
                # The threads end when what they wait for is gone, and only then does the pool.
                self._stop()
                raise
            return {name: future.result() for name, future in making.items()}

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        try:
            with self._progress.part(self._shown(name)):
                return work()
        finally:
            self.seconds[name] = time.monotonic() - began

    def _home(self, name: str) -> Path:
        home = self.folder / "homes" / name
        home.mkdir(parents=True)
        return home

    def _prepare_account(self, proxy: str, ca_file: Path) -> None:
        """Checks that AWS is the run's own, before the first write; then the account's OIDC provider.

        Args:
            proxy: Loopback `host:port` of the gateway's proxy listener.
            ca_file: The run's certificate authority.

        Raises:
            EnvironmentBroken: It is somebody else's.
        """
        aws = Clients(proxy=proxy, ca_file=ca_file, key_id=self.key_id, secret=self.secret, region=REGION)
        seen = aws.client("sts").get_caller_identity()["Account"]
        if seen != self.account_id:
            raise EnvironmentBroken(
                expected=f"get-caller-identity to return the run's own account {self.account_id}",
                seen=f"account {seen}",
                remedy="nothing was written; please report this, with what proxies or AWS settings there are",
            )
        aws.client("iam").create_open_id_connect_provider(
            Url=self.issuer, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40]
        )

    def _state_of(
        self,
        description: Description,
        server: Server,
        *,
        kubeconfig: Path,
        audit_log: Path,
        identities: dict[str, str] | None = None,
    ) -> state.State:
        """What is written down of the environment.

        Args:
            description: What it consists of.
            server: Its Teleport.
            kubeconfig: Administrator's.
            audit_log: Of its API server.
            identities: Container ids by name, where it has containers.
        """
        return state.State(
            run=self.run,
            name=self.name,
            description=description,
            addresses=self.addresses,
            account_id=self.account_id,
            region=REGION,
            issuer=self.issuer,
            paths={
                "ca": str(self.authority.pair.certificate),
                "programs": str(self.programs),
                "teleport": str(self.teleport),
                "teleport_configuration": str(server.configuration),
                "teleport_audit": str(server.audit_log),
                "teleport_log": str(server.log),
                "kubeconfig": str(kubeconfig),
                "kubernetes_audit": str(audit_log),
                "chart": str(self.chart.archive),
            },
            chart_version=self.chart.version,
            chart_app_version=self.chart.app_version,
            teleport_version=server.version,
            seconds={name: round(value, 2) for name, value in self.seconds.items()},
            administrator=self.key_id,
            identities=identities or {},
        )
