"""Networks and containers of a run with a real engine."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING

import pytest

from harness.adapters import (
    containers,
    docker_engine,
    image_store,
    run_containers,
)
from harness.adapters.containers import Wanted
from harness.core.errors import EnvironmentBroken
from harness.core.ledger import Entry, Ledger
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from harness.adapters.containers import Container, Engine

PORT = 8080

SERVER = f"""
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{{os.getuid()}} {{os.environ['GREETING']}}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.HTTPServer(("0.0.0.0", {PORT}), Handler)
privileged = http.server.HTTPServer(("0.0.0.0", 443), Handler)
print("serving", flush=True)
server.serve_forever()
"""

Start = "Callable[..., Container]"


@pytest.fixture
def start(engine: Engine, host_image: str, host_folders: dict[Path, bool], host_python: str) -> Start:
    """Starts a container of the run that runs a Python program of this machine."""
    engine.make_network()

    def start(name: str, program: str, **wanted: object) -> Container:
        return engine.start(
            Wanted(
                name=name,
                image=host_image,
                entrypoint=[host_python, "-c"],
                command=[program],
                folders={**host_folders, **wanted.pop("folders", {})},  # type: ignore[dict-item]  # of a test
                **wanted,  # type: ignore[arg-type]  # of a test
            )
        )

    return start


def asked(address: str) -> str:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return answer.partition(b"\r\n\r\n")[2].decode()


def serving(container: Container) -> None:
    eventually(
        container.log,
        lambda log: "serving" in log,
        expected="the server to serve",
        within=30,
        last_words=container.last_words,
    )


def ended(container: Container) -> str:
    found = eventually(container.exited, bool, expected=f"{container.name} to end", within=30)
    return str(found)


def test_a_container_serves_on_loopback_only_as_the_caller(engine: Engine, start: Start) -> None:
    container = start("server", SERVER, ports=[PORT], environment={"GREETING": "hello"})
    serving(container)
    address = container.address(PORT)
    assert address.startswith("127.0.0.1:")
    assert asked(address) == f"{os.getuid()} hello"
    attributes = engine.client.containers.get(container.name).attrs
    published = [
        entry for entries in attributes["NetworkSettings"]["Ports"].values() for entry in entries or ()
    ]
    assert {entry["HostIp"] for entry in published} == {"127.0.0.1"}
    assert list(attributes["NetworkSettings"]["Networks"]) == [engine.network_name]
    assert attributes["Config"]["Labels"][docker_engine.LABEL] == engine.run
    assert container.ip() == attributes["NetworkSettings"]["Networks"][engine.network_name]["IPAddress"]
    assert container.exited() is None
    container.must_be_alive()
    run_containers.must_all_be_alive(engine.run, "no-cluster")
    assert [name for name, log in run_containers.logs(engine.run) if "serving" in log] == ["server"]


def test_names_of_the_network_lead_to_the_run_and_others_nowhere(
    start: Start, engine: Engine, host_python: str
) -> None:
    aliases = ["sts.amazonaws.com", "aws-gateway"]
    server = start("gateway", SERVER, aliases=aliases, environment={"GREETING": "hello"})
    serving(server)
    look = "import socket, sys\nfor name in sys.argv[1:]: print(socket.gethostbyname(name), flush=True)"
    client = start("client", "import signal; signal.pause()")
    found = containers.execute(client.name, host_python, "-c", look, *aliases, "gateway", within=30)
    # Docker gives every container its name as an alias too.
    assert found.exit_code == 0, found.stderr
    assert set(found.stdout.split()) == {server.ip()}
    nowhere = containers.execute(client.name, host_python, "-c", look, "github.com", within=30)
    assert nowhere.exit_code != 0
    assert nowhere.stdout == ""


def test_a_program_in_a_container_reads_its_input(start: Start, host_python: str) -> None:
    container = start("idle", "import signal; signal.pause()")
    echo = "import sys; print(sys.stdin.read().upper()); print('aside', file=sys.stderr); sys.exit(3)"
    ended = containers.execute(container.name, host_python, "-c", echo, stdin="two\nlines")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "TWO\nLINES\n", "aside\n")
    without = containers.execute(
        container.name, host_python, "-c", "import sys; print(repr(sys.stdin.read()))"
    )
    assert without.stdout == "''\n"


def test_folders_are_at_the_same_path_and_written_only_where_told(start: Start, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine, theirs):
        folder.mkdir()
    program = (
        f"import pathlib\npathlib.Path({str(mine)!r}, 'made').write_text('hello')\n"
        f"try: pathlib.Path({str(theirs)!r}, 'made').write_text('hello')\n"
        "except OSError as error: print(error.strerror)\n"
    )
    container = start("writer", program, folders={mine: True, theirs: False})
    ended(container)
    assert (mine / "made").read_text() == "hello"
    assert (mine / "made").stat().st_uid == os.getuid()
    assert list(theirs.iterdir()) == []
    assert container.log() == "Read-only file system"


def test_a_container_that_ended_is_told_with_its_last_words(start: Start, engine: Engine) -> None:
    # All to one stream: of two, the engine does not keep the order.
    program = "import sys; print('\\n'.join(map(str, range(20))), file=sys.stderr); sys.exit('no licence')"
    container = start("dying", program)
    assert ended(container) == "exit status 1"
    assert container.last_words().splitlines()[-1] == "no licence"
    assert len(container.last_words().splitlines()) == 6
    assert container.log().splitlines()[0] == "0"
    for check in (
        container.must_be_alive,
        lambda: run_containers.must_all_be_alive(engine.run, "no-cluster"),
    ):
        with pytest.raises(EnvironmentBroken) as raised:
            check()
        assert "exit status 1" in raised.value.seen
        assert "no licence" in raised.value.seen
    with pytest.raises(EnvironmentBroken, match="no licence"):
        container.address(PORT)


def test_a_run_without_containers_is_not_alive(engine: Engine) -> None:
    with pytest.raises(EnvironmentBroken, match=f"containers of run {engine.run}"):
        run_containers.must_all_be_alive(engine.run, "no-cluster")


def test_a_file_is_copied_out_of_an_image_that_never_runs(
    engine: Engine, host_image: str, tmp_path: Path
) -> None:
    for path in ("/greeting", "/links/greeting"):
        target = tmp_path / path.replace("/", "-")
        assert image_store.copy_out(engine.client, host_image, path, target, run=engine.run)
        assert target.read_text() == "hello"
        assert os.access(target, os.X_OK)
    assert not image_store.copy_out(engine.client, host_image, "/none", tmp_path / "none", run=engine.run)
    assert not (tmp_path / "none").exists()


def test_proxies_of_the_users_client_reach_no_container(  # noqa: PLR0917  # fixtures
    engine: Engine,
    host_image: str,
    host_folders: dict[Path, bool],
    host_python: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if found := docker_engine.endpoint():
        monkeypatch.setenv("DOCKER_HOST", found)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    proxies = {"default": {"httpsProxy": "http://me:SENTINEL@proxy.example.com:1"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    engine.make_network()
    ledger = Ledger(tmp_path / "ledger.jsonl")  # the engine's own, by which it is undone
    of_such_a_user = containers.Engine(engine.run, ledger)
    with contextlib.closing(of_such_a_user.client) as client:
        # No entry of the ledger names this one; it goes with the network.
        usual = client.containers.create(host_image, "/none", labels=engine.labels)
        assert "SENTINEL" in str(usual.attrs["Config"]["Env"])
        program = [host_python, "-c", "import signal; signal.pause()"]
        wanted = Wanted(name="idle", image=host_image, entrypoint=program, folders=host_folders)
        made = of_such_a_user.start(wanted)
        assert "SENTINEL" not in str(client.containers.get(made.name).attrs)


def test_only_what_the_run_made_is_removed(start: Start, engine: Engine) -> None:
    container = start("idle", "import signal; signal.pause()")
    others = {"container": container.name, "docker-network": engine.network_name}
    undo = {"container": run_containers.undo_container, "docker-network": run_containers.undo_network}
    for kind, name in others.items():
        stranger = Entry("1", kind, {"name": name, "run": "of-another"}, "")
        with pytest.raises(EnvironmentBroken, match=r"conformance\.run=of-another"):
            undo[kind](stranger)
        # Gone, or never made.
        undo[kind](Entry("1", kind, {"name": f"{name}-never", "run": engine.run}, ""))
    assert container.exited() is None
    run_containers.undo_container(Entry("1", "container", {"name": container.name, "run": engine.run}, ""))
    assert container.exited() == "it is gone"


def test_a_missing_image_is_named_and_not_pulled(engine: Engine) -> None:
    engine.make_network()
    image = "conformance-test.invalid/none:1.0.0"
    with pytest.raises(EnvironmentBroken) as raised:
        engine.start(Wanted(name="none", image=image))
    assert image in raised.value.expected
    assert image_store.absent(engine.client, [image, image]) == [image]
