"""The cases of reconciling that are worth a name; tests/property has the rest."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Network

import pytest
from msgspec.structs import replace

from uno.diagnostics import UnoError
from uno.model.key_ids import Secret
from uno.model.tunnel import Tunnel
from uno.ports.host import (
    AddUnreachableRoutes,
    ConfigureTunnel,
    CreateTunnel,
    Desired,
    ForeignForwardChain,
    NodeInterface,
    Observed,
    ReloadRouting,
    RemoveTunnel,
    RemoveUnreachableRoutes,
    ReplaceFirewall,
    RestoreSysctl,
    Routing,
    SetForeignForwardChain,
    SetNode,
    SetSysctl,
    SetUnderlay,
    StartRouting,
    StopRouting,
    Underlay,
)
from uno.reconcile.host_diff import inverse, reconcile

FORWARD = "net.ipv4.ip_forward"
LAN, LAN6 = IPv4Network("192.168.2.0/24"), IPv6Network("2001:db8:2::/64")
NODE = NodeInterface(name="uno0", addresses=(IPv4Interface("10.255.128.2"),))
ROUTING = Routing(daemons=(("bgpd", "router bgp 1\n"),))
REGISTRY = IPv4Network("10.255.128.1/32")


def tunnel(name: str, *, port: int | None = None, routes: tuple[IPv4Network, ...] = ()) -> Tunnel:
    return Tunnel(
        name=name, private_key=Secret("k"), mtu=1320, addresses=(), port=port, routes=routes
    )


def test_a_host_is_built_up_from_the_outside_in_and_those_that_listen_first() -> None:
    desired = Desired(
        unreachable_routes=(LAN6, LAN),
        firewall="table",
        accept_interfaces=("uwg-b+",),
        sysctls=((FORWARD, "1"),),
        node=NODE,
        underlay=Underlay(),
        tunnels=(tunnel("uwg-b0"), tunnel("uwg-b1", port=63551)),
        routing=ROUTING,
    )
    closed = ForeignForwardChain(family="ip", name="FORWARD")

    assert reconcile(
        desired=desired, observed=Observed(sysctls={FORWARD: "0"}, foreign_forward_chains=(closed,))
    ) == (
        AddUnreachableRoutes((LAN, LAN6)),
        ReplaceFirewall("table"),
        SetForeignForwardChain(replace(closed, accept_interfaces=("uwg-b+",))),
        SetNode(NODE),
        SetUnderlay(Underlay()),
        CreateTunnel(tunnel("uwg-b1", port=63551)),
        CreateTunnel(tunnel("uwg-b0")),
        SetSysctl(FORWARD, "1"),
        StartRouting(ROUTING),
    )


def test_a_host_is_taken_down_from_the_inside_out() -> None:
    opened = ForeignForwardChain(family="ip", name="FORWARD", accept_interfaces=("uwg-b+",))
    observed = Observed(
        unreachable_routes=frozenset({LAN, LAN6}),
        firewall="table",
        foreign_forward_chains=(opened,),
        sysctls={FORWARD: "1"},
        originals={FORWARD: "0"},
        node=NODE,
        underlay=Underlay(families=(4,)),
        tunnels=(tunnel("uwg-b0"), tunnel("uwg-b1")),
        routing=ROUTING,
    )

    assert reconcile(desired=Desired(), observed=observed) == (
        StopRouting(),
        RemoveTunnel("uwg-b0"),
        RemoveTunnel("uwg-b1"),
        SetUnderlay(None),
        SetNode(None),
        RestoreSysctl(FORWARD, "0"),
        SetForeignForwardChain(replace(opened, accept_interfaces=())),
        ReplaceFirewall(None),
        RemoveUnreachableRoutes((LAN, LAN6)),
    )


@pytest.mark.feature("G07")
def test_only_what_differs_is_changed() -> None:
    stays, before, after = tunnel("uwg-b0"), tunnel("uwg-b1"), tunnel("uwg-b1", port=63551)
    newer = Routing(daemons=(("bgpd", "router bgp 2\n"),))

    actions = reconcile(
        desired=Desired(firewall="table", tunnels=(stays, after), routing=newer),
        observed=Observed(firewall="table", tunnels=(stays, before), routing=ROUTING),
    )

    assert actions == (ConfigureTunnel(after), ReloadRouting(newer))


@pytest.mark.feature("G07")
def test_what_is_new_is_there_before_what_is_old_goes() -> None:
    new = Routing(daemons=(("bgpd", "router bgp 2\n"),))
    observed = Observed(
        unreachable_routes=frozenset({LAN}),
        node=NODE,
        tunnels=(tunnel("uwg-b0"), tunnel("uwg-b1")),
        routing=ROUTING,
    )
    desired = Desired(
        unreachable_routes=(LAN6,),
        node=NODE,
        tunnels=(tunnel("uwg-b1"), tunnel("uwg-b2")),
        routing=new,
    )

    assert reconcile(desired=desired, observed=observed) == (
        AddUnreachableRoutes((LAN6,)),
        CreateTunnel(tunnel("uwg-b2")),
        ReloadRouting(new),
        RemoveTunnel("uwg-b0"),
        RemoveUnreachableRoutes((LAN,)),
    )


def test_a_tunnel_that_differs_in_anything_is_configured() -> None:
    before = tunnel("uwg-b0", port=63550)
    after = replace(before, mtu=1280)

    actions = reconcile(desired=Desired(tunnels=(after,)), observed=Observed(tunnels=(before,)))

    assert actions == (ConfigureTunnel(after),)


@pytest.mark.feature("G25")
@pytest.mark.parametrize(
    ("name", "hint"),
    [("uno0", "a host is a cell of one UVN at a time"), ("uwg-b0", "`interface` setting")],
)
def test_an_interface_that_uno_does_not_own_is_refused_before_any_action(
    name: str, hint: str
) -> None:
    desired = Desired(node=NODE, tunnels=(tunnel("uwg-b0"),))

    with pytest.raises(UnoError, match=f"interface {name} exists and is not uno's") as refused:
        reconcile(desired=desired, observed=Observed(foreign=frozenset({"eth0", name})))

    assert hint in refused.value.hint


def test_what_a_failed_start_left_is_stopped() -> None:
    left = Observed(routing_leftovers=True)

    assert reconcile(desired=Desired(), observed=left) == (StopRouting(),)
    assert reconcile(desired=Desired(routing=ROUTING), observed=left) == (StartRouting(ROUTING),)


def test_a_port_is_given_up_before_another_interface_takes_it() -> None:
    # As when the first backbone port becomes one higher.
    before = (tunnel("uwg-b0", port=63550), tunnel("uwg-b1", port=63551))
    after = (tunnel("uwg-b0", port=63551), tunnel("uwg-b1", port=63552))

    actions = reconcile(desired=Desired(tunnels=after), observed=Observed(tunnels=before))

    assert actions == (
        RemoveTunnel("uwg-b1"),
        ConfigureTunnel(after[0]),
        CreateTunnel(after[1]),
    )


def test_a_route_is_given_up_before_another_interface_takes_it() -> None:
    before, after = tunnel("uwg-v0", routes=(REGISTRY,)), tunnel("root0", routes=(REGISTRY,))

    actions = reconcile(desired=Desired(tunnels=(after,)), observed=Observed(tunnels=(before,)))

    assert actions == (RemoveTunnel("uwg-v0"), CreateTunnel(after))


def test_the_same_route_in_another_table_does_not_conflict() -> None:
    main = tunnel("uwg-v0", routes=(REGISTRY,))
    aside = replace(tunnel("uwg-v1", routes=(REGISTRY,)), table=7)

    actions = reconcile(desired=Desired(tunnels=(main, aside)), observed=Observed(tunnels=(main,)))

    assert actions == (CreateTunnel(aside),)


def test_the_value_from_before_uno_is_what_undoing_the_first_change_restores() -> None:
    first = Observed(sysctls={FORWARD: "0"})
    later = Observed(sysctls={FORWARD: "2"}, originals={FORWARD: "0"})

    assert inverse(SetSysctl(FORWARD, "1"), first) == RestoreSysctl(FORWARD, "0")
    assert inverse(SetSysctl(FORWARD, "1"), later) == SetSysctl(FORWARD, "2")
    assert inverse(RestoreSysctl(FORWARD, "0"), later) == SetSysctl(FORWARD, "2")


def test_routing_is_restored_to_what_it_was() -> None:
    ran, newer = Observed(routing=ROUTING), Routing(daemons=(("bgpd", "!\n"),))

    assert inverse(StartRouting(newer), Observed()) == StopRouting()
    assert inverse(ReloadRouting(newer), ran) == ReloadRouting(ROUTING)
    assert inverse(StopRouting(), ran) == StartRouting(ROUTING)
    assert inverse(StopRouting(), Observed(routing_leftovers=True)) == StopRouting()


@pytest.mark.feature("F084")
def test_what_is_left_of_routing_goes_on_where_its_repair_fails() -> None:
    assert inverse(StartRouting(ROUTING), Observed(routing_leftovers=True)) is None


@pytest.mark.feature("G51")
def test_an_optional_parameter_that_cannot_be_set_is_left_and_others_are_tried() -> None:
    spread = "net.ipv4.fib_multipath_hash_policy"
    desired = Desired(sysctls=((FORWARD, "1"), (spread, "1")), optional=frozenset({spread}))
    values = {FORWARD: "0", spread: "0"}

    left = reconcile(
        desired=desired, observed=Observed(sysctls=values, fixed=frozenset({FORWARD, spread}))
    )
    absent = reconcile(
        desired=desired,
        observed=Observed(
            sysctls={FORWARD: "1"}, originals={FORWARD: "1"}, fixed=frozenset({spread})
        ),
    )

    assert left == (SetSysctl(FORWARD, "1"),)
    assert absent == ()
    assert reconcile(desired=desired, observed=Observed(sysctls=values)) == (
        SetSysctl(FORWARD, "1"),
        SetSysctl(spread, "1"),
    )
