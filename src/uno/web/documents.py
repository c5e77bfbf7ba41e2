"""The answers and requests of the web page's API, as JSON. Pure.

Values are text, numbers and lists: addresses and networks are text. None is "not known", never a
number in its place. Keys are only added, never renamed. Ages and times are in seconds, ages are of
the moment in which the document was made: the `Age` field of the answer (RFC 9111, section 5.1) has
the seconds since then. Round-trip times are in milliseconds, losses shares from 0 to 1, traffic in
octets and octets per second. `sent` and `received` of a link are those of the end named first.

What a reader may not see has its default: `web.view` decides it by the reader's role.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class CellHealth(StrEnum):
    """The state of a cell as the viewer has it; the first that applies, from the last to the first.

    `behind` runs another generation than it should; `faulty` has a fault, named in `why`; nothing
    was received of a `silent` one for `statesync.timers.MAX_AGE`, and of `never` at all.
    """

    OK = "ok"
    BEHIND = "behind"
    FAULTY = "faulty"
    SILENT = "silent"
    NEVER = "never"


class LinkHealth(StrEnum):
    """The state of a link: a `degraded` one works, and loses packets or carries only small ones.

    It is `down` if an end in contact reports it as down, `unknown` if neither end is in contact.
    """

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class LanHealth(StrEnum):
    """Whether the cells in contact reach a LAN: all, some or none of those that report on it.

    `detached`: its own cell has no interface in it. `unknown`: no cell in contact reports on it.
    """

    REACHED = "reached"
    PARTLY = "partly"
    UNREACHED = "unreached"
    DETACHED = "detached"
    UNKNOWN = "unknown"


class AlertSeverity(StrEnum):
    """How much a cause matters: traffic is lost, something is at risk, or is worth knowing."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class AlertKind(StrEnum):
    """What kind of cause an alert names."""

    ISOLATED = "isolated"
    CELL_SILENT = "cell-silent"
    CELL_NEVER_SEEN = "cell-never-seen"
    CELL_BEHIND = "cell-behind"
    CELL_UNPROVEN = "cell-unproven"
    CELL_FAULT = "cell-fault"
    CELL_CLOCK = "cell-clock"
    LAN_DETACHED = "lan-detached"
    LAN_UNREACHED = "lan-unreached"
    LINK_DOWN = "link-down"
    LINK_DEGRADED = "link-degraded"
    LINKS_DOWN = "links-down"
    GENERATION_UNDONE = "generation-undone"
    NOT_RELEASED = "not-released"
    ROLLOUT = "rollout"
    REGISTRY_LOST = "registry-lost"


class Alert(Struct, frozen=True, kw_only=True):
    """One cause, as a sentence (`what`), and what to do about it (`remedy`).

    `consequences` counts the faults that follow from it and have no alert of their own. `cells`,
    `links` (by name, `1-2`) and `lans` are what it is about. `id` stays the same while it lasts.
    """

    id: str
    kind: AlertKind
    severity: AlertSeverity
    what: str
    remedy: str = ""
    cells: tuple[int, ...] = ()
    links: tuple[str, ...] = ()
    lans: tuple[str, ...] = ()
    consequences: int = 0


class RiskLine(Struct, frozen=True, kw_only=True):
    """What the loss of one link, cell or site would cost, from the plan.

    `kind` is link, cell or site, or nothing for what is apart already; `cells` are the ids of the
    failed link's ends, or of the failed cells; `cut_off` are those that lose the others.
    """

    kind: str
    cells: tuple[int, ...]
    cut_off: tuple[int, ...]
    what: str


class CellSummary(Struct, frozen=True, kw_only=True):
    """A cell in short.

    `kind` is public, private or roaming, `own`: the reader owns it. `age` is that of its newest
    advertisement, `uptime` that of its agent. `generation` runs, `package` should. `x` and `y` are
    its place on the map, from 0 to 1000. `page` is the address of its own page, empty if it has
    none that is known.
    """

    id: int
    name: str
    kind: str
    health: CellHealth
    own: bool = False
    why: str = ""
    owner: str = ""
    location: str = ""
    page: str = ""
    age: float | None = None
    uptime: int | None = None
    generation: int | None = None
    package: int | None = None
    staged: int | None = None
    version: str = ""
    lans: tuple[str, ...] = ()
    unreachable: int = 0
    links: int = 0
    links_up: int = 0
    particles_online: int | None = None
    serves_particles: bool = False
    x: float = 500.0
    y: float = 500.0


class LinkSummary(Struct, frozen=True, kw_only=True):
    """A link between the cells `a` and `b`, the lower id first; `name` is `1-2`.

    `age` is that of the measurements. The rates are None until two of them are known.
    """

    name: str
    a: int
    b: int
    health: LinkHealth
    why: str = ""
    age: float | None = None
    handshake: int | None = None
    rtt: float | None = None
    loss: float | None = None
    mtu: int | None = None
    receive_rate: float | None = None
    send_rate: float | None = None


class LanSummary(Struct, frozen=True, kw_only=True):
    """A LAN of a cell. `via` are the next-hop cells towards it from the viewer.

    `interface` and `address` are those of its cell in it, `gateway` is the viewer's next hop as an
    address. `unreached_by` are the cells in contact that do not reach it.
    """

    network: str
    cell: int
    health: LanHealth
    interface: str = ""
    address: str = ""
    forwards: bool | None = None
    via: tuple[int, ...] = ()
    gateway: str = ""
    unreached_by: tuple[int, ...] = ()


class Totals(Struct, frozen=True, kw_only=True):
    """Figures of the UVN. `received` and `sent` are those of the viewer's links since made."""

    cells: int = 0
    cells_ok: int = 0
    links: int = 0
    links_up: int = 0
    lans: int = 0
    lans_reached: int = 0
    particles: int = 0
    particles_online: int = 0
    received: int = 0
    sent: int = 0
    receive_rate: float | None = None
    send_rate: float | None = None


class UndoneGeneration(Struct, frozen=True, kw_only=True):
    """A generation that is not in force, and why."""

    generation: int
    reason: str


class Summary(Struct, frozen=True, kw_only=True):
    """GET /api/v1/summary: the whole UVN in short, as the node `viewer` has it.

    `viewer` is 0 for the registry. `severity` is that of the worst alert, None without one;
    `headline` is one sentence. `registry`: whether advertisements of the registry arrive. `rollout`
    is what the registry is doing, empty at rest; `waiting` counts changes that are not released.
    `directory` is the generation that the registry's public facts are of, None without them: then
    owners, locations, ports and banned cells are not known. `limited`: the reader sees only a part.
    """

    uvn: str
    viewer: int
    generation: int
    consistent: bool
    routed: bool
    registry: bool
    headline: str
    severity: AlertSeverity | None = None
    alerts: tuple[Alert, ...] = ()
    totals: Totals = Totals()
    rollout: str = ""
    undone: UndoneGeneration | None = None
    waiting: int = 0
    directory: int | None = None
    limited: bool = False
    cells: tuple[CellSummary, ...] = ()
    links: tuple[LinkSummary, ...] = ()
    lans: tuple[LanSummary, ...] = ()
    risks: tuple[RiskLine, ...] = ()


class LinkEndReport(Struct, frozen=True, kw_only=True):
    """A link as one end reports it, `age` seconds ago; all None or empty where it does not.

    `endpoint` is the address of the peer that WireGuard uses, `planned_endpoint` that of the plan,
    both with the port; `port` is where this end listens. `prefixes` are those received by BGP,
    `flaps` counts how often the session has ended. `handshake` is the age of the last one.
    """

    cell: int
    peer: int
    age: float | None = None
    alive: bool = False
    works: bool | None = None
    interface: str = ""
    address4: str = ""
    address6: str = ""
    port: int | None = None
    endpoint: str = ""
    planned_endpoint: str = ""
    handshake: int | None = None
    bgp: str = ""
    bfd: str = ""
    prefixes: int | None = None
    flaps: int | None = None
    rtt: float | None = None
    loss: float | None = None
    mtu: int | None = None
    received: int | None = None
    sent: int | None = None
    why: str = ""
    remedy: str = ""


class LinkReport(Struct, frozen=True, kw_only=True):
    """GET /api/v1/links/{a}-{b}: a link, both of its ends, and what its loss would cost."""

    link: LinkSummary
    ends: tuple[LinkEndReport, ...]
    cost: str = ""


class PathReport(Struct, frozen=True, kw_only=True):
    """The way from a cell to another `cell`, over the next-hop cells `via`."""

    cell: int
    rtt: float | None = None
    loss: float | None = None
    via: tuple[int, ...] = ()


class LanRoute(Struct, frozen=True, kw_only=True):
    """A LAN of another cell, as a cell has it: whether it reaches it, and over which cells."""

    network: str
    cell: int
    reached: bool | None = None
    via: tuple[int, ...] = ()


class SeenParticle(Struct, frozen=True, kw_only=True):
    """A particle that was at a cell in the last hour; `handshake` is an age."""

    id: int
    name: str
    online: bool
    handshake: int
    received: int
    sent: int


class VpnInterface(Struct, frozen=True, kw_only=True):
    """A WireGuard interface of a cell that is no link: `kind` is root or particles.

    `peers` counts its peers, `online` those with a session. `endpoint` is the peer's in use.
    """

    kind: str
    interface: str = ""
    port: int | None = None
    endpoint: str = ""
    handshake: int | None = None
    received: int | None = None
    sent: int | None = None
    peers: int | None = None
    online: int | None = None


class CellFault(Struct, frozen=True, kw_only=True):
    """A fault of a cell as a sentence, and what to do."""

    what: str
    remedy: str = ""


class PortRow(Struct, frozen=True, kw_only=True):
    """A port of a cell: `protocol` is udp or tcp; `last` is the last one of a range.

    `forward`: the router in front of the cell has to forward it from the Internet.
    """

    cell: int
    protocol: str
    port: int
    last: int
    purpose: str
    forward: bool = False


class CellReport(Struct, frozen=True, kw_only=True):
    """GET /api/v1/cells/{id}: a cell, with all that it advertises.

    `undone` is the last change that it has rolled back from, `ack` the phase of its package with
    `ack_reason`. `dropped` maps rules of its firewall to the packets that these have dropped.
    `clock_ahead` is how far its clock is ahead of the viewer's, in seconds. `muted_for` are the
    seconds for which nobody is notified of it. `detection` is within how many seconds the loss of
    one of its links is detected, by its own timing profile; `metered` is one. `cost` is what its
    loss would cost. `limited`: the reader sees only a part.
    """

    cell: CellSummary
    limited: bool = False
    faults: tuple[CellFault, ...] = ()
    node4: str = ""
    node6: str = ""
    endpoint: str = ""
    asn: int | None = None
    host_uptime: int | None = None
    wireguard: str = ""
    content: str = ""
    package_format: int | None = None
    registry: bool | None = None
    ack: str = ""
    ack_generation: int | None = None
    ack_reason: str = ""
    undone: UndoneGeneration | None = None
    undone_age: int | None = None
    clock_ahead: int | None = None
    problem: str = ""
    obstacles: tuple[str, ...] = ()
    unproved: str = ""
    pending: tuple[str, ...] = ()
    muted_for: int | None = None
    detection: float | None = None
    metered: bool = False
    lans: tuple[LanSummary, ...] = ()
    links: tuple[LinkEndReport, ...] = ()
    paths: tuple[PathReport, ...] = ()
    routes: tuple[LanRoute, ...] = ()
    particles: tuple[SeenParticle, ...] = ()
    interfaces: tuple[VpnInterface, ...] = ()
    ports: tuple[PortRow, ...] = ()
    dropped: dict[str, int] = {}
    cost: str = ""


NO_ANSWER = -1
"""In a matrix: the probes have no answer."""

NOT_KNOWN = -2
"""In a matrix: nothing is known."""

REACHED = -3
"""In a matrix: the cell is reached, and in what time is not known."""


class Matrix(Struct, frozen=True, kw_only=True):
    """GET /api/v1/matrix: reachability. A row is the cell that probes, a column the target.

    `cells` are the ids of rows and columns. `rtt` is in tenths of a millisecond, `NO_ANSWER` (-1),
    `NOT_KNOWN` (-2) or `REACHED` (-3): reached in a time that is not known. `loss` is in percent,
    or `NOT_KNOWN`. `ages` are those of the rows, in seconds. `unreached` are, for each row, the
    LANs that the cell does not reach.
    """

    cells: tuple[int, ...]
    names: tuple[str, ...]
    rtt: tuple[tuple[int, ...], ...]
    loss: tuple[tuple[int, ...], ...]
    ages: tuple[float | None, ...]
    unreached: tuple[tuple[str, ...], ...] = ()


class ParticleCell(Struct, frozen=True, kw_only=True):
    """A cell that a particle can connect to. `here`: this page has the particle's configuration."""

    cell: int
    name: str
    endpoint: str
    here: bool = False


class ParticleRow(Struct, frozen=True, kw_only=True):
    """A particle. `online` is None if no cell that serves it is in contact.

    `at` is the cell that it is connected to, or was last; `handshake` the age of its last one.
    """

    id: int
    name: str
    owner: str = ""
    own: bool = False
    banned: bool = False
    online: bool | None = None
    at: int | None = None
    handshake: int | None = None
    received: int | None = None
    sent: int | None = None
    address4: str = ""
    address6: str = ""
    cells: tuple[ParticleCell, ...] = ()


class ParticleList(Struct, frozen=True, kw_only=True):
    """GET /api/v1/particles: those that the reader may see, banned ones last.

    `enabled`: the UVN has a VPN for particles. `left_out` counts those that the registry's public
    facts had no room for.
    """

    enabled: bool
    particles: tuple[ParticleRow, ...] = ()
    left_out: int = 0


class PlannedLinkRow(Struct, frozen=True, kw_only=True):
    """A link of the plan: addresses and ports of both ends; None where an end dials out."""

    name: str
    a: int
    b: int
    number: int | None = None
    interface_a: str = ""
    interface_b: str = ""
    port_a: int | None = None
    port_b: int | None = None
    address_a: str = ""
    address_b: str = ""


class BannedRow(Struct, frozen=True, kw_only=True):
    """A cell or particle that is banned, by `kind`."""

    kind: str
    id: int
    name: str
    owner: str = ""


class UserRow(Struct, frozen=True, kw_only=True):
    """A user, and what is theirs. `is_owner`: of the UVN."""

    email: str
    name: str = ""
    is_owner: bool = False
    excluded: bool = False
    cells: tuple[int, ...] = ()
    particles: tuple[int, ...] = ()


class NetworkSettings(Struct, frozen=True, kw_only=True):
    """GET /api/v1/settings: the definition and the plan.

    `settings` maps the names of the specification (`backbone_vpn.peer_mtu`) to values as text.
    `ring` is the circular order of the public cells. `directory` is the generation of it all, None
    where nothing was received: then there is only what the cell's own package has.
    """

    uvn: str
    identity: str
    owner: str = ""
    address: str = ""
    generation: int = 0
    directory: int | None = None
    strategy: str = ""
    ring: tuple[int, ...] = ()
    settings: dict[str, str] = {}
    pools: dict[str, str] = {}
    links: tuple[PlannedLinkRow, ...] = ()
    ports: tuple[PortRow, ...] = ()
    users: tuple[UserRow, ...] = ()
    banned: tuple[BannedRow, ...] = ()


class GuideRoute(Struct, frozen=True, kw_only=True):
    """A route that the router of a LAN needs: `network` of `whose`, over `gateway`.

    `gateway` is the cell's own address in its LAN, empty where it is not known.
    """

    network: str
    whose: str
    gateway: str = ""


class SiteGuide(Struct, frozen=True, kw_only=True):
    """GET /api/v1/guide/{cell}: what a site needs: ports to forward, and routes on its router.

    `command` prints the whole guide at the registry.
    """

    cell: int
    name: str
    endpoint: str = ""
    lans: tuple[str, ...] = ()
    ports: tuple[PortRow, ...] = ()
    routes: tuple[GuideRoute, ...] = ()
    command: str = ""


class EventRow(Struct, frozen=True, kw_only=True):
    """Something that happened, as the viewer has observed it.

    `time` is the viewer's clock, in seconds since the epoch; `clock_trusted`: it was set by then.
    `kind` and `severity` are as in `web.events`; `cells` and `links` are what it is about. `text`
    is a sentence.
    """

    number: int
    time: int
    clock_trusted: bool
    kind: str
    severity: AlertSeverity
    text: str
    cells: tuple[int, ...] = ()
    links: tuple[str, ...] = ()


class EventList(Struct, frozen=True, kw_only=True):
    """GET /api/v1/events?after=N&before=M&limit=: events with a number between, the newest first.

    `newest` is the highest number of all, `more`: there are earlier ones than those listed; ask for
    those before the last one.
    """

    newest: int
    events: tuple[EventRow, ...] = ()
    more: bool = False


class LinkSeries(Struct, frozen=True, kw_only=True):
    """GET /api/v1/series/{link}?span=: measurements of a link, one each `step` seconds.

    The last point is `age` seconds old, the first the oldest; None where nothing was measured.
    Rates are those of the end named first, in octets per second.
    """

    link: str
    step: int
    age: float
    rtt: tuple[float | None, ...] = ()
    loss: tuple[float | None, ...] = ()
    receive_rate: tuple[float | None, ...] = ()
    send_rate: tuple[float | None, ...] = ()


class LoginRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /api/v1/login."""

    email: str
    password: str


class PasswordRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /api/v1/particles/{id}/config: the password, again."""

    password: str


class ParticleConfiguration(Struct, frozen=True, kw_only=True):
    """The configuration of a particle at this cell: `conf` for WireGuard, `qr` as SVG. Given once.

    `file` is a name for the configuration's file.
    """

    id: int
    name: str
    cell: str
    file: str
    conf: str
    qr: str


class ReaderSession(Struct, frozen=True, kw_only=True):
    """GET /api/v1/session, and the answer to a login: who reads, and what is theirs.

    `is_owner`: of the UVN. `expires_in` is in seconds.
    """

    email: str
    name: str = ""
    is_owner: bool = False
    cells: tuple[int, ...] = ()
    particles: tuple[int, ...] = ()
    expires_in: int = 0


class ApiError(Struct, frozen=True, kw_only=True):
    """The answer to a request that failed: what is wrong, and what to do."""

    error: str
    hint: str = ""
