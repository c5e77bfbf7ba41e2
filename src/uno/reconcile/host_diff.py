"""The actions that turn the observed state of a host into the desired one, in a safe order. Pure.

First what keeps traffic from leaking, then what forwards, last what attracts traffic (routing).
What is no longer desired is removed in the opposite order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from msgspec.structs import replace

from uno.diagnostics import ActionNeeded
from uno.model.net import network_order
from uno.model.tunnel import Tunnel
from uno.ports.host import (
    Action,
    AddUnreachableRoutes,
    ConfigureTunnel,
    CreateTunnel,
    Desired,
    ForeignForwardChain,
    Observed,
    ReloadRouting,
    RemoveTunnel,
    RemoveUnreachableRoutes,
    ReplaceFirewall,
    RestoreSysctl,
    SetForeignForwardChain,
    SetNode,
    SetSysctl,
    SetUnderlay,
    StartRouting,
    StopRouting,
)
from uno.reconcile.kernel_parameters import restored


def reconcile(*, desired: Desired, observed: Observed) -> tuple[Action, ...]:
    """Return the actions that turn `observed` into `desired`, in order.

    Raises `UnoError` if an interface exists under a desired name and is not uno's.
    """
    _refuse_foreign(desired, observed)
    return (*_build(desired, observed), *_clear(desired, observed))


def inverse(  # noqa: C901, PLR0911, PLR0912 - one line per kind
    action: Action, observed: Observed
) -> Action | None:
    """Return the action that undoes `action` on a host that was as `observed`; None for nothing."""
    match action:
        case AddUnreachableRoutes(networks):
            return RemoveUnreachableRoutes(networks)
        case RemoveUnreachableRoutes(networks):
            return AddUnreachableRoutes(networks)
        case ReplaceFirewall():
            return ReplaceFirewall(observed.firewall)
        case SetForeignForwardChain(chain):
            return SetForeignForwardChain(
                next(each for each in observed.foreign_forward_chains if _same(each, chain))
            )
        case SetSysctl(key):
            if key in observed.originals:
                return SetSysctl(key, observed.sysctls[key])
            return RestoreSysctl(key, observed.sysctls[key])
        case RestoreSysctl(key):
            return SetSysctl(key, observed.sysctls[key])
        case SetNode():
            return SetNode(observed.node)
        case SetUnderlay():
            return SetUnderlay(observed.underlay)
        case CreateTunnel(tunnel):
            return RemoveTunnel(tunnel.name)
        case ConfigureTunnel(tunnel):
            return ConfigureTunnel(_tunnels(observed)[tunnel.name])
        case RemoveTunnel(name):
            return CreateTunnel(_tunnels(observed)[name])
        case StartRouting() | ReloadRouting() | StopRouting():
            return _routing_back(action, observed)
    assert_never(action)


def _routing_back(action: Action, observed: Observed) -> Action | None:
    if observed.routing is None and observed.routing_leftovers and isinstance(action, StartRouting):
        # Where one daemon had died the others forward: with their watchdog they go on until the
        # next pass, though the repair failed.
        return None
    if observed.routing is None:
        return StopRouting()
    if isinstance(action, ReloadRouting):
        return ReloadRouting(observed.routing)
    return StartRouting(observed.routing)


def _refuse_foreign(desired: Desired, observed: Observed) -> None:
    if desired.node and desired.node.name in observed.foreign:
        raise ActionNeeded(
            f"interface {desired.node.name} exists and is not uno's for this cell",
            "a host is a cell of one UVN at a time: `uno service down --forget -r DIR` in the "
            "other cell's directory ends it; or else remove or rename the interface",
        )
    wanted = {tunnel.name for tunnel in desired.tunnels}
    if taken := sorted(wanted & observed.foreign):
        raise ActionNeeded(
            f"interface {taken[0]} exists and is not uno's",
            "remove or rename it, or give uno another name with the VPN's `interface` setting",
        )


def _build(desired: Desired, observed: Observed) -> Iterator[Action]:
    if missing := set(desired.unreachable_routes) - observed.unreachable_routes:
        yield AddUnreachableRoutes(tuple(sorted(missing, key=network_order)))
    if desired.firewall is not None and desired.firewall != observed.firewall:
        yield ReplaceFirewall(desired.firewall)
    if desired.accept_interfaces:
        yield from _set_foreign_chains(desired, observed)
    node = desired.node
    if node is not None and (node != observed.node or node.name in observed.impaired):
        yield SetNode(node)
    yield from _build_tunnels(desired, observed)
    for key, value in desired.sysctls:
        # One that has its value is recorded too: another change may reset it, and what the host was
        # before uno is decided once.
        now = observed.sysctls.get(key)
        if key in desired.optional and key in observed.fixed:
            continue
        if now is not None and (now != value or key not in observed.originals):
            yield SetSysctl(key, value)
    if desired.routing is not None and desired.routing != observed.routing:
        if observed.routing is None:
            yield StartRouting(desired.routing)
        else:
            yield ReloadRouting(desired.routing)


def _build_tunnels(desired: Desired, observed: Observed) -> Iterator[Action]:
    # Before the tunnels, whose first packets look it up.
    if desired.underlay is not None and desired.underlay != observed.underlay:
        yield SetUnderlay(desired.underlay)
    there = _tunnels(observed)
    for name in sorted(_conflicting(desired, observed)):
        yield RemoveTunnel(name)
        del there[name]
    # Tunnels that listen come first: an unanswered handshake is retried after 5 s (REKEY_TIMEOUT in
    # the WireGuard paper, section 6.1).
    for tunnel in sorted(desired.tunnels, key=lambda each: (each.port is None, each.name)):
        if tunnel.name not in there:
            yield CreateTunnel(tunnel)
        elif tunnel != there[tunnel.name] or tunnel.name in observed.impaired:
            yield ConfigureTunnel(tunnel)


def _set_foreign_chains(desired: Desired, observed: Observed) -> Iterator[Action]:
    for chain in observed.foreign_forward_chains:
        if chain.accept_interfaces != desired.accept_interfaces:
            yield SetForeignForwardChain(
                replace(chain, accept_interfaces=desired.accept_interfaces)
            )


def _clear(desired: Desired, observed: Observed) -> Iterator[Action]:
    if desired.routing is None and (observed.routing is not None or observed.routing_leftovers):
        yield StopRouting()
    wanted = {tunnel.name for tunnel in desired.tunnels}
    for name in sorted(_tunnels(observed).keys() - wanted - _conflicting(desired, observed)):
        yield RemoveTunnel(name)
    if desired.underlay is None and observed.underlay is not None:
        yield SetUnderlay(None)
    if desired.node is None and observed.node is not None:
        yield SetNode(None)
    kept = dict(desired.sysctls)
    for key, value in restored(
        observed.originals, observed.sysctls, still_forwarded=desired.still_forwarded
    ):
        if key not in kept:
            yield RestoreSysctl(key, value)
    if not desired.accept_interfaces:
        yield from _set_foreign_chains(desired, observed)
    if desired.firewall is None and observed.firewall is not None:
        yield ReplaceFirewall(None)
    if stale := observed.unreachable_routes - set(desired.unreachable_routes):
        yield RemoveUnreachableRoutes(tuple(sorted(stale, key=network_order)))


def _same(one: ForeignForwardChain, other: ForeignForwardChain) -> bool:
    return (one.family, one.name) == (other.family, other.name)


def _conflicting(desired: Desired, observed: Observed) -> set[str]:
    """Return the tunnels that have a port or a route that another tunnel is to have.

    Linux refuses a port that is in use. It moves a route, which would be lost with its new
    interface if that action were undone.
    """
    taker: dict[object, str] = {}
    for tunnel in desired.tunnels:
        taker |= dict.fromkeys(_held(tunnel), tunnel.name)
    taker.pop(None, None)
    return {
        tunnel.name
        for tunnel in observed.tunnels
        for held in _held(tunnel)
        if taker.get(held, tunnel.name) != tunnel.name
    }


def _held(tunnel: Tunnel) -> Iterator[object]:
    yield tunnel.port
    yield from ((tunnel.table, prefix) for prefix in tunnel.routes)


def _tunnels(observed: Observed) -> dict[str, Tunnel]:
    return {tunnel.name: tunnel for tunnel in observed.tunnels}
