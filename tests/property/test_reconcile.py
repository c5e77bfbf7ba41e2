"""From any state of a host to any other: it gets there, once, in a safe order, or not at all."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uno.host.fake.fake_host import FakeHost
from uno.model.key_ids import Secret
from uno.model.net import Network, network_order
from uno.model.tunnel import Peer, Tunnel
from uno.ports.host import (
    Action,
    AddUnreachableRoutes,
    ConfigureTunnel,
    CreateTunnel,
    Desired,
    ForeignForwardChain,
    HostRoute,
    Nic,
    NodeInterface,
    Observed,
    ReloadRouting,
    RemoveTunnel,
    RemoveUnreachableRoutes,
    ReplaceFirewall,
    RestoreSysctl,
    Routing,
    SetForeignForwardChain,
    SetSysctl,
    StartRouting,
    StopRouting,
    Underlay,
)
from uno.reconcile.apply import ActionFailed, apply, describe
from uno.reconcile.host_diff import inverse, reconcile

NICS = (
    Nic(name="eth0", addresses=(IPv4Interface("192.0.2.7/24"),)),
    Nic(name="br-lan", addresses=(IPv4Interface("192.168.1.1/24"),), up=False),
)
FOREIGN_CHAINS = (
    ForeignForwardChain(family="ip", name="DOCKER-USER"),
    ForeignForwardChain(family="ip6", name="FORWARD"),
)
ACCEPT_RA = "net.ipv6.conf.eth0.accept_ra"
SYSCTLS = (
    ACCEPT_RA,
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
)
NOTHING = Desired()


def secrets() -> st.SearchStrategy[Secret]:
    """Draw private keys in the form that WireGuard keeps them in (RFC 7748, section 5)."""
    return st.binary(min_size=32, max_size=32).map(
        lambda raw: Secret(
            b64encode(bytes([raw[0] & 248, *raw[1:31], raw[31] & 127 | 64])).decode()
        )
    )


def public_keys() -> st.SearchStrategy[str]:
    return st.binary(min_size=32, max_size=32).map(lambda raw: b64encode(raw).decode())


def networks(*, max_size: int) -> st.SearchStrategy[tuple[Network, ...]]:
    pool: list[Network] = [IPv4Network((10 << 24 | n << 8, 24)) for n in range(4)]
    pool += [IPv6Network((0xFD << 120 | n << 64, 64)) for n in range(4)]
    return st.sets(st.sampled_from(pool), max_size=max_size).map(
        lambda chosen: tuple(sorted(chosen, key=network_order))
    )


@st.composite
def peers(draw: st.DrawFn) -> Peer:
    return Peer(
        public_key=draw(public_keys()),
        psk=draw(st.none() | secrets()),
        endpoint=draw(st.sampled_from([None, "gw.example.org:63550", "[2001:db8::1]:63550"])),
        allowed_ips=draw(networks(max_size=2)),
        keepalive=draw(st.sampled_from([0, 25])),
    )


@st.composite
def tunnel_sets(draw: st.DrawFn) -> tuple[Tunnel, ...]:
    """Draw tunnels that share no port and no route, as those of a plan."""
    names = sorted(draw(st.sets(st.sampled_from([f"uwg-b{n}" for n in range(4)]), max_size=3)))
    ports = draw(st.lists(st.integers(63550, 63553), min_size=3, max_size=3, unique=True))
    free = list(draw(networks(max_size=4)))
    tunnels = []
    for name, port in zip(names, ports, strict=False):
        routes = [free.pop() for _ in range(draw(st.integers(0, len(free))))]
        found = draw(st.lists(peers(), max_size=2, unique_by=lambda peer: peer.public_key))
        tunnels.append(
            Tunnel(
                name=name,
                private_key=draw(secrets()),
                mtu=draw(st.sampled_from([1280, 1420])),
                addresses=draw(
                    st.sampled_from(
                        [(), (IPv4Interface("10.9.0.2/31"), IPv6Interface("fd09::2/127"))]
                    )
                ),
                peers=tuple(sorted(found, key=lambda peer: peer.public_key)),
                port=draw(st.none() | st.just(port)),
                routes=tuple(sorted(routes, key=network_order)),
                table=draw(st.sampled_from([None, 0x10012345])),
            )
        )
    return tuple(tunnels)


def underlays() -> st.SearchStrategy[Underlay]:
    """Draw routes of WireGuard's own packets."""
    routes = networks(max_size=2).map(
        lambda chosen: tuple(HostRoute(destination=each, interface="eth0") for each in chosen)
    )
    return st.builds(Underlay, routes=routes, families=st.sampled_from([(4,), (4, 6)]))


@st.composite
def plans(draw: st.DrawFn) -> Desired:
    """Draw what a cell's plan comes to: a firewall, a node and routing, always."""
    values = draw(st.dictionaries(st.sampled_from(SYSCTLS), st.just("1")))
    if ACCEPT_RA in values:
        values[ACCEPT_RA] = "2"
    return Desired(
        unreachable_routes=draw(networks(max_size=4)),
        firewall=draw(st.sampled_from([f"table inet uno {{\n  set {n} {{}}\n}}\n" for n in "ab"])),
        accept_interfaces=draw(st.sampled_from([(), ("uwg-b+",), ("uwg-b+", "uwg-v+")])),
        sysctls=tuple(values.items()),
        node=NodeInterface(
            name=draw(st.sampled_from(["uno0", "uno1"])),
            addresses=draw(st.sampled_from([(IPv4Interface("10.9.9.1"),), ()])),
            blackhole_routes=draw(networks(max_size=1)),
        ),
        underlay=draw(underlays()),
        tunnels=draw(tunnel_sets()),
        routing=Routing(
            daemons=(("zebra", "!\n"), ("bgpd", draw(st.sampled_from(["router bgp 1\n", "!\n"]))))
        ),
    )


def states() -> st.SearchStrategy[Desired]:
    """Draw what uno owns on a host: nothing, or what a plan comes to."""
    return st.just(NOTHING) | plans()


@given(before=states(), wanted=states())
def test_one_pass_reaches_the_plan(before: Desired, wanted: Desired) -> None:
    host = host_as(before)

    change(host, wanted)

    there = observe(host, wanted)
    assert there.unreachable_routes == set(wanted.unreachable_routes)
    assert there.firewall == wanted.firewall
    assert {chain.accept_interfaces for chain in there.foreign_forward_chains} == {
        wanted.accept_interfaces
    }
    assert there.node == wanted.node
    assert there.tunnels == wanted.tunnels
    assert there.routing == wanted.routing
    assert dict(wanted.sysctls).items() <= there.sysctls.items()
    assert there.originals.keys() <= dict(wanted.sysctls).keys()


@given(before=states(), wanted=states())
def test_a_second_pass_does_nothing(before: Desired, wanted: Desired) -> None:
    host = host_as(before)
    change(host, wanted)

    assert steps(host, wanted) == ()


@pytest.mark.feature("G25")
@given(before=plans())
def test_wanting_nothing_takes_all_away_and_leaves_the_host_as_it_was(before: Desired) -> None:
    host = host_as(before)

    change(host, NOTHING)

    assert str(host) == str(host_as(NOTHING))


@settings(max_examples=30)
@given(before=states(), wanted=states())
def test_a_failure_at_any_step_leaves_the_host_as_it_was(before: Desired, wanted: Desired) -> None:
    count = len(steps(host_as(before), wanted))

    for number in range(1, count + 1):
        for halfway in (False, True):
            host = host_as(before)
            shown, found = str(host), observe(host, wanted)
            host.fail_at(number, halfway=halfway)
            with pytest.raises(ActionFailed) as failed:
                change(host, wanted)

            assert failed.value.undone
            assert str(host) == shown
            assert observe(host, wanted) == found


@settings(max_examples=30)
@given(before=states(), wanted=plans(), halfway=st.booleans())
def test_an_interrupt_at_any_step_leaves_the_host_as_it_was(
    before: Desired,
    wanted: Desired,
    halfway: bool,  # noqa: FBT001 - Hypothesis calls by name
) -> None:
    for number in range(1, len(steps(host_as(before), wanted)) + 1):
        host = host_as(before)
        shown = str(host)
        host.fail_at(number, halfway=halfway, error=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            change(host, wanted)

        assert str(host) == shown


@given(before=states(), wanted=states())
def test_undoing_what_undid_a_step_is_that_step(before: Desired, wanted: Desired) -> None:
    host = host_as(before)

    for action in steps(host, wanted):
        earlier = host.observe(SYSCTLS)
        host.perform(action)
        assert inverse(inverse(action, earlier), host.observe(SYSCTLS)) == action


@pytest.mark.feature("G28")
@given(wanted=plans())
def test_what_blocks_leaks_comes_before_what_attracts_traffic(wanted: Desired) -> None:
    host = host_as(NOTHING)

    up = steps(host, wanted)
    change(host, wanted)
    down = steps(host, NOTHING)

    assert ranks(up) == sorted(ranks(up))
    assert ranks(down) == sorted(ranks(down), reverse=True)


@pytest.mark.feature("G28")
@given(before=plans(), wanted=plans())
def test_no_change_of_plan_opens_a_gap(before: Desired, wanted: Desired) -> None:
    host = host_as(before)
    kept = set(before.unreachable_routes) & set(wanted.unreachable_routes)

    for action in steps(host, wanted):
        host.perform(action)
        there = host.observe(())
        assert there.firewall is not None
        assert there.unreachable_routes >= kept
        assert there.routing is not None


@pytest.mark.feature("G07")
@given(before=plans(), wanted=plans())
def test_a_tunnel_that_stays_as_it_is_is_not_touched(before: Desired, wanted: Desired) -> None:
    stays = {tunnel.name for tunnel in before.tunnels if tunnel in wanted.tunnels}

    touched = {tunnel_of(action) for action in steps(host_as(before), wanted)}

    assert not stays & touched


@given(before=states(), wanted=states())
def test_nothing_that_is_printed_shows_a_secret(before: Desired, wanted: Desired) -> None:
    host = host_as(before)
    hidden = {secret.reveal for state in (before, wanted) for secret in secrets_of(state)}
    actions = steps(host, wanted)
    shown = [repr(wanted), repr(observe(host, wanted)), repr(actions), *map(describe, actions)]
    if actions:
        host.fail_at(len(actions), halfway=True)
        with pytest.raises(ActionFailed) as failed:
            change(host, wanted)
        shown += [str(failed.value), repr(failed.value.action)]
    change(host, wanted)
    text = "\n".join([*shown, str(host), repr(host.performed), repr(host.peer_status())])

    assert not any(secret in text for secret in hidden)


def host_as(state: Desired) -> FakeHost:
    host = FakeHost(nics=NICS)
    host.foreign_forward_chains = list(FOREIGN_CHAINS)
    change(host, state)
    return host


def change(host: FakeHost, wanted: Desired) -> None:
    observed = observe(host, wanted)
    apply(host, reconcile(desired=wanted, observed=observed), observed=observed)


def steps(host: FakeHost, wanted: Desired) -> tuple[Action, ...]:
    return reconcile(desired=wanted, observed=observe(host, wanted))


def observe(host: FakeHost, wanted: Desired) -> Observed:
    return host.observe(tuple(key for key, _ in wanted.sysctls))


def ranks(actions: tuple[Action, ...]) -> list[int]:
    """Return how far from the outside each action is; a host's own addresses lead nowhere."""
    order: tuple[tuple[type, ...], ...] = (
        (AddUnreachableRoutes, RemoveUnreachableRoutes),
        (ReplaceFirewall,),
        (SetForeignForwardChain,),
        (CreateTunnel, ConfigureTunnel, RemoveTunnel, SetSysctl, RestoreSysctl),
        (StartRouting, ReloadRouting, StopRouting),
    )
    return [
        place
        for action in actions
        for place, kinds in enumerate(order)
        if isinstance(action, kinds)
    ]


def tunnel_of(action: Action) -> str | None:
    match action:
        case CreateTunnel(tunnel) | ConfigureTunnel(tunnel):
            return tunnel.name
        case RemoveTunnel(name):
            return name
        case _:
            return None


def secrets_of(state: Desired) -> list[Secret]:
    psks = [peer.psk for tunnel in state.tunnels for peer in tunnel.peers]
    return [tunnel.private_key for tunnel in state.tunnels] + [psk for psk in psks if psk]
