from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest
from msgspec.structs import replace

from uno.model.uvn import (
    ROOT_VPN,
    Cell,
    CellSettings,
    DeploymentSettings,
    Particle,
    Settings,
    Strategy,
    User,
    Uvn,
)
from uno.spec import parse, to_yaml

JOHN = "john@example.org"
BARE = Uvn(name="net", identity="0" * 32, owner=JOHN, users=(User(email=JOHN),))


@pytest.mark.feature("G09")
def test_only_what_differs_from_the_defaults_is_written() -> None:
    assert to_yaml(BARE) == (
        "name: net\nowner: john@example.org\nusers:\n  - email: john@example.org\n"
    )


@pytest.mark.feature("G09")
@pytest.mark.feature("F031")
def test_a_definition_is_written_in_the_order_of_the_documentation() -> None:
    uvn = replace(
        BARE,
        address="registry.example.org",
        users=(
            User(email="jane@example.org", excluded=True),
            User(email=JOHN, name="John Doe", password="$argon2id$x"),  # noqa: S106
        ),
        cells=(
            Cell(
                id=1,
                name="lan-a",
                owner=JOHN,
                address="2001:db8::1",
                allowed_lans=(IPv4Network("192.168.1.0/24"), IPv6Network("2001:db8:1::/64")),
                settings=CellSettings(enable_particles_vpn=False, location="yes"),
            ),
            Cell(id=4, name="lan-b", owner="jane@example.org", excluded=True),
        ),
        particles=(Particle(id=9, name="phone", owner=JOHN),),
        settings=Settings(
            dds_domain=7,
            deployment=DeploymentSettings(
                strategy=Strategy.STATIC, strategy_args={"lan-a": ["lan-b"], "x": {"depth": None}}
            ),
            root_vpn=replace(ROOT_VPN, keepalive=0, allowed_ips=(IPv4Network("10.0.0.0/8"),)),
        ),
    )

    assert to_yaml(uvn) == (
        """\
name: net
owner: john@example.org
address: registry.example.org
users:
  - email: jane@example.org
    config:
      excluded: true
  - email: john@example.org
    name: "John Doe"
    password: "$argon2id$x"
cells:
  - name: lan-a
    address: "2001:db8::1"
    allowed_lans: [192.168.1.0/24, 2001:db8:1::/64]
    settings:
      enable_particles_vpn: false
      location: "yes"
  - name: lan-b
    owner: jane@example.org
    config:
      excluded: true
particles:
  - name: phone
settings:
  dds_domain: 7
  deployment:
    strategy: static
    strategy_args:
      lan-a: [lan-b]
      x:
        depth: null
  root_vpn:
    allowed_ips: [10.0.0.0/8]
    keepalive: 0
"""
    )


@pytest.mark.parametrize(
    "text",
    [
        *("1", "012", "0x1f", "1e3", "null", "~", "true", "False", ".inf", "- a", "a: b", "a #b"),
        *("'", '"', "\\", "{a}", "[a]", "*a", "&a", "!a", "|", ">", "%a", "@a", "`a", "a ", "?"),
        *("192.168.1.0", "2024-01-01", "😀", "a\u00a0b", "日本", "---", "..."),
    ],
)
def test_text_that_yaml_could_misread_is_read_back_as_it_was(text: str) -> None:
    uvn = replace(BARE, users=(User(email=JOHN, name=text),))

    users = parse(to_yaml(uvn), file="f").spec.users

    assert users
    assert users[0].name == text
