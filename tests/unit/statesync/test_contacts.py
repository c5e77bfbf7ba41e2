"""Who is in contact, and what a status has on the wire."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from flooding import Cells, advertisement, writes
from uno.model.codec import encode
from uno.model.messages import REGISTRY, Envelope, HelloMessage, Kind, UvnAnnouncement
from uno.model.status import ALL_PATHS, CellStatus, LinkState, ParticleState, PathState
from uno.ports.bus import OWN, RELAY, Channel, Topic
from uno.statesync.contacts import LACKING_AFTER, Contacts, reached
from uno.statesync.flooding import StateChanged
from uno.statesync.state_database import advertised, seen
from uno.statesync.timers import HELLO_INTERVAL, MAX_AGE

pytestmark = pytest.mark.feature("G57")

LAN = IPv4Network("10.1.0.0/24")
OTHER_LAN = IPv4Network("10.2.0.0/24")


def status(*adjacent: int, lost: tuple[int, ...] = ()) -> CellStatus:
    links = (
        *(LinkState(interface=f"uwg-{each}", cell=each, adjacent=True) for each in adjacent),
        *(LinkState(interface=f"uwg-{each}", cell=each) for each in lost),
    )
    return CellStatus(generation=1, links=links)


def test_cells_are_reached_along_adjacencies() -> None:
    statuses = {1: status(2), 2: status(1, 3), 3: status(2), 4: status(5), 5: status(4)}

    assert reached({2}, statuses, own=1) == {1, 2, 3}


def test_no_adjacency_counts_that_the_other_end_has_no_link_for() -> None:
    assert reached({2}, {2: status(3), 3: status(4)}, own=1) == {1, 2}


def test_what_the_cell_itself_has_advertised_does_not_count() -> None:
    assert reached((), {1: status(2), 2: status(1)}, own=1) == {1}


def test_a_status_of_a_cell_that_is_gone_is_no_contact_with_it() -> None:
    contacts = Contacts(1)
    contacts.note_direct(2, received_at=0)
    contacts.note_message(3, now=0)
    statuses = {2: status(1, lost=(3,)), 3: status(2)}

    assert contacts.current(lambda: statuses, (1, 2, 3), now=1) == {1, 2}


def test_a_neighbour_is_lost_as_soon_as_bfd_fails() -> None:
    contacts = Contacts(1)
    contacts.note_direct(2, received_at=0)
    assert contacts.adjacent(now=1) == {2}

    contacts.note_link_down(2, now=1)
    contacts.note_direct(2, received_at=0)
    assert contacts.adjacent(now=1) == frozenset()

    contacts.note_direct(2, received_at=2)
    assert contacts.adjacent(now=2) == {2}
    assert contacts.adjacent(now=2 + MAX_AGE + 1) == frozenset()


def test_a_neighbour_whose_status_is_missing_is_not_adjacent() -> None:
    contacts = Contacts(1)
    contacts.note_direct(2, received_at=0)
    contacts.note_named(2, is_here=False, now=0)

    assert contacts.adjacent(now=LACKING_AFTER) == {2}
    assert contacts.adjacent(now=LACKING_AFTER + 1) == frozenset()
    contacts.note_named(2, is_here=True, now=LACKING_AFTER + 1)
    assert contacts.adjacent(now=LACKING_AFTER + 1) == {2}


def test_a_status_on_the_wire_has_no_row_for_each_lan_and_cell() -> None:
    whole = CellStatus(
        generation=1,
        links=(LinkState(interface="uwg-2", cell=2, mtu=1400, rtt=9.0, loss=0.1, received=7),),
        paths=(PathState(cell=3, rtt=9.0),),
        particles=(ParticleState(id=1, handshake=5, sent=3),),
        reachable=(LAN,),
        unreachable=(OTHER_LAN,),
    )

    assert advertised(whole, watched=True) == replace(whole, reachable=())
    assert advertised(whole, watched=False) == replace(whole, paths=(), reachable=())


def test_of_many_other_cells_those_that_lose_probes_are_on_the_wire() -> None:
    good = tuple(PathState(cell=each, rtt=9.0, loss=0.0) for each in range(ALL_PATHS - 1))
    bad = (PathState(cell=100, rtt=9.0, loss=0.1), PathState(cell=101, loss=1.0))

    few = CellStatus(generation=1, paths=(*good, bad[0]))
    many = CellStatus(generation=1, paths=(*good, *bad))

    assert advertised(few, watched=True).paths == few.paths
    assert advertised(many, watched=True).paths == bad


def test_what_a_cell_reaches_follows_from_what_it_does_not() -> None:
    members = Cells(3).package(1).roster.members
    lans = ((LAN,), (OTHER_LAN,), ())
    members = tuple(replace(each, lans=its) for each, its in zip(members, lans, strict=True))
    lost = CellStatus(generation=1, unreachable=(LAN,))

    assert seen(lost, members, cell=3).reachable == (OTHER_LAN,)
    assert seen(CellStatus(generation=1), members, cell=1).reachable == (OTHER_LAN,)


def test_a_hello_is_a_sign_of_life_and_is_not_flooded() -> None:
    cells = Cells(2)
    cells.advertise(2)
    cells.sync(1, 2)
    cells.now = MAX_AGE - 1
    cells.run(2, cells.floods[2].send_hello(now=cells.now))

    assert writes(cells.sync(1, 2)) == []
    cells.now = MAX_AGE + 1
    assert 2 in cells.floods[1].database.in_contact(now=cells.now)


def test_a_recorded_hello_is_no_sign_of_life() -> None:
    cells = Cells(2)
    hello = advertisement(2, Kind.HELLO, encode(HelloMessage()), sequence=4)
    cells.receive(1, Channel(Topic.HELLO), hello)
    body = encode(CellStatus(generation=1))
    cells.receive(1, Channel(Topic.STATUS), advertisement(2, Kind.STATUS, body, sequence=9))
    cells.now = MAX_AGE + 1

    for sequence in (4, 8):
        old = advertisement(2, Kind.HELLO, encode(HelloMessage()), sequence=sequence)
        cells.receive(1, Channel(Topic.HELLO), old)

    assert 2 not in cells.floods[1].database.in_contact(now=cells.now)


def test_the_registry_is_present_by_its_heartbeats() -> None:
    cells = Cells(1)
    cells.set_registry_present(1, present=True)
    cells.from_registry(1, UvnAnnouncement(generation=1))
    cells.now = 2 * HELLO_INTERVAL

    commands = cells.receive(1, Channel(Topic.HEARTBEAT, OWN), heartbeat(2))

    assert StateChanged() not in commands
    registry = cells.floods[1].registry
    assert registry.is_present(now=2 * HELLO_INTERVAL + MAX_AGE - 1)
    assert not registry.is_present(now=2 * HELLO_INTERVAL + MAX_AGE)


def test_a_heartbeat_is_relayed_once_a_neighbour_does_not_receive_it_itself() -> None:
    cells = Cells(2)
    cells.originate(2, CellStatus(generation=1, registry=True), Kind.STATUS)
    cells.sync(1, 2)
    beats = Channel(Topic.HEARTBEAT, OWN)
    relayed = ("HEARTBEAT", "relay", REGISTRY)

    assert writes(cells.receive(1, beats, heartbeat(2))) == []
    cells.originate(2, CellStatus(generation=1, registry=False), Kind.STATUS)
    assert writes(cells.sync(1, 2)) == [relayed]
    assert writes(cells.receive(1, beats, heartbeat(3))) == [relayed]
    cells.originate(2, CellStatus(generation=1, registry=True), Kind.STATUS)
    cells.sync(1, 2)
    assert writes(cells.receive(1, beats, heartbeat(4))) == []


def heartbeat(sequence: int) -> Envelope:
    body = encode(HelloMessage(newest=1))
    return advertisement(REGISTRY, Kind.HEARTBEAT, body, sequence=sequence)


@pytest.mark.parametrize(
    ("sequence", "partition", "signed_by"), [(4, OWN, None), (9, RELAY, None), (9, OWN, 1)]
)
def test_a_heartbeat_that_is_old_or_relayed_or_forged_is_no_presence(
    sequence: int, partition: str, signed_by: int | None
) -> None:
    cells = Cells(1)
    cells.sequence = 4
    cells.set_registry_present(1, present=True)
    cells.from_registry(1, UvnAnnouncement(generation=1))
    cells.now = MAX_AGE

    made = advertisement(
        REGISTRY, Kind.HEARTBEAT, encode(HelloMessage()), sequence=sequence, signed_by=signed_by
    )
    cells.receive(1, Channel(Topic.HEARTBEAT, partition), made)

    assert not cells.floods[1].registry.is_present(now=MAX_AGE)


def test_cells_are_watched_while_a_cell_in_contact_or_the_registry_says_so() -> None:
    cells = Cells(2)
    flood = cells.floods[1]
    cells.originate(2, CellStatus(generation=1, watched=True), Kind.STATUS)
    cells.sync(1, 2)
    assert flood.is_watched(now=1)
    assert not flood.is_watched(now=MAX_AGE + 1)

    cells.now = MAX_AGE + 1
    cells.from_registry(1, UvnAnnouncement(generation=1, watched=True))
    assert flood.is_watched(now=2 * MAX_AGE)
    assert not flood.is_watched(now=2 * MAX_AGE + 2)
