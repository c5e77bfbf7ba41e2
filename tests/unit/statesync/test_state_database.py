"""What a node accepts into its state database, and the view that it derives."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from uno.model.codec import encode
from uno.model.messages import (
    REGISTRY,
    Ack,
    Activation,
    Envelope,
    Kind,
    Phase,
    UvnAnnouncement,
)
from uno.model.plan import Member
from uno.model.status import CellStatus, LanState, UndonePackage
from uno.statesync.admission import BURST, RATE
from uno.statesync.envelope import Untrusted, signed, signer
from uno.statesync.sequence import LIMIT, MAX_STEP
from uno.statesync.state_database import StateDatabase, view
from uno.statesync.timers import FORGET_AGE, MAX_AGE

IDENTITY = "0" * 32


def private(author: int) -> str:
    return b64encode(bytes([author + 1] * 32)).decode()


def public(author: int) -> str:
    key = Ed25519PrivateKey.from_private_bytes(bytes([author + 1] * 32))
    return b64encode(key.public_key().public_bytes_raw()).decode()


def member(cell: int, *, key: int | None = None) -> Member:
    return Member(
        id=cell,
        name=f"cell-{cell}",
        node4=IPv4Address(f"10.255.128.{cell + 1}"),
        node6=IPv6Address(f"fd00::{cell + 1}"),
        sign_key=public(cell if key is None else key),
    )


MEMBERS = {1: member(1), 2: member(2)}


def database() -> StateDatabase:
    return StateDatabase(identity=IDENTITY, registry_key=public(REGISTRY), members=MEMBERS)


def advertisement(
    body: object, *, kind: Kind, subject: int, sequence: int = 1, signed_by: int | None = None
) -> Envelope:
    plain = Envelope(
        subject=subject,
        kind=kind,
        sequence=sequence,
        relayed_by=subject,
        body=body if isinstance(body, bytes) else encode(body),
        signature=b"",
    )
    author = signed_by if signed_by is not None else subject
    return signed(plain, identity=IDENTITY, sign=signer(private(author)))


def status(cell: int, *, generation: int = 1, sequence: int = 1) -> Envelope:
    body = CellStatus(generation=generation)
    return advertisement(body, kind=Kind.STATUS, subject=cell, sequence=sequence)


def announced(*, sequence: int = 1) -> Envelope:
    body = UvnAnnouncement(generation=1)
    return advertisement(body, kind=Kind.UVN, subject=REGISTRY, sequence=sequence)


def test_a_newer_advertisement_replaces_the_one_before() -> None:
    known = database()

    accepted = [known.accept(status(1, generation=n, sequence=n), now=0) for n in (3, 2, 3, 4)]

    assert accepted == [True, False, False, True]
    assert known.status(1) == CellStatus(generation=4)
    assert known.newest(Kind.STATUS, 1) == status(1, generation=4, sequence=4)


def test_an_advertisement_is_valid_whichever_node_relays_it() -> None:
    known = database()
    original = status(1)
    relayed = Envelope(
        subject=original.subject,
        kind=original.kind,
        sequence=original.sequence,
        relayed_by=2,
        body=original.body,
        signature=original.signature,
    )

    assert known.accept(relayed, now=0)


@pytest.mark.parametrize(
    "wrong",
    [
        advertisement(
            CellStatus(generation=9), kind=Kind.STATUS, subject=1, signed_by=2, sequence=2
        ),
        advertisement(UvnAnnouncement(generation=9), kind=Kind.UVN, subject=REGISTRY, signed_by=1),
        advertisement(
            Activation(generation=9), kind=Kind.ACTIVATION, subject=REGISTRY, signed_by=1
        ),
        advertisement(CellStatus(generation=9), kind=Kind.STATUS, subject=3),
        advertisement(UvnAnnouncement(generation=9), kind=Kind.UVN, subject=1, signed_by=REGISTRY),
        advertisement(CellStatus(generation=9), kind=Kind.STATUS, subject=REGISTRY),
        advertisement(b"not json", kind=Kind.STATUS, subject=1, sequence=2),
        advertisement({"generation": "nine"}, kind=Kind.STATUS, subject=1, sequence=2),
        Envelope(subject=1, kind=77, sequence=2, relayed_by=1, body=b"", signature=bytes(64)),
        Envelope(subject=1, kind=2, sequence=2, relayed_by=1, body=b"{}", signature=bytes(64)),
        Envelope(subject=1, kind=2, sequence=2, relayed_by=1, body=b"{}", signature=b""),
        Envelope(subject=-1, kind=2, sequence=2, relayed_by=1, body=b"", signature=bytes(64)),
        Envelope(
            subject=1, kind=2, sequence=1 << 70, relayed_by=1, body=b"{}", signature=bytes(64)
        ),
    ],
)
def test_what_is_not_signed_by_its_originator_or_is_malformed_changes_nothing(
    wrong: Envelope,
) -> None:
    known = database()
    known.accept(status(1), now=0)

    with pytest.raises(Untrusted):
        known.accept(wrong, now=0)

    assert known.status(1) == CellStatus(generation=1)
    assert known.registry_announcement() is None
    assert known.highest_sequence(1) == 1


@pytest.mark.parametrize("sequence", [0, LIMIT, (1 << 64) - 1])
def test_a_sequence_out_of_range_is_refused(sequence: int) -> None:
    known = database()

    with pytest.raises(Untrusted, match="out of range"):
        known.accept(status(1, sequence=sequence), now=0)


def test_a_sequence_far_above_the_last_is_refused_while_the_cell_is_in_contact() -> None:
    known = database()
    known.accept(status(1, sequence=7), now=0)

    with pytest.raises(Untrusted, match="too far above"):
        known.accept(status(1, sequence=8 + MAX_STEP), now=FORGET_AGE)

    assert known.accept(status(1, sequence=7 + MAX_STEP), now=0)
    # A registry that was restored skips numbers.
    known.accept(announced(sequence=7), now=0)
    assert known.accept(announced(sequence=8 + MAX_STEP), now=0)


def test_a_node_follows_its_own_sequence_however_far_it_is() -> None:
    known = StateDatabase(identity=IDENTITY, registry_key=public(REGISTRY), members=MEMBERS, own=1)
    known.accept(status(1, sequence=7), now=0)

    assert known.accept(status(1, sequence=8 + MAX_STEP), now=0)


def test_a_cell_that_was_silent_for_long_may_begin_its_sequence_anew() -> None:
    known = database()
    last = status(1, sequence=900, generation=2)
    known.accept(last, now=0)
    known.accept(
        advertisement(
            Ack(generation=2, phase=Phase.STAGED, running=1), kind=Kind.ACK, subject=1, sequence=899
        ),
        now=0,
    )
    assert not known.accept(status(1, sequence=1), now=FORGET_AGE)

    assert not known.accept(last, now=FORGET_AGE + 1)
    assert known.accept(status(1, sequence=1), now=FORGET_AGE + 1)

    assert known.status(1) == CellStatus(generation=1)
    assert known.ack(1) is None
    assert known.highest_sequence(1) == 1
    assert not known.accept(status(1, sequence=1), now=FORGET_AGE + 2)


def test_the_registrys_messages_are_never_forgotten() -> None:
    """An old activation would count again."""
    known = database()
    known.accept(announced(sequence=9), now=0)

    assert not known.accept(announced(sequence=8), now=100 * FORGET_AGE)


def test_of_two_advertisements_with_one_number_all_nodes_keep_the_same() -> None:
    one, other = status(1, generation=1), status(1, generation=2)
    first, second = database(), database()
    accepted = [first.accept(one, now=0), first.accept(other, now=0)]
    accepted += [second.accept(other, now=0), second.accept(one, now=0)]

    assert first.newest(Kind.STATUS, 1) == second.newest(Kind.STATUS, 1)
    assert sorted(accepted) == [False, True, True, True]
    assert not first.accept(one, now=0)
    assert not first.accept(other, now=0)


def flooded(known: StateDatabase, count: int) -> list[bool]:
    return [known.accept(status(1, sequence=n, generation=n), now=0) for n in range(1, count + 1)]


def test_what_a_cell_sends_too_fast_waits_and_the_newest_of_it_is_accepted() -> None:
    known = database()

    accepted = flooded(known, 100)

    assert accepted == [True] * int(BURST) + [False] * (100 - int(BURST))
    assert known.status(1) == CellStatus(generation=int(BURST))
    assert known.accept(status(2), now=0)
    assert known.take_waiting(now=0.9 / RATE) == ()
    assert known.waits_until(now=0) == 1 / RATE
    assert known.take_waiting(now=1 / RATE) == (status(1, sequence=100, generation=100),)
    assert known.status(1) == CellStatus(generation=100)
    assert not known.has_waiting


def test_a_forgery_does_not_take_the_place_of_what_waits() -> None:
    known = database()
    flooded(known, int(BURST) + 1)
    forged = advertisement(
        CellStatus(generation=9), kind=Kind.STATUS, subject=1, signed_by=2, sequence=500
    )

    assert not known.accept(forged, now=0)

    known.take_waiting(now=1 / RATE)
    assert known.status(1) == CellStatus(generation=int(BURST) + 1)


def test_what_waits_of_a_cell_that_left_is_dropped() -> None:
    known = database()
    flooded(known, int(BURST) + 2)

    known.set_members(public(REGISTRY), {2: member(2)})

    assert not known.has_waiting
    assert known.waits_until(now=0) is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.STATUS, CellStatus(generation=1, problem="A" * (140 << 10))),
        (Kind.ACK, Ack(generation=1, phase=Phase.STAGED, running=1, reason="A" * (17 << 10))),
    ],
)
def test_what_is_too_large_for_its_kind_is_refused(kind: Kind, body: object) -> None:
    known = database()

    with pytest.raises(Untrusted, match="too large"):
        known.accept(advertisement(body, kind=kind, subject=1), now=0)


@pytest.mark.parametrize("number", [-1, 1 << 63, 1 << 70])
def test_numbers_that_nothing_has_are_refused(number: int) -> None:
    known = database()

    with pytest.raises(Untrusted, match="cannot parse"):
        known.accept(
            advertisement(b'{"generation":%d}' % number, kind=Kind.STATUS, subject=1), now=0
        )


def test_fields_of_a_newer_version_are_ignored() -> None:
    known = database()

    known.accept(
        advertisement({"generation": 2, "mood": "good"}, kind=Kind.STATUS, subject=1), now=0
    )

    assert known.status(1) == CellStatus(generation=2)


def test_an_offer_is_stored_unopened() -> None:
    known = database()
    offer = advertisement(b"sealed", kind=Kind.OFFER, subject=2, signed_by=REGISTRY)

    assert known.accept(offer, now=0)

    assert known.newest(Kind.OFFER, 2) == offer
    assert known.body(Kind.OFFER, 2) is None


def test_the_highest_sequence_of_each_originator_is_known() -> None:
    known = database()
    known.accept(announced(sequence=7), now=0)
    known.accept(
        advertisement(b"sealed", kind=Kind.OFFER, subject=2, sequence=9, signed_by=REGISTRY), now=0
    )
    known.accept(status(2, sequence=5), now=0)

    seen = [known.highest_sequence(author) for author in (REGISTRY, 2, 1)]

    assert seen == [9, 5, 0]


def test_advertisements_of_a_removed_cell_are_dropped() -> None:
    known = database()
    known.accept(status(1), now=0)
    known.accept(status(2), now=0)
    known.accept(announced(), now=0)

    known.set_members(public(REGISTRY), {2: member(2)})

    assert (known.status(1), known.status(2)) == (None, CellStatus(generation=1))
    assert known.registry_announcement() == UvnAnnouncement(generation=1)
    with pytest.raises(Untrusted, match="no member"):
        known.accept(status(1, sequence=2), now=0)


def test_advertisements_signed_with_a_replaced_key_are_dropped() -> None:
    known = database()
    known.accept(status(1), now=0)
    known.accept(announced(), now=0)

    known.set_members(public(7), {1: member(1, key=8), 2: member(2)})

    assert (known.status(1), known.registry_announcement()) == (None, None)


def test_the_view_has_every_member_and_marks_those_that_are_gone() -> None:
    known = database()
    ack = Ack(generation=4, phase=Phase.CONFIRMED, running=4)
    known.accept(status(1, generation=4), now=100)
    known.accept(advertisement(ack, kind=Kind.ACK, subject=1, sequence=2), now=110)
    known.accept(status(2, generation=3), now=0)
    announcement = UvnAnnouncement(generation=4, cells={1: 4, 2: 3}, rollout="waits")

    seen = view(known, announcement, uvn="net", viewer=2, registry=True, now=120)

    one, two = seen.cells
    assert (one.name, one.package, one.age, one.alive, one.ack) == ("cell-1", 4, 10, True, ack)
    assert (two.age, two.alive, two.consistent) == (120, False, False)
    assert one.consistent
    assert (seen.generation, seen.rollout, seen.registry) == (4, "waits", True)
    assert not seen.consistent


def test_a_status_is_seen_as_the_same_value_until_it_or_the_members_change() -> None:
    known, lan = database(), IPv4Network("192.168.2.0/24")
    known.accept(status(1), now=0)

    first = known.seen(1, now=1)

    assert known.seen(1, now=9) is first
    known.set_members(public(REGISTRY), {1: member(1), 2: replace(member(2), lans=(lan,))})
    second = known.seen(1, now=10)
    assert second is not None
    assert second.reachable == (lan,)
    known.accept(status(1, generation=2, sequence=2), now=100)
    third = known.seen(1, now=100)
    assert third is not None
    assert third.generation == 2
    assert known.seen(2, now=100) is None


def test_what_a_cell_rolled_back_from_grows_older() -> None:
    known = database()
    undone = UndonePackage(generation=2, reason="no contact", age=10)
    body = CellStatus(generation=1, undone=undone)
    known.accept(advertisement(body, kind=Kind.STATUS, subject=1), now=0)

    found = [known.seen(1, now=now) for now in (0, 5, 60)]

    assert [each.undone.age for each in found if each and each.undone] == [10, 15, 70]


def test_a_cell_is_alive_until_its_maximum_age() -> None:
    known = database()
    known.accept(status(1), now=0)
    known.contacts.note_direct(1, received_at=0)

    seen = [
        view(known, UvnAnnouncement(generation=1), uvn="net", viewer=2, registry=True, now=now)
        for now in (MAX_AGE, MAX_AGE + 0.1)
    ]

    assert [each.cells[0].alive for each in seen] == [True, False]


def test_a_view_without_the_registry_has_what_it_announced() -> None:
    announcement = UvnAnnouncement(generation=4, undone=5, reason="cell-1 lost contact")

    seen = view(database(), announcement, uvn="net", viewer=1, registry=False, now=0)

    assert not seen.registry
    assert (seen.generation, seen.undone, seen.reason) == (4, 5, "cell-1 lost contact")


def test_a_uvn_whose_cells_all_run_their_generation_is_consistent() -> None:
    known = database()
    known.accept(status(1, generation=6), now=0)
    known.accept(status(2, generation=6), now=0)
    for cell in (1, 2):
        known.contacts.note_direct(cell, received_at=0)
    announcement = UvnAnnouncement(generation=6, cells={1: 6, 2: 6})

    seen = view(known, announcement, uvn="net", viewer=REGISTRY, registry=True, now=1)

    assert seen.consistent
    assert seen.routed
    assert seen.registry


def test_a_cell_without_one_of_its_lans_is_not_routed() -> None:
    known = database()
    lans = (LanState(network=IPv4Network("192.168.1.0/24")),)
    body = CellStatus(generation=1, lans=lans)
    known.accept(advertisement(body, kind=Kind.STATUS, subject=1), now=0)
    known.accept(status(2), now=0)

    seen = view(known, UvnAnnouncement(generation=1), uvn="net", viewer=1, registry=True, now=1)

    assert not seen.routed
