"""What was observed: a cell about itself, and the whole UVN as one node sees it.

Times are ages in seconds, never times of day: clocks of cells may be wrong. A status has the cell's
clock itself, so that a wrong one is found.
"""

from __future__ import annotations

from msgspec import Struct

from uno.model.messages import Ack
from uno.model.net import Address, Network
from uno.model.package import SignedManifest
from uno.model.package_formats import FIRST

# After so many seconds without a new handshake WireGuard uses no key any more (REJECT_AFTER_TIME,
# section 6.1 of its paper).
SESSION_SECONDS = 180

FRESH_AGE = 45.0
"""Seconds after which a cell that someone watches has advertised what it measures again."""

ALL_PATHS = 32
"""Rows about other cells that a status may have. All rows of 200 cells are 2 MB on each link."""


def sessions_up(*, bgp: str, bfd: str) -> bool:
    """Whether BGP exchanges routes (RFC 4271) and BFD would detect a dead link (RFC 5880).

    The states are those that FRR prints.
    """
    return bgp == "Established" and bfd == "up"


class LinkState(Struct, frozen=True, kw_only=True):
    """A backbone link as one end sees it.

    `handshake` is the age of the last WireGuard handshake, None if there was none; `bgp` and `bfd`
    are the sessions' states, empty where routing does not run; `rtt` is in milliseconds, `loss` a
    share from 0 to 1, `mtu` the largest packet in bytes that got through, each None if not known.
    `received` and `sent` are bytes since the interface was made. `endpoint` is the address and port
    of the peer that WireGuard sends to, empty if there is none. `prefixes` are those that BGP has
    accepted from the neighbour; `flaps` counts how often an Established session has ended.
    `adjacent`: the agent at the other end is in contact with this one (RFC 2328, 10.1).
    """

    interface: str
    cell: int
    adjacent: bool = False
    handshake: int | None = None
    bgp: str = ""
    bfd: str = ""
    rtt: float | None = None
    loss: float | None = None
    mtu: int | None = None
    received: int = 0
    sent: int = 0
    endpoint: str = ""
    prefixes: int | None = None
    flaps: int | None = None

    @property
    def works(self) -> bool:
        """Whether BGP is Established and BFD is up."""
        return sessions_up(bgp=self.bgp, bfd=self.bfd)


class LanState(Struct, frozen=True, kw_only=True):
    """A LAN of the cell's own: the interface that leads to it, or None where it is missing.

    `address` is the cell's own in that LAN. `forwards`: whether probes have shown that packets of
    its hosts reach a neighbour and return, None where nothing is proved.
    """

    network: Network
    interface: str | None = None
    address: Address | None = None
    forwards: bool | None = None


class PathState(Struct, frozen=True, kw_only=True):
    """Another cell, seen through the backbone by probes: `rtt` in ms, `loss` from 0 to 1.

    `via` are the neighbours that the kernel sends packets for it to, by cell id.
    """

    cell: int
    rtt: float | None = None
    loss: float | None = None
    via: tuple[int, ...] = ()

    @property
    def answers(self) -> bool:
        """Whether any of the last probes was answered."""
        return self.rtt is not None


class ParticleState(Struct, frozen=True, kw_only=True):
    """A particle that has connected to the cell: when it last shook hands, and its traffic."""

    id: int
    handshake: int
    received: int = 0
    sent: int = 0

    @property
    def is_online(self) -> bool:
        """Whether its tunnel can be used."""
        return self.handshake < SESSION_SECONDS


class UndonePackage(Struct, frozen=True, kw_only=True):
    """A package that the cell has rolled back from, or could not apply, `age` seconds ago."""

    generation: int
    reason: str
    age: int

    def __str__(self) -> str:
        return f"rolled back from generation {self.generation}: {self.reason}"


class CellStatus(Struct, frozen=True, kw_only=True):
    """What a cell advertises of itself.

    `generation` is that of the package it runs and `content` that package's `Manifest.content`;
    `staged` is the generation of one that waits for activation. `reachable` and `unreachable` are
    the LANs of other cells. `registry`: whether the cell receives from the registry, directly or
    by relay. `obstacles` are in the way of what the cell forwards: rules of other firewalls, kernel
    parameters, interfaces. `unproved` is why the host permits no proof that it forwards, empty if
    it does. `pending` are changes that the host still needs, as text. `undone` is the last change,
    if the cell has rolled back from it. `problem` is what needs a person, empty if nothing does.
    `proof` shows that the registry made `generation`; a cell adds it where the registry announces
    an older one. `package_format` is the newest format of packages that the cell reads. `uptime` is
    for how many seconds the agent has run, `host_uptime` the host. `dropped` maps chains of uno's
    firewall to the packets that they have dropped since it was made, but for those with none.
    `watched`: someone watches the UVN at this cell, so that all cells advertise what they measure.
    `notified` are the ids of what the cell has notified people of, and has not withdrawn. Before
    `muted_until`, on the same clock as `clock`, nobody is notified of the cell.
    """

    generation: int
    content: str = ""
    staged: int | None = None
    lans: tuple[LanState, ...] = ()
    links: tuple[LinkState, ...] = ()
    paths: tuple[PathState, ...] = ()
    particles: tuple[ParticleState, ...] = ()
    reachable: tuple[Network, ...] = ()
    unreachable: tuple[Network, ...] = ()
    registry: bool = False
    obstacles: tuple[str, ...] = ()
    unproved: str = ""
    wireguard: str = ""
    version: str = ""
    pending: tuple[str, ...] = ()
    undone: UndonePackage | None = None
    problem: str = ""
    clock: int | None = None
    proof: SignedManifest | None = None
    package_format: int = FIRST
    uptime: int | None = None
    host_uptime: int | None = None
    dropped: dict[str, int] = {}
    watched: bool = False
    notified: tuple[str, ...] = ()
    muted_until: int | None = None

    @property
    def routed(self) -> bool:
        """Whether the cell reaches every LAN, has its own, and is not known to lose packets."""
        own = all(lan.interface and lan.forwards is not False for lan in self.lans)
        return not self.unreachable and own


class CellView(Struct, frozen=True, kw_only=True):
    """A cell as a node sees it: what it has advertised last.

    `package` is the generation that it should run, if known. `alive`: the cell is in contact, with
    the node itself or with a neighbour that is. `age` are the seconds since the last message of a
    cell that is alive, and since the contact with another was lost; `status_age` is the age of
    `status`, and of what was measured in it. All three are None where nothing was ever received.
    `unproven`: it claims to run a generation that the registry has not made.
    """

    id: int
    name: str
    package: int | None = None
    status: CellStatus | None = None
    ack: Ack | None = None
    age: float | None = None
    status_age: float | None = None
    alive: bool = False
    unproven: bool = False

    @property
    def is_fresh(self) -> bool:
        """Whether its status is newer than one from before someone watched."""
        return self.status_age is not None and self.status_age <= FRESH_AGE

    @property
    def muted_for(self) -> float:
        """For how many seconds more nobody is notified of it; 0 if it is not muted."""
        status = self.status
        if status is None or status.muted_until is None or status.clock is None:
            return 0.0
        return max(0.0, status.muted_until - status.clock - (self.status_age or 0.0))

    @property
    def consistent(self) -> bool:
        """Whether the cell runs the package that it should."""
        return (
            self.alive
            and self.status is not None
            and self.package is not None
            and self.status.generation == self.package
        )


class UvnView(Struct, frozen=True, kw_only=True):
    """The whole UVN as one node sees it. `viewer` is that node's cell id, or 0 for the registry.

    `generation` is the one in force as far as the viewer knows; `registry`: whether
    advertisements of the registry arrive. `rollout` is for people: what the registry is doing,
    empty at rest.
    `undone` is the newest generation that was undone, None if the newest was not, `reason` why.
    `waiting` counts the changes that the registry has not released, as far as the viewer knows;
    `package_format` is the newest that the registry writes.
    """

    uvn: str
    viewer: int
    generation: int
    cells: tuple[CellView, ...] = ()
    registry: bool = False
    rollout: str = ""
    undone: int | None = None
    reason: str = ""
    waiting: int = 0
    package_format: int = FIRST

    @property
    def consistent(self) -> bool:
        """Whether every cell is alive and runs the package that it should."""
        return all(cell.consistent for cell in self.cells)

    @property
    def routed(self) -> bool:
        """Whether every cell is alive and reaches every LAN."""
        return all(
            cell.alive and cell.status is not None and cell.status.routed for cell in self.cells
        )

    @property
    def measured(self) -> bool:
        """Whether every cell in contact has advertised what it measures, and not long ago."""
        return all(cell.is_fresh for cell in self.cells if cell.alive)

    @property
    def obstructed(self) -> bool:
        """Whether a cell reports that something is in the way of what it forwards."""
        return any(
            cell.alive and cell.status is not None and bool(cell.status.obstacles)
            for cell in self.cells
        )
