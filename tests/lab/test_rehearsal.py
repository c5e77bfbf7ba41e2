"""`uno lab up`: what it raises on the machine, IPv6 endpoints, and pairs that do not reach."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from watching import UNO, await_true

from uno.host.command import run, start
from uno.lab import inotify_limit, path_faults, rehearsal
from uno.lab.arrange import arrange
from uno.lab.deploy import Deployment
from uno.lab.evidence import Pair, lan_pairs
from uno.lab.fault_finding import explain
from uno.lab.ping_matrix import PingMatrix
from uno.lab.world import temporary_world

pytestmark = pytest.mark.lab

THERE = "2001:db8:5::1"
SPEC = f"""\
name: pair
address: "2001:db8:5::2"
owner: john@example.org
users: [{{email: john@example.org, name: John Doe, password: change-me-john}}]
cells:
  - {{name: near, allowed_lans: [192.168.1.0/24]}}
  - {{name: far, address: "{THERE}", allowed_lans: [192.168.2.0/24]}}
"""

RAISE = """
import os
from threading import Event
from uno.lab import inotify_limit, lab_state
from uno.lab.world_layout import WorldLayout

lab = lab_state.create(WorldLayout(stations=(), cables=(), names={}), "abcdef")
inotify_limit.reserve(lab.directory, int(os.environ["INSTANCES"]))
(lab.directory / "raised").touch()
Event().wait()
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two sites, of which one connects to the other at an IPv6 address; up."""
    spec = tmp_path_factory.mktemp("pair") / "uvn.yml"
    spec.write_text(SPEC)
    uvn = rehearsal.definition(spec)
    with temporary_world(arrange(uvn, hosts_per_lan=1)) as world:
        deployment = rehearsal.deploy(world, uvn, spec, report=print)
        raised = rehearsal.start_network(deployment, lan_pairs(world), report=print)
        assert raised.reached.missing == ()
        yield deployment


def test_an_endpoint_can_be_an_ipv6_address(pair: Deployment) -> None:
    shown = pair.world.nodes["near"].run(["wg", "show", "all", "endpoints"]).stdout

    assert f"[{THERE}]:" in shown


@pytest.mark.feature("G40")
def test_each_pair_that_does_not_reach_is_named_with_the_cause(pair: Deployment) -> None:
    host = pair.world.nodes["far-host1"]

    host.unplug("eth0")
    try:
        without_host = explained(pair)
    finally:
        host.plug("eth0")
    pair.service(pair.world.nodes["far"], "down")
    try:
        without_cell = explained(pair)
    finally:
        pair.up([pair.world.nodes["far"]])

    assert without_host == [
        "near-host1 → far-host1 (IPv4): far does not reach far-host1 in its own LAN",
        "far-host1 → near-host1 (IPv4): far-host1 does not reach its own cell, far",
    ]
    assert without_cell[0].startswith(
        "near-host1 → far-host1 (IPv4): near has no route to 192.168.2.11; "
        "it has no session with far (all it has)"
    )
    assert without_cell[1] == "far-host1 → near-host1 (IPv4): uno is not up on far"
    await_true(lambda: unreached(pair) == [], "all pairs are reached", within=30)


@pytest.mark.alone
def test_a_raised_limit_outlives_a_kill_and_ends_with_the_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNO_LAB_DIR", str(tmp_path))
    before = limit()
    making = start([sys.executable, "-c", RAISE], env={"INSTANCES": str(before)})
    await_true((tmp_path / "abcdef" / "raised").exists, "the limit is raised")
    os.kill(making.pid, signal.SIGKILL)
    making.wait(5)
    raised = limit()

    run([*UNO, "lab", "down", "abcdef"])

    assert raised >= 2 * before
    # While there are other labs on this machine, the limit stays.
    assert limit() == (raised if inotify_limit.RECORD.exists() else before)


def limit() -> int:
    return int(inotify_limit.LIMIT.read_text())


def explained(deployment: Deployment) -> list[str]:
    """What is printed about the pairs that are not reached within a second or so."""
    return list(path_faults.lines(explain(deployment, unreached(deployment))))


def unreached(deployment: Deployment) -> list[Pair]:
    pairs = lan_pairs(deployment.world)
    with PingMatrix(pair.path for pair in pairs) as prober:
        missing = prober.reach(within=2).missing
    return [pair for pair in pairs if pair.path in missing]
