"""The real host: Linux with iproute2, WireGuard, nftables and FRR."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import assert_never

from msgspec import structs
from msgspec.structs import replace

from uno.diagnostics import UnoError
from uno.files import failure, make_open_dir
from uno.host import endpoint_choice, kernel_paths, programs, sysctl
from uno.host.command import run
from uno.host.endpoint_choice import EndpointHistory
from uno.host.firewall import foreign_chains, nft
from uno.host.host_state import HostState, StateFile, TunnelNote
from uno.host.netlink import interface_changes, inventory, rtnetlink
from uno.host.routing_frr import daemons
from uno.host.wireguard import endpoint_lookup, observed_tunnels
from uno.host.wireguard import interfaces as wireguard
from uno.model.messages import REGISTRY
from uno.model.net import Address
from uno.model.tunnel import Peer, Tunnel
from uno.ports.host import (
    Action,
    AddUnreachableRoutes,
    ConfigureTunnel,
    CreateTunnel,
    Facts,
    ForeignForwardChain,
    ForwardingState,
    HostVitals,
    KernelPath,
    NodeInterface,
    Observed,
    PeerStatus,
    ReloadRouting,
    RemoveTunnel,
    RemoveUnreachableRoutes,
    ReplaceFirewall,
    RestoreSysctl,
    Routing,
    SessionStatus,
    SetForeignForwardChain,
    SetNode,
    SetSysctl,
    SetUnderlay,
    StartRouting,
    StopRouting,
)
from uno.reconcile.kernel_parameters import (
    FORWARDING,
    IPV4_FORWARDING,
    inherited,
    relevant,
    suffices,
)
from uno.reconcile.nft_evaluation import source_translations
from uno.render import nftables

RUN = Path("/run/uno")
ORIGINALS = "before-uno.json"

# Marks of FRR's protocols in the kernel's routing table (iproute2's rt_protos).
FRR_PROTOCOLS = frozenset({"bgp", "isis", "ospf", "rip", "eigrp", "babel", "zebra", "196"})


_DISABLE_IPV6 = "net.ipv6.conf.{}.disable_ipv6"
_ACCEPT_RA = "net.ipv6.conf.{}.accept_ra"

# The host's default may disable IPv6.
_NODE_PARAMETERS = {_DISABLE_IPV6: "0"}

# Paths may be asymmetric: strict reverse path filtering would drop packets. The kernel uses the
# larger of this and the host's own setting (ip-sysctl, rp_filter); 2 is loose.
# Forwarding on all interfaces sets it on these, too; another program may reset it on one.
# A neighbour is no router of the host's own: by an advertisement it would get the default route.
_TUNNEL_PARAMETERS = _NODE_PARAMETERS | {
    "net.ipv4.conf.{}.rp_filter": "2",
    "net.ipv4.conf.{}.forwarding": "1",
    "net.ipv6.conf.{}.forwarding": "1",
    _ACCEPT_RA: "0",
}


# Linux's default. Below 1280 an interface has no IPv6 (RFC 8200, section 5).
_NODE_MTU = 1500


# Seconds between two counts of dropped packets: each runs a program.
_COUNT_EVERY = 60.0

# The drivers of the node's interface.
_NODE_KINDS = ("dummy", "bridge")


class LinuxHost:
    """This machine, in the network namespace of this process, for one cell or the registry."""

    def __init__(self, identity: str, cell: int, *, directory: Path | None = None) -> None:
        """Act for the cell with this id, 0 for the registry, of the UVN with this identity.

        What the host was before uno is kept in `directory` too, that of the cell or the registry:
        /run may be lost while the network runs. The registry owns no unreachable routes, no rules
        in foreign chains, and no FRR; a cell on the same host may.
        """
        self.folder = RUN / f"{identity[:8]}-{cell}"
        self.warnings: list[str] = []
        self._is_cell = cell != REGISTRY
        self._table = nftables.TABLE if self._is_cell else nftables.REGISTRY_TABLE
        self._alias = f"uno {identity} {cell}"
        # The ruleset's generation number, and what was observed at that generation.
        self._filtered: tuple[bytes, str | None, tuple[ForeignForwardChain, ...]] | None = None
        # The ruleset's generation number, and what others had in it then.
        self._foreign_rules: tuple[bytes, str] | None = None
        # When the packets that were dropped were counted, on the clock since boot; and how many.
        self._dropped: tuple[float, dict[str, int]] | None = None
        # For `fingerprint` and `forwarding_state`, which are called every few seconds.
        self._wireguard = wireguard.InterfaceReader()
        self._parameters = sysctl.ParameterReader()
        self._forwarding_parameters = sysctl.ParameterReader()
        # Parameters of interfaces that have come since others were recorded.
        self._inheriting: frozenset[str] = frozenset()
        self._resolver = endpoint_lookup.PatientResolver()
        copy = directory / ORIGINALS if directory else None
        self._state = StateFile(self.folder / "state.json", copy=copy)
        self._frr = daemons.Frr(self.folder / "frr")

    def facts(self) -> Facts:
        """Return the host's properties. Raises `UnoError` that names the programs it lacks."""
        needed = daemons.required_programs() if self._is_cell else ()
        programs.require((*programs.REQUIRED, *needed))
        state = self._state.read()
        others = [each for each in inventory.interfaces() if not self._own(each, state)]
        routes = inventory.main_routes()
        nics = inventory.nics(others, routes)
        present = sysctl.existing(relevant(nic.name for nic in nics))
        found = Facts(
            nics=nics,
            routes=inventory.host_routes(others, routes),
            rejected=inventory.rejected(routes),
            earlier=inventory.earlier_tables(others),
            has_ipv6=_has_ipv6(),
            forwarded=state.sysctls.get(IPV4_FORWARDING, present.get(IPV4_FORWARDING)) == "1",
            sysctls=present,
            originals=state.sysctls | inherited(state.sysctls, present, (n.name for n in nics)),
        )
        if not self._is_cell:
            return found
        can_look_up = nft.accepts(nftables.LOOKUP_RULES)
        return replace(found, frr=daemons.version(), filters_by_route=can_look_up)

    def observe(self, sysctls: tuple[str, ...]) -> Observed:
        """Return what uno owns now, and these kernel parameters and those that uno changed."""
        interfaces = inventory.interfaces()
        state = self._state_with(interfaces)
        own = {each.name: each for each in interfaces if self._own(each, state)}
        dumps = wireguard.dump(own.keys() & state.tunnels.keys())
        routes = inventory.own_routes()
        aside = any(each.table for each in state.tunnels.values())
        rules = inventory.rules() if aside else frozenset()
        listing, opened = self._filters()
        node = own.get(state.node or "")
        # The parameters of an interface go with it.
        recorded = {k: v for k, v in state.sysctls.items() if sysctl.exists(k)}
        later = self._inherited(interfaces, state)
        self._inheriting = frozenset(later)
        originals = recorded | later
        return Observed(
            unreachable_routes=routes.unreachable_routes if self._is_cell else frozenset(),
            firewall=_observed_firewall(state, listing),
            foreign_forward_chains=opened,
            sysctls=sysctl.existing({*sysctls, *originals}),
            fixed=frozenset(key for key in sysctls if sysctl.is_fixed(key)),
            originals=originals,
            node=observed_tunnels.node(node, routes) if node else None,
            underlay=inventory.underlay(interfaces, routes) if self._is_cell else None,
            tunnels=tuple(
                observed_tunnels.tunnel(
                    own[name],
                    dumps[name],
                    state.tunnels.get(name, TunnelNote()),
                    routes=routes,
                    rules=rules,
                )
                for name in sorted(own.keys() & dumps.keys())
            ),
            routing=self._frr.running(),
            routing_leftovers=self._frr.leftovers(),
            foreign=frozenset(each.name for each in interfaces) - own.keys(),
            impaired=frozenset(
                name for name, each in own.items() if self._is_impaired(each, is_node=each is node)
            ),
        )

    def fingerprint(self) -> object:
        """Return a value that differs once something of uno's changes without a notification."""
        state = self._state.read()
        # The kernel notifies of the other parameters of tunnels (RTM_NEWNETCONF).
        silent = {_ACCEPT_RA.format(name.replace(".", "/")) for name in state.tunnels}
        return (
            self._wireguard.configured(state.tunnels),
            self._parameters.existing({*state.sysctls, *self._inheriting, *silent}),
            nft.generation(),
            self._frr.fingerprint(),
        )

    def perform(self, action: Action) -> None:
        """Carry out one action. Raises `UnoError` with the command and its error message."""
        try:
            if not self._state.exists():
                self._state.write(self._state_with(inventory.interfaces()))
            self._perform(action)
        except OSError as error:
            # As `UnoError`, so that the actions before it are undone.
            raise failure(error, f"cannot use {error.filename or self.folder}") from error

    def _perform(self, action: Action) -> None:  # noqa: C901, PLR0912 - one line per kind
        match action:
            case AddUnreachableRoutes(networks):
                interface_changes.add_unreachable_routes(networks)
            case RemoveUnreachableRoutes(networks):
                interface_changes.remove_unreachable_routes(networks)
            case ReplaceFirewall(ruleset):
                self._replace_firewall(ruleset)
            case SetForeignForwardChain(chain):
                foreign_chains.set_accept_rules(chain)
            case SetSysctl(key, value):
                now = sysctl.read(key)
                if key in FORWARDING and now != value:
                    translated = source_translations(self.forwarding_state(()).ruleset)
                    self._state.note_translated(translated)
                self._state.note_sysctl(key, now)
                # A read-only parameter that has its value needs no write, which would fail.
                if now != value:
                    sysctl.write(key, value)
            case RestoreSysctl(key, value):
                if sysctl.read(key) != value:
                    sysctl.write(key, value)
                self._state.note_sysctl(key, None)
            case SetNode(node):
                self._set_node(node)
            case SetUnderlay(underlay):
                there = inventory.underlay(inventory.interfaces(), inventory.own_routes())
                interface_changes.change_underlay(there, underlay)
            case CreateTunnel(tunnel):
                self._create_tunnel(tunnel)
            case ConfigureTunnel(tunnel):
                self._configure_tunnel(tunnel)
            case RemoveTunnel(name):
                if name in self._own_names():
                    interface_changes.delete(name)
                self._remove_rules(name)
                self._state.note_tunnel(name, None)
            case StartRouting(routing):
                self._start_routing(routing)
            case ReloadRouting(routing):
                self._frr.reload(routing)
            case StopRouting():
                self._stop_routing()
            case _:
                assert_never(action)

    def wireguard_kind(self) -> str:
        """Return the WireGuard in use."""
        names = self._state.read().tunnels
        return wireguard.kind(each.kind for each in inventory.interfaces() if each.name in names)

    def peer_status(self) -> dict[str, tuple[PeerStatus, ...]]:
        """Return the peers of each of uno's WireGuard interfaces."""
        return self._wireguard.peer_status(self._state.read().tunnels)

    def session_status(self) -> tuple[SessionStatus, ...]:
        """Return uno's BGP sessions."""
        return self._frr.sessions()

    def interfaces_with_bgp_routes(self) -> frozenset[str]:
        """Return the interfaces that the kernel's BGP routes lead through."""
        return rtnetlink.interfaces_with_routes(rtnetlink.BGP)

    def drop_routes(self, neighbor: str) -> None:
        """Remove the stale routes of a neighbour whose BGP session is down."""
        self._frr.drop_routes(neighbor)

    def end_sessions_over_limit(self) -> tuple[str, ...]:
        """End BGP sessions over their limit of prefixes; return those neighbours."""
        return self._frr.end_sessions_over_limit()

    def initiate_handshake(self, tunnel: str, peer: Peer) -> None:
        """Initiate a handshake with a peer that has an endpoint, at the address configured last."""
        history = self._history(tunnel, peer)
        if history is None and peer.endpoint:
            answers = self._resolve([peer]).get(peer.endpoint)
            history = endpoint_choice.next_endpoint(answers, None) if answers else None
        if history is not None:
            wireguard.initiate_handshake(tunnel, peer, endpoint=history.last)
            self._note_attempt(tunnel, peer, history)

    def begin_lookups(self, peers: Iterable[Peer]) -> None:
        """Begin to resolve the endpoints of these peers, all at once."""
        self._resolver.begin({peer.endpoint for peer in peers if peer.endpoint})

    def refresh_endpoint(self, tunnel: str, peer: Peer) -> bool:
        """Resolve a peer's endpoint again; return whether another address was configured.

        The address is compared with the one configured last, not with the peer's present one: the
        peer may have roamed.
        """
        found = self._resolver.resolve([peer.endpoint]) if peer.endpoint else {}
        answers = endpoint_choice.of_other_hosts(found.get(peer.endpoint or "", ()))
        if not answers or tunnel not in self._state.read().tunnels:
            return False
        before = self._history(tunnel, peer)
        after = endpoint_choice.next_endpoint(answers, before)
        if moved := before is None or after.last != before.last:
            wireguard.set_endpoint(tunnel, peer, endpoint=after.last)
        self._note_attempt(tunnel, peer, after)
        return moved

    def other_addresses(self, tunnel: str, peer: Peer) -> int:
        """Return how many addresses a peer's name had beside the one that was configured."""
        note = self._state.read().tunnels.get(tunnel, TunnelNote())
        history = note.attempts.get(peer.public_key)
        return history.addresses - 1 if history else 0

    def vitals(self) -> HostVitals:
        """Return what the host shows of itself; what is dropped is counted once in a minute."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if self._dropped is None or now - self._dropped[0] >= _COUNT_EVERY:
            self._dropped = now, nft.dropped(self._table)
        return HostVitals(uptime=int(now), dropped=self._dropped[1])

    def forwarding_state(self, sysctls: tuple[str, ...]) -> ForwardingState:
        """Return what decides whether the host forwards, with these kernel parameters."""
        number = nft.generation()
        if self._foreign_rules is None or self._foreign_rules[0] != number:
            self._foreign_rules = number, foreign_chains.ruleset()
        return ForwardingState(
            ruleset=self._foreign_rules[1],
            sysctls=self._forwarding_parameters.existing(sysctls),
            translated=frozenset(self._state.read().translated or ()),
            interfaces=inventory.modes(),
        )

    def kernel_path(
        self, destination: Address, *, source: Address, nic: str | None
    ) -> KernelPath | None:
        """Return where the kernel sends a packet that comes in by `nic`. Raises `UnoError`."""
        return kernel_paths.kernel_path(destination, source=source, nic=nic)

    def warn_of_fixed_parameters(self, keys: Iterable[str]) -> None:
        """Add a warning for each of these optional kernel parameters that cannot be set to 1."""
        self.warnings += [
            f"the kernel parameter {key} cannot be set to 1 here: "
            "equal paths are chosen by addresses alone, not by ports too"
            for key in sorted(keys)
            if sysctl.is_fixed(key) and not (sysctl.exists(key) and sysctl.read(key) == "1")
        ]

    def remove_state(self) -> None:
        """Remove the recorded state of a cell that owns nothing on this host any more."""
        for name in self._state.read().tunnels:
            # Rules outlive their interface.
            self._remove_rules(name)
        if self._is_cell:
            # Of an agent that was killed.
            nft.replace_table(nftables.PROBE_TABLE, None)
        # The whole folder: a kill may have left a half-written file in it.
        shutil.rmtree(self.folder, ignore_errors=True)
        self._state.remove()

    def _inherited(
        self, interfaces: Iterable[inventory.Interface], state: HostState
    ) -> dict[str, str]:
        """Return the originals of parameters of interfaces that have come since."""
        names = [
            each.name for each in interfaces if each.name != "lo" and not self._own(each, state)
        ]
        return inherited(state.sysctls, sysctl.existing(relevant(names)), names)

    def _own(self, each: inventory.Interface, state: HostState) -> bool:
        return each.alias == self._alias or state.owns(each.name)

    def _state_with(self, interfaces: Iterable[inventory.Interface]) -> HostState:
        """Return the recorded state, with those of `interfaces` that have uno's alias.

        A container that is replaced may lose the record, and keep the host's interfaces.
        """
        state = self._state.read()
        unrecorded = [
            each for each in interfaces if each.alias == self._alias and not state.owns(each.name)
        ]
        for each in unrecorded:
            if each.kind not in _NODE_KINDS:
                notes = {**state.tunnels, each.name: TunnelNote()}
                state = structs.replace(state, tunnels=notes)
            elif state.node is None:
                state = structs.replace(state, node=each.name)
        return state

    def _is_impaired(self, each: inventory.Interface, *, is_node: bool) -> bool:
        """Whether an interface lacks what every interface of uno's, or the node's, is given."""
        wanted = _NODE_PARAMETERS if is_node else _TUNNEL_PARAMETERS
        return (
            not each.up
            or each.alias != self._alias
            or (is_node and (each.has_arp or each.mtu != _NODE_MTU))
            or bool(_unmet_parameters(each.name, wanted))
        )

    def _filters(self) -> tuple[str | None, tuple[ForeignForwardChain, ...]]:
        """Return uno's table as nft lists it, and the forward chains of other firewalls."""
        number = nft.generation()
        if self._filtered is None or self._filtered[0] != number:
            found = foreign_chains.observe() if self._is_cell else ()
            self._filtered = (number, nft.listing(self._table), found)
        return self._filtered[1:]

    def _replace_firewall(self, ruleset: str | None) -> None:
        nft.replace_table(self._table, ruleset)
        self._state.note_firewall(ruleset, nft.listing(self._table) if ruleset else None)

    def _history(self, tunnel: str, peer: Peer) -> EndpointHistory | None:
        """Return what was configured as a peer's endpoint, and whether it has answered there."""
        note = self._state.read().tunnels.get(tunnel, TunnelNote())
        history = note.attempts.get(peer.public_key)
        dump = wireguard.dump([tunnel]).get(tunnel) if history else None
        if history is None or dump is None:
            return history
        now = next((it for it in dump.status if it.public_key == peer.public_key), None)
        if now is None:
            return history
        return endpoint_choice.with_handshake(
            history, endpoint=now.endpoint, handshake=now.handshake
        )

    def _note_attempt(self, tunnel: str, peer: Peer, history: EndpointHistory) -> None:
        note = self._state.read().tunnels.get(tunnel, TunnelNote())
        self._state.note_tunnel(
            tunnel,
            structs.replace(
                note,
                endpoints={**note.endpoints, peer.public_key: peer.endpoint or ""},
                attempts={**note.attempts, peer.public_key: history},
            ),
        )

    def _remove_rules(self, name: str) -> None:
        note = self._state.read().tunnels.get(name)
        if note is not None and note.table is not None:
            interface_changes.change_rules(
                remove=[each for each in inventory.rules() if each[1] == note.table]
            )

    def _set_node(self, node: NodeInterface | None) -> None:
        current = self._state.read().node
        if current is not None and (node is None or current != node.name):
            interface_changes.delete(current)
            self._state.note_node(None)
            current = None
        if node is None:
            return
        if current is None or node.name not in self._own_names():
            self._state.note_node(node.name)
            _create_node(node.name)
        _set_parameters(node.name, _NODE_PARAMETERS)
        # Addresses that stay are not touched: with an address go the routes that it is source of.
        # New ones come first: with the last address of an interface go all of its routes.
        there = self._observed_node(node.name)
        name = node.name
        lines = [f'link set dev {name} alias "{self._alias}" mtu {_NODE_MTU} arp off up']
        lines += [
            interface_changes.add_address(name, a)
            for a in node.addresses
            if a not in there.addresses
        ]
        lines += [f"addr del {a} dev {name}" for a in there.addresses if a not in node.addresses]
        lines += [
            interface_changes.remove_blackhole_route(name, r)
            for r in there.blackhole_routes
            if r not in node.blackhole_routes
        ]
        lines += [interface_changes.add_blackhole_route(name, r) for r in node.blackhole_routes]
        interface_changes.batch(lines)
        if not set(node.addresses) <= set(there.addresses):
            self._frr.reinstall_routes()

    def _observed_node(self, name: str) -> NodeInterface:
        found = next(each for each in inventory.interfaces() if each.name == name)
        return observed_tunnels.node(found, inventory.own_routes())

    def _create_tunnel(self, tunnel: Tunnel) -> None:
        make_open_dir(self.folder)
        # Recorded first: an interface that a kill leaves behind must be recognized as uno's.
        self._state.note_tunnel(tunnel.name, TunnelNote())
        try:
            # A tunnel with routes is the root VPN: a peer may not have an endpoint yet.
            wireguard.create(
                tunnel.name,
                log=self.folder / f"{tunnel.name}.log",
                queue=bool(tunnel.routes),
            )
        except UnoError:
            # An interface of this name may exist that uno does not own: it must never be removed.
            self._state.note_tunnel(tunnel.name, None)
            raise
        self._set_tunnel(tunnel, before=None)

    def _configure_tunnel(self, tunnel: Tunnel) -> None:
        before = next(t for t in self.observe(()).tunnels if t.name == tunnel.name)
        self._set_tunnel(tunnel, before=before)

    def _set_tunnel(self, tunnel: Tunnel, *, before: Tunnel | None) -> None:
        resolved = self._resolve(tunnel.peers)
        as_is = tunnel
        if before and before.port is None and tunnel.port is None:
            # Without a port `wg syncconf` chooses another, and the mapping of a NAT is lost.
            as_is = replace(tunnel, port=wireguard.port(tunnel.name))
        earlier = self._state.read().tunnels.get(tunnel.name, TunnelNote()).attempts
        chosen = {
            peer.public_key: endpoint_choice.kept_endpoint(answers, earlier.get(peer.public_key))
            for peer in tunnel.peers
            if peer.endpoint is not None and (answers := resolved.get(peer.endpoint))
        }
        written = {
            peer.public_key: peer.endpoint
            for peer in tunnel.peers
            if peer.endpoint is not None and peer.public_key in chosen
        }
        wireguard.configure(
            as_is,
            endpoints={written[key]: history.last for key, history in chosen.items()},
            fresh=before is None,
        )
        name = tunnel.name
        there = before.addresses if before else ()
        _set_parameters(name, _TUNNEL_PARAMETERS)
        lines = [f'link set dev {name} alias "{self._alias}" mtu {tunnel.mtu} up']
        lines += [
            interface_changes.add_address(name, a) for a in tunnel.addresses if a not in there
        ]
        lines += [f"addr del {a} dev {name}" for a in there if a not in tunnel.addresses]
        interface_changes.batch([*lines, *observed_tunnels.route_lines(tunnel, before)])
        note = TunnelNote(port=tunnel.port, endpoints=written, attempts=chosen, table=tunnel.table)
        self._set_rules(tunnel, note)

    def _set_rules(self, tunnel: Tunnel, note: TunnelNote) -> None:
        """Add the rules that select the interface's table, and record the note."""
        wanted = observed_tunnels.rules_of(tunnel)
        tables = {self._state.read().tunnels.get(tunnel.name, note).table, tunnel.table} - {None}
        self._state.note_tunnel(tunnel.name, note)
        if tables:
            there = {each for each in inventory.rules() if each[1] in tables}
            interface_changes.change_rules(add=wanted - there, remove=there - wanted)

    def _resolve(self, peers: Iterable[Peer]) -> dict[str, tuple[str, ...]]:
        """Return addresses and port of each endpoint; add a warning for each without."""
        names = {peer.endpoint for peer in peers if peer.endpoint}
        found = self._resolver.resolve(names)
        usable = {
            name: kept
            for name, answers in found.items()
            if (kept := endpoint_choice.of_other_hosts(answers))
        }
        unresolved = (_unresolved(name, found.get(name)) for name in sorted(names - usable.keys()))
        # An agent resolves again and again: one warning for each name.
        # A name with two ports is one warning.
        self.warnings += [it for it in dict.fromkeys(unresolved) if it not in self.warnings]
        return usable

    def _start_routing(self, routing: Routing) -> None:
        make_open_dir(self.folder)
        own = self._own_names()
        self._frr.start(
            routing, others_have_routes=interface_changes.has_routes(FRR_PROTOCOLS, except_on=own)
        )

    def _stop_routing(self) -> None:
        self._frr.stop()
        # A killed zebra leaves its routes into uno's interfaces.
        for name in self._own_names():
            for family in ("-4", "-6"):
                run(["ip", family, "route", "flush", "dev", name, "proto", "bgp"], check=False)

    def _own_names(self) -> frozenset[str]:
        state = self._state.read()
        return frozenset(each.name for each in inventory.interfaces() if self._own(each, state))


def _observed_firewall(state: HostState, now: str | None) -> str | None:
    """Return the ruleset as given; where the table was changed since, the table as it is now."""
    return state.firewall if now is not None and now == state.listing else now


def _create_node(name: str) -> None:
    """Create a dummy interface, or a bridge where the kernel has no dummy driver."""
    preferred, other = _NODE_KINDS
    done = run(["ip", "link", "add", "dev", name, "type", preferred], check=False)
    if done.status != 0:
        run(["ip", "link", "add", "dev", name, "type", other])


def _unresolved(endpoint: str, answers: tuple[str, ...] | None) -> str:
    """Return the warning of an endpoint (`host:port`) without an address of another host."""
    name = endpoint.rpartition(":")[0]
    if not answers:
        return f"the name {name} cannot be resolved; until it can, nothing connects to it"
    address = answers[0].rpartition(":")[0].strip("[]")
    return (
        f"the name {name} leads to {address}, which is no address of another host; "
        f"until it has one, nothing connects to it (see /etc/hosts, and: getent ahosts {name})"
    )


def _set_parameters(name: str, wanted: Mapping[str, str]) -> None:
    """Set parameters of one of uno's interfaces, as far as the kernel has them."""
    for key, value in _unmet_parameters(name, wanted).items():
        sysctl.write(key, value)


def _unmet_parameters(name: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return those parameters of an interface that have to be set, with the values wanted."""
    keys = {key.format(name.replace(".", "/")): key for key in wanted}
    present = sysctl.existing(keys)
    unmet = {own: key for own, key in keys.items() if present.get(own, wanted[key]) != wanted[key]}
    every = sysctl.existing(key.format("all") for key in unmet.values())
    return {
        own: wanted[key]
        for own, key in unmet.items()
        if not _comes_with_all(key, every)
        and (
            not sysctl.is_fixed(own)
            or not suffices(key, present[own], every=every.get(key.format("all"), present[own]))
        )
    }


def _comes_with_all(key: str, every: Mapping[str, str]) -> bool:
    """Whether a parameter is set with that of all interfaces, which is not set yet.

    Forwarding of IPv6 on one interface costs the host the default routes that it has from router
    advertisements, unless `accept_ra` is 2 before it (net/ipv6/addrconf.c).
    """
    return key.endswith(".forwarding") and every.get(key.format("all")) == "0"


def _has_ipv6() -> bool:
    """Whether interfaces of uno's can have addresses of IPv6.

    It may be disabled on all interfaces: uno enables it on its own, if it may.
    """
    default = _DISABLE_IPV6.format("default")
    if not sysctl.path("net.ipv6.conf").exists():
        return False
    is_disabled = sysctl.existing([default]).get(default) == "1"
    return not (is_disabled and sysctl.is_fixed(default))
