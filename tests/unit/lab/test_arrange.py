"""The world around a definition, as text that `ip` and `nft` read."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from msgspec.structs import replace

from uno.diagnostics import UnoError
from uno.lab.arrange import arrange
from uno.lab.world_layout import SERVER_NAME, Role, Station, WorldLayout
from uno.model import codec
from uno.model.net import network
from uno.model.uvn import Cell, CellSettings, Particle, Uvn

OWNER = "john@example.org"


def test_every_lan_has_a_router_and_its_hosts() -> None:
    layout = arrange(uvn(public("a", "192.168.1.0/24"), private("b", "192.168.2.0/24")))

    assert [s.name for s in layout.having(Role.ROUTER)] == ["a-router", "b-router"]
    assert [s.name for s in layout.having(Role.HOST)] == [
        "a-host1",
        "a-host2",
        "b-host1",
        "b-host2",
    ]
    assert station(layout, "a-host1").addresses == (IPv4Address("192.168.1.11"),)
    assert "route add default via 192.168.1.1" in station(layout, "a-host1").commands


def test_a_public_cell_in_its_lan_is_seen_at_its_router_which_forwards_its_ports() -> None:
    layout = arrange(uvn(public("a", "192.168.1.0/24")))

    router = station(layout, "a-router")
    assert layout.names["a.example.net"] == router.public == station(layout, "a").public
    assert "udp dport { 63447, 63448, 63449, 63550-63805 } dnat to 192.168.1.2" in router.ruleset
    assert "route add default via 192.168.1.1" in station(layout, "a").commands


def test_a_private_cell_is_behind_a_router_that_forwards_nothing() -> None:
    layout = arrange(uvn(public("a", "192.168.1.0/24"), private("b", "192.168.2.0/24")))

    router = station(layout, "b-router")
    assert "dnat" not in router.ruleset.replace("ct status dnat", "")
    assert "masquerade" in router.ruleset
    assert station(layout, "b").public == router.public


def test_every_second_public_cell_is_on_the_internet_itself() -> None:
    layout = arrange(uvn(public("a", "192.168.1.0/24"), public("b", "192.168.2.0/24")))

    cell = station(layout, "b")
    assert cell.addresses[0] == IPv4Address("192.168.2.2")
    assert cell.public in cell.addresses
    assert "dnat to" not in station(layout, "b-router").ruleset
    assert "route add default via 192.168.2.1" not in cell.commands


def test_the_cells_on_the_internet_can_be_chosen() -> None:
    definition = uvn(public("a", "192.168.1.0/24"), public("b", "192.168.2.0/24"))

    layout = arrange(definition, direct=frozenset({"a"}))

    assert station(layout, "a").public in station(layout, "a").addresses
    assert station(layout, "b").public not in station(layout, "b").addresses


def test_a_roaming_cell_has_no_lan() -> None:
    layout = arrange(uvn(public("relay")))

    assert layout.having(Role.ROUTER, cell="relay") == ()
    assert layout.names["relay.example.net"] == station(layout, "relay").public


@pytest.mark.feature("F015")
def test_a_router_sends_what_is_for_the_uvn_to_the_cell() -> None:
    layout = arrange(uvn(public("a", "192.168.1.0/24"), private("b", "192.168.2.0/24")))

    assert [c for c in station(layout, "a-router").commands if "via 192.168.1.2" in c] == [
        "route add 192.168.2.0/24 via 192.168.1.2",
        "route add 10.255.192.0/20 via 192.168.1.2",
        "route add 10.254.0.0/16 via 192.168.1.2",
        "route add 10.255.128.0/22 via 192.168.1.2",
    ]


def test_the_first_lans_of_both_families_are_one_wire() -> None:
    layout = arrange(uvn(public("a", "192.168.1.0/24", "2001:db8:1::/64", "192.168.9.0/24")))

    assert station(layout, "a-host1").addresses == (
        IPv4Address("192.168.1.11"),
        IPv6Address("2001:db8:1::b"),
    )
    assert station(layout, "a-host3").addresses == (IPv4Address("192.168.9.11"),)
    router6 = next(a for a in station(layout, "a-router").addresses if a in PUBLIC6)
    assert f"route add 2001:db8:1::/64 via {router6}" in station(layout, "internet").commands


def test_a_unique_local_lan_is_unknown_to_the_internet() -> None:
    layout = arrange(uvn(public("a", "192.168.1.0/24", "fd00:1::/64")))

    assert not [c for c in station(layout, "internet").commands if "fd00:1::" in c]


def test_a_cell_with_an_ipv6_lan_alone_still_gets_out_with_ipv4() -> None:
    layout = arrange(uvn(private("a", "2001:db8:1::/64"), public("b", "192.168.2.0/24")))

    assert [item.version for item in station(layout, "a").addresses] == [4, 6]


def test_a_small_lan_has_the_hosts_that_fit() -> None:
    layout = arrange(uvn(public("a", "192.168.1.0/29"), private("b", "192.168.2.0/30")))

    assert station(layout, "a-host2").addresses == (IPv4Address("192.168.1.4"),)
    assert layout.having(Role.HOST, cell="b") == ()


@pytest.mark.feature("G40")
def test_a_host_without_an_address_in_a_small_lan_has_no_route_out_by_it() -> None:
    layout = arrange(uvn(public("a", "192.168.1.0/24"), private("b", "10.0.0.0/30", "fd00:1::/64")))

    host = station(layout, "b-host1")
    assert [item.version for item in host.addresses] == [6]
    assert [c for c in host.commands if "default" in c] == ["route add default via fd00:1::1"]


def test_a_lan_without_room_for_a_cell_is_refused() -> None:
    with pytest.raises(UnoError, match=r"192\.168\.1\.0/31 has no room"):
        arrange(uvn(public("a", "192.168.1.0/31")))


def test_particles_are_on_the_internet_and_in_a_cafe_by_turns() -> None:
    particles = tuple(Particle(id=n, name=f"p{n}", owner=OWNER) for n in (1, 2, 3))

    layout = arrange(replace(uvn(public("a")), particles=particles))

    on_internet = {s.name for s in layout.having(Role.PARTICLE) if s.public in s.addresses}
    assert on_internet == {"p1", "p3"}
    assert station(layout, "p2").public == station(layout, "cafe").public


def test_an_endpoint_that_is_an_address_is_where_the_cell_is() -> None:
    cell = replace(public("a", "192.168.1.0/24"), address="192.0.2.99")

    layout = arrange(uvn(cell))

    assert station(layout, "a-router").public == IPv4Address("192.0.2.99")
    assert set(layout.names) == {"registry.example.net", SERVER_NAME}


def test_an_endpoint_that_is_an_ipv6_address_is_on_the_internet_itself() -> None:
    there = IPv6Address("2001:db8:5::1")
    cell = replace(public("a", "192.168.1.0/24"), address=str(there))

    layout = arrange(uvn(cell))

    assert station(layout, "a").public == there
    assert f"addr add {there}/128 dev wan nodad" in station(layout, "a").commands
    assert there not in station(layout, "a-router").addresses
    assert f"route add {there} dev p1" in station(layout, "internet").commands
    assert layout.names.keys() == {"registry.example.net", SERVER_NAME}


def test_where_an_endpoint_is_an_ipv6_address_every_cell_has_ipv6() -> None:
    far = replace(public("a", "192.168.1.0/24"), address="2001:db8:5::1")
    there, without = (
        arrange(uvn(cell, private("b", "192.168.2.0/24"), private("c", "2001:db8:3::/64")))
        for cell in (far, public("a", "192.168.1.0/24"))
    )

    cell, router = station(there, "b"), station(there, "b-router")
    assert "addr add 2001:db8:fffe::2/64 dev lan0 nodad" in cell.commands
    assert "route replace default via 2001:db8:fffe::1" in cell.commands
    assert "addr add 2001:db8:fffe::1/64 dev lan0 nodad" in router.commands
    via = next(each for each in router.addresses if each in PUBLIC6)
    assert f"route add 2001:db8:fffe::/64 via {via}" in station(there, "internet").commands
    assert [each.version for each in station(there, "b-host1").addresses] == [4]
    assert station(there, "c").commands == station(without, "c").commands
    assert "fffe" not in "".join(station(without, "b").commands)


def test_no_spare_address_is_in_use() -> None:
    cells = [replace(public(name), address=f"203.0.113.{n}") for n, name in enumerate("abc", 1)]

    layout = arrange(uvn(*cells))

    outside = [item for s in layout.stations for item in s.addresses if item.version == 4]
    assert len(outside) == len(set(outside))


def test_a_registry_at_a_cells_address_is_on_that_cell() -> None:
    layout = arrange(replace(uvn(public("a")), address="a.example.net"))

    assert layout.registry == "a"
    assert layout.having(Role.REGISTRY) == ()


@pytest.mark.parametrize("loopback", [True, False])
def test_cells_at_one_address_are_behind_one_router(*, loopback: bool) -> None:
    own = CellSettings(root_vpn_port=50001, particles_vpn_port=50002, backbone_vpn_port=51000)
    relay = replace(public("b"), address="a.example.net", settings=own)

    layout = arrange(uvn(public("a", "192.168.1.0/24"), relay), loopback=loopback)

    (router,) = layout.having(Role.ROUTER)
    a, b = layout.having(Role.CELL)
    assert a.public == b.public == router.public == layout.names["a.example.net"]
    for cell, ports in ((a, "63447, 63448, 63449, 63550-63805"), (b, "50001")):
        (line,) = [
            line
            for line in router.ruleset.splitlines()
            if f"dnat to {cell.addresses[0]}" in line and "iifname wan" in line
        ]
        assert ports in line
    assert (f"ip daddr {router.public} udp dport" in router.ruleset) == loopback


def test_a_second_cell_with_a_lan_behind_one_address_is_refused() -> None:
    second = replace(public("b", "192.168.2.0/24"), address="a.example.net")
    with pytest.raises(UnoError, match=r"behind the one address a\.example\.net"):
        arrange(uvn(public("a", "192.168.1.0/24"), second))


def test_a_lan_in_the_labs_own_internet_is_refused() -> None:
    with pytest.raises(UnoError, match=r"needs 203\.0\.113\.0/24"):
        arrange(uvn(public("a", "203.0.113.128/25")))


def test_a_cell_called_as_a_node_of_the_lab_is_refused() -> None:
    with pytest.raises(UnoError, match="two nodes of the lab would be called server"):
        arrange(uvn(public("server")))


def test_excluded_cells_are_left_out() -> None:
    layout = arrange(uvn(public("a"), replace(public("b"), excluded=True)))

    assert [s.name for s in layout.having(Role.CELL)] == ["a"]


def test_the_same_definition_gives_the_same_world_and_it_can_be_written_down() -> None:
    definition = uvn(public("a", "192.168.1.0/24"), private("b", "192.168.2.0/24"))

    layout = arrange(definition)

    assert arrange(definition) == layout
    assert codec.decode(codec.encode(layout), WorldLayout) == layout


PUBLIC6 = IPv6Network("2001:db8:ffff::/64")


def uvn(*cells: Cell) -> Uvn:
    numbered = tuple(replace(cell, id=number) for number, cell in enumerate(cells, start=1))
    return Uvn(
        name="test",
        identity="0" * 32,
        owner=OWNER,
        address="registry.example.net",
        cells=numbered,
    )


def public(name: str, *lans: str) -> Cell:
    return replace(private(name, *lans), address=f"{name}.example.net")


def private(name: str, *lans: str) -> Cell:
    return Cell(id=1, name=name, owner=OWNER, allowed_lans=tuple(map(network, lans)))


def station(layout: WorldLayout, name: str) -> Station:
    return next(s for s in layout.stations if s.name == name)
