"""What the registry should own on its host, from its plan and keys."""

from __future__ import annotations

import os
import shutil
from base64 import b64encode
from hashlib import sha256
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import pytest
from msgspec.structs import replace

from uno.controller.root_vpn import desired, moved_peers, without_peers
from uno.host.command import run
from uno.host.fake.fake_host import FakeHost
from uno.model.key_ids import ROOT_REGISTRY, Secret, root_pair, root_psk
from uno.model.plan import BusPlan, Plan
from uno.model.tunnel import Tunnel
from uno.model.uvn import Cell, Middleware, Settings, User, Uvn
from uno.planning.planner import plan, required_keys, with_keys
from uno.ports.host import Desired
from uno.reconcile.host_diff import reconcile
from uno.registry.publish.keygen import clamped

OWNER = "owner@example.org"
UVN = Uvn(
    name="net",
    identity="0123456789abcdef0123456789abcdef",
    owner=OWNER,
    address="registry.example.org",
    users=(User(email=OWNER),),
    cells=(
        Cell(id=1, name="hub", owner=OWNER, address="hub.example.org"),
        Cell(id=2, name="home", owner=OWNER, allowed_lans=(IPv4Network("192.168.2.0/24"),)),
        Cell(id=3, name="roam", owner=OWNER, address="2001:db8::3"),
    ),
    next_cell=4,
)
HUB, HOME, ROAM = 1, 2, 3


def settings_with(**root: int) -> Settings:
    return replace(Settings(), root_vpn=replace(Settings().root_vpn, **root))


def key(name: str) -> str:
    return b64encode(clamped(sha256(name.encode()).digest())).decode()


def planned(uvn: Uvn = UVN) -> Plan:
    draft = plan(uvn, None)
    return with_keys(draft, {name: key(f"public {name}") for name in required_keys(draft).pairs})


def secrets(made: Plan) -> dict[str, str]:
    needed = required_keys(made)
    return {name: key(name) for name in (*needed.pairs, *needed.psks)}


def wanted(uvn: Uvn = UVN) -> Desired:
    made = planned(uvn)
    return desired(made, secrets(made))


def tunnel(uvn: Uvn = UVN) -> Tunnel:
    (only,) = wanted(uvn).tunnels
    return only


@pytest.mark.feature("F090")
@pytest.mark.feature("F091")
@pytest.mark.feature("F096")
def test_private_cells_initiate_handshakes_and_the_registry_does_to_public_ones() -> None:
    endpoints = {
        str(peer.allowed_ips[0].network_address): (peer.endpoint, peer.keepalive)
        for peer in tunnel().peers
    }

    assert tunnel().port == 63447
    assert endpoints == {
        "10.255.128.2": ("hub.example.org:63448", 25),
        "10.255.128.3": (None, 0),
        "10.255.128.4": ("[2001:db8::3]:63448", 25),
    }


def test_a_registry_without_an_address_has_no_fixed_port() -> None:
    assert tunnel(replace(UVN, address=None)).port is None


def test_each_cell_is_a_peer_with_its_own_keys_and_its_node_addresses_alone() -> None:
    peers = {peer.public_key: peer for peer in tunnel().peers}

    home = peers[key("public root/2")]
    assert len(peers) == 3
    assert list(peers) == sorted(peers)
    assert home.psk == Secret(key(root_psk(HOME)))
    assert home.allowed_ips == (
        IPv4Network("10.255.128.3/32"),
        IPv6Network("fd2b:5061:b7f9::3/128"),
    )


def test_its_addresses_and_key_are_the_registrys() -> None:
    assert tunnel().name == "uwg-v1"
    assert tunnel().private_key == Secret(key(ROOT_REGISTRY))
    assert tunnel().addresses == (
        IPv4Interface("10.255.128.1/32"),
        IPv6Interface("fd2b:5061:b7f9::1/128"),
    )


def test_routes_to_cells_are_for_the_registry_alone_in_a_table_of_the_uvns_own() -> None:
    other = replace(UVN, identity="fedcba9876543210fedcba9876543210")

    assert tunnel().routes == (IPv4Network("10.255.128.0/22"), IPv6Network("fd2b:5061:b7f9::/64"))
    assert tunnel().table == 0x10012345
    assert tunnel(other).table == 0x10FEDCBA


def test_without_ipv6_there_are_ipv4_addresses_and_routes_alone() -> None:
    made = planned()

    (plain,) = desired(made, secrets(made), has_ipv6=False).tunnels

    assert {each.version for each in plain.addresses} == {4}
    assert {each.version for each in plain.routes} == {4}


def test_a_cell_with_earlier_keys_is_a_peer_with_them() -> None:
    made = planned()
    earlier = {**secrets(made), root_psk(HUB): key("earlier psk")}
    public = {**made.public_keys, root_pair(HUB): key("earlier")}

    (found,) = desired(replace(made, public_keys=public), earlier).tunnels

    peers = {peer.public_key: peer.psk for peer in found.peers}
    assert peers[key("earlier")] == Secret(key("earlier psk"))
    assert key("public root/1") not in peers


@pytest.mark.feature("F046")
def test_a_banned_cell_is_no_peer() -> None:
    banned = tuple(replace(cell, excluded=cell.id == HOME) for cell in UVN.cells)

    keys = {peer.public_key for peer in tunnel(replace(UVN, cells=banned)).peers}

    assert keys == {key("public root/1"), key("public root/3")}


def test_without_a_root_vpn_the_registry_owns_nothing() -> None:
    assert wanted(replace(UVN, settings=Settings(enable_root_vpn=False))) == Desired()


def test_a_second_pass_does_nothing_and_a_removal_leaves_nothing() -> None:
    host = FakeHost()
    before = str(host)
    for action in reconcile(desired=wanted(), observed=host.observe(())):
        host.perform(action)
    assert reconcile(desired=wanted(), observed=host.observe(())) == ()

    for action in reconcile(desired=Desired(), observed=host.observe(())):
        host.perform(action)

    assert str(host) == before


def test_its_table_has_a_name_of_its_own_and_names_the_bus_ports() -> None:
    ruleset = wanted().firewall

    assert ruleset is not None
    assert ruleset.startswith("table inet uno_registry {\n")
    assert "tcp dport 18912" in ruleset


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="nft needs root")
def test_nft_accepts_the_table() -> None:
    run(["unshare", "--net", "nft", "--check", "--file", "-"], stdin=wanted().firewall or "")


# What moves.


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({"address": "elsewhere.example.org"}, [HOME]),
        ({"settings": settings_with(port=50002)}, [HOME]),
        ({"settings": settings_with(peer_port=50001)}, [HUB, ROAM]),
        ({"settings": settings_with(keepalive=9)}, []),
        ({"settings": replace(Settings(), dds_domain=3)}, []),
        ({"cells": (replace(UVN.cells[0], address="2.example.org"), *UVN.cells[1:])}, [HUB]),
        ({"cells": (replace(UVN.cells[0], address=None), *UVN.cells[1:])}, [HUB]),
    ],
)
def test_the_sessions_of_cells_that_are_found_elsewhere_end(
    change: dict[str, object], moved: list[int]
) -> None:
    old, new = planned(), planned(replace(UVN, **change))
    keys = {new.public_keys[root_pair(cell)] for cell in moved}

    assert moved_peers(old, new) == keys

    made = desired(new, secrets(new))
    (tunnel,) = without_peers(made, keys).tunnels
    left = {peer.public_key for peer in tunnel.peers}
    assert left == {new.public_keys[root_pair(cell)] for cell in (HUB, HOME, ROAM)} - keys


@pytest.mark.parametrize(
    ("middleware", "ports"),
    [
        (Middleware.TCP, "tcp dport { 18912, 19162 }"),
        (Middleware.CYCLONE, "udp dport { 18912, 18913, 19162, 19163 }"),
    ],
)
def test_a_registry_in_two_domains_admits_cells_to_the_ports_of_both(
    middleware: Middleware, ports: str
) -> None:
    made = planned(replace(UVN, settings=replace(Settings(), middleware=middleware)))

    other = BusPlan(middleware=middleware, domain=47)
    rules = desired(made, secrets(made), buses=(other,)).firewall

    assert rules is not None
    assert ports in rules
