"""Settings of a network that would have no effect are refused, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from uno.model.checks import check
from uno.model.uvn import Cell, Settings, Uvn

NETWORKS = (IPv4Network("172.30.0.0/24"),)


Found: TypeAlias = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def found(net: Callable[..., Uvn], cell: Callable[..., Cell]) -> Found:
    """Return the place and text of each finding about a definition with such a network."""

    def findings(vpn: str, **given: object) -> list[tuple[str, str]]:
        changed = replace(getattr(Settings(), vpn), **given)
        uvn = net(cell("a", "192.168.1.0/24"), settings=replace(Settings(), **{vpn: changed}))
        return [(".".join(map(str, each.path)), each.what) for each in check(uvn)]

    return findings


@pytest.mark.feature("F038")
@pytest.mark.parametrize(
    ("vpn", "key", "value", "what"),
    [
        ("root_vpn", "allowed_ips", NETWORKS, "[172.30.0.0/24], since it carries"),
        ("root_vpn", "forward", True, "true, since nothing is forwarded"),
        ("root_vpn", "tunnel", True, "true, since what else a cell sends"),
        ("particles_vpn", "peer_port", 40000, "40000, since particles connect"),
        ("particles_vpn", "forward", False, "false, since particles reach the UVN"),
        ("backbone_vpn", "peer_port", 40000, "40000, since both ends"),
        ("backbone_vpn", "masquerade", True, "true, since LANs reach each other"),
        ("backbone_vpn", "forward", False, "false, since cells reach each other"),
        ("backbone_vpn", "tunnel", True, "true, since what else a site sends"),
    ],
)
def test_a_setting_that_a_network_has_no_use_for_is_refused(
    found: Found, vpn: str, key: str, value: object, what: str
) -> None:
    ((path, reported),) = found(vpn, **{key: value})

    assert path == f"settings.{vpn}.{key}"
    assert reported.startswith(f"{vpn} cannot have {key}: {what}")


@pytest.mark.feature("F038")
def test_networks_for_particles_that_send_everything_are_refused(
    found: Found,
) -> None:
    assert found("particles_vpn", allowed_ips=NETWORKS, tunnel=True) == [
        (
            "settings.particles_vpn.allowed_ips",
            "particles_vpn has allowed_ips, but particles send everything to their cell",
        )
    ]
    assert found("particles_vpn", allowed_ips=NETWORKS, tunnel=False) == []


@pytest.mark.feature("F038")
def test_what_links_carry_too_is_no_network_of_the_uvn(found: Found) -> None:
    assert found("backbone_vpn", allowed_ips=NETWORKS) == []
    ((_, what),) = found("backbone_vpn", allowed_ips=(*NETWORKS, IPv4Network("192.168.1.128/25")))
    assert "192.168.1.128/25 of the backbone_vpn allowed_ips" in what
