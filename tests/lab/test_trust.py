"""A cell advertises only its own, sends only its own, and nothing leaks in clear text."""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from watching import (
    UNO,
    Tables,
    address_of,
    await_healthy,
    await_true,
    bgp_peers,
    bgp_routes,
    holds,
    node_addresses,
    pause,
    restore,
    tables_at_rest,
    vtysh,
)
from wiretaps import remote, wiretaps

from uno.lab import netns
from uno.lab.deploy import Deployment
from uno.lab.node import Node
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.model.net import address
from uno.model.plan import FIRST_ASN

pytestmark = pytest.mark.lab

# Cell ids count from 1 in the order of the specification.
ASN = {
    name: FIRST_ASN + number
    for number, name in enumerate(("lan-a", "lan-b", "lan-c", "lan-d", "relay"), start=1)
}


@pytest.fixture(scope="module")
def four_sites_spec(ring_spec: Path) -> Path:
    return ring_spec


@pytest.fixture(scope="module", autouse=True)
def _settled(running: Deployment) -> None:
    """All routes are known to all, and no table changes any more."""
    await_healthy(running)
    tables_at_rest(running.cells)


@pytest.mark.feature("G22")
def test_what_a_leaf_announces_of_others_changes_no_table(running: Deployment) -> None:
    """LANs, parts of them, more than them, hosts, cells, pools, and the whole Internet."""
    thief = running.world.nodes["lan-d"]
    cell4, cell6 = node_addresses(running.world.nodes["relay"])
    prefixes = [
        *("192.168.3.0/24", "192.168.3.0/25", "192.168.0.0/16", "192.168.1.11/32"),
        *("0.0.0.0/0", "8.8.8.0/24", f"{cell4}/32", "10.255.192.0/20", "10.254.0.0/16"),
        *("2001:db8:3::/64", "2001:db8:3::/65", "::/0", f"{cell6}/128"),
    ]

    with announcing(running, thief, prefixes) as others:
        for prefix in prefixes:
            assert_received(running.world.nodes["lan-a"], thief, prefix)
        others.assert_unchanged(during=2)


@pytest.mark.feature("G22")
def test_a_leaf_that_pretends_to_be_a_transit_is_not_believed(running: Deployment) -> None:
    """The same with the owner's AS number at the path's end, as a transit would show it."""
    thief = running.world.nodes["lan-d"]
    owner = ASN["lan-c"]

    with announcing(running, thief, ["192.168.3.0/24", "2001:db8:3::/64"], owner=owner) as others:
        for prefix in ("192.168.3.0/24", "2001:db8:3::/64"):
            assert_received(running.world.nodes["lan-a"], thief, prefix, owner=owner)
        others.assert_unchanged(during=2)


@pytest.mark.feature("G22")
def test_what_a_transit_advertises_of_others_attracts_no_traffic(running: Deployment) -> None:
    """A transit may advertise less than it has; so what it does not transit is advertised here."""
    thief = running.world.nodes["lan-b"]
    relay = node_addresses(running.world.nodes["relay"])[0]
    prefixes = ["192.168.3.0/25", "0.0.0.0/0", "8.8.8.0/24", f"{relay}/32", "2001:db8:3::/65"]

    with announcing(running, thief, prefixes) as others:
        for prefix in prefixes:
            for neighbor in ("lan-a", "lan-c"):
                assert_received(running.world.nodes[neighbor], thief, prefix)
        others.assert_unchanged(during=2)


@pytest.mark.feature("G24")
def test_a_lan_host_cannot_send_as_a_host_of_another_lan(running: Deployment) -> None:
    nodes = running.world.nodes

    seen = spoofed(nodes["lan-a-host1"], nodes["lan-b-host1"], "192.168.3.99")

    assert seen == ["192.168.1.11"]


@pytest.mark.feature("G24")
def test_a_lan_host_cannot_send_as_an_ipv6_host_of_another_lan(running: Deployment) -> None:
    nodes = running.world.nodes

    seen = spoofed(nodes["lan-d-host1"], nodes["lan-c-host1"], "2001:db8:5::99")

    assert seen == [str(address_of(nodes["lan-d-host1"], 6))]


@pytest.mark.feature("G24")
@pytest.mark.parametrize("source", ["192.168.3.99", "8.8.8.8", "10.255.128.6", "10.254.0.2"])
def test_a_leaf_cell_without_its_own_firewall_cannot_send_as_others(
    running: Deployment, source: str
) -> None:
    nodes = running.world.nodes
    leaf = nodes["lan-d"]
    leaf.run(["nft", "delete", "table", "inet", "uno"])
    dropped = drops(nodes["lan-a"])

    # What is for hosts has the address of their cell, where cells are translated.
    seen = spoofed(leaf, nodes["lan-b"], source, own=str(node_addresses(leaf)[0]))

    running.up([leaf])
    assert seen == [str(node_addresses(leaf)[0])]
    assert drops(nodes["lan-a"]) > dropped


@pytest.mark.feature("G24")
def test_what_comes_from_the_internet_is_carried_into_no_lan(running: Deployment) -> None:
    """lan-b is on the Internet itself: its neighbours there could send it anything."""
    nodes = running.world.nodes
    internet, cell = nodes["internet"], nodes["lan-b"]
    targets = [address_of(nodes[name]) for name in ("lan-b-host1", "lan-c-host1")]
    targets.append(node_addresses(nodes["lan-c"])[0])
    for target in targets:
        internet.run(["ip", "route", "add", str(target), "via", str(cell.station.public)])

    with (
        cell.capture("wan", "icmp[0] == 8") as arrived,
        PingMatrix([PingPath(nodes["server"].namespace, target) for target in targets]) as prober,
    ):
        reached = prober.reach(within=1)
        await_true(lambda: len(arrived.packets()) >= 3, "pings come to the cell")

    for target in targets:
        internet.run(["ip", "route", "del", str(target)])
    assert len(reached.missing) == 3


@pytest.mark.feature("G28")
def test_nothing_leaks_while_everything_else_is_dead(running: Deployment) -> None:
    """Neither from LAN hosts nor from the cells themselves, on the Internet or behind a router."""
    world = running.world
    alone = [world.nodes["lan-a"], world.nodes["lan-b"]]
    others = [cell for cell in running.cells if cell not in alone]
    paths = [
        PingPath(node.namespace, target)
        for cell in alone
        for node in (cell, world.nodes[f"{cell.name}-host1"])
        for target in remote(running, cell)
        if node.address(target.version)
    ]

    with wiretaps(running, alone) as leaks:
        for cell in others:
            cell.kill()
        world.cut("lan-a", "lan-b")
        await_true(lambda: not any(bgp_routes(cell) for cell in alone), "no path is up")
        with PingMatrix(paths) as prober:
            reached = prober.reach(within=2)
        leaked = leaks()

    restore(running)
    assert leaked == []
    assert reached.missing == tuple(paths)


@pytest.mark.feature("G28")
def test_nothing_leaks_while_cells_start_and_stop(running: Deployment) -> None:
    """Nor while they are down: neither from LAN hosts nor from the cells themselves."""
    world = running.world
    cells = [world.nodes["lan-a"], world.nodes["lan-b"]]
    paths = [
        PingPath(node.namespace, target)
        for cell in cells
        for node in (cell, world.nodes[f"{cell.name}-host1"])
        for target in remote(running, cell)
        if node.address(target.version)
    ]

    with wiretaps(running, cells) as leaks:
        with PingMatrix(paths) as prober, prober.stream(rate=100) as stream:
            for _ in range(2):
                running.down(cells)
                pause(0.5)
                running.up(cells)
            restore(running)
        leaked = leaks()

    assert leaked == []
    flows = stream.flows.values()
    assert any(flow.lost for flow in flows)
    assert any(flow.lost < flow.sent for flow in flows)


@pytest.mark.feature("G28")
def test_a_host_that_forwards_anyway_leaks_nothing_from_the_first_step_of_up(
    running: Deployment,
) -> None:
    world = running.world
    cell = world.nodes["lan-b"]
    paths = [
        PingPath(world.nodes["lan-b-host1"].namespace, target)
        for target in remote(running, cell)
        if target.version == 4
    ]
    running.down([cell], forget=True)
    cell.run(["sysctl", "-q", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
    for other in running.cells:
        if other is not cell:
            world.cut("lan-b", other.name)

    with wiretaps(running, [cell]) as leaks, PingMatrix(paths) as prober, prober.stream(rate=100):
        await_true(lambda: len(leaks()) > 10, "the taps capture what leaks")
        rising = cell.start([*UNO, "service", "up", "-r", str(running.cell_root(cell))])
        await_true(
            lambda: cell.run(["ip", "route", "show", "proto", "98"]).stdout, "unreachable routes"
        )
        from_now = time.time()  # noqa: TID251
        assert rising.wait(30) == 0
        pause(1)
        leaked = [each for each in leaks() if float(each.split()[1]) > from_now + 0.05]

    world.restore_all()
    running.down([cell])
    cell.run(["sysctl", "-q", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0"])
    restore(running)
    assert leaked == []


@pytest.mark.feature("G28")
def test_a_cell_that_is_down_sends_nothing_in_clear_text_until_it_is_told_to_forget(
    running: Deployment,
) -> None:
    """Nor does a host that forwards anyway; with `--forget` the same packets leave."""
    cell, host = running.world.nodes["lan-b"], running.world.nodes["lan-b-host1"]
    targets = remote(running, cell)
    paths = [
        PingPath(node.namespace, target)
        for node in (cell, host)
        for target in targets
        if node.address(target.version)
    ]
    forwarding = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
    try:
        with wiretaps(running, [cell]) as leaks, PingMatrix(paths) as prober:
            running.down([cell])
            cell.run(["sysctl", "-q", *(f"{key}=1" for key in forwarding)])
            assert prober.reach(within=2).missing == tuple(paths)
            assert leaks() == []

            running.down([cell], forget=True)
            prober.reach(within=1)
            await_true(lambda: len(leaks()) > 10, "the same packets leave")
    finally:
        cell.run(["sysctl", "-q", *(f"{key}=0" for key in forwarding)])
        restore(running)


@pytest.mark.feature("G28")
def test_a_host_without_a_path_is_rejected_at_once(running: Deployment) -> None:
    world = running.world
    cell, host, gone = world.nodes["lan-a"], world.nodes["lan-a-host1"], world.nodes["lan-d"]
    gone.kill()
    await_true(lambda: "192.168.4.0/24" not in bgp_routes(cell), "lan-d is gone")

    # Linux limits how often it sends it to the same host (icmp_ratelimit), so that one ping of
    # several may be left without an answer.
    target = str(address_of(world.nodes["lan-d-host1"]))

    def is_rejected() -> bool:
        output = host.run(["ping", "-c", "1", "-W", "1", target], check=False).stdout
        return re.search(r"(Host|Net) Unreachable", output) is not None

    try:
        await_true(is_rejected, f"{host.name} is informed that there is no path", within=10)
    finally:
        restore(running)


@contextmanager
def announcing(
    running: Deployment, thief: Node, prefixes: list[str], *, owner: int | None = None
) -> Iterator[Tables]:
    """Have a cell announce prefixes that are not its own; with `owner` as if it were the next."""
    all_cells = Tables(list(running.cells))
    others = Tables([cell for cell in running.cells if cell is not thief])
    router = f"router bgp {ASN[thief.name]}"
    networks = [
        line
        for prefix in prefixes
        for line in (
            f"address-family {'ipv6' if ':' in prefix else 'ipv4'} unicast",
            f"network {prefix}",
            "exit-address-family",
        )
    ]
    begin = ["configure terminal"]
    for step, family in ((5, "ip"), (6, "ipv6")) if owner else ():
        begin += [
            f"route-map EXPORT permit {step}",
            f"match {family} address prefix-list PREFIXES-{owner - FIRST_ASN}",
            f"set as-path prepend {owner}",
            "exit",
        ]
    vtysh(thief, *begin, router, "no bgp network import-check", *networks)
    try:
        yield others
    finally:
        undo = [line.replace("network ", "no network ") for line in networks]
        end = ["configure terminal", router, *undo, "bgp network import-check", "exit"]
        if owner:
            end += ["no route-map EXPORT permit 5", "no route-map EXPORT permit 6"]
        vtysh(thief, *end)
        all_cells.await_unchanged()


def assert_received(cell: Node, thief: Node, prefix: str, *, owner: int | None = None) -> None:
    """Wait until a cell has received a prefix from a neighbour that originates it, or has `owner`.

    It may have received it before, by another path.
    """
    path = " ".join(map(str, filter(None, (ASN[thief.name], owner))))
    family = "ipv6" if ":" in prefix else "ipv4"
    peers = bgp_peers(cell)
    (neighbor,) = [name for name, peer in peers.items() if peer["remoteAs"] == ASN[thief.name]]

    def is_received() -> bool:
        output = vtysh(cell, f"show bgp {family} unicast neighbors {neighbor} received-routes json")
        return bool(json.loads(output)["receivedRoutes"].get(prefix, {}).get("path") == path)

    await_true(is_received, f"{cell.name} receives {prefix} from {thief.name} by {path}")


def spoofed(sender: Node, target: Node, source: str, *, own: str | None = None) -> list[str]:
    """Send from an address that is not the sender's, and from its own; return what arrives."""
    false = address(source)
    true = own or str(address_of(sender, false.version))
    family = socket.AF_INET if false.version == 4 else socket.AF_INET6
    at = (str(address_of(target, false.version)), 7200)
    sender.run(["ip", "address", "add", source, "dev", "lo", *(["nodad"] if ":" in source else [])])
    try:
        with ExitStack() as stack:
            listening = stack.enter_context(
                netns.socket_in(target.namespace, family, socket.SOCK_DGRAM)
            )
            listening.bind(at)
            ways = []
            for each in (source, true):
                made = netns.socket_in(sender.namespace, family, socket.SOCK_DGRAM)
                ways.append(stack.enter_context(made))
                made.bind((each, 0))
            seen: set[str] = set()

            def arrived() -> bool:
                for way in ways:
                    with suppress(OSError):
                        way.sendto(b"who am I", at)
                while select.select([listening], [], [], 0.1)[0]:
                    seen.add(listening.recvfrom(64)[1][0])
                return true in seen

            await_true(arrived, "what is sent as itself arrives")
            holds(lambda: arrived() and True, during=0.5)
    finally:
        sender.run(["ip", "address", "del", source, "dev", "lo"])
    return sorted(seen)


def drops(cell: Node) -> int:
    """How many packets a cell has dropped for their sources."""
    listed = cell.run(["nft", "list", "table", "inet", "uno"]).stdout
    chains = re.findall(r"chain rpf_[^}]*counter packets (\d+) bytes \d+ drop", listed)
    return sum(map(int, chains))
