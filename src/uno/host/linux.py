"""The real host: Linux with iproute2, WireGuard, nftables and FRR."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from uno.diagnostics import UnoError
from uno.files import failure
from uno.host import frr, gates, links, nft, wireguard
from uno.host.command import run
from uno.host.state import HostState, StateFile, TunnelNote
from uno.ports.host import (
    Action,
    AddBarriers,
    ConfigureTunnel,
    CreateTunnel,
    Facts,
    NodeInterface,
    Observed,
    Peer,
    PeerStatus,
    ReloadRouting,
    RemoveBarriers,
    RemoveTunnel,
    ReplaceFirewall,
    RestoreSysctl,
    Routing,
    SessionStatus,
    SetGate,
    SetNode,
    SetSysctl,
    StartRouting,
    StopRouting,
    Tunnel,
)

RUN = Path("/run/uno")
PROC_SYS = Path("/proc/sys")
FORWARD = "net.ipv4.ip_forward"

# Marks of FRR's protocols in the kernel's routing table (iproute2's rt_protos).
FRR_PROTOCOLS = frozenset({"bgp", "isis", "ospf", "rip", "eigrp", "babel", "zebra", "196"})


class LinuxHost:
    """This machine, in the network namespace of this process, for one cell."""

    def __init__(self, identity: str, cell: int) -> None:
        """Work for the cell with this id of the UVN with this identity."""
        self.folder = RUN / f"{identity[:8]}-{cell}"
        self.warnings: list[str] = []
        self._alias = f"uno {identity} {cell}"
        self._state = StateFile(self.folder / "state.json")
        self._frr = frr.Frr(self.folder / "frr")

    def facts(self) -> Facts:
        """Look at what the host is like. Raises `UnoError` where there is no FRR."""
        state = self._state.read()
        before = state.sysctls.get(FORWARD)
        return Facts(
            nics=links.nics(each for each in links.interfaces() if not self._own(each, state)),
            # Switched off for interfaces is another thing: uno's own can have it all the same.
            has_ipv6=(PROC_SYS / "net/ipv6/conf").exists(),
            forwarded=(before or _read_sysctl(FORWARD)) == "1",
            frr=frr.version(),
        )

    def observe(self, sysctls: tuple[str, ...]) -> Observed:
        """Look at what is there, reading these kernel parameters and those changed before."""
        state = self._state.read()
        interfaces = links.interfaces()
        own = {each.name: each for each in interfaces if self._own(each, state)}
        dumps = wireguard.dump() if own else {}
        routes = links.own_routes()
        node = own.get(state.node or "")
        # The parameters of an interface go with it.
        originals = {k: v for k, v in state.sysctls.items() if _sysctl_path(k).exists()}
        return Observed(
            barriers=routes.barriers,
            firewall=_observed_firewall(state),
            gates=gates.observe(),
            sysctls={key: _read_sysctl(key) for key in {*sysctls, *originals}},
            originals=originals,
            node=_node(node) if node else None,
            tunnels=tuple(
                replace(
                    _tunnel(own[name], dumps[name], state.tunnels.get(name, TunnelNote())),
                    routes=routes.into.get(name, ()),
                )
                for name in sorted(own.keys() & dumps.keys())
            ),
            routing=self._frr.running(),
            routing_leftovers=self._frr.leftovers(),
            foreign=frozenset(each.name for each in interfaces) - own.keys(),
        )

    def perform(self, action: Action) -> None:
        """Do one thing. Raises `UnoError` with the command and what it said."""
        try:
            self._perform(action)
        except OSError as error:
            # Or what was done before would not be undone.
            raise failure(error, f"cannot use {error.filename or self.folder}") from error

    def _perform(self, action: Action) -> None:  # noqa: C901, PLR0912 - one line per kind
        match action:
            case AddBarriers(networks):
                links.add_barriers(networks)
            case RemoveBarriers(networks):
                links.remove_barriers(networks)
            case ReplaceFirewall(ruleset):
                self._replace_firewall(ruleset)
            case SetGate(gate):
                gates.set_gate(gate)
            case SetSysctl(key, value):
                self._state.note_sysctl(key, _read_sysctl(key))
                _write_sysctl(key, value)
            case RestoreSysctl(key, value):
                # What could not be written before cannot be written now.
                if _read_sysctl(key) != value:
                    _write_sysctl(key, value)
                self._state.note_sysctl(key, None)
            case SetNode(node):
                self._set_node(node)
            case CreateTunnel(tunnel):
                self._create_tunnel(tunnel)
            case ConfigureTunnel(tunnel):
                self._configure_tunnel(tunnel)
            case RemoveTunnel(name):
                if name in self._own_names():
                    links.delete(name)
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
        """Say which WireGuard runs."""
        names = self._state.read().tunnels
        return wireguard.kind(each.kind for each in links.interfaces() if each.name in names)

    def peer_status(self) -> dict[str, tuple[PeerStatus, ...]]:
        """Return the peers of each of uno's WireGuard interfaces."""
        names = self._state.read().tunnels
        return {name: each.status for name, each in wireguard.dump().items() if name in names}

    def session_status(self) -> tuple[SessionStatus, ...]:
        """Return uno's BGP sessions."""
        return self._frr.sessions()

    def reconnect(self, tunnel: str, peer: Peer) -> None:
        """Start a new session with a peer that has an endpoint."""
        if peer.endpoint and (endpoint := self._resolve([peer]).get(peer.endpoint)):
            wireguard.reconnect(tunnel, peer, endpoint=endpoint)

    def note_strangers(self) -> None:
        """Warn of firewalls on this host that drop what uno forwards, and that uno cannot open."""
        self.warnings += [
            f"the nftables chain `{chain}` drops forwarded packets; "
            'let uno\'s through: accept iifname "uwg-*" and oifname "uwg-*" in it'
            for chain in gates.strangers()
        ]

    def forget(self) -> None:
        """Remove what is kept in /run about a cell that owns nothing on this host any more."""
        # All of it: a kill may have left a file half-written beside the others.
        shutil.rmtree(self.folder, ignore_errors=True)

    def _own(self, each: links.Interface, state: HostState) -> bool:
        return each.alias == self._alias or state.owns(each.name)

    def _replace_firewall(self, ruleset: str | None) -> None:
        nft.replace_table(ruleset)
        self._state.note_firewall(ruleset, nft.listing() if ruleset else None)

    def _set_node(self, node: NodeInterface | None) -> None:
        current = self._state.read().node
        if current is not None and (node is None or current != node.name):
            links.delete(current)
            self._state.note_node(None)
            current = None
        if node is None:
            return
        if current is None or node.name not in self._own_names():
            self._state.note_node(node.name)
            _create_node(node.name)
        _enable_ipv6(node.name)
        lines = [
            f'link set dev {node.name} alias "{self._alias}" up',
            f"addr flush dev {node.name} scope global",
        ]
        lines += [_add_address(node.name, str(each)) for each in node.addresses]
        links.batch(lines)

    def _create_tunnel(self, tunnel: Tunnel) -> None:
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        # Noted first: what a kill leaves behind must be known as ours.
        self._state.note_tunnel(tunnel.name, TunnelNote())
        try:
            wireguard.create(tunnel.name, log=self.folder / f"{tunnel.name}.log")
        except UnoError:
            # Somebody else may have an interface of this name, which is not ours to remove.
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
            # Without a port `wg syncconf` draws another, and a NAT on the way has to follow.
            as_is = replace(tunnel, port=wireguard.port(tunnel.name))
        wireguard.configure(as_is, endpoints=resolved, fresh=before is None)
        name = tunnel.name
        there = before.addresses if before else ()
        routes = before.routes if before else ()
        _enable_ipv6(name)
        lines = [f'link set dev {name} alias "{self._alias}" mtu {tunnel.mtu} up']
        lines += [f"addr del {a} dev {name}" for a in there if a not in tunnel.addresses]
        lines += [_add_address(name, str(a)) for a in tunnel.addresses if a not in there]
        lines += [links.remove_route(name, r) for r in routes if r not in tunnel.routes]
        lines += [links.add_route(name, r) for r in tunnel.routes if r not in routes]
        links.batch(lines)
        # Paths may be asymmetric: strict reverse path filtering would drop. The kernel takes the
        # larger of this and the host's own setting (ip-sysctl, rp_filter); 2 is loose.
        _write_sysctl(f"net.ipv4.conf.{name.replace('.', '/')}.rp_filter", "2")
        endpoints = {
            peer.public_key: peer.endpoint
            for peer in tunnel.peers
            if peer.endpoint is not None and peer.endpoint in resolved
        }
        self._state.note_tunnel(name, TunnelNote(port=tunnel.port, endpoints=endpoints))

    def _resolve(self, peers: Iterable[Peer]) -> dict[str, str]:
        """Return the address and port of each endpoint; one that cannot be found is a warning."""
        names = sorted({peer.endpoint for peer in peers if peer.endpoint})
        if not names:
            return {}
        with ThreadPoolExecutor(max_workers=min(16, len(names))) as pool:
            answers = zip(names, pool.map(_lookup, names), strict=True)
        found = {name: answer for name, answer in answers if answer is not None}
        self.warnings += [
            f"the name {name.rpartition(':')[0]} cannot be resolved; "
            "its link waits until the next `uno service up`"
            for name in names
            if name not in found
        ]
        return found

    def _start_routing(self, routing: Routing) -> None:
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        own = self._own_names()
        self._frr.start(routing, others_have_routes=links.has_routes(FRR_PROTOCOLS, except_on=own))

    def _stop_routing(self) -> None:
        self._frr.stop()
        # What a killed zebra left: its routes into uno's interfaces.
        for name in self._own_names():
            for family in ("-4", "-6"):
                run(["ip", family, "route", "flush", "dev", name, "proto", "bgp"], check=False)

    def _own_names(self) -> frozenset[str]:
        state = self._state.read()
        return frozenset(each.name for each in links.interfaces() if self._own(each, state))


def _node(each: links.Interface) -> NodeInterface:
    addresses = tuple(a for a in each.addresses if not a.ip.is_link_local)
    return NodeInterface(name=each.name, addresses=addresses)


def _tunnel(each: links.Interface, dump: wireguard.Dump, note: TunnelNote) -> Tunnel:
    return Tunnel(
        name=each.name,
        private_key=dump.private_key,
        mtu=each.mtu,
        addresses=tuple(a for a in each.addresses if not a.ip.is_link_local),
        peers=tuple(
            replace(peer, endpoint=note.endpoints.get(peer.public_key)) for peer in dump.peers
        ),
        port=note.port and dump.port,
    )


def _observed_firewall(state: HostState) -> str | None:
    """Return the ruleset as given, or, where somebody has changed the table, as it is now."""
    now = nft.listing()
    return state.firewall if now is not None and now == state.listing else now


def _create_node(name: str) -> None:
    """Make an interface with no other side: a dummy, or a bridge where the kernel has none."""
    done = run(["ip", "link", "add", "dev", name, "type", "dummy"], check=False)
    if done.status != 0:
        run(["ip", "link", "add", "dev", name, "type", "bridge"])


def _enable_ipv6(name: str) -> None:
    """Let an interface of uno's have IPv6 addresses where the host's default is that none has."""
    key = f"net.ipv6.conf.{name.replace('.', '/')}.disable_ipv6"
    if _sysctl_path(key).exists() and _read_sysctl(key) != "0":
        _write_sysctl(key, "0")


def _add_address(name: str, address: str) -> str:
    # No duplicate address detection: the other side of a tunnel is known, and waiting costs 1 s.
    return f"addr add {address} dev {name}{' nodad' if ':' in address else ''}"


def _lookup(endpoint: str) -> str | None:
    host, _, port = endpoint.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError:
        return None
    address = found[0][4][0]
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _sysctl_path(key: str) -> Path:
    # A dot separates, but a slash stands for a dot within a name (sysctl(8)).
    return PROC_SYS / "/".join(part.replace("/", ".") for part in key.split("."))


def _read_sysctl(key: str) -> str:
    try:
        return _sysctl_path(key).read_text().strip()
    except OSError as error:
        raise UnoError(f"cannot read the kernel parameter {key} ({error.strerror})") from error


def _write_sysctl(key: str, value: str) -> None:
    try:
        with os.fdopen(os.open(_sysctl_path(key), os.O_WRONLY), "w") as file:
            file.write(value)
    except OSError as error:
        raise UnoError(
            f"cannot set the kernel parameter {key} to {value} ({error.strerror})",
            "uno needs to be root on the host itself; in a container, give it the right to",
        ) from error
