from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from uno.model.plan import CellPlan
from uno.model.uvn import Uvn
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.planner import plan, required_keys, with_keys


@pytest.fixture
def parts(define: Callable[..., Uvn]) -> dict[int, CellPlan]:
    uvn = define(public=2, private=1, particles=1)
    made = plan(replace(uvn, address="2001:db8::1"), None)
    keyed = with_keys(made, {key: f"key of {key}" for key in required_keys(made).pairs})
    return cell_plans(keyed)


@pytest.mark.feature("F005")
def test_a_public_cell_waits_and_a_private_one_dials(parts: dict[int, CellPlan]) -> None:
    (to_private,) = (peer for peer in parts[1].links if peer.cell == 3)
    (to_public,) = parts[3].links

    assert (to_private.endpoint, to_private.port, to_private.keepalive) == (None, 63551, 0)
    assert (to_public.endpoint, to_public.port) == ("c1.example.org:63551", None)
    assert to_public.keepalive == 25


def test_public_cells_know_each_other_s_endpoint(parts: dict[int, CellPlan]) -> None:
    peer = parts[2].links[0]

    assert (peer.interface, peer.cell) == ("uwg-b0", 1)
    assert (peer.endpoint, peer.port, peer.keepalive) == ("c1.example.org:63550", 63550, 0)
    assert (peer.key, peer.psk) == ("link/1-2/2", "link/1-2/psk")
    assert peer.public_key == "key of link/1-2/1"


@pytest.mark.feature("F006")
@pytest.mark.feature("G32")
def test_only_private_cells_dial_the_registry(parts: dict[int, CellPlan]) -> None:
    public, private = parts[1].root, parts[3].root

    assert public is not None
    assert private is not None
    assert (public.endpoint, public.port, public.keepalive) == (None, 63448, 0)
    assert (private.endpoint, private.port) == ("[2001:db8::1]:63447", None)
    assert private.keepalive == 25
    assert (private.key, private.psk) == ("root/3", "root/3/psk")
    assert private.public_key == "key of root/registry"


@pytest.mark.feature("F007")
def test_only_public_cells_serve_particles(parts: dict[int, CellPlan]) -> None:
    hub = parts[1].particles

    assert hub is not None
    assert (hub.interface, hub.port, hub.key) == ("uwg-p1", 63449, "particles/1")
    assert str(hub.address4) == "10.254.0.1"
    assert parts[3].particles is None


def test_links_are_in_order_of_their_slots(define: Callable[..., Uvn]) -> None:
    grown = plan(define(public=6), plan(define(public=3), None))

    for part in cell_plans(grown).values():
        names = [peer.interface for peer in part.links]
        assert names == sorted(names)


def test_a_plan_without_keys_can_be_looked_at(define: Callable[..., Uvn]) -> None:
    parts = cell_plans(plan(define(public=2), None))

    assert parts[1].links[0].public_key == ""


def test_every_cell_is_in_the_roster(define: Callable[..., Uvn]) -> None:
    made = plan(define(public=2, private=1), None)

    assert [member.name for member in roster(made).members] == ["c1", "c2", "c3"]
    assert roster(made).timing == made.timing
