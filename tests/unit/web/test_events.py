"""What has happened between two pictures: each thing once, and its end as well."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pictures import (
    corp,
    healthy_pictures,
    link_down,
    phone_at,
    picture_of,
    silent,
    unreached,
    with_cell,
    with_status,
    with_view,
)
from uno.model.status import UndonePackage
from uno.web.events import EventKind, events
from uno.web.picture import Picture

PARIS, ROME, OSLO, ATTIC = 1, 2, 3, 4

OPPOSITE = {
    EventKind.CELL_LOST: EventKind.CELL_FOUND,
    EventKind.LINK_DOWN: EventKind.LINK_UP,
    EventKind.LAN_LOST: EventKind.LAN_REACHED,
    EventKind.PARTICLE_OFFLINE: EventKind.PARTICLE_ONLINE,
    EventKind.FAULT_BEGUN: EventKind.FAULT_ENDED,
}


def texts(before: Picture, after: Picture) -> list[str]:
    return [each.text for each in events(before, after)]


def altered(picture: Picture, data: st.DataObject) -> Picture:
    """Return a picture in which some cells, links and LANs are not well."""
    for cell in sorted(picture.cells):
        match data.draw(st.sampled_from(["well", "well", "silent", "problem", "unreached"])):
            case "silent":
                picture = silent(picture, cell)
            case "problem":
                picture = with_status(picture, cell, problem="the disk is full")
            case "unreached":
                lans = [lan for lan, owner in picture.lans if owner != cell]
                picture = unreached(picture, cell, *lans[:1])
            case _:
                pass
    for pair in picture.links:
        if data.draw(st.integers(0, 3)) == 0:
            picture = link_down(picture, *pair)
    return picture


@settings(max_examples=40)
@given(picture=healthy_pictures(max_cells=5), data=st.data())
def test_nothing_has_happened_between_a_picture_and_itself(
    picture: Picture, data: st.DataObject
) -> None:
    found = altered(picture, data)

    assert events(found, found) == ()


@settings(max_examples=40)
@given(picture=healthy_pictures(max_cells=5), data=st.data())
def test_what_has_begun_ends_when_all_is_well_again(picture: Picture, data: st.DataObject) -> None:
    found = altered(picture, data)

    there, back = events(picture, found), events(found, picture)

    begun = [(OPPOSITE[each.kind], each.cells, each.links) for each in there]
    ended = [(each.kind, each.cells, each.links) for each in back]
    # Faults of a cell that has fallen silent have no end of their own.
    assert sorted(begun) == sorted(ended)


def test_a_cell_that_falls_silent_is_one_event_and_one_when_it_is_back() -> None:
    well = picture_of(corp())

    assert texts(well, silent(well, ROME)) == ["rome: contact lost"]
    assert texts(silent(well, ROME), well) == ["rome is in contact again"]


def test_links_lans_particles_and_faults_have_an_event_each() -> None:
    well = picture_of(corp())
    lan = next(lan for lan, owner in well.lans if owner == ROME)

    assert texts(well, link_down(well, PARIS, ROME))[0].startswith(
        "the link paris – rome is down: "
    )
    assert texts(well, unreached(well, OSLO, lan)) == [
        "192.168.2.0/24 (rome) is not reached by oslo any more"
    ]
    assert texts(well, phone_at(well, ROME)) == ["phone is online at rome"]
    full = with_status(well, ROME, problem="the disk is full")
    assert texts(well, full) == ["rome: the disk is full"]
    assert texts(full, well) == ["no more: rome: the disk is full"]


def test_a_particle_that_moves_comes_online_elsewhere() -> None:
    well = picture_of(corp())
    at_both = phone_at(phone_at(well, ROME, handshake=100), OSLO, handshake=5)

    assert texts(phone_at(well, ROME), at_both) == ["phone is online at oslo"]
    assert texts(phone_at(well, ROME), phone_at(well, ROME, handshake=500)) == ["phone is offline"]


def test_a_particle_at_a_cell_that_falls_silent_is_not_called_offline() -> None:
    well = phone_at(picture_of(corp()), ROME)

    assert texts(well, silent(well, ROME)) == ["rome: contact lost"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"generation": 2}, "generation 2 is in force, after 1"),
        ({"undone": 2, "reason": "oslo rolled back"}, "generation 2 was undone: oslo rolled back"),
        ({"registry": False}, "the registry is not in contact"),
    ],
)
def test_the_registry_and_its_generations(change: dict[str, object], text: str) -> None:
    well = picture_of(corp(), viewer=ROME)

    assert texts(well, with_view(well, **change)) == [text]


def test_what_a_cell_does_with_a_package_and_a_restart_of_its_agent() -> None:
    well = picture_of(corp())
    undone = UndonePackage(generation=2, reason="no contact", age=3)

    assert texts(well, with_status(well, ROME, staged=2)) == ["rome has staged generation 2"]
    assert texts(well, with_status(well, ROME, generation=2))[0] == (
        "rome runs generation 2, after 1"
    )
    assert texts(well, with_status(well, ROME, undone=undone)) == [
        "rome rolled back from generation 2: no contact"
    ]
    older = with_status(well, ROME, undone=replace(undone, age=90))
    assert texts(with_status(well, ROME, undone=undone), older) == []
    assert texts(well, with_status(well, ROME, uptime=2)) == ["rome: the agent has started again"]


def test_a_cell_that_comes_or_goes_with_a_generation() -> None:
    well = picture_of(corp())
    fewer = with_view(well, cells=tuple(it for it in well.view.cells if it.id != ATTIC))

    assert "attic is a new cell" in texts(fewer, well)
    assert "attic is no cell any more" in texts(well, fewer)


def test_a_cell_seen_for_the_first_time_is_in_contact_and_not_again() -> None:
    well = picture_of(corp())
    never = with_cell(well, ROME, status=None, alive=False, age=None)

    assert texts(never, well) == ["rome is in contact"]


def test_at_the_registry_the_end_of_its_agent_is_one_event() -> None:
    well = picture_of(corp())
    without = with_view(well, registry=False)
    for cell in well.cells:
        without = with_cell(without, cell, alive=False)

    assert texts(well, without) == ["the registry's agent does not run"]
    assert texts(without, well) == ["the registry's agent runs"]
