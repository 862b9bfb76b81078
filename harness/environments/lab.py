"""The lab as scenarios see it: attached to through its `environment.json`, by each worker."""

from __future__ import annotations

import contextlib
import fcntl
import secrets as random
from typing import TYPE_CHECKING

from harness.adapters import chart as charts
from harness.adapters import daemons, processes, simulators, sockets, teleport_server
from harness.adapters.agent import Agent
from harness.adapters.aws import Account, Clients, Gateway
from harness.adapters.connectors import Connectors
from harness.adapters.impostor import Impostor, RealDoor, SimulatedDoor
from harness.adapters.kubernetes import Cluster
from harness.adapters.kubernetes_api import KubernetesAPI
from harness.adapters.lab_disruption import LabDisruption
from harness.adapters.roles import Roles
from harness.adapters.teleport import Teleport
from harness.adapters.workstation import Workstation, client_environment
from harness.core.ledger import Ledger
from harness.core.redaction import redactor
from harness.environments import state
from harness.scenario import Names, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.adapters.agent_readings import SocketsReader
    from harness.adapters.kind_disruption import KindDisruption
    from harness.scenario import Beside


SIMULATED_AWAY_SECONDS = 1.0
"""How long a simulated Teleport is away at least: its agents wait a thirtieth from try to try."""

TURN = "printed-names.lock"
"""File in the environment's folder whose lock is the turn of whoever has the printed names."""


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Waits until no other scenario has the lock, and has it for a block; a killed process loses it."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Lab:
    """`harness.environment.Environment` over a provisioned lab."""

    def __init__(self, written: state.State, secrets: dict[str, str]) -> None:
        """Attaches to a lab.

        Args:
            written: Its state.
            secrets: Its secrets.
        """
        self.description = written.description
        self._state = written
        self._secret = secrets["administrator"]
        redactor.register(self._secret)
        self._gateway = Gateway(written.addresses["control"])
        self._aws = Clients(
            proxy=written.addresses["proxy"],
            ca_file=written.path("ca"),
            key_id=written.administrator,
            secret=self._secret,
            region=written.region,
        )
        self._api = KubernetesAPI(written.path("kubeconfig"))

    def must_be_alive(self) -> None:
        """Checks that everything of the environment still runs. Raises EnvironmentBroken."""
        daemons.must_all_be_alive(self._state.folder)
        self._disruption().must_be_over()

    def _administrator(self, home: Path) -> teleport_server.Administrator:
        """`tctl` beside the Auth Service."""
        made = self._state
        return teleport_server.Administrator(
            made.path("teleport"),
            made.path("teleport_configuration"),
            # tctl reaches the Auth Service through the proxy's public address.
            processes.base_environment(home, made.run)
            | simulators.network_environment(made.addresses["proxy"], made.path("ca")),
        )

    def _sockets(self) -> SocketsReader:
        """How sockets of a pod are read."""
        return sockets.of_pod

    def _disruption(self) -> LabDisruption | KindDisruption:
        """What can be stopped and started."""
        made = self._state
        return LabDisruption(
            address=made.addresses["teleport"],
            log=made.path("teleport_log"),
            ca_file=made.path("ca"),
            ledger=Ledger(made.folder / state.LEDGER_FILE),
        )

    def _cluster(self, names: Names) -> Cluster:
        """The cluster, bound to a scenario's names."""
        return Cluster(self._api, self._state.path("kubernetes_audit"), names)

    @contextlib.contextmanager
    def open(self, scenario_id: str, *, alone: bool) -> Iterator[Scenario]:
        """Gives a scenario its names and ports; on leaving, removes what it made, newest first."""
        made = self._state
        # A scenario in an environment that has died would say something of the product.
        self.must_be_alive()
        # Drawn anew each time: what an earlier run in a reused environment left behind has other names.
        suffix = random.token_hex(3)
        names = Names.printed() if alone else Names.unique(suffix)
        home = made.folder / "homes" / suffix
        env = client_environment(
            home,
            run=made.run,
            programs=made.path("programs"),
            proxy=made.addresses["proxy"],
            ca_file=made.path("ca"),
            region=made.region,
            key_id=made.administrator,
            secret=self._secret,
            kubeconfig=made.path("kubeconfig"),
        )
        # Printed names, and those made of them for a second deployment, are used again.
        lasting = made.lasts or alone
        with contextlib.ExitStack() as undoing:
            if alone:
                undoing.enter_context(_turn(made.folder / TURN))

            def beside(others: Names) -> Scenario:
                return self._scenario(
                    scenario_id, others, home, env, beside=beside, undoing=undoing, lasting=lasting
                )

            yield self._scenario(
                scenario_id,
                names,
                home,
                env,
                beside=beside,
                undoing=undoing,
                lasting=lasting,
                clear_first=alone,
            )

    def _scenario(  # what one open has in common for all names that it gives out
        self,
        scenario_id: str,
        names: Names,
        home: Path,
        env: dict[str, str],
        *,
        beside: Beside,
        undoing: contextlib.ExitStack,
        lasting: bool,
        clear_first: bool = False,
    ) -> Scenario:
        """Ports bound to names, in a home; `undoing` is told how to remove what is made through them."""
        made = self._state
        server = teleport_server.Server(
            address=made.addresses["teleport"],
            configuration=made.path("teleport_configuration"),
            audit_log=made.path("teleport_audit"),
            log=made.path("teleport_log"),
            version=made.teleport_version,
        )
        simulated = self.description.components["teleport"].simulated
        door = SimulatedDoor if simulated else RealDoor
        cluster = self._cluster(names)
        teleport = Teleport(
            names=names,
            server=server,
            administrator=self._administrator(home),
            ca_file=made.path("ca"),
            tsh=made.path("teleport") / "tsh",
            workstation=env,
            lasting=lasting,
        )
        account = Account(
            names=names,
            account_id=made.account_id,
            region=made.region,
            issuer=made.issuer,
            clients=self._aws,
            gateway=self._gateway,
            lasting=lasting,
        )
        workstation = Workstation(
            names=names,
            env=env,
            edition=self.description.guide_edition,
            chart_version=made.chart_version,
            region=made.region,
            cluster=cluster,
            teleport=teleport,
        )
        agent = Agent(
            names=names,
            api=self._api,
            cluster=cluster,
            teleport=teleport,
            account=account,
            workstation=workstation,
            env=env,
            chart=charts.Chart(made.path("chart"), made.chart_version, made.chart_app_version),
            proxy_address=f"{teleport_server.HOST}:443",
            read_sockets=self._sockets(),
            away_seconds=SIMULATED_AWAY_SECONDS if simulated else None,
        )
        scenario = Scenario(
            id=scenario_id,
            names=names,
            aws=account,
            kubernetes=cluster,
            teleport=teleport,
            agent=agent,
            workstation=workstation,
            roles=Roles(names=names, teleport=teleport, workstation=workstation, cluster=cluster),
            connectors=Connectors(names=names, teleport=teleport, workstation=workstation, home=home),
            description=self.description,
            beside=beside,
            disruption=self._disruption(),
            impostor=Impostor(
                names=names,
                api=self._api,
                account=account,
                gateway=self._gateway,
                clients=self._aws,
                door=door(made.addresses["teleport"], made.path("ca")),
            ),
            until_end=undoing,
        )
        if clear_first:
            # A run that was killed in a reused environment may have left things under the printed names.
            for clear in (agent.clear, account.undo, teleport.clear):
                clear()
        for undo in (account.undo, teleport.undo, agent.undo):
            undoing.callback(undo)
        return scenario
