"""A package to the WireGuard interfaces of its cell."""

from __future__ import annotations

from base64 import b64decode
from ipaddress import IPv4Interface, IPv4Network, IPv6Network

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec.structs import replace

from packages import HOME, HUB, ROAM, UVN, key, package_of
from uno.model.key_ids import Secret
from uno.model.tunnel import Tunnel
from uno.model.uvn import Settings, Uvn
from uno.render import tunnels as renderer


def tunnels(cell: int, uvn: Uvn = UVN) -> dict[str, Tunnel]:
    return {tunnel.name: tunnel for tunnel in renderer.tunnels(package_of(cell, uvn))}


def test_interfaces_are_sorted_by_name() -> None:
    assert list(tunnels(HUB)) == sorted(tunnels(HUB))


@pytest.mark.feature("G32")
def test_links_have_addresses_of_both_families() -> None:
    link = tunnels(HOME)["uwg-b0"]

    assert [address.network.prefixlen for address in link.addresses] == [31, 127]


@pytest.mark.feature("F065")
@pytest.mark.feature("F066")
def test_every_link_is_a_tunnel_with_a_key_of_its_own_on_each_end_and_a_preshared_key() -> None:
    hub = [each for each in tunnels(HUB).values() if each.name.startswith("uwg-b")]
    other = [tunnels(cell)["uwg-b0"] for cell in (HOME, ROAM)]

    assert len({each.private_key for each in (*hub, *other)}) == len(hub) + len(other)
    assert {each.peers[0].psk for each in hub} >= {each.peers[0].psk for each in other} - {None}
    assert all(len(each.peers) == 1 for each in hub)
    assert all(list(map(str, each.peers[0].allowed_ips)) == ["0.0.0.0/0", "::/0"] for each in hub)


@pytest.mark.feature("F065")
def test_private_keys_are_in_the_form_that_wireguard_keeps() -> None:
    for tunnel in tunnels(HUB).values():
        octets = b64decode(tunnel.private_key.reveal)
        # RFC 7748, section 5.
        assert octets[0] & 7 == 0
        assert octets[31] & 128 == 0
        assert octets[31] & 64 == 64


def test_a_clamped_key_has_the_same_public_key() -> None:
    own = package_of(HUB)
    given = b64decode(own.secrets[own.plan.links[0].key])
    (kept,) = (each for each in tunnels(HUB).values() if each.name == own.plan.links[0].interface)

    assert public(given) == public(b64decode(kept.private_key.reveal))
    assert given != b64decode(kept.private_key.reveal)


@pytest.mark.feature("F006")
def test_a_private_cell_listens_nowhere_and_keeps_its_way_out_open() -> None:
    link, root = tunnels(HOME)["uwg-b0"], tunnels(HOME)["uwg-v0"]

    assert (link.port, root.port) == (None, None)
    assert link.peers[0].endpoint == "hub.example.org:63550"
    assert root.peers[0].endpoint == "registry.example.org:63447"
    assert (link.peers[0].keepalive, root.peers[0].keepalive) == (25, 25)


@pytest.mark.feature("F005")
def test_a_public_cell_listens_and_sends_nothing_to_keep_open() -> None:
    for tunnel in tunnels(HUB).values():
        assert tunnel.port is not None
        assert all(peer.keepalive == 0 for peer in tunnel.peers)
    assert tunnels(HUB)["uwg-v0"].peers[0].endpoint is None
    assert tunnels(HUB)["uwg-v0"].port == 63448


@pytest.mark.feature("F007")
@pytest.mark.feature("F010")
@pytest.mark.feature("F097")
def test_particles_are_peers_of_public_cells_sorted_by_key_with_their_own_addresses_alone() -> None:
    hub = tunnels(HUB)["uwg-p1"]

    keys = [peer.public_key for peer in hub.peers]
    assert keys == sorted(key(f"public p{n}") for n in range(1, 4))
    assert [each.prefixlen for peer in hub.peers for each in peer.allowed_ips] == [32, 128] * 3
    assert {peer.psk for peer in hub.peers} == {Secret(key(f"psk p{n}")) for n in range(1, 4)}
    assert hub.addresses[0] == IPv4Interface("10.254.0.1/16")
    assert hub.port == 63449
    assert "uwg-p1" not in tunnels(HOME)


@pytest.mark.feature("G24")
def test_only_the_registry_can_speak_through_the_root_vpn() -> None:
    root = tunnels(HOME)["uwg-v0"]
    registry = (IPv4Network("10.255.128.1/32"), IPv6Network("fd2b:5061:b7f9::1/128"))

    assert root.peers[0].allowed_ips == registry
    assert root.routes == registry
    assert root.addresses == ()


@pytest.mark.feature("F094")
def test_without_a_root_vpn_there_is_no_interface_for_it() -> None:
    static = replace(UVN, settings=Settings(enable_root_vpn=False, enable_particles_vpn=False))

    assert all(name.startswith("uwg-b") for name in tunnels(HUB, static))


def public(octets: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(octets).public_key().public_bytes_raw()
