"""A cell has been taken over, and speaks BGP as it likes: the routes of the others stay.

lan-b is the thief: it has links with lan-a and lan-c. It wants the traffic for lan-d, which has a
link with lan-a alone. Its BGP daemon is dead, and another program has its sessions.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace  # noqa: TID251 - of a dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from bgp_speaker import (
    CONFED_SEQUENCE,
    GRACEFUL_SHUTDOWN,
    NO_EXPORT,
    SET,
    Claim,
    Speaker,
    established,
)
from watching import (
    Tables,
    await_healthy,
    await_true,
    bgp_peers,
    holds,
    line,
    node_addresses,
    note,
    pause,
    pids,
    stream,
    tables_at_rest,
    vtysh,
)

from uno.host.routing_frr import prefix_limits
from uno.lab.agents import Agent
from uno.lab.deploy import Deployment
from uno.lab.node import Node
from uno.model.plan import asn_of

pytestmark = pytest.mark.lab

# Cell ids count from 1 in the order of the specification.
A, B, C, D, RELAY = map(asn_of, range(1, 6))
LAN4, LAN6 = "192.168.4.0/24", "2001:db8:4::/64"
OWN4 = "192.168.2.0/24"

# A hundred thousand, none of which the plan has.
FLOOD = [str(each) for each in IPv4Network("40.0.0.0/7").subnets(new_prefix=24)][:100_000]
# What flapping may cost FRR on another cell, in percent of a core.
MOST_OF_A_CORE = 30


@pytest.fixture(scope="module")
def four_sites_spec(ring_spec: Path) -> Path:
    return ring_spec


@dataclass(frozen=True, kw_only=True)
class Thief:
    """The compromised cell, with a session to each neighbour; the tables of all others."""

    running: Deployment
    others: Tables
    connect: Callable[[str], Speaker]
    sessions: dict[str, Speaker]
    own6: str

    @property
    def near(self) -> Node:
        """The neighbour with another path to lan-d, which is as long as the true one of lan-b."""
        return self.running.world.nodes["lan-c"]

    @property
    def address(self) -> str:
        """The thief's address on the link to that neighbour."""
        peers = bgp_peers(self.near)
        (found,) = (name for name, peer in peers.items() if peer["remoteAs"] == B)
        return found

    @property
    def filter(self) -> str:
        """The interface by which that neighbour's filters are named."""
        text = vtysh(self.near, "show running-config")
        (found,) = (
            each.split()[3].removeprefix("IMPORT-").removesuffix("-V4")
            for each in text.splitlines()
            if each.startswith(f"  neighbor {self.address} route-map IMPORT-")
            and each.endswith("-V4 in")
        )
        return found

    def received(self, claim: Claim) -> dict[str, Any]:
        family = f"ipv{claim.version}"
        command = f"show bgp {family} unicast neighbors {self.address} received-routes json"
        found = json.loads(vtysh(self.near, command)).get("receivedRoutes", {})
        return {prefix: found[prefix] for prefix in claim.prefixes if prefix in found}

    def paths(self, prefix: str) -> list[dict[str, Any]]:
        """The paths that the neighbour has to a prefix and may use."""
        family = "ipv6" if ":" in prefix else "ipv4"
        found = json.loads(vtysh(self.near, f"show bgp {family} unicast {prefix} json"))
        return [each for each in found.get("paths", []) if each.get("valid")]

    def path(self, prefix: str, text: str) -> dict[str, Any] | None:
        """The path to a prefix with this AS path."""
        return next((e for e in self.paths(prefix) if e["aspath"]["string"] == text), None)

    def hop(self, prefix: str, *path: int) -> str:
        """The next hop of the path with these AS numbers, if there is one."""
        found = self.path(prefix, " ".join(map(str, path)))
        return str(found["nexthops"][0]["ip"]) if found else ""

    def has_session(self) -> bool:
        """Whether that neighbour has a session with the thief."""
        return bool(bgp_peers(self.near)[self.address]["state"] == "Established")

    def reconnect(self) -> Speaker:
        """Have a session with that neighbour again, in which the thief has its own routes."""
        self.sessions["lan-c"].close()
        self.sessions["lan-c"] = made = self.connect("lan-c")
        for prefix in (OWN4, self.own6):
            made.advertise(Claim(prefixes=[prefix], path=[B]))
        return made

    @contextmanager
    def claiming(self, claim: Claim, *, to: tuple[str, ...] = ("lan-a", "lan-c")) -> Iterator[None]:
        for name in to:
            self.sessions[name].advertise(claim)
        try:
            yield
        finally:
            for name in to:
                self.sessions[name].withdraw(claim)

    @contextmanager
    def without(self, *commands: str) -> Iterator[None]:
        """Take a defence out of the neighbour's configuration."""
        text = vtysh(self.near, "show running-config").splitlines()
        vtysh(self.near, "configure terminal", *commands)
        vtysh(self.near, "clear bgp * soft in")
        try:
            yield
        finally:
            undo = [each.removeprefix("no ") for each in commands]
            if "route-map PATHS-V4 deny 10" in undo:
                undo.append("match as-path FORGED")
            for each in commands:
                if not each.startswith("no ") and " seq " in each:
                    head = each.partition(" permit ")[0]
                    undo[undo.index(each)] = next(e for e in text if e.startswith(f"{head} "))
            vtysh(self.near, "configure terminal", *undo)
            vtysh(self.near, "clear bgp * soft in")


@pytest.fixture(scope="module")
def thief(running: Deployment) -> Iterator[Thief]:
    await_healthy(running)
    node = running.world.nodes["lan-b"]
    peers = {peer["remoteAs"]: name for name, peer in bgp_peers(node).items()}
    ways = {
        name: (peers[asn], *_link(node, peers[asn])) for name, asn in (("lan-a", A), ("lan-c", C))
    }
    for name in ("watchfrr", "bgpd"):
        node.run(["kill", "-9", str(pids(node)[name])])
    others = [cell for cell in running.cells if cell is not node]
    with ExitStack() as stack:

        def connect(name: str) -> Speaker:
            remote, local, local6 = ways[name]
            made = established(node, local=local, local6=local6, remote=remote, asn=B)
            return stack.enter_context(made)

        sessions = {name: connect(name) for name in ways}
        own6 = f"{node_addresses(node)[1]}/128"
        found = Thief(
            running=running, others=Tables(others), connect=connect, sessions=sessions, own6=own6
        )
        for prefix in (OWN4, own6):
            own = Claim(prefixes=[prefix], path=[B])
            for each in sessions.values():
                each.advertise(own)
            await_true(lambda c=own: found.received(c), f"{prefix} is received", within=20)
            await_true(lambda p=prefix: found.path(p, str(B)), f"{prefix} is accepted")
        yield replace(found, others=tables_at_rest(others))


def _link(node: Node, remote: str) -> tuple[str, str]:
    """The addresses that a node has on its link to a neighbour."""
    (way,) = json.loads(node.run(["ip", "-j", "route", "get", remote]).stdout)
    shown = json.loads(node.run(["ip", "-j", "-6", "address", "show", "dev", way["dev"]]).stdout)
    (local6,) = (e["local"] for e in shown[0]["addr_info"] if e["scope"] == "global")
    return way["prefsrc"], local6


# What it advertises of others. Each path and prefix that the plan does not have.
FORGED = {
    "origin": Claim(prefixes=[LAN4], path=[B]),
    "origin, IPv6": Claim(prefixes=[LAN6], path=[B]),
    "the owner's AS after its own": Claim(prefixes=[LAN4], path=[B, D]),
    "the owner's AS after its own, IPv6": Claim(prefixes=[LAN6], path=[B, D]),
    "the owner's AS without its own": Claim(prefixes=[LAN4], path=[D]),
    "the owner's AS without its own, IPv6": Claim(prefixes=[LAN6], path=[D]),
    "a true path without its own AS": Claim(prefixes=[LAN4], path=[A, D]),
    "a true path without its own AS, IPv6": Claim(prefixes=[LAN6], path=[A, D]),
    "a step that is no link": Claim(prefixes=[LAN4], path=[B, RELAY, D]),
    "a foreign AS": Claim(prefixes=[LAN4], path=[B, 64512, D]),
    "its own AS twice": Claim(prefixes=[LAN4], path=[B, B, A, D]),
    "no AS at all": Claim(prefixes=[LAN4]),
    "the owner in a set": Claim(prefixes=[LAN4], path=[B], tail=[D]),
    "all in a set": Claim(prefixes=[LAN4], path=[B, A, D], segment=SET),
    "a confederation": Claim(prefixes=[LAN4], path=[B, A, D], segment=CONFED_SEQUENCE),
    "a part with a true path": Claim(prefixes=["192.168.4.0/25"], path=[B, A, D]),
    "a part with a true path, IPv6": Claim(prefixes=["2001:db8:4::/65"], path=[B, A, D]),
    "a host with a true path": Claim(prefixes=["192.168.4.11/32"], path=[B, A, D]),
    "more than the LAN": Claim(prefixes=["192.168.0.0/16"], path=[B, A, D]),
    "the Internet": Claim(prefixes=["0.0.0.0/0", "8.8.8.0/24"], path=[B]),
    "the Internet, IPv6": Claim(prefixes=["::/0"], path=[B]),
    "particles": Claim(prefixes=["10.254.0.0/16", "10.254.0.2/32"], path=[B]),
    "links": Claim(prefixes=["10.255.192.0/20"], path=[B]),
}


@pytest.mark.feature("G22")
@pytest.mark.feature("G53")
def test_routes_that_the_plan_does_not_have_change_no_table(thief: Thief) -> None:
    node4, node6 = map(str, node_addresses(thief.running.world.nodes["lan-d"]))
    nodes = {
        "a cell": Claim(prefixes=[f"{node4}/32"], path=[B, D]),
        "a cell, IPv6": Claim(prefixes=[f"{node6}/128"], path=[B, D]),
    }
    world = thief.running.world
    flows = [line(world.nodes["lan-c-host1"], world.nodes["lan-d-host1"], each) for each in (4, 6)]
    prober, sent = stream(flows)
    unseen = []
    with prober, sent:
        for name, claim in (FORGED | nodes).items():
            with thief.claiming(claim):
                if holds(lambda claim=claim: not thief.received(claim), during=0.5):
                    unseen.append(name)
                thief.others.assert_unchanged(during=0.3)
    # bgpd itself refuses these before any filter.
    assert set(unseen) <= {"no AS at all", "a confederation", "all in a set"}
    assert {flow.lost for flow in sent.flows.values()} == {0}
    note(f"{len(FORGED | nodes)} forged routes")


@pytest.mark.feature("G22")
@pytest.mark.parametrize(
    ("removed", "path"),
    [
        ("no route-map PATHS-V4 deny 10", [B, D]),
        ("bgp as-path access-list ORIGINS-{filter} seq 4294967295 permit .*", [A, D]),
    ],
    ids=["steps of the path", "first AS"],
)
def test_without_the_filter_the_traffic_would_be_its_own(
    thief: Thief, removed: str, path: list[int]
) -> None:
    claim = Claim(prefixes=[LAN4], path=path)
    text = " ".join(map(str, path))

    with thief.claiming(claim):
        assert holds(lambda: not thief.path(LAN4, text), during=0.5)
        with thief.without(removed.format(filter=thief.filter)):
            await_true(
                lambda: (thief.path(LAN4, text) or {}).get("bestpath"), "the forged path is used"
            )
        await_true(lambda: not thief.path(LAN4, text), "the forged path is refused again")
    thief.others.await_unchanged()


@pytest.mark.feature("G22")
@pytest.mark.parametrize(("prefix", "version"), [(LAN4, 4), (LAN6, 6)])
def test_a_next_hop_is_the_neighbour_itself(thief: Thief, prefix: str, version: int) -> None:
    """With a path that it has. The next hop is another neighbour's, on another link.

    Without the filter, what the neighbour sends by this path goes over that link.
    """
    (other,) = (p for p, each in bgp_peers(thief.near).items() if each["remoteAs"] == RELAY)
    own, filters = thief.address, ["set ip next-hop peer-address"]
    if version == 6:
        other, own = thief.hop(LAN6, RELAY, A, D), thief.hop(thief.own6, B)
        filters = [f"set ipv6 next-hop global {own}", "set ipv6 next-hop prefer-global"]
    claim = Claim(prefixes=[prefix], path=[B, A, D], next_hop=other)

    with thief.claiming(claim, to=("lan-c",)):
        await_true(lambda: thief.hop(prefix, B, A, D), "the true path is accepted")
        assert thief.hop(prefix, B, A, D) == own
        assert own != other
        with thief.without(
            f"route-map IMPORT-{thief.filter}-V{version} permit 10",
            *(f"no {each}" for each in filters),
        ):
            await_true(lambda: thief.hop(prefix, B, A, D) == other, "without the filter it is used")
        await_true(lambda: thief.hop(prefix, B, A, D) == own, "it is the neighbour again")
    thief.others.await_unchanged()


@pytest.mark.feature("G22")
def test_of_communities_it_has_graceful_shutdown_alone_for_its_own_routes(thief: Thief) -> None:
    """NO_EXPORT would have the neighbour keep the route from others."""
    text = f"{B} {A} {D}"
    claim = Claim(prefixes=[LAN4], path=[B, A, D], communities=[NO_EXPORT, GRACEFUL_SHUTDOWN])

    def communities() -> str:
        return str((thief.path(LAN4, text) or {}).get("community", {}).get("string", ""))

    with thief.claiming(claim, to=("lan-c",)):
        await_true(communities, "the true path is accepted")
        assert communities() == "graceful-shutdown"
        thief.others.assert_unchanged(during=0.5)
        with thief.without(
            f"route-map IMPORT-{thief.filter}-V4 permit 10", "no set comm-list FOREIGN delete"
        ):
            await_true(lambda: "no-export" in communities(), "without the filter it stays")
    thief.others.await_unchanged()


@dataclass(frozen=True, kw_only=True)
class Load:
    """What the processes of FRR on a cell have used: seconds of processor, and memory in MB."""

    processor: float
    memory: float


def load(cell: Node) -> Load:
    """What bgpd and zebra of a cell use (proc_pid_stat(5))."""
    found = pids(cell)
    words = " ".join(f"/proc/{found[name]}/stat" for name in ("bgpd", "zebra"))
    rows = cell.run(["sh", "-c", f"cat {words}"]).stdout.splitlines()
    fields = [row.rpartition(")")[2].split() for row in rows]
    ticks = sum(int(each) for row in fields for each in row[11:13])
    pages = sum(int(row[21]) for row in fields)
    return Load(
        processor=ticks / os.sysconf("SC_CLK_TCK"),
        memory=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
    )


def connections(cell: Node) -> dict[str, int]:
    """How often each session of a cell has come up, but for those with the thief."""
    shown = json.loads(vtysh(cell, "show bgp neighbors json"))
    return {
        name: each["connectionsEstablished"]
        for name, each in shown.items()
        if each["remoteAs"] != B
    }


@pytest.mark.feature("G22")
@pytest.mark.feature("G53")
def test_a_route_that_flaps_a_hundred_times_a_second_costs_others_little(thief: Thief) -> None:
    world, cells = thief.running.world, thief.others.cells
    before = {cell.name: (connections(cell), load(cell)) for cell in cells}
    own = Claim(prefixes=[OWN4], path=[B])
    prober, sent = stream([line(world.nodes["lan-c-host1"], world.nodes["lan-d-host1"])])
    flaps, began = 0, time.monotonic()
    with prober, sent:
        while (elapsed := time.monotonic() - began) < 3:
            for each in thief.sessions.values():
                each.withdraw(own)
                each.advertise(own)
            flaps += 1
            pause(max(0.0, began + flaps / 100 - time.monotonic()))

    assert flaps > 250
    for cell in cells:
        sessions, at_first = before[cell.name]
        now = load(cell)
        share = 100 * (now.processor - at_first.processor) / elapsed
        note(f"{cell.name}: {share:.1f} % of a core, {now.memory - at_first.memory:.1f} MB more")
        assert share < MOST_OF_A_CORE, cell.name
        assert now.memory - at_first.memory < 5, cell.name
        assert connections(cell) == sessions
    assert {flow.lost for flow in sent.flows.values()} == {0}
    thief.others.await_unchanged()


@pytest.mark.feature("G22")
@pytest.mark.feature("G53")
@pytest.mark.alone
def test_a_hundred_thousand_refused_prefixes_end_its_own_session_alone(thief: Thief) -> None:
    """The agent ends it; without one, it is bgpd's memory that limits them.

    It is last: bgpd keeps some of the memory for good.
    """
    world, near, cells = thief.running.world, thief.near, thief.others.cells
    before = {cell.name: (connections(cell), load(cell)) for cell in cells}
    prober, sent = stream([line(world.nodes["lan-c-host1"], world.nodes["lan-d-host1"])])
    with prober, sent, ExitStack() as stack:
        began = time.monotonic()
        thief.sessions["lan-c"].advertise(Claim(prefixes=FLOOD, path=[B]))
        mark = Claim(prefixes=[OWN4], path=[B], communities=[GRACEFUL_SHUTDOWN])
        thief.sessions["lan-c"].advertise(mark)
        await_true(
            lambda: "community" in (thief.path(OWN4, str(B)) or {}), "all are taken", within=60
        )
        # With each route that it accepts FRR could count what was refused of another neighbour.
        for verb in ("no network", "network"):
            is_there = verb == "network"
            config = ("configure terminal", f"router bgp {D}", "address-family ipv6 unicast")
            vtysh(world.nodes["lan-d"], *config, f"{verb} {LAN6}")
            await_true(lambda i=is_there: bool(thief.paths(LAN6)) is i, f"{LAN6}: {is_there}")
        assert prefix_count(near) > len(FLOOD)
        assert thief.has_session()

        agent = Agent(node=near, root=thief.running.cell_root(near), cell=3)
        stack.callback(agent.stop)
        agent.start()
        await_true(lambda: not thief.has_session(), "the session is ended", within=60)
        await_true(lambda: prefix_count(near) < 1000, "they are removed", within=60)
        elapsed = time.monotonic() - began
        await_true(lambda: "ended its BGP session" in agent.log_text(), "it is reported")

    shown = json.loads(vtysh(near, f"show bgp neighbors {thief.address} json"))[thief.address]
    assert shown["lastNotificationReason"] == "Cease/Maximum Number of Prefixes Reached"
    # It is tried again within a minute.
    assert 0 < shown["restartInTimerMsec"] <= 60_000
    for cell in cells:
        sessions, at_first = before[cell.name]
        now = load(cell)
        spent, memory = now.processor - at_first.processor, now.memory - at_first.memory
        note(f"{cell.name}: {spent:.2f} of {elapsed:.1f} s, {memory:.1f} MB more")
        if cell is not near:
            assert spent < 1, cell.name
            assert memory < 5, cell.name
        assert connections(cell) == sessions
    assert {flow.lost for flow in sent.flows.values()} == {0}

    # What bgpd does when that time is over.
    vtysh(near, f"clear bgp {thief.address}")
    thief.reconnect()
    await_true(lambda: thief.path(OWN4, str(B)), "its own route is accepted again")
    thief.others.await_unchanged()
    thief.sessions["lan-c"].close()


def prefix_count(cell: Node) -> int:
    """How many prefixes a cell's bgpd has, refused ones included."""
    return prefix_limits.prefix_count(vtysh(cell, prefix_limits.COUNT).encode())
