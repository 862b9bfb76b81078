"""What a run asks of a Docker engine for its containers, and what it makes of the answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest
import requests.exceptions

from harness.adapters import containers
from harness.adapters.containers import Container, Engine, Wanted
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "abc123"
ABSENT = docker.errors.NotFound("no such thing")
NO_IMAGE = docker.errors.ImageNotFound("no such image")


@pytest.fixture
def running(strict: Any) -> Callable[..., Any]:
    """A container that runs, as the engine tells of it."""

    def running(**attributes: Any) -> Any:
        state = {"Running": True, "ExitCode": 0}
        return strict(attrs={"State": state, "NetworkSettings": {"Ports": {}, "Networks": {}}} | attributes)

    return running


@pytest.fixture
def ended(strict: Any, calls: Any) -> Callable[..., Any]:
    """One that has ended."""

    def ended(code: int, log: bytes = b"", **state: Any) -> Any:
        return strict(attrs={"State": {"Running": False, "ExitCode": code, **state}}, logs=calls(log))

    return ended


@pytest.fixture
def container(strict: Any, calls: Any) -> Callable[..., Container]:
    """Ours, of which the engine tells this, one after another."""

    def container(*found: Any) -> Container:
        client: Any = strict(containers=strict(get=calls(*found)))
        return Container(client, "conformance-abc123-one")

    return container


def test_what_is_made_is_in_the_ledger_first(
    engine_is: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: Any, calls: Any
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    known: list[list[tuple[str, object]]] = []

    def make(*_: Any, **__: Any) -> Any:
        known.append([(entry.kind, entry.what["name"]) for entry in ledger.open_entries()])
        return strict(start=calls(None))

    engine_is(
        networks=strict(create=make),
        containers=strict(create=make),
        api=strict(create_endpoint_config=calls({})),
    )
    engine = Engine(RUN, ledger)
    engine.make_network()
    made = engine.start(Wanted(name="one", image="a:1"))
    assert known[0] == [("docker-network", "conformance-abc123")]
    assert known[1][0] == ("container", "conformance-abc123-one")
    assert made.name == engine.container("one").name == "conformance-abc123-one"


def test_a_container_is_started_as_wanted_and_published_on_loopback(
    engine_is: Callable[..., Any], tmp_path: Path, strict: Any, calls: Any
) -> None:
    made = strict(start=calls(None))
    create = calls(made)
    endpoint = calls({"Aliases": ["sts.amazonaws.com"]})
    engine_is(containers=strict(create=create), api=strict(create_endpoint_config=endpoint))
    Engine(RUN, Ledger(tmp_path / "ledger")).start(
        Wanted(
            name="one",
            image="a:1",
            command=["serve"],
            environment={"A": "b"},
            folders={tmp_path: True, Path("/etc"): False},
            ports=[443],
            published={8443: 40443},
            aliases=["sts.amazonaws.com"],
        )
    )
    ((positional, named),) = create
    assert positional == ("a:1", ["serve"])
    assert endpoint == [((), {"aliases": ["sts.amazonaws.com"]})]
    assert named["ports"] == {"443/tcp": ("127.0.0.1", None), "8443/tcp": ("127.0.0.1", 40443)}
    assert named["labels"] == {"conformance.run": RUN}
    assert named["user"] == f"{os.getuid()}:{os.getgid()}"
    assert named["network"] == "conformance-abc123"
    assert named["networking_config"] == {"conformance-abc123": {"Aliases": ["sts.amazonaws.com"]}}
    assert named["dns"] == ["127.0.0.1"]
    assert named["entrypoint"] is None
    # Docker's client puts the proxies of the user's config.json into every container otherwise.
    assert named["use_config_proxy"] is False
    assert named["security_opt"] == ["label=disable"]
    assert [(mount["Source"], mount["Target"], mount["ReadOnly"]) for mount in named["mounts"]] == [
        (str(tmp_path), str(tmp_path), False),
        ("/etc", "/etc", True),
    ]
    assert len(made.start) == 1


def test_a_container_is_stopped_and_started_again(strict: Any, calls: Any, container: Any) -> None:
    found = strict(stop=calls(None), start=calls(None))
    one = container(found)
    one.stop()
    assert found.stop == [((), {"timeout": containers.STOP_SECONDS})]
    one.start()
    assert found.start == [((), {})]


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        (docker.errors.APIError("x", explanation="port is already allocated"), "try again"),
        (ABSENT, "docker info"),
    ],
)
def test_a_container_that_cannot_be_stopped_or_started_is_told(
    refusal: Exception, remedy: str, strict: Any, calls: Any, container: Any
) -> None:
    one = container(strict(stop=calls(refusal), start=calls(refusal)))
    for what, do in (("stop", one.stop), ("start", one.start)):
        with pytest.raises(EnvironmentBroken, match=f"conformance-abc123-one to {what}") as raised:
            do()
        assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    ("refusal", "seen", "remedy"),
    [
        (NO_IMAGE, "does not have them", "images save"),
        (docker.errors.APIError("x", explanation="no space left on device"), "no space left", "system prune"),
        (docker.errors.APIError("x", explanation="port is already allocated"), "port", "try again"),
        (requests.exceptions.ConnectionError("reset"), "reset", "docker info"),
    ],
)
def test_a_refusal_is_told_with_the_way_out(
    engine_is: Callable[..., Any],
    tmp_path: Path,
    *,
    strict: Any,
    calls: Any,
    refusal: Exception,
    seen: str,
    remedy: str,
) -> None:
    engine_is(
        containers=strict(create=calls(refusal)),
        networks=strict(create=calls(docker.errors.APIError("x", explanation="pool overlaps"))),
        api=strict(create_endpoint_config=calls({})),
    )
    engine = Engine(RUN, Ledger(tmp_path / "ledger"))
    with pytest.raises(EnvironmentBroken) as raised:
        engine.start(Wanted(name="one", image="a:1"))
    assert "a:1" in raised.value.expected
    assert seen in raised.value.seen
    assert remedy in raised.value.remedy
    with pytest.raises(EnvironmentBroken, match="pool overlaps"):
        engine.make_network()


def test_the_address_is_waited_for(running: Any, container: Any) -> None:
    ports = {"443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}]}
    networks = {"conformance-abc123": {"IPAddress": "10.0.0.2"}}
    published = running(NetworkSettings={"Ports": ports, "Networks": networks})
    assert container(running(), running(), published).address(443) == "127.0.0.1:32768"
    assert container(published).ip() == "10.0.0.2"


def test_a_port_that_is_never_published_is_told(
    monkeypatch: pytest.MonkeyPatch, running: Any, container: Any
) -> None:
    monkeypatch.setattr(containers, "PORT_SECONDS", 0.2)
    with pytest.raises(NotObserved, match="port 443 of conformance-abc123-one"):
        container(running()).address(443)


def test_a_port_of_a_container_that_ended_is_not_waited_for(ended: Any, container: Any) -> None:
    with pytest.raises(EnvironmentBroken, match="no licence"):
        container(ended(1, b"no licence\n")).address(443)


@pytest.mark.parametrize(
    ("state", "how"),
    [
        ({"Running": True, "ExitCode": 0}, None),
        ({"ExitCode": 0}, "exit status 0"),
        ({"ExitCode": 1, "Error": "no such program"}, "exit status 1 no such program"),
        ({"ExitCode": 137, "OOMKilled": True}, "exit status 137 (out of memory)"),
        (None, "it is gone"),
    ],
)
def test_how_a_container_ended_is_told(
    container: Any, strict: Any, state: dict[str, Any] | None, how: str | None
) -> None:
    found = ABSENT if state is None else strict(attrs={"State": {"Running": False, **state}})
    assert container(found).exited() == how


def test_an_engine_that_goes_away_is_told_in_words(container: Any) -> None:
    reset = requests.exceptions.ConnectionError("reset")
    for ask in (container(reset).exited, container(reset).must_be_alive, container(reset).ip):
        with pytest.raises(EnvironmentBroken, match="Docker engine to answer"):
            ask()
    # The last words of what failed otherwise are no place to fail once more.
    assert container(reset).log() == "(no log: reset)"


def test_stopping_is_no_trouble_of_its_own(
    engine_is: Callable[..., Any], tmp_path: Path, strict: Any, calls: Any
) -> None:
    kill = calls(docker.errors.APIError("x", explanation="is not running"), None)
    engine_is(containers=strict(list=calls([strict(kill=kill)])))
    Engine(RUN, Ledger(tmp_path / "ledger")).stop_all()
    assert len(kill) == 2  # the run's own containers, and its nodes
    gone = calls(requests.exceptions.ConnectionError("reset"))
    engine_is(containers=strict(list=gone))
    Engine(RUN, Ledger(tmp_path / "ledger")).stop_all()
    assert len(gone) == 1


def test_when_it_was_started_is_told(running: Any, container: Any) -> None:
    assert container(running(State={"StartedAt": "2026-11-22T23:41:00Z"})).started() == "2026-11-22T23:41:00Z"
    with pytest.raises(EnvironmentBroken, match="it is gone"):
        container(ABSENT).started()


def test_last_words_are_the_end_of_the_log(ended: Any, container: Any) -> None:
    one = ended(1, b"\xff last\n")
    assert container(one).last_words() == "\ufffd last"
    assert one.logs == [((), {"tail": 6})]
    assert container(ended(1)).last_words() == "(it printed nothing)"
    assert container(ABSENT).log() == "(no log: no such thing)"
    assert container(one).log() == "\ufffd last"
    assert one.logs[-1] == ((), {"tail": "all"})
