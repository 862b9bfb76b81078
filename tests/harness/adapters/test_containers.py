"""What the harness asks of a Docker engine, and what it makes of the answers; an engine that knows nothing else."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest
import requests.exceptions

from harness.adapters import containers
from harness.adapters.containers import Container, Engine, Wanted
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.ledger import Entry, Ledger, replay

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "abc123"
ABSENT = docker.errors.NotFound("no such thing")
NO_IMAGE = docker.errors.ImageNotFound("no such image")


class Strict:
    """Has what a test gives it; anything else that is asked of it fails the test."""

    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by pytest, of what a test is parametrized with
            raise AttributeError(name)
        pytest.fail(f"unexpected call of {name}")


class Calls(list[Any]):
    """Notes calls, and answers or raises what it was given, one after another; the last for ever."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)

    def __call__(self, *positional: Any, **named: Any) -> Any:
        self.append((positional, named))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def engine_is(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Strict]:
    """Makes `connect` find an engine of these parts."""

    def engine_is(**parts: Any) -> Strict:
        client = Strict(ping=Calls(True), close=Calls(None), **{"api": Strict(), **parts})
        monkeypatch.setattr(containers.docker, "from_env", lambda **_: client)
        # Else it would look for a real engine first.
        monkeypatch.setattr(containers, "_knock", lambda _where: None)
        return client

    return engine_is


def running(**attributes: Any) -> Strict:
    state = {"Running": True, "ExitCode": 0}
    return Strict(attrs={"State": state, "NetworkSettings": {"Ports": {}, "Networks": {}}} | attributes)


def ended(code: int, log: bytes = b"", **state: Any) -> Strict:
    return Strict(attrs={"State": {"Running": False, "ExitCode": code, **state}}, logs=Calls(log))


def container(*found: Any) -> Container:
    client: Any = Strict(containers=Strict(get=Calls(*found)))
    return Container(client, "conformance-abc123-one")


# The engine


def test_an_engine_that_does_not_answer_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(EnvironmentBroken) as raised:
        containers.connect()
    assert raised.value.exit_code == 2
    assert "none answers at unix:///nowhere.sock" in raised.value.seen
    assert "leave --env out" in raised.value.remedy


@pytest.mark.parametrize("host", ["tcp://build.example.com:2376", "ssh://me@build.example.com"])
def test_an_engine_of_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EnvironmentBroken, match="a Docker engine on this machine") as raised:
        containers.connect()
    assert host in raised.value.seen


@pytest.mark.parametrize("host", ["nonsense", "tcp://127.0.0.1:1", "ssh://nobody@127.0.0.1"])
def test_an_address_that_leads_nowhere_is_told_too(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EnvironmentBroken, match="Docker engine"):
        containers.connect()


def test_the_program_is_told_of_the_engine_that_the_suite_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert containers.endpoint() is None
    for name in ("desktop", "other"):
        folder = tmp_path / "contexts" / "meta" / name
        folder.mkdir(parents=True)
        meta = {"Name": name, "Endpoints": {"docker": {"Host": f"unix:///{name}.sock"}}}
        (folder / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "config.json").write_text('{"currentContext": "desktop"}')
    assert containers.endpoint() == "unix:///desktop.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert containers.endpoint() == "unix:///other.sock"
    monkeypatch.setenv("DOCKER_HOST", "unix:///told.sock")
    assert containers.endpoint() == "unix:///told.sock"
    assert containers.command_environment()["DOCKER_HOST"] == "unix:///told.sock"
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    (tmp_path / "config.json").write_text("[]")
    assert containers.endpoint() is None


# Networks and containers


def test_what_is_made_is_in_the_ledger_first(
    engine_is: Callable[..., Strict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    known: list[list[tuple[str, object]]] = []

    def make(*_: Any, **__: Any) -> Strict:
        known.append([(entry.kind, entry.what["name"]) for entry in ledger.open_entries()])
        return Strict(start=Calls(None))

    engine_is(
        networks=Strict(create=make),
        containers=Strict(create=make),
        api=Strict(create_endpoint_config=Calls({})),
    )
    engine = Engine(RUN, ledger)
    engine.make_network()
    made = engine.start(Wanted(name="one", image="a:1"))
    assert known[0] == [("docker-network", "conformance-abc123")]
    assert known[1][0] == ("container", "conformance-abc123-one")
    assert made.name == engine.container("one").name == "conformance-abc123-one"


def test_a_container_is_started_as_wanted_and_published_on_loopback(
    engine_is: Callable[..., Strict], tmp_path: Path
) -> None:
    made = Strict(start=Calls(None))
    create = Calls(made)
    endpoint = Calls({"Aliases": ["sts.amazonaws.com"]})
    engine_is(containers=Strict(create=create), api=Strict(create_endpoint_config=endpoint))
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


def test_a_container_is_stopped_and_started_again() -> None:
    found = Strict(stop=Calls(None), start=Calls(None))
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
def test_a_container_that_cannot_be_stopped_or_started_is_told(refusal: Exception, remedy: str) -> None:
    one = container(Strict(stop=Calls(refusal), start=Calls(refusal)))
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
    engine_is: Callable[..., Strict], tmp_path: Path, refusal: Exception, seen: str, remedy: str
) -> None:
    engine_is(
        containers=Strict(create=Calls(refusal)),
        networks=Strict(create=Calls(docker.errors.APIError("x", explanation="pool overlaps"))),
        api=Strict(create_endpoint_config=Calls({})),
    )
    engine = Engine(RUN, Ledger(tmp_path / "ledger"))
    with pytest.raises(EnvironmentBroken) as raised:
        engine.start(Wanted(name="one", image="a:1"))
    assert "a:1" in raised.value.expected
    assert seen in raised.value.seen
    assert remedy in raised.value.remedy
    with pytest.raises(EnvironmentBroken, match="pool overlaps"):
        engine.make_network()


# A container


def test_the_address_is_waited_for() -> None:
    ports = {"443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}]}
    networks = {"conformance-abc123": {"IPAddress": "10.0.0.2"}}
    published = running(NetworkSettings={"Ports": ports, "Networks": networks})
    assert container(running(), running(), published).address(443) == "127.0.0.1:32768"
    assert container(published).ip() == "10.0.0.2"


def test_a_port_that_is_never_published_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "PORT_SECONDS", 0.2)
    with pytest.raises(NotObserved, match="port 443 of conformance-abc123-one"):
        container(running()).address(443)


def test_a_port_of_a_container_that_ended_is_not_waited_for() -> None:
    with pytest.raises(EnvironmentBroken, match="no licence"):
        container(ended(1, b"no licence\n")).address(443)


@pytest.mark.parametrize(
    ("found", "how"),
    [
        (running(), None),
        (ended(0), "exit status 0"),
        (ended(1, Error="no such program"), "exit status 1 no such program"),
        (ended(137, OOMKilled=True), "exit status 137 (out of memory)"),
        (ABSENT, "it is gone"),
    ],
)
def test_how_a_container_ended_is_told(found: Any, how: str | None) -> None:
    assert container(found).exited() == how


def test_an_engine_that_goes_away_is_told_in_words() -> None:
    reset = requests.exceptions.ConnectionError("reset")
    for ask in (container(reset).exited, container(reset).must_be_alive, container(reset).ip):
        with pytest.raises(EnvironmentBroken, match="Docker engine to answer"):
            ask()
    # The last words of what failed otherwise are no place to fail once more.
    assert container(reset).log() == "(no log: reset)"


def test_stopping_is_no_trouble_of_its_own(engine_is: Callable[..., Strict], tmp_path: Path) -> None:
    kill = Calls(docker.errors.APIError("x", explanation="is not running"), None)
    engine_is(containers=Strict(list=Calls([Strict(kill=kill)])))
    Engine(RUN, Ledger(tmp_path / "ledger")).stop_all()
    assert len(kill) == 2  # the run's own containers, and its nodes
    gone = Calls(requests.exceptions.ConnectionError("reset"))
    engine_is(containers=Strict(list=gone))
    Engine(RUN, Ledger(tmp_path / "ledger")).stop_all()
    assert len(gone) == 1


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        (["name=seccomp,profile=default", "name=rootless"], "without root"),
        (["name=userns"], "userns-remap"),
        (["name=seccomp,profile=default", "name=cgroupns"], None),
        (None, None),
    ],
)
def test_an_engine_with_other_users_is_refused(options: list[str] | None, seen: str | None) -> None:
    client: Any = Strict(info=Calls({"SecurityOptions": options}))
    if seen is None:
        containers.check_users(client)
    else:
        with pytest.raises(EnvironmentBroken, match=seen):
            containers.check_users(client)


def test_when_it_was_started_is_told() -> None:
    assert container(running(State={"StartedAt": "2026-11-22T23:41:00Z"})).started() == "2026-11-22T23:41:00Z"
    with pytest.raises(EnvironmentBroken, match="it is gone"):
        container(ABSENT).started()


def test_last_words_are_the_end_of_the_log() -> None:
    one = ended(1, b"\xff last\n")
    assert container(one).last_words() == "\ufffd last"
    assert one.logs == [((), {"tail": 6})]
    assert container(ended(1)).last_words() == "(it printed nothing)"
    assert container(ABSENT).log() == "(no log: no such thing)"
    assert container(one).log() == "\ufffd last"
    assert one.logs[-1] == ((), {"tail": "all"})


def test_all_of_a_run_have_to_be_alive(engine_is: Callable[..., Strict]) -> None:
    def listed(status: str) -> Strict:
        return Strict(status=status, name=f"conformance-abc123-{status}")

    # One that is made for a file to be copied out is no sign of anything.
    both = Calls([listed("running")], [listed("running"), listed("created")])
    client = engine_is(containers=Strict(list=both))
    containers.must_all_be_alive(RUN, "cluster")
    assert [named["filters"]["label"] for _, named in both] == [
        "conformance.run=abc123",
        "io.x-k8s.kind.cluster=cluster",
    ]
    assert len(client.close) == 1
    dead = Strict(list=Calls([listed("running")], [listed("exited")]), get=Calls(ended(2, b"last words")))
    engine_is(containers=dead)
    with pytest.raises(EnvironmentBroken, match="last words"):
        containers.must_all_be_alive(RUN, "cluster")
    engine_is(containers=Strict(list=Calls([])))
    with pytest.raises(EnvironmentBroken, match="the containers of run abc123"):
        containers.must_all_be_alive(RUN, "cluster")
    engine_is(containers=Strict(list=Calls(requests.exceptions.ConnectionError("reset"))))
    with pytest.raises(EnvironmentBroken, match="Docker engine to answer"):
        containers.must_all_be_alive(RUN, "cluster")


# Images


def test_only_what_is_absent_is_pulled() -> None:
    get = Calls(Strict(), NO_IMAGE, NO_IMAGE)
    pull = Calls(None)
    client: Any = Strict(images=Strict(get=get, pull=pull))
    told: list[str] = []

    def credentials(image: str) -> dict[str, str] | None:
        return {"username": "me", "password": "secret"} if image == "private:1" else None

    names = ["there:1", "there:1", "private:1", "public:1"]
    assert containers.provide(client, names, credentials=credentials, tell=told.append) == names[2:]
    assert pull == [
        (("private:1",), {"auth_config": {"username": "me", "password": "secret"}}),
        (("public:1",), {"auth_config": None}),
    ]
    assert told == ["pulling private:1", "pulling public:1"]


def test_all_that_can_not_be_had_are_named() -> None:
    refusal = docker.errors.APIError("x", explanation="manifest unknown")
    pull = Calls(refusal, Strict(), refusal)
    client: Any = Strict(images=Strict(get=Calls(NO_IMAGE), pull=pull))
    with pytest.raises(EnvironmentBroken) as raised:
        containers.provide(client, ["a:1", "b:1", "c:1"])
    assert raised.value.expected == "the images a:1, c:1"
    assert raised.value.seen == "manifest unknown"


def test_an_engine_that_goes_away_is_no_absent_image() -> None:
    client: Any = Strict(images=Strict(get=Calls(requests.exceptions.ConnectionError("reset"))))
    with pytest.raises(EnvironmentBroken, match="Docker engine to answer"):
        containers.absent(client, ["a:1"])


def test_an_image_is_known_by_its_digest() -> None:
    client: Any = Strict(images=Strict(get=Calls(Strict(attrs={"RepoDigests": ["a@sha256:12"]}))))
    assert containers.identity(client, "a:1") == "sha256:12"
    client = Strict(images=Strict(get=Calls(Strict(attrs={"RepoDigests": []}, id="sha256:34"))))
    assert containers.identity(client, "a:1") == "sha256:34"


def archive(name: str, *, link: str | None = None) -> tuple[list[bytes], dict[str, Any]]:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as packed:
        member = tarfile.TarInfo(name)
        if link is not None:
            member.type, member.linkname = tarfile.SYMTYPE, link
        member.size = 0 if link else 5
        packed.addfile(member, io.BytesIO(b"hello"))
    whole = content.getvalue()
    return [whole[:100], whole[100:]], {}


def test_a_file_is_copied_out_along_its_links_and_no_container_stays(tmp_path: Path) -> None:
    get = Calls(archive("tsh", link="../bin/tsh"), archive("tsh"))
    remove = Calls(None)
    create = Calls(Strict(get_archive=get, remove=remove))
    client: Any = Strict(containers=Strict(create=create))
    assert containers.copy_out(client, "a:1", "/usr/local/tsh", tmp_path / "tsh", run=RUN)
    assert (tmp_path / "tsh").read_text() == "hello"
    assert os.access(tmp_path / "tsh", os.X_OK)
    assert [positional for positional, _ in get] == [("/usr/local/tsh",), ("/usr/local/../bin/tsh",)]
    assert len(remove) == len(create) == 2
    assert all(named["labels"] == {"conformance.run": RUN} for _, named in create)
    assert all(named["use_config_proxy"] is False for _, named in create)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ABSENT, None),
        (docker.errors.APIError("x", explanation="input/output error"), "input/output error"),
    ],
)
def test_a_file_that_is_not_there_leaves_nothing(
    tmp_path: Path, answer: Exception, error: str | None
) -> None:
    remove = Calls(None)
    made = Strict(get_archive=Calls(answer), remove=remove)
    client: Any = Strict(containers=Strict(create=Calls(made)))
    if error is None:
        assert not containers.copy_out(client, "a:1", "/tsh", tmp_path / "tsh", run=RUN)
    else:
        with pytest.raises(EnvironmentBroken, match=error):
            containers.copy_out(client, "a:1", "/tsh", tmp_path / "tsh", run=RUN)
    assert len(remove) == 1
    assert not (tmp_path / "tsh").exists()


def test_a_file_of_an_image_that_is_not_there(tmp_path: Path) -> None:
    client: Any = Strict(containers=Strict(create=Calls(NO_IMAGE)))
    with pytest.raises(EnvironmentBroken, match="the images a:1"):
        containers.copy_out(client, "a:1", "/tsh", tmp_path / "tsh", run=RUN)


# Clean-up


def entry(kind: str, name: str, run: str = RUN) -> Entry:
    return Entry("1", kind, {"name": name, "run": run}, "")


def test_what_the_run_made_is_removed(engine_is: Callable[..., Strict]) -> None:
    one = Strict(labels={"conformance.run": RUN}, remove=Calls(None))
    network = Strict(attrs={"Labels": {"conformance.run": RUN}}, remove=Calls(None))
    node = Strict(remove=Calls(None))
    nodes = Calls([node])
    engine_is(containers=Strict(get=Calls(one), list=nodes), networks=Strict(get=Calls(network)))
    containers.undo_container(entry("container", "one"))
    containers.undo_cluster(entry("kind-cluster", f"conformance-{RUN}"))
    assert one.remove == node.remove == [((), {"force": True, "v": True})]
    ((_, named),) = nodes
    assert named["filters"] == {"label": f"io.x-k8s.kind.cluster=conformance-{RUN}"}
    assert network.remove == []


def test_what_no_entry_names_goes_before_the_network(engine_is: Callable[..., Strict]) -> None:
    network = Strict(attrs={"Labels": {"conformance.run": RUN}}, remove=Calls(None))
    copied, late = Strict(remove=Calls(None)), Strict(remove=Calls(ABSENT))
    left = Calls([copied], [late])
    engine_is(containers=Strict(list=left), networks=Strict(get=Calls(network)))
    containers.undo_network(entry("docker-network", f"conformance-{RUN}"))
    assert [named["filters"]["label"] for _, named in left] == [
        f"conformance.run={RUN}",
        f"io.x-k8s.kind.cluster=conformance-{RUN}",
    ]
    assert copied.remove == late.remove == [((), {"force": True, "v": True})]
    assert network.remove == [((), {})]
    # The engine was killed between the two: what is left goes, though the network is gone already.
    engine_is(containers=Strict(list=Calls([copied], [])), networks=Strict(get=Calls(ABSENT)))
    containers.undo_network(entry("docker-network", f"conformance-{RUN}"))
    assert len(copied.remove) == 2


def test_what_is_gone_needs_no_undoing(engine_is: Callable[..., Strict]) -> None:
    labels = {"conformance.run": RUN}
    for get in (
        ABSENT,
        # Gone between the look and the removal.
        Strict(labels=labels, attrs={"Labels": labels}, remove=Calls(ABSENT)),
    ):
        there = [] if get is ABSENT else [get]
        engine_is(containers=Strict(get=Calls(get), list=Calls(there)), networks=Strict(get=Calls(get)))
        containers.undo_container(entry("container", "one"))
        containers.undo_network(entry("docker-network", "net"))
        containers.undo_cluster(entry("kind-cluster", f"conformance-{RUN}"))


@pytest.mark.parametrize("labels", [{}, None, {"conformance.run": "of-another"}])
def test_what_another_made_under_the_same_name_stays(
    engine_is: Callable[..., Strict], labels: dict[str, str] | None
) -> None:
    # Neither has a `remove`.
    engine_is(
        containers=Strict(get=Calls(Strict(labels=labels or {})), list=Calls([])),
        networks=Strict(get=Calls(Strict(attrs={"Labels": labels}))),
    )
    with pytest.raises(EnvironmentBroken, match="remove it by hand"):
        containers.undo_container(entry("container", "one"))
    with pytest.raises(EnvironmentBroken, match="remove it by hand"):
        containers.undo_network(entry("docker-network", "net"))
    with pytest.raises(EnvironmentBroken, match="a cluster of run abc123"):
        containers.undo_cluster(entry("kind-cluster", "kind"))


def test_without_an_engine_things_stay_in_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    ledger = Ledger(tmp_path / "ledger")
    ledger.will_create("container", name="one", run=RUN)
    (left,) = replay(ledger, {"container": containers.undo_container})
    assert "a Docker engine" in left.reason
    assert len(ledger.open_entries()) == 1
