"""Worlds for tests. Without root or a program, lab tests are skipped and say what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

import pytest

from uno.lab import requirements
from uno.lab.arrange import arrange
from uno.lab.world import World, standing
from uno.model.uvn import Cell, Particle, Uvn


@pytest.fixture(scope="session", autouse=True)
def _what_a_lab_needs() -> None:
    programs = requirements.for_a_deployment() | requirements.FOR_A_CAPTURE
    if lacking := requirements.missing(programs):
        pytest.skip(f"the lab cannot be built here: {', '.join(lacking)}")


@pytest.fixture(scope="session")
def four_sites() -> Uvn:
    """Four LANs, one of them behind NAT, a relay, and two particles; as in the example."""
    owner = "john@example.org"
    lans = [IPv4Network(f"192.168.{n}.0/24") for n in range(1, 5)]
    return Uvn(
        name="four-sites",
        identity="0" * 32,
        owner=owner,
        address="registry.example.net",
        cells=(
            Cell(id=1, name="lan-a", owner=owner, address="a.example.net", allowed_lans=(lans[0],)),
            Cell(id=2, name="lan-b", owner=owner, address="b.example.net", allowed_lans=(lans[1],)),
            Cell(
                id=3,
                name="lan-c",
                owner=owner,
                address="c.example.net",
                allowed_lans=(lans[2], IPv6Network("2001:db8:3::/64")),
            ),
            Cell(id=4, name="lan-d", owner=owner, allowed_lans=(lans[3],)),
            Cell(id=5, name="relay", owner=owner, address="relay.example.net"),
        ),
        particles=(
            Particle(id=1, name="john", owner=owner),
            Particle(id=2, name="jane", owner=owner),
        ),
    )


@pytest.fixture(scope="module")
def world(four_sites: Uvn) -> Iterator[World]:
    """The world of `four_sites`, with nothing of uno running in it."""
    with standing(arrange(four_sites)) as built:
        yield built
