"""The Teleport cluster seen from one scenario: resources, users, sign-in and the audit log."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError

import pexpect
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harness.adapters import direct, processes
from harness.adapters.kubernetes import end_of_lines, read_json_lines
from harness.adapters.teleport_server import HOST, ping
from harness.core import recording
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.redaction import redact, redactor
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.adapters.teleport_server import Administrator, Server
    from harness.environment import JSON, Completed
    from harness.scenario import Names

SIGN_IN_SECONDS = 30.0
GONE_SECONDS = 15.0
"""Budget for a removed resource to be gone; it is within a second."""

COUNT_BY_NAME = frozenset({"token", "role", "user", "users"})
"""Kinds of resources that are nothing to whoever does not name them."""

LOGGED_SECONDS = 40.0
"""Budget for the Auth Service to log what comes of an agent's attempt: its tries are up to 13 s apart."""


class Teleport:
    """`harness.environment.Teleport` over `tctl`, the proxy's web API and the audit log file."""

    def __init__(  # each is another fact of the run
        self,
        *,
        names: Names,
        server: Server,
        administrator: Administrator,
        ca_file: Path,
        tsh: Path,
        workstation: Mapping[str, str],
        lasting: bool = True,
    ) -> None:
        """Binds a Teleport cluster to a scenario.

        Args:
            names: The scenario's names.
            server: The running Auth and Proxy Service.
            administrator: `tctl` with full permissions.
            ca_file: The run's certificate authority.
            tsh: The program.
            workstation: Environment of the scenario's workstation, where sign-in leaves its profile.
            lasting: Whether the cluster, or these names in it, are used again after the scenario.
        """
        self.names = names
        self.version = server.version
        self._server = server
        self._administrator = administrator
        self._ca_file = ca_file
        self._tsh = tsh
        self._workstation = dict(workstation)
        self._home = Path(workstation["HOME"])
        self._password = ""
        self._lasting = lasting
        self._roles: list[str] = []
        self._made: list[str] = []
        # Only what happens from now on concerns this scenario.
        self._audit_file = _which(server.audit_log)
        self._audit_from = end_of_lines(server.audit_log)
        self._log_from = end_of_lines(server.log)

    def ping(self) -> JSON:
        """What the proxy answers now to `GET /v1/webapi/ping`.

        Raises:
            NotObserved: It does not answer.
        """
        found = ping(self._server.address, self._ca_file)
        if found is None:
            raise NotObserved("expected: JSON with server_version from /v1/webapi/ping\nseen: no such answer")
        recording.record_oracle("teleport", "/v1/webapi/ping", found)
        return found

    def administer(self, *arguments: str, resource: JSON | None = None) -> Completed:
        """Runs `tctl` beside the Auth Service, without signing in (claim pre.tctl-on-auth-host).

        Args:
            *arguments: Of tctl.
            resource: For its standard input; removed with the scenario.
        """
        if resource is not None:
            self._made.append(f"{resource['kind']}/{resource['metadata']['name']}")
        return self._administrator.run(*arguments, stdin=json.dumps(resource) if resource else None)

    def trusted_pins(self) -> Sequence[str]:
        """Pins of the authorities that `tsh` was given at sign-in, computed from their certificates.

        A pin is the SHA-256 of the subject public key info (claim pre.login).
        """
        found: list[str] = []
        for file in sorted((self._home / ".tsh" / "keys").glob("*/certs.pem")):
            for certificate in x509.load_pem_x509_certificates(file.read_bytes()):
                key = certificate.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                found.append(f"sha256:{hashlib.sha256(key).hexdigest()}")
        recording.record_oracle("teleport", "pins of the authorities that tsh trusts", found)
        return found

    def create(self, resource: JSON) -> None:
        """Creates a resource, or replaces it.

        Raises:
            EnvironmentBroken: `tctl` refused it.
        """
        self._made.append(f"{resource['kind']}/{resource['metadata']['name']}")
        # By standard input: a resource may hold a secret, and argv is for everyone to see.
        self._administrator.must("create", "-f", stdin=json.dumps(resource))

    def get(self, reference: str) -> JSON | None:
        """A resource by `kind/name`, or None."""
        found = self._administrator.get(reference)
        recording.record_oracle("teleport", reference, found)
        return found[0] if found else None

    def becomes(self, reference: str, ready: Callable[[JSON], bool]) -> JSON:
        """Waits until a resource is as it shall be; the Auth Service shows a change up to a second late.

        Raises:
            NotObserved: It did not become so.
        """
        found = eventually(
            lambda: self.get(reference),
            lambda seen: seen is not None and ready(seen),
            expected=f"{reference} to be as it shall be",
            within=GONE_SECONDS,
        )
        return found or {}

    def remove(self, reference: str, *, wait: bool = False) -> None:
        """Removes a resource by `kind/name`; that it is gone already is fine.

        Args:
            reference: Of the resource.
            wait: Whether to see that it is gone; the Auth Service shows a change up to a second late.

        Raises:
            EnvironmentBroken: `tctl` refused for another reason.
            NotObserved: It is still there.
        """
        completed = self._administrator.run("rm", reference)
        if completed.exit_code != 0 and "not found" not in completed.stderr:
            raise EnvironmentBroken(
                expected=f"tctl rm {reference} to succeed",
                seen=completed.stderr.strip()[:500],
                remedy="see the evidence of this scenario",
            )
        if wait:
            eventually(
                lambda: self.get(reference) is None,
                bool,
                expected=f"{reference} to be gone",
                within=GONE_SECONDS,
            )

    def adopt(self, reference: str) -> None:
        """Has a resource that the reader is going to make removed with the scenario."""
        self._made.append(reference)

    def disown(self, reference: str) -> None:
        """Has a resource that was refused not removed with the scenario."""
        self._made.remove(reference)

    def create_user(self, roles: Sequence[str]) -> None:
        """Creates the scenario's local user, with a password of its own (no browser needed).

        Raises:
            EnvironmentBroken: Teleport refused.
        """
        self._made.append(f"users/{self.names.user}")
        answer = json.loads(
            self._administrator.must(
                "users", "add", self.names.user, f"--roles={','.join(roles)}", "--format=json"
            )
        )
        invite = answer["metadata"]["name"]
        redactor.register(invite)
        self._password = secrets.token_urlsafe(18)
        redactor.register(self._password)
        self._roles = list(roles)
        self._set_password(invite)

    def grant(self, role: str) -> None:
        """Adds a role to the scenario's user, by `tctl users update` (claim ts.local-user)."""
        self._roles.append(role)
        self._administrator.must("users", "update", self.names.user, f"--set-roles={','.join(self._roles)}")

    def sign_in(self, *, with_roles: Sequence[str]) -> None:
        """Signs the scenario's user in with tsh, until the certificate has these roles.

        The Auth Service of 13 sees a change of its SQLite backend up to a second late: whoever signs in
        right after `tctl users update` gets the roles of before.

        Args:
            with_roles: Roles that the user was given.

        Raises:
            EnvironmentBroken: Signing in failed.
            NotObserved: Signing in never gave these roles, which is the product's doing (claim ts.local-user).
        """

        def roles() -> set[str]:
            self._sign_in_once()
            argv = [str(self._tsh), "status", "--format=json"]
            completed = processes.run(argv, env=self._workstation, cwd=self._home, within=SIGN_IN_SECONDS)
            told = processes.checked(completed, expected="tsh status to tell who is signed in").stdout
            return set(json.loads(told)["active"]["roles"])

        eventually(
            roles,
            lambda seen: seen == set(with_roles),
            expected=f"{self.names.user} to be signed in with roles {', '.join(with_roles)}",
            within=SIGN_IN_SECONDS,
        )

    def _sign_in_once(self) -> None:
        """One `tsh login`; it reads a password from a terminal only.

        The port is given: without one, `tsh login` of 13 looks for it without the HTTPS proxy.

        Raises:
            EnvironmentBroken: Signing in failed.
        """
        started = time.monotonic()
        argv = ["login", f"--proxy={HOST}:443", f"--user={self.names.user}"]
        # A profile that is still valid would be used as it is, with the roles of then (claim ts.relogin).
        if Path(self._workstation.get("TELEPORT_HOME", self._home / ".tsh")).exists():
            logout = [str(self._tsh), "logout"]
            processes.run(logout, env=self._workstation, cwd=self._home, within=SIGN_IN_SECONDS)
        child = pexpect.spawn(
            str(self._tsh),
            argv,
            env=dict(self._workstation),
            timeout=SIGN_IN_SECONDS,
            encoding="utf-8",
        )
        try:
            child.expect(f"password for Teleport user {self.names.user}:")
            child.sendline(self._password)
            child.expect(pexpect.EOF)
        except pexpect.ExceptionPexpect as error:
            child.close(force=True)
            raise EnvironmentBroken(
                expected=f"tsh to sign {self.names.user} in",
                # A terminal may have echoed the password; cut after redaction, or half of it could stay.
                seen=redact(str(child.before or error))[-500:],
                remedy="see the evidence of this scenario; is the proxy still running?",
            ) from error
        child.close()
        output = str(child.before)
        recording.record_command(
            [str(self._tsh), *argv],
            exit_code=child.exitstatus if child.exitstatus is not None else -1,
            stdout=output,
            stderr="",
            seconds=time.monotonic() - started,
        )
        if child.exitstatus != 0:
            raise EnvironmentBroken(
                expected=f"tsh to sign {self.names.user} in",
                seen=f"exit status {child.exitstatus}: {redact(output).strip()[-500:]}",
                remedy="see the evidence of this scenario",
            )

    def kube_servers(self) -> Sequence[JSON]:
        """`kube_server` resources of the scenario's Kubernetes cluster name; stale ones too."""
        found = [
            server
            for server in self._administrator.get("kube_server")
            if server["spec"]["cluster"]["metadata"]["name"] == self.names.cluster
        ]
        recording.record_oracle("teleport", f"kube_server of {self.names.cluster}", found)
        return found

    def logs(self, text: str) -> str:
        """Waits until the Auth Service's log holds a text; what it holds since the scenario began.

        Raises:
            NotObserved: It did not come.
        """

        def since() -> str:
            with self._server.log.open("rb") as stream:
                stream.seek(self._log_from)
                return stream.read().decode(errors="replace")

        log = eventually(
            since,
            lambda seen: text in seen,
            expected=f"the Auth Service to log {text!r}",
            within=LOGGED_SECONDS,
        )
        recording.record_oracle(
            "teleport", "log of the Auth Service", [line for line in log.splitlines() if text in line]
        )
        return log

    def audit(self, event: str) -> Sequence[JSON]:
        """Audit events of that type since the scenario began, oldest first (all scenarios' alike).

        Of the file that Teleport writes now: a Teleport without its data begins another one, and so does a new day.
        """
        start = self._audit_from if _which(self._server.audit_log) == self._audit_file else 0
        found = [
            record
            for record in read_json_lines(self._server.audit_log, start, naming=event)
            if record.get("event") == event
        ]
        recording.record_oracle("teleport-audit", event, found)
        return found

    def clear(self) -> None:
        """Removes what an earlier scenario may have made under these names; nothing there is fine.

        Raises:
            EnvironmentBroken: Something could not be removed.
        """
        self._made = [
            f"users/{self.names.user}",
            f"role/{self.names.access_role}",
            f"token/{self.names.token}",
            *(f"kube_server/{self.names.cluster}" for _ in self.kube_servers()[:1]),
        ]
        self.undo()

    def undo(self) -> None:
        """Removes what the scenario made: users first, since a role in use can not be deleted.

        What only counts for whoever has its name goes with the cluster where nobody will use it again: each
        removal is a `tctl` of its own.

        Raises:
            EnvironmentBroken: Something could not be removed; the rest is.
        """
        made = sorted(dict.fromkeys(self._made), key=lambda made: not made.startswith("users/"))
        self._made.clear()
        if not self._lasting:
            made = [reference for reference in made if reference.partition("/")[0] not in COUNT_BY_NAME]
        with contextlib.ExitStack() as removing:
            for reference in reversed(made):
                removing.callback(self.remove, reference)

    def _set_password(self, invite: str) -> None:
        """Redeems an invitation as the web page would: the CSRF token is a cookie sent back as a header."""
        token = secrets.token_hex(32)
        body = {"token": invite, "password": base64.b64encode(self._password.encode()).decode()}
        request = urllib.request.Request(  # always https
            f"https://{self._server.address}/v1/webapi/users/password/token",
            method="PUT",
            data=json.dumps(body).encode(),
            headers={
                "Host": HOST,
                "Content-Type": "application/json",
                "X-CSRF-Token": token,
                "Cookie": f"__Host-grv_csrf={token}",
            },
        )
        try:
            direct.opener(direct.chain_only(self._ca_file)).open(request, timeout=20).close()
        except HTTPError as error:
            raise EnvironmentBroken(
                expected=f"Teleport to take the password of user {self.names.user}",
                seen=f"{error.code}: {error.read().decode(errors='replace')[:300]}",
                remedy="is second_factor still off in the lab's teleport.yaml?",
            ) from error
        except (URLError, OSError) as error:
            raise EnvironmentBroken(
                expected=f"Teleport to take the password of user {self.names.user}",
                seen=str(error),
                remedy="is the proxy still running?",
            ) from error


def newest(resources: Sequence[JSON], host_id: str) -> dict[str, Any] | None:
    """The `kube_server` of a host with the latest expiry, or None."""
    own = [dict(resource) for resource in resources if resource["spec"]["host_id"] == host_id]
    return max(own, key=lambda resource: str(resource["metadata"]["expires"]), default=None)


def _which(path: Path) -> tuple[int, int] | None:
    """Which file is at a path, behind its links; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
