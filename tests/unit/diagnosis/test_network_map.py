"""What a person can name, and what is said of what nobody has."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from packages import HUB, UVN, package_of
from uno.diagnosis.network_map import PlaceKind, find_place, map_of_package, map_of_plan
from uno.diagnostics import InvalidInput
from uno.planning.planner import plan

PLAN = plan(UVN, None)
REGISTRY = map_of_plan(PLAN, UVN)
CELL = map_of_package(package_of(HUB))
NODE = str(PLAN.cells[1].member.node6)
PARTICLE = str(PLAN.particles[0].address4)


@pytest.mark.feature("G42")
@pytest.mark.parametrize("known", [REGISTRY, CELL], ids=["registry", "cell"])
@pytest.mark.parametrize(
    ("text", "kind", "cell"),
    [
        ("home", PlaceKind.CELL, 2),
        (NODE, PlaceKind.CELL, 2),
        ("192.168.2.0/24", PlaceKind.LAN, 2),
        ("192.168.2.128/25", PlaceKind.LAN, 2),
        ("2001:db8:1::/64", PlaceKind.LAN, 1),
        ("192.168.2.9", PlaceKind.HOST, 2),
        ("2001:db8:1::9", PlaceKind.HOST, 1),
        ("p1", PlaceKind.PARTICLE, None),
        (PARTICLE, PlaceKind.PARTICLE, None),
    ],
)
def test_everything_with_a_name_or_an_address_is_a_place(
    known: object, text: str, kind: PlaceKind, cell: int | None
) -> None:
    assert isinstance(known, type(REGISTRY))

    found = find_place(text, known)

    assert (found.kind, found.cell) == (kind, cell)


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("hub1", "hub1 is no cell, particle, LAN or address", "did you mean hub"),
        ("zzz", "zzz is no cell", "there are hub, home, roam"),
        ("192.168.3.9", "192.168.3.9 is in no LAN of the UVN; the nearest is 192.168.2.0/24", ""),
        ("192.168.3.0/24", "192.168.3.0/24 is no LAN", "192.168.1.0/24"),
        ("10.254.200.200", "no particle that is known here", "registry"),
        ("192.168.0.0/16", "192.168.0.0/16 is no LAN", "192.168.1.0/24"),
    ],
)
def test_what_nobody_has_is_refused_with_what_is_near(text: str, what: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        find_place(text, REGISTRY)

    assert what in caught.value.what
    assert hint in caught.value.hint


def test_what_is_banned_is_found_at_the_registry() -> None:
    phone = UVN.particles[0]
    uvn = replace(UVN, particles=(replace(phone, excluded=True), *UVN.particles[1:]))

    found = find_place("p1", map_of_plan(plan(uvn, None), uvn))

    assert found.banned


def test_a_path_is_a_shortest_one_over_the_links_that_are_given() -> None:
    assert REGISTRY.path(1, 1) == (1,)
    assert len(REGISTRY.path(2, 3)) in {2, 3}
    assert REGISTRY.path(2, 3, ()) == ()
    assert REGISTRY.path(1, 3, ((1, 2), (2, 3))) == (1, 2, 3)
