"""Teleport's server and `tctl` against programs that take their place."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from harness.adapters import daemons, teleport_server
from harness.adapters.certificates import Authority
from harness.adapters.teleport_server import Administrator
from harness.core.errors import EnvironmentBroken, MissingComponents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.core.ledger import Ledger
    from tests.harness.adapters.conftest import Evidence, Site

TELEPORT = """
import http.server, json, re, ssl, sys
if sys.argv[1:3] != ["start", "-c"]:
    sys.exit("unknown command")
text = open(sys.argv[3]).read()
host, port = re.search(r"web_listen_addr: ([\\d.]+):(\\d+)", text).groups()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/v1/webapi/ping" and self.headers["Host"] == "tele.example.com"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"server_version": "13.4.3"}).encode())

    def log_message(self, *_):
        pass

try:
    server = http.server.HTTPServer((host, int(port)), Handler)
except OSError as error:
    sys.exit(f"ERROR: initialization failed: listen tcp {host}:{port}: {error}")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(
    re.search(r"cert_file: (\\S+)", text).group(1), re.search(r"key_file: (\\S+)", text).group(1)
)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("serving", flush=True)
server.serve_forever()
"""
TCTL = """
import json, os, sys
with open("asked", "a") as file:
    file.write(json.dumps({"argv": sys.argv[1:], "stdin": sys.stdin.read()}) + "\\n")
assert sys.argv[1] == "-c", sys.argv
command = sys.argv[3:]
answers = json.load(open("answers.json"))
status, out, err = answers.get(" ".join(command[:2]), [0, "", ""])
print(out)
print(err, file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture
def programs(tmp_path: Path, program: Callable[..., Path]) -> Path:
    for name, text in (("teleport", TELEPORT), ("tctl", TCTL), ("tsh", "")):
        program(tmp_path / "programs", name, text)
    return tmp_path / "programs"


def start(
    programs: Path, authority: Authority, env: dict[str, str], ledger: Ledger, address: str = ""
) -> teleport_server.Server:
    return teleport_server.start(
        programs,
        programs.parent / "teleport",
        authority=authority,
        env=env,
        address=address or f"127.0.0.1:{daemons.free_port()}",
        ledger=ledger,
    )


class TestServer:
    """Auth and Proxy Service as one process."""

    def test_it_starts_and_tells_the_version_of_the_running_proxy(
        self, programs: Path, authority: Authority, env: dict[str, str], ledger: Ledger
    ) -> None:
        started = start(programs, authority, env, ledger)
        assert started.version == "13.4.3"
        assert started.log.read_text() == "serving\n"
        assert [entry.what["name"] for entry in ledger.open_entries()] == ["teleport"]

    def test_everything_is_on_loopback_and_known_by_the_guides_name(
        self, programs: Path, authority: Authority, env: dict[str, str], ledger: Ledger
    ) -> None:
        started = start(programs, authority, env, ledger)
        document = yaml.safe_load(started.configuration.read_text())
        auth, proxy = document["auth_service"], document["proxy_service"]
        assert auth["listen_addr"].startswith("127.0.0.1:")
        assert proxy["web_listen_addr"] == started.address
        assert started.address.startswith("127.0.0.1:")
        assert proxy["public_addr"] == ["tele.example.com:443"]
        assert auth["cluster_name"] == "tele.example.com"
        assert document["teleport"]["data_dir"] == str(programs.parent / "teleport" / "data")
        assert started.audit_log == programs.parent / "teleport" / "data" / "log" / "events.log"

    def test_one_that_dies_is_told_at_once_with_its_last_words(
        self,
        programs: Path,
        authority: Authority,
        env: dict[str, str],
        ledger: Ledger,
        program: Callable[..., Path],
    ) -> None:
        program(programs, "teleport", "#!/bin/sh\necho 'ERROR: unable to parse teleport.yaml'\nexit 1\n")
        began = time.monotonic()
        with pytest.raises(EnvironmentBroken, match=r"unable to parse teleport.yaml") as caught:
            start(programs, authority, env, ledger)
        assert time.monotonic() - began < 5 < teleport_server.READY_SECONDS
        assert caught.value.expected == "teleport to keep running"

    def test_one_that_hangs_is_told_when_its_time_is_over(
        self,
        *,
        programs: Path,
        authority: Authority,
        env: dict[str, str],
        ledger: Ledger,
        program: Callable[..., Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(teleport_server, "READY_SECONDS", 0.6)
        program(programs, "teleport", "#!/bin/sh\necho 'waiting for a lock'\nexec sleep 60\n")
        with pytest.raises(EnvironmentBroken, match="teleport runs and does not answer") as caught:
            start(programs, authority, env, ledger)
        assert "waiting for a lock" in caught.value.seen
        assert caught.value.expected == "Teleport's proxy to answer within 0.6 s"

    def test_a_port_that_is_taken_is_told(
        self, programs: Path, authority: Authority, env: dict[str, str], ledger: Ledger
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(EnvironmentBroken, match="Address already in use") as caught:
                start(programs, authority, env, ledger, address)
        assert address in caught.value.seen


class TestPing:
    """What the proxy says of itself."""

    def test_the_answer_is_read(self, serve: Callable[..., Site], authority: Authority) -> None:
        site = serve(lambda _: (200, {"server_version": "18.1.0"}), tls=True)
        assert teleport_server.ping(site.address, authority.pair.certificate) == {"server_version": "18.1.0"}
        assert site.requests[0].headers["Host"] == "tele.example.com"

    @pytest.mark.parametrize(
        "answer", [(404, "not found"), (503, {}), (200, "no JSON"), (200, ""), (200, []), (200, {"a": 1})]
    )
    def test_what_is_no_answer_of_a_proxy_is_none(
        self, serve: Callable[..., Site], authority: Authority, answer: tuple[int, object]
    ) -> None:
        site = serve(lambda _: answer, tls=True)
        assert teleport_server.ping(site.address, authority.pair.certificate) is None

    def test_one_of_another_authority_is_not_listened_to(
        self, serve: Callable[..., Site], tmp_path: Path
    ) -> None:
        site = serve(lambda _: (200, {"server_version": "18.1.0"}), tls=True)
        assert teleport_server.ping(site.address, Authority(tmp_path).pair.certificate) is None
        assert site.requests == []

    def test_nobody_there_is_none(self, authority: Authority) -> None:
        address = f"127.0.0.1:{daemons.free_port()}"
        assert teleport_server.ping(address, authority.pair.certificate) is None

    def test_no_proxy_of_the_users_is_asked(
        self, serve: Callable[..., Site], authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy = serve(lambda _: (200, {"server_version": "the proxy's"}))
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        site = serve(lambda _: (200, {"server_version": "1"}), tls=True)
        assert teleport_server.ping(site.address, authority.pair.certificate) == {"server_version": "1"}
        assert proxy.requests == []


class TestPrograms:
    """The folder that the user names."""

    def test_a_whole_folder_will_do(self, programs: Path) -> None:
        teleport_server.require_programs(programs)

    def test_what_is_missing_is_named(self, programs: Path) -> None:
        (programs / "tsh").unlink()
        with pytest.raises(MissingComponents, match="no tsh there") as caught:
            teleport_server.require_programs(programs)
        assert "--teleport" in caught.value.remedy
        assert caught.value.exit_code == 3


class TestAdministrator:
    """`tctl` beside the Auth Service."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "teleport"
        folder.mkdir()
        (folder / "answers.json").write_text("{}")
        return folder

    @pytest.fixture
    def tctl(self, programs: Path, folder: Path, env: dict[str, str]) -> Administrator:
        return Administrator(programs, folder / "teleport.yaml", env)

    def answer(self, folder: Path, command: str, *answer: int | str) -> None:
        (folder / "answers.json").write_text(json.dumps({command: answer}))

    def test_it_speaks_to_the_server_of_its_configuration(self, tctl: Administrator, folder: Path) -> None:
        completed = tctl.run("status")
        assert completed.exit_code == 0
        asked = json.loads((folder / "asked").read_text())
        assert asked["argv"] == ["-c", str(folder / "teleport.yaml"), "status"]

    def test_a_resource_goes_by_standard_input_alone(
        self, tctl: Administrator, folder: Path, evidence: Evidence
    ) -> None:
        tctl.must("create", "-f", stdin='{"spec": {"secret": "swordfish-swordfish"}}')
        asked = json.loads((folder / "asked").read_text())
        assert asked["stdin"] == '{"spec": {"secret": "swordfish-swordfish"}}'
        assert "swordfish" not in " ".join(asked["argv"])
        assert "swordfish" not in evidence.text()

    def test_a_failure_is_told_with_its_last_words(self, tctl: Administrator, folder: Path) -> None:
        self.answer(folder, "create -f", 1, "", "ERROR: provisioning token is missing roles")
        with pytest.raises(EnvironmentBroken, match="provisioning token is missing roles") as caught:
            tctl.must("create", "-f", stdin="{}")
        assert caught.value.expected == "tctl create to succeed"

    def test_resources_are_read_as_json(self, tctl: Administrator, folder: Path) -> None:
        self.answer(folder, "get token/x", 0, '[{"kind": "token"}]', "")
        assert tctl.get("token/x") == [{"kind": "token"}]
        asked = json.loads((folder / "asked").read_text())
        assert asked["argv"][2:] == ["get", "token/x", "--format=json"]

    @pytest.mark.parametrize(
        "answer",
        [
            (0, "null", ""),
            (0, "[]", ""),
            (1, "", 'ERROR: provisioning token("x") not found'),
            (1, "", 'ERROR: github connector "x" is not configured'),
        ],
    )
    def test_nothing_is_an_empty_list(
        self, tctl: Administrator, folder: Path, answer: tuple[int, str, str]
    ) -> None:
        self.answer(folder, "get token/x", *answer)
        assert tctl.get("token/x") == []

    def test_a_failure_is_not_taken_for_nothing(self, tctl: Administrator, folder: Path) -> None:
        self.answer(folder, "get kube_server", 1, "", "ERROR: connection refused")
        with pytest.raises(EnvironmentBroken, match="connection refused"):
            tctl.get("kube_server")

    @pytest.mark.parametrize("printed", ["", "Teleport says hello", '{"kind": "token"}'])
    def test_what_is_no_list_is_not_taken_for_nothing(
        self, tctl: Administrator, folder: Path, printed: str
    ) -> None:
        self.answer(folder, "get kube_server", 0, printed, "")
        with pytest.raises(EnvironmentBroken, match="tctl get kube_server to print a list as JSON"):
            tctl.get("kube_server")
