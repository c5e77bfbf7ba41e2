"""Cells of several UVNs side by side, reduced to what decides who reaches whom.

Each cell is a namespace with uno's own FRR, as uno configures and starts it, and a host in its
LANs. Each link is a wire that can lose everything while both of its ends stay up, as a WireGuard
link does; so what is lost is noticed by BFD alone. There is no encryption, firewall or agent.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uno.host.command import run
from uno.host.routing_frr import daemons
from uno.host.routing_frr.daemons import Frr
from uno.lab import netns
from uno.lab.ping_matrix import PingPath
from uno.lab.world import World, temporary_world
from uno.lab.world_layout import Cable, Role, Station, WorldLayout
from uno.model.attached_lan import AttachedLan
from uno.model.plan import Link, LinkEnd, Member, Plan
from uno.model.routing_policy import routing_policy
from uno.model.syntax import interface_name
from uno.planning.cell_plans import cell_plans, roster
from uno.ports.host import Routing
from uno.render import frr

# Daemons that start at once: they compute.
WORKERS = 4
INTERNET = "internet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A path that packets are to take, and the cells at its two ends.

    `from_lan` is whether it begins at a host of a LAN; else at a cell, as the packets of particles
    do that the cell translates.
    """

    source: int
    target: int
    path: PingPath
    from_lan: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedUvn:
    """The cells of one UVN in a world that it shares with others. `number` is its place there."""

    number: int
    plan: Plan
    world: World
    folder: Path

    def namespace(self, cell: int) -> str:
        """The namespace of a cell."""
        return self.world.nodes[station_name(self.number, cell)].namespace

    def frr(self, cell: int) -> Frr:
        """The FRR of a cell. What it starts is in the namespace of the thread that starts it."""
        return Frr(self.folder / station_name(self.number, cell) / "frr")

    def start(self, cell: int, *, version: tuple[int, int]) -> None:
        """Start routing on a cell, as `uno service up` does, with the FRR of this version."""
        plan = self.plan
        (member,) = (each.member for each in plan.cells if each.member.id == cell)
        lans = tuple(AttachedLan(network=lan, nic="lan0", exact=True) for lan in member.lans)
        policy = routing_policy(cell_plans(plan)[cell], roster(plan), lans=lans)
        routing = Routing(daemons=frr.daemons(policy, version=version))
        with netns.entered(self.namespace(cell)):
            self.frr(cell).start(routing, others_have_routes=False)

    def kill(self, cell: int, name: str) -> None:
        """Kill one daemon of a cell's FRR."""
        pid = self.folder / station_name(self.number, cell) / "frr" / f"{name}.pid"
        os.kill(int(pid.read_text()), signal.SIGKILL)

    def traffic(self) -> Iterator[Traffic]:
        """Yield all LAN hosts and serving cells with each host of another cell's LAN."""
        members = [cell.member for cell in self.plan.cells]
        for source in members:
            for target in members:
                if source is not target:
                    yield from self._between(source, target)

    def _between(self, source: Member, target: Member) -> Iterator[Traffic]:
        own = {lan.version for lan in source.lans}
        for lan in target.lans:
            at = lan[2]
            if lan.version in own:
                host = self.world.nodes[host_name(self.number, source.id)].namespace
                yield Traffic(
                    source=source.id, target=target.id, path=PingPath(host, at), from_lan=True
                )
            if source.serves_particles:
                yield Traffic(
                    source=source.id,
                    target=target.id,
                    path=PingPath(self.namespace(source.id), at),
                    from_lan=False,
                )

    def wire(self, link: Link, *, up: bool) -> str:
        """The command for the Internet that lets a link lose everything, or nothing any more."""
        return f"link set {wire_name(self.number, link)} {'up' if up else 'down'}\n"


@contextmanager
def side_by_side(plans: Sequence[Plan]) -> Iterator[tuple[RoutedUvn, ...]]:
    """Give each plan its cells, and start routing on all of them; not all need be converged."""
    # FRR's user has to reach its folders.
    with (
        tempfile.TemporaryDirectory(prefix="uno-lab-", dir="/run") as folder,
        temporary_world(layout(plans)) as world,
    ):
        Path(folder).chmod(0o755)
        made = tuple(
            RoutedUvn(number=number, plan=plan, world=world, folder=Path(folder))
            for number, plan in enumerate(plans)
        )
        with ThreadPoolExecutor(WORKERS) as pool:
            cells = [(uvn, cell.member.id) for uvn in made for cell in uvn.plan.cells]
            version = daemons.version()
            list(pool.map(lambda each: each[0].start(each[1], version=version), cells))
        yield made


def set_wires(world: World, commands: Iterable[str]) -> None:
    """Run commands of `RoutedUvn.wire`, all at once."""
    run(["ip", "-n", world.nodes[INTERNET].namespace, "-batch", "-"], stdin="".join(commands))


def layout(plans: Sequence[Plan]) -> WorldLayout:
    """Return the world of these plans: cells, hosts, and one node that all wires go through."""
    cables: list[Cable] = []
    wires: list[str] = []
    stations: list[Station] = []
    for number, plan in enumerate(plans):
        for cell in plan.cells:
            member = cell.member
            stations.append(cell_station(number, plan, member))
            if member.lans:
                stations.append(host_station(number, member))
                cables.append(
                    Cable(
                        node=host_name(number, member.id),
                        interface="eth0",
                        far_node=station_name(number, member.id),
                        far_interface="lan0",
                    )
                )
        for link in plan.links:
            wire = wire_name(number, link)
            wires.append(f"link add {wire} type bridge mcast_snooping 0")
            for end in (link.a, link.b):
                port = f"{wire}.{end.cell}"
                cables.append(
                    Cable(
                        node=station_name(number, end.cell),
                        interface=interface_name(plan.backbone.interface, end.slot),
                        far_node=INTERNET,
                        far_interface=port,
                    )
                )
                wires.append(f"link set {port} master {wire} up")
            wires.append(f"link set {wire} up")
    internet = Station(name=INTERNET, role=Role.INTERNET, commands=tuple(wires))
    return WorldLayout(stations=(internet, *stations), cables=tuple(cables), names={})


def cell_station(number: int, plan: Plan, member: Member) -> Station:
    """A cell: its links, its own addresses, and the first address of each of its LANs."""
    commands = ["link set lo up", "link add uno0 type bridge", "link set uno0 up"]
    commands += [f"addr add {member.node4}/32 dev uno0", f"addr add {member.node6}/128 dev uno0"]
    ends = [end for link in plan.links for end in (link.a, link.b) if end.cell == member.id]
    for end in ends:
        commands += link_commands(plan, end)
    for lan in member.lans:
        nodad = " nodad" if lan.version == 6 else ""
        commands.append(f"addr add {lan[1]}/{lan.prefixlen} dev lan0{nodad}")
    if member.lans:
        commands.append("link set lan0 up")
    return Station(
        name=station_name(number, member.id),
        role=Role.CELL,
        forwards=True,
        commands=tuple(commands),
    )


def link_commands(plan: Plan, end: LinkEnd) -> list[str]:
    """The commands that give one end of a link its addresses."""
    interface = interface_name(plan.backbone.interface, end.slot)
    return [
        f"addr add {end.address4}/31 dev {interface}",
        f"addr add {end.address6}/127 dev {interface} nodad",
        f"link set {interface} up",
    ]


def host_station(number: int, member: Member) -> Station:
    """A host in all LANs of a cell, with the cell as its router."""
    commands = ["link set lo up"]
    for lan in member.lans:
        nodad = " nodad" if lan.version == 6 else ""
        commands.append(f"addr add {lan[2]}/{lan.prefixlen} dev eth0{nodad}")
    commands.append("link set eth0 up")
    commands += [f"route add default via {lan[1]}" for lan in member.lans]
    return Station(name=host_name(number, member.id), role=Role.HOST, commands=tuple(commands))


def station_name(number: int, cell: int) -> str:
    """The name of a cell's node."""
    return f"u{number}c{cell}"


def host_name(number: int, cell: int) -> str:
    """The name of the host in a cell's LANs."""
    return f"u{number}h{cell}"


def wire_name(number: int, link: Link) -> str:
    """The name of a link's bridge in the node that all wires go through."""
    return f"u{number}l{link.number}"
