"""The host as seen by the reconciler: observed state, desired state, and the actions between them.

`Observed` holds what uno owns on the host, and the facts that decisions depend on. `Desired` is
what uno is to own. An `Action` is one step from one to the other; each has an inverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Protocol, TypeAlias

from msgspec import Struct, field

from uno.model.net import Address, Network
from uno.model.status import sessions_up
from uno.model.tunnel import InterfaceAddress, Peer, Tunnel


class Nic(Struct, frozen=True, kw_only=True):
    """A network interface that uno does not own.

    `up` is the administrative state. `has_default_route`: a default route of the host leads through
    it. `is_bridge_port`: a bridge receives its packets. `bridge_address` is the hardware address of
    a bridge, in hexadecimal with colons, None for other interfaces.
    """

    name: str
    addresses: tuple[InterfaceAddress, ...] = ()
    up: bool = True
    has_default_route: bool = False
    is_bridge_port: bool = False
    bridge_address: str | None = None


class HostRoute(Struct, frozen=True, kw_only=True):
    """A unicast route of the host's main table that uno does not own.

    `gateway` is None where the destination is on the link; of several next hops it is the first.
    With `onlink` it is outside the interface's networks (ip-route(8)), as some providers have it.
    """

    destination: Network
    interface: str
    gateway: Address | None = None
    metric: int = 0
    onlink: bool = False


class EarlierTable(Struct, frozen=True, kw_only=True):
    """A table with this `number` that the host looks up for every packet before the main table.

    `routes` are its unicast routes, `thrown` the destinations for which the lookup goes on with
    the next rule (ip-route(8), type throw).
    """

    number: int
    routes: tuple[HostRoute, ...] = ()
    thrown: frozenset[Network] = frozenset()


class Underlay(Struct, frozen=True, kw_only=True):
    """Routes that packets of WireGuard with `UNDERLAY_MARK` look up before all others.

    They are in a table of their own, for which there is a rule (ip-rule(8)) in each of `families`,
    4 and 6. `routes` have no metric, one for each destination, and are sorted.
    """

    routes: tuple[HostRoute, ...] = ()
    families: tuple[int, ...] = (4, 6)


class Facts(Struct, frozen=True, kw_only=True):
    """Properties of a host from which the desired state follows.

    A decision from what uno itself has changed would change with it. `routes` leaves out
    those of BGP daemons, but for default routes: there may be thousands. `rejected` are those of
    its routes without an interface, with their type (ip-route(8)). `earlier` are the tables
    that are looked up before the main one, in order. `has_ipv6`: uno's interfaces can have IPv6.
    `forwarded`: the host forwarded IPv4 before uno. `frr` is the major and minor version of FRR.
    `filters_by_route`: the kernel can look up routes for a filter of forwarded packets. `sysctls`
    are the present values of the kernel parameters that decisions depend on, as far as they exist;
    `originals` are the values before uno of those that uno has recorded.
    """

    nics: tuple[Nic, ...] = ()
    routes: tuple[HostRoute, ...] = ()
    rejected: Mapping[Network, str] = field(default_factory=dict)
    earlier: tuple[EarlierTable, ...] = ()
    has_ipv6: bool = True
    forwarded: bool = True
    frr: tuple[int, int] = (8, 4)
    filters_by_route: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    originals: Mapping[str, str] = field(default_factory=dict)


class NodeInterface(Struct, frozen=True, kw_only=True):
    """The dummy interface that holds the node's stable addresses.

    `blackhole_routes` lead into it with the worst metric but one: a packet to such a prefix that
    has no better route is discarded without an error, so that a program which sends while there is
    no path gets no error for each packet.
    """

    name: str
    addresses: tuple[InterfaceAddress, ...]
    blackhole_routes: tuple[Network, ...] = ()


class Routing(Struct, frozen=True, kw_only=True):
    """The configuration of each FRR daemon, by name: zebra, bfdd, bgpd."""

    daemons: tuple[tuple[str, str], ...]


class ForeignForwardChain(Struct, frozen=True, kw_only=True):
    """A forward chain of another firewall whose policy is drop.

    A packet that uno's table accepts is still dropped there. `family` is `ip` or `ip6`, `name` the
    chain's name, `accept_interfaces` the iptables interface patterns (`uwg-b+`) that uno's rules
    in the chain accept.
    """

    family: str
    name: str
    accept_interfaces: tuple[str, ...] = ()


class Desired(Struct, frozen=True, kw_only=True):
    """What uno is to own on the host. The default is nothing.

    `unreachable_routes` are prefixes that must never follow the host's default route: each gets a
    route of type unreachable (ip-route(8)) with the worst metric. `accept_interfaces` are the
    interface patterns that every `ForeignForwardChain` is to accept. `sysctls` in `optional` are
    left as they are on a host where they cannot be set. Forwarding of the IP versions
    `still_forwarded` stays as it is, since another program of the host has a use for it.
    """

    unreachable_routes: tuple[Network, ...] = ()
    firewall: str | None = None
    accept_interfaces: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    optional: frozenset[str] = frozenset()
    still_forwarded: frozenset[int] = frozenset()
    node: NodeInterface | None = None
    underlay: Underlay | None = None
    tunnels: tuple[Tunnel, ...] = ()
    routing: Routing | None = None


class Observed(Struct, frozen=True, kw_only=True):
    """What uno owns on the host now, and the facts that the diff depends on.

    `tunnels` have the endpoints that were last configured, not those that peers roamed to.
    `sysctls` are the present values of the keys asked for that exist; `fixed` are those that cannot
    be set; `originals` those that uno has recorded, with the values from before. `foreign` are
    interface names in use that uno does not own. `impaired` are interfaces of uno's that lack what
    all of them are given: they are down, or have another alias or other kernel parameters.
    `routing` is None unless all daemons run; where another program has changed it, it is the
    running configuration as FRR shows it.
    `routing_leftovers`: something of an earlier start is left.
    """

    unreachable_routes: frozenset[Network] = frozenset()
    firewall: str | None = None
    foreign_forward_chains: tuple[ForeignForwardChain, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    originals: dict[str, str] = field(default_factory=dict)
    node: NodeInterface | None = None
    underlay: Underlay | None = None
    tunnels: tuple[Tunnel, ...] = ()
    routing: Routing | None = None
    routing_leftovers: bool = False
    foreign: frozenset[str] = frozenset()
    impaired: frozenset[str] = frozenset()


class LinkMode(Enum):
    """The state of an interface: administratively up or not, and with a carrier or not.

    One with a carrier that is up, and does not resolve addresses as Ethernet does (RFC 826,
    RFC 4861), is NO_ARP.
    """

    UP = "up"
    NO_ARP = "no ARP"
    NO_CARRIER = "no carrier"
    DOWN = "down"


class ForwardingState(Struct, frozen=True, kw_only=True):
    """What decides on a host whether it forwards, beside its routes and uno's own tables.

    `ruleset` is the nftables ruleset of others, in JSON without the elements of named sets
    (libnftables-json(5)), empty where there is none. `sysctls` are the values of the parameters
    asked for that exist. `translated` are the IP versions of which others translated source
    addresses before uno turned forwarding on.
    """

    ruleset: str = ""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    translated: frozenset[int] = frozenset()
    interfaces: Mapping[str, LinkMode] = field(default_factory=dict)


class KernelPath(Struct, frozen=True, kw_only=True):
    """Where the kernel sends a packet from a LAN: interface, type and table of the route.

    `interface` is None if the route has none, as an unreachable one.
    """

    interface: str | None
    kind: str = "unicast"
    table: int = 254


class AddUnreachableRoutes(Struct, frozen=True):
    """Add an unreachable route with the worst metric for each of these networks."""

    networks: tuple[Network, ...]


class RemoveUnreachableRoutes(Struct, frozen=True):
    """Remove the routes of `AddUnreachableRoutes`."""

    networks: tuple[Network, ...]


class ReplaceFirewall(Struct, frozen=True):
    """Replace uno's table by this ruleset in one transaction; None removes the table."""

    ruleset: str | None


class SetForeignForwardChain(Struct, frozen=True):
    """Make uno's rules in a chain of another firewall accept the interfaces of `chain` alone."""

    chain: ForeignForwardChain


class SetSysctl(Struct, frozen=True):
    """Record the value that a kernel parameter had before uno, and set it if it differs."""

    key: str
    value: str


class RestoreSysctl(Struct, frozen=True):
    """Set the value from before uno, and delete the record."""

    key: str
    value: str


class SetNode(Struct, frozen=True):
    """Give the node interface these addresses and no others; None removes it."""

    node: NodeInterface | None


class SetUnderlay(Struct, frozen=True):
    """Give the packets of WireGuard these routes and no others; None removes routes and rules.

    A route into an interface that has just gone is left out.
    """

    underlay: Underlay | None


class CreateTunnel(Struct, frozen=True):
    """Create a WireGuard interface and set it up."""

    tunnel: Tunnel


class ConfigureTunnel(Struct, frozen=True):
    """Configure an existing interface as `tunnel`; unchanged peers keep their sessions."""

    tunnel: Tunnel


class RemoveTunnel(Struct, frozen=True):
    """Delete a WireGuard interface."""

    name: str


class StartRouting(Struct, frozen=True):
    """Start FRR with this configuration, after ending what is left of an earlier start."""

    routing: Routing


class ReloadRouting(Struct, frozen=True):
    """Change the running FRR to this configuration without a restart."""

    routing: Routing


class StopRouting(Struct, frozen=True):
    """Stop FRR, and remove the routes that it installed."""


Action: TypeAlias = (
    AddUnreachableRoutes
    | RemoveUnreachableRoutes
    | ReplaceFirewall
    | SetForeignForwardChain
    | SetSysctl
    | RestoreSysctl
    | SetNode
    | SetUnderlay
    | CreateTunnel
    | ConfigureTunnel
    | RemoveTunnel
    | StartRouting
    | ReloadRouting
    | StopRouting
)


class PeerStatus(Struct, frozen=True, kw_only=True):
    """State of a WireGuard peer, as in `wg show`.

    `handshake` is in seconds since the epoch, 0 for never; `received` and `sent` are in bytes.
    """

    public_key: str
    endpoint: str | None
    handshake: int
    received: int
    sent: int


class SessionStatus(Struct, frozen=True, kw_only=True):
    """A BGP session: neighbour address, FSM state, number of accepted prefixes, BFD state.

    `flaps` counts how often it has ended after it was Established, None if it is not known.
    """

    neighbor: str
    state: str
    prefixes: int
    bfd: str
    flaps: int | None = None

    @property
    def works(self) -> bool:
        """Whether the session is Established and BFD monitors the link."""
        return sessions_up(bgp=self.state, bfd=self.bfd)


class HostVitals(Struct, frozen=True, kw_only=True):
    """What a host shows of itself, for people.

    `uptime` is in seconds since it was booted, None if it is not known. `dropped` maps the chains
    of uno's table to the packets that they have dropped since it was made, but for those with none;
    it may be a minute old.
    """

    uptime: int | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)


class Host(Protocol):
    """A machine that uno configures.

    `warnings` are messages for the user about actions that succeeded; the caller clears them.
    """

    warnings: list[str]

    def facts(self) -> Facts:
        """Return the host's properties, without interfaces that uno owns.

        Raises `UnoError` where a program that uno needs is missing.
        """
        ...

    def observe(self, sysctls: tuple[str, ...]) -> Observed:
        """Return what uno owns now, and the values of these kernel parameters. Changes nothing."""
        ...

    def fingerprint(self) -> object:
        """Return a value that differs once something of uno's changes without a notification.

        It costs a fraction of an observation, and covers what `ports.events` does not: WireGuard's
        peers, kernel parameters, nftables, and the running configuration of FRR.
        """
        ...

    def perform(self, action: Action) -> None:
        """Carry out one action; to remove what does not exist succeeds.

        Raises `UnoError` with the command and its error message.
        """
        ...

    def wireguard_kind(self) -> str:
        """Return the WireGuard in use: `kernel`, or name and version of the userspace program."""
        ...

    def peer_status(self) -> dict[str, tuple[PeerStatus, ...]]:
        """Return the peers of each of uno's WireGuard interfaces."""
        ...

    def session_status(self) -> tuple[SessionStatus, ...]:
        """Return uno's BGP sessions; none where routing does not run."""
        ...

    def vitals(self) -> HostVitals:
        """Return what the host shows of itself. What cannot be queried is left out."""
        ...

    def forwarding_state(self, sysctls: tuple[str, ...]) -> ForwardingState:
        """Return what decides whether the host forwards, with these kernel parameters.

        Raises `UnoError`.
        """
        ...

    def kernel_path(
        self, destination: Address, *, source: Address, nic: str | None
    ) -> KernelPath | None:
        """Return where the kernel sends a packet that comes in by `nic`, by all rules and tables.

        None for a packet that it does not take. Raises `UnoError`.
        """
        ...

    def interfaces_with_bgp_routes(self) -> frozenset[str]:
        """Return the interfaces that the kernel's BGP routes lead through."""
        ...

    def drop_routes(self, neighbor: str) -> None:
        """Remove the stale routes (RFC 4724) of a neighbour whose BGP session is down.

        `neighbor` is an address as in `SessionStatus`. Raises `UnoError`.
        """
        ...

    def end_sessions_over_limit(self) -> tuple[str, ...]:
        """End the BGP sessions of neighbours that advertise more prefixes than they may.

        Prefixes that are refused count. A session is tried again after a minute. Returns the
        addresses of these neighbours, as in `SessionStatus`. Raises `UnoError`.
        """
        ...

    def initiate_handshake(self, tunnel: str, peer: Peer) -> None:
        """Initiate a handshake with a peer that has an endpoint, without the retry delay.

        The address is the one configured last. The peer's present session ends.
        """
        ...

    def begin_lookups(self, peers: Iterable[Peer]) -> None:
        """Begin to resolve the endpoints of these peers, all at once.

        What needs them next waits for all together as long as for one. Without this it is the same,
        and takes longer where the name service is out of reach.
        """
        ...

    def refresh_endpoint(self, tunnel: str, peer: Peer) -> bool:
        """Resolve a peer's endpoint again; return whether another address was configured.

        Without a handshake since the last call, it is the next of the name's addresses. A name that
        cannot be resolved, or whose only address is the one configured last, changes nothing: a
        peer that has roamed since keeps the endpoint that it roamed to.
        """
        ...

    def other_addresses(self, tunnel: str, peer: Peer) -> int:
        """Return how many addresses a peer's name had beside the one that was configured."""
        ...

    def remove_state(self) -> None:
        """Delete the recorded state of a host on which uno owns nothing any more."""
        ...
