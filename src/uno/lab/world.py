"""A world that exists: nodes to run programs in, and faults that the Internet can be given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from uno.diagnostics import ActionNeeded
from uno.host.command import CommandFailed, run
from uno.lab import inotify_limit, lab_state, machine, netns, node_nftables
from uno.lab.cleanup import temporary_lab
from uno.lab.lab_state import Lab
from uno.lab.node import Node
from uno.lab.world_layout import Role, Station, WorldLayout

# Where the kernel can show bridged packets to a firewall.
_BRIDGED = Path("/proc/sys/net/bridge")
# Subprocesses more than processors gain nothing: building is bound by the processor.
_WORKERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A lab that is up. `nodes` are found by their names in the layout."""

    lab: Lab
    nodes: Mapping[str, Node]

    @property
    def id(self) -> str:
        """The lab's id."""
        return self.lab.id

    @property
    def internet(self) -> Node:
        """The node that stands for the Internet."""
        return self.nodes["internet"]

    @property
    def registry(self) -> Node:
        """The node that the registry is on; a cell's, if they share an address."""
        return self.nodes[self.lab.layout.registry]

    def having(self, role: Role, *, cell: str | None = None) -> tuple[Node, ...]:
        """The nodes with `role`, of one cell's site if `cell` is given."""
        return tuple(self.nodes[s.name] for s in self.lab.layout.having(role, cell=cell))

    def cut(self, node: str, peer: str, *, port: int | None = None) -> None:
        """Drop UDP between two nodes on its way through the Internet, in both directions.

        All of it, or only what goes between `port` on `node` and `peer`. A node behind a router
        is where the Internet sees it: cutting it off cuts off what shares its address.
        """
        self._fault("add", node, peer, port=port)

    def restore(self, node: str, peer: str, *, port: int | None = None) -> None:
        """Take a `cut` with the same arguments back."""
        self._fault("delete", node, peer, port=port)

    def restore_all(self) -> None:
        """Take back every cut, and all loss."""
        self.internet.run(["nft", "-f", "-"], stdin=node_nftables.restore_all())

    def loss(self, percent: float) -> None:
        """Have the Internet lose this share of UDP packets, at random; 0 for none."""
        self.internet.run(["nft", "-f", "-"], stdin=node_nftables.loss(percent))

    def delay(self, milliseconds: float) -> None:
        """Have every packet that leaves the Internet wait; 0 for none.

        A round trip between two public nodes takes twice as long as that. Raises `UnoError` where
        the kernel has no netem queueing discipline (tc-netem(8)).
        """
        ports = [c.far_interface for c in self.lab.layout.cables if c.far_node == "internet"]
        verb = f"replace {{}} root netem delay {milliseconds}ms" if milliseconds else "del {} root"
        lines = "".join(f"qdisc {verb.format(f'dev {port}')}\n" for port in ports)
        try:
            self.internet.run(["tc", "-batch", "-"], stdin=lines)
        except CommandFailed as error:
            raise ActionNeeded(
                f"the Internet of this lab cannot be slow: {error.stderr}",
                "it needs a kernel with netem (module sch_netem)",
            ) from error

    def _fault(self, verb: str, node: str, peer: str, *, port: int | None) -> None:
        one, other = (self.nodes[name].station.public for name in (node, peer))
        if one is None or other is None:
            raise ActionNeeded(f"{node} or {peer} has no place on the Internet")
        self.internet.run(["nft", "-f", "-"], stdin=node_nftables.cut(verb, one, other, port=port))


@contextmanager
def temporary_world(layout: WorldLayout) -> Iterator[World]:
    """A world for the length of a block; taken down however the block ends."""
    with temporary_lab() as lab_id:
        yield build(layout, lab_id)


def build(
    layout: WorldLayout, lab_id: str, *, report: Callable[[str], object] = lambda _line: None
) -> World:
    """Make a world under an id of `temporary_lab`, which removes it, also on failure.

    It may have the inotify instances that userspace WireGuard takes. Raises `UnoError`.
    """
    lab = lab_state.create(layout, lab_id)
    if inotify_limit.reserve(lab.directory, inotify_limit.instances(layout)):
        report("raised fs.inotify.max_user_instances of this machine until its labs are down")
    return _build(lab)


def open_world(lab_id: str | None = None) -> World:
    """Find a world that stands; without an id, the only one. Raises `UnoError`."""
    lab = lab_state.load(lab_id)
    if not lab.complete:
        raise ActionNeeded(
            f"lab {lab.id} is not finished", f"remove it with `uno lab down {lab.id}`"
        )
    return _world(lab)


def _build(lab: Lab) -> World:
    stations = lab.layout.stations
    run(
        ["ip", "-batch", "-"],
        stdin="".join(f"netns add {lab.namespace(s.name)}\n" for s in stations),
    )
    for station in stations:
        netns.set_sysctls(lab.namespace(station.name), _sysctls(station))
    machines = [s for s in stations if s.machine]
    for station in stations:
        directory = lab.directory / "nodes" / station.name
        directory.mkdir(mode=0o700, parents=True)
        if station.machine:
            machine.prepare_directory(directory, lab.layout.names)
    run(["ip", "-batch", "-"], stdin="".join(_cables(lab)))
    pool = ThreadPoolExecutor(_WORKERS)
    try:
        holders = pool.submit(
            machine.start_holders,
            [(lab.namespace(s.name), lab.directory / "nodes" / s.name) for s in machines],
        )
        list(pool.map(lambda station: _set_up(lab.namespace(station.name), station), stations))
        started = holders.result()
    finally:
        # On failure the lab is removed, and what is still under way fails. To wait for it could be
        # for ever: a thread hangs if a signal's exception came while this one held its lock.
        pool.shutdown(wait=False, cancel_futures=True)
    finished = Lab(id=lab.id, layout=lab.layout, holders=started, complete=True)
    lab_state.save(finished)
    return _world(finished)


def _world(lab: Lab) -> World:
    nodes = {
        station.name: Node(
            station=station,
            namespace=lab.namespace(station.name),
            directory=lab.directory / "nodes" / station.name,
            holder=lab.holders.get(station.name),
        )
        for station in lab.layout.stations
    }
    return World(lab=lab, nodes=MappingProxyType(nodes))


def _cables(lab: Lab) -> Iterator[str]:
    for cable in lab.layout.cables:
        near = f"{cable.interface} netns {lab.namespace(cable.node)}"
        far = f"{cable.far_interface} netns {lab.namespace(cable.far_node)}"
        yield f"link add {near} type veth peer name {far}\n"


def _set_up(namespace: str, station: Station) -> None:
    lines = "".join(f"{command}\n" for command in station.commands)
    run(["ip", "-n", namespace, "-batch", "-"], stdin=lines)
    if station.ruleset:
        enter = ["nsenter", f"--net={netns.NAMES / namespace}", "--"]
        run([*enter, "nft", "-f", "-"], stdin=station.ruleset)


def _sysctls(station: Station) -> Iterator[tuple[str, str]]:
    """A host as distributions set it up; but for what would only cost time in a lab."""
    # Loose reverse path filtering is what systemd sets (sysctl.d/50-default.conf); routers whose
    # LAN is answered by the cell directly need none.
    filtering = "0" if station.forwards else "2"
    for interface in ("all", "default"):
        yield f"ipv4/conf/{interface}/rp_filter", filtering
        yield f"ipv6/conf/{interface}/disable_ipv6", "0"
        yield f"ipv6/conf/{interface}/accept_dad", "0"
        yield f"ipv6/conf/{interface}/accept_ra", "0"
        yield f"ipv6/conf/{interface}/forwarding", "1" if station.forwards else "0"
    yield "ipv4/ip_forward", "1" if station.forwards else "0"
    if _BRIDGED.exists():
        # What a router's LAN switches from one port to another does not pass its firewall.
        for family in ("ip", "ip6"):
            yield f"bridge/bridge-nf-call-{family}tables", "0"
    # All users may open ICMP sockets (icmp(7)), which `ping_matrix` uses.
    yield "ipv4/ping_group_range", "0 2147483647"
