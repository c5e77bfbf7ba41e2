"""What is kept of cells that are no members."""

from __future__ import annotations

from uno.model.messages import Envelope, Kind
from uno.statesync.unknown_origins import LARGEST, LASTING, MOST, UnknownOrigins


def said(subject: int, sequence: int = 1, *, kind: Kind = Kind.STATUS, size: int = 2) -> Envelope:
    body = b"x" * size
    return Envelope(
        subject=subject, kind=kind, sequence=sequence, relayed_by=subject, body=body, signature=b""
    )


def test_the_newest_of_each_cell_is_kept_until_it_is_a_member_and_given_once() -> None:
    strangers = UnknownOrigins[str]()
    for sequence in (2, 3, 1):
        strangers.keep(said(7, sequence), f"way {sequence}", now=0)
    strangers.keep(said(8), "another", now=0)

    assert strangers.take({7, 9}, now=1) == ((said(7, 3), "way 3"),)
    assert strangers.take({7, 8}, now=1) == ((said(8), "another"),)
    assert strangers.take({7, 8}, now=1) == ()


def test_nothing_is_kept_for_long() -> None:
    strangers = UnknownOrigins[str]()
    strangers.keep(said(7), "", now=0)

    assert strangers.take({7}, now=LASTING + 0.1) == ()


def test_who_names_many_or_says_much_fills_no_memory() -> None:
    strangers = UnknownOrigins[str]()
    strangers.keep(said(1, size=LARGEST + 1), "", now=0)
    strangers.keep(said(2, kind=Kind.OFFER), "", now=0)
    for cell in range(1000, 1000 + 2 * MOST):
        strangers.keep(said(cell), "", now=0)

    found = strangers.take(range(5000), now=0)

    assert len(found) == MOST
    assert {envelope.subject for envelope, _ in found}.isdisjoint({1, 2})
