"""The fake host: what it refuses, what it forgives, what it prints."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface

import pytest
from msgspec.structs import replace

from uno.diagnostics import UnoError
from uno.host.fake.fake_host import FakeHost
from uno.model.key_ids import Secret
from uno.model.tunnel import Peer, Tunnel
from uno.ports.host import (
    Action,
    AddUnreachableRoutes,
    ConfigureTunnel,
    CreateTunnel,
    ForeignForwardChain,
    HostRoute,
    Nic,
    NodeInterface,
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

ETH0 = Nic(name="eth0", addresses=(IPv4Interface("192.0.2.7/24"),))
PEER = Peer(
    public_key=b64encode(bytes([7] * 32)).decode(),
    psk=Secret(b64encode(bytes([9] * 32)).decode()),
    endpoint="gw.example.org:63550",
    allowed_ips=(IPv4Network("0.0.0.0/0"),),
    keepalive=25,
)
TUNNEL = Tunnel(
    name="uwg-b0",
    private_key=Secret(b64encode(bytes([8] * 31 + [72])).decode()),
    mtu=1320,
    addresses=(IPv4Interface("10.255.192.2/31"), IPv6Interface("fd00::2/127")),
    peers=(PEER,),
    port=63550,
    mark=0xB7,
    routes=(IPv4Network("10.255.128.1/32"),),
)
NODE = NodeInterface(name="uno0", addresses=(IPv4Interface("10.255.128.2"),))
ROUTING = Routing(daemons=(("zebra", "!\n"), ("bgpd", "router bgp 4200000001\n")))
RULES = "table inet uno {\n  chain forward {\n  }\n}\n"
LAN = IPv4Network("192.168.2.0/24")
UNDERLAY = Underlay(
    routes=(HostRoute(destination=LAN, interface="eth0", gateway=IPv4Address("192.0.2.1")),)
)
FORWARD = "net.ipv4.ip_forward"
FOREIGN_CHAIN = ForeignForwardChain(family="ip", name="DOCKER-USER")

NOTHING = """\
link eth0
addr 192.0.2.7/24 dev eth0
sysctl net.ipv4.conf.all.accept_redirects = 1
sysctl net.ipv4.conf.default.forwarding = 0
sysctl net.ipv4.conf.eth0.forwarding = 0
sysctl net.ipv4.fib_multipath_hash_policy = 0
sysctl net.ipv4.ip_forward = 0
sysctl net.ipv6.conf.all.forwarding = 0
sysctl net.ipv6.conf.default.accept_ra = 1
sysctl net.ipv6.conf.default.forwarding = 0
sysctl net.ipv6.conf.eth0.accept_ra = 1
sysctl net.ipv6.conf.eth0.forwarding = 0
sysctl net.ipv6.fib_multipath_hash_policy = 0
"""
EVERYTHING = """\
link eth0
addr 192.0.2.7/24 dev eth0
route unreachable 192.168.2.0/24
rule 4 underlay
rule 6 underlay
route underlay 192.168.2.0/24 via 192.0.2.1 dev eth0
link uno0 mtu 1500
addr 10.255.128.2/32 dev uno0
link uwg-b0 mtu 1320
addr 10.255.192.2/31 dev uwg-b0
addr fd00::2/127 dev uwg-b0
route 10.255.128.1/32 dev uwg-b0
wg uwg-b0 public-key MdSras7slhE3kXA3k25gcW+sVzr+lNnahKgCBEjfwRI= listen-port 63550 \
fwmark 0xb7
wg uwg-b0 peer BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc= endpoint gw.example.org:63550 \
allowed-ips 0.0.0.0/0 keepalive 25 preshared-key (hidden)
sysctl net.ipv4.conf.all.accept_redirects = 0
sysctl net.ipv4.conf.default.forwarding = 1
sysctl net.ipv4.conf.eth0.forwarding = 1
sysctl net.ipv4.fib_multipath_hash_policy = 0
sysctl net.ipv4.ip_forward = 1
sysctl net.ipv6.conf.all.forwarding = 0
sysctl net.ipv6.conf.default.accept_ra = 1
sysctl net.ipv6.conf.default.forwarding = 0
sysctl net.ipv6.conf.eth0.accept_ra = 1
sysctl net.ipv6.conf.eth0.forwarding = 0
sysctl net.ipv6.fib_multipath_hash_policy = 0
nft table inet uno {
nft   chain forward {
nft   }
nft }
ip chain DOCKER-USER accepts uwg-b+
original net.ipv4.ip_forward = 0
zebra: !
bgpd: router bgp 4200000001
"""


def test_it_prints_what_is_there_and_no_secret() -> None:
    host = FakeHost(nics=[ETH0])
    assert str(host) == NOTHING
    host.foreign_forward_chains = [FOREIGN_CHAIN]

    do(
        host,
        AddUnreachableRoutes((LAN,)),
        ReplaceFirewall(RULES),
        SetForeignForwardChain(replace(FOREIGN_CHAIN, accept_interfaces=("uwg-b+",))),
        SetNode(NODE),
        SetUnderlay(UNDERLAY),
        CreateTunnel(TUNNEL),
        SetSysctl(FORWARD, "1"),
        StartRouting(ROUTING),
    )

    assert str(host) == EVERYTHING


def test_everything_can_be_removed_and_removed_again() -> None:
    host = FakeHost(nics=[ETH0])
    do(
        host,
        AddUnreachableRoutes((LAN,)),
        ReplaceFirewall(RULES),
        SetNode(NODE),
        SetUnderlay(UNDERLAY),
        CreateTunnel(TUNNEL),
    )
    do(host, SetSysctl(FORWARD, "1"), StartRouting(ROUTING))

    for _ in range(2):
        do(host, StopRouting(), RestoreSysctl(FORWARD, "0"), RemoveTunnel("uwg-b0"))
        do(
            host,
            SetUnderlay(None),
            SetNode(None),
            ReplaceFirewall(None),
            RemoveUnreachableRoutes((LAN,)),
        )

        assert str(host) == NOTHING


@pytest.mark.parametrize(
    ("action", "refusal"),
    [
        (CreateTunnel(TUNNEL), "ip link add uwg-b0: File exists"),
        (CreateTunnel(replace(TUNNEL, name="eth0")), "ip link add eth0: File exists"),
        (CreateTunnel(replace(TUNNEL, name="uno0")), "ip link add uno0: File exists"),
        (CreateTunnel(replace(TUNNEL, name="uwg-b1")), "Address already in use"),
        (CreateTunnel(replace(TUNNEL, name="a-name-too-long1", port=1)), "not a valid ifname"),
        (ConfigureTunnel(replace(TUNNEL, name="uwg-b1")), 'Cannot find device "uwg-b1"'),
        (ConfigureTunnel(replace(TUNNEL, mtu=1279)), "fd00::2/127 dev uwg-b0: Invalid argument"),
        (
            ConfigureTunnel(replace(TUNNEL, private_key=Secret("x"))),
            "Key is not the correct length",
        ),
        (
            ConfigureTunnel(replace(TUNNEL, addresses=2 * TUNNEL.addresses[:1])),
            "10.255.192.2/31 dev uwg-b0: Address already assigned",
        ),
        (SetNode(replace(NODE, name="eth0")), "ip link add eth0: File exists"),
        (SetNode(replace(NODE, addresses=2 * NODE.addresses)), "Address already assigned"),
        (SetSysctl("net.ipv4.no_such", "1"), "cannot read the kernel parameter net.ipv4.no_such"),
        (SetSysctl(FORWARD, "yes"), "Invalid argument"),
        (SetSysctl("net.ipv6.conf.all.forwarding", "1"), "Read-only file system"),
        (SetForeignForwardChain(FOREIGN_CHAIN), "there is no chain DOCKER-USER"),
        (ReloadRouting(ROUTING), "failed to connect to any daemons"),
        (ReplaceFirewall("table inet filter {\n}\n"), "not uno's one table but table inet filter"),
        (ReplaceFirewall(RULES + "table ip nat {\n}\n"), "not uno's one table"),
        (ReplaceFirewall("flush ruleset\n"), "not uno's one table but none"),
        (ReplaceFirewall(RULES[:-2]), "syntax error"),
    ],
)
def test_what_linux_refuses_is_refused(action: Action, refusal: str) -> None:
    host = FakeHost(nics=[ETH0], fixed=["net.ipv6.conf.all.forwarding"])
    do(host, SetNode(NODE), CreateTunnel(TUNNEL))

    with pytest.raises(UnoError) as refused:
        host.perform(action)

    assert refusal in str(refused.value)


@pytest.mark.feature("G25")
def test_an_interface_that_is_not_unos_is_never_removed() -> None:
    host = FakeHost(nics=[ETH0])

    host.perform(RemoveTunnel("eth0"))

    assert host.facts().nics == (ETH0,)
    assert host.observe(()).foreign == {"lo", "eth0"}


def test_a_key_is_kept_clamped_as_wireguard_keeps_it() -> None:
    host = FakeHost()

    host.perform(
        CreateTunnel(replace(TUNNEL, private_key=Secret(b64encode(b"\xff" * 32).decode())))
    )

    (tunnel,) = host.observe(()).tunnels
    clamped = b"\xf8" + b"\xff" * 30 + b"\x7f"
    assert tunnel.private_key.reveal == b64encode(clamped).decode()


def test_a_prefix_is_routed_into_one_interface_at_a_time() -> None:
    host = FakeHost()
    do(host, CreateTunnel(TUNNEL), CreateTunnel(replace(TUNNEL, name="uwg-b1", port=None)))

    first, second = host.observe(()).tunnels

    assert (first.routes, second.routes) == ((), TUNNEL.routes)


def test_routing_that_stopped_half_way_is_left_over_and_no_longer_running() -> None:
    host = FakeHost()
    host.perform(StartRouting(ROUTING))
    host.fail_at(1, halfway=True)

    with pytest.raises(UnoError, match="injected failure"):
        host.perform(StopRouting())

    observed = host.observe(())
    assert (observed.routing, observed.routing_leftovers) == (None, True)


@pytest.mark.parametrize("halfway", [False, True])
def test_it_fails_once_at_the_requested_action(halfway: bool) -> None:  # noqa: FBT001
    host = FakeHost()
    host.fail_at(2, halfway=halfway)
    prefixes = IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24")

    host.perform(SetNode(NODE))
    with pytest.raises(UnoError, match="injected failure"):
        host.perform(AddUnreachableRoutes(prefixes))

    assert host.observe(()).unreachable_routes == set(prefixes[:1] if halfway else ())
    host.perform(AddUnreachableRoutes(prefixes))
    assert host.observe(()).unreachable_routes == set(prefixes)


def test_the_values_from_before_uno_outlive_later_changes() -> None:
    host = FakeHost()
    do(host, SetSysctl(FORWARD, "2"), SetSysctl(FORWARD, "1"))

    observed = host.observe(())

    assert (observed.sysctls, observed.originals) == ({FORWARD: "1"}, {FORWARD: "0"})


def test_interfaces_come_and_go_with_their_parameters() -> None:
    host = FakeHost(nics=[ETH0])
    key = "net.ipv6.conf.eth0.accept_ra"
    host.perform(SetSysctl(key, "2"))

    host.unplug("eth0")

    assert host.observe(()).originals == {}
    assert host.observe((key,)).sysctls == {}
    with pytest.raises(UnoError, match="No such file"):
        host.perform(SetSysctl(key, "2"))
    host.plug(ETH0)
    assert host.observe(()).originals == {key: "1"}


def test_forwarding_changes_more_than_itself() -> None:
    host = FakeHost(nics=[ETH0])
    assert host.advertise("eth0")
    host.perform(SetSysctl(FORWARD, "1"))
    host.perform(SetSysctl("net.ipv6.conf.all.forwarding", "1"))

    (nic,) = host.facts().nics
    assert not nic.has_default_route
    assert not host.advertise("eth0")
    assert host.observe(("net.ipv4.conf.eth0.forwarding",)).sysctls == {
        FORWARD: "1",
        "net.ipv4.conf.eth0.forwarding": "1",
        "net.ipv6.conf.all.forwarding": "1",
    }


def test_an_interface_that_accepts_advertisements_while_it_forwards_keeps_its_route() -> None:
    host = FakeHost(nics=[ETH0])
    host.sysctl("net.ipv6.conf.eth0.accept_ra", "2")
    assert host.advertise("eth0")
    host.sysctl("net.ipv6.conf.all.forwarding", "1")

    assert host.facts().nics[0].has_default_route
    assert host.advertise("eth0")


def test_it_answers_what_it_was_given_to_answer() -> None:
    host = FakeHost()
    session = SessionStatus(neighbor="10.255.192.3", state="Established", prefixes=2, bfd="up")
    host.sessions, host.handshakes = (session,), {PEER.public_key: 1700000000}
    assert (host.wireguard_kind(), host.session_status(), host.peer_status()) == ("none", (), {})

    do(host, CreateTunnel(TUNNEL), StartRouting(ROUTING))
    host.initiate_handshake("uwg-b0", PEER)
    host.remove_state()

    assert (host.wireguard_kind(), host.session_status()) == ("fake", (session,))
    assert [peer.handshake for peer in host.peer_status()["uwg-b0"]] == [1700000000]
    assert host.handshakes_initiated == [("uwg-b0", PEER)]
    assert host.state_removed
    with pytest.raises(UnoError, match="Cannot find device"):
        host.initiate_handshake("uwg-b9", PEER)


def do(host: FakeHost, *actions: Action) -> None:
    for action in actions:
        host.perform(action)
