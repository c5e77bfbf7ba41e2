"""The install guide of each kind of cell, whole, and what must be true of every one.

`UPDATE_GOLDEN=1` writes the files anew; the difference is to be reviewed like code.

    lan-a    public, two LANs, one of them IPv6; the registry shares its address
    lan-b    private, one LAN
    lan-c    public, without LANs
"""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from msgspec.structs import replace

from uno.diagnostics import Rejected
from uno.model.net import Address
from uno.model.plan import Plan
from uno.model.uvn import Cell, CellSettings, Particle, User, Uvn
from uno.planning.planner import plan
from uno.render import guide as guides
from uno.render.guide import PACKAGES, guide
from uno.render.handout import Handout, html, markdown

GOLDEN = Path(__file__).parents[2] / "golden" / "guide"
SETUP = Path(__file__).parents[3] / "scripts" / "setup"
OWNER = "owner@example.org"
KEY = "SHA256:" + "A" * 43
SITES = Uvn(
    name="my-uvn",
    identity="0123456789abcdef0123456789abcdef",
    owner=OWNER,
    address="lan-a.example.org",
    users=(User(email=OWNER),),
    cells=(
        Cell(
            id=1,
            name="lan-a",
            owner=OWNER,
            address="lan-a.example.org",
            allowed_lans=(IPv4Network("192.168.1.0/24"), IPv6Network("2001:db8:1::/64")),
            settings=CellSettings(location="Harbour *3*, <2nd> floor"),
        ),
        Cell(id=2, name="lan-b", owner=OWNER, allowed_lans=(IPv4Network("192.168.2.0/24"),)),
        Cell(id=3, name="lan-c", owner=OWNER, address="198.51.100.3"),
    ),
    particles=(Particle(id=1, name="phone", owner=OWNER),),
    next_cell=4,
    next_particle=2,
)
NAMES = [cell.name for cell in SITES.cells]


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(SITES, None)


@pytest.mark.feature("G48")
@pytest.mark.feature("F015")
@pytest.mark.feature("F016")
@pytest.mark.parametrize("cell", NAMES)
def test_the_guide_of_each_kind_of_cell(cell: str, planned: Plan) -> None:
    page = page_of(planned, cell)

    assert_golden(f"{cell}.md", markdown(page))
    assert_golden(f"{cell}.html", html(page))


@pytest.mark.feature("F016")
def test_the_guide_has_all_ports_of_a_public_cell_and_none_of_a_private_one(planned: Plan) -> None:
    public, private, roaming = planned.cells

    assert [(str(it), it.purpose.split()[0]) for it in guides.forwards(planned, public)] == [
        ("63448", "the"),
        ("63449", "particles:"),
        ("63550–63551", "links"),
    ]
    assert "UDP 63447" in markdown(page_of(planned, "lan-a"))
    assert guides.forwards(planned, private) == ()
    assert "UDP 63447" not in markdown(page_of(planned, roaming.member.name))


@pytest.mark.feature("F015")
def test_the_routes_are_the_other_sites_and_the_pools_and_never_the_own_lan(planned: Plan) -> None:
    found = {str(network) for network, _ in guides.prefixes(planned, planned.cells[1])}

    assert found == {"192.168.1.0/24", "10.255.128.0/22", "10.255.192.0/20"}


@pytest.mark.feature("F015")
def test_particles_that_are_not_translated_need_a_route_too() -> None:
    settings = replace(
        SITES.settings, particles_vpn=replace(SITES.settings.particles_vpn, masquerade=False)
    )
    planned = plan(replace(SITES, settings=settings), None)

    found = {str(network) for network, _ in guides.prefixes(planned, planned.cells[1])}

    assert "10.254.0.0/16" in found


@pytest.mark.feature("F015")
def test_every_router_gets_every_route_with_the_address_that_was_given(planned: Plan) -> None:
    given = (IPv4Address("192.168.1.2"), IPv6Address("2001:db8:1::2"))

    text = markdown(page_of(planned, "lan-a", *given))

    routers = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert [part.partition("\n")[0] for part in routers] == [
        "Linux",
        "OpenWrt",
        "FRITZ!Box and other home routers",
        "MikroTik RouterOS",
        "UniFi",
        "pfSense and OPNsense",
    ]
    for router in routers:
        assert router.count("192.168.2.0") >= 1
        assert "192.168.1.2" in router
        assert "2001:db8:1::2" in router
    assert "HOST-ADDRESS" not in text
    assert "ip route add 192.168.2.0/24 via 192.168.1.2\n" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [IPv4Address("192.168.9.2")],
            "-g: 192.168.9.2 is in no LAN of lan-a; write the host's address in one of its LANs",
        ),
        (
            [IPv4Address("192.168.1.2"), IPv4Address("192.168.1.3")],
            "-g: there are two IPv4 gateways; give one for each family",
        ),
    ],
)
def test_a_gateway_is_an_address_in_the_lan(
    given: list[Address], message: str, planned: Plan
) -> None:
    with pytest.raises(Rejected) as caught:
        page_of(planned, "lan-a", *given)

    assert str(caught.value).startswith(message)


def test_a_guide_holds_no_secret_and_loads_nothing(planned: Plan) -> None:
    for cell in NAMES:
        text = html(page_of(planned, cell))

        assert not re.search(r"<(script|link|img|iframe|form)\b|url\(|@import|https?://", text)
        assert not any(key in text for key in planned.public_keys.values() if key)


def test_what_people_wrote_is_text_and_nothing_else(planned: Plan) -> None:
    page = page_of(planned, "lan-a")

    assert "Harbour *3*, &lt;2nd&gt; floor" in html(page)
    assert r"Harbour \*3\*, \<2nd\> floor" in markdown(page)


def test_the_packages_are_those_that_setup_installs() -> None:
    known = set(re.findall(r"[\w-]+", SETUP.read_text()))

    assert set(PACKAGES) <= known


# Helpers


def page_of(planned: Plan, cell: str, *given: Address) -> Handout:
    return guide(planned, cell, fingerprint=KEY, bus_ports=(18910,), gateways=given)


def assert_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_a_link_within_a_site_needs_nat_loopback(planned: Plan) -> None:
    assert "NAT loopback" not in markdown(page_of(planned, "lan-a"))
    beside = Cell(
        id=4,
        name="lan-d",
        owner=OWNER,
        address="LAN-A.example.org",
        settings=CellSettings(
            root_vpn_port=50001, particles_vpn_port=50002, backbone_vpn_port=50003
        ),
    )
    made = plan(replace(SITES, cells=(*SITES.cells, beside), next_cell=5), None)

    for name, other in (("lan-a", "lan-d"), ("lan-d", "lan-a")):
        text = " ".join(markdown(page_of(made, name)).split())
        assert f"This is also the public address of `{other}`." in text
        assert "NAT loopback" in text
    assert "NAT loopback" not in markdown(page_of(made, "lan-c"))
