"""Advertisements of cells that are not members yet."""

from __future__ import annotations

from uno.model.messages import Envelope, Kind
from uno.statesync.unknown_origins import MAX_KEPT, MAX_KEPT_FOR, MAX_SIZE, UnknownOrigins


def envelope(
    subject: int, sequence: int = 1, *, kind: Kind = Kind.STATUS, size: int = 2
) -> Envelope:
    return Envelope(
        subject=subject,
        kind=kind,
        sequence=sequence,
        relayed_by=subject,
        body=b"x" * size,
        signature=b"",
    )


def test_the_newest_of_each_cell_is_kept_until_it_is_a_member_and_taken_once() -> None:
    unknown = UnknownOrigins[str]()
    for sequence in (2, 3, 1):
        unknown.keep(envelope(7, sequence), f"channel {sequence}", now=0)
    unknown.keep(envelope(8), "another", now=0)

    assert unknown.take({7, 9}, now=1) == ((envelope(7, 3), "channel 3"),)
    assert unknown.take({7, 8}, now=1) == ((envelope(8), "another"),)
    assert unknown.take({7, 8}, now=1) == ()


def test_an_advertisement_expires() -> None:
    unknown = UnknownOrigins[str]()
    unknown.keep(envelope(7), "", now=0)
    unknown.keep(envelope(8), "", now=1)

    assert unknown.take({7, 8}, now=MAX_KEPT_FOR + 1) == ((envelope(8), ""),)


def test_many_subjects_and_large_bodies_do_not_fill_the_memory() -> None:
    unknown = UnknownOrigins[str]()
    unknown.keep(envelope(1, size=MAX_SIZE + 1), "", now=0)
    unknown.keep(envelope(2, kind=Kind.OFFER), "", now=0)
    for cell in range(1000, 1000 + 2 * MAX_KEPT):
        unknown.keep(envelope(cell), "", now=0)

    found = unknown.take(range(5000), now=0)

    assert len(found) == MAX_KEPT
    assert {each.subject for each, _ in found}.isdisjoint({1, 2})
