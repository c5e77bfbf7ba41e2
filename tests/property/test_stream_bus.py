"""Two ends of a connection of the bus: whatever is written, cut and mixed, the newest arrives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from uno.bus import stream_frames
from uno.bus.calls import Standing, replaces
from uno.bus.conversation import CHUNK, Conversation, is_summarised
from uno.bus.liveness import (
    AGENT_TIMEOUT,
    PING_CELL,
    PING_REGISTRY,
    PING_TIMEOUT,
    Liveness,
    Verdict,
)
from uno.bus.stream_frames import FRAME_BODY, BrokenStream, Farewell, Hello, StreamReader
from uno.model.messages import Envelope, Kind
from uno.ports.bus import (
    RELAY,
    Channel,
    EnvelopeDigest,
    Received,
    Topic,
    digest_of,
    offers_for,
)

pytestmark = pytest.mark.feature("G58")

CHANNELS = (Channel(Topic.STATUS), Channel(Topic.STATUS, RELAY), offers_for(1))
SIZES = (0, 1, 100, FRAME_BODY - 1, FRAME_BODY, FRAME_BODY + 1, 3 * FRAME_BODY, 100_001)

ends = st.integers(0, 1)
events = st.one_of(
    st.tuples(st.just("write"), ends, st.sampled_from(CHANNELS), st.integers(0, 3),
              st.sampled_from(SIZES)),
    st.tuples(st.just("withdraw"), ends, st.sampled_from(CHANNELS), st.integers(0, 3),
              st.just(0)),
    st.tuples(st.just("subscribe"), ends, st.sampled_from(CHANNELS), st.just(0), st.just(0)),
    st.tuples(st.just("send"), ends, st.just(CHANNELS[0]), st.just(0), st.just(0)),
    # Of what is under way, so many octets arrive.
    st.tuples(st.just("arrive"), ends, st.just(CHANNELS[0]), st.just(0), st.integers(1, 70_000)),
    st.tuples(st.just("ping"), ends, st.just(CHANNELS[0]), st.just(0), st.just(0)),
)  # fmt: skip
Event = tuple[str, int, Channel, int, int]


@dataclass
class End:
    """A node with one connection."""

    number: int
    channels: dict[Channel, None] = field(default_factory=dict)
    written: dict[Channel, dict[int, Envelope]] = field(default_factory=dict)
    received: dict[tuple[Channel, int], list[Envelope]] = field(default_factory=dict)
    under_way: bytearray = field(default_factory=bytearray)
    sequence: int = 0
    ever: set[Envelope] = field(default_factory=set)
    arrived: list[Channel] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        """Begin a connection, with all that was subscribed to, written and received before."""
        own = Hello(tag=bytes(16), session=self.number, losses=0)
        self.conversation = Conversation(own, self.channels, self.written, self.lacks)
        self.under_way.clear()

    def lacks(self, channel: Channel, digest: EnvelopeDigest) -> bool:
        known = self.received.get((channel, digest.subject))
        return not known or known[-1].sequence < digest.sequence

    def write(self, channel: Channel, subject: int, size: int) -> None:
        self.sequence += 1
        made = Envelope(
            subject=subject,
            kind=Kind.STATUS,
            sequence=self.sequence,
            relayed_by=self.number,
            body=self.sequence.to_bytes(4, "big") * (size // 4) + bytes(size % 4),
            signature=bytes([self.number]) + self.sequence.to_bytes(63, "big"),
        )
        written = self.written.setdefault(channel, {})
        first = not written
        written[subject] = made
        self.ever.add(made)
        self.conversation.note_written(channel, subject, first=first)

    def withdraw(self, channel: Channel, subject: int) -> None:
        """As `dds` does: the last one of a channel deletes the writer."""
        written = self.written.get(channel, {})
        if subject not in written:
            return
        if len(written) == 1:
            self.conversation.note_no_writer(channel)
            del self.written[channel]
        else:
            self.conversation.note_withdrawn(channel, subject)
            del written[subject]

    def subscribe(self, channel: Channel) -> None:
        if channel not in self.channels:
            self.channels[channel] = None
            self.conversation.subscribe(channel)

    def receive(self, data: bytes) -> None:
        for heard in self.conversation.receive(data):
            if isinstance(heard, Received):
                key = heard.channel, heard.envelope.subject
                self.received.setdefault(key, []).append(heard.envelope)
                self.arrived.append(heard.channel)

    def send(self) -> None:
        chunk = self.conversation.next_chunk()
        assert len(chunk) <= 3 * CHUNK + 4096
        self.under_way += chunk

    def arrive(self, other: End, size: int) -> None:
        other.receive(bytes(self.under_way[:size]))
        del self.under_way[:size]


def play(both: tuple[End, End], happens: Iterable[Event]) -> None:
    for what, number, channel, subject, size in happens:
        end, other = both[number], both[1 - number]
        match what:
            case "write":
                end.write(channel, subject, size)
            case "withdraw":
                end.withdraw(channel, subject)
            case "subscribe":
                end.subscribe(channel)
            case "send":
                end.send()
            case "ping":
                end.conversation.ping()
            case "connect":
                end.connect()
                other.connect()
            case "receive" if subject in other.written.get(channel, {}):
                newest = other.written[channel][subject]
                end.received.setdefault((channel, subject), []).append(newest)
            case "receive":
                pass
            case _:
                end.arrive(other, size)


@settings(max_examples=150, deadline=None)
@given(happens=st.lists(events, max_size=60))
def test_each_end_has_the_newest_of_each_subject_that_it_subscribes_to(
    happens: list[Event],
) -> None:
    both = End(0), End(1)
    play(both, happens)
    settle(both)

    assert_newest(both)
    for reader, writer in (both, both[::-1]):
        for found in reader.received.values():
            assert writer.ever.issuperset(found)
            assert [it.sequence for it in found] == sorted({it.sequence for it in found})
        assert not any(channel not in reader.channels for channel, _ in reader.received)


outages = st.one_of(events, st.just(("connect", 0, CHANNELS[0], 0, 0)))


@settings(max_examples=60, deadline=None)
@given(happens=st.lists(outages, max_size=60))
def test_the_newest_arrives_over_connections_that_end_at_any_moment(happens: list[Event]) -> None:
    both = End(0), End(1)
    play(both, happens)
    settle(both)

    assert_newest(both)
    for reader in both:
        for (channel, _), found in reader.received.items():
            if is_summarised(channel):
                numbers = [it.sequence for it in found]
                assert numbers == sorted(set(numbers))


changes = st.lists(
    st.tuples(
        st.sampled_from(["write", "withdraw", "receive"]),
        ends,
        st.sampled_from([channel for channel in CHANNELS if is_summarised(channel)]),
        st.integers(0, 3),
        st.sampled_from(SIZES),
    ),
    max_size=20,
)


@pytest.mark.feature("G57")
@settings(max_examples=60, deadline=None)
@given(happens=st.lists(events, max_size=40), meanwhile=changes)
def test_after_an_outage_what_differs_is_sent_and_no_more(
    happens: list[Event], meanwhile: list[Event]
) -> None:
    """`receive`: what the other end has written meanwhile arrives by another path."""
    both = End(0), End(1)
    play(both, happens)
    settle(both)
    for end in both:
        for channel in CHANNELS:
            end.subscribe(channel)
    settle(both)
    for end in both:
        end.connect()
        end.arrived.clear()
    play(both, meanwhile)

    lacking = [
        [
            channel
            for channel, envelopes in writer.written.items()
            if is_summarised(channel)
            for envelope in envelopes.values()
            if reader.lacks(channel, digest_of(envelope))
        ]
        for reader, writer in (both, both[::-1])
    ]
    settle(both)

    assert_newest(both)
    found = [sorted(filter(is_summarised, end.arrived), key=str) for end in both]
    assert found == [sorted(each, key=str) for each in lacking]


STATUSES = Channel(Topic.STATUS, RELAY)

floods = st.one_of(
    # From elsewhere an end receives a newer status of a cell, or the newest that the other has.
    st.tuples(st.sampled_from(["flood", "meet"]), ends, st.integers(0, 3)),
    st.tuples(st.just("send"), ends, st.just(0)),
    st.tuples(st.just("arrive"), ends, st.integers(1, 400)),
)


@settings(max_examples=150, deadline=None)
@given(happens=st.lists(floods, max_size=60))
def test_what_both_ends_flood_crosses_the_connection_once(
    happens: list[tuple[str, int, int]],
) -> None:
    both = End(0), End(1)
    for end in both:
        end.subscribe(STATUSES)
    settle(both)
    newest: dict[int, Envelope] = {}
    met = set[bytes]()
    for what, number, subject in happens:
        end, other = both[number], both[1 - number]
        match what:
            case "flood":
                end.sequence = max(end.sequence, other.sequence)
                end.write(STATUSES, subject, 100)
                newest[subject] = end.written[STATUSES][subject]
            case "meet" if subject in newest:
                met.add(newest[subject].signature)
                relay(end, newest[subject])
            case "send":
                end.send()
            case "arrive":
                end.arrive(other, subject)
                flood_on(other)
    for _ in range(3):
        settle(both)
        for end in both:
            flood_on(end)

    arrived = [each.signature for end in both for found in end.received.values() for each in found]
    assert all(arrived.count(each) <= 1 + (each in met) for each in arrived)
    for end in both:
        assert _signatures(end.written.get(STATUSES, {})) == _signatures(newest)


@pytest.mark.feature("G57")
def test_what_has_arrived_is_not_sent_though_it_waited_to_be() -> None:
    both = one, other = End(0), End(1)
    for end in both:
        end.subscribe(STATUSES)
    settle(both)
    author = End(2)
    author.write(STATUSES, 7, 100)
    for end in both:
        relay(end, author.written[STATUSES][7])

    other.send()
    other.arrive(one, len(other.under_way))
    settle(both)

    assert len(one.received[STATUSES, 7]) == 1
    assert (STATUSES, 7) not in other.received


def _signatures(envelopes: Mapping[int, Envelope]) -> dict[int, bytes]:
    return {subject: each.signature for subject, each in envelopes.items()}


def flood_on(end: End) -> None:
    """Have an end flood what it has received and is newer than what it has."""
    for found in end.received.values():
        relay(end, found[-1])


def relay(end: End, envelope: Envelope) -> None:
    written = end.written.setdefault(STATUSES, {})
    known = written.get(envelope.subject)
    if known is None or known.sequence < envelope.sequence:
        first = not written
        written[envelope.subject] = replace(envelope, relayed_by=end.number)
        end.conversation.note_written(STATUSES, envelope.subject, first=first)


def settle(both: tuple[End, End]) -> None:
    """Have everything arrive: what is requested takes two ways more."""
    for _ in range(6):
        for end, other in (both, both[::-1]):
            while end.conversation.has_output:
                end.send()
            end.arrive(other, len(end.under_way))


def assert_newest(both: tuple[End, End]) -> None:
    """Assert that each end has the newest of all that it subscribes to."""
    for reader, writer in (both, both[::-1]):
        for channel in reader.channels:
            assert reader.conversation.writers[channel] == (channel in writer.written)
            for subject, newest in writer.written.get(channel, {}).items():
                assert reader.received[channel, subject][-1] == newest


@given(number=st.integers(0, 3), subjects=st.lists(st.integers(0, 5), max_size=8))
def test_nothing_is_sent_twice_however_often_it_is_requested(
    number: int, subjects: list[int]
) -> None:
    end = End(0)
    end.receive(stream_frames.hello(Hello(tag=bytes(16), session=9, losses=0)))
    for at, channel in enumerate(CHANNELS):
        end.receive(stream_frames.subscription(at, channel))
    end.write(CHANNELS[1], 1, 100)
    end.connect()
    end.receive(stream_frames.hello(Hello(tag=bytes(16), session=9, losses=0)))
    for at, channel in enumerate(CHANNELS):
        end.receive(stream_frames.subscription(at, channel))
    try:
        end.receive(stream_frames.request(number, subjects))
        end.send()
        end.receive(stream_frames.request(number, subjects))
    except BrokenStream:
        assert number == len(CHANNELS)
    assert end.conversation.waiting == 0


@settings(max_examples=100, deadline=None)
@given(happens=st.lists(events, max_size=30), behind=st.integers(2, 5))
def test_what_is_small_waits_for_one_part_of_what_is_large(
    happens: list[Event], behind: int
) -> None:
    both = End(0), End(1)
    play(both, happens)
    one, other = both
    for channel in CHANNELS:
        other.subscribe(channel)
    for _ in range(3):
        for end, peer in (both, both[::-1]):
            while end.conversation.has_output:
                end.send()
            end.arrive(peer, len(end.under_way))
    for subject in range(behind):
        one.write(offers_for(1), subject, 20 * FRAME_BODY)
    for _ in range(behind):
        one.send()
    one.write(CHANNELS[0], 3, 100)
    small = one.written[CHANNELS[0]][3]
    one.send()
    one.arrive(other, len(one.under_way))

    assert other.received[CHANNELS[0], 3][-1] == small
    assert one.conversation.has_output


@settings(max_examples=150, deadline=None)
@given(
    happens=st.lists(events, max_size=20),
    noise=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=40)), min_size=1, max_size=6),
)
def test_an_altered_stream_is_refused_or_means_something_else_and_no_more(
    happens: list[Event], noise: list[tuple[int, bytes]]
) -> None:
    both = End(0), End(1)
    with_greeting: list[Event] = [("send", 0, CHANNELS[0], 0, 0)]
    play(both, [*happens, *with_greeting])
    data = both[0].under_way
    for at, replacement in noise:
        data[at : at + len(replacement)] = replacement
    try:
        both[1].receive(bytes(data))
    except BrokenStream:
        return
    both[1].send()


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), greeted=st.booleans())
def test_noise_raises_nothing_but_that_it_is_no_stream(data: bytes, *, greeted: bool) -> None:
    end = End(0)
    end.subscribe(CHANNELS[0])
    if greeted:
        end.receive(stream_frames.hello(Hello(tag=bytes(16), session=9, losses=0)))
    try:
        end.receive(data)
    except BrokenStream:
        return
    assert end.conversation.waiting == 0


@given(kind=st.integers(0, 255), size=st.integers(FRAME_BODY + 200, (1 << 24) - 1))
def test_a_frame_that_is_too_large_is_refused_before_it_arrives(kind: int, size: int) -> None:
    header = (kind << 24 | size).to_bytes(4, "big")
    with pytest.raises(BrokenStream, match=f"a frame of {size:,} bytes"):
        list(StreamReader().add(header))


@pytest.mark.parametrize(
    ("channel", "size"), [(CHANNELS[0], (2 << 20) + 1), (offers_for(1), (8 << 20) + 1)]
)
def test_a_body_that_is_too_large_is_refused_by_its_first_frame(
    channel: Channel, size: int
) -> None:
    end = End(0)
    end.subscribe(channel)
    end.receive(stream_frames.hello(Hello(tag=bytes(16), session=9, losses=0)))
    large = Envelope(
        subject=1, kind=2, sequence=1, relayed_by=1, body=bytes(size), signature=bytes(64)
    )
    frame, _ = stream_frames.sample(0, large)

    with pytest.raises(BrokenStream, match=f"{size:,} bytes on"):
        end.receive(frame)


def test_nothing_follows_a_farewell_which_comes_after_what_is_small() -> None:
    both = End(0), End(1)
    both[1].subscribe(CHANNELS[0])
    both[1].send()
    both[1].arrive(both[0], 10_000)
    both[0].write(CHANNELS[0], 1, 100)
    both[0].conversation.leave()
    both[0].send()
    heard = list(both[1].conversation.receive(bytes(both[0].under_way)))

    assert [type(it) for it in heard[-2:]] == [Received, Farewell]
    with pytest.raises(BrokenStream, match="after the last"):
        both[1].receive(stream_frames.PING)


losses = st.integers(0, 2)


@given(first=st.tuples(ends, ends), lost=st.tuples(losses, losses))
def test_both_ends_keep_the_call_of_the_lower_address_where_both_have_called(
    first: tuple[int, int], lost: tuple[int, int]
) -> None:
    """In whichever order each end has greeted on the two connections."""

    def kept(end: int) -> int:
        hello = Hello(tag=bytes(16), session=1 - end, losses=lost[1 - end])
        before, after = first[end], 1 - first[end]
        old, new = (Standing(caller == end, hello) for caller in (before, after))
        return after if replaces(new, old, is_lower=end == 0) else before

    assert kept(0) == kept(1) == 0


@given(session=st.integers(0, 1), before=losses, after=losses, called=st.booleans())
def test_a_peer_that_has_lost_the_connection_or_restarted_gets_another(
    session: int, before: int, after: int, *, called: bool
) -> None:
    assume(session or after > before)
    old = Standing(not called, Hello(tag=b"", session=0, losses=before))
    new = Standing(called, Hello(tag=b"", session=session, losses=after))

    assert replaces(new, old, is_lower=True)
    assert replaces(new, old, is_lower=False)


@given(
    arrivals=st.lists(st.floats(0.0, 60.0), max_size=20),
    answers=st.booleans(),
    is_lower=st.booleans(),
    ping_after=st.sampled_from([PING_REGISTRY, PING_CELL]),
)
def test_a_peer_is_gone_in_time_and_not_before(
    arrivals: list[float], *, answers: bool, is_lower: bool, ping_after: float
) -> None:
    """`answers`: its kernel acknowledges, though its agent sends nothing but what arrives."""
    liveness = Liveness(ping_after=ping_after, is_lower=is_lower, now=0.0)
    times = sorted(arrivals)
    heard_at, unacknowledged, gone_at = 0.0, 0, None
    while gone_at is None:
        due = liveness.due
        while times and times[0] <= due:
            heard_at = times.pop(0)
            liveness.received(now=heard_at)
        if liveness.due > due:
            continue
        match liveness.check(0 if answers else unacknowledged, now=due):
            case Verdict.PING:
                assert due >= heard_at + ping_after - 1e-6
                unacknowledged = 4
            case Verdict.GONE:
                gone_at = due
            case Verdict.ALIVE:
                assert answers

    silence = gone_at - heard_at
    if answers:
        assert AGENT_TIMEOUT - 1e-6 <= silence <= AGENT_TIMEOUT + 1e-6
    else:
        assert silence == pytest.approx(ping_after + PING_TIMEOUT)
