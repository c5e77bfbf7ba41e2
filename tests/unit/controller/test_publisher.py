"""What the registry says again, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from uno.controller.publisher import Voice
from uno.model.messages import Envelope
from uno.ports.bus import Bus, BusConfig, Channel, offers_for, offers_near
from uno.statesync.sequence import Sequence

IDENTITY = "ab" * 16


class Slate(Bus):
    """A bus that remembers what is written on it."""

    def __init__(self) -> None:
        self.newest: dict[tuple[Channel, int], Envelope] = {}

    def configure(self, _config: BusConfig, _deliver: object) -> None:
        raise AssertionError("nobody joins here")

    def subscribe(self, _channel: Channel) -> None:
        raise AssertionError("nobody listens here")

    def write(self, channel: Channel, envelope: Envelope) -> None:
        self.newest[channel, envelope.subject] = envelope

    def withdraw(self, channel: Channel, subject: int) -> None:
        del self.newest[channel, subject]

    def rejoin(self) -> None:
        raise AssertionError("nobody joins here")

    def close(self) -> None:
        raise AssertionError("nobody leaves")


@pytest.fixture
def slate() -> Slate:
    return Slate()


@pytest.fixture
def sequence() -> Sequence:
    return Sequence(lambda last: range(last + 1, last + 100))


@pytest.fixture
def voice(slate: Slate, sequence: Sequence) -> Voice:
    return Voice(slate, identity=IDENTITY, sign=lambda _: bytes(64), sequence=sequence)


@pytest.fixture
def seals() -> Iterator[bytes]:
    return iter([b"first", b"second", b"third"])


def test_the_same_package_is_sealed_once(
    voice: Voice, slate: Slate, seals: Iterator[bytes]
) -> None:
    voice.offer(3, "content", lambda: next(seals), near=False)
    voice.offer(3, "content", lambda: next(seals), near=False)

    assert slate.newest[offers_for(3), 3].body == b"first"


def test_another_package_takes_its_place(
    voice: Voice, slate: Slate, seals: Iterator[bytes]
) -> None:
    voice.offer(3, "content", lambda: next(seals), near=False)
    voice.offer(3, "another", lambda: next(seals), near=False)

    assert slate.newest[offers_for(3), 3].body == b"second"


def test_the_same_package_is_offered_anew_in_another_attempt(
    voice: Voice, slate: Slate, sequence: Sequence, seals: Iterator[bytes]
) -> None:
    """Or a cell that was away for both would answer the earlier offer, and be waited for."""
    voice.offer(3, "content", lambda: next(seals), near=True)
    attempt = sequence.next()

    voice.offer(3, "content", lambda: next(seals), near=True, since=attempt)

    assert slate.newest[offers_for(3), 3].sequence > attempt
    assert slate.newest[offers_near(3), 3] == slate.newest[offers_for(3), 3]


def test_neighbours_are_asked_only_while_a_cell_is_not_heard_itself(
    voice: Voice, slate: Slate, seals: Iterator[bytes]
) -> None:
    voice.offer(3, "content", lambda: next(seals), near=True)
    voice.offer(3, "content", lambda: next(seals), near=False)

    assert set(slate.newest) == {(offers_for(3), 3)}


def test_what_is_withdrawn_is_on_offer_nowhere(
    voice: Voice, slate: Slate, seals: Iterator[bytes]
) -> None:
    voice.offer(3, "content", lambda: next(seals), near=True)

    voice.withdraw(3)

    assert slate.newest == {}
    assert voice.offered == frozenset()
