"""Sockets of a pod, out of what a node's /proc says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.adapters import node_sockets
from harness.adapters.node_sockets import NodeSockets, parse, probed
from harness.core.errors import NotObserved

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
# 10.244.0.5:41014 to 10.202.1.3:443 and to 10.96.0.1:443; closing: 10.244.0.5:5 to 10.202.1.9:443.
TCP = (
    "   0: 0500F40A:A036 0301CA0A:01BB 01 00000000:00000000 02:00000000 00000000     0        0 1 2\n"
    "   1: 0500F40A:A037 0100600A:01BB 01 00000000:00000000 02:00000000 00000000     0        0 1 2\n"
    "   2: 0500F40A:0005 0901CA0A:01BB 06 00000000:00000000 02:00000000 00000000     0        0 1 2\n"
)
# Listens at [::]:3000, and was dialled there from 10.244.0.1.
TCP6 = (
    "   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1\n"
    "   1: 0000000000000000FFFF00000500F40A:0BB8 0000000000000000FFFF00000100F40A:D431 01 0:0 0:0 0 0 0 1\n"
)
POD: dict[str, Any] = {
    "metadata": {"name": "agent-0", "uid": "1a-2b"},
    "spec": {
        "containers": [
            {
                "ports": [{"name": "diag", "containerPort": 3000}],
                "readinessProbe": {"httpGet": {"port": "diag"}},
                "livenessProbe": {"httpGet": {"port": 3001}},
            },
            {},
        ]
    },
}


def test_ends_have_the_names_by_which_pods_reach_them() -> None:
    ends = parse(HEAD + TCP + HEAD + TCP6, {"10.202.1.3:443": "tele.example.com:443"})
    assert ends.listening == {3000}
    assert ends.connections == {
        ("10.244.0.5:41014", "tele.example.com:443"),
        ("10.244.0.5:41015", "10.96.0.1:443"),
    }


def test_what_came_in_and_what_is_closing_is_not_dialled() -> None:
    ends = parse(TCP6, {})
    assert not ends.connections
    assert not parse(TCP.splitlines()[2], {}).connections


def test_a_second_port_that_listens_is_seen() -> None:
    assert parse(TCP6 + TCP6.splitlines()[0].replace("0BB8", "0BDA"), {}).listening == {3000, 3034}


def test_probed_ports_go_by_name_and_number() -> None:
    assert probed(POD) == {3000, 3001}


@pytest.mark.parametrize("code", [0, 1])
def test_a_pod_is_known_by_its_uid_in_both_spellings(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    seen = []

    def execute(node: str, *argv: str) -> object:
        seen.append((node, argv[3:]))
        return SimpleNamespace(exit_code=code, stdout=TCP6)

    monkeypatch.setattr(node_sockets.containers, "execute", execute)
    reader = NodeSockets("the-node", dict)
    if code:
        with pytest.raises(NotObserved, match="agent-0"):
            reader(POD)
    else:
        assert reader(POD) == ({3000, 3001}, parse(TCP6, {}))
    assert seen == [("the-node", ("1a_2b", "1a-2b"))]
