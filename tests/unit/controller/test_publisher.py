"""What the registry publishes again, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from uno.controller.publisher import DuplicateRegistry, Publisher
from uno.diagnostics import ActionNeeded
from uno.model.codec import decode
from uno.model.messages import CONFIRM_TIMEOUT, Activation, Envelope, HelloMessage, UvnAnnouncement
from uno.model.network_directory import Directory
from uno.ports.bus import Bus, BusConfig, Channel, Lacks, Topic, offers_for, offers_to_relay
from uno.statesync.sequence import Sequence
from uno.statesync.timers import HELLO_INTERVAL, REFRESH_INTERVAL, ROLLOUT_INTERVAL

IDENTITY = "ab" * 16


class RecordingBus(Bus):
    """A bus that keeps what is published on it."""

    def __init__(self) -> None:
        self.newest: dict[tuple[Channel, int], Envelope] = {}

    def configure(self, _config: BusConfig, _deliver: object) -> None:
        raise AssertionError("this test joins no bus")

    def subscribe(self, _channel: Channel, _lacks: Lacks | None = None) -> None:
        raise AssertionError("this test subscribes to nothing")

    def write(self, channel: Channel, envelope: Envelope) -> None:
        self.newest[channel, envelope.subject] = envelope

    def withdraw(self, channel: Channel, subject: int) -> None:
        del self.newest[channel, subject]

    def rejoin(self) -> None:
        raise AssertionError("this test joins no bus")

    def close(self) -> None:
        raise AssertionError("this test leaves no bus")


@pytest.fixture
def bus() -> RecordingBus:
    return RecordingBus()


@pytest.fixture
def sequence() -> Sequence:
    return Sequence(lambda last: range(last + 1, last + 100))


@pytest.fixture
def publisher(bus: RecordingBus, sequence: Sequence) -> Publisher:
    return Publisher(bus, identity=IDENTITY, sign=lambda _: bytes(64), sequence=sequence)


@pytest.fixture
def seals() -> Iterator[bytes]:
    return iter([b"first", b"second", b"third"])


def test_the_same_package_is_sealed_once(
    publisher: Publisher, bus: RecordingBus, seals: Iterator[bytes]
) -> None:
    publisher.offer(3, "content", lambda: next(seals), near=False)
    publisher.offer(3, "content", lambda: next(seals), near=False)

    assert bus.newest[offers_for(3), 3].body == b"first"


def test_another_package_takes_its_place(
    publisher: Publisher, bus: RecordingBus, seals: Iterator[bytes]
) -> None:
    publisher.offer(3, "content", lambda: next(seals), near=False)
    publisher.offer(3, "another", lambda: next(seals), near=False)

    assert bus.newest[offers_for(3), 3].body == b"second"


def test_the_same_package_is_offered_anew_in_another_attempt(
    publisher: Publisher, bus: RecordingBus, sequence: Sequence, seals: Iterator[bytes]
) -> None:
    """A cell that was away for both might answer the earlier offer, whose ack does not count."""
    publisher.offer(3, "content", lambda: next(seals), near=True)
    attempt = sequence.next()

    publisher.offer(3, "content", lambda: next(seals), near=True, since=attempt)

    assert bus.newest[offers_for(3), 3].sequence > attempt
    assert bus.newest[offers_to_relay(3), 3] == bus.newest[offers_for(3), 3]


def test_neighbours_get_an_offer_only_while_a_cell_has_no_direct_contact(
    publisher: Publisher, bus: RecordingBus, seals: Iterator[bytes]
) -> None:
    publisher.offer(3, "content", lambda: next(seals), near=True)
    publisher.offer(3, "content", lambda: next(seals), near=False)

    assert set(bus.newest) == {(offers_for(3), 3)}


def test_a_withdrawn_offer_is_on_no_channel(
    publisher: Publisher, bus: RecordingBus, seals: Iterator[bytes]
) -> None:
    publisher.offer(3, "content", lambda: next(seals), near=True)

    publisher.withdraw(3)

    assert bus.newest == {}
    assert publisher.offered == frozenset()


def announced(bus: RecordingBus) -> int:
    return bus.newest[Channel(Topic.UVN), 0].sequence


def test_an_announcement_is_published_when_it_changes_and_refreshed(
    publisher: Publisher, bus: RecordingBus
) -> None:
    announcement = UvnAnnouncement(generation=1)
    publisher.announce(announcement, now=10.0)
    first = announced(bus)

    publisher.announce(announcement, now=10.0 + REFRESH_INTERVAL - 0.1)
    assert announced(bus) == first
    publisher.announce(announcement, now=10.0 + REFRESH_INTERVAL)
    assert announced(bus) > first
    refreshed = announced(bus)
    publisher.announce(UvnAnnouncement(generation=2), now=10.1 + REFRESH_INTERVAL)
    assert announced(bus) > refreshed


def test_an_announcement_is_refreshed_more_often_during_a_rollout(
    publisher: Publisher, bus: RecordingBus
) -> None:
    """The last cell to switch may otherwise wait for a message until it rolls back."""
    announcement = UvnAnnouncement(generation=1, rollout="2 of 3 cells have confirmed")
    publisher.announce(announcement, now=10.0)
    first = announced(bus)

    publisher.announce(announcement, now=10.0 + ROLLOUT_INTERVAL - 0.1)
    assert announced(bus) == first
    publisher.announce(announcement, now=10.0 + ROLLOUT_INTERVAL)
    assert announced(bus) > first
    assert 3 * ROLLOUT_INTERVAL < CONFIRM_TIMEOUT


def test_text_for_people_is_delayed_unless_the_announcement_is_final(
    publisher: Publisher, bus: RecordingBus
) -> None:
    publisher.announce(UvnAnnouncement(generation=1), now=10.0)
    first = announced(bus)

    publisher.announce(UvnAnnouncement(generation=1, rollout="1 of 2"), now=10.9)
    assert announced(bus) == first
    publisher.announce(UvnAnnouncement(generation=1, rollout="1 of 2"), now=11.0)
    assert announced(bus) > first
    delayed = announced(bus)
    publisher.announce(UvnAnnouncement(generation=1), now=11.1, is_final=True)
    assert announced(bus) > delayed


def test_everything_is_published_with_new_sequences_after_a_restore(
    publisher: Publisher, bus: RecordingBus, seals: Iterator[bytes]
) -> None:
    activation = Activation(generation=2)
    publisher.activate(activation)
    publisher.offer(3, "content", lambda: next(seals), near=False)
    publisher.publish_directory(Directory(generation=2, uvn="corp", owner="o@example.org"))
    stated = bus.newest[Channel(Topic.DIRECTORY), 0].sequence
    before = bus.newest[Channel(Topic.ACTIVATION), 0].sequence
    publisher.activate(activation)
    assert bus.newest[Channel(Topic.ACTIVATION), 0].sequence == before

    publisher.republish()

    assert bus.newest[Channel(Topic.ACTIVATION), 0].sequence > before
    assert bus.newest[Channel(Topic.DIRECTORY), 0].sequence > stated
    assert publisher.offered == frozenset()


def test_the_same_public_facts_are_published_once(publisher: Publisher, bus: RecordingBus) -> None:
    facts = Directory(generation=2, uvn="corp", owner="o@example.org")
    publisher.publish_directory(facts)
    first = bus.newest[Channel(Topic.DIRECTORY), 0]

    publisher.publish_directory(facts)

    assert bus.newest[Channel(Topic.DIRECTORY), 0] == first


def test_many_jumps_in_a_minute_are_a_second_agent() -> None:
    duplicate = DuplicateRegistry()
    for now in (0.0, 30.0, 50.0):
        duplicate.note_jump(now=now)
    duplicate.note_jump(now=60.0)

    with pytest.raises(ActionNeeded, match="another agent of this registry is running"):
        duplicate.note_jump(now=89.9)


def test_the_last_announcement_is_refreshed_when_it_is_due(
    publisher: Publisher, bus: RecordingBus
) -> None:
    publisher.refresh(now=0.0)
    assert bus.newest == {}
    publisher.announce(UvnAnnouncement(generation=2), now=0.0)
    first = bus.newest[Channel(Topic.UVN), 0]

    publisher.refresh(now=REFRESH_INTERVAL - 1)
    assert bus.newest[Channel(Topic.UVN), 0] == first
    publisher.refresh(now=REFRESH_INTERVAL)

    second = bus.newest[Channel(Topic.UVN), 0]
    assert (second.sequence, second.body) == (first.sequence + 2, first.body)


@pytest.mark.feature("G57")
def test_cells_receive_a_heartbeat_when_nothing_else_is_announced(
    publisher: Publisher, bus: RecordingBus
) -> None:
    """Also where nothing else can be published: cells take a silent registry for gone."""
    publisher.announce(UvnAnnouncement(generation=2), now=0.0)
    announced = bus.newest[Channel(Topic.UVN), 0]

    publisher.refresh(now=HELLO_INTERVAL - 0.1)
    assert (Channel(Topic.HEARTBEAT), 0) not in bus.newest
    publisher.refresh(now=HELLO_INTERVAL)
    first = bus.newest[Channel(Topic.HEARTBEAT), 0]
    publisher.refresh(now=2 * HELLO_INTERVAL - 0.1)
    assert bus.newest[Channel(Topic.HEARTBEAT), 0] == first
    publisher.refresh(now=2 * HELLO_INTERVAL)

    second = bus.newest[Channel(Topic.HEARTBEAT), 0]
    assert (first.sequence, second.sequence) == (announced.sequence + 1, announced.sequence + 2)
    assert decode(second.body, HelloMessage) == HelloMessage(newest=announced.sequence)
    assert bus.newest[Channel(Topic.UVN), 0] == announced
