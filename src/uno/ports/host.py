"""The host as the agent sees it: what is there, what could change, and one thing that changes it.

`Observed` holds only what uno owns, and the facts about the host that decisions need. `Desired` is
what uno wants to own. An `Action` is one step between them; each can be undone by another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from typing import Protocol, TypeAlias

from uno.model.key_ids import Secret
from uno.model.net import Network

InterfaceAddress: TypeAlias = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A network interface that is not uno's.

    `up` is the administrative state; `autoconfigured` tells that its default route comes from
    router advertisements, which the kernel ignores once it forwards, unless `accept_ra` is 2;
    `leads_out` that the host has a default route through it.
    """

    name: str
    addresses: tuple[InterfaceAddress, ...] = ()
    up: bool = True
    autoconfigured: bool = False
    leads_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a host is like, whatever uno does there.

    `has_ipv6` tells whether its kernel has IPv6 at all, `forwarded` whether it was a router before
    uno, `frr` is FRR's major and minor version.
    """

    nics: tuple[Nic, ...] = ()
    has_ipv6: bool = True
    forwarded: bool = True
    frr: tuple[int, int] = (8, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A WireGuard peer. `endpoint` is `host:port` as written, `keepalive` seconds or 0."""

    public_key: str
    psk: Secret | None = None
    endpoint: str | None = None
    allowed_ips: tuple[Network, ...] = ()
    keepalive: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """A WireGuard interface.

    `port` is None where any port will do, `mtu` is in bytes, `routes` lead into the interface.
    With `table` they do so only for what the host sends from this interface's addresses: they are
    in the routing table of that number, and rules (ip-rule(8)) send such packets there. Addresses,
    peers (by public key), their allowed IPs, and routes are sorted.
    """

    name: str
    private_key: Secret
    mtu: int
    addresses: tuple[InterfaceAddress, ...]
    peers: tuple[Peer, ...] = ()
    port: int | None = None
    routes: tuple[Network, ...] = ()
    table: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInterface:
    """The interface that holds the node's stable addresses; it has no other side.

    What is sent to `swallows`, and has no better route, is lost in it without an error: a program
    that goes on sending while there is no path need not be told each time.
    """

    name: str
    addresses: tuple[InterfaceAddress, ...]
    swallows: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The configuration of each FRR daemon, by name: zebra, bfdd, bgpd."""

    daemons: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A chain of another firewall, through which nothing is forwarded unless it is let.

    `family` is `ip` or `ip6`; `lets` are the interface patterns of iptables (`uwg-b+`) that
    uno's rules in it let through. A packet that one table accepts is still lost in another.
    """

    family: str
    chain: str
    lets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What uno should own on the host. The default is nothing at all.

    `barriers` are prefixes that must never follow the host's default route: each gets an
    unreachable route that every other route beats. `gates` are the interface patterns that every
    gate must let through.
    """

    barriers: tuple[Network, ...] = ()
    firewall: str | None = None
    gates: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    node: NodeInterface | None = None
    tunnels: tuple[Tunnel, ...] = ()
    routing: Routing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What uno owns on the host now, and the facts that it decides by.

    `tunnels` have the endpoints that were last configured, not those that peers roamed to.
    `sysctls` are the present values of the keys asked for; `originals` those that uno changed,
    with the values from before. `foreign` are interface names that are in use and not uno's.
    `routing` is None unless all daemons run; `routing_leftovers` tells that some do.
    """

    barriers: frozenset[Network] = frozenset()
    firewall: str | None = None
    gates: tuple[Gate, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)
    node: NodeInterface | None = None
    tunnels: tuple[Tunnel, ...] = ()
    routing: Routing | None = None
    routing_leftovers: bool = False
    foreign: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AddBarriers:
    """Make these networks unreachable unless a better route exists."""

    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class RemoveBarriers:
    """Take back `AddBarriers`."""

    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class ReplaceFirewall:
    """Put this ruleset in place of uno's table, in one transaction; None removes the table."""

    ruleset: str | None


@dataclass(frozen=True, slots=True)
class SetGate:
    """Make a gate of another firewall let through what `gate` says, and nothing else for uno."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """Set a kernel parameter, and remember the value that it had before uno."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class RestoreSysctl:
    """Put back the value from before uno, and forget it."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class SetNode:
    """Make the node interface have these addresses and no others; None removes it."""

    node: NodeInterface | None


@dataclass(frozen=True, slots=True)
class CreateTunnel:
    """Make a WireGuard interface and bring it up."""

    tunnel: Tunnel


@dataclass(frozen=True, slots=True)
class ConfigureTunnel:
    """Change an existing interface to `tunnel`; peers that stay as they are keep their sessions."""

    tunnel: Tunnel


@dataclass(frozen=True, slots=True)
class RemoveTunnel:
    """Delete a WireGuard interface."""

    name: str


@dataclass(frozen=True, slots=True)
class StartRouting:
    """Start FRR with this configuration; what is left of an earlier start is ended first."""

    routing: Routing


@dataclass(frozen=True, slots=True)
class ReloadRouting:
    """Change the running FRR to this configuration, without restarting it."""

    routing: Routing


@dataclass(frozen=True, slots=True)
class StopRouting:
    """End FRR, and the routes that it installed."""


Action: TypeAlias = (
    AddBarriers
    | RemoveBarriers
    | ReplaceFirewall
    | SetGate
    | SetSysctl
    | RestoreSysctl
    | SetNode
    | CreateTunnel
    | ConfigureTunnel
    | RemoveTunnel
    | StartRouting
    | ReloadRouting
    | StopRouting
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """A WireGuard peer at work. Times in seconds since the epoch, 0 for never; traffic in bytes."""

    public_key: str
    endpoint: str | None
    handshake: int
    received: int
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatus:
    """A BGP session: its neighbour's address, state, number of prefixes accepted, and BFD state."""

    neighbor: str
    state: str
    prefixes: int
    bfd: str

    @property
    def works(self) -> bool:
        """Whether routes are exchanged, and a dead link would be noticed at once."""
        return self.state == "Established" and self.bfd == "up"


class Host(Protocol):
    """A machine that uno changes."""

    def facts(self) -> Facts:
        """Look at what the host is like. Raises `UnoError` where something that uno needs is not.

        Interfaces of uno's own are not among its interfaces.
        """
        ...

    def observe(self, sysctls: tuple[str, ...]) -> Observed:
        """Look at what is there, reading these kernel parameters. Changes nothing."""
        ...

    def perform(self, action: Action) -> None:
        """Do one thing; removing what is not there is done already.

        Raises `UnoError` with the command and what it said.
        """
        ...

    def wireguard_kind(self) -> str:
        """Say which WireGuard runs: `kernel`, or the name and version of the userspace one."""
        ...

    def peer_status(self) -> dict[str, tuple[PeerStatus, ...]]:
        """Return the peers of each of uno's WireGuard interfaces."""
        ...

    def session_status(self) -> tuple[SessionStatus, ...]:
        """Return uno's BGP sessions; none where routing does not run."""
        ...

    def carrying(self) -> frozenset[str]:
        """Return the interfaces that routes which BGP has learned lead through."""
        ...

    def drop_routes(self, neighbor: str) -> None:
        """Forget what a neighbour has announced that BGP has no session with any more.

        `neighbor` is named as in `session_status`. Raises `UnoError`.
        """
        ...

    def reconnect(self, tunnel: str, peer: Peer) -> None:
        """Start a new session with a peer that has an endpoint, at once."""
        ...

    def resolve_again(self, tunnel: str, peer: Peer) -> bool:
        """Look up the name in a peer's endpoint; return whether the peer is now called elsewhere.

        A name that cannot be found, or is where the peer was last called, changes nothing: a peer
        that has roamed since is left where it is.
        """
        ...

    def forget(self) -> None:
        """Drop what is remembered about a host on which uno owns nothing any more."""
        ...
