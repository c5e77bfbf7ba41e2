"""A host in memory that prints itself, for tests and rehearsals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias, assert_never

from msgspec import Struct

from uno.diagnostics import TransientFailure
from uno.host.fake.fake_kernel import FakeKernel
from uno.model.key_ids import Secret
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
    HostRoute,
    HostVitals,
    KernelPath,
    LinkMode,
    Nic,
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
    Underlay,
)
from uno.reconcile.kernel_parameters import FORWARDING, IPV4_FORWARDING, inherited, relevant
from uno.reconcile.nft_evaluation import source_translations

# A part of an action that Linux does whole or not at all.
_Step: TypeAlias = Callable[[], object]


class _Failure(Struct):
    """When to fail: after so many actions more, before the next or half-way through it."""

    after: int
    halfway: bool
    error: BaseException


class FakeHost:
    """A machine that uno changes, in memory. What Linux refuses it refuses, with `UnoError`.

    It records calls in `performed`, `handshakes_initiated`, `dropped`, `state_removed`, and
    `looked_up`. It returns `sessions`, `handshakes` (seconds since the epoch, by public key),
    `foreign_forward_chains`, and `interfaces_with_routes`. `kernel` and `daemons` (their
    configuration by name) are what other programs may change. `foreign_rules` are those of other
    firewalls, as nft prints them in JSON, `shown` what the host shows of itself, `modes` the modes
    of interfaces that are not simply up or down. `moved` are the endpoints whose names resolve to
    another address now, `alternatives` those that have further addresses, with their number. Every
    name resolves to `resolved`. `over_limit` are neighbours that advertise too many prefixes.
    """

    def __init__(self, *, nics: Iterable[Nic] = (), fixed: Iterable[str] = ()) -> None:
        """Start with the host's own `nics`. `fixed` are parameters that cannot be written."""
        self.warnings: list[str] = []
        self.performed: list[Action] = []
        self.handshakes_initiated: list[tuple[str, Peer]] = []
        self.dropped: list[str] = []
        self.state_removed = False
        self.foreign_forward_chains: list[ForeignForwardChain] = []
        self.sessions: tuple[SessionStatus, ...] = ()
        self.handshakes: dict[str, int] = {}
        self.received: Callable[[str], int] = lambda _: 0
        self.moved: set[str] = set()
        self.alternatives: dict[str, int] = {}
        self.resolved = "198.51.100.53"
        self.looked_up: list[tuple[str, ...]] = []
        self.paths: dict[Address, KernelPath] = {}
        self.interfaces_with_routes: set[str] = set()
        self.over_limit: tuple[str, ...] = ()
        self.foreign_rules = ""
        self.shown = HostVitals()
        self.modes: dict[str, LinkMode] = {}
        self.kernel = FakeKernel(nics=nics, fixed=fixed)
        self._originals: dict[str, str] = {}
        self._translated: frozenset[int] | None = None
        self._node: str | None = None
        self.daemons: dict[str, str] = {}
        self._routing_runs = False
        self._failure: _Failure | None = None

    def __str__(self) -> str:
        """Print what is there as ip, wg, sysctl and nft would, without secrets."""
        return "".join(f"{line}\n" for line in self._lines())

    def fail_at(
        self, count: int, *, halfway: bool = False, error: BaseException | None = None
    ) -> None:
        """Make the `count`th action from now fail once, before it or half-way through.

        `error` is raised as it is; without one it is an `UnoError`.
        """
        self._failure = _Failure(count - 1, halfway, error or TransientFailure("injected failure"))

    def plug(self, nic: Nic) -> None:
        """Add an interface that is not uno's, or change it."""
        self.kernel.plug(nic)

    def advertise(self, name: str) -> bool:
        """Advertise a default router on an interface; return whether the kernel accepts it."""
        return self.kernel.advertise(name)

    def sysctl(self, key: str, value: str) -> None:
        """Set a kernel parameter, as another program does."""
        self.kernel.set_parameter(key, value)

    def unplug(self, name: str) -> None:
        """Remove an interface that is not uno's."""
        del self.kernel.nics[name]

    def facts(self) -> Facts:
        """Return the interfaces that are not uno's, and the values that forwarding resets.

        Each interface has the routes of its addresses' networks, while it is up.
        """
        nics = tuple(nic for _, nic in sorted(self.kernel.nics.items()))
        present = self._existing(relevant(nic.name for nic in nics))
        routes = tuple(
            HostRoute(destination=address.network, interface=nic.name)
            for nic in nics
            for address in nic.addresses
            if nic.up
        )
        return Facts(
            nics=nics,
            routes=routes,
            forwarded=self._originals.get(IPV4_FORWARDING, present[IPV4_FORWARDING]) == "1",
            sysctls=present,
            originals=self._originals_with_inherited(),
        )

    def observe(self, sysctls: tuple[str, ...]) -> Observed:
        """Return what uno owns now, and these kernel parameters and those that uno changed."""
        # The parameters of an interface go with it.
        recorded = self._originals_with_inherited()
        originals = {k: v for k, v in recorded.items() if self.kernel.has_parameter(k)}
        return Observed(
            unreachable_routes=frozenset(self.kernel.unreachable_routes),
            firewall=self.kernel.firewall,
            foreign_forward_chains=tuple(self.foreign_forward_chains),
            sysctls=self._existing({*sysctls, *originals}),
            fixed=self.kernel.fixed & frozenset(sysctls),
            originals=originals,
            node=self._observed_node(),
            underlay=self.kernel.underlay,
            tunnels=tuple(self._tunnel(name) for name in self._tunnels()),
            routing=Routing(daemons=tuple(self.daemons.items())) if self._routing_runs else None,
            routing_leftovers=bool(self.daemons),
            foreign=frozenset({"lo", *self.kernel.nics}),
            impaired=frozenset(name for name, each in self.kernel.links.items() if not each.up),
        )

    def fingerprint(self) -> object:
        """Return all that is there."""
        return str(self)

    def perform(self, action: Action) -> None:
        """Carry out one action. Raises `UnoError` as Linux would, and the error of `fail_at`."""
        self.performed.append(action)
        failure = self._due()
        steps = tuple(self._steps(action))
        if failure:
            steps = steps[: (len(steps) + 1) // 2] if failure.halfway else ()
        for step in steps:
            step()
        if failure:
            raise failure.error

    def wireguard_kind(self) -> str:
        """Return the WireGuard in use."""
        return "fake" if self._tunnels() else "none"

    def peer_status(self) -> dict[str, tuple[PeerStatus, ...]]:
        """Return the peers of each of uno's WireGuard interfaces."""
        return {
            name: tuple(map(self._status, self._tunnel(name).peers)) for name in self._tunnels()
        }

    def session_status(self) -> tuple[SessionStatus, ...]:
        """Return `sessions`, or none where routing does not run."""
        return self.sessions if self._routing_runs else ()

    def vitals(self) -> HostVitals:
        """Return `shown`."""
        return self.shown

    def forwarding_state(self, sysctls: tuple[str, ...]) -> ForwardingState:
        """Return `foreign_rules`, these kernel parameters, and `modes` of interfaces."""
        kernel = self.kernel
        names = {*kernel.links, *kernel.nics}
        modes = dict.fromkeys(names, LinkMode.UP)
        modes |= {name: LinkMode.DOWN for name, nic in kernel.nics.items() if not nic.up}
        return ForwardingState(
            ruleset=self.foreign_rules,
            sysctls={key: kernel.parameter(key) for key in sysctls if kernel.has_parameter(key)},
            translated=self._translated or frozenset(),
            interfaces={**modes, **self.modes},
        )

    def kernel_path(
        self, destination: Address, *, source: Address, nic: str | None
    ) -> KernelPath | None:
        """Return what `paths` has for the destination, from any source."""
        del source, nic
        return self.paths.get(destination)

    def interfaces_with_bgp_routes(self) -> frozenset[str]:
        """Return `interfaces_with_routes`, as far as they are there."""
        return frozenset(self.interfaces_with_routes.intersection(self._tunnels()))

    def drop_routes(self, neighbor: str) -> None:
        """Record the call."""
        self.dropped.append(neighbor)

    def end_sessions_over_limit(self) -> tuple[str, ...]:
        """Return the neighbours in `over_limit`, once."""
        ended, self.over_limit = self.over_limit, ()
        return ended

    def initiate_handshake(self, tunnel: str, peer: Peer) -> None:
        """Record the call."""
        self.kernel.link(tunnel)
        self.handshakes_initiated.append((tunnel, peer))

    def begin_lookups(self, peers: Iterable[Peer]) -> None:
        """Note the endpoints in `looked_up`."""
        self.looked_up.append(tuple(peer.endpoint for peer in peers if peer.endpoint))

    def refresh_endpoint(self, tunnel: str, peer: Peer) -> bool:
        """Return whether the endpoint is in `moved` or `alternatives`; remove it from `moved`."""
        self.kernel.link(tunnel)
        moved = peer.endpoint in self.moved or peer.endpoint in self.alternatives
        self.moved -= {peer.endpoint or ""}
        return moved

    def other_addresses(self, tunnel: str, peer: Peer) -> int:
        """Return what `alternatives` has."""
        self.kernel.link(tunnel)
        return self.alternatives.get(peer.endpoint or "", 0)

    def remove_state(self) -> None:
        """Record the call."""
        self.state_removed = True
        self._translated = None

    def _due(self) -> _Failure | None:
        failure = self._failure
        if failure is None or failure.after > 0:
            if failure:
                failure.after -= 1
            return None
        self._failure = None
        return failure

    def _steps(self, action: Action) -> Iterator[_Step]:  # noqa: C901, PLR0912 - one per kind
        kernel = self.kernel
        match action:
            case AddUnreachableRoutes(networks):
                yield from (partial(kernel.unreachable_routes.add, each) for each in networks)
            case RemoveUnreachableRoutes(networks):
                yield from (partial(kernel.unreachable_routes.discard, each) for each in networks)
            case ReplaceFirewall(ruleset):
                yield partial(kernel.replace_table, ruleset)
            case SetForeignForwardChain(chain):
                yield partial(self._set_foreign_chain, chain)
            case SetSysctl(key, value):
                if key in FORWARDING and self._translated is None:
                    self._translated = frozenset(source_translations(self.foreign_rules))
                yield partial(self._note_original, key)
                yield partial(self._write_parameter, key, value)
            case RestoreSysctl(key, value):
                yield partial(self._write_parameter, key, value)
                yield partial(self._originals.pop, key, None)
            case SetNode(node):
                yield from self._set_node(node)
            case SetUnderlay(underlay):
                yield partial(self._set_underlay, underlay)
            case CreateTunnel(tunnel):
                yield partial(kernel.add_link, tunnel.name)
                yield from self._set_tunnel(tunnel)
            case ConfigureTunnel(tunnel):
                yield from self._set_tunnel(tunnel)
            case RemoveTunnel(name):
                yield partial(kernel.remove_link, name)
            case StartRouting(routing):
                yield from self._stop_routing()
                yield from self._set_daemons(routing)
                yield partial(self._run_routing, runs=True)
            case ReloadRouting(routing):
                yield partial(self._require_routing, routing)
                yield from self._set_daemons(routing)
            case StopRouting():
                yield from self._stop_routing()
            case _:
                assert_never(action)

    def _set_foreign_chain(self, chain: ForeignForwardChain) -> None:
        """Change a chain that exists; uno does not create chains of another firewall."""
        places = [(each.family, each.name) for each in self.foreign_forward_chains]
        if (chain.family, chain.name) not in places:
            raise TransientFailure(f"iptables-restore: there is no chain {chain.name} by that name")
        self.foreign_forward_chains[places.index((chain.family, chain.name))] = chain

    def _note_original(self, key: str) -> None:
        self._originals.setdefault(key, self.kernel.parameter(key))

    def _originals_with_inherited(self) -> dict[str, str]:
        present = self._existing(relevant(self.kernel.nics))
        return self._originals | inherited(self._originals, present, self.kernel.nics)

    def _existing(self, keys: Iterable[str]) -> dict[str, str]:
        there = filter(self.kernel.has_parameter, keys)
        return {key: self.kernel.parameter(key) for key in there}

    def _write_parameter(self, key: str, value: str) -> None:
        if self.kernel.parameter(key) != value:
            self.kernel.set_parameter(key, value)

    def _set_node(self, node: NodeInterface | None) -> Iterator[_Step]:
        if self._node is not None and (node is None or node.name != self._node):
            yield partial(self.kernel.remove_link, self._node)
            yield partial(self._note_node, None)
        if node is None:
            return
        yield partial(self._note_node, node.name)
        if node.name not in self.kernel.links:
            yield partial(self.kernel.add_link, node.name)
        yield partial(self.kernel.bring_up, node.name)
        yield partial(self.kernel.flush, node.name)
        for address in node.addresses:
            yield partial(self.kernel.add_address, node.name, address)
        yield partial(self._set_blackhole_routes, node)

    def _set_blackhole_routes(self, node: NodeInterface) -> None:
        self.kernel.link(node.name).blackhole_routes[:] = node.blackhole_routes

    def _set_underlay(self, underlay: Underlay | None) -> None:
        self.kernel.underlay = underlay

    def _note_node(self, name: str | None) -> None:
        self._node = name

    def _set_tunnel(self, tunnel: Tunnel) -> Iterator[_Step]:
        yield partial(self.kernel.set_wireguard, tunnel)
        yield partial(self.kernel.set_mtu, tunnel.name, tunnel.mtu)
        yield partial(self.kernel.bring_up, tunnel.name)
        yield partial(self.kernel.flush, tunnel.name)
        for address in tunnel.addresses:
            yield partial(self.kernel.add_address, tunnel.name, address)
        for prefix in tunnel.routes:
            yield partial(self.kernel.add_route, prefix, tunnel.name, tunnel.table)

    def _require_routing(self, routing: Routing) -> None:
        names = {name for name, _ in routing.daemons}
        if not self._routing_runs or names != self.daemons.keys():
            raise TransientFailure("frr-reload.py: vtysh failed to connect to any daemons")

    def _set_daemons(self, routing: Routing) -> Iterator[_Step]:
        for name, text in routing.daemons:
            yield partial(self.daemons.__setitem__, name, text)

    def _stop_routing(self) -> Iterator[_Step]:
        yield partial(self._run_routing, runs=False)
        yield self.daemons.clear

    def _run_routing(self, *, runs: bool) -> None:
        self._routing_runs = runs

    def _tunnels(self) -> list[str]:
        return sorted(name for name in self.kernel.links if name != self._node)

    def _tunnel(self, name: str) -> Tunnel:
        link = self.kernel.link(name)
        return Tunnel(
            name=name,
            private_key=link.key or Secret("(none)"),
            mtu=link.mtu,
            addresses=tuple(link.addresses),
            peers=link.peers,
            port=link.port,
            mark=link.mark,
            routes=self.kernel.routes_into(name, link.table),
            table=link.table,
        )

    def _status(self, peer: Peer) -> PeerStatus:
        handshake = self.handshakes.get(peer.public_key, 0)
        host, _, port = (peer.endpoint or "").rpartition(":")
        is_name = bool(host.strip("0123456789.")) and not host.startswith("[")
        return PeerStatus(
            public_key=peer.public_key,
            endpoint=f"{self.resolved}:{port}" if is_name else peer.endpoint,
            handshake=handshake,
            received=self.received(peer.public_key),
            sent=0,
        )

    def _observed_node(self) -> NodeInterface | None:
        if self._node is None or self._node not in self.kernel.links:
            return None
        link = self.kernel.link(self._node)
        return NodeInterface(
            name=self._node,
            addresses=tuple(link.addresses),
            blackhole_routes=tuple(link.blackhole_routes),
        )

    def _lines(self) -> Iterator[str]:
        yield from self.kernel.lines()
        for chain in self.foreign_forward_chains:
            accepted = ", ".join(chain.accept_interfaces) or "nothing"
            yield f"{chain.family} chain {chain.name} accepts {accepted}"
        for key, value in sorted(self._originals.items()):
            yield f"original {key} = {value}"
        for daemon, text in self.daemons.items():
            shown = daemon if self._routing_runs else f"{daemon} (stopped)"
            yield from (f"{shown}: {line}" for line in text.splitlines())
