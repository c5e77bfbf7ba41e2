from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from msgspec.structs import replace

from uno.model.net import ula
from uno.model.uvn import PARTICLES_VPN, ROOT_VPN, Uvn
from uno.planning.allocation import addresses

ULA = IPv6Network("fd00:db8:1::/48")


@pytest.fixture
def pools(define: Callable[..., Uvn]) -> addresses.Pools:
    return replace(addresses.pools(define()), ula=ULA, particles6=IPv6Network("fd00:db8:1:1::/64"))


@pytest.mark.feature("G32")
def test_the_ipv6_prefix_comes_from_the_identity() -> None:
    prefix = ula("0" * 32)

    assert str(prefix) == "fd3a:e103:b65a::/48"
    assert prefix.subnet_of(IPv6Network("fd00::/8"))
    assert prefix != ula("1" * 32)


def test_the_registry_comes_before_the_cells(pools: addresses.Pools) -> None:
    assert addresses.registry(pools) == (IPv4Address("10.255.128.1"), IPv6Address("fd00:db8:1::1"))
    assert addresses.node(pools, 1) == (IPv4Address("10.255.128.2"), IPv6Address("fd00:db8:1::2"))


def test_the_hub_comes_before_the_particles(pools: addresses.Pools) -> None:
    hub4, hub6 = addresses.hub(pools)

    assert (str(hub4), str(hub6)) == ("10.254.0.1", "fd00:db8:1:1::1")
    assert addresses.particle(pools, 1) == (hub4 + 1, hub6 + 1)


@pytest.mark.feature("F063")
def test_the_first_link_has_the_second_pair_of_the_pool(pools: addresses.Pools) -> None:
    assert addresses.link(pools, 1) == (
        IPv4Address("10.255.192.2"),
        IPv6Address("fd00:db8:1:2::2"),
    )


@pytest.mark.feature("F063")
def test_the_last_link_has_the_last_pair_of_the_pool(pools: addresses.Pools) -> None:
    last = addresses.last_link(pools)

    assert last == 2047
    assert str(addresses.link(pools, last)[0]) == "10.255.207.254"


@pytest.mark.feature("F037")
def test_an_id_beyond_the_pool_is_a_shortage(define: Callable[..., Uvn]) -> None:
    small = replace(ROOT_VPN, subnet=IPv4Network("10.0.0.0/29"))
    tiny = replace(PARTICLES_VPN, subnet=IPv4Network("10.1.0.0/30"))
    uvn = define(public=7, particles=2, root_vpn=small, particles_vpn=tiny)

    cells, particles = addresses.shortages(uvn, addresses.pools(uvn))

    assert cells.what == (
        "10.0.0.0/29 has no address for cell c6 (id 6) and 1 more; its last is that of id 5"
    )
    assert cells.hint == "set a larger `root_vpn.subnet`"
    assert particles.what.startswith("10.1.0.0/30 has no address for particle p2 (id 2);")


def test_the_last_id_that_fits_is_no_shortage(define: Callable[..., Uvn]) -> None:
    uvn = define(public=5, root_vpn=replace(ROOT_VPN, subnet=IPv4Network("10.0.0.0/29")))

    pools = addresses.pools(uvn)

    assert addresses.shortages(uvn, pools) == ()
    assert addresses.node(pools, 5)[0] < pools.root.broadcast_address
