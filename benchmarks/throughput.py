"""How fast TCP is between two LAN hosts through two cells, compared with one bare WireGuard link.

    python benchmarks/throughput.py [--labs N] [--runs N] [--seconds S] [--beside] [--json FILE]

The same two hosts send to each other in two ways, by turns, because machines are noisy:

- uno: through their cells, which are the routers of their LANs, each with an address on the
  Internet, and serve no particles. A LAN is a cable, as short as a LAN can be;
- bare: one WireGuard link from host to host over the same Internet. Each host gets a cable to the
  Internet and a public address, and a WireGuard interface that the same code of uno makes, so of
  the same kind and MTU; no routing daemon, no firewall, no LAN.

Either way two WireGuard interfaces encrypt and decrypt, the Internet forwards once, and iperf3 runs
in the same two network namespaces. What differs is the LANs and the cells. The ratio is the
geometric mean of those of neighbouring transfers, which suffers least from a machine that is now
faster and now slower, and comes out the same whichever way is divided by the other. Exit status 1
if it is less than 0.95.

How fast a process is depends on where its memory happens to lie, for as long as it runs: so all is
built anew for every one of the labs, each of which has so many runs. Single ratios differ by a
tenth, so that it takes a hundred of them until the error of their mean is 0.01.

With `--beside` the cells stand beside the routers of their LANs and serve particles, as in the
demo. Then each LAN is a switch with two cables, on the same processors, and the cells track
connections. No goal, since the switch is not uno's.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from math import log
from pathlib import Path
from statistics import geometric_mean, stdev

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from reporting import Summary, at_least, finish, machine, say
from sites import CELLS, SOURCE, TARGET, await_true, exit_with, routers, running

from uno.host.command import run
from uno.host.netlink import interface_changes
from uno.host.wireguard import interfaces
from uno.lab import netns, requirements
from uno.lab.carrier import carrier
from uno.lab.deploy import Deployment
from uno.lab.node import Node
from uno.lab.world import World
from uno.lab.world_layout import GATEWAY4
from uno.model.key_ids import Secret
from uno.model.net import network
from uno.model.tunnel import Peer, Tunnel

STREAMS = (1, 4)
WAYS = ("uno", "bare")
PROGRAMS = {"iperf3": "iperf3"}
# Addresses for benchmarks (RFC 2544) that the lab does not use.
OUTSIDE = IPv4Address("198.18.100.0"), IPv4Address("198.18.100.1")
INSIDE = IPv4Interface("198.18.101.0/31"), IPv4Interface("198.18.101.1/31")
CABLE = "bench"
PORT = 51820


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One transfer: megabits per second that arrived, and segments sent again."""

    megabits: float
    retransmits: int


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labs", type=int, default=10, metavar="N")
    parser.add_argument("--runs", type=int, default=10, metavar="N")
    parser.add_argument("--seconds", type=int, default=2, metavar="S")
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    requirements.require(requirements.for_a_deployment() | PROGRAMS)
    before = machine()
    found: dict[tuple[str, int], list[Speed]] = {(way, n): [] for n in STREAMS for way in WAYS}
    for _ in range(asked.labs):
        cells = running(say, direct=CELLS) if asked.beside else routers(say)
        with cells as deployment, bare_link(deployment) as bare:
            ways = {"uno": str(deployment.world.nodes[TARGET].address(4)), "bare": bare}
            for key, speeds in measure(deployment.world, ways, asked.runs, asked.seconds).items():
                found[key] += speeds
    goals = []
    for streams in STREAMS:
        medians = {way: _summary(found[way, streams]) for way in WAYS}
        for way, summary in medians.items():
            sent_again = sum(each.retransmits for each in found[way, streams])
            say(f"{way:4} {streams} streams: {summary} Mbit/s; {sent_again} segments sent again")
        ratio = medians["uno"].median / medians["bare"].median
        say(f"{streams} streams: ratio of the medians {ratio:.3f}")
        pairs = zip(found["uno", streams], found["bare", streams], strict=True)
        ratios = Summary(values=tuple(one.megabits / other.megabits for one, other in pairs))
        say(f"{streams} streams: ratios of neighbouring transfers: {ratios}")
        if (count := len(ratios.values)) > 1:
            error = stdev(map(log, ratios.values)) / count**0.5
            say(f"{streams} streams: relative error of their geometric mean {error:.3f}")
        mean = geometric_mean(ratios.values)
        what = f"{streams} streams: geometric mean of these ratios"
        if asked.beside:
            say(f"{what}: {mean:.3f}")
        else:
            goals.append(at_least(what, mean, 0.95))
    named = {f"{way}, {streams} streams": each for (way, streams), each in found.items()}
    return finish(before=before, found=named, goals=goals, file=asked.json, say=say)


def measure(
    world: World, ways: dict[str, str], runs: int, seconds: int
) -> dict[tuple[str, int], list[Speed]]:
    """Send both ways, by turns; each way goes first as often as the other."""
    found: dict[tuple[str, int], list[Speed]] = {(w, n): [] for n in STREAMS for w in ways}
    for number in range(runs):
        order = list(ways.items())[:: 1 if number % 2 else -1]
        for streams in STREAMS:
            for way, address in order:
                speed = transfer(world, address, streams, seconds)
                found[way, streams].append(speed)
                say(f"{way:4} {streams} streams: {speed.megabits:.0f} Mbit/s")
    return found


def transfer(world: World, address: str, streams: int, seconds: int) -> Speed:
    """Run iperf3 from the source to an address of the target."""
    server = world.nodes[TARGET].start(["iperf3", "-s", "-1", "-B", address])
    try:
        listening = f"{address}:5201"
        snapshot = ["ss", "-Hltn"]
        await_true(
            lambda: listening in world.nodes[TARGET].run(snapshot).stdout, "iperf3 does not listen"
        )
        argv = ["iperf3", "-c", address, "-t", str(seconds), "-P", str(streams), "-J"]
        end = json.loads(world.nodes[SOURCE].run(argv, timeout=seconds + 30).stdout)["end"]
    finally:
        server.stop()
    return Speed(
        megabits=end["sum_received"]["bits_per_second"] / 1e6,
        retransmits=end["sum_sent"]["retransmits"],
    )


@contextmanager
def bare_link(deployment: Deployment) -> Iterator[str]:
    """Join both hosts by one WireGuard link over the Internet; give the target's address in it."""
    world = deployment.world
    hosts = world.nodes[SOURCE], world.nodes[TARGET]
    mtu = mtu_of(deployment)
    keys = [X25519PrivateKey.generate() for _ in hosts]
    with ExitStack() as stack:
        for number, host in enumerate(hosts):
            other = 1 - number
            tunnel = Tunnel(
                # wireguard-go's sockets are files of the machine, so the name must be its only one.
                name=f"bench{world.id}{number}",
                private_key=Secret(_base64(keys[number].private_bytes_raw())),
                mtu=mtu,
                addresses=(INSIDE[number],),
                peers=(
                    Peer(
                        public_key=_base64(keys[other].public_key().public_bytes_raw()),
                        allowed_ips=(network("0.0.0.0/0"),),
                        endpoint=f"{OUTSIDE[other]}:{PORT}",
                    ),
                ),
                port=PORT,
            )
            for name in (CABLE, tunnel.name):
                stack.callback(host.run, ["ip", "link", "del", name], check=False)
            plug_in(world, host, f"{CABLE}{number}", OUTSIDE[number])
            raise_tunnel(host, tunnel)
        yield str(INSIDE[1].ip)


def plug_in(world: World, host: Node, port: str, address: IPv4Address) -> None:
    """Give a host a cable to the Internet, and a public address, as the lab does it for a cell."""
    near, far = f"{CABLE} netns {host.namespace}", f"{port} netns {world.internet.namespace}"
    run(["ip", "link", "add", *near.split(), "type", "veth", "peer", "name", *far.split()])
    with netns.entered(world.internet.namespace):
        interface_changes.batch(
            [
                f"addr add {GATEWAY4}/32 dev {port}",
                f"link set {port} up",
                f"route add {address} dev {port}",
            ]
        )
    with netns.entered(host.namespace):
        interface_changes.batch(
            [
                f"addr add {address}/32 dev {CABLE}",
                f"link set {CABLE} up",
                f"route add {GATEWAY4} dev {CABLE}",
                f"route add {OUTSIDE[address == OUTSIDE[0]]} via {GATEWAY4} dev {CABLE}",
            ]
        )


def raise_tunnel(host: Node, tunnel: Tunnel) -> None:
    """Make a WireGuard interface on a host, by the code that makes those of the cells."""
    with netns.entered(host.namespace):
        interfaces.create(tunnel.name, log=host.directory / f"{tunnel.name}.log")
        endpoints = {each.endpoint: each.endpoint for each in tunnel.peers if each.endpoint}
        interfaces.configure(tunnel, endpoints=endpoints, fresh=True)
        lines = [f"addr add {each} dev {tunnel.name}" for each in tunnel.addresses]
        interface_changes.batch([f"link set {tunnel.name} mtu {tunnel.mtu} up", *lines])


def mtu_of(deployment: Deployment) -> int:
    """The MTU of the link between the two cells."""
    source, target = (deployment.world.nodes[name] for name in (SOURCE, TARGET))
    cell = deployment.world.nodes[source.station.cell]
    at = target.address(4)
    assert at is not None
    link = carrier(deployment.world, cell, at)
    assert link.far == target.station.cell
    return int(cell.run(["cat", f"/sys/class/net/{link.interface}/mtu"]).stdout)


def _summary(speeds: list[Speed]) -> Summary:
    return Summary(values=tuple(each.megabits for each in speeds))


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode()


if __name__ == "__main__":
    exit_with(main)
