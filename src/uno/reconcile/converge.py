"""Observe a host, compare it with what uno is to own there, and apply the difference.

Every change of a host goes through here: `uno service up` and `down`, each pass of a cell's agent,
each step of a change-over, and the registry's agent. None takes hints: a pass compares everything,
and a second pass does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from uno.model.attached_lan import AttachedLan
from uno.model.net import Address, Network, address
from uno.model.package import Package
from uno.model.routing_policy import Drain
from uno.ports.host import Action, Desired, Facts, Host, KernelPath, Observed
from uno.reconcile.apply import apply
from uno.reconcile.collisions import Collision, collisions
from uno.reconcile.desired import desired, sysctl_keys
from uno.reconcile.forwarding_obstacles import (
    Obstacle,
    diverted,
    obstacles,
    parameters,
    unanswered_probes,
)
from uno.reconcile.forwarding_proof import host_of
from uno.reconcile.host_diff import reconcile
from uno.reconcile.lans import attached, require_all


class HostDiff(Struct, frozen=True, kw_only=True):
    """The actions that turn a host as `observed` into one as `desired`."""

    desired: Desired
    observed: Observed
    actions: tuple[Action, ...]

    def without(self, kind: type[Action]) -> HostDiff:
        """Return the difference without the actions of one kind."""
        kept = tuple(each for each in self.actions if not isinstance(each, kind))
        return replace(self, actions=kept)

    def apply(self, host: Host, *, progress: Callable[[str], None] = lambda _: None) -> None:
        """Carry the actions out, all or none. Raises `ActionFailed`."""
        apply(host, self.actions, observed=self.observed, progress=progress)


class CellTarget(Struct, frozen=True, kw_only=True):
    """What uno is to own on the host of a package's cell, and the facts that this depends on.

    `lans` are the cell's LANs that are attached, `missing` those that are not. `collisions` are
    networks of the host's own that are also the UVN's.
    """

    facts: Facts
    lans: tuple[AttachedLan, ...]
    missing: tuple[Network, ...]
    collisions: tuple[Collision, ...]
    desired: Desired

    def compare(self, host: Host) -> HostDiff:
        """Observe `host`, and return the difference. Changes nothing. Raises `UnoError`."""
        return compare(host, self.desired, sysctls=sysctl_keys(self.facts))


def cell_target(
    host: Host,
    package: Package,
    *,
    drained: Mapping[str, Drain] | None = None,
    all_lans: bool = False,
) -> CellTarget:
    """Return what uno is to own on `host` for the cell of `package`.

    `drained` maps interfaces of links to how far traffic is drained from them. Raises `UnoError`;
    with `all_lans` also where one of the cell's LANs is not attached.
    """
    facts = host.facts()
    own = package.own.lans
    lans = require_all(own, facts.nics) if all_lans else attached(own, facts.nics)
    there = {each.network for each in lans}
    return CellTarget(
        facts=facts,
        lans=lans,
        missing=tuple(lan for lan in own if lan not in there),
        collisions=collisions(package, facts),
        desired=desired(package, lans=lans, facts=facts, drained=drained),
    )


def compare(host: Host, wanted: Desired, *, sysctls: tuple[str, ...] = ()) -> HostDiff:
    """Observe `host`, and return what differs from `wanted`. Changes nothing.

    `sysctls` are the kernel parameters that `wanted` may contain. Raises `UnoError`.
    """
    observed = host.observe(sysctls)
    actions = reconcile(desired=wanted, observed=observed)
    return HostDiff(desired=wanted, observed=observed, actions=actions)


def find_obstacles(
    host: Host,
    package: Package,
    *,
    facts: Facts,
    silent: Collection[str],
    probed: bool = False,
) -> tuple[Obstacle, ...]:
    """Return what is in the way of packets that the cell of `package` forwards on `host`.

    `silent` are the interfaces of links whose sessions are not up. `probed`: agents of other cells
    probe this one. Changes nothing. Raises `UnoError`.
    """
    lans = attached(package.own.lans, facts.nics)
    state = host.forwarding_state(parameters(package, lans, facts))
    endpoints = _endpoints(host, silent) if silent else ()
    hidden = {each.prefix for each in collisions(package, facts)}
    paths = dict(_paths(host, package, lans, facts))
    return (
        *obstacles(package, state, lans=lans, facts=facts, silent=silent, endpoints=endpoints),
        *(each for _, each in diverted(package, paths, hidden)),
        *(unanswered_probes(package, state) if probed else ()),
    )


def _paths(
    host: Host, package: Package, lans: tuple[AttachedLan, ...], facts: Facts
) -> Iterator[tuple[Network, KernelPath]]:
    """Yield where the kernel sends packets of the cell's LANs to each LAN of another cell."""
    near = {lan.network.version: lan for lan in reversed(lans)}
    sources = {version: host_of(lan, facts) for version, lan in near.items()}
    for member in package.roster.members:
        for lan in member.lans if member.id != package.own.id else ():
            if source := sources.get(lan.version):
                to, nic = lan.network_address + 1, near[lan.version].nic
                if path := host.kernel_path(to, source=source, nic=nic):
                    yield lan, path


def _endpoints(host: Host, interfaces: Collection[str]) -> tuple[Address, ...]:
    """Return where the peers of these interfaces are."""
    status = host.peer_status()
    written = [
        peer.endpoint.rpartition(":")[0].strip("[]")
        for name in interfaces
        for peer in status.get(name, ())
        if peer.endpoint
    ]
    return tuple(dict.fromkeys(map(address, written)))
