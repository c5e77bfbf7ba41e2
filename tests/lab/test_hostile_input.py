"""What uno's daemons on a cell receive, from whom, while others forge, connect and knock.

Each has its counter-proof in the same lab: without the rules that defend, the attempt succeeds.
"""

from __future__ import annotations

import errno
import json
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Network

import pytest
from advertising import advertise
from forging import bfd_sessions, send_forged_bfd
from knocking import is_received
from watching import (
    address_of,
    await_healthy,
    await_true,
    holds,
    node_addresses,
    pause,
    pids,
    status,
)

from uno.agent.commit.ledger import Ledger
from uno.lab import netns
from uno.lab.deploy import Deployment
from uno.lab.node import Node
from uno.lab.particle_peer import connected, tunnels
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.model.listening_ports import cell_ports
from uno.model.net import address
from uno.model.package import Package
from uno.model.plan import BackbonePeer
from uno.model.routing_policy import BGP_PORT
from uno.ports.bus import CELL_INDEX
from uno.ports.bus import listening as bus_ports

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

BFD_PORTS = (3784, 4784)
# A port that is not uno's.
OTHER = 7777


@dataclass(frozen=True, kw_only=True)
class Attacker:
    """Somebody with an address of their own, and ways to the addresses of the cell.

    `end` is the address of a neighbour's end of its link to the cell.
    """

    node: Node
    own: str
    targets: tuple[str, ...]
    end: str = ""


@dataclass(frozen=True, kw_only=True)
class Besieged:
    """A cell on the Internet and in a LAN, and all who attack it."""

    deployment: Deployment
    cell: Node
    package: Package
    attackers: dict[str, Attacker]

    @contextmanager
    def without(self, *chains: str) -> Iterator[None]:
        """Have these chains of uno's table empty for a while."""
        with kept_table(self.cell):
            for chain in chains:
                self.cell.run(["nft", "flush", "chain", "inet", "uno", chain])
            yield


@pytest.fixture(scope="module")
def besieged(running: Deployment) -> Iterator[Besieged]:
    await_healthy(running)
    nodes = running.world.nodes
    cell = nodes["lan-b"]
    package = Ledger(running.cell_root(cell)).current()
    assert package is not None
    node4 = str(node_addresses(cell)[0])
    links = tuple(str(link.local4) for link in package.plan.links)
    public, inside = str(cell.station.public), str(address_of(cell))
    every = (inside, public, node4, *links)
    john = nodes["john"]
    with ExitStack() as stack:
        stack.enter_context(connected(john, tunnels(running.particle_package(john))["lan-b"]))
        own = package.roster.pools.particles
        particle = next(
            each
            for each in addresses(john)
            if address(each) in own  # its tunnel's
        )
        near, far = nodes["lan-b-host1"], nodes["lan-c-host1"]
        # Directly, without the hop that the LAN's router is.
        for host, gateway in ((near, cell), (far, nodes["lan-c"])):
            stack.enter_context(routed(host, (node4, *links), str(address_of(gateway))))
        with PingMatrix([PingPath(john.namespace, address(node4))]) as prober:
            assert not prober.reach(within=10).missing
        relay = nodes["relay"]
        yield Besieged(
            deployment=running,
            cell=cell,
            package=package,
            attackers={
                "a LAN host": Attacker(node=near, own=str(address_of(near)), targets=every),
                "a LAN host elsewhere": Attacker(
                    node=far, own=str(address_of(far)), targets=(node4,)
                ),
                "a particle": Attacker(node=john, own=particle, targets=(node4, *links)),
                "the Internet": Attacker(
                    node=nodes["server"],
                    own=str(nodes["server"].station.public),
                    targets=(public,),
                ),
                "a cell": Attacker(
                    node=relay,
                    own=str(node_addresses(relay)[0]),
                    targets=(node4, *links),
                    end=next(str(each.remote4) for each in package.plan.links if each.cell == 5),
                ),
            },
        )


@pytest.mark.feature("G53")
def test_forged_bfd_with_the_right_discriminators_ends_no_session(besieged: Besieged) -> None:
    def attack() -> None:
        for attacker in besieged.attackers.values():
            forge_all(besieged, attacker)

    assert withstands(besieged, attack)


@pytest.mark.feature("G53")
@pytest.mark.parametrize("name", ["a LAN host", "the Internet", "a cell"])
def test_forged_bfd_ends_sessions_where_no_rule_defends(besieged: Besieged, name: str) -> None:
    """Others cannot send with the address of a link: their WireGuard, or a cell, drops it."""
    with besieged.without("input"):
        await_ended(besieged, lambda: forge_all(besieged, besieged.attackers[name]))


@pytest.mark.feature("G53")
def test_a_neighbour_ends_no_session_of_another_link(besieged: Besieged) -> None:
    """It has the discriminators of all, and sends with addresses of its own link, and of theirs."""
    sender, mine = besieged.deployment.world.nodes["relay"], link_to(besieged, "relay")
    others = [each for each in bfd_ends(besieged) if each[0] != str(mine.remote4)]
    ways = [(str(mine.remote4), str(mine.local4))]
    ways += [(remote, local) for remote, local, _ in others]
    numbers = [number for _, _, number in others]
    assert numbers

    assert withstands(besieged, lambda: send_forged_bfd(sender, ways, BFD_PORTS, numbers))


@pytest.mark.feature("G53")
def test_bgp_answers_nobody_but_neighbours(besieged: Besieged) -> None:
    def answering() -> dict[str, list[str]]:
        return {name: answered(each, BGP_PORT) for name, each in besieged.attackers.items()}

    assert not any(answering().values())

    with besieged.without("input"):
        await_true(lambda: all(answering().values()), "bgpd answers all of them", within=10)


@pytest.mark.feature("G53")
def test_the_bus_receives_from_nobody_but_nodes(besieged: Besieged) -> None:
    def receives_from(attacker: Attacker) -> bool:
        # A cell is a node, but not with the address of its end of a link.
        own = attacker.end or attacker.own
        to = attacker.targets[0]
        return is_received(besieged.cell, attacker.node, to, port, source=own, tcp=True)

    (port,) = bus_ports(besieged.package.plan.bus, CELL_INDEX)

    for name, attacker in besieged.attackers.items():
        assert not receives_from(attacker), name

    with besieged.without("input"):
        for name, attacker in besieged.attackers.items():
            assert receives_from(attacker), name


@pytest.mark.feature("G24")
@pytest.mark.feature("G53")
@pytest.mark.parametrize("sender", ["lan-b-host1", "server"])
def test_a_source_of_the_uvn_is_received_through_tunnels_alone(
    besieged: Besieged, sender: str
) -> None:
    nodes = besieged.deployment.world.nodes
    node = nodes[sender]
    target = str(besieged.cell.station.public if sender == "server" else address_of(besieged.cell))
    sources = (
        "192.168.3.99",
        str(node_addresses(nodes["relay"])[0]),
        str(besieged.package.plan.links[0].remote4),
        "10.255.128.1",
        "10.254.0.77",
    )
    with ExitStack() as stack:
        for forged in sources:
            stack.enter_context(having(node, forged))
        for forged in sources:
            assert not is_received(besieged.cell, node, target, OTHER, source=forged)
        stack.enter_context(besieged.without("not_tunnelled"))
        for forged in sources:
            assert is_received(besieged.cell, node, target, OTHER, source=forged)


@pytest.mark.feature("G24")
@pytest.mark.feature("G32")
@pytest.mark.feature("G53")
def test_an_ipv6_source_of_the_uvn_is_received_through_tunnels_alone(
    besieged: Besieged,
) -> None:
    nodes = besieged.deployment.world.nodes
    cell, host = nodes["lan-c"], nodes["lan-c-host1"]
    forged, target = str(node_addresses(nodes["relay"])[1]), str(address_of(cell, 6))
    own = str(address_of(host, 6))

    with having(host, forged):
        assert is_received(cell, host, target, OTHER, source=own)
        assert not is_received(cell, host, target, OTHER, source=forged)
        with kept_table(cell):
            cell.run(["nft", "flush", "chain", "inet", "uno", "not_tunnelled"])
            assert is_received(cell, host, target, OTHER, source=forged)


@pytest.mark.feature("G24")
@pytest.mark.feature("G53")
def test_a_neighbour_is_not_received_with_the_address_of_another_link(besieged: Besieged) -> None:
    sender = besieged.deployment.world.nodes["relay"]
    links, mine = besieged.package.plan.links, link_to(besieged, "relay")
    other = str(next(each for each in links if each is not mine).remote4)
    target = str(mine.local4)

    with having(sender, other):
        assert is_received(besieged.cell, sender, target, OTHER, source=str(mine.remote4))
        assert not is_received(besieged.cell, sender, target, OTHER, source=other)
        with besieged.without(f"rpf_{mine.interface}"):
            assert is_received(besieged.cell, sender, target, OTHER, source=other)


@pytest.mark.feature("G53")
def test_a_neighbour_that_advertises_itself_as_a_router_is_not_believed(besieged: Besieged) -> None:
    """Nor where the host's default, which is 2 while uno runs, or another program has it so."""
    sender, mine = besieged.deployment.world.nodes["relay"], link_to(besieged, "relay")
    (way,) = json.loads(sender.run(["ip", "-j", "route", "get", str(mine.local4)]).stdout)
    believing = ["sysctl", "-qw", f"net.ipv6.conf.{mine.interface}.accept_ra=2"]
    router = ["ip", "-6", "route", "show", "default", "dev", mine.interface]

    def is_believed() -> bool:
        advertise(sender, way["dev"], IPv6Network("2001:db8:bad::/64"), lifetime=1800)
        return bool(besieged.cell.run(router).stdout)

    besieged.cell.run(believing)
    besieged.deployment.up([besieged.cell])
    assert holds(lambda: not is_believed(), during=1)

    besieged.cell.run(believing)
    try:
        await_true(is_believed, "without the parameter it is", within=10)
    finally:
        besieged.deployment.up([besieged.cell])
        besieged.cell.run(["ip", "-6", "route", "flush", "dev", mine.interface, "proto", "ra"])


@pytest.mark.feature("G53")
@pytest.mark.feature("G07")
def test_a_change_of_the_table_ends_no_session(besieged: Besieged) -> None:
    def change() -> None:
        besieged.cell.run(["nft", "flush", "chain", "inet", "uno", "mss_clamp"])
        besieged.deployment.up([besieged.cell])

    assert withstands(besieged, change)


@pytest.mark.feature("G53")
def test_every_socket_of_unos_routing_has_a_row_in_the_table(besieged: Besieged) -> None:
    package = besieged.package
    own = bus_ports(package.plan.bus, CELL_INDEX)
    rows = cell_ports(package.plan, package.roster, bus_ports=own)
    known = {(row.transport.value, port) for row in rows for port in row.ports}

    sockets = listening(besieged.cell, set(pids(besieged.cell).values()))

    # bfdd sends from ports of this range (RFC 5881, section 4), and receives nothing there.
    receiving = {each for each in sockets if each[1] < 49152}
    assert {("tcp", 1790), ("udp", 3784), ("udp", 4784)} <= receiving
    assert receiving - known == set()


@pytest.mark.feature("G25")
@pytest.mark.feature("G53")
def test_the_hosts_own_services_are_received_as_ever(besieged: Besieged) -> None:
    near, internet = besieged.attackers["a LAN host"], besieged.attackers["the Internet"]
    for attacker, target in ((near, near.targets[0]), (internet, internet.targets[0])):
        for port in (179, OTHER, 7400, 53):
            assert is_received(besieged.cell, attacker.node, target, port)
    assert status(besieged.deployment, besieged.cell)["pending"] == []


def forge_all(besieged: Besieged, attacker: Attacker) -> None:
    """Send to every session, with the sender's own address and that of the session's other end.

    A neighbour does not do so over its own link: it may end its own session.
    """
    sessions = bfd_ends(besieged)
    numbers = [number for _, _, number in sessions]
    ways = [(attacker.own, target) for target in attacker.targets]
    ways += [
        (remote, target)
        for remote, local, _ in sessions
        for target in attacker.targets
        if target in {local, attacker.targets[0]} and remote != attacker.end
    ]
    send_forged_bfd(attacker.node, ways, BFD_PORTS, numbers)


def withstands(besieged: Besieged, attack: Callable[[], object]) -> bool:
    """Whether no session ends during an attack of some seconds.

    A busy machine ends sessions, too: in one of a few attempts none does.
    """
    for _ in range(4):
        await_true(lambda: all_up(besieged), "all sessions are up", within=30)
        before = {name: each.downs for name, each in bfd_sessions(besieged.cell).items()}
        end = time.monotonic() + 2
        while time.monotonic() < end:
            attack()
            pause(0.05)
        if before == {name: each.downs for name, each in bfd_sessions(besieged.cell).items()}:
            return True
    return False


def all_up(besieged: Besieged) -> bool:
    """Whether all sessions of the cell are up."""
    return all(each.is_up for each in bfd_sessions(besieged.cell).values())


def bfd_ends(besieged: Besieged) -> list[tuple[str, str, int]]:
    """The other end, this end, and the discriminator of each session."""
    found = bfd_sessions(besieged.cell).values()
    return [(each.remote, each.local, each.discriminator) for each in found]


def await_ended(besieged: Besieged, attack: Callable[[], object]) -> None:
    """Attack until a session has ended, and wait until all are up again."""
    before = {name: each.downs for name, each in bfd_sessions(besieged.cell).items()}

    def is_ended() -> bool:
        attack()
        now = bfd_sessions(besieged.cell)
        return any(now[name].downs > downs for name, downs in before.items())

    await_true(is_ended, "a session ends", within=10)
    await_true(lambda: all_up(besieged), "all sessions are up again", within=30)


def answered(attacker: Attacker, port: int) -> list[str]:
    """The addresses of the cell where a TCP connection is accepted."""
    with ExitStack() as stack:
        calls: dict[socket.socket, str] = {}
        for target in attacker.targets:
            call = stack.enter_context(
                netns.socket_in(attacker.node.namespace, socket.AF_INET, socket.SOCK_STREAM)
            )
            call.bind((attacker.own, 0))
            # One without a route ends at once.
            if call.connect_ex((target, port)) == errno.EINPROGRESS:
                calls[call] = target
        pause(0.5)
        _, done, _ = select.select([], list(calls), [], 0)
        return [
            calls[call] for call in done if call.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        ]


def link_to(besieged: Besieged, name: str) -> BackbonePeer:
    """The link of the cell to a neighbour."""
    (found,) = [each.id for each in besieged.package.roster.members if each.name == name]
    return next(each for each in besieged.package.plan.links if each.cell == found)


def addresses(node: Node) -> list[str]:
    """All IPv4 addresses of a node."""
    shown = node.run(["ip", "-4", "-o", "address", "show"]).stdout
    return re.findall(r"inet ([0-9.]+)", shown)


def listening(cell: Node, processes: set[int]) -> set[tuple[str, int]]:
    """The protocols and ports that processes listen on."""
    shown = cell.run(["ss", "-Hlntup"]).stdout
    found = re.findall(r"^(tcp|udp) .*?:(\d+) +\S+ +users:(.*)$", shown, re.MULTILINE)
    return {
        (protocol, int(port))
        for protocol, port, users in found
        if processes & {int(pid) for pid in re.findall(r"pid=(\d+)", users)}
    }


@contextmanager
def kept_table(cell: Node) -> Iterator[None]:
    """Put uno's table back as it is, whatever is done to it."""
    listed = cell.run(["nft", "-s", "list", "table", "inet", "uno"]).stdout
    try:
        yield
    finally:
        cell.run(["nft", "-f", "-"], stdin=f"delete table inet uno\n{listed}")


@contextmanager
def having(node: Node, source: str) -> Iterator[None]:
    """Have a node forge an address."""
    words = [source, "dev", "lo"]
    node.run(["ip", "address", "add", *words, *(["nodad"] if ":" in source else [])])
    try:
        yield
    finally:
        node.run(["ip", "address", "del", *words])


@contextmanager
def routed(node: Node, targets: tuple[str, ...], gateway: str) -> Iterator[None]:
    """Have a node send to some addresses through a gateway."""
    for target in targets:
        node.run(["ip", "route", "replace", target, "via", gateway])
    try:
        yield
    finally:
        for target in targets:
            node.run(["ip", "route", "del", target, "via", gateway])
